#include "proxy/build_private.h"

#include <errno.h>

#include "core/clock.h"
#include "http/h2_session.h"
#include "net/url.h"

int build_keep_reason(struct build *b, struct outcome *o, int code, const struct weir_error *e)
{
	slice copy = arena_copy(&b->g->arena, slice_from(e->text));

	o->tried = true;
	o->reason = copy.p;
	o->deeper = b->cause.n > 0;
	o->cause = o->deeper ? b->cause : copy;
	return copy.p != NULL ? code : -ENOMEM;
}

int build_tell_reason(const struct outcome *o, const char *kind, slice name, struct weir_error *e)
{
	if (o->deeper)
		return error_set(e, -EINVAL, "%s", o->reason);
	return error_set(e, -EINVAL, "%s \"%.*s\": %s", kind, SLICE_ARG(name), o->reason);
}

/* In Traefik's words. */
static int tell_loop(const struct build *b, const char *kind, slice name, struct weir_error *e)
{
	const struct build_step *way[BUILD_DEPTH_MAX];
	struct str text = {0};
	size_t count = 0;

	for (const struct build_step *s = b->step; s != NULL; s = s->outer)
		way[count++] = s;
	while (count-- > 0)
		str_format(&text, "%s:%.*s->", way[count]->kind, SLICE_ARG(way[count]->name));
	error_set(e, -ELOOP, "could not instantiate %s %.*s: recursion detected in %.*s%s:%.*s",
		  kind, SLICE_ARG(name), SLICE_ARG(str_slice(&text)), kind, SLICE_ARG(name));
	str_free(&text);
	return -ELOOP;
}

int build_enter(struct build *b, struct build_step *step, const char *kind, slice name,
		struct weir_error *e)
{
	for (const struct build_step *s = b->step; s != NULL; s = s->outer) {
		if (strcmp(s->kind, kind) == 0 && slice_equal(s->name, name))
			return tell_loop(b, kind, name, e);
	}
	*step = (struct build_step){b->step, kind, name, b->step != NULL ? b->step->depth + 1 : 1};
	if (step->depth > BUILD_DEPTH_MAX)
		return error_set(e, -ELOOP,
				 "could not instantiate %s %.*s: services and middlewares are "
				 "nested too deep, expected at most %d",
				 kind, SLICE_ARG(name), BUILD_DEPTH_MAX);
	b->step = step;
	return 0;
}

void build_leave(struct build *b)
{
	b->step = b->step->outer;
}

struct client_options build_client_options(const struct build *b,
					   const struct dynamic_servers_transport *t)
{
	const struct static_config *c = b->g->world->config;
	const struct weir_limits_config *limits = &c->weir.limits;
	struct client_options o = {
		.connections_max = (size_t)limits->upstream_connections,
		.keep_alive_s = clock_ns_to_s(limits->tcp_keep_alive_ns),
		.dns_ttl_ms = clock_ns_to_ms(limits->dns_cache_ns),
		.continue_timeout_ms = 1000,
		.hold_max_ms = clock_ns_to_ms(limits->upstream_hold_ns),
		.handshake_timeout_ms = clock_ns_to_ms(limits->upstream_handshake_ns),
		.head = {.head_bytes_max = (size_t)limits->response_head_bytes,
			 .fields_max = (size_t)limits->header_fields},
		.offer_h2 = t == NULL || !t->disable_http2,
		.window_bytes = (uint32_t)MIN(limits->body_queue_bytes, H2_WINDOW_MAX),
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
		o.read_idle_timeout_ms = clock_ns_to_ms(t->forwarding_timeouts.read_idle_ns);
		o.ping_timeout_ms = clock_ns_to_ms(t->forwarding_timeouts.ping_ns);
		o.idle_max = (size_t)MAX(t->max_idle_conns_per_host, 0);
	}
	/* 0 is Go's DefaultMaxIdleConnsPerHost, which Traefik passes on. */
	if (o.idle_max == 0)
		o.idle_max = 2;
	return o;
}

/* As logs may show it, in the generation's arena; `p` is NULL when memory is short. */
static slice shown_url(struct build *b, slice url)
{
	struct str text = {0};
	slice shown;

	url_add_hidden(&text, url);
	shown = arena_copy(&b->g->arena, str_slice(&text));
	if (text.failed)
		shown = (slice){NULL, 0};
	str_free(&text);
	return shown;
}

