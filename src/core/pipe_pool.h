/*
 * Pipes of the kernel that long bodies go through from one socket to another: their bytes are moved
 * (splice), not copied to us and back. Recycled per thread.
 */
#ifndef CORE_PIPE_POOL_H
#define CORE_PIPE_POOL_H

#include <stdint.h>
#include <sys/types.h>

#include "core/counter.h"
#include "core/list.h"

/** Owned by whoever took it from its pool, on the pool's thread. */
struct pipe {
	struct pipe_pool *pool;
	struct list link; /* in the pool while it is idle */
	int in, out;      /* both ends, non-blocking */
	size_t bytes;     /* on their way */
};

/* X(NAME, kind, help): numbers of one pool that any thread may read. */
#define PIPE_COUNTERS(X) \
	X(open, GAUGE, \
	  "Pipes that long bodies go through without being copied, idle ones included") \
	X(bytes, COUNTER, "Bytes of bodies that went through pipes") \
	X(refused, COUNTER, "Long bodies that were copied because no pipe was to be had")

struct pipe_counters {
#define X(name, kind, help) _Atomic uint64_t name;
	PIPE_COUNTERS(X)
#undef X
};

/** One per worker thread; outlives its pipes. */
struct pipe_pool {
	struct list idle;
	unsigned idle_count, count;
	unsigned max; /* pipes; 0: bodies are copied */
	struct pipe_counters counters;
};

/** Opens nothing yet. */
void pipe_pool_init(struct pipe_pool *pool, unsigned max);

/** All pipes must have come back. */
void pipe_pool_free(struct pipe_pool *pool);

/** An empty pipe. NULL (counted, unless there are to be none): all are in use, or the system has no
 * more. */
struct pipe *pipe_take(struct pipe_pool *pool);

/** Gives the pipe back, or closes it: when bytes are left in it, or idle ones abound. Nulls the
 * giver's pointer; NULL is allowed. */
void pipe_give(struct pipe **giver);

/** Moves at most `n` bytes from a socket into the pipe. Returns how many, 0 at the end of the
 * socket's data, -EAGAIN when it has none now or the pipe has no room, or another negative errno.
 */
ssize_t pipe_fill(struct pipe *p, int fd, size_t n);

/** Moves at most `n` bytes from the pipe to a socket. Returns how many (not 0), -EAGAIN, or another
 * negative errno. The pipe is not empty. */
ssize_t pipe_drain(struct pipe *p, int fd, size_t n);

#endif
