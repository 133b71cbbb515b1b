#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proxy_request.h"
#include "proxy_world.h"

/* Allocations of the program (not of shared libraries) from the one that fails on; 0: none does. */
static long failing_at, allocations;

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);

static bool fails(void)
{
	return ++allocations == failing_at;
}

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
	return fails() ? NULL : __real_calloc(count, n);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails() ? NULL : __real_realloc(p, n);
}

static const char two_points[] = "entryPoints:\n"
				 "  web: {address: \"127.0.0.1:1\"}\n"
				 "  other: {address: \"127.0.0.1:2\"}\n"
				 "ping: {entryPoint: other}\n";

/* The name of the router that a request reaches, or "" if there is none. */
static const char *routed(const struct generation *g, size_t point, const char *host,
			  const char *target)
{
	static char name[128];
	struct test_request t;
	const struct route *r;

	test_request_init(&t, "GET", target, host, "");
	r = router_find(g->routers[2 * point], &t.input);
	(void)snprintf(name, sizeof name, "%.*s", r != NULL ? (int)r->name.n : 0,
		       r != NULL ? r->name.p : "");
	test_request_free(&t);
	return name;
}

static const char sites[] =
	"http:\n"
	"  routers:\n"
	"    a: {rule: \"Host(`a.test`)\", service: s, entryPoints: [web]}\n"
	"    b: {rule: \"PathPrefix(`/`)\", service: s, priority: 1}\n"
	"    p: {rule: \"Path(`/up`)\", service: ping@internal, entryPoints: [web]}\n"
	"  services:\n"
	"    s: {loadBalancer: {servers: [{url: \"http://127.0.0.1:9\"}, {url: "
	"\"http://127.0.0.1:9/x\"}]}}\n";

static void routers_are_found(void **state)
{
	struct generation *g;
	struct world w;

	(void)state;
	world_open(&w, two_points);
	assert_int_equal(world_build(&w, sites, &g), 0);
	assert_int_equal(w.problems, 0);
	assert_int_equal(g->state, GENERATION_READY);
	assert_string_equal(routed(g, 0, "a.test", "/"), "a@file");
	assert_string_equal(routed(g, 0, "b.test", "/"), "b@file");
	assert_string_equal(routed(g, 0, "b.test", "/up"), "p@file");
	assert_string_equal(routed(g, 1, "a.test", "/"), "b@file");
	assert_string_equal(routed(g, 1, "a.test", "/ping"), "ping@internal");
	generation_destroy(&g);
	assert_null(g);
	world_close(&w);
}

static void limits_hold(void **state)
{
	struct str many = {0};
	struct generation *g;
	struct world w;

	(void)state;
	world_open(&w, "entryPoints: {web: {address: \"127.0.0.1:1\"}}\n"
		       "weir: {limits: {serversPerService: 1, configurationMemory: 1MiB}}\n");
	assert_int_equal(world_build(&w, sites, &g), 0);
	assert_int_equal(w.problems, 2);
	assert_non_null(strstr(w.last_problem, "2 servers, expected at most 1"));
	assert_string_equal(routed(g, 0, "x", "/up"), "p@file");
	generation_destroy(&g);
	str_add(&many, SLICE("http:\n  routers:\n"));
	for (unsigned i = 0; i < 20000; i++)
		str_format(&many, "    r%u: {rule: \"Path(`/%u`)\", service: ping@internal}\n", i,
			   i);
	assert_int_equal(world_build(&w, many.p, &g), -ENOMEM);
	assert_int_equal(w.problems, 2);
	str_free(&many);
	world_close(&w);
}

/* Chains of chains: a handful of lines that would come to more middlewares than there are atoms. */
static void nested_chains_are_limited(void **state)
{
	struct str text = {0};
	struct generation *g;
	struct world w;

	(void)state;
	world_open(&w, "entryPoints: {web: {address: \"127.0.0.1:1\", http: {middlewares: [a]}}}\n"
		       "weir: {limits: {middlewaresPerRouter: 12}}\n");
	str_add(&text,
		SLICE("http:\n  routers:\n"
		      "    fits: {rule: \"Path(`/fits`)\", service: ping@internal, middlewares: "
		      "[c1]}\n"
		      "    many: {rule: \"Path(`/many`)\", service: ping@internal, middlewares: "
		      "[c80]}\n"
		      "    void: {rule: \"Path(`/void`)\", service: ping@internal, middlewares: "
		      "[e80]}\n"
		      "  middlewares:\n    a: {addPrefix: {prefix: /a}}\n"
		      "    c0: {chain: {middlewares: [a]}}\n"
		      "    e0: {chain: {middlewares: []}}\n"));
	for (unsigned i = 1; i <= 80; i++)
		str_format(&text,
			   "    c%u: {chain: {middlewares: [c%u, c%u]}}\n"
			   "    e%u: {chain: {middlewares: [e%u, e%u]}}\n",
			   i, i - 1, i - 1, i, i - 1, i - 1);
	assert_int_equal(world_build(&w, text.p, &g), 0);
	assert_int_equal(w.problems, 2);
	assert_string_equal(routed(g, 0, "x", "/fits"), "fits@file");
	assert_non_null(strstr(w.last_problem, "chains come to more than 12 middlewares"));
	generation_destroy(&g);
	str_free(&text);
	world_close(&w);
}

