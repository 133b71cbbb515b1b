#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy_world.h"
#include "tls_peer.h"

/* What generations make of certificates, options and transports; files lie in one directory. */

static char directory[] = "/tmp/weir-generation-tls-XXXXXX";
static struct world w;

static const char *path_of(const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % ARRAY_LEN(paths)];

	(void)snprintf(path, sizeof paths[0], "%s/%s", directory, name);
	return path;
}

static void write_file(const char *name, slice text)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text.p, text.n), text.n);
	assert_int_equal(close(fd), 0);
}

static void write_pair(const char *certificate, const char *key, const char *names)
{
	struct tls_pair pair;

	tls_make_pair(&pair, "test", names);
	write_file(certificate, str_slice(&pair.certificate));
	write_file(key, str_slice(&pair.key));
	tls_pair_free(&pair);
}

static struct generation *build(const char *text, const struct generation *previous)
{
	struct dynamic_config *config = world_dynamic(text, w.config);
	struct generation *g;

	w.problems = 0;
	assert_int_equal(generation_build(&g, &w.built_for, config, previous, 1), 0);
	dynamic_destroy(&config);
	return g;
}

static const char *certificates(void)
{
	static char text[512];

	(void)snprintf(text, sizeof text,
		       "tls:\n"
		       "  certificates:\n"
		       "    - {certFile: %s/a.pem, keyFile: %s/a.key}\n"
		       "    - {certFile: %s/b.pem, keyFile: %s/b.key}\n",
		       directory, directory, directory, directory);
	return text;
}

static struct tls_certificate *named(const struct generation *g, const char *name)
{
	return tls_store_find(g->tls.store, slice_from(name));
}

static void an_unchanged_certificate_is_taken_over(void **state)
{
	struct generation *first, *second;

	(void)state;
	first = build(certificates(), NULL);
	assert_int_equal(w.problems, 0);
	write_pair("b.pem", "b.key", "DNS:b.example");
	second = build(certificates(), first);
	assert_ptr_equal(named(first, "a.example"), named(second, "a.example"));
	assert_ptr_not_equal(named(first, "b.example"), named(second, "b.example"));
	assert_non_null(named(second, "b.example"));
	generation_destroy(&first);
	generation_destroy(&second);
}

/* However often it is looked at; and it comes back. */
static void the_last_good_certificate_stays(void **state)
{
	struct generation *first, *second, *third;

	(void)state;
	first = build(certificates(), NULL);
	write_file("a.pem", SLICE("nonsense"));
	second = build(certificates(), first);
	assert_int_equal(w.problems, 1);
	assert_non_null(strstr(w.last_problem, "a.pem: found no certificate"));
	assert_ptr_equal(named(first, "a.example"), named(second, "a.example"));
	assert_int_equal(unlink(path_of("a.pem")), 0);
	third = build(certificates(), second);
	assert_int_equal(w.problems, 1);
	assert_non_null(strstr(w.last_problem, "No such file or directory"));
	assert_ptr_equal(named(first, "a.example"), named(third, "a.example"));
	generation_destroy(&first);
	generation_destroy(&second);
	write_pair("a.pem", "a.key", "DNS:a.example");
	first = build(certificates(), third);
	assert_int_equal(w.problems, 0);
	assert_ptr_not_equal(named(first, "a.example"), named(third, "a.example"));
	generation_destroy(&first);
	generation_destroy(&third);
}

static void a_bad_certificate_costs_itself(void **state)
{
	struct generation *g;

	(void)state;
	write_file("a.pem", SLICE(""));
	g = build(certificates(), NULL);
	assert_int_equal(w.problems, 1);
	assert_null(named(g, "a.example"));
	assert_non_null(named(g, "b.example"));
	generation_destroy(&g);
}

static const struct tls_profile *profile(const struct generation *g, size_t point, const char *host)
{
	return tls_acceptor_profile(g->tls.acceptors[point], slice_from(host));
}

