#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "core/error.h"
#include "core/str.h"
#include "proxy/router.h"
#include "proxy_request.h"

#define ROUTERS_MAX 1000

/* A set with the rules that it borrows. The target of router i is &rules[i]. */
struct table {
	struct rule *rules[ROUTERS_MAX];
	struct router_entry entries[ROUTERS_MAX];
	size_t count;
	struct router_set *set;
};

static void add_router(struct table *t, const char *rule, enum rule_syntax syntax, int64_t priority)
{
	struct weir_error e = {0};

	must(t->count < ROUTERS_MAX);
	if (rule_compile(slice_from(rule), syntax, NULL, &t->rules[t->count], &e) < 0)
		fail_msg("%s: %s", rule, e.text);
	t->entries[t->count] = (struct router_entry){
		.rule = t->rules[t->count], .priority = priority, .target = &t->rules[t->count]};
	t->count++;
}

static void build_table(struct table *t)
{
	assert_int_equal(router_set_new(t->entries, t->count, &t->set, NULL), 0);
	assert_int_equal(router_count(t->set), t->count);
}

static void free_table(struct table *t)
{
	router_set_free(&t->set);
	for (size_t i = 0; i < t->count; i++)
		rule_free(&t->rules[i]);
	t->count = 0;
}

/* Number of the router that answers, or -1. */
static int find(const struct table *t, const char *host, const char *target)
{
	struct test_request q;
	struct rule **found;

	test_request_init(&q, "GET", target, host, "");
	found = router_find(t->set, &q.input);
	assert_ptr_equal(found, router_find_linear(t->set, &q.input));
	test_request_free(&q);
	return found != NULL ? (int)(found - t->rules) : -1;
}

static void longer_rules_and_larger_priorities_win(void **state)
{
	static struct table t;

	(void)state;
	add_router(&t, "Host(`a`)", RULE_V3, 0);
	add_router(&t, "Host(`a`) && PathPrefix(`/x`)", RULE_V3, 0);
	add_router(&t, "PathPrefix(`/x/y`)", RULE_V3, 1000);
	add_router(&t, "PathPrefix(`/`)", RULE_V3, -5);
	add_router(&t, "Host(`b`)", RULE_V3, 7);
	add_router(&t, "Host(`b`) ", RULE_V3, 7);
	build_table(&t);
	assert_int_equal(find(&t, "a", "/"), 0);
	assert_int_equal(find(&t, "a", "/x"), 1);
	assert_int_equal(find(&t, "a", "/x/y/z"), 2);
	assert_int_equal(find(&t, "c", "/x"), 3);
	assert_int_equal(find(&t, "b", "/"), 4);
	assert_int_equal(find(&t, "B.:80", "/"), 4);
	free_table(&t);
}

static void an_empty_set_finds_nothing(void **state)
{
	static struct table t;

	(void)state;
	build_table(&t);
	assert_int_equal(find(&t, "a", "/"), -1);
	free_table(&t);
}

static const char *const hosts[] = {"a",  "b", "a.b",  "x.a.b", "A.B.", "y.x.a.b", "x.a.b.",
				    "..", ".", ".a.b", "",      "a..",  "[::1]",   "q.a.b"};
static const char *const host_arguments[] = {"a",  "b",     "a.b",    "*.a.b", "*.A.b.",
					     "*",  "*.",    "*..",    "a.b.",  "::1",
					     "..", "x.a.b", "*.x.a.b"};
static const char *const paths[] = {"/",   "/a",     "/a/",    "/a/b", "/ab",        "/abc/d", "/b",
				    "/b/", "/b/c/d", "/a%2Fb", "/%41", "/a/b/c/d/e", "/abcd",  "*"};
static const char *const path_arguments[] = {"/",  "/a",   "/a/",   "/a/b", "/ab",    "/abc",
					     "/b", "/b/c", "/abcd", "/A",   "/a%2Fb", "/abc/d"};

static const char *any(const char *const *of, size_t count, unsigned *seed)
{
	return of[(size_t)rand_r(seed) % count];
}

#define ANY(of, seed) any(of, ARRAY_LEN(of), seed)

