#include "config/dynamic_private.h"

/* What is wrong with an object by itself, in Traefik's words where it has some. */

#define PRIORITY_MAX (INT64_MAX - 1000)

static void check_router(struct arena *a, struct dynamic_router *r)
{
	bool known = r->rule_syntax.n == 0 || slice_equal(r->rule_syntax, SLICE("v2")) ||
		     slice_equal(r->rule_syntax, SLICE("v3"));

	if (r->service.n == 0)
		dynamic_disable(a, &r->object, "router has no service and no child routers");
	if (r->priority > PRIORITY_MAX)
		dynamic_disable(
			a, &r->object,
			"the router priority %lld exceeds the max user-defined priority %lld",
			(long long)r->priority, (long long)PRIORITY_MAX);
	if (!known)
		dynamic_disable(a, &r->object, "ruleSyntax: found \"%.*s\", expected v2 or v3",
				SLICE_ARG(r->rule_syntax));
}

static void check_load_balancer(struct arena *a, struct dynamic_service *s)
{
	static const char *const later[] = {"p2c", "hrw", "leasttime"};
	slice strategy = s->load_balancer->strategy;

	for (size_t i = 0; i < ARRAY_LEN(later); i++)
		if (slice_equal(strategy, slice_from(later[i])))
			dynamic_disable(a, &s->object,
					"loadBalancer.strategy %s is not supported by weir yet, "
					"expected wrr",
					later[i]);
	if (strategy.n > 0 && !slice_equal(strategy, SLICE("wrr")))
		dynamic_disable(a, &s->object, "unsupported load-balancer strategy \"%.*s\"",
				SLICE_ARG(strategy));
}

int dynamic_service_kinds(const struct dynamic_service *s)
{
	return (s->load_balancer != NULL) + (s->weighted != NULL) +
	       (s->highest_random_weight != NULL) + (s->mirroring != NULL) + (s->failover != NULL);
}

static void check_service(struct arena *a, struct dynamic_service *s)
{
	int kinds = dynamic_service_kinds(s);

	if (kinds > 1) /* before what is not supported of one of them */
		s->object.disabled = (slice){0};
	if (kinds > 1)
		dynamic_disable(
			a, &s->object,
			"cannot create service: multi-types service not supported, consider "
			"declaring two different pieces of service instead");
	if (s->load_balancer != NULL)
		check_load_balancer(a, s);
}

static void check_plugin(struct arena *a, struct dynamic_middleware *m)
{
	if (m->plugin.count != 1) {
		dynamic_disable(
			a, &m->object,
			"plugin: invalid configuration: no configuration or too many plugin "
			"definition");
		return;
	}
	m->plugin_alias = m->plugin.items[0].name;
	m->plugin_config = m->plugin.items[0].node;
}

static void check_middleware(struct arena *a, struct dynamic_middleware *m)
{
	slice disabled = m->object.disabled;
	int types = 0;

#define X(member, name, structure) \
	if (m->member != NULL) { \
		types++; \
		m->type = SLICE(name); \
	}
	DYNAMIC_MIDDLEWARES(X)
#undef X
	if (m->plugin.count > 0) {
		types++;
		m->type = SLICE("plugin");
	}
	if (types == 1) {
		if (m->plugin.count > 0)
			check_plugin(a, m);
		return;
	}
	m->type = SLICE("");
	m->object.disabled = (slice){0};
	if (types > 1)
		dynamic_disable(a, &m->object,
				"cannot create middleware: multi-types middleware not supported, "
				"consider declaring two different pieces of middleware instead");
	else if (disabled.n > 0)
		m->object.disabled = disabled;
	else
		dynamic_disable(
			a, &m->object,
			"invalid middleware \"%.*s\" configuration: invalid middleware type or "
			"middleware does not exist",
			SLICE_ARG(m->object.name));
}

void dynamic_check(struct dynamic_config *config)
{
	for (size_t i = 0; i < config->router_count; i++)
		check_router(&config->arena, config->routers[i]);
	for (size_t i = 0; i < config->service_count; i++)
		check_service(&config->arena, config->services[i]);
	for (size_t i = 0; i < config->middleware_count; i++)
		check_middleware(&config->arena, config->middlewares[i]);
}
