/*
 * Where guests' memories and stacks lie: linear memories are private mappings of images, and both
 * are recycled per thread, because the system's lock on the address space is what threads would
 * fight over.
 */
#ifndef PLUGIN_MAPPING_H
#define PLUGIN_MAPPING_H

#include <wasm.h>
#include <wasmtime.h>

#include "plugin/image.h"

/** Has the engine take memories and stacks from here. */
void mapping_configure(wasm_config_t *config);

/**
 * Memories that the calling thread makes from now on begin as `image`, with its size; NULL: with
 * zeros.
 */
void mapping_use(const struct image *image);

/**
 * Puts an image below a memory in use that has the image's size: what the memory had for itself is
 * given back. Returns 0 or a negative errno value, after which the memory cannot be used.
 */
int mapping_rebase(uint8_t *base, const struct image *image);

/** Gives back what the calling thread keeps for later. */
void mapping_trim(void);

/** Reservations that the calling thread keeps for later: for tests. */
size_t mapping_idle_memories(void);

#endif
