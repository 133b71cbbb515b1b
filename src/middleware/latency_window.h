/*
 * How long the requests of the last minute took: six histograms of ten seconds each, with about 1 %
 * of precision, as Traefik's circuit breaker keeps them.
 */
#ifndef MIDDLEWARE_LATENCY_WINDOW_H
#define MIDDLEWARE_LATENCY_WINDOW_H

#include <stdint.h>

#define LATENCY_HISTOGRAMS 6
/* From 1 us to one hour: 25 powers of two above 256 us, each in 128 steps, and what is below. */
#define LATENCY_STEPS 3328

/** Zeroed is empty. One thread at a time. */
struct latency_window {
	uint32_t counts[LATENCY_HISTOGRAMS][LATENCY_STEPS];
	uint64_t total;
	unsigned now;       /* the histogram that is filled */
	uint64_t filled_ns; /* since when; 0: never */
};

/** Forgets everything. */
void latency_window_reset(struct latency_window *w, uint64_t now_ns);

/** Adds one request. Histograms grow old only here: without requests nothing is forgotten. */
void latency_window_add(struct latency_window *w, uint64_t latency_ns, uint64_t now_ns);

/** The time, in microseconds, below which `percent` (0 to 100) of the requests stayed; 0 without
 * any. */
uint64_t latency_window_at(const struct latency_window *w, double percent);

#endif
