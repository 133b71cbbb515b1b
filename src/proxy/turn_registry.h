/*
 * Whose turn it is, by the servers that take turns: load balancers with the same servers and
 * weights go on where the others are, whatever service and generation they are of.
 */
#ifndef PROXY_TURN_REGISTRY_H
#define PROXY_TURN_REGISTRY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "core/slice.h"

/** Any thread. Lifetime: longer than what it gave. */
struct turn_registry;

/** A position that is counted up for ever. Who has a reference may use `next`, in any thread. */
struct turn {
	_Atomic uint32_t next;
};

/** Returns 0 or -ENOMEM. */
int turn_registry_create(struct turn_registry **registry);
/** No turn is left. NULL is allowed in `*registry`. */
void turn_registry_destroy(struct turn_registry **registry);

/** One reference to the turn under these bytes, which are copied; a new one begins at 0. Returns 0
 * or -ENOMEM. */
int turn_registry_get(struct turn_registry *registry, slice key, struct turn **turn);

/** Drops a reference; the last one frees it. NULL is allowed in `*turn`. */
void turn_release(struct turn **turn);

/** How many turns there are. */
size_t turn_registry_count(struct turn_registry *registry);

#endif