/* Compiled once for both entry points, and not again by the next generation. */
static void rules_are_found_again(void **state)
{
	static const char other[] =
		"http:\n"
		"  routers:\n"
		"    x: {rule: \"PathPrefix(`/`)\", service: s, priority: 9}\n"
		"    y: {rule: \"PathPrefix(`/y`)\", ruleSyntax: v2, service: s}\n"
		"    z: {rule: \"PathPrefix(`/y`)\", service: s}\n"
		"  services:\n"
		"    s: {loadBalancer: {servers: [{url: \"http://127.0.0.1:9\"}]}}\n";
	struct generation *first, *second;
	const struct rule *b = NULL;
	struct world w;

	(void)state;
	world_open(&w, two_points);
	assert_int_equal(world_build(&w, sites, &first), 0);
	assert_int_equal(rule_registry_count(w.built_for.rules), 4);
	for (size_t i = 0; i < first->route_count; i++) {
		if (!slice_equal(first->routes[i]->name, SLICE("b@file")))
			continue;
		assert_true(b == NULL || b == first->routes[i]->rule);
		b = first->routes[i]->rule;
	}
	assert_int_equal(world_build(&w, other, &second), 0);
	assert_int_equal(rule_registry_count(w.built_for.rules), 6);
	generation_destroy(&first);
	assert_int_equal(rule_registry_count(w.built_for.rules), 4);
	for (size_t i = 0; i < second->route_count; i++)
		if (slice_equal(second->routes[i]->name, SLICE("x@file")))
			assert_ptr_equal(second->routes[i]->rule, b);
	assert_string_equal(routed(second, 1, "a.test", "/up"), "x@file");
	generation_destroy(&second);
	assert_int_equal(rule_registry_count(w.built_for.rules), 0);
	world_close(&w);
}

static struct load_balancer *balancer_of(const struct generation *g, slice name)
{
	for (size_t i = 0; i < g->service_count; i++)
		if (g->services[i] != NULL && slice_equal(g->services[i]->service.name, name))
			return g->services[i];
	fail_msg("no service %.*s", SLICE_ARG(name));
	return NULL;
}

/* Whatever they are called: the same servers with the same weights, in the same order. */
static void load_balancers_go_on_where_they_were(void **state)
{
	static const char before[] =
		"http:\n"
		"  routers:\n"
		"    s: {rule: \"Path(`/s`)\", service: s}\n"
		"    one: {rule: \"Path(`/one`)\", service: one}\n"
		"  services:\n"
		"    s: {loadBalancer: {servers: [{url: \"http://127.0.0.1:8\"}, {url: "
		"\"http://127.0.0.1:9\"}]}}\n"
		"    one: {loadBalancer: {servers: [{url: \"http://127.0.0.1:8\"}]}}\n";
	static const char after[] =
		"http:\n"
		"  routers:\n"
		"    t: {rule: \"Path(`/t`)\", service: t}\n"
		"    turned: {rule: \"Path(`/turned`)\", service: turned}\n"
		"    heavy: {rule: \"Path(`/heavy`)\", service: heavy}\n"
		"  services:\n"
		"    t: {loadBalancer: {servers: [{url: \"http://127.0.0.1:8\"}, {url: "
		"\"http://127.0.0.1:9\"}]}}\n"
		"    turned: {loadBalancer: {servers: [{url: \"http://127.0.0.1:9\"}, {url: "
		"\"http://127.0.0.1:8\"}]}}\n"
		"    heavy: {loadBalancer: {servers: [{url: \"http://127.0.0.1:8\", weight: 2}, "
		"{url: \"http://127.0.0.1:9\"}]}}\n";
	struct generation *first, *second;
	struct world w;
	uint32_t place;

	(void)state;
	world_open(&w, two_points);
	assert_int_equal(world_build(&w, before, &first), 0);
	assert_int_equal(turn_registry_count(w.built_for.turns), 1);
	assert_int_equal(balancer_next(&balancer_of(first, SLICE("s@file"))->balancer, &place), 0);
	assert_int_equal(world_build(&w, after, &second), 0);
	assert_int_equal(turn_registry_count(w.built_for.turns), 3);
	assert_int_equal(balancer_next(&balancer_of(second, SLICE("t@file"))->balancer, &place), 1);
	assert_int_equal(balancer_next(&balancer_of(first, SLICE("s@file"))->balancer, &place), 0);
	assert_int_equal(
		balancer_next(&balancer_of(second, SLICE("turned@file"))->balancer, &place), 0);
	assert_int_equal(balancer_next(&balancer_of(second, SLICE("heavy@file"))->balancer, &place),
			 0);
	generation_destroy(&first);
	assert_int_equal(balancer_next(&balancer_of(second, SLICE("t@file"))->balancer, &place), 1);
	generation_destroy(&second);
	assert_int_equal(turn_registry_count(w.built_for.turns), 0);
	world_close(&w);
}

