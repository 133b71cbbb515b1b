#include <errno.h>

#include "middleware/plugin_private.h"

static struct plugin_visit *visit(void *x)
{
	struct plugin_visit *v = x;

	OBJ_CHECK(v, PLUGIN_VISIT_MAGIC);
	return v;
}

static int copy(struct plugin_visit *v, struct weir_slice from, slice *to)
{
	*to = arena_copy(&v->x->arena, from);
	return to->p != NULL ? 0 : -ENOMEM;
}

/* What is going to be changed is kept beforehand. */
static int copy_for_request(struct plugin_visit *v, struct weir_slice from, slice *to)
{
	int r = plugin_keep_request(v);

	return r < 0 ? r : copy(v, from, to);
}

static struct weir_slice get_method(void *x)
{
	return visit(x)->x->request.method;
}

static int set_method(void *x, struct weir_slice method)
{
	struct plugin_visit *v = visit(x);
	struct request *q = &v->x->request;
	slice kept;
	int r = copy_for_request(v, method, &kept);

	if (r < 0)
		return r;
	q->method = kept;
	q->method_id = method_of(kept);
	return 0;
}

static struct weir_slice get_target(void *x)
{
	return exchange_target(visit(x)->x);
}

static int set_target(void *x, struct weir_slice target)
{
	struct plugin_visit *v = visit(x);
	struct request *q = &v->x->request;
	slice kept;
	size_t mark;
	int r = copy_for_request(v, target, &kept);

	if (r < 0)
		return r;
	mark = slice_find(kept, '?');
	q->path = slice_first(kept, mark);
	q->has_query = mark < kept.n;
	q->query = slice_from_at(kept, mark + 1);
	return 0;
}

static struct weir_slice get_version(void *x)
{
	switch (visit(x)->x->request.version) {
	case HTTP_1_0:
		return SLICE("HTTP/1.0");
	case HTTP_1_1:
		return SLICE("HTTP/1.1");
	case HTTP_2:
		break;
	}
	return SLICE("HTTP/2.0");
}

static struct weir_slice get_source(void *x)
{
	return visit(x)->x->peer;
}

static struct weir_slice get_authority(void *x)
{
	return visit(x)->x->request.authority;
}

static int set_authority(void *x, struct weir_slice authority)
{
	struct plugin_visit *v = visit(x);
	slice kept;
	int r = copy_for_request(v, authority, &kept);

	if (r == 0)
		v->x->request.authority = kept;
	return r;
}

/* Before WEIR_NEXT the response is only what the guest has set; afterwards it is the merged one. */
static struct fields *fields_of(struct plugin_visit *v, enum weir_message message)
{
	if (message == WEIR_REQUEST)
		return &v->x->request.fields;
	return v->responding ? &v->x->response.fields : &v->x->early_fields;
}

static bool field_next(void *x, enum weir_message message, size_t *cursor, struct weir_field *field)
{
	const struct fields *f = fields_of(visit(x), message);

	while (*cursor < f->count) {
		const struct field *line = &f->list[(*cursor)++];

		if (message == WEIR_REQUEST && line->id == FIELD_HOST)
			continue;
		*field = (struct weir_field){line->name, line->value};
		return true;
	}
	return false;
}

static int change_field(struct plugin_visit *v, enum weir_message message, struct weir_slice name,
			struct weir_slice value, int (*change)(struct fields *, slice, slice))
{
	struct fields *f = fields_of(v, message);
	slice kept_name, kept_value;
	int r = message == WEIR_REQUEST ? copy_for_request(v, name, &kept_name)
					: copy(v, name, &kept_name);

	if (r == 0)
		r = copy(v, value, &kept_value);
	return r == 0 ? change(f, kept_name, kept_value) : r;
}

static int field_set(void *x, enum weir_message message, struct weir_slice name,
		     struct weir_slice value)
{
	return change_field(visit(x), message, name, value, fields_set);
}

static int field_add(void *x, enum weir_message message, struct weir_slice name,
		     struct weir_slice value)
{
	return change_field(visit(x), message, name, value, fields_add);
}

