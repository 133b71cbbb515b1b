#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/dynamic.h"

static struct dynamic_config *parse(const char *text)
{
	struct dynamic_config *config;
	struct config_report report;
	struct arena arena;

	arena_init(&arena, 4096, 1 << 20);
	config_report_init(&report, &arena);
	assert_int_equal(
		dynamic_parse(slice_from(text), TREE_YAML, "dyn.yml", NULL, &report, &config), 0);
	arena_free(&arena);
	return config;
}

static struct dynamic_hash hash_of(const char *text, void (*file)(void *, const char *),
				   void *context)
{
	struct dynamic_config *config = parse(text);
	struct dynamic_hash hash;

	assert_int_equal(dynamic_read_files(config, file, context), 0);
	hash = config->hash;
	dynamic_destroy(&config);
	return hash;
}

struct named {
	char text[512];
};

static void note(void *context, const char *path)
{
	struct named *n = context;
	size_t at = strlen(n->text);

	(void)snprintf(n->text + at, sizeof n->text - at, "%s ", path);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(close(fd), 0);
}

/* Wherever a file is named: what it says is part of the configuration. */
static const char *const places[] = {
	"tls: {certificates: [{certFile: %s, keyFile: x}]}",
	"tls: {certificates: [{certFile: x, keyFile: %s}]}",
	"tls: {stores: {default: {defaultCertificate: {certFile: %s, keyFile: x}}}}",
	"tls: {options: {o: {clientAuth: {caFiles: [%s]}}}}",
	"http: {serversTransports: {t: {rootCAs: [x, %s]}}}",
	"http: {serversTransports: {t: {certificates: [{certFile: x, keyFile: %s}]}}}",
};

static void files_belong_to_the_hash(void **state)
{
	char path[] = "/tmp/weir-dynamic-tls-XXXXXX", text[512];

	(void)state;
	(void)close(mkstemp(path));
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		struct dynamic_hash first, same, other, gone;
		struct named named = {""};

		(void)snprintf(text, sizeof text, places[i], path);
		put(path, "one");
		first = hash_of(text, note, &named);
		same = hash_of(text, NULL, NULL);
		put(path, "two");
		other = hash_of(text, NULL, NULL);
		assert_int_equal(unlink(path), 0);
		gone = hash_of(text, NULL, NULL);
		assert_true(dynamic_hash_equal(&first, &same));
		assert_false(dynamic_hash_equal(&first, &other));
		assert_false(dynamic_hash_equal(&other, &gone));
		assert_non_null(strstr(named.text, path));
	}
}

static void what_is_written_out_names_no_file(void **state)
{
	struct named named = {""};

	(void)state;
	(void)hash_of("tls:\n"
		      "  certificates:\n"
		      "    - certFile: |\n"
		      "        -----BEGIN CERTIFICATE-----\n"
		      "      keyFile: \"-----BEGIN PRIVATE KEY-----\"\n",
		      note, &named);
	assert_string_equal(named.text, "");
}

static struct dynamic_config *merge(struct dynamic_config *a, const char *first,
				    struct dynamic_config *b, const char *second, char text[512])
{
	const struct dynamic_part parts[] = {{a, first}, {b, second}};
	struct dynamic_config *merged;
	struct config_report report;
	struct arena arena;
	struct str messages = {0};

	arena_init(&arena, 4096, 1 << 20);
	config_report_init(&report, &arena);
	assert_int_equal(dynamic_merge(parts, 2, &report, &merged), 0);
	config_report_add(&messages, &report);
	(void)snprintf(text, 512, "%s", messages.p != NULL ? messages.p : "");
	str_free(&messages);
	arena_free(&arena);
	return merged;
}

static void certificates_are_all_there(void **state)
{
	struct dynamic_config *a = parse("tls: {certificates: [{certFile: 1}, {certFile: 2}]}"),
			      *b = parse("tls: {certificates: [{certFile: 3}]}"), *merged;
	char text[512];

	(void)state;
	merged = merge(a, NULL, b, NULL, text);
	assert_int_equal(merged->certificates.count, 3);
	for (size_t i = 0; i < 3; i++) {
		const struct dynamic_certificate *c = merged->certificates.items[i];

		assert_int_equal(c->pair.cert_file.text.p[0], '1' + (int)i);
		assert_non_null(merged->certificates.nodes[i]);
	}
	assert_false(dynamic_is_empty(merged));
	dynamic_destroy(&a);
	dynamic_destroy(&b);
	dynamic_destroy(&merged);
}

static void default_options_need_no_provider(void **state)
{
	struct dynamic_config *a = parse("tls: {options: {default: {sniStrict: true}, o: {}}}"),
			      *b = parse(
				      "http: {routers: {r: {rule: x, service: s, tls: {options: "
				      "o}}, d: {rule: x, service: s, tls: {options: default}}}}"),
			      *merged;
	char text[512];

	(void)state;
	merged = merge(a, "file", b, "http", text);
	assert_non_null(dynamic_tls_options_find(merged, SLICE("default")));
	assert_non_null(dynamic_tls_options_find(merged, SLICE("o@file")));
	/* As it is written. */
	assert_string_equal(dynamic_router_find(merged, SLICE("r@http"))->tls->options.p, "o");
	assert_string_equal(dynamic_router_find(merged, SLICE("d@http"))->tls->options.p,
			    "default");
	dynamic_destroy(&a);
	dynamic_destroy(&b);
	dynamic_destroy(&merged);
}

/* Traefik drops them, so that nobody gets weaker ones than he asked for. */
static void default_options_of_two_providers_are_none(void **state)
{
	struct dynamic_config *a = parse("tls: {options: {default: {}}}"),
			      *b = parse("tls: {options: {default: {sniStrict: true}}}"), *merged;
	char text[512];

	(void)state;
	merged = merge(a, "file", b, "http", text);
	assert_non_null(strstr(text, "Default TLS options defined in multiple providers"));
	assert_true(dynamic_tls_options_find(merged, SLICE("default"))->object.disabled.n > 0);
	dynamic_destroy(&merged);
	merged = merge(a, NULL, b, NULL, text);
	assert_non_null(strstr(text, "TLS options already configured, skipping: \"default\""));
	assert_int_equal(dynamic_tls_options_find(merged, SLICE("default"))->object.disabled.n, 0);
	dynamic_destroy(&a);
	dynamic_destroy(&b);
	dynamic_destroy(&merged);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_belong_to_the_hash),
		cmocka_unit_test(what_is_written_out_names_no_file),
		cmocka_unit_test(certificates_are_all_there),
		cmocka_unit_test(default_options_need_no_provider),
		cmocka_unit_test(default_options_of_two_providers_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
