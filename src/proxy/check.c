#include "proxy/check.h"

#include <errno.h>

#include "middleware/plugin_registry.h"
#include "middleware/shared_state.h"
#include "proxy/internal.h"
#include "proxy/proxy.h"
#include "redis/server.h"

/* Without workers: nothing is made on any loop. */
static const struct loop_group no_loops;
static const _Atomic bool never;

static void on_broken_plugin(void *context, slice alias, const char *why)
{
	const struct generation_world *w = context;
	const struct generation_problem problem = {.kind = "plugin", .name = alias, .why = why};

	w->problem(w->problem_context, &problem);
}

static int build(struct generation_world *w, struct dynamic_config *dynamic, proxy_check_fn *built,
		 struct weir_error *e)
{
	struct generation *g = NULL;
	int r = internal_settle(dynamic, w->config);

	if (r == 0)
		r = generation_build(&g, w, dynamic, NULL, 1);
	if (r < 0)
		return error_set(e, r,
				 "the configuration cannot be built: out of memory, or more than "
				 "weir.limits.configurationMemory (%lld bytes) is needed",
				 (long long)w->config->weir.limits.generation_bytes);
	if (built != NULL)
		built(w->problem_context, g);
	generation_destroy(&g);
	return 0;
}

int proxy_check(const struct static_config *config, struct dynamic_config *dynamic,
		generation_problem_fn *problem, proxy_check_fn *built, void *context,
		struct weir_error *e)
{
	struct generation_world w = {.config = config,
				     .cancelled = &never,
				     .problem = problem,
				     .problem_context = context};
	struct entry_point *points = NULL;
	struct service internals[INTERNAL_SERVICE_COUNT];
	int r = entry_points_create(&points, &w.entry_point_count, config, e);

	w.entry_points = points;
	for (int i = 0; i < INTERNAL_SERVICE_COUNT; i++) {
		internal_service_init_unused(&internals[i], (enum internal_service)i);
		if (internal_service_wanted((enum internal_service)i, config))
			w.internals[i] = &internals[i];
	}
	if (r == 0 && upstream_registry_create(&w.upstreams, &no_loops, 0) < 0)
		r = error_set(e, -ENOMEM, "out of memory");
	if (r == 0 && redis_registry_create(&w.middlewares.redis, &no_loops) < 0)
		r = error_set(e, -ENOMEM, "out of memory");
	w.middlewares.states = shared_states_create();
	if (r == 0 && w.middlewares.states == NULL)
		r = error_set(e, -ENOMEM, "out of memory");
	if (r == 0)
		r = plugin_registry_create(&w.middlewares.plugins, config, &no_loops, e);
	if (r == 0)
		r = generation_world_open_tls(&w, e);
	if (r == 0) {
		plugin_registry_visit_broken(w.middlewares.plugins, on_broken_plugin, &w);
		r = build(&w, dynamic, built, e);
	}
	plugin_registry_destroy(&w.middlewares.plugins);
	shared_states_destroy(&w.middlewares.states);
	upstream_registry_destroy(&w.upstreams);
	redis_registry_destroy(&w.middlewares.redis);
	generation_world_close_tls(&w);
	entry_points_destroy(&points, w.entry_point_count, 0);
	return r;
}