static int field_remove(void *x, enum weir_message message, struct weir_slice name)
{
	struct plugin_visit *v = visit(x);
	int r = message == WEIR_REQUEST ? plugin_keep_request(v) : 0;

	if (r == 0)
		(void)fields_remove(fields_of(v, message), name);
	return r;
}

static unsigned get_status(void *x)
{
	struct plugin_visit *v = visit(x);

	return v->responding ? (unsigned)v->x->response.status : v->early_status;
}

static int set_status(void *x, unsigned status)
{
	struct plugin_visit *v = visit(x);

	if (v->responding) {
		v->x->response.status = (int)status;
		v->x->response.reason = (slice){NULL, 0};
	} else {
		v->early_status = status;
	}
	return 0;
}

static void on_request_body(struct body *b, void *consumer)
{
	(void)b;
	plugin_resume_later(consumer);
}

/* Moves what has arrived to the kept bytes. Returns 0 or a negative errno value. */
static int keep_arrived(struct plugin_visit *v)
{
	struct body *b = v->request_in;

	while (b->bytes > 0) {
		slice front = body_front(b);
		int r = v->request_kept.n + front.n > plugin_body_limit(v)
				? -EFBIG
				: spool_add(&v->request_kept, front);

		if (r < 0)
			return r;
		body_take(b, front.n);
	}
	return 0;
}

static int read_request(struct plugin_visit *v, uint64_t offset, void *buf, size_t limit,
			size_t *got, bool *eof)
{
	struct body *b = v->x->request_body;
	ssize_t n;
	int r;

	if (v->request_in == NULL) {
		v->request_in = b;
		body_set_consumer(b, on_request_body, v);
	}
	r = keep_arrived(v);
	if (r < 0)
		return r;
	n = spool_read(&v->request_kept, offset, buf, limit);
	if (n < 0)
		return (int)n;
	*got = (size_t)n;
	*eof = offset + (uint64_t)n == v->request_kept.n && body_finished(b);
	if (n > 0 || *eof)
		return 0;
	return body_broken(b) ? b->abort_code : WEIR_WAIT;
}

static int read_response(struct plugin_visit *v, uint64_t offset, void *buf, size_t limit,
			 size_t *got, bool *eof)
{
	ssize_t n = spool_read(&v->response_kept, offset, buf, limit);

	if (n < 0)
		return (int)n;
	*got = (size_t)n;
	*eof = offset + (uint64_t)n >= v->response_kept.n;
	return 0;
}

static int read_body(void *x, enum weir_message message, uint64_t offset, void *buf, size_t limit,
		     size_t *got, bool *eof)
{
	struct plugin_visit *v = visit(x);

	if (message == WEIR_RESPONSE)
		return read_response(v, offset, buf, limit, got, eof);
	if (v->responding) {
		*got = 0;
		*eof = true;
		return 0;
	}
	return read_request(v, offset, buf, limit, got, eof);
}

static int write_body(void *x, enum weir_message message, struct weir_slice bytes, bool first)
{
	struct plugin_visit *v = visit(x);
	/* What the guest writes to the response before WEIR_NEXT becomes the beginning of the kept
	 * body. */
	struct spool *to = message == WEIR_REQUEST ? &v->request_new
			   : v->responding         ? &v->response_new
						   : &v->response_kept;

	if (first)
		spool_clear(to);
	if (to->n + bytes.n > plugin_body_limit(v))
		return -EFBIG;
	return spool_add(to, bytes);
}

const struct weir_http plugin_http = {
	.method = get_method,
	.set_method = set_method,
	.target = get_target,
	.set_target = set_target,
	.version = get_version,
	.source = get_source,
	.authority = get_authority,
	.set_authority = set_authority,
	.field_next = field_next,
	.field_set = field_set,
	.field_add = field_add,
	.field_remove = field_remove,
	.status = get_status,
	.set_status = set_status,
	.read_body = read_body,
	.write_body = write_body,
};
