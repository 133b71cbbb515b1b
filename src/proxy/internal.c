#include "proxy/internal.h"

#include <errno.h>

#include "http/exchange.h"

const slice internal_service_names[INTERNAL_SERVICE_COUNT] = {
#define X(name, text) {text "@internal", sizeof(text "@internal") - 1},
	INTERNAL_SERVICES(X)
#undef X
};

bool internal_service_wanted(enum internal_service which, const struct static_config *c)
{
	switch (which) {
	case INTERNAL_API:
		return c->api != NULL;
	case INTERNAL_DASHBOARD:
		return c->api != NULL && c->api->dashboard;
	case INTERNAL_PING:
		return c->ping != NULL;
	case INTERNAL_PROMETHEUS:
		return static_prometheus(c) != NULL;
	case INTERNAL_REST:
		return c->providers.rest != NULL;
	default:
		return true;
	}
}

/* As the API is there only with `insecure`, the others without manual routing. */
static slice own_entry_point(enum internal_service which, const struct static_config *c)
{
	const struct prometheus_config *p = static_prometheus(c);

	if (which == INTERNAL_PING && c->ping != NULL && !c->ping->manual_routing)
		return c->ping->entry_point;
	if (which == INTERNAL_PROMETHEUS && p != NULL && !p->manual_routing)
		return p->entry_point;
	if (which == INTERNAL_API && c->api != NULL && c->api->insecure)
		return STATIC_INTERNAL_ENTRY_POINT;
	if (which == INTERNAL_REST && c->providers.rest != NULL && c->providers.rest->insecure)
		return STATIC_INTERNAL_ENTRY_POINT;
	return (slice){NULL, 0};
}

/* X(NAME, service, path, whether it lies below api.basePath, priority): Traefik's, but that its API
 * cannot be reached below a base path without a router of the user's. */
#define INTERNAL_ROUTERS(X) \
	X("api", API, "/api", true, INT64_MAX - 1) \
	X("debug", API, "/debug", true, INT64_MAX - 1) \
	X("ping", PING, "/ping", false, INT64_MAX) \
	X("prometheus", PROMETHEUS, "/metrics", false, INT64_MAX) \
	X("rest", REST, "/api/providers", false, INT64_MAX)

struct own_router {
	slice name;
	enum internal_service service;
	const char *path;
	bool based;
	int64_t priority;
};

static const struct own_router own_routers[] = {
#define X(name, service, path, based, priority) \
	{{name "@internal", sizeof(name "@internal") - 1}, \
	 INTERNAL_##service, \
	 path, \
	 based, \
	 priority},
	INTERNAL_ROUTERS(X)
#undef X
};

static slice base_path(const struct own_router *own, const struct static_config *c)
{
	slice base = own->based ? c->api->base_path : SLICE("");

	while (slice_ends(base, SLICE("/")))
		base.n--;
	return base;
}

/* Returns 0, 1 if there is no such router, or -ENOMEM. */
static int make_router(struct dynamic_config *d, const struct own_router *own,
		       const struct static_config *c, struct dynamic_router **made)
{
	slice entry_point = own_entry_point(own->service, c);
	struct dynamic_router *r;
	slice *entry_points;

	if (entry_point.n == 0 || static_entry_point(c, entry_point) == NULL ||
	    (slice_equal(own->name, SLICE("debug@internal")) && !c->api->debug))
		return 1;
	r = ARENA_NEW(&d->arena, struct dynamic_router);
	entry_points = ARENA_ARRAY(&d->arena, slice, 1);
	if (r == NULL || entry_points == NULL)
		return -ENOMEM;
	entry_points[0] = entry_point;
	*r = (struct dynamic_router){
		.object = {.name = own->name,
			   .provider = SLICE("internal"),
			   .place = {.source = "internal"}},
		.entry_points = {entry_points, 1},
		.service = internal_service_names[own->service],
		.rule = arena_format(&d->arena, "PathPrefix(`%.*s%s`)",
				     SLICE_ARG(base_path(own, c)), own->path),
		.rule_syntax = SLICE("default"),
		.priority = own->priority,
	};
	*made = r;
	return r->rule.p != NULL ? 0 : -ENOMEM;
}

/* Letters and digits, with one "-" for whatever stands between them. */
static slice normalize(struct arena *a, slice text)
{
	char *out = arena_alloc(a, text.n + 1);
	size_t n = 0;

	if (out == NULL)
		return (slice){NULL, 0};
	for (size_t i = 0; i < text.n; i++) {
		char c = ascii_lower(text.p[i]);
		bool kept = ascii_digit(c) || (c >= 'a' && c <= 'z') || (unsigned char)c >= 0x80;

		if (kept)
			out[n++] = text.p[i];
		else if (n > 0 && out[n - 1] != '-')
			out[n++] = '-';
	}
	while (n > 0 && out[n - 1] == '-')
		n--;
	out[n] = '\0';
	return slice_of(out, n);
}

/* The port of `to`: its own, or that of the entry point that it names. */
static slice redirection_port(const struct static_config *c, slice to)
{
	const struct entry_point_config *ep = static_entry_point(c, to);
	slice address = ep != NULL ? ep->address : to;

	for (size_t i = address.n; i > 0; i--) {
		if (address.p[i - 1] == ':') {
			address = slice_from_at(address, i);
			break;
		}
	}
	return slice_first(address, slice_find(address, '/'));
}

