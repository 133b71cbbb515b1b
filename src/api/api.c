#include "api/api.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api_private.h"
#include "core/clock.h"
#include "http/exchange.h"
#include "http/path.h"

#define NOT_FOUND SLICE("404 page not found\n")
#define NO_DASHBOARD SLICE("weir has no dashboard; what it would show is below /api/\n")

/* Below the base path, which Traefik takes with or without a slash at its end. */
static bool cut_base(const struct api *api, slice *path)
{
	slice base = api->config->api->base_path;

	while (slice_ends(base, SLICE("/")))
		base.n--;
	if (!slice_starts(*path, base))
		return false;
	*path = slice_from_at(*path, base.n);
	return true;
}

static bool fits(const struct api_route *route, slice path, slice *id)
{
	slice pattern = slice_from(route->path);

	if (!slice_ends(pattern, SLICE("*")))
		return slice_equal(path, pattern);
	pattern.n--;
	*id = slice_from_at(path, pattern.n);
	return slice_starts(path, pattern) && id->n > 0 && slice_find(*id, '/') == id->n;
}

static const struct api_route *find_route(const struct api *api, slice path, slice *id)
{
	if (!cut_base(api, &path))
		return NULL;
	for (const struct api_route *r = api_routes; r->path != NULL; r++) {
		*id = (slice){NULL, 0};
		if (fits(r, path, id) && (!r->debug || api->config->api->debug))
			return r;
	}
	return NULL;
}

static void start(struct service *service, struct exchange *x)
{
	struct api *api = container_of(service, struct api, service);
	slice path = x->request.path, id;
	const struct api_route *route;

	OBJ_CHECK(api, API_MAGIC);
	route = find_route(api, path, &id);
	if (route != NULL) {
		if (x->request.method_id != METHOD_GET)
			exchange_reply(x, 405, (slice){NULL, 0}, false);
		else if (route->begin != NULL)
			route->begin(api, x);
		else
			(void)desk_ask(api->desk, x);
		return;
	}
	if (api->config->api->dashboard && cut_base(api, &path) &&
	    (slice_equal(path, SLICE("/dashboard")) || slice_starts(path, SLICE("/dashboard/"))))
		exchange_reply(x, 404, NO_DASHBOARD, true);
	else
		exchange_reply(x, 404, NOT_FOUND, true);
}

static void cancel(struct service *service, struct exchange *x)
{
	(void)service;
	if (!api_cancel_profile(x))
		desk_cancel(x);
}

static const struct service_class api_class = {.name = "api", .start = start, .cancel = cancel};

static void start_dashboard(struct service *service, struct exchange *x)
{
	(void)service;
	exchange_reply(x, 404, NO_DASHBOARD, true);
}

static void cancel_dashboard(struct service *service, struct exchange *x)
{
	(void)service;
	(void)x;
}

static const struct service_class dashboard_class = {
	.name = "dashboard", .start = start_dashboard, .cancel = cancel_dashboard};

void api_begin_json(struct api_call *c)
{
	c->answer->status = 200;
	c->answer->content_type = "application/json";
}

void api_fail(struct api_call *c, int status, const char *format, ...)
{
	char *text;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	str_clear(c->out);
	c->answer->status = status;
	c->answer->content_type = "text/plain; charset=utf-8";
	c->answer->no_sniffing = true;
	c->answer->field = NULL;
	str_add(c->out, SLICE("{\"message\":"));
	if (n >= 0) {
		tree_add_json_string(c->out, slice_of(text, (size_t)n));
		free(text);
	}
	str_add(c->out, SLICE("}\n"));
	c->out->failed |= n < 0;
}

/* On the desk's thread. */
static void answer(void *context, const struct desk_request *q, struct desk_answer *a)
{
	struct api *api = context;
	struct api_call c = {
		.api = api, .query = q->query, .accept = q->accept, .answer = a, .out = &a->body};
	struct view *view = proxy_view(api->proxy);
	const struct api_route *route = find_route(api, q->path, &c.id);

	/* A request came by a router, so there is a configuration; and by a route. */
	must(view != NULL && route != NULL);
	arena_init(&c.arena, 4096, (size_t)64 << 20);
	c.view = view;
	c.kind = route->kind;
	if (c.id.n > 0 && path_unescape(c.id, &c.arena, &c.id) != 0)
		a->body.failed = true;
	else
		route->handler(&c);
	arena_free(&c.arena);
	view_release(&view);
}

/* Also on the desk's thread. */
static void refused(void *context, const struct desk_request *q)
{
	const struct api_route *route;
	slice id;

	route = find_route(context, q->path, &id);
	if (route != NULL && route->begin != NULL)
		api_drop_profile();
}

int api_create(struct api **made, struct proxy *proxy, const struct static_config *config,
	       struct weir_error *e)
{
	struct api *api = calloc(1, sizeof *api);
	const struct desk_options options = {
		.thread = "weir-api",
		.answer_bytes_max = (size_t)config->weir.limits.api_bytes,
		.counters = proxy_api_counters(proxy),
		.answer = answer,
		.refused = refused,
		.context = api,
	};
	int r;

	*made = NULL;
	if (api == NULL)
		return error_set(e, -ENOMEM, "api: out of memory");
	api->magic = API_MAGIC;
	api->proxy = proxy;
	api->config = config;
	api->started_ns = clock_wall_ns();
	api->service =
		(struct service){SERVICE_MAGIC, &api_class, internal_service_names[INTERNAL_API]};
	api->dashboard = (struct service){SERVICE_MAGIC, &dashboard_class,
					  internal_service_names[INTERNAL_DASHBOARD]};
	r = desk_create(&api->desk, &options, e);
	if (r < 0) {
		free(api);
		return r;
	}
	proxy_set_internal(proxy, INTERNAL_API, &api->service);
	if (internal_service_wanted(INTERNAL_DASHBOARD, config))
		proxy_set_internal(proxy, INTERNAL_DASHBOARD, &api->dashboard);
	*made = api;
	return 0;
}

void api_stop(struct api *api)
{
	if (api != NULL)
		desk_stop(api->desk);
}

void api_destroy(struct api **api)
{
	struct api *a;

	if (*api == NULL)
		return;
	OBJ_TAKE(a, api, API_MAGIC);
	desk_destroy(&a->desk);
	a->magic = 0;
	free(a);
}
