#include "proxy/balancer.h"

#include <errno.h>

#include "core/base.h"

static uint64_t gcd(uint64_t a, uint64_t b)
{
	while (b != 0) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* The smallest weights with the same proportions; if a round would still be too long, proportions are rounded and nobody falls to 0. */
static uint64_t reduce(uint64_t *weights, size_t count)
{
	uint64_t divisor = 0, total = 0;
	double sum = 0;

	for (size_t i = 0; i < count; i++) {
		divisor = gcd(divisor, weights[i]);
		sum += (double)weights[i];
	}
	if (divisor == 0)
		return 0;
	if (sum / (double)divisor > (double)(BALANCER_ROUND_MAX - count)) {
		double scale = (double)(BALANCER_ROUND_MAX - count) / sum;

		for (size_t i = 0; i < count; i++)
			weights[i] = weights[i] == 0 ? 0 : MAX((uint64_t)((double)weights[i] * scale), 1);
		divisor = 1;
	}
	for (size_t i = 0; i < count; i++) {
		weights[i] /= divisor;
		total += weights[i];
	}
	return total;
}

/* Fills in the round: each turn goes to the server whose deadline (turns taken + 1, over its weight) is earliest. */
static void schedule(struct balancer *b, const uint64_t *weights, uint64_t *turns, size_t count)
{
	for (uint32_t at = 0; at < b->length; at++) {
		size_t best = count;

		for (size_t i = 0; i < count; i++) {
			if (weights[i] == 0)
				continue;
			if (best == count || (turns[i] + 1) * weights[best] < (turns[best] + 1) * weights[i])
				best = i;
		}
		turns[best]++;
		b->round[at] = (uint16_t)best;
	}
}

int balancer_init(struct balancer *b, struct arena *arena, const int64_t *weights, size_t count)
{
	uint64_t *reduced, *turns;

	must(count <= BALANCER_ROUND_MAX / 2);
	*b = (struct balancer){0};
	reduced = ARENA_ARRAY(arena, uint64_t, count * 2);
	if (reduced == NULL)
		return -ENOMEM;
	turns = reduced + count;
	for (size_t i = 0; i < count; i++)
		reduced[i] = weights[i] > 0 ? (uint64_t)weights[i] : 0;
	b->length = (uint32_t)reduce(reduced, count);
	if (b->length == 0)
		return 0;
	b->round = ARENA_ARRAY(arena, uint16_t, b->length);
	if (b->round == NULL)
		return -ENOMEM;
	schedule(b, reduced, turns, count);
	return 0;
}

int balancer_next(struct balancer *b)
{
	if (b->length <= 1)
		return b->length == 0 ? -1 : b->round[0];
	return b->round[atomic_fetch_add_explicit(&b->next, 1, memory_order_relaxed) % b->length];
}
