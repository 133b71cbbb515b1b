/*
 * Artefacts on disk, one file per key, of this user only. Several processes may use a directory.
 */
#ifndef PLUGIN_CACHE_H
#define PLUGIN_CACHE_H

#include "core/error.h"
#include "plugin/artefact.h"

/** What a look into the cache found. */
enum cache_find { CACHE_HIT, CACHE_MISS, CACHE_CORRUPT };

/** Lifetime: `cache_open`, then `cache_close`. Any thread in between. */
struct cache {
	int directory; /* -1: none */
	uint64_t bytes_max;
};

/**
 * Opens a directory, making it and those above it as needed. One that others may write is refused.
 * Returns 0, or a negative errno value with the reason and a cache that holds nothing.
 */
int cache_open(struct cache *c, const char *path, uint64_t bytes_max, struct weir_error *error);

/** NULL or closed is allowed. */
void cache_close(struct cache *c);

/**
 * On a hit `*fd` is a checked artefact, a copy that the caller closes. On CACHE_CORRUPT the error
 * says what is wrong with the file.
 */
enum cache_find cache_get(struct cache *c, const struct artefact_key *key, int *fd,
			  struct weir_error *error);

/**
 * Stores an artefact (which is not checked again) in place of what is there, and removes those that
 * were not used for the longest time until all fit; `*evicted` counts them. Returns 0, or a
 * negative errno value with the reason, the directory as it was.
 */
int cache_put(struct cache *c, const struct artefact_key *key, int fd, uint64_t *evicted,
	      struct weir_error *error);

#endif
