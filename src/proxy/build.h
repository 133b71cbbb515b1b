/*
 * Private to generation.c and build.c: from plain values to the graph of a generation.
 */
#ifndef PROXY_BUILD_H
#define PROXY_BUILD_H

#include "proxy/generation.h"

/**
 * Fills in routes, services, middlewares and router sets. Returns 0, -ENOMEM or -ECANCELED; what
 * was made so far is the generation's. `previous` is as for `generation_build`.
 */
int build_routers(struct generation *g, const struct generation *previous);

/** Gives up what TLS connections get. */
void generation_tls_free(struct generation *g);

#endif
