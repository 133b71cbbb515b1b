/*
 * An object of the whole process that has a part on each worker loop: connections to an endpoint,
 * instances of a plugin. Parts are made and used on their loop only; when the object goes, every
 * loop frees its own.
 */
#ifndef NET_PER_LOOP_H
#define NET_PER_LOOP_H

#include <stdatomic.h>

#include "net/loop.h"

/** The worker loops; `loops[i]->index == i`. Immutable while any of them runs. */
struct loop_group {
	struct loop **loops;
	size_t count;
};

#define PER_LOOP_MAGIC 0x7065726cu

/** One loop's part, with the message that will free it: giving back needs no memory. */
struct loop_part {
	struct message message;
	struct per_loop *object;
	void *part; /* NULL until made */
};

/** Embedded in the object. Lifetime: `per_loop_init` to `released` or `per_loop_discard`. */
struct per_loop {
	uint32_t magic;
	const struct loop_group *group;
	struct loop_part *parts; /* one per loop */
	void (*free_part)(void *part);
	void (*released)(struct per_loop *);
	_Atomic size_t remaining;
};

/**
 * `free_part` is called on the part's loop. `group` outlives the object. Returns 0 or -ENOMEM. Any
 * thread.
 */
int per_loop_init(struct per_loop *p, const struct loop_group *group,
		  void (*free_part)(void *part));

/** Undoes `per_loop_init` before any part was made. */
void per_loop_discard(struct per_loop *p);

/** The place of this loop's part, for the loop's own thread. */
static inline void **per_loop_part(struct per_loop *p, const struct loop *l)
{
	OBJ_CHECK(p, PER_LOOP_MAGIC);
	return &p->parts[l->index].part;
}

/**
 * Has every loop free its part, then calls `released` on the last of these threads, or within this
 * call when there are no parts; the object itself may be freed there. Nothing may use the object
 * any more. The loops still exist; one that does not run frees its part when it is closed. Any
 * thread.
 */
void per_loop_release(struct per_loop *p, void (*released)(struct per_loop *));

#endif
