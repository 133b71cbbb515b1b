#include <errno.h>

#include "http/exchange_private.h"

/* In the exchange's arena: a chain that begins as the one did that it is an alternative to. */
struct exchange_branch {
	struct chain chain;
	void **states;
	size_t at; /* of the middleware behind which the chains differ */
	struct exchange_branch *outer;
	const struct chain *outer_chain; /* the one before */
	void **outer_states;
};

int exchange_mark(struct exchange *x, struct exchange_mark *mark)
{
	int r;

	OBJ_CHECK(x, EXCHANGE_MAGIC);
	*mark = (struct exchange_mark){.request = x->request,
				       .request_body = x->request_body,
				       .forwarded_for_dropped = x->forwarded_for_dropped,
				       .drops_interim = x->drops_interim};
	r = fields_copy(&mark->request.fields, &x->request.fields);
	return r < 0 ? r : fields_copy(&mark->early_fields, &x->early_fields);
}

int exchange_restore(struct exchange *x, const struct exchange_mark *mark)
{
	int r;

	OBJ_CHECK(x, EXCHANGE_MAGIC);
	must(x->phase == EXCHANGE_REQUEST);
	x->request = mark->request;
	x->request_body = mark->request_body;
	x->forwarded_for_dropped = mark->forwarded_for_dropped;
	x->drops_interim = mark->drops_interim;
	r = fields_copy(&x->request.fields, &mark->request.fields);
	return r < 0 ? r : fields_copy(&x->early_fields, &mark->early_fields);
}

int exchange_divert(struct exchange *x, const struct chain *to)
{
	struct exchange_branch *b = ARENA_NEW(&x->arena, struct exchange_branch);
	size_t shared = x->at, count = shared + to->count;
	struct middleware **list = ARENA_ARRAY(&x->arena, struct middleware *, count);
	void **states = ARENA_ARRAY(&x->arena, void *, count);

	OBJ_CHECK(x, EXCHANGE_MAGIC);
	OBJ_CHECK(to, CHAIN_MAGIC);
	must(x->phase == EXCHANGE_RESPONSE);
	if (b == NULL || list == NULL || states == NULL ||
	    exchange_make_states(x, to, states + shared) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		list[i] = i < shared ? x->chain->list[i] : to->list[i - shared];
	for (size_t i = 0; i < shared; i++)
		states[i] = exchange_state(x, i);
	b->chain = (struct chain){.count = count, .list = list, .service = to->service};
	chain_finish(&b->chain);
	b->states = states;
	b->at = shared - 1;
	x->diverted = b;
	return 0;
}

void exchange_switch_branch(struct exchange *x)
{
	struct exchange_branch *b;

	while ((b = x->branch) != NULL && b->at >= x->at) {
		x->chain = b->outer_chain;
		x->states = b->outer_states;
		x->branch = b->outer;
	}
	b = x->diverted;
	if (b != NULL) {
		b->outer = x->branch;
		b->outer_chain = x->chain;
		b->outer_states = x->states;
		x->branch = b;
		x->chain = &b->chain;
		x->states = b->states;
		x->diverted = NULL;
	}
	x->service = x->chain->service;
}