struct broken {
	const char *router, *problem;
};

/* One router that cannot work takes nothing else with it. */
static void what_is_wrong_is_reported_and_disabled(void **state)
{
	static const struct broken rows[] = {
		{"{rule: \"Hots(`a`)\", service: s}", "router x@file on web: "},
		{"{rule: \"Path(`/x`)\", service: nowhere}", "router x@file: the service"},
		{"{rule: \"Path(`/x`)\", service: s, middlewares: [nothing]}",
		 "router x@file: middleware \"nothing@file\""},
		{"{rule: \"Path(`/x`)\", service: s, entryPoints: [nope]}",
		 "router x@file on nope: EntryPoint doesn't exist"},
		{"{rule: \"Path(`/x`)\", service: ftp}",
		 "router x@file on web: service \"ftp@file\": server URL "},
		{"{rule: \"Path(`/x`)\", service: bad}",
		 "router x@file on web: service \"bad@file\": "},
		{"{rule: \"Path(`/x`)\", service: s, middlewares: [m]}",
		 "router x@file on web: middleware \"m@file\": "},
	};
	char text[2048];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct generation *g;
		struct world w;

		(void)snprintf(text, sizeof text,
			       "http:\n"
			       "  routers:\n"
			       "    x: %s\n"
			       "    good: {rule: \"Path(`/good`)\", service: s}\n"
			       "  middlewares:\n"
			       "    m: {plugin: {unknown: {a: 1}}}\n"
			       "  services:\n"
			       "    s: {loadBalancer: {servers: [{url: \"http://a:1\"}]}}\n"
			       "    ftp: {loadBalancer: {servers: [{url: \"ftp://a:1\"}]}}\n"
			       "    bad: {loadBalancer: {servers: [{url: \"http://a:1\"}, "
			       "{url: \"http://a:x\"}]}}\n",
			       rows[i].router);
		world_open(&w, "entryPoints: {web: {address: \"127.0.0.1:1\"}}\n");
		assert_int_equal(world_build(&w, text, &g), 0);
		assert_int_equal(w.problems, 1);
		if (strncmp(w.last_problem, rows[i].problem, strlen(rows[i].problem)) != 0)
			fail_msg("row %zu: %s", i, w.last_problem);
		assert_string_equal(routed(g, 0, "a", "/good"), "good@file");
		assert_string_equal(routed(g, 0, "a", "/x"), "");
		generation_destroy(&g);
		world_close(&w);
	}
}

/* Had more routes than there was room for. */
static void a_port_out_of_range_costs_its_server_only(void **state)
{
	struct generation *g;
	struct world w;

	(void)state;
	world_open(&w, "entryPoints: {web: {address: \"127.0.0.1:1\"}}\n");
	assert_int_equal(world_build(&w,
				     "http:\n"
				     "  routers: {x: {rule: \"Path(`/x`)\", service: s}}\n"
				     "  services: {s: {loadBalancer: {servers: [{url: "
				     "\"http://a:1\"}, {url: \"http://a:70000\"}]}}}\n",
				     &g),
			 0);
	assert_int_equal(w.problems, 1);
	assert_non_null(strstr(w.last_problem, "service s@file: server URL: "));
	assert_string_equal(routed(g, 0, "a", "/x"), "x@file");
	generation_destroy(&g);
	world_close(&w);
}

static void an_entry_point_that_is_named_twice_counts_once(void **state)
{
	struct generation *g;
	struct world w;

	(void)state;
	world_open(&w, two_points);
	assert_int_equal(
		world_build(&w,
			    "http:\n"
			    "  routers:\n"
			    "    a: {rule: \"Path(`/a`)\", service: ping@internal, entryPoints: "
			    "[web, web, other, web, nope, web, web, nope]}\n",
			    &g),
		0);
	assert_int_equal(g->route_count, 3);
	assert_int_equal(router_count(g->routers[0]), 1);
	assert_int_equal(w.problems, 1);
	generation_destroy(&g);
	world_close(&w);
}

