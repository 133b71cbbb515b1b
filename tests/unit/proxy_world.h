/*
 * For tests of the proxy as a whole: configurations from text, and a world that generations can be
 * built for without workers.
 */
#ifndef UNIT_PROXY_WORLD_H
#define UNIT_PROXY_WORLD_H

#include "config/source.h"
#include "middleware/plugin_registry.h"
#include "middleware/shared_state.h"
#include "proxy/generation.h"
#include "proxy/internal.h"
#include "proxy/proxy.h"
#include "redis/server.h"

static inline struct static_config *world_static(const char *text)
{
	struct static_config *config;
	struct config_report report;
	struct arena arena;

	arena_init(&arena, 4096, 1 << 24);
	config_report_init(&report, &arena);
	must(static_load_text(&config, slice_from(text), TREE_YAML, "test.yml", &report) == 0);
	arena_free(&arena);
	return config;
}

/* As the aggregator would hand it on: names end in "@file"; with `settings` it is settled, too. */
static inline struct dynamic_config *world_dynamic(const char *text,
						   const struct static_config *settings)
{
	struct dynamic_config *config, *merged;
	struct config_report report;
	struct dynamic_part part;
	struct arena arena;

	arena_init(&arena, 4096, 1 << 24);
	config_report_init(&report, &arena);
	must(dynamic_parse(slice_from(text), TREE_YAML, "test.yml", NULL, &report, &config) == 0);
	part = (struct dynamic_part){config, "file"};
	must(dynamic_merge(&part, 1, &report, &merged) == 0);
	must(settings == NULL || internal_settle(merged, settings) == 0);
	dynamic_destroy(&config);
	arena_free(&arena);
	return merged;
}

#define WORLD_LOOPS 2

struct world {
	struct static_config *config;
	struct entry_point *points;
	struct loop loops[WORLD_LOOPS];
	struct loop *list[WORLD_LOOPS];
	struct loop_group group;
	struct ping_service ping;
	_Atomic bool cancelled;
	struct generation_world built_for;
	unsigned problems;
	char last_problem[1024]; /* "kind name[ on entry point]: why" */
};

static inline void world_problem(void *context, const struct generation_problem *p)
{
	struct world *w = context;

	w->problems++;
	(void)snprintf(w->last_problem, sizeof w->last_problem, "%s %.*s%s%.*s: %s", p->kind,
		       SLICE_ARG(p->name), p->entry_point.n > 0 ? " on " : "",
		       SLICE_ARG(p->entry_point), p->why);
}

static inline void world_open(struct world *w, const char *static_text)
{
	struct weir_error e = {0};

	*w = (struct world){.config = world_static(static_text)};
	w->built_for = (struct generation_world){.config = w->config,
						 .workers = WORLD_LOOPS,
						 .cancelled = &w->cancelled,
						 .problem = world_problem,
						 .problem_context = w};
	for (unsigned i = 0; i < WORLD_LOOPS; i++) {
		must(loop_init(&w->loops[i], 1 << 20) == 0);
		w->loops[i].index = i;
		w->list[i] = &w->loops[i];
	}
	w->group = (struct loop_group){w->list, WORLD_LOOPS};
	must(entry_points_create(&w->points, &w->built_for.entry_point_count, w->config, &e) == 0);
	w->built_for.entry_points = w->points;
	must(upstream_registry_create(&w->built_for.upstreams, &w->group, 100) == 0);
	must(redis_registry_create(&w->built_for.middlewares.redis, &w->group) == 0);
	must(rule_registry_create(&w->built_for.rules) == 0);
	must(turn_registry_create(&w->built_for.turns) == 0);
	w->built_for.middlewares.states = shared_states_create();
	must(w->built_for.middlewares.states != NULL);
	must(plugin_registry_create(&w->built_for.middlewares.plugins, w->config, &w->group, &e) ==
	     0);
	ping_service_init(&w->ping, &w->cancelled, 503);
	w->built_for.internals[INTERNAL_PING] = &w->ping.service;
}

/* All generations must be gone. */
static inline void world_close(struct world *w)
{
	for (unsigned i = 0; i < WORLD_LOOPS; i++)
		loop_close(&w->loops[i]);
	plugin_registry_destroy(&w->built_for.middlewares.plugins);
	shared_states_destroy(&w->built_for.middlewares.states);
	upstream_registry_destroy(&w->built_for.upstreams);
	redis_registry_destroy(&w->built_for.middlewares.redis);
	rule_registry_destroy(&w->built_for.rules);
	turn_registry_destroy(&w->built_for.turns);
	entry_points_destroy(&w->points, w->built_for.entry_point_count, 0);
	static_config_free(&w->config);
}

/* Returns 0 or what the build returns. */
static inline int world_build(struct world *w, const char *text, struct generation **g)
{
	struct dynamic_config *config = world_dynamic(text, w->config);
	int r = generation_build(g, &w->built_for, config, NULL, 1);

	dynamic_destroy(&config);
	return r;
}

#endif
