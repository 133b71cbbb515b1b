/*
 * Where the threads of the process spend their CPU time: while it runs, each thread that uses the
 * processor gets a signal so many times per second of it, whose handler notes where the thread was.
 * Nothing is there, and nothing costs anything, before the first start.
 */
#ifndef CORE_SAMPLER_H
#define CORE_SAMPLER_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What threads must leave open that block signals: the others are not seen. */
#define SAMPLER_SIGNAL SIGPROF

/** As many callers are noted. Code without frame pointers hides its callers. */
#define SAMPLER_FRAMES_MAX 48u

struct sample {
	uint32_t thread; /* its number: see `sampler_thread_name` */
	uint32_t weight; /* periods that it stands for */
	uint32_t depth;
	/* Addresses of code, the innermost first; those of callers are before the place where they
	 * go on. */
	uintptr_t at[SAMPLER_FRAMES_MAX];
};

/**
 * Starts: one at a time in the process. `period_ns` is CPU time of a thread; no more than
 * `samples_max` are noted. Threads that are made later are not seen. Returns 0, -EBUSY, or another
 * negative errno value. Any thread; a few system calls for each thread of the process.
 */
int sampler_start(uint64_t period_ns, size_t samples_max);

/** No more samples are noted when this returns. Whoever has started. */
void sampler_stop(void);

/** What was noted, until `sampler_release`. */
struct sampler_result {
	const struct sample *samples;
	size_t count;
	uint64_t dropped; /* samples beyond the limit */
	uint64_t period_ns;
	uint64_t begun_wall_ns;
	uint64_t duration_ns;
};

/** After `sampler_stop`. */
struct sampler_result sampler_result(void);

/** Whether it runs, or its result is in use. Any thread. */
bool sampler_is_taken(void);

/** The name of a thread that was seen; NULL: unknown. As long as the result. */
const char *sampler_thread_name(uint32_t thread);

/** After `sampler_stop`: frees the samples; the next one may start. */
void sampler_release(void);

#endif
