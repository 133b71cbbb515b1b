#include <errno.h>

#include "http/exchange_private.h"

bool exchange_may_tunnel(const struct exchange *x)
{
	OBJ_CHECK(x, EXCHANGE_MAGIC);
	return x->service_active && x->response.status == 101 && x->service->class->tunnel != NULL;
}

static struct tunnel *new_tunnel(struct exchange *x)
{
	struct tunnel *t = ARENA_NEW(&x->arena, struct tunnel);

	if (t == NULL)
		return NULL;
	body_init(&t->up, x->pool->limits.body_queue_bytes);
	body_init(&t->down, x->pool->limits.body_queue_bytes);
	counter_add(&x->pool->counters.tunnels, 1);
	counter_add(&x->pool->counters.tunnels_live, 1);
	return t;
}

int exchange_open_tunnel(struct exchange *x)
{
	OBJ_CHECK(x, EXCHANGE_MAGIC);
	must(exchange_may_tunnel(x) && x->phase == EXCHANGE_SENDING && !x->detached);
	x->tunnel = new_tunnel(x);
	if (x->tunnel == NULL)
		return -ENOMEM;
	x->service->class->tunnel(x, x->tunnel);
	x->phase = EXCHANGE_TUNNEL;
	/* Stages of the middlewares end with them. */
	x->request_body = &x->own_request_body;
	x->response_body = &x->own_response_body;
	x->at = x->entered;
	exchange_finish(x);
	return 0;
}

void exchange_leave_chain(struct exchange *x)
{
	struct service *s = x->service, *stand_in;

	must(x->phase == EXCHANGE_TUNNEL && x->entered == 0 && !x->detached);
	/* An active service that cannot do without its generation holds it. */
	if (x->service_active && (s->class->detach == NULL || s->class->detach(s, x) < 0))
		return;
	stand_in = exchange_stand_in(x);
	if (stand_in == NULL || exchange_own_heads(x) < 0)
		return;
	x->chain = NULL;
	x->service = stand_in;
	x->detached = true;
	if (x->on_tunnel != NULL)
		x->on_tunnel(x);
}

void exchange_at_end(struct exchange *x, struct exchange_ending *e,
		     void (*run)(struct exchange_ending *))
{
	OBJ_CHECK(x, EXCHANGE_MAGIC);
	e->run = run;
	e->next = x->endings;
	x->endings = e;
}

uint64_t exchange_request_bytes(const struct exchange *x)
{
	return x->own_request_body.taken_bytes +
	       (x->tunnel != NULL ? x->tunnel->up.taken_bytes : 0);
}

uint64_t exchange_response_bytes(const struct exchange *x)
{
	return x->response_body->taken_bytes +
	       (x->tunnel != NULL ? x->tunnel->down.taken_bytes : 0);
}

void exchange_cut_tunnel(struct exchange *x)
{
	if (x->tunnel == NULL)
		return;
	body_set_producer(&x->tunnel->up, NULL, NULL);
	body_set_consumer(&x->tunnel->down, NULL, NULL);
}

void exchange_free_tunnel(struct exchange *x)
{
	struct exchange_counters *c = &x->pool->counters;

	if (x->tunnel == NULL)
		return;
	counter_sub(&c->tunnels_live, 1);
	counter_add(&c->body_stalls, x->tunnel->up.stalls + x->tunnel->down.stalls);
	body_free(&x->tunnel->up);
	body_free(&x->tunnel->down);
}
