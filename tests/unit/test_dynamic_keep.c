/*
 * A configuration that is kept comes back as it was.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/dynamic.h"

static struct dynamic_config *parse(const char *text, enum tree_format format)
{
	struct config_report report;
	struct dynamic_config *config = NULL;
	struct arena arena;

	arena_init(&arena, 4096, 1 << 20);
	config_report_init(&report, &arena);
	assert_int_equal(dynamic_parse(slice_from(text), format, "test", NULL, &report, &config),
			 0);
	arena_free(&arena);
	assert_int_equal(dynamic_read_files(config, NULL, NULL), 0);
	return config;
}

static int restore(slice text, struct dynamic_config **config)
{
	struct config_report report;
	struct arena arena;
	int r;

	arena_init(&arena, 4096, 1 << 20);
	config_report_init(&report, &arena);
	r = dynamic_restore(text, "kept", &report, config);
	arena_free(&arena);
	return r;
}

static void assert_comes_back(struct dynamic_config *config)
{
	struct dynamic_config *back = NULL;
	struct str text = {0};

	assert_int_equal(dynamic_keep(config, &text), 0);
	assert_int_equal(restore(str_slice(&text), &back), 0);
	assert_true(dynamic_hash_equal(&config->hash, &back->hash));
	dynamic_destroy(&back);
	str_free(&text);
}

static const struct {
	const char *text;
	enum tree_format format;
} texts[] = {
	{"{}", TREE_YAML},
	{"http:\n  routers:\n    \"a b\": {rule: \"Host(`x`) && Path(`/\\u00e9\\\"`)\", service: "
	 "s, "
	 "priority: 7, tls: {}}\n    r2: {rule: 'PathPrefix(`/`)', service: 's', middlewares: [m, "
	 "p]}\n"
	 "  services:\n    s: {loadBalancer: {passHostHeader: false, servers: [{url: 'http://h:1', "
	 "weight: 0}, {url: 'http://i:2'}], sticky: {cookie: {}}, healthCheck: {path: /, interval: "
	 "5s}}}\n"
	 "    w: {weighted: {services: [{name: s, weight: 3}]}}\n"
	 "  middlewares:\n    m: {headers: {customRequestHeaders: {X-A: '', \"X:B\": \"a\\nb\"}}}\n"
	 "    c: {compress: {}}\n"
	 "    p: {plugin: {x: {text: '1', number: 1, float: 1.5, yes: true, 'no': 'true', none: "
	 "null, "
	 "list: [1, 'a', {b: []}], empty: {}, big: \"line 1\\nline 2\\n\"}}}\n"
	 "  serversTransports:\n    t: {insecureSkipVerify: true, forwardingTimeouts: "
	 "{dialTimeout: "
	 "3s}}\n"
	 "tls:\n  options: {default: {sniStrict: true}, o: {minVersion: VersionTLS13}}\n"
	 "  stores: {default: {}}\n"
	 "  certificates: [{certFile: \"a: b\\n\", keyFile: k, stores: [default, x]}, {certFile: "
	 "'c', "
	 "keyFile: ''}]\n",
	 TREE_YAML},
	{"[http.routers.r]\nrule = 'Host(`x`)'\nservice = \"s\"\n"
	 "[http.services.s.loadBalancer]\n[[http.services.s.loadBalancer.servers]]\nurl = "
	 "'http://h:1'\n",
	 TREE_TOML},
	/* What is wrong with one object stays wrong. */
	{"http: {routers: {r: {service: s}}, services: {s: {}}}", TREE_YAML},
};

static void what_is_kept_comes_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct dynamic_config *config = parse(texts[i].text, texts[i].format);

		assert_comes_back(config);
		dynamic_destroy(&config);
	}
}

/* The two together; both are taken over. */
static void assert_merged_comes_back(struct dynamic_config *a, struct dynamic_config *b)
{
	struct dynamic_part parts[] = {{a, NULL}, {b, NULL}};
	struct dynamic_config *merged = NULL;
	struct config_report report;
	struct arena arena;

	arena_init(&arena, 4096, 1 << 20);
	config_report_init(&report, &arena);
	assert_int_equal(dynamic_merge(parts, 2, &report, &merged), 0);
	assert_comes_back(merged);
	dynamic_destroy(&merged);
	dynamic_destroy(&a);
	dynamic_destroy(&b);
	arena_free(&arena);
}

