#include <errno.h>
#include <stdlib.h>

#include "config/dynamic_private.h"
#include "net/url.h"

/* Follows references, so that everybody downstream may take them for granted. */

struct linker {
	struct dynamic_config *config;
	const slice *internal;
	size_t internal_count;
	unsigned char *seen; /* per middleware: enum visit */
	size_t *open;        /* the chains that are being followed, outermost first */
};

enum visit { UNSEEN, OPEN, DONE };

#define DEPTH_MAX 100 /* of chains in chains */

/* Traefik says of a user of something disabled what it says of that. */
static void take_cause(struct dynamic_object *object, const struct dynamic_object *from)
{
	if (object->cause.n == 0)
		object->cause = from->cause.n > 0 ? from->cause : from->disabled;
}

/* Traefik names the first server that would be reached by it. */
static void tell_no_transport(struct linker *l, struct dynamic_service *s)
{
	const struct dynamic_load_balancer *lb = s->load_balancer;
	const struct dynamic_server *server = lb->servers.count > 0 ? lb->servers.items[0] : NULL;
	struct str url = {0};

	if (server == NULL || s->object.disabled.n > 0)
		return;
	url_add_hidden(&url, server->url);
	s->object.cause =
		arena_format(&l->config->arena,
			     "error building proxy for server URL %.*s: getting "
			     "RoundTripper: servers transport not found %.*s",
			     SLICE_ARG(str_slice(&url)), SLICE_ARG(lb->servers_transport));
	str_free(&url);
}

/* What is wrong with a service once its name is complete. */
static void link_service(struct linker *l, struct dynamic_service *s)
{
	const struct dynamic_object *t;
	slice name;

	if (dynamic_service_kinds(s) == 0)
		dynamic_disable(&l->config->arena, &s->object,
				"the service \"%.*s\" does not have any type defined",
				SLICE_ARG(s->object.name));
	if (s->load_balancer == NULL || s->load_balancer->servers_transport.n == 0)
		return;
	name = s->load_balancer->servers_transport;
	if (slice_equal(name, SLICE("default@internal")))
		return;
	t = dynamic_find(l->config, DYNAMIC_TRANSPORT, name);
	if (t == NULL) {
		tell_no_transport(l, s);
		dynamic_disable(&l->config->arena, &s->object, "servers transport not found %.*s",
				SLICE_ARG(name));
	} else if (t->disabled.n > 0)
		dynamic_disable(&l->config->arena, &s->object,
				"servers transport \"%.*s\" is disabled: %.*s", SLICE_ARG(name),
				SLICE_ARG(t->disabled));
}

/* Why `name` cannot be used by `object`, which is disabled then. */
static void need_middleware(struct linker *l, struct dynamic_object *object, slice name)
{
	const struct dynamic_object *m = dynamic_find(l->config, DYNAMIC_MIDDLEWARE, name);

	if (object->disabled.n > 0)
		return;
	if (m != NULL && m->disabled.n > 0)
		take_cause(object, m);
	if (m == NULL)
		dynamic_disable(&l->config->arena, object, "middleware \"%.*s\" does not exist",
				SLICE_ARG(name));
	else if (m->disabled.n > 0)
		dynamic_disable(&l->config->arena, object, "middleware \"%.*s\" is disabled: %.*s",
				SLICE_ARG(name), SLICE_ARG(m->disabled));
}

/* The chain `index` holds itself by way of the last of `depth` open ones: in Traefik's words. */
static void tell_loop(struct linker *l, size_t index, unsigned depth)
{
	struct dynamic_object *o = &l->config->middlewares[index]->object;
	struct str way = {0};
	unsigned at = 0;

	while (at < depth && l->open[at] != index)
		at++;
	for (; at < depth; at++)
		str_format(&way, "middleware:%.*s->",
			   SLICE_ARG(l->config->middlewares[l->open[at]]->object.name));
	dynamic_disable(&l->config->arena, o,
			"could not instantiate middleware %.*s: recursion detected in "
			"%.*smiddleware:%.*s",
			SLICE_ARG(o->name), SLICE_ARG(str_slice(&way)), SLICE_ARG(o->name));
	str_free(&way);
}