static void options_follow_hosts(void **state)
{
	const struct tls_profile *normal;
	struct generation *g;

	(void)state;
	g = build(
		"http:\n"
		"  routers:\n"
		"    a: {rule: \"Host(`a.example`)\", service: ping@internal, tls: {options: x}}\n"
		"    b: {rule: \"Host(`B.example.`) || Host(`*.b.example`)\", service: "
		"ping@internal, tls: {options: y}}\n"
		"    c: {rule: \"Host(`c.example`)\", service: ping@internal, tls: {}}\n"
		"    d: {rule: \"Host(`d.example`)\", service: ping@internal, tls: {options: "
		"none}}\n"
		"    e1: {rule: \"Host(`e.example`)\", service: ping@internal, tls: {options: "
		"x}}\n"
		"    e2: {rule: \"Host(`e.example`) && Path(`/`)\", service: ping@internal, tls: "
		"{options: y}}\n"
		"    plain: {rule: \"Host(`f.example`)\", service: ping@internal, entryPoints: "
		"[web]}\n"
		"tls:\n"
		"  options:\n"
		"    x: {minVersion: VersionTLS13}\n"
		"    y: {sniStrict: true}\n",
		NULL);
	normal = profile(g, 0, "c.example");
	assert_non_null(normal);
	assert_ptr_equal(profile(g, 0, "nobody.example"), normal);
	assert_ptr_equal(profile(g, 0, "e.example"), normal);
	assert_ptr_equal(profile(g, 0, "f.example"), normal);
	assert_null(profile(g, 0, "d.example"));
	assert_ptr_not_equal(profile(g, 0, "a.example"), normal);
	assert_ptr_equal(profile(g, 0, "A.Example."), profile(g, 0, "a.example"));
	assert_ptr_equal(profile(g, 0, "b.example"), profile(g, 0, "x.b.example"));
	assert_ptr_not_equal(profile(g, 0, "b.example"), profile(g, 0, "a.example"));
	/* Unknown options and the two routers that lose theirs, each on both entry points. */
	assert_int_equal(w.problems, 6);
	generation_destroy(&g);
}

/* The second entry point makes its routers TLS, with options of the routers' provider. */
static void entry_points_say_what_routers_are(void **state)
{
	struct generation *g;

	(void)state;
	g = build("http:\n"
		  "  routers:\n"
		  "    r: {rule: \"Host(`a.example`)\", service: ping@internal}\n"
		  "tls: {options: {mine: {minVersion: VersionTLS13}}}\n",
		  NULL);
	assert_int_equal(w.problems, 0);
	assert_int_equal(router_count(generation_routers(g, &w.points[0], false)), 1);
	assert_int_equal(router_count(generation_routers(g, &w.points[0], true)), 0);
	assert_int_equal(router_count(generation_routers(g, &w.points[1], false)), 0);
	assert_int_equal(router_count(generation_routers(g, &w.points[1], true)), 1);
	assert_ptr_not_equal(profile(g, 1, "a.example"), profile(g, 1, "b.example"));
	assert_ptr_equal(profile(g, 0, "a.example"), profile(g, 0, "b.example"));
	generation_destroy(&g);
}

static const char *transport(const char *values)
{
	static char text[512];

	(void)snprintf(text, sizeof text,
		       "http:\n"
		       "  routers: {r: {rule: \"Path(`/`)\", service: s, entryPoints: [web]}}\n"
		       "  services: {s: {loadBalancer: {serversTransport: t, servers: [{url: "
		       "\"https://127.0.0.1:9\"}]}}}\n"
		       "  serversTransports: {t: {%s}}\n",
		       values);
	return text;
}

static struct upstream *endpoint(const struct generation *g)
{
	return g->services[0]->servers[0].upstream;
}

