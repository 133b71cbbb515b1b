/*
 * The types of middlewares and how they are made. One row per type; the builder knows no type by
 * name.
 */
#ifndef MIDDLEWARE_REGISTRY_H
#define MIDDLEWARE_REGISTRY_H

#include "config/dynamic.h"
#include "http/middleware.h"

struct compressions;
struct plugin_registry;
struct redis_registry;
struct shared_states;
struct client_options;
struct upstream_registry;
struct weir_limits_config;

/** What middlewares need of the process; outlives them. */
struct middleware_world {
	struct plugin_registry *plugins;
	struct shared_states *states;
	struct compressions *compressions;
	const struct weir_limits_config *limits;
	struct upstream_registry *upstreams;
	struct redis_registry *redis;
	const struct client_options *client; /* of connections to other servers */

	/** The service of that name behind its own middlewares; lives as long as the middleware's
	 * generation. Returns 0 or a negative errno value with `e` filled in. During
	 * `middleware_create` only. */
	int (*find_service)(void *services, const struct chain **chain, slice name,
			    struct weir_error *e);
	void *services;
};

/**
 * Makes the middleware that `config` describes and outlives, from malloc; `middleware_destroy` ends
 * it. Returns 0; -ENOTSUP for a type that weir does not have yet; -ENOMEM if the proxy lacks
 * memory; another negative errno value for a configuration that cannot work; all with `e` filled in
 * and `*m` NULL. May block: not on a loop.
 */
int middleware_create(struct middleware **m, const struct dynamic_middleware *config,
		      const struct middleware_world *world, struct weir_error *e);

/** NULL is allowed in `*m`. */
void middleware_destroy(struct middleware **m);

#endif
