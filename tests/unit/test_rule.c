#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/error.h"
#include "core/str.h"
#include "match_rows.inc"
#include "proxy_request.h"
#include "rule_rows.inc"

static struct rule *compile(const char *text, enum rule_syntax syntax)
{
	struct weir_error e = {0};
	struct rule *rule;

	if (rule_compile(slice_from(text), syntax, NULL, &rule, &e) < 0)
		fail_msg("%s: %s", text, e.text);
	return rule;
}

static void expected_text(const struct rule_row *row, char *text, size_t text_bytes)
{
	static const char *const stages[] = {[PARSING] = "parsing", [ADDING] = "adding"};

	if (row->stage == BUILDING)
		snprintf(text, text_bytes, "error while parsing rule %s: %s", row->rule,
			 row->error);
	else
		snprintf(text, text_bytes, "error while parsing rule %s: %s rule %s: %s", row->rule,
			 stages[row->stage], row->rule, row->error);
}

static void says_what_traefik_says(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rule_rows); i++) {
		const struct rule_row *row = &rule_rows[i];
		struct weir_error e = {0};
		struct rule *rule;
		char text[WEIR_ERROR_TEXT] = "";
		int r = rule_compile(slice_from(row->rule), RULE_V3, NULL, &rule, &e);

		if (row->stage != ACCEPTED && row->stage != LOOSE)
			expected_text(row, text, sizeof text);
		if ((r == 0) != (row->stage == ACCEPTED) ||
		    (row->stage != LOOSE && strcmp(text, e.text) != 0)) {
			print_error("%s\n  got      %s\n  expected %s\n", row->rule, e.text, text);
			wrong++;
		}
		assert_true((rule == NULL) == (r < 0));
		rule_free(&rule);
	}
	assert_int_equal(wrong, 0);
}

