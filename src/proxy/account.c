#include "proxy/account.h"

#include "core/clock.h"
#include "proxy/generation.h"
#include "proxy/series_labels.h"

void account_begin(struct exchange *x, const struct entry_point *p)
{
	struct account *a;

	if (p->shape == NULL)
		return;
	a = ARENA_NEW(&x->arena, struct account);
	if (a == NULL)
		return;
	a->begun_ns = clock_mono_ns();
	a->shape = p->shape;
	a->key.method = (uint8_t)x->client_method;
	a->key.protocol = (uint8_t)series_protocol_of(&x->request);
	x->account = a;
}

void account_drop(struct exchange *x)
{
	x->account = NULL;
}

/* Of the request as it is now: as the service got it, or as middlewares have left it. */
static slice read_labels(struct exchange *x)
{
	const struct account *a = x->account;

	if (a->shape->header_count == 0)
		return (slice){NULL, 0};
	return series_read_labels(a->shape, &x->request.fields, &x->arena);
}

static void add(struct exchange *x, struct series_group *group, uint16_t code,
		const struct series_request *request, slice labels)
{
	const struct account *a = x->account;
	struct series_key key = a->key;

	key.code = code;
	if (group == NULL)
		return;
	series_add(&group->workers[x->loop->index], a->shape, key, request);
	if (a->shape->header_count > 0)
		series_add_labelled(&group->workers[x->loop->index], a->shape, key, labels);
	if (x->tls)
		series_add_tls(&group->workers[x->loop->index], x->tls_version, x->tls_cipher);
}

void account_end(struct exchange *x, const struct entry_point *p, const struct route *route)
{
	const struct account *a = x->account;
	struct series_request request;
	uint16_t code;
	slice labels;

	if (a == NULL)
		return;
	labels = read_labels(x);
	request = (struct series_request){
		.request_bytes = exchange_request_bytes(x),
		.response_bytes = exchange_response_bytes(x),
		.duration_ns = clock_mono_ns() - a->begun_ns,
	};
	code = series_code_of((enum series_protocol)a->key.protocol, &x->response);
	add(x, p->series, code, &request, labels);
	if (route != NULL)
		add(x, route->series, code, &request, labels);
}

void account_service(struct exchange *x, struct series_group *group, uint16_t code,
		     const struct series_request *request)
{
	if (x->account != NULL)
		add(x, group, code, request, read_labels(x));
}
