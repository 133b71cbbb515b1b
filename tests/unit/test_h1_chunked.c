#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "h1_transcript.h"

#define BYTES(literal) \
	{ \
		literal, sizeof(literal) - 1 \
	}

static const struct {
	enum h1_result result;
	slice bytes;
	const char *got; /* body, trailer fields and rest, as the transcript writes them */
} bodies[] = {
#define ROW(result, bytes, got) \
	{ \
		H1_##result, BYTES(bytes), got \
	}
	ROW(DONE, "0\r\n\r\n", " body<0:> rest<0:>"),
	ROW(DONE, "0\r\n\r\nGET", " body<0:> rest<3:GET>"),
	ROW(DONE, "3\r\nabc\r\n0\r\n\r\n\r\n", " body<3:abc> rest<2:\r\n>"),
	ROW(DONE, "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", " body<3:abc> rest<0:>"),
	ROW(DONE, "A\r\n0123456789\r\n0\r\n\r\n", " body<10:0123456789> rest<0:>"),
	ROW(DONE, "a\r\n0123456789\r\n00\r\n\r\n", " body<10:0123456789> rest<0:>"),
	ROW(DONE, "2\r\n\r\n\r\n0\r\n\r\n", " body<2:\r\n> rest<0:>"),
	ROW(DONE, "000000000000000000001\r\nx\r\n0\r\n\r\n", " body<1:x> rest<0:>"),
	ROW(DONE, "1;\r\nx\r\n0;last\r\n\r\n", " body<1:x> rest<0:>"),
	ROW(DONE, "1; a=\"b\t\xff;\"\r\nx\r\n0\r\n\r\n", " body<1:x> rest<0:>"),
	ROW(DONE, "0\r\nX-Sum: 1\r\nx-b:\r\n\r\nY",
	    " body<0:> 0 <5:X-Sum> =<1:1> 0 <3:x-b> =<0:> rest<1:Y>"),
	ROW(DONE, "0\r\nEtag: \"x\" \r\n\r\n", " body<0:> 12 <4:Etag> =<3:\"x\"> rest<0:>"),
	ROW(DONE, "0\r\ncontent-length: 3\r\nX: y\r\nHOST: z\r\n\r\n",
	    " body<0:> 0 <1:X> =<1:y> rest<0:>"),
	ROW(DONE, "0\r\nTransfer-Encoding: chunked\r\nAuthorization: x\r\nCookie: y\r\n\r\n",
	    " body<0:> rest<0:>"),
	ROW(DONE, "0\r\nif-range: x\r\nPragma: y\r\nMAX-FORWARDS: 1\r\nContent-Range: z\r\n\r\n",
	    " body<0:> rest<0:>"),
	ROW(DONE,
	    "0\r\nX-Forwarded-For: x\r\nX-Real-Ip: y\r\nForwarded: z\r\nConnection: q\r\n\r\n",
	    " body<0:> rest<0:>"),
	ROW(MORE, "", " body<0:>"),
	ROW(MORE, "3", " body<0:>"),
	ROW(MORE, "3\r\nab", " body<2:ab>"),
	ROW(MORE, "3\r\nabc", " body<3:abc>"),
	ROW(MORE, "3\r\nabc\r\n0\r\n", " body<3:abc>"),
	ROW(MORE, "0\r\nX: y\r\n\r", " body<0:>"),
	ROW(MORE, "7fffffffffffffff\r\nabc", " body<3:abc>"),
	ROW(BAD_SYNTAX, "8000000000000000\r\nabc", " body<0:>"),
	ROW(BAD_SYNTAX, "fffffffffffffffff\r\nabc", " body<0:>"),
	ROW(BAD_SYNTAX, "\r\n", " body<0:>"),
	ROW(BAD_SYNTAX, ";x\r\n", " body<0:>"),
	ROW(BAD_SYNTAX, "g\r\n", " body<0:>"),
	ROW(BAD_SYNTAX, "-1\r\n", " body<0:>"),
	ROW(BAD_SYNTAX, "+1\r\n", " body<0:>"),
	ROW(BAD_SYNTAX, " 1\r\n", " body<0:>"),
	ROW(BAD_SYNTAX, "1 \r\n", " body<0:>"),
	ROW(BAD_SYNTAX, "1\t;x\r\n", " body<0:>"),
	ROW(BAD_SYNTAX, "1_0\r\n", " body<0:>"),
	ROW(BAD_SYNTAX, "1\rx\r\n", " body<0:>"),
	ROW(BAD_SYNTAX, "1\n", " body<0:>"),
	ROW(BAD_SYNTAX, "1;a\x01\r\n", " body<0:>"),
	ROW(BAD_SYNTAX, "1;a\x7f\r\n", " body<0:>"),
	ROW(BAD_SYNTAX, "1;a\0b\r\n", " body<0:>"),
	ROW(BAD_SYNTAX, "1\r\nx\n0\r\n\r\n", " body<1:x>"),
	ROW(BAD_SYNTAX, "1\r\nxy\r\n0\r\n\r\n", " body<1:x>"),
	ROW(BAD_SYNTAX, "1\r\nx\r0\r\n\r\n", " body<1:x>"),
	ROW(BAD_SYNTAX, "1\r\nx0\r\n\r\n", " body<1:x>"),
	ROW(BAD_SYNTAX, "0\r\n\n", " body<0:>"),
	ROW(BAD_SYNTAX, "0\r\n\rx", " body<0:>"),
	ROW(BAD_SYNTAX, "0\r\nX: y\n\r\n", " body<0:>"),
	ROW(BAD_SYNTAX, "0\r\nX: y\r\n\n", " body<0:>"),
	ROW(BAD_SYNTAX, "0\r\nX : y\r\n\r\n", " body<0:>"),
	ROW(BAD_SYNTAX, "0\r\n X: y\r\n\r\n", " body<0:>"),
	ROW(BAD_SYNTAX, "0\r\nX: y\r\n z\r\n\r\n", " body<0:>"),
	ROW(BAD_SYNTAX, "0\r\nX: y\rz\r\n\r\n", " body<0:>"),
	ROW(BAD_SYNTAX, "0\r\nX: y\0\r\n\r\n", " body<0:>"),
	ROW(BAD_SYNTAX, "0\r\n: y\r\n\r\n", " body<0:>"),
	ROW(BAD_SYNTAX, "0\r\nnocolon\r\n\r\n", " body<0:>"),
#undef ROW
};

