#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base.h"
#include "http/path.h"
#include "path_rows.inc"

static void set_target(struct request *r, const char *target)
{
	slice whole = slice_from(target);
	size_t mark = slice_find(whole, '?');

	*r = (struct request){.method = SLICE("GET"), .method_id = METHOD_GET, .target = whole};
	r->path = slice_first(whole, mark);
	r->query = slice_from_at(whole, mark + 1);
	r->has_query = mark < whole.n;
}

static unsigned check(const char *target, const char *sent, const struct path_options *options)
{
	struct arena arena;
	struct request r;
	slice got = {NULL, 0};
	int status;

	arena_init(&arena, 512, 1 << 16);
	set_target(&r, target);
	status = path_prepare(&r, options, &arena);
	if (status == 0)
		got = arena_format(&arena, "%.*s%s%.*s", SLICE_ARG(r.path), r.has_query ? "?" : "",
				   SLICE_ARG(r.query));
	if (status == (sent == NULL ? 400 : 0) &&
	    (sent == NULL || slice_equal(got, slice_from(sent)))) {
		arena_free(&arena);
		return 0;
	}
	print_error("%s: %d %.*s, expected %s\n", target, status, SLICE_ARG(got),
		    sent != NULL ? sent : "400");
	arena_free(&arena);
	return 1;
}

static void sends_what_traefik_sends(void **state)
{
	static const struct path_options defaults = {.sanitize = true}, raw = {.sanitize = false},
					 encode = {.sanitize = true, .encode_semicolons = true};
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(path_rows); i++) {
		const struct path_row *row = &path_rows[i];

		wrong += check(row->target, row->sent, &defaults);
		wrong += check(row->target, row->sent_unsanitized, &raw);
		wrong += check(row->target, row->sent_encoded, &encode);
	}
	assert_int_equal(wrong, 0);
}

static void clean_targets_take_no_memory(void **state)
{
	static const char *const targets[] = {
		"/", "/a/b.c/d-e_f~g", "/a?b=c&d=e%20f", "/!$&'()*+,;=:@", "/a/..b/...", "*", ""};
	static const struct path_options options = {.sanitize = true};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		struct arena none;
		struct request r;
		slice routing, host;

		arena_init(&none, 64, 0);
		set_target(&r, targets[i]);
		assert_int_equal(path_prepare(&r, &options, &none), 0);
		assert_int_equal(path_routing(r.path, &none, &routing), 0);
		assert_int_equal(path_host(SLICE("example.com:8080"), &none, &host), 0);
	}
}

static void memory_ends_the_request_not_the_process(void **state)
{
	static const struct path_options options = {.sanitize = true};
	static const char *const targets[] = {"/%41", "/\xc3\xa9", "/a//b", "/?a;b"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		struct arena none;
		struct request r;

		arena_init(&none, 64, 0);
		set_target(&r, targets[i]);
		assert_int_equal(path_prepare(&r, &options, &none), -ENOMEM);
	}
}

