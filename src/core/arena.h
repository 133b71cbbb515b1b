/*
 * Bump allocation with one end: everything taken from an arena is freed together. Bounded: past its
 * limit an arena refuses, which fails the request or the build that owns it, never the process.
 */
#ifndef CORE_ARENA_H
#define CORE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "core/slice.h"

struct arena_block;

/** Lifetime: embedded in its owner; `arena_init` to `arena_free`. One thread at a time. */
struct arena {
	char *next; /* free bytes of the newest block */
	char *end;
	struct arena_block *blocks; /* newest first */
	size_t used_bytes;          /* of all blocks, headers included */
	size_t limit_bytes;
	size_t block_bytes; /* of a block that an ordinary allocation opens */
	bool full;          /* the limit has refused something since the last reset */
};

/** No memory is taken until the first allocation. */
void arena_init(struct arena *a, size_t block_bytes, size_t limit_bytes);

/** Frees all blocks; the arena can be used again as after `arena_init`. */
void arena_free(struct arena *a);

/** Forgets all allocations, but keeps the oldest block for the next user. */
void arena_reset(struct arena *a);

/** `n` bytes aligned for any type, not cleared; NULL past the limit or when memory is short. */
void *arena_alloc(struct arena *a, size_t n);

/** Like `arena_alloc`, cleared. */
void *arena_zalloc(struct arena *a, size_t n);

/** A copy with a terminator after it. On failure `p` is NULL (also for an empty `s`: then p is
 * non-NULL on success). */
slice arena_copy(struct arena *a, slice s);

/** Formats into the arena; `p` is terminated, or NULL on failure. */
slice arena_format(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define ARENA_NEW(a, type) ((type *)arena_zalloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, count) ((type *)arena_zalloc_array((a), sizeof(type), (count)))

/** Cleared room for `count` elements; NULL as for `arena_alloc`, or if the product overflows. */
void *arena_zalloc_array(struct arena *a, size_t size, size_t count);

#endif
