#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/regex.h"
#include "regex_rows.inc"

static struct regex *compile(const char *pattern)
{
	struct weir_error e = {0};
	struct regex *re;

	if (regex_compile(slice_from(pattern), NULL, &re, &e) < 0)
		fail_msg("%s: %s", pattern, e.text);
	return re;
}

/* Offsets as Go prints them: "-1 -1" for a group that took no part. */
static void show(const slice *groups, size_t count, slice text, struct str *out)
{
	for (size_t i = 0; i < count; i++) {
		if (groups[i].p == NULL)
			str_add(out, i > 0 ? SLICE(" -1 -1") : SLICE("-1 -1"));
		else
			str_format(out, "%s%td %td", i > 0 ? " " : "", groups[i].p - text.p,
				   groups[i].p - text.p + (ptrdiff_t)groups[i].n);
	}
}

static void finds_what_go_finds(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(find_rows); i++) {
		const struct find_row *row = &find_rows[i];
		struct regex *re = compile(row->pattern);
		slice groups[REGEX_GROUPS_MAX], text = slice_from(row->text);
		size_t count = regex_group_count(re) + 1;
		struct str got = {0};
		bool found = regex_find(re, text, groups, count);

		assert_int_equal(regex_matches(re, text), found);
		if (found)
			show(groups, count, text, &got);
		if (found != (row->offsets != NULL) ||
		    (found && strcmp(got.p, row->offsets) != 0)) {
			print_error("%s on \"%s\": got %s, expected %s\n", row->pattern, row->text,
				    got.p, row->offsets);
			wrong++;
		}
		str_free(&got);
		regex_free(&re);
	}
	assert_int_equal(wrong, 0);
}

static void replaces_what_go_replaces(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(replace_rows); i++) {
		const struct replace_row *row = &replace_rows[i];
		struct regex *re = compile(row->pattern);
		slice text = slice_from(row->text);
		struct str got = {0};
		bool any = regex_replace(re, text, slice_from(row->with), &got);

		assert_int_equal(any, regex_matches(re, text));
		if (!slice_equal(str_slice(&got), slice_from(row->result))) {
			print_error("%s on \"%s\" with \"%s\": got \"%.*s\", expected \"%s\"\n",
				    row->pattern, row->text, row->with, SLICE_ARG(str_slice(&got)),
				    row->result);
			wrong++;
		}
		str_free(&got);
		regex_free(&re);
	}
	assert_int_equal(wrong, 0);
}

static void expands_the_first_match(void **state)
{
	struct regex *re = compile("(?P<a>x)(y)?");
	slice groups[3];
	struct str out = {0};

	(void)state;
	assert_int_equal(regex_group_named(re, SLICE("a")), 1);
	assert_int_equal(regex_group_named(re, SLICE("b")), -1);
	assert_true(regex_find(re, SLICE("..x.."), groups, 3));
	regex_expand(re, SLICE("<${a}|$2|$0>"), groups, 3, &out);
	assert_string_equal(out.p, "<x||x>");
	str_free(&out);
	regex_free(&re);
}

/* The other texts are in the rows of test_rule.c. */
static void names_its_faults(void **state)
{
	static const struct {
		const char *pattern;
		const char *text;
	} rows[] = {
		{"a(", "error parsing regexp: missing closing ): `a(`"},
		{"\\C", "error parsing regexp: invalid escape sequence: `\\C`"},
		{"(?=a)", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`"},
		{"\xff", "error parsing regexp: invalid UTF-8: `\xff`"},
		{"(?<a-b>x)", "error parsing regexp: invalid named capture: `(?<a-b>`"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct weir_error e = {0};
		struct regex *re;

		assert_int_equal(regex_compile(slice_from(rows[i].pattern), NULL, &re, &e),
				 -EINVAL);
		assert_null(re);
		assert_string_equal(e.text, rows[i].text);
	}
}

static void is_bounded(void **state)
{
	static const struct regex_limits limits = {.pattern_bytes = 30, .memory_bytes = 64 * 1024};
	struct weir_error e;
	struct regex *re;

	(void)state;
	assert_int_equal(regex_compile(SLICE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), &limits, &re, &e),
			 -E2BIG);
	assert_string_equal(e.text, "regular expression has 31 bytes, at most 30 are allowed");
	assert_int_equal(regex_compile(SLICE("((\\pL{100}){10}){10}"), &limits, &re, &e), -EINVAL);
	assert_null(re);
	assert_int_equal(regex_compile(SLICE("(x+x+)+y"), &limits, &re, &e), 0);
	regex_free(&re);
}

/* An expression that takes a backtracking matcher longer than the age of the universe. */
static void takes_linear_time(void **state)
{
	struct regex *re = compile("^(a|aa)+$");
	struct str text = {0};

	(void)state;
	for (int i = 0; i < 100000; i++)
		str_add_char(&text, 'a');
	str_add_char(&text, 'b');
	assert_false(regex_matches(re, str_slice(&text)));
	str_free(&text);
	regex_free(&re);
}

static void *match_often(void *argument)
{
	const struct regex *re = argument;

	for (int i = 0; i < 2000; i++) {
		char text[32];
		slice groups[2];
		int n = snprintf(text, sizeof text, "/api/v%d/users", i);

		must(regex_find(re, slice_of(text, (size_t)n), groups, 2));
		must(groups[1].n == (size_t)n - strlen("/api/v/users"));
	}
	return NULL;
}

static void threads_may_share_one(void **state)
{
	struct regex *re = compile("^/api/v([0-9]+)/");
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, match_often, re), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	regex_free(&re);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_go_finds),
		cmocka_unit_test(replaces_what_go_replaces),
		cmocka_unit_test(expands_the_first_match),
		cmocka_unit_test(names_its_faults),
		cmocka_unit_test(is_bounded),
		cmocka_unit_test(takes_linear_time),
		cmocka_unit_test(threads_may_share_one),
	};

	return cmocka_run_group_tests_name("regex", tests, NULL, NULL);
}