static void bodies_give_their_result_however_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		slice bytes = bodies[i].bytes;
		struct str expected = {0};

		str_format(&expected, "%s result %d", bodies[i].got, (int)bodies[i].result);
		for (size_t at = 0; at <= bytes.n; at++) {
			struct transcript t =
				transcribe_chunked_body(bytes, (struct cut){at, at % 3});

			assert_string_equal(t.text.p, expected.p);
			str_free(&t.text);
		}
		str_free(&expected);
	}
}

static void data_is_given_in_place_and_in_one_piece(void **state)
{
	struct h1_chunked c = {0};
	slice all = SLICE("5;x\r\nhello\r\n3\r\nabc\r\n0\r\n\r\nrest"), bytes = all, data;

	(void)state;
	assert_int_equal(h1_chunked_next(&c, &bytes, &data, NULL), H1_DONE);
	assert_ptr_equal(data.p, all.p + 5);
	assert_int_equal(data.n, 5);
	assert_int_equal(h1_chunked_next(&c, &bytes, &data, NULL), H1_DONE);
	assert_ptr_equal(data.p, all.p + 15);
	assert_int_equal(data.n, 3);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(h1_chunked_next(&c, &bytes, &data, NULL), H1_DONE);
		assert_int_equal(data.n, 0);
		assert_true(slice_equal(bytes, SLICE("rest")));
	}
	h1_chunked_free(&c);
}

static void mistakes_stay(void **state)
{
	struct h1_chunked c = {0};
	slice bytes = SLICE("x"), good = SLICE("0\r\n\r\n"), data;

	(void)state;
	assert_int_equal(h1_chunked_next(&c, &bytes, &data, NULL), H1_BAD_SYNTAX);
	assert_int_equal(h1_chunked_next(&c, &good, &data, NULL), H1_BAD_SYNTAX);
	assert_int_equal(good.n, 5);
	h1_chunked_free(&c);
}

static void trailers_may_be_ignored_but_not_wrong(void **state)
{
	struct h1_chunked good = {0}, bad = {0};
	slice bytes = SLICE("0\r\nX: y\r\n\r\n"), data;

	(void)state;
	assert_int_equal(h1_chunked_next(&good, &bytes, &data, NULL), H1_DONE);
	assert_int_equal(bytes.n, 0);
	bytes = SLICE("0\r\nX y\r\n\r\n");
	assert_int_equal(h1_chunked_next(&bad, &bytes, &data, NULL), H1_BAD_SYNTAX);
	h1_chunked_free(&good);
	h1_chunked_free(&bad);
}

/* The result for `text`, given in pieces of `step` bytes. */
static enum h1_result decode(struct h1_chunked c, slice text, size_t step, struct fields *trailers)
{
	enum h1_result result = H1_MORE;

	while (text.n > 0 && result == H1_MORE) {
		slice piece = slice_first(text, step), data;

		text = slice_from_at(text, piece.n);
		do
			result = h1_chunked_next(&c, &piece, &data, trailers);
		while (result == H1_DONE && data.n > 0);
	}
	h1_chunked_free(&c);
	return result;
}