/* weir's own: `unix:///run/app.sock`, and `unix+h2c:` for HTTP/2. Returns whether it is one. */
static bool parse_unix(slice text, slice *path, bool *h2)
{
	static const slice plain = {"unix://", 7}, with_h2 = {"unix+h2c://", 11};

	*h2 = slice_starts(text, with_h2);
	if (!*h2 && !slice_starts(text, plain))
		return false;
	*path = slice_from_at(text, *h2 ? with_h2.n : plain.n);
	return true;
}

static int make_unix_server(struct build *b, struct server *to, slice text, slice path,
			    struct client_options *options, struct weir_error *e)
{
	int r;

	if (path.n == 0 || path.p[0] != '/' || path.n > ADDRESS_PATH_MAX)
		return error_set(e, -EINVAL,
				 "server URL: found %.*s, expected unix:///path of a socket, of at "
				 "most %u bytes",
				 SLICE_ARG(text), ADDRESS_PATH_MAX);
	to->host = SLICE("localhost");
	to->url = text;
	r = upstream_get(&to->upstream, b->g->world->upstreams, path, 0, options);
	return r < 0 ? error_set(e, r, "out of memory") : 0;
}

/* A server that cannot be reached is one all the same: it has its turns, as in Traefik. */
static void tell_server(const struct build *b, const struct dynamic_object *service,
			const char *why)
{
	const struct generation_world *w = b->g->world;
	const struct generation_problem problem = {.kind = "service",
						   .name = service->name,
						   .place = &service->place,
						   .why = why,
						   .effect = "Server cannot be reached"};

	w->problem(w->problem_context, &problem);
}

static int make_server(struct build *b, struct server *to, const struct dynamic_server *from,
		       const struct dynamic_service *of, const struct dynamic_servers_transport *t,
		       struct weir_error *e)
{
	struct client_options options = build_client_options(b, t);
	struct url u;
	slice path;
	int r;

	if (parse_unix(from->url, &path, &options.h2))
		return make_unix_server(b, to, from->url, path, &options, e);
	r = url_parse(from->url, &u, e);
	if (r < 0) {
		error_prefix(e, "server URL: ");
		if (strstr(e->text, "expected") == NULL)
			error_suffix(e, ", expected http://host[:port]");
		if (r != -ERANGE)
			return r;
		tell_server(b, &of->object, e->text);
		r = 0;
	}
	options.h2 = slice_equal_nocase(u.scheme, SLICE("h2c"));
	if (slice_equal_nocase(u.scheme, SLICE("https")))
		r = build_connector(b, t, &options.tls, e);
	else if (!options.h2 && !slice_equal_nocase(u.scheme, SLICE("http")))
		return error_set(e, -ENOTSUP,
				 "server URL \"%.*s\": found scheme \"%.*s\", expected http, "
				 "https, h2c or unix",
				 SLICE_ARG(shown_url(b, from->url)), SLICE_ARG(u.scheme));
	if (r < 0)
		return r;
	to->host = u.authority;
	to->url = shown_url(b, from->url);
	to->path = from->preserve_path ? u.path : (slice){NULL, 0};
	r = to->url.p == NULL
		    ? -ENOMEM
		    : upstream_get(&to->upstream, b->g->world->upstreams, u.host, u.port, &options);
	return r < 0 ? error_set(e, r, "out of memory") : 0;
}

/* Takes turns where other load balancers with the same servers and weights are, which are found by
 * the addresses of the endpoints. */
static int share_turn(struct build *b, struct load_balancer *lb, const int64_t *weights)
{
	struct turn_registry *r = b->g->world->turns;
	uint64_t *key;
	int result;

	if (r == NULL || lb->balancer.length < 2)
		return 0;
	key = ARENA_ARRAY(&b->g->arena, uint64_t, 2 * lb->count);
	if (key == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < lb->count; i++) {
		key[2 * i] = (uintptr_t)lb->servers[i].upstream;
		key[2 * i + 1] = (uint64_t)weights[i];
	}
	result = turn_registry_get(r, slice_of((const char *)key, 2 * lb->count * sizeof *key),
				   &lb->turn);
	if (result == 0)
		lb->balancer.next = &lb->turn->next;
	return result;
}

