#include "cli/verify_private.h"

#define SHIFT 4u
#define STEPS (1u << SHIFT)

/* Sixteen cells for each power of two; the first sixteen microseconds have one each. */
static size_t cell_of(uint64_t us)
{
	unsigned exponent;
	size_t cell;

	if (us < STEPS)
		return (size_t)us;
	exponent = 63u - (unsigned)__builtin_clzll(us);
	cell = (size_t)(exponent - SHIFT + 1) * STEPS +
	       (size_t)((us >> (exponent - SHIFT)) & (STEPS - 1));
	return MIN(cell, (size_t)VERIFY_LATENCY_CELLS - 1);
}

/* The most that a cell stands for. */
static uint64_t cell_end(size_t cell)
{
	unsigned exponent;

	if (cell < STEPS)
		return cell;
	exponent = (unsigned)(cell / STEPS) + SHIFT - 1;
	return (((uint64_t)STEPS + cell % STEPS + 1) << (exponent - SHIFT)) - 1;
}

void verify_latency_add(struct verify_latency *l, uint64_t us)
{
	l->count++;
	l->most_us = MAX(l->most_us, us);
	l->cells[cell_of(us)]++;
}

uint64_t verify_latency_at(const struct verify_latency *l, double share)
{
	uint64_t wanted = (uint64_t)((double)l->count * share), seen = 0;

	if (l->count == 0)
		return 0;
	for (size_t i = 0; i < VERIFY_LATENCY_CELLS; i++) {
		seen += l->cells[i];
		if (seen > wanted || seen == l->count)
			return MIN(cell_end(i), l->most_us);
	}
	return l->most_us;
}
