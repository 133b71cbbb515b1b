#include <errno.h>

#include "http/exchange.h"
#include "http/sniff.h"
#include "middleware/classes.h"
#include "middleware/make.h"

/* How long a response waits for enough bytes to tell; Go's proxy, too, sends what it has after it.
 */
#define PATIENCE_MS 100

/* The middleware's state in the exchange's arena; zeroed until the response is looked at. */
struct look {
	struct exchange *x;
	struct task again;
	struct timer patience;
	bool over; /* patience is */
};

/* What is packed further inside cannot be looked at any more. */
static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	(void)m;
	(void)state;
	x->guesses_type = true;
	return MW_CONTINUE;
}

static void on_again(struct task *t)
{
	exchange_resume(container_of(t, struct look, again)->x);
}

static void on_bytes(struct body *b, void *consumer)
{
	struct look *l = consumer;

	(void)b;
	loop_defer(l->x->loop, &l->again);
}

static void on_patience(struct timer *t)
{
	struct look *l = container_of(t, struct look, patience);

	l->over = true;
	exchange_resume(l->x);
}

static bool is_wanted(const struct exchange *x)
{
	const struct response *r = &x->response;

	return r->framing != FRAMING_NONE && !status_has_no_body(r->status, x->client_method) &&
	       !fields_have(&r->fields, FIELD_CONTENT_TYPE) &&
	       fields_value_id(&r->fields, FIELD_CONTENT_ENCODING).n == 0;
}

/* The first bytes of a body, wherever they are. */
static slice first_bytes(const struct body *b, char room[SNIFF_BYTES])
{
	struct iovec v[BODY_PIECES];
	int count = body_vectors(b, v, BODY_PIECES, SNIFF_BYTES);
	size_t n = 0;

	if (count == 1)
		return slice_of(v[0].iov_base, v[0].iov_len);
	for (int i = 0; i < count; i++) {
		memcpy(room + n, v[i].iov_base, v[i].iov_len);
		n += v[i].iov_len;
	}
	return slice_of(room, n);
}

static void stop_waiting(struct look *l)
{
	loop_disarm(l->x->loop, &l->patience);
	loop_cancel(l->x->loop, &l->again);
}

static enum middleware_verdict on_response(struct middleware *m, struct exchange *x, void *state)
{
	struct body *b = x->response_body;
	struct look *l = state;
	char room[SNIFF_BYTES];
	slice head;

	(void)m;
	if (l->x == NULL && !is_wanted(x))
		return MW_CONTINUE;
	if (b->bytes < SNIFF_BYTES && b->state == BODY_OPEN && !(l->over && b->bytes > 0)) {
		if (l->x == NULL) {
			l->x = x;
			l->again.run = on_again;
			body_set_consumer(b, on_bytes, l);
		}
		if (b->bytes > 0 && !timer_armed(&l->patience))
			loop_arm(x->loop, &l->patience, PATIENCE_MS, on_patience);
		return MW_PENDING;
	}
	if (l->x != NULL) {
		stop_waiting(l);
		body_set_consumer(b, NULL, NULL);
	}
	head = first_bytes(b, room);
	if (head.n == 0)
		return MW_CONTINUE;
	return fields_add_id(&x->response.fields, FIELD_CONTENT_TYPE, sniff_content_type(head)) == 0
		       ? MW_CONTINUE
		       : MW_FAILED;
}

static void on_end(struct middleware *m, struct exchange *x, void *state)
{
	struct look *l = state;

	(void)m;
	(void)x;
	if (l->x != NULL)
		stop_waiting(l);
}

static const struct middleware_class class = {
	.name = "contentType",
	.state_bytes = sizeof(struct look),
	.on_request = on_request,
	.on_response = on_response,
	.on_end = on_end,
	.detach = middleware_detach_nothing,
	.destroy = middleware_free,
};

/* Deprecated: `autoDetect: false` turns the middleware off. */
static const struct middleware_class class_off = {.name = "contentType",
						  .destroy = middleware_free};

int content_type_create(struct middleware **m, const struct dynamic_middleware *config,
			const struct middleware_world *world, struct weir_error *e)
{
	bool off = config->content_type->auto_detect == OPTION_FALSE;

	(void)world;
	*m = middleware_new(sizeof **m, off ? &class_off : &class, config, e);
	return *m != NULL ? 0 : -ENOMEM;
}