static int fill_servers(struct build *b, struct load_balancer *lb, const struct dynamic_service *of,
			const struct dynamic_servers_transport *t, struct weir_error *e)
{
	const struct dynamic_load_balancer *c = of->load_balancer;
	int64_t *weights = ARENA_ARRAY(&b->g->arena, int64_t, c->servers.count);
	int r;

	lb->servers = ARENA_ARRAY(&b->g->arena, struct server, c->servers.count);
	if (weights == NULL || lb->servers == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < c->servers.count; i++) {
		const struct dynamic_server *from = c->servers.items[i];

		lb->count = i + 1;
		weights[i] = from->weight;
		r = make_server(b, &lb->servers[i], from, of, t, e);
		if (r < 0)
			return r;
	}
	r = balancer_init(&lb->balancer, &b->g->arena, weights, lb->count);
	if (r == 0)
		r = share_turn(b, lb, weights);
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

bool build_counts(const struct build *b, enum series_kind kind)
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
	lb = ARENA_NEW(&b->g->arena, struct load_balancer);
	if (lb == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	*made = lb;
	lb->magic = LOAD_BALANCER_MAGIC;
	lb->service = (struct service){SERVICE_MAGIC, &load_balancer_class, c->object.name};
	lb->pass_host_header = d->pass_host_header;
	if (build_counts(b, SERIES_SERVICE) &&
	    series_get(&lb->series, b->g->world->series, SERIES_SERVICE, c->object.name,
		       (slice){NULL, 0}) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	return fill_servers(b, lb, c, t, e);
}

size_t build_find_index(void *const *objects, size_t count, slice name)
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

struct service *build_find_internal(const struct generation_world *w, slice name)
{
	for (size_t i = 0; i < INTERNAL_SERVICE_COUNT; i++) {
		if (w->internals[i] != NULL && slice_equal(name, w->internals[i]->name))
			return w->internals[i];
	}
	return NULL;
}

static int make_chain(struct build *b, size_t i, struct weir_error *e)
{
	struct generation *g = b->g;
	const struct dynamic_service *c = g->config->services[i];
	int r = make_service(b, &g->services[i], c, e);
	struct chain own = {0};

	if (r < 0)
		return r;
	own.service = b->services[i].chain.service = &g->services[i]->service;
	return build_chain(b, &b->services[i].chain, c->middlewares, &own, e);
}

static int try_service(struct build *b, size_t i, struct weir_error *e)
{
	struct build_step step;
	int r = build_enter(b, &step, "service", b->g->config->services[i]->object.name, e);

	if (r < 0)
		return r;
	r = make_chain(b, i, e);
	build_leave(b);
	return r;
}

static int find_internal(struct build *b, const struct chain **chain, struct service *service,
			 struct weir_error *e)
{
	struct chain *c = ARENA_NEW(&b->g->arena, struct chain);

	if (c == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	c->service = service;
	chain_finish(c);
	*chain = c;
	return 0;
}

int build_find_service(struct build *b, const struct chain **chain, slice name,
		       struct weir_error *e)
{
	struct generation *g = b->g;
	size_t i = build_find_index((void *const *)g->config->services, g->service_count, name);
	struct service *internal = build_find_internal(g->world, name);
	struct outcome *o = &b->services[i];

	if (internal != NULL)
		return find_internal(b, chain, internal, e);
	/* Names that no build could know were refused before: this one is name@internal. */
	if (i == g->service_count)
		return error_set(e, -ENOENT, "%.*s is not enabled",
				 SLICE_ARG(slice_first(name, slice_find(name, '@'))));
	if (!o->tried) {
		int r;

		b->cause = (slice){NULL, 0};
		r = try_service(b, i, e);
		if (r == -ENOMEM || (r < 0 && build_keep_reason(b, o, r, e) == -ENOMEM))
			return -ENOMEM;
		o->tried = true;
	}
	b->cause = o->cause;
	if (o->reason != NULL)
		return build_tell_reason(o, "service", name, e);
	*chain = &o->chain;
	return 0;
}
