#include "middleware/latency_window.h"

#include <string.h>

#include "core/base.h"

#define PERIOD_NS UINT64_C(10000000000)
#define HALF 128u /* steps between two powers of two */
#define EXACT_BITS 8u
#define LARGEST_US UINT64_C(3600000000)

void latency_window_reset(struct latency_window *w, uint64_t now_ns)
{
	memset(w, 0, sizeof *w);
	w->filled_ns = now_ns;
}

/* The power of two above 256 that `us` reaches, as a number of doublings. */
static unsigned doublings(uint64_t us)
{
	return 64 - (unsigned)__builtin_clzll(us | 0xff) - EXACT_BITS;
}

static size_t step_of(uint64_t us)
{
	unsigned d = doublings(us);

	return (size_t)d * HALF + (size_t)(us >> d);
}

/* The largest time that falls into a step. */
static uint64_t largest_of(size_t step)
{
	unsigned d = step < 2 * HALF ? 0 : (unsigned)(step / HALF) - 1;

	return ((uint64_t)(step - (size_t)d * HALF + 1) << d) - 1;
}

static void rotate(struct latency_window *w, uint64_t now_ns)
{
	w->now = (w->now + 1) % LATENCY_HISTOGRAMS;
	for (size_t i = 0; i < LATENCY_STEPS; i++)
		w->total -= w->counts[w->now][i];
	memset(w->counts[w->now], 0, sizeof w->counts[w->now]);
	w->filled_ns = now_ns;
}

void latency_window_add(struct latency_window *w, uint64_t latency_ns, uint64_t now_ns)
{
	uint64_t us = latency_ns / 1000;

	if (w->filled_ns == 0 || now_ns >= w->filled_ns + PERIOD_NS)
		rotate(w, now_ns);
	if (us > LARGEST_US)
		return;
	w->counts[w->now][step_of(us)]++;
	w->total++;
}

uint64_t latency_window_at(const struct latency_window *w, double percent)
{
	uint64_t wanted = (uint64_t)(MIN(percent, 100.0) / 100 * (double)w->total + 0.5), seen = 0;

	if (wanted == 0)
		return 0;
	for (size_t i = 0; i < LATENCY_STEPS; i++) {
		for (size_t h = 0; h < LATENCY_HISTOGRAMS; h++)
			seen += w->counts[h][i];
		if (seen >= wanted)
			return largest_of(i);
	}
	return 0;
}
