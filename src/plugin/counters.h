/*
 * Numbers about a plugin that any thread may read: each set is written by one thread at a time.
 */
#ifndef PLUGIN_COUNTERS_H
#define PLUGIN_COUNTERS_H

#include "core/base.h"
#include "core/counter.h"
#include "weir/plugin.h"

#define COUNTERS(X) \
	X(idle) \
	X(in_use) \
	X(waiting) \
	X(exchanges) \
	X(private_bytes) \
	X(linear_bytes) \
	X(restores) \
	X(restored_bytes) \
	X(cpu_ns) \
	X(yields) \
	X(late_slices) \
	X(log_lines_dropped)

#define HISTOGRAMS(X) X(init) X(clone) X(restore) X(call) X(queue_wait)

/** How often something took how long. */
struct histogram {
	_Atomic uint64_t counts[WEIR_HISTOGRAM_BUCKETS];
	_Atomic uint64_t sum_ns;
};

struct counters {
#define X(name) _Atomic uint64_t name;
	COUNTERS(X)
#undef X
#define X(name) struct histogram name;
	HISTOGRAMS(X)
#undef X
	_Atomic uint64_t failures[WEIR_CAUSE_COUNT];
};

/** The bucket of a time: the first one whose bound it does not pass. */
static inline size_t histogram_bucket(uint64_t ns)
{
	unsigned bits = ns > 1 ? 64u - (unsigned)__builtin_clzll(ns - 1) : 0;
	size_t bucket =
		bits <= WEIR_HISTOGRAM_FIRST_BITS ? 0 : (bits - WEIR_HISTOGRAM_FIRST_BITS + 1) / 2;

	return MIN(bucket, (size_t)WEIR_HISTOGRAM_BUCKETS - 1);
}

static inline void histogram_note(struct histogram *h, uint64_t ns)
{
	counter_add(&h->counts[histogram_bucket(ns)], 1);
	counter_add(&h->sum_ns, ns);
}

static inline void histogram_sum(struct weir_histogram *to, const struct histogram *from)
{
	for (size_t i = 0; i < WEIR_HISTOGRAM_BUCKETS; i++)
		to->counts[i] += counter_get(&from->counts[i]);
	to->sum_ns += counter_get(&from->sum_ns);
}

static inline void histogram_fold(struct histogram *to, const struct histogram *from)
{
	for (size_t i = 0; i < WEIR_HISTOGRAM_BUCKETS; i++)
		counter_add(&to->counts[i], counter_get(&from->counts[i]));
	counter_add(&to->sum_ns, counter_get(&from->sum_ns));
}

/** Adds all of `from` to `stats`. */
static inline void counters_sum(struct weir_plugin_stats *stats, const struct counters *from)
{
#define X(name) stats->name += counter_get(&from->name);
	COUNTERS(X)
#undef X
#define X(name) histogram_sum(&stats->name, &from->name);
	HISTOGRAMS(X)
#undef X
	for (size_t i = 0; i < WEIR_CAUSE_COUNT; i++)
		stats->failures[i] += counter_get(&from->failures[i]);
}

/** Adds all of `from`, which is about to go, to `to`. */
static inline void counters_fold(struct counters *to, const struct counters *from)
{
#define X(name) counter_add(&to->name, counter_get(&from->name));
	COUNTERS(X)
#undef X
#define X(name) histogram_fold(&to->name, &from->name);
	HISTOGRAMS(X)
#undef X
	for (size_t i = 0; i < WEIR_CAUSE_COUNT; i++)
		counter_add(&to->failures[i], counter_get(&from->failures[i]));
}

#endif
