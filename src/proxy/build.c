#include "proxy/build_private.h"

#include <errno.h>
#include <stdlib.h>

static enum rule_syntax syntax_of(slice name)
{
	return slice_equal(name, SLICE("v2")) ? RULE_V2 : RULE_V3;
}

static void add_entry(struct build *b, struct route *route, bool tls, int64_t priority)
{
	size_t set = 2 * route->entry_point->index + tls;

	b->entries[set][b->entry_counts[set]++] =
		(struct router_entry){.rule = route->rule, .priority = priority, .target = route};
}

static bool is_logged(const struct generation_world *w, const struct dynamic_router *r,
		      const struct route *route)
{
	const struct dynamic_observability *o = r->observability;

	if (route->internal && !w->log_internals)
		return false;
	if (o != NULL && o->access_logs != OPTION_UNSET)
		return o->access_logs == OPTION_TRUE;
	return route->entry_point->config->observability.access_logs;
}

static bool is_counted(const struct dynamic_router *r, const struct route *route)
{
	const struct dynamic_observability *o = r->observability;
	const struct entry_point *p = route->entry_point;

	if (p->shape == NULL || (route->internal && !p->shape->internals))
		return false;
	if (o != NULL && o->metrics != OPTION_UNSET)
		return o->metrics == OPTION_TRUE;
	return p->config->observability.metrics;
}

static int add_route(struct build *b, const struct dynamic_router *r, const struct entry_point *p,
		     struct weir_error *e)
{
	struct generation *g = b->g;
	struct route *route = ARENA_NEW(&g->arena, struct route);
	const struct chain *inner;
	bool tls;
	int result;

