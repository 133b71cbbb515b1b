#include <errno.h>
#include <stdlib.h>

#include "config/dynamic_private.h"
#include "config/static.h"

/* What entry points add to routers: Traefik's models. A router on several entry points becomes one
 * router for each that adds something, and one for the others together. */

struct models {
	struct dynamic_config *config;
	const struct static_config *settings;
	struct dynamic_object **routers; /* that there will be */
	size_t count;
	bool failed;
};

static const struct option_entry *find_entry_point(const struct static_config *s, slice name)
{
	OPTION_MAP_FOR_EACH (e, &s->entry_points)
		if (slice_equal(e->name, name))
			return e;
	return NULL;
}

static const struct tree_node *below(const struct option_entry *e, slice key)
{
	return e != NULL ? tree_child(e->node, key) : NULL;
}

/* Whether the entry point, or `core` on each of them, adds anything. */
static bool has_model(const struct models *m, const struct option_entry *e)
{
	const struct entry_point_config *ep = e != NULL ? e->value : NULL;
	const struct tree_node *http = below(e, SLICE("http"));

	return ep != NULL &&
	       (m->settings->core != NULL || ep->http.middlewares.count > 0 ||
		ep->http.tls != NULL || tree_child(http, SLICE("encodedCharacters")) != NULL ||
		below(e, SLICE("observability")) != NULL);
}

static void inherit_flag(enum option_tristate *flag, const struct tree_node *model, slice key)
{
	const struct tree_node *node = tree_child(model, key);
	bool value = true;

	if (node != NULL && node->kind == TREE_SCALAR)
		(void)option_parse_bool(node->text, &value);
	if (*flag == OPTION_UNSET)
		*flag = value ? OPTION_TRUE : OPTION_FALSE;
}

/* What the router says, then what the entry point says, then the defaults. */
static void inherit_observability(struct models *m, struct dynamic_router *r,
				  const struct option_entry *e)
{
	const struct tree_node *model = below(e, SLICE("observability"));
	const struct tree_node *verbosity = tree_child(model, SLICE("traceVerbosity"));
	struct dynamic_observability *o =
		ARENA_NEW(&m->config->arena, struct dynamic_observability);

	if (o == NULL) {
		m->failed = true;
		return;
	}
	*o = r->observability != NULL
		     ? *r->observability
		     : (struct dynamic_observability){.trace_verbosity = SLICE("")};
	inherit_flag(&o->access_logs, model, SLICE("accessLogs"));
	inherit_flag(&o->metrics, model, SLICE("metrics"));
	inherit_flag(&o->tracing, model, SLICE("tracing"));
	if (o->trace_verbosity.n == 0)
		o->trace_verbosity = verbosity != NULL && verbosity->kind == TREE_SCALAR
					     ? verbosity->text
					     : SLICE("minimal");
	r->observability = o;
}

/* Names without a provider are of the router's. */
static void put_middlewares(struct models *m, struct dynamic_router *r, struct option_list first)
{
	size_t count = first.count + r->middlewares.count;
	slice *names = ARENA_ARRAY(&m->config->arena, slice, count + 1);

	if (names == NULL) {
		m->failed = true;
		return;
	}
	for (size_t i = 0; i < first.count; i++) {
		names[i] = dynamic_qualify(&m->config->arena, first.items[i], r->object.provider.p);
		m->failed |= names[i].p == NULL;
	}
	if (r->middlewares.count > 0)
		memcpy(names + first.count, r->middlewares.items,
		       r->middlewares.count * sizeof *names);
	r->middlewares = (struct option_list){names, count};
}

static void inherit_tls(struct models *m, struct dynamic_router *r,
			const struct entry_point_config *ep)
{
	if (ep->http.tls == NULL || r->tls != NULL)
		return;
	r->tls = ARENA_NEW(&m->config->arena, struct dynamic_router_tls);
	if (r->tls != NULL)
		*r->tls = (struct dynamic_router_tls){.options = ep->http.tls->options,
						      .cert_resolver = SLICE("")};
	m->failed |= r->tls == NULL;
}

static struct dynamic_router *copy_router(struct models *m, const struct dynamic_router *from,
					  const slice *entry_points, size_t count)
{
	struct dynamic_router *r = ARENA_NEW(&m->config->arena, struct dynamic_router);

	if (r == NULL) {
		m->failed = true;
		return NULL;
	}
	*r = *from;
	r->entry_points = (struct option_list){entry_points, count};
	m->routers[m->count++] = &r->object;
	return r;
}

