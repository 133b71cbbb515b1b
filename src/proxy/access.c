#include "proxy/access.h"

#include <errno.h>

#include "core/clock.h"
#include "proxy/generation.h"

/* What a client that left gets in Traefik, which nobody reads. */
#define CLIENT_LEFT 499
#define CLIENT_LEFT_BYTES (sizeof "Client Closed Request" - 1)

static struct access_record *record_of(const struct exchange *x)
{
	return x->record;
}

/* The lines only: the bytes live as long as the exchange, or its generation. There is room for one
 * more line. */
static void keep(struct fields *to, const struct fields *from)
{
	struct field *list = ARENA_ARRAY(from->arena, struct field, from->count + 1);

	fields_init(to, from->arena);
	if (list == NULL)
		return;
	if (from->count > 0)
		memcpy(list, from->list, from->count * sizeof *list);
	to->list = list;
	to->count = from->count;
	to->capacity = from->count + 1;
	to->present = from->present;
}

static void on_respond(struct exchange *x)
{
	struct access_record *r = record_of(x);

	r->status = x->response.status;
	if (r->entry_point->access->fields)
		keep(&r->response_fields, &x->response.fields);
}

void access_begin(struct exchange *x, const struct entry_point *p, const struct route *route)
{
	const struct request *q = &x->request;
	struct access_record *r;

	if (route != NULL ? !route->logged : !p->config->observability.access_logs)
		return;
	r = ARENA_NEW(&x->arena, struct access_record);
	if (r == NULL)
		return;
	r->number = atomic_fetch_add_explicit(&p->access->count, 1, memory_order_relaxed) + 1;
	r->begun_wall_ns = clock_wall_ns();
	r->begun_ns = clock_mono_ns();
	r->method = q->method;
	r->path = q->path;
	r->query = q->query;
	r->has_query = q->has_query;
	r->authority = q->authority;
	r->forwarded_for = fields_value_id(&q->fields, FIELD_X_FORWARDED_FOR);
	r->version = q->version;
	r->entry_point = p;
	if (route != NULL)
		r->router = route->name;
	x->record = r;
	x->on_respond = on_respond;
}

static bool copy_name(struct exchange *x, slice *name)
{
	slice copy;

	if (name->p == NULL)
		return true;
	copy = arena_copy(&x->arena, *name);
	if (copy.p != NULL)
		*name = copy;
	return copy.p != NULL;
}

int access_detach(struct exchange *x)
{
	struct access_record *r = record_of(x);
	struct access_origin *o;

	if (r == NULL)
		return 0;
	o = &r->origin;
	if (!copy_name(x, &r->router) || !copy_name(x, &o->service) || !copy_name(x, &o->host) ||
	    !copy_name(x, &o->url) || fields_own(&r->request_fields) < 0)
		return -ENOMEM;
	return fields_own(&r->response_fields);
}

void access_drop(struct exchange *x)
{
	x->record = NULL;
	x->on_respond = NULL;
}

void access_keep_request(struct exchange *x)
{
	struct access_record *r = record_of(x);

	if (r != NULL && r->entry_point->access->fields)
		keep(&r->request_fields, &x->request.fields);
}

void access_origin_begin(struct exchange *x, slice service, const struct server *s)
{
	struct access_record *r = record_of(x);

	if (r == NULL)
		return;
	r->origin = (struct access_origin){
		.service = service, .host = s->host, .url = s->url, .begun_ns = clock_mono_ns()};
}

void access_origin_status(struct exchange *x, int status)
{
	if (x->record != NULL)
		record_of(x)->origin.status = status;
}

static void complete(struct access_record *r, uint64_t bytes)
{
	r->origin.duration_ns = clock_mono_ns() - r->origin.begun_ns;
	r->origin.bytes = bytes;
	r->origin.complete = true;
}

void access_origin_failed(struct exchange *x, int status)
{
	struct access_record *r = record_of(x);

	if (r == NULL)
		return;
	r->origin.status = status;
	complete(r, strlen(status_text(status)));
}

void access_origin_end(struct exchange *x, const struct body *b)
{
	struct access_record *r = record_of(x);

	if (r == NULL || r->origin.service.p == NULL)
		return;
	if (r->origin.status == 0) {
		r->origin.status = CLIENT_LEFT;
		complete(r, CLIENT_LEFT_BYTES);
	} else if (b->state == BODY_ENDED) {
		complete(r, b->taken_bytes + b->bytes);
	}
}

void access_end(struct exchange *x)
{
	struct access_record *r = record_of(x);
	struct access_sink *sink;

	if (r == NULL)
		return;
	x->record = NULL;
	sink = r->entry_point->access;
	r->repetitions = x->repetitions;
	r->duration_ns = clock_mono_ns() - r->begun_ns;
	r->request_bytes = exchange_request_bytes(x);
	r->response_bytes = exchange_response_bytes(x);
	if (r->status == 0) {
		r->status = CLIENT_LEFT;
		r->response_bytes = CLIENT_LEFT_BYTES;
	}
	if (sink->fields && r->origin.service.p == NULL)
		keep(&r->request_fields, &x->request.fields);
	sink->write(sink, x, r);
}
