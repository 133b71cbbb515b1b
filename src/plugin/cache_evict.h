/*
 * Keeps a cache's directory within its size.
 */
#ifndef PLUGIN_CACHE_EVICT_H
#define PLUGIN_CACHE_EVICT_H

#include <stdint.h>

/** Files of other names are not the cache's. */
#define CACHE_SUFFIX ".weircode"
#define CACHE_TEMPORARY ".weircode-"

/**
 * Removes the files that were not used for the longest time until the others have `bytes_max`
 * together, `keep` never, and what interrupted writers left behind. Returns how many artefacts were
 * removed.
 */
uint64_t cache_evict(int directory, uint64_t bytes_max, const char *keep);

#endif
