#include "proxy/build_private.h"

#include <errno.h>

static void tell_kept(const struct build *b, const struct dynamic_middleware *c, const char *why)
{
	const struct generation_world *w = b->g->world;
	const struct generation_problem problem = {.kind = "middleware",
						   .name = c->object.name,
						   .place = &c->object.place,
						   .why = why,
						   .kept = true};

	w->problem(w->problem_context, &problem);
}

static int find_service(void *services, const struct chain **chain, slice name,
			struct weir_error *e)
{
	return build_find_service(services, chain, name, e);
}

/* Middleware number `i` of these values. */
static int create(struct build *b, size_t i, const struct dynamic_middleware *values,
		  struct weir_error *e)
{
	struct middleware_world world = b->g->world->middlewares;
	const struct client_options client = build_client_options(b, NULL);

	world.limits = &b->g->world->config->weir.limits;
	world.upstreams = b->g->world->upstreams;
	world.client = &client;
	world.find_service = find_service;
	world.services = b;
	return middleware_create(&b->g->middlewares[i], values, &world, e);
}

/* Makes middleware number `i` of what its last good version was made of. Returns 0, -ENOENT if
 * there is none, or -ENOMEM. */
static int make_as_before(struct build *b, size_t i)
{
	struct generation *g = b->g;
	const struct generation *p = b->previous;
	const struct dynamic_middleware *c = g->config->middlewares[i];
	struct weir_error ignored = {0};
	size_t at;
	int r;

	if (p == NULL || c->plugin_alias.n == 0)
		return -ENOENT;
	at = build_find_index((void *const *)p->config->middlewares, p->middleware_count,
			      c->object.name);
	if (at == p->middleware_count || p->middlewares[at] == NULL ||
	    !slice_equal(p->origins[at].values->plugin_alias, c->plugin_alias))
		return -ENOENT;
	r = create(b, i, p->origins[at].values, &ignored);
	if (r < 0)
		return r == -ENOMEM ? r : -ENOENT;
	g->origins[i] = p->origins[at];
	g->kept[g->kept_count++] = dynamic_ref(p->origins[at].config);
	return 0;
}

static int make_middleware(struct build *b, size_t i, struct weir_error *e)
{
	struct generation *g = b->g;
	const struct dynamic_middleware *c = g->config->middlewares[i];
	int r, kept;

	if (c->object.disabled.n > 0)
		return error_set(e, -EINVAL, "%.*s", SLICE_ARG(c->object.disabled));
	r = create(b, i, c, e);
	if (r == 0)
		g->origins[i] = (struct middleware_origin){c, g->config};
	if (r == 0 || r == -ENOMEM)
		return r;
	kept = make_as_before(b, i);
	if (kept == 0) {
		tell_kept(b, c, e->text);
		view_add(g->view, &g->view->middlewares[i], slice_from(e->text), false);
	}
	return kept == -ENOENT ? r : kept;
}

static int try_middleware(struct build *b, size_t i, struct weir_error *e)
{
	slice name = b->g->config->middlewares[i]->object.name;
	struct build_step step;
	int r = build_enter(b, &step, "middleware", name, e);

	if (r < 0)
		return r;
	r = make_middleware(b, i, e);
	build_leave(b);
	return r;
}

/* Made on first use. Returns 0 or a negative errno value and why not. */
static int find_middleware(struct build *b, struct middleware **middleware, slice name,
			   struct weir_error *e)
{
	struct generation *g = b->g;
	size_t i =
		build_find_index((void *const *)g->config->middlewares, g->middleware_count, name);
	struct outcome *o = &b->middlewares[i];

	if (i == g->middleware_count)
		return error_set(e, -ENOENT, "middleware \"%.*s\" does not exist", SLICE_ARG(name));
	if (!o->tried) {
		int r;

		b->cause = (slice){NULL, 0};
		r = try_middleware(b, i, e);
		if (r == -ENOMEM || (r < 0 && build_keep_reason(b, o, r, e) == -ENOMEM))
			return -ENOMEM;
		o->tried = true;
	}
	b->cause = o->cause;
	if (o->reason != NULL)
		return build_tell_reason(o, "middleware", name, e);
	*middleware = g->middlewares[i];
	return 0;
}

/* The chain of that name that can be used, or NULL. */
static const struct dynamic_chain *find_chain(const struct build *b, slice name)
{
	const struct dynamic_middleware *m = dynamic_middleware_find(b->g->config, name);

	return m != NULL && m->object.disabled.n == 0 ? m->chain : NULL;
}

/* How many middlewares the names come to, chains and what they hold included; stops past `max`. */
static size_t count_middlewares(const struct build *b, struct option_list names, size_t max)
{
	size_t count = 0;

	for (size_t i = 0; i < names.count && count <= max; i++) {
		const struct dynamic_chain *inner = find_chain(b, names.items[i]);

		count++;
		if (inner != NULL && count <= max)
			count += count_middlewares(b, inner->middlewares, max - count);
	}
	return count;
}

static int add_middlewares(struct build *b, struct chain *chain, struct option_list names,
			   struct weir_error *e);

/* Chains are no middlewares of their own: what they hold stands in their place. */
static int add_inner(struct build *b, struct chain *chain, slice name,
		     const struct dynamic_chain *inner, struct weir_error *e)
{
	size_t i = build_find_index((void *const *)b->g->config->middlewares,
				    b->g->middleware_count, name);
	struct build_step step;
	int r = build_enter(b, &step, "middleware", name, e);

	if (r == 0) {
		r = add_middlewares(b, chain, inner->middlewares, e);
		build_leave(b);
	}
	if (r < 0 && r != -ENOMEM)
		r = build_keep_reason(b, &b->middlewares[i], r, e);
	return r;
}

static int add_middlewares(struct build *b, struct chain *chain, struct option_list names,
			   struct weir_error *e)
{
	for (size_t i = 0; i < names.count; i++) {
		const struct dynamic_chain *inner = find_chain(b, names.items[i]);
		int r = inner != NULL
				? add_inner(b, chain, names.items[i], inner, e)
				: find_middleware(b, &chain->list[chain->count], names.items[i], e);

		if (r < 0)
			return r;
		chain->count += inner == NULL;
	}
	return 0;
}

int build_chain(struct build *b, struct chain *chain, struct option_list names,
		const struct chain *inner, struct weir_error *e)
{
	const size_t max = (size_t)b->g->world->config->weir.limits.middlewares_per_router;
	size_t count = count_middlewares(b, names, max) + inner->count;
	int r;

	if (count > max)
		return error_set(e, -E2BIG,
				 "chains come to more than %zu middlewares "
				 "(weir.limits.middlewaresPerRouter)",
				 max);
	*chain = (struct chain){.list = ARENA_ARRAY(&b->g->arena, struct middleware *, count),
				.service = inner->service};
	if (chain->list == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	r = add_middlewares(b, chain, names, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < inner->count; i++)
		chain->list[chain->count++] = inner->list[i];
	chain_finish(chain);
	return 0;
}