struct redirection {
	struct dynamic_router router;
	struct dynamic_middleware middleware;
	struct dynamic_redirect_scheme scheme;
	slice entry_point;
	slice middlewares[1];
};

static slice redirection_rule(const struct entry_point_config *ep)
{
	if (ep->acme_bypass)
		return SLICE("HostRegexp(`^.+$`) && "
			     "!PathPrefix(`/.well-known/acme-challenge/`)");
	return SLICE("HostRegexp(`^.+$`)");
}

static struct redirection *make_redirection(struct arena *a, const struct static_config *c,
					    const struct option_entry *e,
					    const struct redirection_config *to)
{
	struct redirection *d = ARENA_NEW(a, struct redirection);
	slice name = arena_format(a, "%.*s-to-%.*s", SLICE_ARG(e->name), SLICE_ARG(to->to));
	struct dynamic_object object = {.provider = SLICE("internal"),
					.place = {.source = "internal"}};

	if (d == NULL || name.p == NULL)
		return NULL;
	name = normalize(a, name);
	d->entry_point = e->name;
	d->scheme = (struct dynamic_redirect_scheme){.scheme = to->scheme,
						     .port = redirection_port(c, to->to),
						     .permanent = to->permanent};
	object.name = arena_format(a, "redirect-%.*s@internal", SLICE_ARG(name));
	d->middleware = (struct dynamic_middleware){
		.object = object, .type = SLICE("redirectScheme"), .redirect_scheme = &d->scheme};
	d->middlewares[0] = object.name;
	object.name = arena_format(a, "%.*s@internal", SLICE_ARG(name));
	d->router = (struct dynamic_router){.object = object,
					    .entry_points = {&d->entry_point, 1},
					    .middlewares = {d->middlewares, 1},
					    .service = internal_service_names[INTERNAL_NOOP],
					    .rule = redirection_rule(e->value),
					    .rule_syntax = SLICE("default"),
					    .priority = to->priority};
	return name.p != NULL && object.name.p != NULL && d->middlewares[0].p != NULL ? d : NULL;
}

/* As Traefik's provider of that name makes them: `web-to-websecure@internal`. */
static int add_redirections(struct dynamic_config *d, const struct static_config *c)
{
	int r = 0;

	OPTION_MAP_FOR_EACH (e, &c->entry_points) {
		const struct entry_point_config *ep = e->value;
		const struct redirection_config *to = ep->http.redirections.entry_point;
		struct redirection *made;
		struct dynamic_router *router;
		struct dynamic_middleware *middleware;

		if (to == NULL)
			continue;
		made = make_redirection(&d->arena, c, e, to);
		if (made == NULL)
			return -ENOMEM;
		router = &made->router;
		middleware = &made->middleware;
		r = dynamic_add_routers(d, &router, 1);
		if (r == 0)
			r = dynamic_add_middlewares(d, &middleware, 1);
		if (r < 0)
			return r;
	}
	return r;
}

int internal_settle(struct dynamic_config *d, const struct static_config *c)
{
	struct dynamic_router *routers[ARRAY_LEN(own_routers)];
	size_t count = 0;
	int r = 0;

	if (d->settled)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(own_routers) && r >= 0; i++) {
		r = make_router(d, &own_routers[i], c, &routers[count]);
		count += r == 0;
	}
	if (r >= 0)
		r = dynamic_add_routers(d, routers, count);
	if (r == 0)
		r = add_redirections(d, c);
	if (r == 0)
		r = dynamic_apply_models(d, c);
	if (r == 0)
		r = dynamic_link(d, internal_service_names, INTERNAL_SERVICE_COUNT);
	d->settled = r == 0;
	return r;
}

static void start(struct service *s, struct exchange *x)
{
	struct ping_service *p = container_of(s, struct ping_service, service);
	int status = atomic_load_explicit(p->terminating, memory_order_relaxed)
			     ? p->terminating_status
			     : 200;

	OBJ_CHECK(s, SERVICE_MAGIC);
	exchange_reply(x, status, slice_from(status_text(status)), false);
}

static void cancel(struct service *s, struct exchange *x)
{
	(void)s;
	(void)x;
}

static const struct service_class ping_class = {.name = "ping", .start = start, .cancel = cancel};

void ping_service_init(struct ping_service *p, const _Atomic bool *terminating,
		       int terminating_status)
{
	*p = (struct ping_service){
		.service = {SERVICE_MAGIC, &ping_class, internal_service_names[INTERNAL_PING]},
		.terminating = terminating,
		.terminating_status = terminating_status};
}

static void start_noop(struct service *s, struct exchange *x)
{
	(void)s;
	exchange_reply(x, 418, (slice){NULL, 0}, false);
}

static const struct service_class noop_class = {
	.name = "noop", .start = start_noop, .cancel = cancel};

void noop_service_init(struct service *s)
{
	*s = (struct service){SERVICE_MAGIC, &noop_class, internal_service_names[INTERNAL_NOOP]};
}

static void never_start(struct service *s, struct exchange *x)
{
	(void)s;
	(void)x;
	must_not_reach("a service is called that was made to be looked at");
}

static const struct service_class unused_class = {
	.name = "unused", .start = never_start, .cancel = never_start};

void internal_service_init_unused(struct service *s, enum internal_service which)
{
	*s = (struct service){SERVICE_MAGIC, &unused_class, internal_service_names[which]};
}
