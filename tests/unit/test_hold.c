#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base.h"
#include "http/hold.h"

#define MAX_MS 3000u

static void the_time_grows_to_its_limit(void **state)
{
	static const uint64_t periods[] = {250, 500, 1000, 2000, 3000, 3000};
	struct hold h = {0};
	uint64_t now = 1000;

	(void)state;
	assert_false(hold_is_on(&h, now, MAX_MS));
	for (size_t i = 0; i < ARRAY_LEN(periods); i++) {
		assert_int_equal(hold_begin(&h, now, MAX_MS), periods[i]);
		assert_true(hold_is_on(&h, now, MAX_MS));
		assert_true(hold_is_on(&h, now + periods[i] - 1, MAX_MS));
		now += periods[i];
	}
}

static void one_tries_when_it_is_over(void **state)
{
	struct hold h = {0};

	(void)state;
	assert_int_equal(hold_begin(&h, 1000, MAX_MS), 250);
	assert_false(hold_is_on(&h, 1250, MAX_MS));
	assert_true(hold_is_on(&h, 1250, MAX_MS));
	assert_true(hold_is_on(&h, 1499, MAX_MS));
	/* Nothing is known of the first one: the next one tries. */
	assert_false(hold_is_on(&h, 1500, MAX_MS));
	assert_int_equal(hold_begin(&h, 1501, MAX_MS), 500);
	assert_true(hold_is_on(&h, 2000, MAX_MS));
	assert_false(hold_is_on(&h, 2001, MAX_MS));
}

static void failures_of_one_outage_count_once(void **state)
{
	struct hold h = {0};

	(void)state;
	assert_int_equal(hold_begin(&h, 1000, MAX_MS), 250);
	assert_int_equal(hold_begin(&h, 1000, MAX_MS), 0);
	assert_int_equal(hold_begin(&h, 1249, MAX_MS), 0);
	assert_int_equal(hold_begin(&h, 1250, MAX_MS), 500);
}

static void an_answer_ends_it(void **state)
{
	struct hold h = {0};

	(void)state;
	assert_false(hold_end(&h));
	assert_int_equal(hold_begin(&h, 1000, MAX_MS), 250);
	assert_int_equal(hold_begin(&h, 1250, MAX_MS), 500);
	assert_true(hold_end(&h));
	assert_false(hold_end(&h));
	assert_false(hold_is_on(&h, 1251, MAX_MS));
	assert_int_equal(hold_begin(&h, 1252, MAX_MS), 250);
}

static void it_can_be_switched_off(void **state)
{
	struct hold h = {0};

	(void)state;
	assert_int_equal(hold_begin(&h, 1000, 0), 0);
	assert_false(hold_is_on(&h, 1000, 0));
	assert_int_equal(hold_begin(&h, 1000, 100), 100);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_time_grows_to_its_limit),
		cmocka_unit_test(one_tries_when_it_is_over),
		cmocka_unit_test(failures_of_one_outage_count_once),
		cmocka_unit_test(an_answer_ends_it),
		cmocka_unit_test(it_can_be_switched_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