static void also_of_several_files(void **state)
{
	(void)state;
	assert_merged_comes_back(
		parse("http: {routers: {a: {rule: 'Host(`a`)', service: s}}}\n"
		      "tls: {certificates: [{certFile: x, keyFile: y}]}",
		      TREE_YAML),
		parse("http: {services: {s: {loadBalancer: {servers: [{url: 'http://h'}]}}}}\n"
		      "tls: {certificates: [{certFile: z}]}",
		      TREE_YAML));
}

static struct dynamic_config *parse_large(const char *name, size_t values)
{
	struct dynamic_config *config;
	struct str text = {0};

	str_format(&text, "http: {middlewares: {%s: {plugin: {p: {list: [0", name);
	for (size_t i = 1; i < values; i++)
		str_add(&text, SLICE(",0"));
	str_add(&text, SLICE("]}}}}}"));
	str_add_char(&text, '\0');
	config = parse(text.p, TREE_YAML);
	str_free(&text);
	return config;
}

/* Files that have more values together than one may have. */
static void many_values_come_back(void **state)
{
	const size_t half = tree_default_limits.nodes / 2;

	(void)state;
	assert_merged_comes_back(parse_large("a", half), parse_large("b", half));
}

/* A certificate whose file is gone, or another one by now, is still the one that was served. */
static void files_come_back_as_they_were(void **state)
{
	char path[] = "/tmp/weir-keep-XXXXXX", text[200];
	int fd = mkstemp(path);
	struct dynamic_config *config, *back = NULL;
	const struct dynamic_certificate *certificate;
	struct str kept = {0};

	(void)state;
	assert_int_equal(write(fd, "one\n", 4), 4);
	(void)snprintf(text, sizeof text, "tls: {certificates: [{certFile: %s, keyFile: %s}]}",
		       path, path);
	config = parse(text, TREE_YAML);
	assert_int_equal(dynamic_keep(config, &kept), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(restore(str_slice(&kept), &back), 0);
	certificate = back->certificates.items[0];
	assert_true(slice_equal(certificate->pair.key_file.bytes, SLICE("one\n")));
	assert_true(slice_equal(certificate->pair.key_file.text, slice_from(path)));
	assert_true(dynamic_hash_equal(&config->hash, &back->hash));
	dynamic_destroy(&back);
	dynamic_destroy(&config);
	str_free(&kept);
	(void)close(fd);
}

static void a_limit_is_kept(void **state)
{
	struct dynamic_config *config = parse(texts[1].text, TREE_YAML);

	(void)state;
	for (size_t limit = 1; limit < 500; limit += 83) {
		struct str text = {.limit = limit};

		assert_int_equal(dynamic_keep(config, &text), -EFBIG);
		str_free(&text);
	}
	dynamic_destroy(&config);
}

/* Whatever part of a text there is: it is refused, or something comes of it. */
static void torn_texts_are_refused(void **state)
{
	struct dynamic_config *config = parse(texts[1].text, TREE_YAML), *back = NULL;
	struct str text = {0};

	(void)state;
	assert_int_equal(dynamic_keep(config, &text), 0);
	for (size_t n = 0; n < text.n; n++) {
		assert_true(restore(slice_first(str_slice(&text), n), &back) < 0);
		assert_null(back);
	}
	assert_true(restore(SLICE("weir-kept 2 0\n"), &back) < 0);
	assert_true(restore(SLICE("weir-kept 1 99999999999999999999\n"), &back) < 0);
	str_free(&text);
	dynamic_destroy(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_kept_comes_back),
		cmocka_unit_test(also_of_several_files),
		cmocka_unit_test(many_values_come_back),
		cmocka_unit_test(files_come_back_as_they_were),
		cmocka_unit_test(a_limit_is_kept),
		cmocka_unit_test(torn_texts_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