/* The router as it is on the entry point, which adds something. */
static void add_clone(struct models *m, const struct dynamic_router *from, const slice *name,
		      bool alone)
{
	const struct option_entry *e = find_entry_point(m->settings, *name);
	const struct entry_point_config *ep = e->value;
	struct dynamic_router *r = copy_router(m, from, name, 1);

	if (r == NULL)
		return;
	if (!alone)
		r->object.name = arena_format(&m->config->arena, "%.*s-%.*s", SLICE_ARG(*name),
					      SLICE_ARG(from->object.name));
	m->failed |= r->object.name.p == NULL;
	if (m->settings->core != NULL && r->rule_syntax.n == 0)
		r->rule_syntax = m->settings->core->default_rule_syntax;
	put_middlewares(m, r, ep->http.middlewares);
	inherit_tls(m, r, ep);
	inherit_observability(m, r, e);
}

static bool is_repeated(const slice *names, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (slice_equal(names[i], names[at]))
			return true;
	return false;
}

static void apply_router(struct models *m, const struct dynamic_router *from)
{
	struct option_list names = from->entry_points.count > 0 ? from->entry_points
								: m->settings->default_entry_points;
	slice *others = ARENA_ARRAY(&m->config->arena, slice, names.count + 1);
	struct dynamic_router *r;
	size_t count = 0;

	if (others == NULL) {
		m->failed = true;
		return;
	}
	for (size_t i = 0; i < names.count; i++) {
		if (!has_model(m, find_entry_point(m->settings, names.items[i])))
			others[count++] = names.items[i];
		else if (!is_repeated(names.items, i))
			add_clone(m, from, &names.items[i], names.count == 1);
	}
	if (count == 0 && names.count > 0)
		return;
	r = copy_router(m, from, others, count);
	if (r != NULL)
		inherit_observability(m, r, NULL);
}

static size_t count_clones(const struct models *m)
{
	size_t count = 0;

	for (size_t i = 0; i < m->config->router_count; i++)
		count += 1 + MAX(m->config->routers[i]->entry_points.count,
				 m->settings->default_entry_points.count);
	return count;
}

/* A clone may have got the name of a router that there is: one of them stays. */
static void drop_repeated(struct dynamic_config *c)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->router_count; i++) {
		if (i > 0 &&
		    slice_equal(c->routers[i]->object.name, c->routers[kept - 1]->object.name))
			continue;
		c->routers[kept++] = c->routers[i];
	}
	c->router_count = kept;
}

int dynamic_apply_models(struct dynamic_config *config, const struct static_config *settings)
{
	struct models m = {.config = config, .settings = settings};
	int r = 0;

	m.routers = calloc(count_clones(&m) + 1, sizeof(struct dynamic_object *));
	if (m.routers == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < config->router_count; i++)
		apply_router(&m, config->routers[i]);
	if (!m.failed)
		r = dynamic_set(config, DYNAMIC_ROUTER, m.routers, m.count);
	if (r == 0 && !m.failed)
		drop_repeated(config);
	free(m.routers);
	return m.failed ? -ENOMEM : r;
}

static int add_objects(struct dynamic_config *config, enum dynamic_kind kind, const void *objects,
		       size_t count)
{
	struct dynamic_object *const *added = objects;
	size_t before = dynamic_count(config, kind);
	struct dynamic_object **all = calloc(before + count + 1, sizeof(struct dynamic_object *));
	int r;

	if (all == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < before; i++)
		all[i] = dynamic_at(config, kind, i);
	for (size_t i = 0; i < count; i++)
		all[before + i] = added[i];
	r = dynamic_set(config, kind, all, before + count);
	free(all);
	return r;
}

int dynamic_add_routers(struct dynamic_config *config, struct dynamic_router *const *routers,
			size_t count)
{
	return add_objects(config, DYNAMIC_ROUTER, routers, count);
}

int dynamic_add_middlewares(struct dynamic_config *config,
			    struct dynamic_middleware *const *middlewares, size_t count)
{
	return add_objects(config, DYNAMIC_MIDDLEWARE, middlewares, count);
}
