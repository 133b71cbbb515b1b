/*
 * Numbers about a plugin that any thread may read: each set is written by one thread at a time.
 */
#ifndef PLUGIN_COUNTERS_H
#define PLUGIN_COUNTERS_H

#include <stdatomic.h>

#include "weir/plugin.h"

#define COUNTERS(X) \
	X(idle) \
	X(in_use) \
	X(waiting) \
	X(exchanges) \
	X(restores) \
	X(restored_bytes) \
	X(cpu_ns) \
	X(yields) \
	X(log_lines_dropped)

struct counters {
#define X(name) _Atomic uint64_t name;
	COUNTERS(X)
#undef X
	_Atomic uint64_t failures[WEIR_CAUSE_COUNT];
};

static inline void counter_add(_Atomic uint64_t *counter, uint64_t n)
{
	uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, now + n, memory_order_relaxed);
}

static inline void counter_sub(_Atomic uint64_t *counter, uint64_t n)
{
	counter_add(counter, (uint64_t)0 - n);
}

/** Adds all of `from` to `stats`. */
static inline void counters_sum(struct weir_plugin_stats *stats, const struct counters *from)
{
#define X(name) stats->name += atomic_load_explicit(&from->name, memory_order_relaxed);
	COUNTERS(X)
#undef X
	for (size_t i = 0; i < WEIR_CAUSE_COUNT; i++)
		stats->failures[i] +=
			atomic_load_explicit(&from->failures[i], memory_order_relaxed);
}

/** Adds all of `from`, which is about to go, to `to`. */
static inline void counters_fold(struct counters *to, const struct counters *from)
{
#define X(name) counter_add(&to->name, atomic_load_explicit(&from->name, memory_order_relaxed));
	COUNTERS(X)
#undef X
	for (size_t i = 0; i < WEIR_CAUSE_COUNT; i++)
		counter_add(&to->failures[i],
			    atomic_load_explicit(&from->failures[i], memory_order_relaxed));
}

#endif
