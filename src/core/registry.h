/*
 * Objects that several share, found again by what makes them equal: the same server, rule or
 * position, whichever generation asks for it. Who has a reference keeps it; the last one to let go
 * of it takes it out and destroys it.
 */
#ifndef CORE_REGISTRY_H
#define CORE_REGISTRY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/map.h"

/** All functions: any thread. Lifetime: `registry_init`, then `registry_free`; longer than its
 * members. */
struct registry {
	pthread_mutex_t lock; /* guards the map and the counts of all members */
	struct map by_key;
};

/** A part of the object that is shared. */
struct registry_member {
	struct registry *registry;
	slice key; /* borrowed: its bytes live as long as the object */
	size_t references;
};

/** An empty one. */
void registry_init(struct registry *r);

/** No member is left. */
void registry_free(struct registry *r);

/** The member under `key` with one more reference, or NULL. */
struct registry_member *registry_find(struct registry *r, slice key);

/** Adds `made` under `key`, with one reference. Returns it; or another one that is there by now,
 * with one more reference; or NULL when there is no memory. In the last two cases `made` is still
 * the caller's alone. */
struct registry_member *registry_add(struct registry *r, struct registry_member *made, slice key);

/** One more reference, by somebody who has one. */
void registry_ref(struct registry_member *m);

/** Drops a reference. Whether it was the last: then the object is no member any more, and the
 * caller destroys it. */
bool registry_release(struct registry_member *m);

/** How many members there are. */
size_t registry_count(struct registry *r);

/** All members in the order of their coming, with one more reference each, in an array that the
 * caller frees. NULL: no memory. */
struct registry_member **registry_hold(struct registry *r, size_t *count);

#endif