	if (route == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	tls = r->tls != NULL;
	*route = (struct route){.generation = g, .entry_point = p, .name = r->object.name};
	result = rule_registry_get(g->world->rules, r->rule, syntax_of(r->rule_syntax),
				   &route->rule, e);
	if (result < 0) {
		b->cause = arena_copy(&g->arena, slice_from(e->text));
		error_suffix(e, "; expected matchers such as Host(`example.com`) and "
				"PathPrefix(`/api`), combined with &&, "
				"|| and !");
		return result;
	}
	g->routes[g->route_count++] = route;
	if (tls && build_tls_route(b, r, route) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	/* The service first, as in Traefik, which shows the first error only. */
	result = build_find_service(b, &inner, r->service, e);
	if (result == 0)
		result = build_chain(b, &route->chain, r->middlewares, inner, e);
	if (result < 0)
		return result;
	route->internal = build_find_internal(g->world, r->service) != NULL;
	route->logged = is_logged(g->world, r, route);
	route->counted = is_counted(r, route);
	if (route->counted && build_counts(b, SERIES_ROUTER) &&
	    series_get(&route->series, g->world->series, SERIES_ROUTER, r->object.name,
		       r->service) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	add_entry(b, route, tls, r->priority);
	return 0;
}

void build_tell_router(const struct build *b, const struct dynamic_router *r, slice entry_point,
		       const char *why, const char *effect)
{
	const struct generation_world *w = b->g->world;
	const struct generation_problem problem = {.kind = "router",
						   .name = r->object.name,
						   .entry_point = entry_point,
						   .place = &r->object.place,
						   .why = why,
						   .effect = effect};

	w->problem(w->problem_context, &problem);
}

void build_tell_options(const struct build *b, const struct dynamic_object *o, const char *why)
{
	const struct generation_world *w = b->g->world;
	const struct generation_problem problem = {.kind = "TLS options",
						   .name = o->name,
						   .place = &o->place,
						   .why = why,
						   .effect = "TLS options cannot be used"};

	w->problem(w->problem_context, &problem);
}

/* In Traefik's words, and with the names that there are. */
static void tell_no_entry_point(const struct build *b, const struct dynamic_router *r, slice name)
{
	const struct generation_world *w = b->g->world;
	struct str text = {0};

	str_add(&text, SLICE("EntryPoint doesn't exist, expected one of"));
	for (size_t i = 0; i < w->entry_point_count; i++)
		str_format(&text, "%s %.*s", i > 0 ? "," : "", SLICE_ARG(w->entry_points[i].name));
	build_tell_router(b, r, name, text.failed ? "EntryPoint doesn't exist" : text.p, NULL);
	str_free(&text);
}

static const struct entry_point *find_entry_point(const struct generation_world *w, slice name)
{
	for (size_t i = 0; i < w->entry_point_count; i++) {
		if (slice_equal(w->entry_points[i].name, name))
			return &w->entry_points[i];
	}
	return NULL;
}

static bool is_repeated(struct option_list names, size_t at)
{
	for (size_t i = 0; i < at; i++) {
		if (slice_equal(names.items[i], names.items[at]))
			return true;
	}
	return false;
}

/* Notes on the router's entry points; returns how many there are. */
static size_t note_entry_points(struct build *b, const struct dynamic_router *r,
				struct view_state *state)
{
	struct view *v = b->g->view;
	size_t count = 0;

	for (size_t i = 0; i < r->entry_points.count; i++) {
		slice name = r->entry_points.items[i];
		struct str text = {0};

		if (find_entry_point(b->g->world, name) != NULL) {
			count++;
			continue;
		}
		str_format(&text, "entryPoint \"%.*s\" doesn't exist", SLICE_ARG(name));
		view_add(v, state, str_slice(&text), false);
		str_free(&text);
		if (!is_repeated(r->entry_points, i))
			tell_no_entry_point(b, r, name);
	}
	if (count == 0)
		view_add(v, state, SLICE("no valid entryPoint for this router"), true);
	return count;
}

static void note_disabled(struct build *b, const struct dynamic_object *o, struct view_state *state)
{
	if (o->disabled.n > 0)
		view_add(b->g->view, state, o->cause.n > 0 ? o->cause : o->disabled, true);
}

/* Lack of memory and the end of the build are errors here: everything else disables the router. */
static int add_routes(struct build *b, const struct dynamic_router *r, struct view_state *state)
{
	const struct generation_world *w = b->g->world;

	for (size_t i = 0; i < r->entry_points.count; i++) {
		const struct entry_point *p = find_entry_point(w, r->entry_points.items[i]);
		struct weir_error e = {0};
		int result;

		if (p == NULL || is_repeated(r->entry_points, i))
			continue;
		b->cause = (slice){NULL, 0};
		result = add_route(b, r, p, &e);
		if (result == -ENOMEM)
			return result;
		/* What failed because of that is nobody's mistake. */
		if (result < 0 && atomic_load(w->cancelled))
			return -ECANCELED;
		if (result < 0) {
			build_tell_router(b, r, p->name, e.text, NULL);
			view_add(b->g->view, state, b->cause.n > 0 ? b->cause : slice_from(e.text),
				 true);
		}
	}
	return 0;
}

static int add_router(struct build *b, size_t i)
{
	const struct dynamic_router *r = b->g->config->routers[i];
	struct view_state *state = &b->g->view->routers[i];

	b->router = state;
	if (r->service.n == 0)
		note_disabled(b, &r->object, state);
	if (note_entry_points(b, r, state) == 0)
		return 0;
	if (r->object.disabled.n == 0)
		return add_routes(b, r, state);
	build_tell_router(b, r, (slice){NULL, 0}, r->object.disabled.p, NULL);
	note_disabled(b, &r->object, state);
	if (r->service.n == 0)
		view_add(b->g->view, state,
			 SLICE("router must have either a service or child routers"), true);
	return 0;
}

/* So that a worker need not look at all of them. */
static void collect_prepared(struct generation *g)
{
	for (size_t i = 0; i < g->middleware_count; i++) {
		struct middleware *m = g->middlewares[i];

		if (m != NULL && m->class->prepare != NULL)
			g->prepared[g->prepared_count++] = m;
	}
}

/* What came of services and middlewares. */
static void note_others(struct build *b)
{
	struct view *v = b->g->view;

	for (size_t i = 0; i < b->g->service_count; i++) {
		const struct outcome *o = &b->services[i];

		note_disabled(b, &b->g->config->services[i]->object, &v->services[i]);
		if (o->reason != NULL)
			view_add(v, &v->services[i], o->cause, true);
		v->services[i].made = o->chain.service != NULL;
	}
	for (size_t i = 0; i < b->g->middleware_count; i++) {
		note_disabled(b, &b->g->config->middlewares[i]->object, &v->middlewares[i]);
		if (b->middlewares[i].reason != NULL)
			view_add(v, &v->middlewares[i], b->middlewares[i].cause, true);
	}
}

static int prepare(struct build *b)
{
	struct generation *g = b->g;
	const struct dynamic_config *c = g->config;
	size_t points = g->world->entry_point_count;

	g->service_count = c->service_count;
	g->middleware_count = c->middleware_count;
	g->services = ARENA_ARRAY(&g->arena, struct load_balancer *, c->service_count);
	g->connectors =
		ARENA_ARRAY(&g->arena, struct tls_connector *, c->servers_transport_count + 1);
	g->middlewares = ARENA_ARRAY(&g->arena, struct middleware *, c->middleware_count);
	g->origins = ARENA_ARRAY(&g->arena, struct middleware_origin, c->middleware_count);
	g->kept = ARENA_ARRAY(&g->arena, struct dynamic_config *, c->middleware_count);
	g->prepared = ARENA_ARRAY(&g->arena, struct middleware *, c->middleware_count);
	/* Each router at most once on each entry point. */
	g->routes = ARENA_ARRAY(&g->arena, struct route *, c->router_count * points);
	g->routers = ARENA_ARRAY(&g->arena, struct router_set *, 2 * points);
	g->shares = ARENA_ARRAY(&g->arena, struct generation_share, g->world->workers);
	b->services = ARENA_ARRAY(&g->arena, struct outcome, c->service_count);
	b->middlewares = ARENA_ARRAY(&g->arena, struct outcome, c->middleware_count);
	b->entries = ARENA_ARRAY(&g->arena, struct router_entry *, 2 * points);
	b->entry_counts = ARENA_ARRAY(&g->arena, size_t, 2 * points);
	if (g->services == NULL || g->connectors == NULL || g->middlewares == NULL ||
	    g->origins == NULL || g->kept == NULL || g->prepared == NULL || g->routes == NULL ||
	    g->routers == NULL || g->shares == NULL || b->services == NULL ||
	    b->middlewares == NULL || b->entries == NULL || b->entry_counts == NULL) {
		g->service_count = g->middleware_count = 0;
		g->routers = NULL;
		return -ENOMEM;
	}
	for (size_t i = 0; i < 2 * points; i++) {
		b->entries[i] = ARENA_ARRAY(&g->arena, struct router_entry, c->router_count);
		if (b->entries[i] == NULL)
			return -ENOMEM;
	}
	return 0;
}

/* Place in `providers.precedence`; those that it does not name come last. */
static size_t rank_of(const struct dynamic_router *r, const struct option_list *precedence)
{
	size_t rank = 0;

	while (rank < precedence->count &&
	       !slice_equal_nocase(r->object.provider, precedence->items[rank]))
		rank++;
	return rank;
}

/* Among routers of equal priority those that come first win. */
static int add_routers(struct build *b)
{
	const struct dynamic_config *c = b->g->config;
	const struct option_list *precedence = &b->g->world->config->providers.precedence;
	size_t *ranks = ARENA_ARRAY(&b->g->arena, size_t, c->router_count);
	int r = ranks != NULL ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < c->router_count; i++)
		ranks[i] = rank_of(c->routers[i], precedence);
	for (size_t rank = 0; r == 0 && rank <= precedence->count; rank++) {
		for (size_t i = 0; r == 0 && i < c->router_count; i++) {
			if (ranks[i] != rank)
				continue;
			r = atomic_load(b->g->world->cancelled) ? -ECANCELED : add_router(b, i);
		}
	}
	return r;
}

/* Takes those out that contradict each other. */
static void drop_conflicting(struct build *b, size_t set)
{
	size_t kept = 0;

	for (size_t i = 0; i < b->entry_counts[set]; i++) {
		const struct route *route = b->entries[set][i].target;

		if (!route->conflicting)
			b->entries[set][kept++] = b->entries[set][i];
	}
	b->entry_counts[set] = kept;
}

int build_routers(struct generation *g, const struct generation *previous)
{
	struct build b = {.g = g, .previous = previous};
	int r = prepare(&b);

	if (r == 0)
		r = build_tls_begin(&b);
	if (r == 0)
		r = add_routers(&b);
	if (r == 0)
		r = build_tls_settle(&b);
	for (size_t i = 0; r == 0 && i < 2 * g->world->entry_point_count; i++) {
		drop_conflicting(&b, i);
		r = router_set_new(b.entries[i], b.entry_counts[i], &g->routers[i], NULL);
	}
	if (r == 0)
		r = build_tls_finish(&b);
	build_tls_free(&b);
	if (r == 0) {
		collect_prepared(g);
		note_others(&b);
		r = g->view->failed ? -ENOMEM : 0;
	}
	return r;
}
