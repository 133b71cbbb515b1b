/*
 * A hash map from byte strings to pointers, keyed with SipHash so that names chosen by strangers
 * cannot pile up. Keeps insertion order.
 */
#ifndef CORE_MAP_H
#define CORE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/slice.h"

struct map_entry {
	slice key; /* borrowed: the caller keeps the bytes alive */
	void *value;
	uint64_t hash;
};

/** Lifetime: `(struct map){0}`, then `map_free`. Values belong to the caller. */
struct map {
	struct map_entry *entries; /* in insertion order; a removed one has a NULL value */
	uint32_t *index;           /* open addressing: entry number + 1, or 0 */
	size_t count;              /* live entries */
	size_t used;               /* entries in the array, removed ones included */
	size_t capacity;           /* of the entry array; the index has twice as many places */
};

/** Frees the map, not its values; it can be used again as an empty one. */
void map_free(struct map *m);

/** The value under `key`, or NULL. */
void *map_get(const struct map *m, slice key);

/** Adds or replaces; `value` is not NULL. Returns 0, or -ENOMEM with the map unchanged. */
int map_put(struct map *m, slice key, void *value);

/** Removes and returns the value, or NULL if there is none. */
void *map_remove(struct map *m, slice key);

/** Visits in insertion order: `for (struct map_entry *e = NULL; (e = map_next(m, e)) != NULL;)`. */
struct map_entry *map_next(const struct map *m, const struct map_entry *after);

/** The keyed hash that the map uses; the key is drawn once per process. */
uint64_t map_hash(slice key);

#endif
