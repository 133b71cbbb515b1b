/*
 * What `weir verify` makes of what it has measured.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli/verify_private.h"

static void latency_is_exact_to_a_sixteenth(void **state)
{
	(void)state;
	for (uint64_t us = 0; us < 1u << 30; us += us / 7 + 1) {
		struct verify_latency l = {0};

		verify_latency_add(&l, us);
		verify_latency_add(&l, UINT64_C(1) << 40);
		assert_true(verify_latency_at(&l, 0.49) >= us);
		assert_true(verify_latency_at(&l, 0.49) <= us + us / 16);
	}
}

static void latency_by_share(void **state)
{
	struct verify_latency l = {0};

	(void)state;
	assert_int_equal(verify_latency_at(&l, 0.99), 0);
	for (uint64_t i = 0; i < 1000; i++)
		verify_latency_add(&l, i < 990 ? 10 : 5000);
	assert_int_equal(verify_latency_at(&l, 0.5), 10);
	assert_int_equal(verify_latency_at(&l, 0.98), 10);
	assert_int_equal(verify_latency_at(&l, 0.99), 5000);
	assert_int_equal(verify_latency_at(&l, 1), 5000);
}

static void slope_is_that_of_the_second_half(void **state)
{
	struct verify_sample list[100];

	(void)state;
	for (size_t i = 0; i < 100; i++) {
		list[i] = (struct verify_sample){.at_ms = i * 250, .own_bytes = 1000000};
		if (i < 50)
			list[i].own_bytes = (int64_t)i * 1000000;
	}
	assert_float_equal(verify_slope_bytes(list, 100), 0, 1);
	for (size_t i = 0; i < 100; i++)
		list[i].own_bytes = (int64_t)i * 1000;
	assert_float_equal(verify_slope_bytes(list, 100), 49 * 1000, 1);
	assert_float_equal(verify_slope_bytes(list, 1), 0, 0);
}

static void each_limit_judges(void **state)
{
	(void)state;
	for (size_t i = 0; i < verify_limit_count; i++) {
		const struct verify_limit *limit = &verify_limits[i];

		for (unsigned s = 0; s < VERIFY_SCENARIO_COUNT; s++) {
			struct verify_result r = {.scenario = (enum verify_scenario_id)s};

			if (!verify_limit_applies(limit, r.scenario))
				continue;
			assert_int_equal(verify_judge_limit(&r, limit), VERIFY_UNKNOWN);
			assert_int_equal(verify_judge(&r), VERIFY_GOOD);
			verify_result_set(&r, limit->measure, limit->most);
			assert_int_equal(verify_judge_limit(&r, limit), VERIFY_GOOD);
			verify_result_set(&r, limit->measure, limit->most + 0.1);
			assert_int_equal(verify_judge_limit(&r, limit), VERIFY_BAD);
			assert_int_equal(verify_judge(&r), VERIFY_BAD);
		}
	}
}

static void add_windows(struct verify_delays *d, bool reload, uint64_t from_us, uint64_t step_us)
{
	for (uint64_t i = 0; i < 9; i++)
		verify_delays_add(d, reload, from_us + i * step_us);
}

static void delays_are_those_of_the_median_window(void **state)
{
	struct verify_delays d = {0};
	struct verify_delay sum;

	(void)state;
	add_windows(&d, false, 1000, 100);
	assert_false(verify_delays_sum(&d).known);
	add_windows(&d, true, 4000, 100);
	verify_delays_add(&d, true, 900000); /* once in a while is not each time */
	verify_delays_add(&d, true, 1);
	sum = verify_delays_sum(&d);
	assert_true(sum.known);
	assert_float_equal(sum.quiet_ms, 1.4, 0.001);
	assert_float_equal(sum.reload_ms, 4.4, 0.001);
	/* Quartiles 1.2 and 1.6 of nine windows. */
	assert_float_equal(sum.doubt_ms, 0.3467, 0.001);
}

static void windows_have_an_end(void **state)
{
	struct verify_delays d = {0};

	(void)state;
	verify_delays_add(&d, true, 0); /* nothing was answered */
	assert_int_equal(d.count[1], 0);
	for (size_t i = 0; i < VERIFY_WINDOWS + 10; i++)
		verify_delays_add(&d, true, 5);
	assert_int_equal(d.count[1], VERIFY_WINDOWS);
	assert_int_equal(d.count[0], 0);
}

static void what_is_not_supported_is_unknown(void **state)
{
	struct verify_result r = {.scenario = VERIFY_KILL, .unsupported = "it has no supervisor"};

	(void)state;
	assert_int_equal(verify_judge(&r), VERIFY_UNKNOWN);
}

static void what_could_not_be_run_is_bad(void **state)
{
	struct verify_result r = {.scenario = VERIFY_CHURN};

	(void)state;
	(void)error_set(&r.error, -ENOENT, "no such program");
	assert_int_equal(verify_judge(&r), VERIFY_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(latency_is_exact_to_a_sixteenth),
		cmocka_unit_test(latency_by_share),
		cmocka_unit_test(slope_is_that_of_the_second_half),
		cmocka_unit_test(each_limit_judges),
		cmocka_unit_test(delays_are_those_of_the_median_window),
		cmocka_unit_test(windows_have_an_end),
		cmocka_unit_test(what_is_not_supported_is_unknown),
		cmocka_unit_test(what_could_not_be_run_is_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
