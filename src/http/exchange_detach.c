#include <errno.h>

#include "http/exchange_private.h"

int middleware_detach_nothing(struct middleware *m, struct exchange *x, void *state)
{
	(void)m;
	(void)x;
	(void)state;
	return 0;
}

static bool has_late_hooks(const struct middleware_class *class)
{
	return class->on_sent != NULL || class->on_end != NULL;
}

static bool can_detach(const struct exchange *x)
{
	const struct chain *c = x->chain;

	for (size_t i = 0; i < x->entered; i++) {
		if (has_late_hooks(c->list[i]->class) && c->list[i]->class->detach == NULL)
			return false;
	}
	return !x->service_active || x->service->class->detach != NULL;
}

/* What tells how large the states are and which hooks come: the classes. Names are for logs. */
static struct middleware *stand_in(struct arena *a, const struct middleware *m)
{
	struct middleware *copy = ARENA_NEW(a, struct middleware);

	if (copy == NULL)
		return NULL;
	*copy = (struct middleware){m->magic, m->class, arena_copy(a, m->name)};
	return copy->name.p != NULL ? copy : NULL;
}

struct service *exchange_stand_in(struct exchange *x)
{
	const struct service *from = x->service;
	struct service *s = ARENA_NEW(&x->arena, struct service);

	if (s == NULL)
		return NULL;
	*s = (struct service){from->magic, from->class, arena_copy(&x->arena, from->name)};
	return s->name.p != NULL ? s : NULL;
}

static struct chain *copy_chain(struct exchange *x)
{
	struct arena *a = &x->arena;
	const struct chain *c = x->chain;
	struct chain *copy = ARENA_NEW(a, struct chain);
	struct service *s = exchange_stand_in(x);

	if (copy == NULL || s == NULL)
		return NULL;
	*copy = *c;
	copy->service = s;
	copy->list = ARENA_ARRAY(a, struct middleware *, c->count);
	if (copy->list == NULL)
		return NULL;
	for (size_t i = 0; i < c->count; i++) {
		copy->list[i] = stand_in(a, c->list[i]);
		if (copy->list[i] == NULL)
			return NULL;
	}
	return copy;
}

static int own(struct arena *a, slice *s)
{
	slice copy = s->p != NULL ? arena_copy(a, *s) : *s;

	if (s->p != NULL && copy.p == NULL)
		return -ENOMEM;
	*s = copy;
	return 0;
}

/* Middlewares put what lies in their configuration into heads without copying it. */
int exchange_own_heads(struct exchange *x)
{
	struct request *q = &x->request;
	slice *const slices[] = {&q->method,    &q->target,          &q->path, &q->query,
				 &q->authority, &x->response.reason, &x->user};
	struct fields *const sections[] = {&q->fields, &x->request_trailers, &x->early_fields,
					   &x->response.fields, &x->response_trailers};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(slices); i++)
		r = own(&x->arena, slices[i]);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(sections); i++)
		r = fields_own(sections[i]);
	return r;
}

static int tell_chain(struct exchange *x)
{
	const struct chain *c = x->chain;
	int r = 0;

	for (size_t i = 0; r == 0 && i < x->entered; i++) {
		struct middleware *m = c->list[i];

		if (m->class->detach != NULL)
			r = m->class->detach(m, x, exchange_state(x, i));
	}
	if (r == 0 && x->service_active)
		r = x->service->class->detach(x->service, x);
	return r;
}

int exchange_detach(struct exchange *x)
{
	struct chain *chain;
	int r;

	OBJ_CHECK(x, EXCHANGE_MAGIC);
	must(!x->walking && !x->detached);
	if (x->phase != EXCHANGE_SENDING)
		return -EAGAIN;
	if (!can_detach(x))
		return -EBUSY;
	chain = copy_chain(x);
	r = chain != NULL ? exchange_own_heads(x) : -ENOMEM;
	if (r == 0)
		r = tell_chain(x);
	if (r < 0)
		return r;
	x->chain = chain;
	x->service = chain->service;
	x->detached = true;
	counter_add(&x->pool->counters.detached, 1);
	return 0;
}

void exchange_expire(struct exchange *x)
{
	bool first = x->expired_turn == 0;

	OBJ_CHECK(x, EXCHANGE_MAGIC);
	must(!x->walking && x->phase < EXCHANGE_CLOSING);
	x->expired_turn = MAX(x->loop->turn, (uint64_t)1);
	if (first)
		counter_add(&x->pool->counters.expired, 1);
	if (!first || x->phase != EXCHANGE_SERVICE) {
		x->client->drop(x);
		return;
	}
	exchange_answer(x, 503, slice_from(status_text(503)), false);
	exchange_respond(x);
}