static void add_random_rule(struct str *text, unsigned depth, unsigned *seed)
{
	unsigned kind = (unsigned)rand_r(seed) % (depth > 0 ? 12 : 7);

	if (kind < 2)
		str_format(text, "Host(`%s`)", ANY(host_arguments, seed));
	else if (kind < 4)
		str_format(text, "PathPrefix(`%s`)", ANY(path_arguments, seed));
	else if (kind == 4)
		str_format(text, "Path(`%s`)", ANY(path_arguments, seed));
	else if (kind == 5)
		str_add(text, SLICE("HostRegexp(`^.\\.`)"));
	else if (kind == 6)
		str_add(text, SLICE("PathRegexp(`b`)"));
	else {
		str_add(text, kind == 7 ? SLICE("!(") : SLICE("("));
		add_random_rule(text, depth - 1, seed);
		if (kind > 7) {
			str_add(text, kind < 10 ? SLICE(" && ") : SLICE(" || "));
			add_random_rule(text, depth - 1, seed);
		}
		str_add_char(text, ')');
	}
}

/* The index must never change the answer, only its cost. */
static void the_index_agrees_with_linear_evaluation(void **state)
{
	static struct table t;
	unsigned seed = 7;
	size_t matched = 0;

	(void)state;
	for (int round = 0; round < 300; round++) {
		size_t count = 1 + (size_t)rand_r(&seed) % 40;

		for (size_t i = 0; i < count; i++) {
			struct str text = {0};

			if (rand_r(&seed) % 8 == 0)
				str_format(&text, "Host(`%s`,`%s`) && PathPrefix(`%s`)",
					   ANY(hosts, &seed)[0] != '\0' ? "a.b" : "a",
					   ANY(host_arguments, &seed), ANY(path_arguments, &seed));
			else
				add_random_rule(&text, 4, &seed);
			add_router(&t, text.p, strstr(text.p, "`,`") != NULL ? RULE_V2 : RULE_V3,
				   rand_r(&seed) % 3 == 0 ? rand_r(&seed) % 10 - 5 : 0);
			str_free(&text);
		}
		build_table(&t);
		for (size_t h = 0; h < ARRAY_LEN(hosts); h++) {
			for (size_t p = 0; p < ARRAY_LEN(paths); p++)
				matched += find(&t, hosts[h], paths[p]) >= 0;
		}
		free_table(&t);
	}
	assert_true(matched > 10000);
}

static double lookup_ns(const struct table *t, const char *host, const char *target)
{
	enum { ROUNDS = 20000, TRIES = 7 };
	struct test_request q;
	double best = 1e18;

	test_request_init(&q, "GET", target, host, "");
	assert_non_null(router_find(t->set, &q.input));
	for (int try = 0; try < TRIES; try++) {
		struct timespec from, to;
		double ns;

		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
		for (int i = 0; i < ROUNDS; i++)
			must(router_find(t->set, &q.input) != NULL);
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
		ns = (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
		best = MIN(best, ns / ROUNDS);
	}
	test_request_free(&q);
	return best;
}

static void fill(struct table *t, size_t count, const char *format)
{
	char rule[128];

	for (size_t i = 0; i < count; i++) {
		snprintf(rule, sizeof rule, format, i + 100, i + 100);
		add_router(t, rule, RULE_V3, 0);
	}
	build_table(t);
}

/*
 * Not a benchmark: the bound only tells an index from a scan, which takes hundreds of times as
 * long.
 */
static void a_thousand_routers_cost_about_as_much_as_one(void **state)
{
	static const struct {
		const char *format;
		const char *first_host, *first_path;
		const char *last_host, *last_path;
	} sets[] = {
		{"Host(`h%zu.example.com`) && PathPrefix(`/p%zu`)", "h100.example.com", "/p100/x",
		 "h1099.example.com", "/p1099/x"},
		{"Host(`example.com`) && PathPrefix(`/p%zu-%zu`)", "example.com", "/p100-100/x",
		 "example.com", "/p1099-1099/x"},
		{"PathPrefix(`/p%zu-%zu/`)", "example.com", "/p100-100/x", "example.com",
		 "/p1099-1099/x"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		static struct table one, many;
		double few_ns, many_ns;

		fill(&one, 1, sets[i].format);
		fill(&many, ROUTERS_MAX, sets[i].format);
		few_ns = lookup_ns(&one, sets[i].first_host, sets[i].first_path);
		many_ns = lookup_ns(&many, sets[i].last_host, sets[i].last_path);
		print_message("%s: 1 router %.0f ns, %d routers %.0f ns\n", sets[i].format, few_ns,
			      ROUTERS_MAX, many_ns);
		assert_true(many_ns < few_ns * 20);
		free_table(&one);
		free_table(&many);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(longer_rules_and_larger_priorities_win),
		cmocka_unit_test(an_empty_set_finds_nothing),
		cmocka_unit_test(the_index_agrees_with_linear_evaluation),
		cmocka_unit_test(a_thousand_routers_cost_about_as_much_as_one),
	};

	return cmocka_run_group_tests_name("router", tests, NULL, NULL);
}