static struct upstream *first_upstream(const struct generation *g)
{
	return g->services[0]->servers[0].upstream;
}

/* So that a reload keeps connections. */
static void generations_share_endpoints_with_the_same_settings(void **state)
{
	static const char other_settings[] =
		"http:\n"
		"  routers:\n"
		"    b: {rule: \"PathPrefix(`/`)\", service: s}\n"
		"  services:\n"
		"    s: {loadBalancer: {serversTransport: t, servers: [{url: "
		"\"http://127.0.0.1:9\"}]}}\n"
		"  serversTransports:\n"
		"    t: {forwardingTimeouts: {dialTimeout: 7s}}\n";
	struct generation *g, *same, *other;
	struct client *c;
	struct world w;

	(void)state;
	world_open(&w, two_points);
	assert_int_equal(world_build(&w, sites, &g), 0);
	assert_int_equal(world_build(&w, sites, &same), 0);
	assert_int_equal(world_build(&w, other_settings, &other), 0);
	assert_int_equal(w.problems, 0);
	assert_ptr_equal(first_upstream(g), first_upstream(same));
	assert_ptr_equal(first_upstream(g), g->services[0]->servers[1].upstream);
	assert_ptr_not_equal(first_upstream(g), first_upstream(other));
	c = upstream_client(first_upstream(g), &w.loops[1]);
	assert_non_null(c);
	assert_ptr_not_equal(c, upstream_client(first_upstream(g), &w.loops[0]));
	generation_destroy(&g);
	assert_ptr_equal(c, upstream_client(first_upstream(same), &w.loops[1]));
	generation_destroy(&same);
	generation_destroy(&other);
	world_close(&w);
}

static void a_build_can_be_cancelled(void **state)
{
	struct generation *g;
	struct world w;

	(void)state;
	world_open(&w, two_points);
	atomic_store(&w.cancelled, true);
	assert_int_equal(world_build(&w, sites, &g), -ECANCELED);
	assert_null(g);
	world_close(&w);
}

static const char secure_sites[] =
	"http:\n"
	"  routers:\n"
	"    a: {rule: \"Host(`a.test`)\", service: s, tls: {options: o}}\n"
	"    b: {rule: \"Host(`a.test`) || Host(`b.test`)\", service: s, tls: {options: o}}\n"
	"  services:\n"
	"    s: {loadBalancer: {serversTransport: t, servers: [{url: \"https://127.0.0.1:9\"}]}}\n"
	"  serversTransports:\n"
	"    t: {serverName: s.test, peerCertURI: \"spiffe://s\", insecureSkipVerify: true}\n"
	"tls:\n"
	"  options:\n"
	"    o: {minVersion: VersionTLS13, alpnProtocols: [http/1.1]}\n";

/* Each allocation fails once. */
static void fail_each(const char *text, bool tls)
{
	struct dynamic_config *config;
	struct weir_error e = {0};
	struct generation *g;
	struct world w;
	long n = 0;
	int r;

	world_open(&w, two_points);
	config = world_dynamic(text, w.config);
	if (tls)
		assert_int_equal(generation_world_open_tls(&w.built_for, &e), 0);
	do {
		allocations = 0;
		failing_at = ++n;
		r = generation_build(&g, &w.built_for, config, NULL, 1);
		failing_at = 0;
		if (w.problems > 0)
			fail_msg("allocation %ld: %s", n, w.last_problem);
		if (r < 0) {
			assert_int_equal(r, -ENOMEM);
			assert_null(g);
		}
	} while (r < 0);
	assert_true(n > 10);
	assert_int_equal(router_count(g->routers[tls ? 1 : 0]), 2 + !tls);
	generation_destroy(&g);
	dynamic_destroy(&config);
	generation_world_close_tls(&w.built_for);
	world_close(&w);
}

/* Short of memory a configuration is refused as a whole: never published with routers missing. */
static void lack_of_memory_fails_the_build(void **state)
{
	(void)state;
	fail_each(sites, false);
	fail_each(secure_sites, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routers_are_found),
		cmocka_unit_test(rules_are_found_again),
		cmocka_unit_test(load_balancers_go_on_where_they_were),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(nested_chains_are_limited),
		cmocka_unit_test(what_is_wrong_is_reported_and_disabled),
		cmocka_unit_test(a_port_out_of_range_costs_its_server_only),
		cmocka_unit_test(an_entry_point_that_is_named_twice_counts_once),
		cmocka_unit_test(generations_share_endpoints_with_the_same_settings),
		cmocka_unit_test(a_build_can_be_cancelled),
		cmocka_unit_test(lack_of_memory_fails_the_build),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
