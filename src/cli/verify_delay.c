#include <math.h>
#include <stdlib.h>

#include "cli/verify_private.h"

/* Of fewer windows nothing can be said. */
#define LEAST 5u
/* A median of n values that differ by d between their quartiles is off by about 0.93 d / sqrt(n):
 * that of two medians, twice to be sure. */
#define DOUBT 2.6

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The sorted list's value at that share, in milliseconds. */
static double at(const uint64_t *list, size_t count, double share)
{
	double place = share * (double)(count - 1);
	size_t i = (size_t)place;
	double low = (double)list[i], high = (double)list[MIN(i + 1, count - 1)];

	return (low + (high - low) * (place - (double)i)) / 1000;
}

void verify_delays_add(struct verify_delays *d, bool reload, uint64_t most_us)
{
	if (d->count[reload] < VERIFY_WINDOWS && most_us > 0)
		d->most_us[reload][d->count[reload]++] = most_us;
}

struct verify_delay verify_delays_sum(struct verify_delays *d)
{
	struct verify_delay sum = {.known = d->count[0] >= LEAST && d->count[1] >= LEAST};

	if (!sum.known)
		return sum;
	for (size_t i = 0; i < 2; i++)
		qsort(d->most_us[i], d->count[i], sizeof d->most_us[i][0], compare);
	sum.quiet_ms = at(d->most_us[0], d->count[0], 0.5);
	sum.reload_ms = at(d->most_us[1], d->count[1], 0.5);
	sum.doubt_ms =
		DOUBT *
		(at(d->most_us[0], d->count[0], 0.75) - at(d->most_us[0], d->count[0], 0.25)) /
		sqrt((double)d->count[0]);
	return sum;
}
