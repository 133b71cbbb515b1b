/*
 * Private to worker.c, worker_generations.c and census.c.
 */
#ifndef PROXY_WORKER_PRIVATE_H
#define PROXY_WORKER_PRIVATE_H

#include "proxy/worker.h"

/**
 * The exchange begins on the worker's current generation, of which `route` is, and keeps it there
 * until it ends or can do without. Sets `x->route` and `x->on_release`.
 */
void worker_pin(struct worker *w, struct exchange *x, struct route *route);

/** `g` (NULL: none) is the current one from now on; the one before goes when nobody needs it. */
void worker_take(struct worker *w, struct generation *g);

/** The generation that the exchange pins; NULL: none. The worker's thread. */
const struct generation *worker_pinned(const struct exchange *x);

#endif
