#include "proxy/build.h"

#include <errno.h>
#include <stdlib.h>

#include "core/clock.h"
#include "net/url.h"

/* What has become of a service or middleware: it is made when the first router names it. */
struct outcome {
	bool tried;
	const char *reason; /* why it cannot be used, in the generation's arena; NULL: it can */
};

struct build {
	struct generation *g;
	const struct generation *previous; /* NULL: none */
	struct outcome *middlewares;   /* parallel to the configuration's */
	struct outcome *services;      /* the same */
	struct router_entry **entries; /* per entry point, room for every router */
	size_t *entry_counts;
};

/* Returns `code`: the object is out of use, but for a lack of memory, which ends the build. */
static int keep_reason(struct build *b, struct outcome *o, int code, const struct weir_error *e)
{
	slice copy = arena_copy(&b->g->arena, slice_from(e->text));

	o->tried = true;
	o->reason = copy.p;
	return copy.p != NULL ? code : -ENOMEM;
}

/* The settings of connections to one server: the service's transport, or the static default. */
static struct client_options client_options(const struct build *b,
					    const struct dynamic_servers_transport *t)
{
	const struct static_config *c = b->g->world->config;
	const struct weir_limits_config *limits = &c->weir.limits;
	struct client_options o = {
		.connections_max = (size_t)limits->upstream_connections,
		.dns_ttl_ms = clock_ns_to_ms(limits->dns_cache_ns),
		.continue_timeout_ms = 1000,
		.head = {.head_bytes_max = (size_t)limits->response_head_bytes,
			 .fields_max = (size_t)limits->header_fields},
	};

	if (t == NULL) {
		o.connect_timeout_ms = clock_ns_to_ms(c->servers_transport.dial_timeout_ns);
		o.response_header_timeout_ms =
			clock_ns_to_ms(c->servers_transport.response_header_timeout_ns);
		o.idle_timeout_ms = clock_ns_to_ms(c->servers_transport.idle_timeout_ns);
		o.idle_max = (size_t)MAX(c->servers_transport.max_idle_connections_per_host, 0);
	} else {
		o.connect_timeout_ms = clock_ns_to_ms(t->forwarding_timeouts.dial_ns);
		o.response_header_timeout_ms =
			clock_ns_to_ms(t->forwarding_timeouts.response_header_ns);
		o.idle_timeout_ms = clock_ns_to_ms(t->forwarding_timeouts.idle_conn_ns);
		o.idle_max = (size_t)MAX(t->max_idle_conns_per_host, 0);
	}
	/* 0 is Go's DefaultMaxIdleConnsPerHost, which Traefik passes on. */
	if (o.idle_max == 0)
		o.idle_max = 2;
	return o;
}

static int make_server(struct build *b, struct server *to, const struct dynamic_server *from,
		       const struct client_options *options, struct weir_error *e)
{
	struct url u;
	int r = url_parse(from->url, &u, e);

	if (r < 0) {
		error_prefix(e, "server URL: ");
		if (strstr(e->text, "expected") == NULL)
			error_suffix(e, ", expected http://host[:port]");
		return r;
	}
	if (!slice_equal_nocase(u.scheme, SLICE("http")))
		return error_set(
			e, -ENOTSUP,
			"server URL \"%.*s\": scheme \"%.*s\" is not available yet, expected http",
			SLICE_ARG(from->url), SLICE_ARG(u.scheme));
	to->host = u.authority;
	to->path = from->preserve_path ? u.path : (slice){NULL, 0};
	r = upstream_get(&to->upstream, b->g->world->upstreams, u.host, u.port, options);
	return r < 0 ? error_set(e, r, "out of memory") : 0;
}

static int fill_servers(struct build *b, struct load_balancer *lb,
			const struct dynamic_load_balancer *c, const struct client_options *options,
			struct weir_error *e)
{
	int64_t *weights = ARENA_ARRAY(&b->g->arena, int64_t, c->servers.count);
	int r;