/* Connections that were made under one trust are not used under another. */
static void trust_is_part_of_the_endpoint(void **state)
{
	char values[256];
	struct generation *first, *same, *other;

	(void)state;
	(void)snprintf(values, sizeof values, "rootCAs: [%s]", path_of("a.pem"));
	first = build(transport(values), NULL);
	same = build(transport(values), first);
	other = build(transport("insecureSkipVerify: true"), first);
	assert_int_equal(w.problems, 0);
	assert_ptr_equal(endpoint(first), endpoint(same));
	assert_ptr_not_equal(endpoint(first), endpoint(other));
	generation_destroy(&other);
	write_pair("a.pem", "a.key", "DNS:a.example");
	other = build(transport(values), first);
	assert_ptr_not_equal(endpoint(first), endpoint(other));
	generation_destroy(&first);
	generation_destroy(&same);
	generation_destroy(&other);
}

static void a_transport_goes_on_as_it_was(void **state)
{
	char values[256];
	struct generation *first, *second;

	(void)state;
	(void)snprintf(values, sizeof values, "rootCAs: [%s]", path_of("a.pem"));
	first = build(transport(values), NULL);
	write_file("a.pem", SLICE("nonsense"));
	second = build(transport(values), first);
	assert_int_equal(w.problems, 1);
	assert_non_null(strstr(w.last_problem, "servers transport t@file: rootCAs: invalid"));
	assert_ptr_equal(endpoint(first), endpoint(second));
	generation_destroy(&first);
	generation_destroy(&second);
	first = build(transport(values), NULL);
	assert_int_equal(w.problems, 1);
	assert_non_null(strstr(w.last_problem, "router r@file"));
	generation_destroy(&first);
}

static const char *const bad_transports[][2] = {
	{"rootCAs: [/nowhere.pem]", "rootCAs: /nowhere.pem: No such file"},
	{"certificates: [{certFile: /nowhere.pem, keyFile: x}]", "certificates: /nowhere.pem"},
	{"cipherSuites: [NULL_WITH_NULL]", "invalid CipherSuite: NULL_WITH_NULL"},
	{"minVersion: VersionTLS13, maxVersion: VersionTLS12", "maxVersion: found VersionTLS12"},
	{"peerCertSANs: [{type: IP, value: x}]", "type: found \"IP\", expected URI or DNSName"},
};

static void bad_transports_are_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_transports); i++) {
		struct generation *g = build(transport(bad_transports[i][0]), NULL);

		assert_int_equal(w.problems, 1);
		if (strstr(w.last_problem, bad_transports[i][1]) == NULL)
			fail_msg("row %zu: %s", i, w.last_problem);
		generation_destroy(&g);
	}
}

static int set_up(void **state)
{
	struct weir_error e = {0};

	(void)state;
	write_pair("a.pem", "a.key", "DNS:a.example");
	write_pair("b.pem", "b.key", "DNS:b.example");
	world_open(&w, "entryPoints:\n"
		       "  web: {address: \"127.0.0.1:1\"}\n"
		       "  secure: {address: \"127.0.0.1:2\", http: {tls: {options: mine}}}\n"
		       "ping: {manualRouting: true}\n");
	assert_int_equal(generation_world_open_tls(&w.built_for, &e), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	generation_world_close_tls(&w.built_for);
	world_close(&w);
	return 0;
}

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) != NULL ? 0 : -1;
}

static int remove_directory(void **state)
{
	static const char *const names[] = {"a.pem", "a.key", "b.pem", "b.key"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unlink(path_of(names[i]));
	return rmdir(directory);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_unchanged_certificate_is_taken_over), TEST(the_last_good_certificate_stays),
		TEST(a_bad_certificate_costs_itself),         TEST(options_follow_hosts),
		TEST(entry_points_say_what_routers_are),      TEST(trust_is_part_of_the_endpoint),
		TEST(a_transport_goes_on_as_it_was),          TEST(bad_transports_are_named),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