static void trailers_are_limited(void **state)
{
	struct h1_chunked small = {.trailer_bytes_max = 20}, usual = {0};
	struct str text = {0};

	(void)state;
	for (size_t step = 1; step < 30; step += 9) {
		assert_int_equal(
			decode(small, SLICE("0\r\nX: 345678\r\nY: 5678\r\n\r\n"), step, NULL),
			H1_DONE);
		assert_int_equal(
			decode(small, SLICE("0\r\nX: 345678\r\nY: 56789\r\n\r\n"), step, NULL),
			H1_HEAD_TOO_LARGE);
	}
	str_add(&text, SLICE("0\r\nX: "));
	while (text.n < 70000)
		str_add_char(&text, 'x');
	assert_int_equal(decode(usual, slice_first(str_slice(&text), 65000), 4096, NULL), H1_MORE);
	assert_int_equal(decode(usual, str_slice(&text), 4096, NULL), H1_HEAD_TOO_LARGE);
	str_free(&text);
}

static void trailers_are_bounded_by_their_arena(void **state)
{
	struct h1_chunked c = {0};
	struct arena small;
	struct fields f;

	(void)state;
	arena_init(&small, 64, 64);
	fields_init(&f, &small);
	assert_int_equal(decode(c, SLICE("0\r\nX: y\r\n\r\n"), 100, &f), H1_NO_MEMORY);
	arena_free(&small);
}

static enum h1_result decode_extension(size_t n, size_t step)
{
	struct h1_chunked c = {0};
	struct str text = {0};
	enum h1_result result;

	str_add(&text, SLICE("3;"));
	while (text.n < n - 2)
		str_add_char(&text, 'x');
	str_add(&text, SLICE("\r\nabc\r\n0\r\n\r\n"));
	result = decode(c, str_slice(&text), step, NULL);
	str_free(&text);
	return result;
}

static void size_lines_are_limited(void **state)
{
	(void)state;
	for (size_t step = 1; step < 10000; step *= 7) {
		assert_int_equal(decode_extension(4096, step), H1_DONE);
		assert_int_equal(decode_extension(4097, step), H1_BAD_SYNTAX);
	}
}

/*
 * Whether a body of `chunks` chunks of `size` bytes is taken, each with an extension of `extension`
 * bytes.
 */
static enum h1_result decode_many(size_t chunks, size_t size, size_t extension)
{
	struct h1_chunked c = {0};
	struct str text = {0};
	enum h1_result result;
	char line[20];

	for (size_t i = 0; i < chunks; i++) {
		slice digits = slice_of(line, (size_t)(h1_write_chunk_size(line, size) - line) - 2);

		str_add(&text, digits);
		for (size_t n = 0; n < extension; n++)
			str_add_char(&text, n == 0 ? ';' : 'x');
		str_add(&text, SLICE("\r\n"));
		for (size_t n = 0; n < size; n++)
			str_add_char(&text, 'x');
		str_add(&text, SLICE("\r\n"));
	}
	str_add(&text, SLICE("0\r\n\r\n"));
	result = decode(c, str_slice(&text), 1000, NULL);
	str_free(&text);
	return result;
}

static void framing_may_not_outweigh_the_data(void **state)
{
	(void)state;
	assert_int_equal(decode_many(50000, 1, 0), H1_DONE);
	assert_int_equal(decode_many(5000, 1, 15), H1_DONE);
	assert_int_equal(decode_many(100, 1, 100), H1_DONE);
	assert_int_equal(decode_many(1000, 1, 100), H1_BAD_SYNTAX);
	assert_int_equal(decode_many(1000, 100, 100), H1_DONE);
}

static void chunk_sizes_are_written_as_they_are_read(void **state)
{
	static const struct {
		uint64_t n;
		const char *line;
	} sizes[] = {
		{0, "0\r\n"},
		{1, "1\r\n"},
		{15, "f\r\n"},
		{16, "10\r\n"},
		{255, "ff\r\n"},
		{0x1234, "1234\r\n"},
		{UINT64_MAX, "ffffffffffffffff\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		char line[20] = {0};

		assert_ptr_equal(h1_write_chunk_size(line, sizes[i].n),
				 line + strlen(sizes[i].line));
		assert_string_equal(line, sizes[i].line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_give_their_result_however_cut),
		cmocka_unit_test(data_is_given_in_place_and_in_one_piece),
		cmocka_unit_test(mistakes_stay),
		cmocka_unit_test(trailers_may_be_ignored_but_not_wrong),
		cmocka_unit_test(trailers_are_limited),
		cmocka_unit_test(trailers_are_bounded_by_their_arena),
		cmocka_unit_test(size_lines_are_limited),
		cmocka_unit_test(framing_may_not_outweigh_the_data),
		cmocka_unit_test(chunk_sizes_are_written_as_they_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
