#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "middleware/breaker.h"

#define MS UINT64_C(1000000)
#define S (1000 * MS)

static struct breaker breaker;
static uint64_t now;

static void begin(const char *condition)
{
	const struct breaker_times times = {
		.check_ns = 100 * MS, .fallback_ns = 10 * S, .recovery_ns = 10 * S};
	struct weir_error e = {0};

	now = 1000 * S;
	breaker = (struct breaker){0};
	if (breaker_init(&breaker, slice_from(condition), &times, &e) < 0)
		fail_msg("%s: %s", condition, e.text);
}

static int tear_down(void **state)
{
	(void)state;
	breaker_free(&breaker);
	return 0;
}

/* A request that comes and ends now; returns whether it opened the breaker. */
static bool answer(int status)
{
	return breaker_record(&breaker, status, MS, now);
}

static unsigned count_passes(unsigned requests)
{
	unsigned passed = 0;

	for (unsigned i = 0; i < requests; i++)
		passed += breaker_passes(&breaker, now);
	return passed;
}

static void opens_recovers_and_closes(void **state)
{
	(void)state;
	begin("NetworkErrorRatio() > 0.5");
	assert_true(breaker_passes(&breaker, now) && breaker_is_closed(&breaker));
	assert_true(answer(502));
	assert_int_equal(breaker.state, BREAKER_OPEN);
	assert_int_equal(count_passes(100), 0);
	now += 10 * S - 1;
	assert_int_equal(count_passes(100), 0);
	now += 1;
	assert_int_equal(count_passes(1), 0);
	assert_int_equal(breaker.state, BREAKER_RECOVERING);
	assert_false(breaker_is_closed(&breaker));
	now += 10 * S;
	assert_int_equal(breaker.state, BREAKER_RECOVERING);
	now += 1;
	assert_int_equal(count_passes(100), 100);
	assert_true(breaker_is_closed(&breaker));
}

/* At each moment at most half of the share of the time that has passed: vulcand/oxy's
 * ratioController. */
static void lets_a_growing_share_pass(void **state)
{
	unsigned passed = 0, asked = 0;

	(void)state;
	begin("NetworkErrorRatio() > 0.5");
	assert_true(answer(504));
	now += 10 * S;
	assert_int_equal(count_passes(1), 0);
	asked = 1;
	for (unsigned second = 1; second <= 10; second++) {
		now += S;
		passed += count_passes(1000);
		asked += 1000;
		assert_true(passed <= asked * second / 20);
		assert_true(passed >= asked * second / 20 - 2);
	}
	assert_int_equal(passed, 5000);
}

/* Another worker may have read its clock before the one that let it recover. */
static void a_clock_that_is_behind_lets_nobody_pass(void **state)
{
	(void)state;
	begin("NetworkErrorRatio() > 0.5");
	assert_true(answer(502));
	now += 10 * S;
	assert_int_equal(count_passes(1), 0);
	now -= 1;
	assert_int_equal(count_passes(10), 0);
}

static void opens_again_while_it_recovers(void **state)
{
	(void)state;
	begin("NetworkErrorRatio() > 0.5");
	assert_true(answer(502));
	now += 10 * S;
	(void)count_passes(1);
	now += 5 * S;
	assert_true(answer(502));
	assert_int_equal(count_passes(100), 0);
	now += 10 * S - 1;
	assert_int_equal(count_passes(100), 0);
}

/* Those that were on their way when it opened prolong nothing. */
static void late_answers_change_nothing(void **state)
{
	uint64_t until;

	(void)state;
	begin("NetworkErrorRatio() > 0.5");
	assert_true(answer(502));
	until = breaker.until_ns;
	now += S;
	assert_false(answer(502));
	assert_int_equal(breaker.until_ns, until);
}

static void looks_once_in_a_period(void **state)
{
	(void)state;
	begin("ResponseCodeRatio(500, 600, 0, 600) > 0.25");
	assert_false(answer(200));
	assert_false(answer(500));
	now += 100 * MS;
	assert_false(answer(500));
	now += 1;
	assert_true(answer(200));
}

static void forgets_what_it_has_seen_when_it_opens(void **state)
{
	(void)state;
	begin("NetworkErrorRatio() > 0.5 || ResponseCodeRatio(500, 600, 0, 600) > 0.5 || "
	      "LatencyAtQuantileMS(100.0) > 1000");
	assert_true(answer(502));
	now += 10 * S;
	(void)count_passes(1);
	now += S;
	assert_false(answer(200));
	now += S;
	assert_false(answer(502));
}

static void the_window_is_ten_seconds(void **state)
{
	(void)state;
	begin("NetworkErrorRatio() >= 0.5");
	for (int i = 0; i < 3; i++)
		assert_false(answer(200));
	for (int i = 0; i < 2; i++)
		assert_false(answer(502));
	/* 3 of 6, but it is not looked at yet. */
	assert_false(answer(502));
	now += 9 * S;
	assert_false(answer(200));
	/* 1 of 2: what came before is out of the window. */
	now += S;
	assert_true(answer(502));
}

