/*
 * api@internal: the configuration and what became of it, as JSON, with Traefik's paths and names.
 */
#ifndef API_API_H
#define API_API_H

#include "config/static.h"
#include "core/error.h"

struct api;
struct proxy;

/**
 * Starts the thread that answers and has the proxy serve the service. Control thread, before the
 * first configuration; the static configuration has `api`. Returns 0 or a negative errno value.
 */
int api_create(struct api **made, struct proxy *proxy, const struct static_config *config,
	       struct weir_error *e);

/** Answers those who wait and ends the thread; later requests get 503. Before the proxy is
 * destroyed. NULL is allowed. */
void api_stop(struct api *api);

/** After the proxy was destroyed. NULL is allowed in `*api`. */
void api_destroy(struct api **api);

#endif