	lb->servers = ARENA_ARRAY(&b->g->arena, struct server, c->servers.count);
	if (weights == NULL || lb->servers == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < c->servers.count; i++) {
		const struct dynamic_server *from = c->servers.items[i];

		lb->count = i + 1;
		weights[i] = from->weight;
		r = make_server(b, &lb->servers[i], from, options, e);
		if (r < 0)
			return r;
	}
	r = balancer_init(&lb->balancer, &b->g->arena, weights, lb->count);
	if (r < 0)
		return error_set(e, r, "servers: no room for %zu", lb->count);
	return 0;
}

/* The transport that a load balancer names: NULL for the default one. */
static int find_transport(const struct build *b, const struct dynamic_load_balancer *d,
			  const struct dynamic_servers_transport **t, struct weir_error *e)
{
	*t = NULL;
	if (d->servers_transport.n == 0)
		return 0;
	*t = dynamic_servers_transport_find(b->g->config, d->servers_transport);
	if (*t == NULL || (*t)->object.disabled.n > 0)
		return error_set(e, -ENOENT, "servers transport not found %.*s",
				 SLICE_ARG(d->servers_transport));
	return 0;
}

static bool counts(const struct build *b, enum series_kind kind)
{
	const struct series_registry *r = b->g->world->series;

	if (r == NULL)
		return false;
	return kind == SERIES_ROUTER ? series_registry_shape(r)->routers
				     : series_registry_shape(r)->services;
}

/* `*made` is the generation's also after an error. */
static int make_service(struct build *b, struct load_balancer **made,
			const struct dynamic_service *c, struct weir_error *e)
{
	const size_t max = (size_t)b->g->world->config->weir.limits.servers_per_service;
	const struct dynamic_load_balancer *d = c->load_balancer;
	const struct dynamic_servers_transport *t;
	struct client_options options;
	struct load_balancer *lb;
	int r;

	if (c->object.disabled.n > 0 || d == NULL)
		return error_set(e, -EINVAL, "%.*s", SLICE_ARG(c->object.disabled));
	if (d->servers.count > max)
		return error_set(
			e, -E2BIG,
			"%zu servers, expected at most %zu (weir.limits.serversPerService)",
			d->servers.count, max);
	r = find_transport(b, d, &t, e);
	if (r < 0)
		return r;
	options = client_options(b, t);
	lb = ARENA_NEW(&b->g->arena, struct load_balancer);
	if (lb == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	*made = lb;
	lb->magic = LOAD_BALANCER_MAGIC;
	lb->service = (struct service){SERVICE_MAGIC, &load_balancer_class, c->object.name};
	lb->pass_host_header = d->pass_host_header;
	if (counts(b, SERIES_SERVICE) &&
	    series_get(&lb->series, b->g->world->series, SERIES_SERVICE, c->object.name,
		       (slice){NULL, 0}) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	return fill_servers(b, lb, d, &options, e);
}

/* The place of a name in a sorted list of named objects, or `count`. */
static size_t find_index(void *const *objects, size_t count, slice name)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct dynamic_object *o = objects[middle];
		int order = slice_compare(o->name, name);

		if (order == 0)
			return middle;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return count;
}

static struct service *find_internal(const struct generation_world *w, slice name)
{
	for (size_t i = 0; i < INTERNAL_SERVICE_COUNT; i++) {
		if (w->internals[i] != NULL && slice_equal(name, w->internals[i]->name))
			return w->internals[i];
	}
	return NULL;
}

/* The service of that name, made on first use. Returns 0 or a negative errno value and why not. */
static int find_service(struct build *b, struct service **service, slice name, struct weir_error *e)
{
	struct generation *g = b->g;
	size_t i = find_index((void *const *)g->config->services, g->service_count, name);
	struct outcome *o = &b->services[i];

	*service = find_internal(g->world, name);
	if (*service != NULL)
		return 0;
	/* Names that no build could know were refused before: this one is name@internal. */
	if (i == g->service_count)
		return error_set(
			e, -ENOENT, "the service \"%.*s\" does not exist: %.*s is not switched on",
			SLICE_ARG(name), SLICE_ARG(slice_first(name, slice_find(name, '@'))));
	if (!o->tried) {
		int r = make_service(b, &g->services[i], g->config->services[i], e);

		if (r == -ENOMEM || (r < 0 && keep_reason(b, o, r, e) == -ENOMEM))
			return -ENOMEM;
		o->tried = true;
	}
	if (o->reason != NULL)
		return error_set(e, -EINVAL, "service \"%.*s\": %s", SLICE_ARG(name), o->reason);
	*service = &g->services[i]->service;
	return 0;
}

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

/* Makes middleware number `i` of what its last good version was made of. Returns 0, -ENOENT if there
 * is none, or -ENOMEM. */
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
	at = find_index((void *const *)p->config->middlewares, p->middleware_count, c->object.name);
	if (at == p->middleware_count || p->middlewares[at] == NULL ||
	    !slice_equal(p->origins[at].values->plugin_alias, c->plugin_alias))
		return -ENOENT;
	r = middleware_create(&g->middlewares[i], p->origins[at].values, &g->world->middlewares,
			      &ignored);
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
	r = middleware_create(&g->middlewares[i], c, &g->world->middlewares, e);
	if (r == 0)
		g->origins[i] = (struct middleware_origin){c, g->config};
	if (r == 0 || r == -ENOMEM)
		return r;
	kept = make_as_before(b, i);
	if (kept == 0)
		tell_kept(b, c, e->text);
	return kept == -ENOENT ? r : kept;
}

