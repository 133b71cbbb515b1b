#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base.h"
#include "proxy/balancer.h"

#define SERVERS_MAX 70000

static struct arena arena;

static void fill(int64_t *weights, size_t count, int64_t weight)
{
	for (size_t i = 0; i < count; i++)
		weights[i] = weight;
}

static int next_of(struct balancer *b)
{
	uint32_t place;

	return balancer_next(b, &place);
}

/* What comes after a turn that somebody cannot take; nobody else's turn moves. */
static void turns_after_one(void **state)
{
	const int64_t weights[] = {3, 1};
	struct balancer b;
	uint32_t place;

	(void)state;
	assert_int_equal(balancer_init(&b, &arena, weights, 2), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(balancer_next(&b, &place), 0);
	assert_int_equal(balancer_after(&b, place, 1), 1);
	assert_int_equal(balancer_after(&b, place, 2), 0);
	assert_int_equal(balancer_after(&b, place, 3), 0);
	assert_int_equal(balancer_after(&b, place, 4), -1);
	assert_int_equal(balancer_after(&b, place, UINT32_MAX), -1);
	assert_int_equal(next_of(&b), 1);
}

static void turns_follow_the_weights(void **state)
{
	const int64_t weights[] = {3, 0, 1, -5, 2};
	size_t turns[5] = {0};
	struct balancer b;

	(void)state;
	assert_int_equal(balancer_init(&b, &arena, weights, 5), 0);
	assert_int_equal(b.length, 6);
	for (int i = 0; i < 600; i++)
		turns[next_of(&b)]++;
	assert_int_equal(turns[0], 300);
	assert_int_equal(turns[1], 0);
	assert_int_equal(turns[2], 100);
	assert_int_equal(turns[3], 0);
	assert_int_equal(turns[4], 200);
}

/* Deadlines 1/3, 2/3, 3/3 against 1/1: the heavy one is never served four times in a row. */
static void turns_are_spread(void **state)
{
	const int64_t weights[] = {3, 1};
	const int expected[] = {0, 0, 0, 1, 0, 0, 0, 1};
	const int64_t equal[] = {1000000, 1000000, 1000000};
	struct balancer b;

	(void)state;
	assert_int_equal(balancer_init(&b, &arena, weights, 2), 0);
	for (size_t i = 0; i < ARRAY_LEN(expected); i++)
		assert_int_equal(next_of(&b), expected[i]);
	assert_int_equal(balancer_init(&b, &arena, equal, 3), 0);
	assert_int_equal(b.length, 3);
	for (int i = 0; i < 9; i++)
		assert_int_equal(next_of(&b), i % 3);
}

static void nobody_is_rounded_away(void **state)
{
	const int64_t weights[] = {INT64_MAX, 1, INT64_MAX / 2};
	size_t turns[3] = {0};
	struct balancer b;

	(void)state;
	assert_int_equal(balancer_init(&b, &arena, weights, 3), 0);
	assert_true(b.length <= BALANCER_ROUND_MAX);
	for (uint32_t i = 0; i < b.length; i++)
		turns[next_of(&b)]++;
	assert_int_equal(turns[1], 1);
	assert_true(turns[0] > turns[2] * 19 / 10 && turns[0] < turns[2] * 21 / 10);
}

static void none_to_choose(void **state)
{
	const int64_t weights[] = {0, -1};
	struct balancer b;

	(void)state;
	assert_int_equal(balancer_init(&b, &arena, weights, 2), 0);
	assert_int_equal(next_of(&b), -1);
	assert_int_equal(balancer_init(&b, &arena, weights, 0), 0);
	assert_int_equal(next_of(&b), -1);
}

/* A configuration with thousands of servers once ended the process. */
static void many_servers(void **state)
{
	int64_t *weights = malloc(SERVERS_MAX * sizeof *weights);
	struct balancer b;

	(void)state;
	assert_non_null(weights);
	fill(weights, SERVERS_MAX, 1);
	assert_int_equal(balancer_init(&b, &arena, weights, 5000), 0);
	assert_int_equal(b.length, 5000);
	for (int i = 0; i < 5000; i++)
		assert_int_equal(next_of(&b), i);
	weights[7] = 1000000;
	assert_int_equal(balancer_init(&b, &arena, weights, UINT16_MAX), 0);
	assert_true(b.length >= UINT16_MAX && b.length <= 2 * UINT16_MAX);
	assert_int_equal(balancer_init(&b, &arena, weights, SERVERS_MAX), -E2BIG);
	free(weights);
}

static void memory_is_short(void **state)
{
	const int64_t weights[] = {5, 3, 7, 1};
	struct arena tiny;
	struct balancer b;

	(void)state;
	for (size_t limit = 0; limit < 160; limit += 16) {
		int r;

		arena_init(&tiny, 64, limit);
		r = balancer_init(&b, &tiny, weights, 4);
		assert_true(r == 0 || r == -ENOMEM);
		if (limit < 64)
			assert_int_equal(r, -ENOMEM);
		arena_free(&tiny);
	}
}

static int set_up(void **state)
{
	(void)state;
	arena_init(&arena, 4096, (size_t)64 << 20);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(turns_follow_the_weights, set_up, tear_down),
		cmocka_unit_test_setup_teardown(turns_after_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(turns_are_spread, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nobody_is_rounded_away, set_up, tear_down),
		cmocka_unit_test_setup_teardown(none_to_choose, set_up, tear_down),
		cmocka_unit_test_setup_teardown(many_servers, set_up, tear_down),
		cmocka_unit_test(memory_is_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