static void says_it_for_the_legacy_syntax(void **state)
{
	static const struct rule_row rows[] = {
		{"Host(`\xc3\xa9`)", ADDING,
		 "error while adding rule Host: invalid value \"\xc3\xa9\" for \"Host\" matcher, "
		 "non-ASCII characters are not allowed"},
		{"Host(`a`,``)", ADDING,
		 "error while checking rule Host: empty args for matcher Host, [a ]"},
		{"Host()", ADDING, "error while checking rule Host: no args for matcher Host"},
		{"HostRegexp(`{a`)", ADDING,
		 "error while adding rule HostRegexp: mux: unbalanced braces in \"{a\""},
		{"HostRegexp(`a}`)", ADDING,
		 "error while adding rule HostRegexp: mux: unbalanced braces in \"a}\""},
		{"HostRegexp(`{a:(}`)", ADDING,
		 "error while adding rule HostRegexp: error parsing regexp: missing closing ): "
		 "`^($`"},
		{"HostRegexp(`{}`)", ADDING,
		 "error while adding rule HostRegexp: mux: missing name or pattern in \"{}\""},
		{"HostRegexp(`{:a}`)", ADDING,
		 "error while adding rule HostRegexp: mux: missing name or pattern in \"{:a}\""},
		{"HostRegexp(`{a:}`)", ADDING,
		 "error while adding rule HostRegexp: mux: missing name or pattern in \"{a:}\""},
		{"HostRegexp(`\xc3\xa9`)", ADDING,
		 "error while adding rule HostRegexp: invalid value \"\xc3\xa9\" for HostRegexp "
		 "matcher, non-ASCII characters are not allowed"},
		{"Path(`/a`,`b`)", ADDING,
		 "error while adding rule Path: mux: path must start with a slash, got \"b\""},
		{"Path(`/{a`)", ADDING,
		 "error while adding rule Path: mux: unbalanced braces in \"/{a\""},
		{"PathPrefix(`x`)", ADDING,
		 "error while adding rule PathPrefix: mux: path must start with a slash, got "
		 "\"x\""},
		{"Headers(`a`,`b`,`c`)", ADDING,
		 "error while adding rule Headers: mux: number of parameters must be multiple of "
		 "2, got [a b c]"},
		{"HeadersRegexp(`a`,`(`)", ADDING,
		 "error while adding rule HeadersRegexp: error parsing regexp: missing closing ): "
		 "`(`"},
		{"Query(`a=b`,`c`)", ADDING,
		 "error while adding rule Query: mux: number of parameters must be multiple of 2, "
		 "got [a b c]"},
		{"Query(`a={x:(}`)", ADDING,
		 "error while adding rule Query: error parsing regexp: missing closing ): `^($`"},
		{"ClientIP(`x`)", ADDING,
		 "error while adding rule ClientIP: could not initialize IP Checker for "
		 "\"ClientIP\" matcher: parsing CIDR trusted IPs <nil>: invalid CIDR address: x"},
		{"Header(`a`,`b`)", PARSING, "unsupported function: Header"},
		{"PathRegexp(`a`)", PARSING, "unsupported function: PathRegexp"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct weir_error e = {0};
		struct rule *rule;
		char text[WEIR_ERROR_TEXT];

		expected_text(&rows[i], text, sizeof text);
		assert_int_equal(rule_compile(slice_from(rows[i].rule), RULE_V2, NULL, &rule, &e),
				 -EINVAL);
		assert_string_equal(e.text, text);
		assert_null(rule);
	}
}

/* What an input of a group is part of. */
enum part { PART_METHOD, PART_TARGET, PART_QUERY, PART_HOST, PART_LINES };

static void make_request(struct test_request *t, enum part part, const char *input)
{
	static char target[256]; /* the request borrows it */

	snprintf(target, sizeof target, "/?%s", part == PART_QUERY ? input : "");
	test_request_init(t, part == PART_METHOD ? input : "GET",
			  part == PART_TARGET  ? input
			  : part == PART_QUERY ? target
					       : "/",
			  part == PART_HOST ? input : "h", part == PART_LINES ? input : "");
}

static unsigned check_row(const struct match_row *row, enum part part, const char *const *inputs)
{
	struct rule *rule = compile(row->rule, row->syntax);
	unsigned wrong = 0;

	for (size_t i = 0; row->matches[i] != '\0'; i++) {
		struct test_request t;

		make_request(&t, part, inputs[i]);
		assert_int_equal(t.status, 0);
		if (rule_matches(rule, &t.input) != (row->matches[i] == '1')) {
			print_error("%s on \"%s\": expected %c\n", row->rule, inputs[i],
				    row->matches[i]);
			wrong++;
		}
		assert_false(t.input.failed);
		test_request_free(&t);
	}
	rule_free(&rule);
	return wrong;
}

static void matches_what_traefik_matches(void **state)
{
	static const struct {
		enum part part;
		const char *const *inputs;
		size_t input_count;
		const struct match_row *rows;
		size_t row_count;
	} groups[] = {
#define GROUP(part, name) \
	{PART_##part, name##_inputs, ARRAY_LEN(name##_inputs), name##_rows, ARRAY_LEN(name##_rows)}
		GROUP(HOST, host),        GROUP(HOST, host_v2),   GROUP(QUERY, query),
		GROUP(QUERY, query_v2),   GROUP(LINES, header),   GROUP(LINES, header_v2),
		GROUP(TARGET, path),      GROUP(TARGET, path_v2), GROUP(METHOD, method),
		GROUP(METHOD, method_v2),
	};
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		for (size_t j = 0; j < groups[i].row_count; j++) {
			assert_int_equal(strlen(groups[i].rows[j].matches), groups[i].input_count);
			wrong += check_row(&groups[i].rows[j], groups[i].part, groups[i].inputs);
		}
	}
	assert_int_equal(wrong, 0);
}

static bool matches_peer(const char *text, const char *peer)
{
	struct rule *rule = compile(text, RULE_V3);
	struct test_request t;
	bool result;

	test_request_init(&t, "GET", "/", "h", "X-Forwarded-For: 10.0.0.1\r\n");
	assert_true(address_parse(slice_from(peer), &t.peer));
	result = rule_matches(rule, &t.input);
	test_request_free(&t);
	rule_free(&rule);
	return result;
}

static void client_ip_is_the_peer(void **state)
{
	(void)state;
	assert_true(matches_peer("ClientIP(`127.0.0.1`)", "127.0.0.1"));
	assert_true(matches_peer("ClientIP(`127.0.0.0/8`)", "127.9.9.9"));
	assert_false(matches_peer("ClientIP(`10.0.0.1`)", "127.0.0.1"));
	assert_true(matches_peer("ClientIP(`::ffff:127.0.0.1`)", "127.0.0.1"));
	assert_true(matches_peer("ClientIP(`::ffff:127.0.0.0/104`)", "127.0.0.1"));
	assert_false(matches_peer("ClientIP(`::/0`)", "127.0.0.1"));
	assert_true(matches_peer("ClientIP(`::/0`)", "fe80::1"));
	assert_true(matches_peer("ClientIP(`0.0.0.0/0`)", "127.0.0.1"));
	assert_false(matches_peer("ClientIP(`0.0.0.0/0`)", "fe80::1"));
	assert_true(matches_peer("!ClientIP(`::1`)", "::2"));
}

static void too_many_query_pairs_are_none(void **state)
{
	struct rule *rule = compile("Query(`a`,`b`)", RULE_V3);

	(void)state;
	for (size_t pairs = 10000; pairs <= 10001; pairs++) {
		struct str target = {0};
		struct test_request t;

		str_add(&target, SLICE("/?"));
		for (size_t i = 1; i < pairs; i++)
			str_add(&target, SLICE("x&"));
		str_add(&target, SLICE("a=b"));
		test_request_init(&t, "GET", target.p, "h", "");
		assert_int_equal(rule_matches(rule, &t.input), pairs == 10000);
		test_request_free(&t);
		str_free(&target);
	}
	rule_free(&rule);
}

static void a_full_arena_fails_the_request(void **state)
{
	struct rule *rule = compile("QueryRegexp(`a`,`^b c$`)", RULE_V3);
	struct test_request t;

	(void)state;
	test_request_init(&t, "GET", "/?a=b+c&a=b%20c", "h", "");
	assert_true(rule_matches(rule, &t.input));
	assert_non_null(t.input.scratch);
	t.input.scratch = NULL;
	t.arena.limit_bytes = t.arena.used_bytes;
	while (arena_alloc(&t.arena, 1) != NULL)
		;
	assert_false(rule_matches(rule, &t.input));
	assert_true(t.input.failed);
	test_request_free(&t);
	rule_free(&rule);
}

static void limits_are_named(void **state)
{
	static const struct rule_limits limits = {.text_bytes = 400, .depth = 10, .matchers = 5};
	static const struct {
		const char *rule;
		const char *error;
	} rows[] = {
		{"((((((((((Host(`a`)))))))))))", "nested deeper than 10 levels"},
		{"!!!!!!!!!!!Host(`a`)", "nested deeper than 10 levels"},
		{"Host(`a`)||Host(`b`)||Host(`c`)||Host(`d`)||Host(`e`)||Host(`f`)||Host(`g`)",
		 "more than 5 matchers"},
	};
	struct rule *rule;
	struct weir_error e;
	char text[500];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(
			rule_compile(slice_from(rows[i].rule), RULE_V3, &limits, &rule, &e),
			-E2BIG);
		assert_non_null(strstr(e.text, rows[i].error));
		rule = compile(rows[i].rule, RULE_V3);
		rule_free(&rule);
	}
	snprintf(text, sizeof text, "%-*s", 401, "Host(`a`)");
	assert_int_equal(rule_compile(slice_from(text), RULE_V3, &limits, &rule, &e), -E2BIG);
	assert_string_equal(e.text, "rule has 401 bytes, at most 400 are allowed");
}

