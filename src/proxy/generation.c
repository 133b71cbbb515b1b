#include "proxy/generation.h"

#include <errno.h>
#include <stdlib.h>

#include "proxy/build.h"

#define ARENA_BLOCK_BYTES ((size_t)64 * 1024)

void generation_set_state(struct generation *g, enum generation_state from,
			  enum generation_state to)
{
	OBJ_CHECK(g, GENERATION_MAGIC);
	must(g->state == from);
	g->state = to;
}

int generation_build(struct generation **generation, const struct generation_world *world,
		     struct dynamic_config *config, const struct generation *previous,
		     uint64_t number)
{
	struct generation *g = calloc(1, sizeof *g);
	int r;

	*generation = NULL;
	if (g == NULL)
		return -ENOMEM;
	g->magic = GENERATION_MAGIC;
	g->number = number;
	g->world = world;
	g->config = dynamic_ref(config);
	arena_init(&g->arena, ARENA_BLOCK_BYTES,
		   (size_t)world->config->weir.limits.generation_bytes);
	g->view = view_new(config, number, (size_t)world->config->weir.limits.generation_bytes);
	r = g->view != NULL ? build_routers(g, previous) : -ENOMEM;
	generation_set_state(g, GENERATION_BUILDING, GENERATION_READY);
	if (r < 0)
		generation_destroy(&g);
	*generation = g;
	return r;
}

void generation_destroy(struct generation **generation)
{
	struct generation *g;

	OBJ_TAKE(g, generation, GENERATION_MAGIC);
	must(atomic_load(&g->holders) == 0);
	must(g->state == GENERATION_READY || g->state == GENERATION_DRAINING);
	for (size_t i = 0; g->routers != NULL && i < 2 * g->world->entry_point_count; i++)
		router_set_free(&g->routers[i]);
	for (size_t i = 0; i < g->route_count; i++) {
		rule_release(&g->routes[i]->rule);
		series_release(&g->routes[i]->series);
	}
	for (size_t i = 0; i < g->middleware_count; i++)
		middleware_destroy(&g->middlewares[i]);
	for (size_t i = 0; i < g->service_count; i++) {
		if (g->services[i] != NULL)
			load_balancer_release(g->services[i]);
	}
	generation_tls_free(g);
	for (size_t i = 0; g->connectors != NULL && i <= g->config->servers_transport_count; i++)
		tls_connector_release(&g->connectors[i]);
	for (size_t i = 0; i < g->kept_count; i++)
		dynamic_destroy(&g->kept[i]);
	view_release(&g->view);
	dynamic_destroy(&g->config);
	arena_free(&g->arena);
	g->magic = 0;
	free(g);
}
