/*
 * Numbers that one thread counts and any thread may read: no lock, no atomic read-modify-write.
 */
#ifndef CORE_COUNTER_H
#define CORE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

/** How a number is read: it only grows, or it is what there is now. Tables of counters say it. */
enum counter_kind { COUNTER, GAUGE };

/** One thread at a time, as for the next one. */
static inline void counter_add(_Atomic uint64_t *c, uint64_t n)
{
	uint64_t now = atomic_load_explicit(c, memory_order_relaxed);

	atomic_store_explicit(c, now + n, memory_order_relaxed);
}

static inline void counter_sub(_Atomic uint64_t *c, uint64_t n)
{
	counter_add(c, (uint64_t)0 - n);
}

/** Any thread. */
static inline uint64_t counter_get(const _Atomic uint64_t *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

#endif