static void link_chain(struct linker *l, size_t index, unsigned depth)
{
	struct dynamic_middleware *m = l->config->middlewares[index];
	const struct option_list *list;

	if (l->seen[index] == OPEN)
		tell_loop(l, index, depth);
	else if (depth >= DEPTH_MAX)
		dynamic_disable(
			&l->config->arena, &m->object,
			"could not instantiate middleware %.*s: chains are nested too deep, "
			"expected at most %d",
			SLICE_ARG(m->object.name), DEPTH_MAX);
	if (l->seen[index] != UNSEEN || m->chain == NULL || depth >= DEPTH_MAX)
		return;
	l->seen[index] = OPEN;
	l->open[depth] = index;
	list = &m->chain->middlewares;
	for (size_t i = list->count; i-- > 0;) {
		size_t inner;

		if (dynamic_index(l->config, DYNAMIC_MIDDLEWARE, list->items[i], &inner))
			link_chain(l, inner, depth + 1);
		need_middleware(l, &m->object, list->items[i]);
	}
	l->seen[index] = DONE;
}

static void link_chains_of(struct linker *l, const struct option_list *names)
{
	size_t index;

	for (size_t i = names->count; i-- > 0;)
		if (dynamic_index(l->config, DYNAMIC_MIDDLEWARE, names->items[i], &index) &&
		    l->seen[index] == UNSEEN)
			link_chain(l, index, 0);
}

static bool is_internal(const struct linker *l, slice name)
{
	for (size_t i = 0; i < l->internal_count; i++)
		if (slice_equal(l->internal[i], name))
			return true;
	return false;
}

/* Why `object` cannot be served by `service`: then it is disabled. */
static void need_service(struct linker *l, struct dynamic_object *object, slice service)
{
	const struct dynamic_object *s = dynamic_find(l->config, DYNAMIC_SERVICE, service);
	const bool own = slice_ends(service, SLICE("@internal"));

	if (s != NULL && s->disabled.n > 0 && object->disabled.n == 0)
		take_cause(object, s);
	if (s == NULL && own && !is_internal(l, service))
		dynamic_disable(&l->config->arena, object, "unknown internal service %.*s",
				SLICE_ARG(service));
	else if (s == NULL && !own)
		dynamic_disable(&l->config->arena, object, "the service \"%.*s\" does not exist",
				SLICE_ARG(service));
	else if (s != NULL && s->disabled.n > 0)
		dynamic_disable(&l->config->arena, object, "the service \"%.*s\" is disabled: %.*s",
				SLICE_ARG(service), SLICE_ARG(s->disabled));
}

static void link_router(struct linker *l, struct dynamic_router *r)
{
	need_service(l, &r->object, r->service);
	/* As Traefik makes them: the innermost first. */
	for (size_t i = r->middlewares.count; i-- > 0;)
		need_middleware(l, &r->object, r->middlewares.items[i]);
}

int dynamic_link(struct dynamic_config *config, const slice *internal, size_t count)
{
	size_t open[DEPTH_MAX];
	struct linker l = {
		.config = config, .internal = internal, .internal_count = count, .open = open};

	l.seen = calloc(config->middleware_count + 1, 1);
	if (l.seen == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < config->service_count; i++)
		link_service(&l, config->services[i]);
	for (size_t i = 0; i < config->middleware_count; i++) {
		struct dynamic_middleware *m = config->middlewares[i];

		if (m->errors != NULL)
			need_service(&l, &m->object, m->errors->service);
	}
	/* A loop is told of from where a router enters it. */
	for (size_t i = 0; i < config->router_count; i++)
		link_chains_of(&l, &config->routers[i]->middlewares);
	for (size_t i = 0; i < config->middleware_count; i++)
		link_chain(&l, i, 0);
	for (size_t i = 0; i < config->router_count; i++)
		link_router(&l, config->routers[i]);
	free(l.seen);
	return 0;
}
