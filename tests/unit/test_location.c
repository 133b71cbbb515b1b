#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base.h"
#include "http/location.h"
#include "http/sniff.h"
#include "net/url.h"

static void urls_are_written_as_go_does(void **state)
{
	/* NULL: refused. */
	static const struct {
		const char *text, *location;
	} rows[] = {
		{"http://a.example/b?c=d#e", "http://a.example/b?c=d#e"},
		{"HTTPS://A.example", "https://A.example"},
		{"/a b/\xc3\xa9?q=a b", "/a%20b/%C3%A9?q=a b"},
		{"/a%2Fb", "/a%2Fb"},
		{"", ""},
		{"#", ""},
		{"?", "?"},
		{"/a?", "/a?"},
		{"/a?b?c", "/a?b?c"},
		{"word", "word"},
		{"../a", "../a"},
		{"//a.example/b", "//a.example/b"},
		{"///a", "///a"},
		{"http:///a", "http:///a"},
		{"mailto:a@b", "mailto:a@b"},
		{"http:", "http:"},
		{"http:?q", "http:?q"},
		{"http://u:p@a:81/", "http://u:p@a:81/"},
		{"http://[::1]:80/", "http://[::1]:80/"},
		{"http://[::1]/", "http://[::1]/"},
		{"http://a:/", "http://a:/"},
		{"http://\xc3\xa9/", "http://%C3%A9/"},
		/* Go leaves these alone in hosts; encoded they could not be read again. */
		{"//a\"<b>'", "//a\"<b>'"},
		/* Go makes "//b%20" of it, and b a host. */
		{"/%2Fb ", "/%2Fb%20"},
		{"/a#b c", "/a#b%20c"},
		{"a/b:c", "a/b:c"},
		{":a", NULL},
		{"1a:b", NULL},
		{"a b:c", NULL},
		{"http://a b/", NULL},
		{"http://a:x/", NULL},
		{"http://a:1:2/", NULL},
		{"http://[::1/", NULL},
		{"http://[::1]x/", NULL},
		{"http://a%41/", NULL},
		{"http://u p@a/", NULL},
		{"/%zz", NULL},
		{"/%", NULL},
		{"/#%4", NULL},
		{"/\n", NULL},
		{"/a?\x7f", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct arena arena;
		slice location = {NULL, 0};
		int r;

		arena_init(&arena, 256, 1 << 16);
		r = location_normalize(slice_from(rows[i].text), &arena, &location);
		if (r != (rows[i].location == NULL ? -EINVAL : 0) ||
		    !slice_equal(location, slice_from(rows[i].location)))
			fail_msg("%s: %d %.*s", rows[i].text, r, SLICE_ARG(location));
		arena_free(&arena);
	}
}

static void no_memory_is_said(void **state)
{
	struct arena none;
	slice location;

	(void)state;
	arena_init(&none, 64, 0);
	assert_int_equal(location_normalize(SLICE("/a b"), &none, &location), -ENOMEM);
	assert_int_equal(location_normalize(SLICE("http://a/"), &none, &location), -ENOMEM);
}

/* The types themselves are compared with Go's by tests/differential; here the edges. */
static void content_is_recognised_to_the_last_byte(void **state)
{
	static const struct {
		slice head;
		const char *type;
	} rows[] = {
		{{"", 0}, "text/plain; charset=utf-8"},
		{{"<a", 2}, "text/plain; charset=utf-8"},
		{{"<a ", 3}, "text/html; charset=utf-8"},
		{{"\0\1\0", 3}, "application/octet-stream"},
		{{"\0\1\0\0", 4}, "font/ttf"},
		{{"RIFF....WEBPV", 13}, "text/plain; charset=utf-8"},
		{{"RIFF....WEBPVP", 14}, "image/webp"},
		{{"\0\0\0\x0c"
		  "ftypmp4",
		  11},
		 "application/octet-stream"},
		{{"\0\0\0\x0c"
		  "ftypmp42",
		  12},
		 "video/mp4"},
		{{"\0\0\0\0"
		  "ftypmp42",
		  12},
		 "application/octet-stream"},
		{{"\xff\xff\xff\xff"
		  "ftypmp42",
		  12},
		 "text/plain; charset=utf-8"},
		{{"\xef\xbb\xbf", 3}, "text/plain; charset=utf-8"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		/* On the heap, so that a sanitizer sees a byte too many. */
		char *copy = malloc(rows[i].head.n + (rows[i].head.n == 0));

		assert_non_null(copy);
		memcpy(copy, rows[i].head.p, rows[i].head.n);
		assert_true(slice_equal(sniff_content_type(slice_of(copy, rows[i].head.n)),
					slice_from(rows[i].type)));
		free(copy);
	}
}

static void references_are_resolved_as_go_does(void **state)
{
	/* Seen from http://a.example/one/two?q; NULL: refused. */
	static const struct {
		const char *text, *location;
	} rows[] = {
		{"/x", "http://a.example/x"},
		{"x", "http://a.example/one/x"},
		{"../x", "http://a.example/x"},
		{"../../../x/..", "http://a.example/"},
		{"./x/./y//z/", "http://a.example/one/x/y//z/"},
		{"x/..", "http://a.example/one/"},
		{"..", "http://a.example/"},
		{".", "http://a.example/one/"},
		{"/..//x", "http://a.example/x"},
		{"", "http://a.example/one/two?q"},
		{"#f", "http://a.example/one/two?q#f"},
		{"?b", "http://a.example/one/two?b"},
		{"?", "http://a.example/one/two?"},
		{"//b", "http://b"},
		{"//b/c/../d", "http://b/d"},
		{"HTTPS://b/./c", "https://b/c"},
		{"mailto:me@b", "mailto:me@b"},
		{"/a b", "http://a.example/a%20b"},
		{"/a/..//b", "http://a.example/b"},
		{"/a//..//b", "http://a.example/a//b"},
		{"T:/a/..//[", "t:/["},
		{"http:///..//b", "http:///b"},
		/* Go makes "t://[" of it, which is no URL, and "http://b/c", a host. */
		{"T:/.//[", "t:/.//["},
		{"http:/.//b/c", "http:/.//b/c"},
		{"/%zz", NULL},
		{":x", NULL},
	};
	struct url base;
	struct arena arena;

	(void)state;
	arena_init(&arena, 4096, 1 << 20);
	assert_int_equal(url_parse(SLICE("http://me:pw@a.example/one/two?q"), &base, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		slice location;
		int r = location_resolve(slice_from(rows[i].text), &base, &arena, &location);

		assert_int_equal(r, rows[i].location != NULL ? 0 : -EINVAL);
		if (r == 0)
			assert_string_equal(arena_format(&arena, "%.*s", SLICE_ARG(location)).p,
					    rows[i].location);
	}
	assert_int_equal(url_parse(SLICE("http://a"), &base, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		slice location;

		if (location_resolve(slice_from(rows[i].text), &base, &arena, &location) == 0)
			assert_true(slice_starts(location, SLICE("http")) ||
				    slice_starts(location, SLICE("mailto:")) ||
				    slice_starts(location, SLICE("t:/")));
	}
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_are_written_as_go_does),
		cmocka_unit_test(references_are_resolved_as_go_does),
		cmocka_unit_test(no_memory_is_said),
		cmocka_unit_test(content_is_recognised_to_the_last_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