/* As find_service. */
static int find_middleware(struct build *b, struct middleware **middleware, slice name,
			   struct weir_error *e)
{
	struct generation *g = b->g;
	size_t i = find_index((void *const *)g->config->middlewares, g->middleware_count, name);
	struct outcome *o = &b->middlewares[i];

	if (i == g->middleware_count)
		return error_set(e, -ENOENT, "middleware \"%.*s\" does not exist", SLICE_ARG(name));
	if (!o->tried) {
		int r = make_middleware(b, i, e);

		if (r == -ENOMEM || (r < 0 && keep_reason(b, o, r, e) == -ENOMEM))
			return -ENOMEM;
		o->tried = true;
	}
	if (o->reason != NULL)
		return error_set(e, -EINVAL, "middleware \"%.*s\": %s", SLICE_ARG(name), o->reason);
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

/* Chains are no middlewares of their own: what they hold stands in their place. */
static int add_middlewares(struct build *b, struct chain *chain, struct option_list names,
			   struct weir_error *e)
{
	for (size_t i = 0; i < names.count; i++) {
		const struct dynamic_chain *inner = find_chain(b, names.items[i]);
		int r = inner != NULL
				? add_middlewares(b, chain, inner->middlewares, e)
				: find_middleware(b, &chain->list[chain->count], names.items[i], e);

		if (r < 0)
			return r;
		chain->count += inner == NULL;
	}
	return 0;
}

/* Names that an entry point gives without a provider are of the router's. */
static int qualify(struct build *b, struct option_list *names, const struct dynamic_router *r)
{
	slice provider = slice_from_at(r->object.name, slice_find(r->object.name, '@'));
	slice *list = ARENA_ARRAY(&b->g->arena, slice, names->count);

	if (list == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < names->count; i++) {
		slice name = names->items[i];

		list[i] = slice_find(name, '@') < name.n
				  ? name
				  : arena_format(&b->g->arena, "%.*s%.*s", SLICE_ARG(name),
						 SLICE_ARG(provider));
		if (list[i].p == NULL)
			return -ENOMEM;
	}
	names->items = list;
	return 0;
}

/* Outermost first: the entry point's, the router's, the service's. */
static int make_chain(struct build *b, struct chain *chain, const struct dynamic_router *r,
		      const struct entry_point *p, struct weir_error *e)
{
	const size_t max = (size_t)b->g->world->config->weir.limits.middlewares_per_router;
	const struct dynamic_service *service = dynamic_service_find(b->g->config, r->service);
	struct option_list outer = p->config->http.middlewares;
	size_t count = 0;
	int result = qualify(b, &outer, r);
	const struct option_list lists[] = {outer, r->middlewares,
					    service != NULL ? service->middlewares
							    : (struct option_list){NULL, 0}};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		count += count_middlewares(b, lists[i], max);
	if (count > max)
		return error_set(e, -E2BIG,
				 "chains come to more than %zu middlewares "
				 "(weir.limits.middlewaresPerRouter)",
				 max);
	chain->list = ARENA_ARRAY(&b->g->arena, struct middleware *, count);
	if (chain->list == NULL || result < 0)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		result = add_middlewares(b, chain, lists[i], e);
		if (result < 0)
			return result;
	}
	result = find_service(b, &chain->service, r->service, e);
	if (result < 0)
		return result;
	chain_finish(chain);
	return 0;
}

