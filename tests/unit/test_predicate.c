#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/str.h"
#include "middleware/predicate.h"

static const struct predicate_function breaker_functions[] = {
	{SLICE("LatencyAtQuantileMS"), PREDICATE_INTEGER, 1, PREDICATE_REAL},
	{SLICE("NetworkErrorRatio"), PREDICATE_REAL, 0, PREDICATE_INTEGER},
	{SLICE("ResponseCodeRatio"), PREDICATE_REAL, 4, PREDICATE_INTEGER},
};
static const struct predicate_language breaker = {"cbreaker", true, breaker_functions,
						  ARRAY_LEN(breaker_functions)};
static const struct predicate_function retry_functions[] = {
	{SLICE("RequestMethod"), PREDICATE_STRING, 0, PREDICATE_INTEGER},
	{SLICE("IsNetworkError"), PREDICATE_BOOLEAN, 0, PREDICATE_INTEGER},
	{SLICE("Attempts"), PREDICATE_INTEGER, 0, PREDICATE_INTEGER},
	{SLICE("ResponseCode"), PREDICATE_INTEGER, 0, PREDICATE_INTEGER},
};
static const struct predicate_language retry = {"buffer", false, retry_functions,
						ARRAY_LEN(retry_functions)};

static void says_what_traefik_says(void **state)
{
	static const struct {
		const struct predicate_language *language;
		const char *text, *error;
	} rows[] = {
#include "predicate_rows.inc"
	};
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct weir_error e = {0};
		struct predicate *p;
		int r = predicate_compile(&p, slice_from(rows[i].text), rows[i].language, &e);
		const char *expected = rows[i].error != NULL ? rows[i].error : "";

		if ((r == 0) != (rows[i].error == NULL) || strcmp(e.text, expected) != 0) {
			print_error("%s\n  got      %s\n  expected %s\n", rows[i].text, e.text,
				    expected);
			wrong++;
		}
		assert_true((p == NULL) == (r < 0));
		predicate_free(&p);
	}
	assert_int_equal(wrong, 0);
}

/* Values that a test gives to the functions, and which of them were asked for. */
struct facts {
	int64_t attempts;
	const char *method;
	bool network_error;
	unsigned asked;
};

static void look(void *context, unsigned function, const struct predicate_value *arguments,
		 struct predicate_value *value)
{
	struct facts *f = context;

	(void)arguments;
	f->asked |= 1u << function;
	value->string = slice_from(f->method);
	value->boolean = f->network_error;
	value->integer = f->attempts;
}

static bool holds(const char *text, struct facts facts)
{
	struct weir_error e = {0};
	struct predicate *p;
	bool yes;

	if (predicate_compile(&p, slice_from(text), &retry, &e) < 0)
		fail_msg("%s: %s", text, e.text);
	yes = predicate_holds(p, look, &facts);
	predicate_free(&p);
	return yes;
}

static void compares(void **state)
{
	static const struct {
		const char *op;
		bool less, equal, greater;
	} rows[] = {
		{"==", false, true, false}, {"!=", true, false, true}, {"<", true, false, false},
		{"<=", true, true, false},  {">", false, false, true}, {">=", false, true, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[64];

		(void)snprintf(text, sizeof text, "Attempts() %s 3", rows[i].op);
		assert_true(holds(text, (struct facts){.attempts = 2}) == rows[i].less);
		assert_true(holds(text, (struct facts){.attempts = 3}) == rows[i].equal);
		assert_true(holds(text, (struct facts){.attempts = 4}) == rows[i].greater);
	}
	assert_true(holds("RequestMethod() == `GET`", (struct facts){.method = "GET"}));
	assert_false(holds("RequestMethod() == \"get\"", (struct facts){.method = "GET"}));
	assert_true(holds("RequestMethod() != \"\\x47\"", (struct facts){.method = "GET"}));
}

static void joins(void **state)
{
	const struct facts yes = {.network_error = true, .attempts = 1},
			   no = {.network_error = false, .attempts = 1};

	(void)state;
	assert_true(holds("IsNetworkError() || Attempts() > 5", yes));
	assert_false(holds("IsNetworkError() && Attempts() > 5", yes));
	assert_true(holds("IsNetworkError() || Attempts() > 5 || Attempts() == 1", no));
	/* "&&" binds tighter. */
	assert_true(holds("IsNetworkError() || IsNetworkError() && Attempts() > 5", yes));
	assert_false(holds("(IsNetworkError() || IsNetworkError()) && Attempts() > 5", yes));
}

static void looks_no_further_than_it_must(void **state)
{
	struct facts facts = {.network_error = true};
	struct predicate *p;

	(void)state;
	assert_int_equal(
		predicate_compile(&p, SLICE("IsNetworkError() || Attempts() > 5"), &retry, NULL),
		0);
	assert_true(predicate_holds(p, look, &facts));
	assert_int_equal(facts.asked, 1u << 1);
	predicate_free(&p);
}

static void note_arguments(void *context, unsigned function,
			   const struct predicate_value *arguments, struct predicate_value *value)
{
	int64_t *sum = context;

	assert_int_equal(function, 2);
	*sum = 0;
	for (int i = 0; i < 4; i++)
		*sum = *sum * 1000 + arguments[i].integer;
	value->real = 0.25;
}

static void passes_arguments(void **state)
{
	struct predicate *p;
	int64_t sum = 0;

	(void)state;
	assert_int_equal(predicate_compile(&p, SLICE("ResponseCodeRatio(500, 0600, 0, 599) >= .25"),
					   &breaker, NULL),
			 0);
	assert_true(predicate_holds(p, note_arguments, &sum));
	assert_int_equal(sum, 500600000599);
	predicate_free(&p);
	assert_int_equal(predicate_compile(&p,
					   SLICE("ResponseCodeRatio(500, 0600, 0, 599) == 0x1p-2"),
					   &breaker, NULL),
			 0);
	assert_true(predicate_holds(p, note_arguments, &sum));
	assert_int_equal(sum, 500600000599);
	predicate_free(&p);
	assert_int_equal(predicate_compile(&p, SLICE("NetworkErrorRatio() > 1.5x"), &breaker, NULL),
			 -EINVAL);
}

/* Deep ones would need as much stack, and long ones as much time. */
static void has_limits(void **state)
{
	struct weir_error e = {0};
	struct predicate *p;
	struct str text = {0};

	(void)state;
	for (int i = 0; i < 100000; i++)
		str_add(&text, SLICE("("));
	assert_int_equal(predicate_compile(&p, str_slice(&text), &retry, &e), -E2BIG);
	assert_string_equal(e.text, "expression is nested deeper than 64 levels");
	str_clear(&text);
	for (int i = 0; i < 1000; i++)
		str_add(&text, SLICE("IsNetworkError() || "));
	str_add(&text, SLICE("IsNetworkError()"));
	assert_int_equal(predicate_compile(&p, str_slice(&text), &retry, &e), -E2BIG);
	assert_string_equal(e.text, "expression has more than 256 terms");
	str_clear(&text);
	assert_non_null(str_reserve(&text, 2 << 20));
	memset(text.p, ' ', 2 << 20);
	str_commit(&text, 2 << 20);
	assert_int_equal(predicate_compile(&p, str_slice(&text), &retry, &e), -E2BIG);
	assert_null(p);
	str_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_traefik_says),
		cmocka_unit_test(compares),
		cmocka_unit_test(joins),
		cmocka_unit_test(looks_no_further_than_it_must),
		cmocka_unit_test(passes_arguments),
		cmocka_unit_test(has_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
