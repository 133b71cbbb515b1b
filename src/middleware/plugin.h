/*
 * The middleware that runs an http-wasm plugin (Traefik: http.middlewares.<name>.plugin.<alias>).
 */
#ifndef MIDDLEWARE_PLUGIN_H
#define MIDDLEWARE_PLUGIN_H

#include "middleware/registry.h"

/** For the table in registry.c. */
int plugin_middleware_create(struct middleware **m, const struct dynamic_middleware *config,
			     const struct middleware_world *world, struct weir_error *e);

#endif