/* What a middleware made of both forms of a path. */
static void an_encoding_is_kept_only_if_it_fits(void **state)
{
	static const struct {
		const char *path, *raw, *escaped;
	} rows[] = {
		{"/a/b", "/a%2Fb", "/a%2Fb"},
		{"/a/b", NULL, "/a/b"},
		{"/a/b", "", "/a/b"},
		{"/a/b", "/a%2Fc", "/a/b"},
		{"/a b", "/a b", "/a%20b"},
		{"/a%2Fb", "/a%2Fb", "/a%252Fb"},
		{"/a", "/%zz", "/a"},
		{"/(a)", "/(a)", "/(a)"},
		{"/(a)", NULL, "/%28a%29"},
		{"*", NULL, "*"},
		{"", NULL, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct arena arena;
		slice escaped;

		arena_init(&arena, 64, 4096);
		assert_int_equal(path_escape_like(slice_from(rows[i].path), slice_from(rows[i].raw),
						  &arena, &escaped),
				 0);
		if (!slice_equal(escaped, slice_from(rows[i].escaped)))
			fail_msg("%s: %.*s", rows[i].path, SLICE_ARG(escaped));
		arena_free(&arena);
	}
}

static void dirty_paths_are_seen(void **state)
{
	static const char *const clean[] = {"",    "/",   "/a", "/a/", "/a.b/..c/...",
					    "a/b", "/.a", "..a"};
	static const char *const dirty[] = {"//",    "/./", "/a/.", "/a/..", "/../a",
					    "/a//b", "..",  "./a",  "../a",  "a//"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(clean); i++)
		assert_true(path_is_sanitized(slice_from(clean[i])));
	for (size_t i = 0; i < ARRAY_LEN(dirty); i++)
		assert_false(path_is_sanitized(slice_from(dirty[i])));
}

static void connect_has_no_path(void **state)
{
	static const struct path_options options = {.sanitize = true};
	struct request r;
	struct arena arena;

	(void)state;
	arena_init(&arena, 64, 1024);
	set_target(&r, "");
	r.method_id = METHOD_CONNECT;
	assert_int_equal(path_prepare(&r, &options, &arena), 0);
	assert_int_equal(r.path.n, 0);
	arena_free(&arena);
}

static void routing_path_keeps_reserved_characters(void **state)
{
	static const struct {
		const char *path;
		const char *routing;
	} rows[] = {
		{"/a", "/a"},
		{"/%20", "/ "},
		{"/%2F%41", "/%2FA"},
		{"/%25", "/%25"},
		{"/%3A%2F%3F%23%5B%5D%40%21%24%26%27%28%29%2A%2B%2C%3B%3D",
		 "/%3A%2F%3F%23%5B%5D%40%21%24%26%27%28%29%2A%2B%2C%3B%3D"},
		{"/%22%3C%3E%5C%5E%60%7B%7C%7D", "/\"<>\\^`{|}"},
		{"/%C3%A9", "/\xc3\xa9"},
		{"/%7E%2D%2E%5F", "/~-._"},
		{"/%252F", "/%252F"},
		{"/%", NULL},
		{"/%4", NULL},
		{"/%zz", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct arena arena;
		slice routing;
		int status;

		arena_init(&arena, 512, 1 << 16);
		status = path_routing(slice_from(rows[i].path), &arena, &routing);
		if (rows[i].routing == NULL) {
			assert_int_equal(status, 400);
		} else {
			assert_int_equal(status, 0);
			assert_true(slice_equal(routing, slice_from(rows[i].routing)));
		}
		arena_free(&arena);
	}
}

/* Also put to Traefik 3.7.15, one option at a time. */
static void encoded_characters_are_denied_one_by_one(void **state)
{
	static const struct {
		const char *path;
		unsigned bits;
	} rows[] = {
		{"/a", 0},
		{"/a%2Fb", PATH_ENCODED_SLASH},
		{"/a%2fb", PATH_ENCODED_SLASH},
		{"/a%5Cb", PATH_ENCODED_BACKSLASH},
		{"/a%00b", PATH_ENCODED_NULL},
		{"/a%3Bb", PATH_ENCODED_SEMICOLON},
		{"/a;b", 0},
		{"/a%25b", PATH_ENCODED_PERCENT},
		{"/a%252Fb", PATH_ENCODED_PERCENT},
		{"/a%3Fb", PATH_ENCODED_QUESTION_MARK},
		{"/a%23b", PATH_ENCODED_HASH},
		{"/a%23%2F", PATH_ENCODED_HASH | PATH_ENCODED_SLASH},
		{"/a%20b", 0},
		{"/%2F", PATH_ENCODED_SLASH},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (unsigned bit = 0; bit < PATH_ENCODED_COUNT; bit++)
			assert_int_equal(path_is_denied(slice_from(rows[i].path), 1u << bit),
					 (rows[i].bits >> bit & 1) != 0);
		assert_false(path_is_denied(slice_from(rows[i].path), 0));
	}
}

static void host_loses_port_and_case(void **state)
{
	static const struct {
		const char *authority;
		const char *host;
	} rows[] = {
		{"a.b", "a.b"},           {"A.B:80", "a.b"},   {"a.b:", "a.b"},
		{"[::1]", "::1"},         {"[::1]:80", "::1"}, {"[FE80::1]:1", "fe80::1"},
		{"::1", "::1"},           {"a:b:c", "a:b:c"},  {"", ""},
		{"a.b.:80", "a.b."},      {"[::1", "[::1"},    {"a.b:x", "a.b"},
		{"1.2.3.4:8", "1.2.3.4"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct arena arena;
		slice host;

		arena_init(&arena, 512, 1 << 16);
		assert_int_equal(path_host(slice_from(rows[i].authority), &arena, &host), 0);
		assert_true(slice_equal(host, slice_from(rows[i].host)));
		arena_free(&arena);
	}
}

/* Preparing twice changes nothing more, whatever the bytes. */
static void preparing_is_idempotent(void **state)
{
	static const char alphabet[] = "/.%2eEfF5cC0aA~;\"\xc3\xa9*";
	static const struct path_options options = {.sanitize = true};
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char target[16] = "/";
		struct arena arena;
		struct request r;
		slice once, routing;

		for (size_t i = 1; i < sizeof target - 1; i++)
			target[i] = alphabet[(size_t)rand_r(&seed) % (sizeof alphabet - 1)];
		arena_init(&arena, 512, 1 << 16);
		set_target(&r, target);
		if (path_prepare(&r, &options, &arena) == 0) {
			once = r.path;
			assert_int_equal(path_prepare(&r, &options, &arena), 0);
			assert_true(slice_equal(once, r.path));
			assert_int_equal(path_routing(r.path, &arena, &routing), 0);
			assert_true(r.path.p[0] == '/');
			assert_int_equal(slice_search(r.path, SLICE("//")), r.path.n);
			assert_int_equal(slice_search(r.path, SLICE("/../")), r.path.n);
			assert_int_equal(slice_search(r.path, SLICE("/./")), r.path.n);
		}
		arena_free(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_what_traefik_sends),
		cmocka_unit_test(clean_targets_take_no_memory),
		cmocka_unit_test(memory_ends_the_request_not_the_process),
		cmocka_unit_test(an_encoding_is_kept_only_if_it_fits),
		cmocka_unit_test(dirty_paths_are_seen),
		cmocka_unit_test(connect_has_no_path),
		cmocka_unit_test(routing_path_keeps_reserved_characters),
		cmocka_unit_test(encoded_characters_are_denied_one_by_one),
		cmocka_unit_test(host_loses_port_and_case),
		cmocka_unit_test(preparing_is_idempotent),
	};

	return cmocka_run_group_tests_name("path", tests, NULL, NULL);
}