static void a_long_rule_leaves_room_for_the_reason(void **state)
{
	char text[4000];
	struct weir_error e;
	struct rule *rule;

	(void)state;
	snprintf(text, sizeof text, "Path(`/%0*d`) && Path(`b`)", 3000, 0);
	assert_int_equal(rule_compile(slice_from(text), RULE_V3, NULL, &rule, &e), -EINVAL);
	assert_non_null(strstr(e.text, "path \"b\" does not start with a '/'"));
}

/* The deepest trees that the limits allow must not exhaust the stack. */
static void the_largest_rule_compiles(void **state)
{
	struct str text = {0};
	struct rule *rule;
	struct test_request t;

	(void)state;
	for (int i = 0; i < 2048; i++)
		str_format(&text, "%sHost(`h%d`)", i > 0 ? (i % 2 ? " || " : " && ") : "", i);
	rule = compile(text.p, RULE_V3);
	test_request_init(&t, "GET", "/", "h2047", "");
	assert_true(rule_matches(rule, &t.input));
	assert_int_equal(rule_priority(rule), text.n);
	rule_free(&rule);
	test_request_free(&t);
	str_free(&text);
}

static void collect(void *context, slice host)
{
	struct str *all = context;

	str_format(all, "%s%.*s", all->n > 0 ? " " : "", SLICE_ARG(host));
}

static void lists_hosts_for_certificates(void **state)
{
	static const struct {
		const char *rule;
		enum rule_syntax syntax;
		const char *hosts;
	} rows[] = {
		{"Host(`A.b`)", RULE_V3, "a.b"},
		{"Host(`a`) || (Path(`/x`) && Host(`b`)) || Host(`a`)", RULE_V3, "a b a"},
		{"!Host(`a`) && Host(`b`)", RULE_V3, "b"},
		{"!(!Host(`a`) || Host(`b`))", RULE_V3, "a"},
		{"HostRegexp(`a`)", RULE_V3, ""},
		{"Host(`*.a.b`)", RULE_V3, "*.a.b"},
		{"Host(`a`,`B`) && HostHeader(`c`)", RULE_V2, "a b"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rule *rule = compile(rows[i].rule, rows[i].syntax);
		struct str all = {0};

		rule_each_host(rule, collect, &all);
		assert_string_equal(all.p != NULL ? all.p : "", rows[i].hosts);
		str_free(&all);
		rule_free(&rule);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_traefik_says),
		cmocka_unit_test(says_it_for_the_legacy_syntax),
		cmocka_unit_test(matches_what_traefik_matches),
		cmocka_unit_test(client_ip_is_the_peer),
		cmocka_unit_test(too_many_query_pairs_are_none),
		cmocka_unit_test(a_full_arena_fails_the_request),
		cmocka_unit_test(limits_are_named),
		cmocka_unit_test(a_long_rule_leaves_room_for_the_reason),
		cmocka_unit_test(the_largest_rule_compiles),
		cmocka_unit_test(lists_hosts_for_certificates),
	};

	return cmocka_run_group_tests_name("rule", tests, NULL, NULL);
}
