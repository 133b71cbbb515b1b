/*
 * Time with units in the names; a wall clock never enters a time-out.
 */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include <stdint.h>

/** Monotonic, since an arbitrary start. */
uint64_t clock_mono_ns(void);

/** The same clock in milliseconds. */
uint64_t clock_mono_ms(void);

/** CPU time of the calling thread. */
uint64_t clock_thread_cpu_ns(void);

/** Wall clock since 1970-01-01 UTC; may jump. */
uint64_t clock_wall_ns(void);

/**
 * A time-out of the configuration for a timer, rounded up: a positive one never becomes 0, which
 * means "none", as negative ones do.
 */
static inline uint64_t clock_ns_to_ms(int64_t ns)
{
	return ns <= 0 ? 0 : ((uint64_t)ns + 999999) / 1000000u;
}

/** The same, to seconds; of at most 136 years. */
static inline unsigned clock_ns_to_s(int64_t ns)
{
	return (unsigned)((clock_ns_to_ms(ns) + 999) / 1000);
}

#endif