static void counts_status_codes(void **state)
{
	static const struct {
		const char *condition;
		bool opens;
	} rows[] = {
		{"ResponseCodeRatio(500, 600, 0, 600) == 0.25", true},
		{"ResponseCodeRatio(400, 500, 0, 600) == 0.25", true},
		{"ResponseCodeRatio(500, 600, 400, 600) == 0.5", true},
		/* The upper end is not part of a range. */
		{"ResponseCodeRatio(500, 503, 0, 600) == 0.0", true},
		{"ResponseCodeRatio(503, 504, 0, 503) > 0.3", true},
		{"ResponseCodeRatio(500, 600, 600, 700) == 0.0", true},
		{"ResponseCodeRatio(0, 99999999999, 0, 1000) == 1.0", true},
		{"ResponseCodeRatio(600, 500, 0, 600) == 0.0", true},
		{"NetworkErrorRatio() == 0.0", true},
		{"NetworkErrorRatio() > 0.0", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		begin(rows[i].condition);
		breaker.next_check_ns = now;
		for (int status = 200; status <= 400; status += 200)
			assert_false(answer(status));
		assert_false(answer(503));
		now += 1;
		assert_true(answer(201) == rows[i].opens);
		breaker_free(&breaker);
	}
}

static void measures_latency(void **state)
{
	(void)state;
	begin("LatencyAtQuantileMS(50.0) >= 100");
	assert_false(breaker_record(&breaker, 200, 99 * MS, now));
	now += 200 * MS;
	assert_true(breaker_record(&breaker, 200, 101 * MS, now) ||
		    breaker_record(&breaker, 200, 101 * MS, now + 200 * MS));
}

static void takes_memory_for_what_is_asked_only(void **state)
{
	(void)state;
	begin("NetworkErrorRatio() > 0.5");
	assert_true(breaker.statuses == NULL && breaker.times_taken == NULL);
	breaker_free(&breaker);
	begin("ResponseCodeRatio(1, 2, 3, 4) > 0.5");
	assert_true(breaker.statuses != NULL && breaker.times_taken == NULL);
	breaker_free(&breaker);
	begin("LatencyAtQuantileMS(99.0) > 5");
	assert_true(breaker.statuses == NULL && breaker.times_taken != NULL);
}

/* Statuses and times that no response can have once counted beyond the tables. */
static void odd_values_do_no_harm(void **state)
{
	(void)state;
	begin("ResponseCodeRatio(0, 1000, 0, 1000) > 5.0 || LatencyAtQuantileMS(50.0) > 5");
	assert_false(breaker_record(&breaker, -1, 0, now));
	assert_false(breaker_record(&breaker, 1000, UINT64_MAX, now));
	now = 1;
	assert_false(breaker_record(&breaker, 999, 3600 * S, now));
}

/* Quantiles as HdrHistogram with two digits gives them, from its own tests' way of counting. */
static void quantiles(void **state)
{
	static const struct {
		double percent;
		uint64_t us;
	} rows[] = {{0, 0}, {50, 5023}, {90, 9023}, {99, 9919}, {100, 10047}, {1000, 10047}};
	struct latency_window *w = calloc(1, sizeof *w);

	(void)state;
	assert_non_null(w);
	assert_int_equal(latency_window_at(w, 50), 0);
	for (uint64_t us = 1; us <= 10000; us++)
		latency_window_add(w, us * 1000, S);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(latency_window_at(w, rows[i].percent), rows[i].us);
	free(w);
}

static void histograms_rotate(void **state)
{
	struct latency_window *w = calloc(1, sizeof *w);

	(void)state;
	assert_non_null(w);
	for (uint64_t i = 0; i < LATENCY_HISTOGRAMS; i++)
		latency_window_add(w, (i + 1) * 100000, (10 * i + 1) * S);
	assert_int_equal(w->total, 6);
	assert_int_equal(latency_window_at(w, 1.0 / 6 * 100), 100);
	/* The oldest makes room, however late. */
	latency_window_add(w, 50000, 1000 * S);
	assert_int_equal(w->total, 6);
	assert_int_equal(latency_window_at(w, 2.0 / 6 * 100), 200);
	latency_window_reset(w, 1000 * S);
	assert_int_equal(latency_window_at(w, 100), 0);
	free(w);
}

static void a_clock_that_is_behind_rotates_nothing(void **state)
{
	struct latency_window *w = calloc(1, sizeof *w);

	(void)state;
	assert_non_null(w);
	for (uint64_t i = 0; i < 10; i++)
		latency_window_add(w, 100000, 20 * S - i);
	assert_int_equal(w->total, 10);
	free(w);
}

static void refuses_what_is_no_condition(void **state)
{
	struct breaker b = {0};
	struct weir_error e = {0};

	(void)state;
	assert_int_equal(breaker_init(&b, SLICE("RequestThreshold() > 5"),
				      &(struct breaker_times){1, 1, 1}, &e),
			 -EINVAL);
	assert_string_equal(e.text, "unsupported function: RequestThreshold");
	breaker_free(&b);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(opens_recovers_and_closes),
		TEST(lets_a_growing_share_pass),
		TEST(a_clock_that_is_behind_lets_nobody_pass),
		TEST(opens_again_while_it_recovers),
		TEST(late_answers_change_nothing),
		TEST(looks_once_in_a_period),
		TEST(forgets_what_it_has_seen_when_it_opens),
		TEST(the_window_is_ten_seconds),
		TEST(counts_status_codes),
		TEST(measures_latency),
		TEST(takes_memory_for_what_is_asked_only),
		TEST(odd_values_do_no_harm),
		cmocka_unit_test(quantiles),
		cmocka_unit_test(histograms_rotate),
		cmocka_unit_test(a_clock_that_is_behind_rotates_nothing),
		cmocka_unit_test(refuses_what_is_no_condition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
