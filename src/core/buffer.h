/*
 * Reference-counted blocks of bytes, recycled per thread. A block is filled by one reader and
 * referred to by any number of slices of the same thread; it goes back to its pool with the last
 * reference.
 */
#ifndef CORE_BUFFER_H
#define CORE_BUFFER_H

#include "core/counter.h"
#include "core/list.h"
#include "core/slice.h"

/** Size classes of blocks: usable bytes. A reader starts small and moves up as long as it fills its
 * blocks. */
enum buffer_class {
	BUFFER_SMALL,
	BUFFER_MEDIUM,
	BUFFER_LARGE,
	BUFFER_CLASSES,
	BUFFER_ODD = BUFFER_CLASSES
};
#define BUFFER_SMALL_BYTES ((size_t)16 * 1024)
#define BUFFER_MEDIUM_BYTES ((size_t)64 * 1024)
#define BUFFER_LARGE_BYTES ((size_t)256 * 1024)

#define BUFFER_MAGIC 0x62756666u

/** Owned by whoever holds a reference; all holders are on the pool's thread. */
struct buffer {
	uint32_t magic;
	uint32_t references;
	struct buffer_pool *pool;
	struct list link; /* in the pool's free list while nobody refers to it */
	size_t capacity;
	size_t filled; /* bytes written so far; written bytes never change */
	enum buffer_class class;
	char bytes[];
};

#define BUFFER_POOL_MAGIC 0x62706f6cu

/** One per worker thread; outlives all of its blocks. */
/* X(NAME, kind, help): numbers of one pool that any thread may read. */
#define BUFFER_COUNTERS(X) \
	X(live_bytes, GAUGE, "Bytes of buffers, idle ones included") \
	X(refused, COUNTER, "Buffers that were refused at the limit of buffer memory")

struct buffer_counters {
#define X(name, kind, help) _Atomic uint64_t name;
	BUFFER_COUNTERS(X)
#undef X
};

struct buffer_pool {
	uint32_t magic;
	struct list idle[BUFFER_CLASSES];
	size_t idle_count[BUFFER_CLASSES];
	size_t idle_low[BUFFER_CLASSES]; /* fewest idle since the last trim */
	size_t live_bytes;               /* of all blocks, idle ones included */
	size_t limit_bytes;
	struct buffer_counters counters;
};

/** Allocates nothing yet; `limit_bytes` bounds the sum of all blocks, idle ones included. */
void buffer_pool_init(struct buffer_pool *pool, size_t limit_bytes);

/** All blocks must have come back. */
void buffer_pool_free(struct buffer_pool *pool);

/**
 * Gives back to the system half of the blocks that nobody needed since the last call; to be called
 * about once a second. Returns true while there is anything left to trim.
 */
bool buffer_pool_trim(struct buffer_pool *pool);

/**
 * Whether more than half of the limit is in use: readers then take small blocks and keep little
 * waiting, so that some is left for others.
 */
bool buffer_pool_is_short(const struct buffer_pool *pool);

/** Usable bytes of a block of that class (not BUFFER_ODD). */
size_t buffer_class_bytes(enum buffer_class class);

/** An empty block with one reference, or NULL at the pool's limit or when memory is short. */
struct buffer *buffer_get(struct buffer_pool *pool, enum buffer_class class);

/** The same with room for `capacity` bytes; not recycled. */
struct buffer *buffer_get_bytes(struct buffer_pool *pool, size_t capacity);

static inline struct buffer *buffer_ref(struct buffer *b)
{
	OBJ_CHECK(b, BUFFER_MAGIC);
	b->references++;
	return b;
}

/** Drops the reference and nulls the giver's pointer. NULL is allowed. */
void buffer_unref(struct buffer **giver);

static inline size_t buffer_room(const struct buffer *b)
{
	return b->capacity - b->filled;
}

#endif
