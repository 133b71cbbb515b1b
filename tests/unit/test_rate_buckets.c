#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "middleware/rate_buckets.h"

#define MS 1000000u
#define S (1000 * (uint64_t)MS)

static int take(struct rate_buckets *b, const char *source, uint64_t now_ns, uint64_t *wait_ns)
{
	struct rate_key key;

	rate_key_make(&key, slice_from(source));
	return rate_buckets_take(b, &key, now_ns, wait_ns);
}

static void init(struct rate_buckets *b, int64_t average, uint64_t period_ns, int64_t burst,
		 size_t max)
{
	const struct rate_terms terms = rate_terms_of(average, (int64_t)period_ns, burst);

	assert_int_equal(rate_buckets_init(b, &terms, max), 0);
}

static void a_burst_passes_and_then_the_average(void **state)
{
	struct rate_buckets b;
	uint64_t wait_ns;

	(void)state;
	init(&b, 10, S, 3, 10);
	for (int i = 0; i < 3; i++)
		assert_int_equal(take(&b, "a", 100 * S, &wait_ns), RATE_PASS);
	/* 100 ms until the next token; 50 ms is what anybody waits. */
	assert_int_equal(take(&b, "a", 100 * S, &wait_ns), RATE_REFUSE);
	assert_int_equal(wait_ns, 100 * MS);
	assert_int_equal(take(&b, "a", 100 * S + 49 * MS, &wait_ns), RATE_REFUSE);
	assert_int_equal(take(&b, "b", 100 * S, &wait_ns), RATE_PASS);
	assert_int_equal(take(&b, "a", 100 * S + 60 * MS, &wait_ns), RATE_WAIT);
	assert_in_range(wait_ns, 40 * MS - 10, 40 * MS + 10);
	/* The token that is waited for is taken. */
	assert_int_equal(take(&b, "a", 100 * S + 100 * MS, &wait_ns), RATE_REFUSE);
	assert_in_range(wait_ns, 100 * MS - 10, 100 * MS + 10);
	/* Times out of order take nothing twice and give nothing. */
	assert_int_equal(take(&b, "a", 99 * S, &wait_ns), RATE_REFUSE);
	assert_in_range(wait_ns, 100 * MS - 10, 100 * MS + 10);
	rate_buckets_free(&b);
}

static void long_run_keeps_to_the_average(void **state)
{
	struct rate_buckets b;
	uint64_t wait_ns;
	size_t passed = 0;

	(void)state;
	init(&b, 50, S, 5, 10);
	for (uint64_t now_ns = S; now_ns < 11 * S; now_ns += MS)
		passed += take(&b, "a", now_ns, &wait_ns) != RATE_REFUSE;
	assert_in_range(passed, 500, 506);
	rate_buckets_free(&b);
}

static void limits_follow_from_the_rate(void **state)
{
	static const struct {
		int64_t average;
		uint64_t period_ns, wait_max_ns, keep_s;
	} rows[] = {
		{1, S, 500 * MS, 2},       {100, S, 5 * MS, 2},           {15, 10 * S, 500 * MS, 2},
		{1, 60 * S, 500 * MS, 61}, {1, 3600 * S, 500 * MS, 3601}, {INT64_MAX, S, 0, 2},
		{INT64_MAX, 1, 0, 2},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rate_buckets b;
		uint64_t wait_ns;

		init(&b, rows[i].average, rows[i].period_ns, 1, 1);
		if (b.terms.wait_max_ns != rows[i].wait_max_ns || b.terms.keep_s != rows[i].keep_s)
			fail_msg("row %zu: %llu ns, %llu s", i,
				 (unsigned long long)b.terms.wait_max_ns,
				 (unsigned long long)b.terms.keep_s);
		assert_int_equal(take(&b, "a", S, &wait_ns), RATE_PASS);
		rate_buckets_free(&b);
	}
}

static void who_was_not_seen_for_long_is_forgotten(void **state)
{
	struct rate_buckets b;
	char name[16];
	uint64_t wait_ns;

	(void)state;
	init(&b, 1, 60 * S, 2, 100);
	for (int i = 0; i < 3; i++)
		(void)take(&b, "a", S, &wait_ns);
	assert_int_equal(take(&b, "a", 2 * S, &wait_ns), RATE_REFUSE);
	/* Refusals count as being seen. */
	assert_int_equal(take(&b, "a", 62 * S, &wait_ns), RATE_PASS);
	assert_int_equal(take(&b, "a", 62 * S, &wait_ns), RATE_REFUSE);
	assert_int_equal(take(&b, "a", 122 * S, &wait_ns), RATE_PASS);
	/* A minute gives one token; being forgotten gives two. */
	assert_int_equal(take(&b, "a", 183 * S, &wait_ns), RATE_PASS);
	assert_int_equal(take(&b, "a", 183 * S, &wait_ns), RATE_PASS);
	/* New ones take the expired ones' memory. */
	for (int i = 0; i < 50; i++) {
		(void)snprintf(name, sizeof name, "s%d", i);
		assert_int_equal(take(&b, name, 183 * S, &wait_ns), RATE_PASS);
	}
	assert_int_equal(b.count, 51);
	for (int i = 50; i < 90; i++) {
		(void)snprintf(name, sizeof name, "s%d", i);
		(void)take(&b, name, 1000 * S, &wait_ns);
	}
	assert_int_equal(b.count, 40);
	assert_int_equal(b.evicted, 0);
	rate_buckets_free(&b);
}

static void too_many_push_out_the_oldest(void **state)
{
	struct rate_buckets b;
	char name[16];
	uint64_t wait_ns;

	(void)state;
	init(&b, 1, S, 1, 1000);
	for (int i = 0; i < 100000; i++) {
		(void)snprintf(name, sizeof name, "s%d", i);
		assert_int_equal(take(&b, name, S, &wait_ns), RATE_PASS);
		/* The one that comes always is never the oldest. */
		if (i > 0)
			assert_int_equal(take(&b, "s0", S, &wait_ns), RATE_REFUSE);
	}
	assert_int_equal(b.count, 1000);
	assert_int_equal(b.evicted, 99000);
	assert_int_equal(take(&b, "s99999", S, &wait_ns), RATE_REFUSE);
	assert_int_equal(take(&b, "s1", S, &wait_ns), RATE_PASS);
	rate_buckets_free(&b);
}

static void long_names_are_told_apart(void **state)
{
	struct rate_buckets b;
	char name[RATE_KEY_BYTES + 4];
	uint64_t wait_ns;

	(void)state;
	init(&b, 1, S, 1, 1000);
	for (size_t n = 0; n < sizeof name; n++) {
		memset(name, 'x', n);
		name[n] = '\0';
		assert_int_equal(take(&b, name, S, &wait_ns), RATE_PASS);
		assert_int_equal(take(&b, name, S, &wait_ns), RATE_REFUSE);
		if (n == 0)
			continue;
		name[n - 1] = 'y';
		assert_int_equal(take(&b, name, S, &wait_ns), RATE_PASS);
	}
	rate_buckets_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_passes_and_then_the_average),
		cmocka_unit_test(long_run_keeps_to_the_average),
		cmocka_unit_test(limits_follow_from_the_rate),
		cmocka_unit_test(who_was_not_seen_for_long_is_forgotten),
		cmocka_unit_test(too_many_push_out_the_oldest),
		cmocka_unit_test(long_names_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
