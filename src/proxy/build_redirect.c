#include <errno.h>

#include "http/exchange.h"
#include "proxy/build_private.h"

/* Behind a redirection come only requests that are where it would send them. */
static void start(struct service *s, struct exchange *x)
{
	(void)s;
	exchange_reply(x, 418, (slice){NULL, 0}, false);
}

static void cancel(struct service *s, struct exchange *x)
{
	(void)s;
	(void)x;
}

static const struct service_class noop_class = {.name = "noop", .start = start, .cancel = cancel};

static struct service noop = {
	.magic = SERVICE_MAGIC, .class = &noop_class, .name = {"noop@internal", 13}};

/* The port of `to`: its own, or that of the entry point it names. */
static slice port_of(struct build *b, slice to)
{
	const struct generation_world *w = b->g->world;

	if (to.n > 0 && to.p[0] == ':')
		return slice_from_at(to, 1);
	for (size_t i = 0; i < w->entry_point_count; i++) {
		if (slice_equal(w->entry_points[i].name, to))
			return arena_format(&b->g->arena, "%u", w->entry_points[i].address.port);
	}
	return (slice){NULL, 0};
}

static int make_middleware(struct build *b, const struct redirection_config *c, slice router,
			   struct middleware **made, struct weir_error *e)
{
	struct arena *a = &b->g->arena;
	struct dynamic_middleware *values = ARENA_NEW(a, struct dynamic_middleware);
	struct dynamic_redirect_scheme *scheme = ARENA_NEW(a, struct dynamic_redirect_scheme);

	if (values == NULL || scheme == NULL)
		return -ENOMEM;
	*scheme = (struct dynamic_redirect_scheme){
		.scheme = c->scheme, .port = port_of(b, c->to), .permanent = c->permanent};
	values->object.name = arena_format(a, "redirect-%.*s", SLICE_ARG(router));
	values->type = SLICE("redirectScheme");
	values->redirect_scheme = scheme;
	if (scheme->port.p == NULL || values->object.name.p == NULL)
		return -ENOMEM;
	return middleware_create(made, values, &b->g->world->middlewares, e);
}

/* As Traefik's provider of that name makes it: `web-to-websecure@internal`. */
static struct dynamic_router *make_router(struct arena *a, const struct entry_point *p,
					  const struct redirection_config *c)
{
	struct dynamic_router *r = ARENA_NEW(a, struct dynamic_router);
	slice to = c->to;

	if (r == NULL)
		return NULL;
	while (to.n > 0 && to.p[0] == ':')
		to = slice_from_at(to, 1);
	r->object.name =
		arena_format(a, "%.*s-to-%.*s@internal", SLICE_ARG(p->name), SLICE_ARG(to));
	r->rule = SLICE("HostRegexp(`^.+$`)");
	r->service = noop.name;
	r->priority = c->priority;
	return r->object.name.p != NULL ? r : NULL;
}

static int add(struct build *b, const struct entry_point *p, const struct redirection_config *c)
{
	struct generation *g = b->g;
	struct dynamic_router *r = make_router(&g->arena, p, c);
	struct weir_error e = {0};
	int result;

	if (r == NULL)
		return -ENOMEM;
	result = make_middleware(b, c, r->object.name, &g->redirections[g->redirection_count], &e);
	if (result == 0)
		result = build_add_route(
			b, r, p, &(struct build_end){g->redirections[g->redirection_count], &noop},
			&e);
	g->redirection_count += g->redirections[g->redirection_count] != NULL;
	if (result < 0 && result != -ENOMEM)
		build_tell_router(b, r, p->name, e.text, NULL);
	return result == -ENOMEM ? result : 0;
}

int build_redirections(struct build *b)
{
	const struct generation_world *w = b->g->world;
	int r = 0;

	for (size_t i = 0; r == 0 && i < w->entry_point_count; i++) {
		const struct entry_point *p = &w->entry_points[i];
		const struct redirection_config *c = p->config->http.redirections.entry_point;

		if (c != NULL)
			r = add(b, p, c);
	}
	return r;
}
