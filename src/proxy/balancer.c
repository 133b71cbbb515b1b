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

/* The smallest weights with the same proportions; if a round would still be too long, proportions
 * are rounded and nobody falls to 0. */
static uint64_t reduce(uint64_t *weights, size_t count)
{
	double room = (double)(MAX(BALANCER_ROUND_MAX, 2 * count) - count), sum = 0;
	uint64_t divisor = 0, total = 0;

	for (size_t i = 0; i < count; i++) {
		divisor = gcd(divisor, weights[i]);
		sum += (double)weights[i];
	}
	if (divisor == 0)
		return 0;
	if (sum / (double)divisor > room) {
		for (size_t i = 0; i < count; i++)
			weights[i] =
				weights[i] == 0
					? 0
					: MAX((uint64_t)((double)weights[i] * (room / sum)), 1);
		divisor = 1;
	}
	for (size_t i = 0; i < count; i++) {
		weights[i] /= divisor;
		total += weights[i];
	}
	return total;
}

/* Servers in a binary heap, the earliest deadline first. The deadline is turns taken + 1, over the
 * weight. */
struct schedule {
	const uint64_t *weights;
	uint64_t *turns;
	uint16_t *heap;
	size_t count;
};

static bool is_earlier(const struct schedule *s, uint16_t a, uint16_t b)
{
	uint64_t left = (s->turns[a] + 1) * s->weights[b],
		 right = (s->turns[b] + 1) * s->weights[a];

	return left < right || (left == right && a < b);
}

static void sink(struct schedule *s, size_t at)
{
	for (;;) {
		size_t child = 2 * at + 1;
		uint16_t moved = s->heap[at];

		if (child >= s->count)
			return;
		if (child + 1 < s->count && is_earlier(s, s->heap[child + 1], s->heap[child]))
			child++;
		if (!is_earlier(s, s->heap[child], moved))
			return;
		s->heap[at] = s->heap[child];
		s->heap[child] = moved;
		at = child;
	}
}

/* Fills in the round: each turn goes to the server whose deadline is earliest. */
static void fill_round(struct balancer *b, struct schedule *s, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (s->weights[i] > 0)
			s->heap[s->count++] = (uint16_t)i;
	}
	for (size_t i = s->count / 2; i-- > 0;)
		sink(s, i);
	for (uint32_t at = 0; at < b->length; at++) {
		b->round[at] = s->heap[0];
		s->turns[s->heap[0]]++;
		sink(s, 0);
	}
}

int balancer_init(struct balancer *b, struct arena *arena, const int64_t *weights, size_t count)
{
	struct schedule s = {0};
	uint64_t *reduced;

	*b = (struct balancer){0};
	b->next = &b->own;
	if (count > UINT16_MAX)
		return -E2BIG;
	reduced = ARENA_ARRAY(arena, uint64_t, count);
	s.turns = ARENA_ARRAY(arena, uint64_t, count);
	s.heap = ARENA_ARRAY(arena, uint16_t, count);
	if (reduced == NULL || s.turns == NULL || s.heap == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		reduced[i] = weights[i] > 0 ? (uint64_t)weights[i] : 0;
	s.weights = reduced;
	b->length = (uint32_t)reduce(reduced, count);
	if (b->length == 0)
		return 0;
	b->round = ARENA_ARRAY(arena, uint16_t, b->length);
	if (b->round == NULL)
		return -ENOMEM;
	fill_round(b, &s, count);
	return 0;
}

int balancer_next(struct balancer *b, uint32_t *place)
{
	*place = 0;
	if (b->length == 0)
		return -1;
	if (b->length > 1)
		*place = atomic_fetch_add_explicit(b->next, 1, memory_order_relaxed) % b->length;
	return b->round[*place];
}

int balancer_after(const struct balancer *b, uint32_t place, uint32_t steps)
{
	must(place < b->length);
	return steps < b->length ? b->round[((uint64_t)place + steps) % b->length] : -1;
}