static enum rule_syntax syntax_of(slice name)
{
	return slice_equal(name, SLICE("v2")) ? RULE_V2 : RULE_V3;
}

/* One router on one entry point. */
static int add_route(struct build *b, const struct dynamic_router *r, const struct entry_point *p,
		     struct weir_error *e)
{
	struct generation *g = b->g;
	struct route *route = ARENA_NEW(&g->arena, struct route);
	int result;

	if (route == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	*route = (struct route){.generation = g, .entry_point = p, .name = r->object.name};
	result = rule_compile(r->rule, syntax_of(r->rule_syntax), NULL, &route->rule, e);
	if (result < 0) {
		error_suffix(e, "; expected matchers such as Host(`example.com`) and "
				"PathPrefix(`/api`), combined with &&, "
				"|| and !");
		return result;
	}
	g->routes[g->route_count++] = route;
	result = make_chain(b, &route->chain, r, p, e);
	if (result < 0)
		return result;
	route->internal = find_internal(g->world, r->service) != NULL;
	if (counts(b, SERIES_ROUTER) && series_get(&route->series, g->world->series, SERIES_ROUTER,
						   r->object.name, r->service) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	b->entries[p->index][b->entry_counts[p->index]++] = (struct router_entry){
		.rule = route->rule, .priority = r->priority, .target = route};
	return 0;
}

static void tell(const struct build *b, const struct dynamic_router *r, slice entry_point,
		 const char *why)
{
	const struct generation_world *w = b->g->world;
	const struct generation_problem problem = {.kind = "router",
						   .name = r->object.name,
						   .entry_point = entry_point,
						   .place = &r->object.place,
						   .why = why};

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
	tell(b, r, name, text.failed ? "EntryPoint doesn't exist" : text.p);
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

/* Lack of memory and the end of the build are errors here: everything else disables the router. */
static int add_router(struct build *b, const struct dynamic_router *r)
{
	const struct generation_world *w = b->g->world;
	struct option_list names =
		r->entry_points.count > 0 ? r->entry_points : w->config->default_entry_points;

	if (r->object.disabled.n > 0) {
		tell(b, r, (slice){NULL, 0}, r->object.disabled.p);
		return 0;
	}
	for (size_t i = 0; i < names.count; i++) {
		const struct entry_point *p = find_entry_point(w, names.items[i]);
		struct weir_error e = {0};
		int result;

		if (is_repeated(names, i))
			continue;
		if (p == NULL) {
			tell_no_entry_point(b, r, names.items[i]);
			continue;
		}
		result = add_route(b, r, p, &e);
		if (result == -ENOMEM)
			return result;
		/* What failed because of that is nobody's mistake. */
		if (result < 0 && atomic_load(w->cancelled))
			return -ECANCELED;
		if (result < 0)
			tell(b, r, p->name, e.text);
	}
	return 0;
}

/* As in Traefik a router that comes before all others on the service's entry point. */
static int add_internal(struct build *b, enum internal_service which)
{
	struct generation *g = b->g;
	slice entry_point = internal_service_entry_point(which, g->world->config);
	const struct entry_point *p = find_entry_point(g->world, entry_point);
	struct route *route;

	if (p == NULL || g->world->internals[which] == NULL)
		return 0;
	route = ARENA_NEW(&g->arena, struct route);
	if (route == NULL)
		return -ENOMEM;
	*route = (struct route){.generation = g,
				.entry_point = p,
				.name = internal_service_names[which],
				.internal = true};
	route->chain.service = g->world->internals[which];
	chain_finish(&route->chain);
	if (rule_compile(internal_service_rule(which), RULE_V3, NULL, &route->rule, NULL) < 0)
		return -ENOMEM;
	g->routes[g->route_count++] = route;
	b->entries[p->index][b->entry_counts[p->index]++] =
		(struct router_entry){.rule = route->rule, .priority = INT64_MAX, .target = route};
	return 0;
}

static int prepare(struct build *b)
{
	struct generation *g = b->g;
	const struct dynamic_config *c = g->config;
	size_t points = g->world->entry_point_count;

	g->service_count = c->service_count;
	g->middleware_count = c->middleware_count;
	g->services = ARENA_ARRAY(&g->arena, struct load_balancer *, c->service_count);
	g->middlewares = ARENA_ARRAY(&g->arena, struct middleware *, c->middleware_count);
	g->origins = ARENA_ARRAY(&g->arena, struct middleware_origin, c->middleware_count);
	g->kept = ARENA_ARRAY(&g->arena, struct dynamic_config *, c->middleware_count);
	/* Each router at most once on each entry point, and those of internal services. */
	g->routes = ARENA_ARRAY(&g->arena, struct route *,
				c->router_count * points + INTERNAL_SERVICE_COUNT);
	g->routers = ARENA_ARRAY(&g->arena, struct router_set *, points);
	g->shares = ARENA_ARRAY(&g->arena, struct generation_share, g->world->workers);
	b->services = ARENA_ARRAY(&g->arena, struct outcome, c->service_count);
	b->middlewares = ARENA_ARRAY(&g->arena, struct outcome, c->middleware_count);
	b->entries = ARENA_ARRAY(&g->arena, struct router_entry *, points);
	b->entry_counts = ARENA_ARRAY(&g->arena, size_t, points);
	if (g->services == NULL || g->middlewares == NULL || g->origins == NULL ||
	    g->kept == NULL || g->routes == NULL ||
	    g->routers == NULL || g->shares == NULL || b->services == NULL ||
	    b->middlewares == NULL || b->entries == NULL || b->entry_counts == NULL) {
		g->service_count = g->middleware_count = 0;
		g->routers = NULL;
		return -ENOMEM;
	}
	for (size_t i = 0; i < points; i++) {
		b->entries[i] = ARENA_ARRAY(&g->arena, struct router_entry,
					    c->router_count + INTERNAL_SERVICE_COUNT);
		if (b->entries[i] == NULL)
			return -ENOMEM;
	}
	return 0;
}

int build_routers(struct generation *g, const struct generation *previous)
{
	struct build b = {.g = g, .previous = previous};
	int r = prepare(&b);

	for (int i = 0; r == 0 && i < INTERNAL_SERVICE_COUNT; i++)
		r = add_internal(&b, (enum internal_service)i);
	for (size_t i = 0; r == 0 && i < g->config->router_count; i++)
		r = atomic_load(g->world->cancelled) ? -ECANCELED
						     : add_router(&b, g->config->routers[i]);
	for (size_t i = 0; r == 0 && i < g->world->entry_point_count; i++)
		r = router_set_new(b.entries[i], b.entry_counts[i], &g->routers[i], NULL);
	return r;
}
