/* Choosing a coding, reading media types, and encoders: what comes out is what went in. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>

#include "middleware/encoder.h"
#include "middleware/media_type.h"

#define INPUT_BYTES ((size_t)300000)
#define OUTPUT_BYTES ((size_t)600000)

static const struct coding_offer all = {{CODING_GZIP, CODING_BR, CODING_ZSTD}, 3, CODING_NONE};
static const struct coding_offer br_first = {{CODING_BR, CODING_GZIP}, 2, CODING_NONE};
static const struct coding_offer with_initial = {
	{CODING_GZIP, CODING_BR, CODING_ZSTD}, 3, CODING_ZSTD};

/* A second line stands behind a line feed. */
static enum coding chosen(const struct coding_offer *o, const char *lines, bool *has_gzip)
{
	struct arena arena;
	struct fields f;
	slice rest = slice_from(lines), line;
	enum coding c;

	arena_init(&arena, 4096, 1 << 20);
	fields_init(&f, &arena);
	if (lines != NULL && lines[0] == '\0')
		assert_int_equal(fields_add_id(&f, FIELD_ACCEPT_ENCODING, SLICE("")), 0);
	while (lines != NULL && slice_next(&rest, '\n', &line))
		assert_int_equal(fields_add_id(&f, FIELD_ACCEPT_ENCODING, line), 0);
	c = accept_encoding_choose(o, &f);
	if (has_gzip != NULL)
		*has_gzip = accept_encoding_has_gzip(&f);
	arena_free(&arena);
	return c;
}

static void codings(void **state)
{
	static const struct {
		const char *lines;
		enum coding all, br_first, with_initial;
		bool has_gzip;
	} rows[] = {
		{NULL, CODING_NONE, CODING_NONE, CODING_ZSTD, false},
		{"", CODING_NONE, CODING_NONE, CODING_NONE, false},
		{"gzip", CODING_GZIP, CODING_GZIP, CODING_GZIP, true},
		{"gzip, br, zstd", CODING_GZIP, CODING_BR, CODING_GZIP, true},
		{"br;q=0.5, gzip;q=0.9", CODING_GZIP, CODING_GZIP, CODING_GZIP, true},
		{"gzip;q=0", CODING_NONE, CODING_NONE, CODING_NONE, false},
		{"gzip;q=0, *", CODING_GZIP, CODING_BR, CODING_ZSTD, false},
		{"*", CODING_GZIP, CODING_BR, CODING_ZSTD, false},
		{"*, gzip", CODING_GZIP, CODING_BR, CODING_ZSTD, true},
		{"*;q=0.1, zstd;q=0.2", CODING_ZSTD, CODING_BR, CODING_ZSTD, false},
		{"identity", CODING_NONE, CODING_NONE, CODING_NONE, false},
		{"identity, gzip", CODING_GZIP, CODING_GZIP, CODING_GZIP, true},
		{"identity, gzip;q=0.5", CODING_NONE, CODING_NONE, CODING_NONE, true},
		{"GZIP", CODING_NONE, CODING_NONE, CODING_NONE, true},
		{"gzip;Q=0.1", CODING_GZIP, CODING_GZIP, CODING_GZIP, true},
		{"gzip;q=abc", CODING_NONE, CODING_NONE, CODING_NONE, false},
		{"gzip;a=b;q=0", CODING_GZIP, CODING_GZIP, CODING_GZIP, false},
		{"gzip ; q=0.5 , br;q=0.4", CODING_GZIP, CODING_GZIP, CODING_GZIP, true},
		{" ,gzip,", CODING_GZIP, CODING_GZIP, CODING_GZIP, true},
		{",", CODING_NONE, CODING_NONE, CODING_NONE, false},
		{"deflate\nbr", CODING_BR, CODING_BR, CODING_BR, false},
		{"gzip;q=2, br;q=3", CODING_BR, CODING_BR, CODING_BR, true},
	};
	bool has_gzip;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(chosen(&all, rows[i].lines, &has_gzip), rows[i].all);
		assert_int_equal(has_gzip, rows[i].has_gzip);
		assert_int_equal(chosen(&br_first, rows[i].lines, NULL), rows[i].br_first);
		assert_int_equal(chosen(&with_initial, rows[i].lines, NULL), rows[i].with_initial);
	}
}

static void media_types(void **state)
{
	static const struct {
		const char *text;
		int result;
		const char *name;
		size_t count;
	} rows[] = {
		{"text/html", 0, "text/html", 0},
		{" Text/HTML ; Charset=\"a\\\"b\" ; x=y;", 0, "text/html", 2},
		{"text", 0, "text", 0},
		{"", -EINVAL, "", 0},
		{";;", -EINVAL, "", 0},
		{"a b/c", -EINVAL, "", 0},
		{"text/", -EINVAL, "", 0},
		{"text/a/b", -EINVAL, "", 0},
		{"text/html; charset", -EINVAL, "text/html", 0},
		{"text/html; a=1; A=2", -EINVAL, "text/html", 1},
		{"text/html; a=\"x", -EINVAL, "text/html", 0},
	};
	struct arena arena;

	(void)state;
	arena_init(&arena, 4096, 1 << 20);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct weir_error e = {0};
		struct media_type t;

		assert_int_equal(media_type_parse(&arena, slice_from(rows[i].text), &t, &e),
				 rows[i].result);
		assert_true(slice_equal(t.name, slice_from(rows[i].name)));
		assert_int_equal(t.count, rows[i].count);
		assert_int_equal(e.text[0] != '\0', rows[i].result < 0);
	}
	arena_free(&arena);
}

static void a_media_type_without_memory_is_empty(void **state)
{
	struct weir_error e = {0};
	struct media_type t;
	struct arena arena;

	(void)state;
	arena_init(&arena, 1024, 1);
	assert_int_equal(media_type_parse(&arena, SLICE("application/grpc"), &t, &e), -ENOMEM);
	assert_int_equal(t.name.n, 0);
	assert_false(slice_equal(t.name, SLICE("application/grpc")));
	arena_free(&arena);
}

/* Decoders that take what has come so far and say how many bytes that gives. */

static size_t decode_gzip(const char *in, size_t n, char *out)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)in, .avail_in = (uInt)n};
	size_t made;
	int r;

	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)OUTPUT_BYTES;
	assert_int_equal(inflateInit2(&z, MAX_WBITS + 16), Z_OK);
	r = inflate(&z, Z_SYNC_FLUSH);
	assert_true(r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR);
	made = OUTPUT_BYTES - z.avail_out;
	(void)inflateEnd(&z);
	return made;
}

static size_t decode_br(const char *in, size_t n, char *out)
{
	BrotliDecoderState *s = BrotliDecoderCreateInstance(NULL, NULL, NULL);
	const uint8_t *next_in = (const uint8_t *)in;
	uint8_t *next_out = (uint8_t *)out;
	size_t room = OUTPUT_BYTES;

	assert_int_not_equal(BrotliDecoderDecompressStream(s, &n, &next_in, &room, &next_out, NULL),
			     BROTLI_DECODER_RESULT_ERROR);
	BrotliDecoderDestroyInstance(s);
	return OUTPUT_BYTES - room;
}

static size_t decode_zstd(const char *in, size_t n, char *out)
{
	ZSTD_DCtx *c = ZSTD_createDCtx();
	ZSTD_inBuffer input = {in, n, 0};
	ZSTD_outBuffer output = {out, OUTPUT_BYTES, 0};
	size_t r = 1;

	while (input.pos < input.size && r != 0) {
		r = ZSTD_decompressStream(c, &output, &input);
		assert_false(ZSTD_isError(r));
	}
	(void)ZSTD_freeDCtx(c);
	return output.pos;
}

static size_t (*const decoders[CODING_COUNT])(const char *, size_t, char *) = {
	[CODING_GZIP] = decode_gzip, [CODING_BR] = decode_br, [CODING_ZSTD] = decode_zstd};

/* Random words: neither all alike nor all different. */
static char *make_text(size_t n)
{
	char *text = malloc(n);
	uint32_t seed = 1;

	assert_non_null(text);
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525u + 1013904223u;
		text[i] = (char)('a' + (i % 7 == 0 ? seed >> 28 : (seed >> 30) + i % 3));
	}
	return text;
}

/* Hands over the order until it is carried out, `room` bytes at a time. */
static void order(struct encoder *e, enum encoder_order o, slice in, size_t room, char *out,
		  size_t *n)
{
	int r = 0;

	while (r == 0) {
		size_t made;

		assert_true(*n + room <= OUTPUT_BYTES);
		r = encoder_run(e, o, &in, out + *n, room, &made);
		assert_true(made <= room);
		*n += made;
	}
	assert_int_equal(r, 1);
	assert_int_equal(in.n, 0);
}

static void what_goes_in_comes_out(void **state)
{
	static const size_t windows[] = {1 << 10, 1 << 16, 1 << 22}, rooms[] = {1, 17, 16384};
	char *text = make_text(INPUT_BYTES), *out = malloc(OUTPUT_BYTES),
	     *back = malloc(OUTPUT_BYTES);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(windows) * ARRAY_LEN(rooms) * 3; i++) {
		const enum coding c = (enum coding)(CODING_NONE + 1 + i % 3);
		const size_t room = rooms[i / 3 % ARRAY_LEN(rooms)];
		struct encoder *e = encoder_new(c, windows[i / 9]);
		size_t n = 0, at = 0;

		assert_non_null(e);
		for (size_t step = 1; at < INPUT_BYTES; at += step, step = step * 3 % 9973) {
			step = MIN(step, INPUT_BYTES - at);
			order(e, ENCODER_GO_ON, slice_of(text + at, step), room, out, &n);
		}
		order(e, ENCODER_END, (slice){NULL, 0}, room, out, &n);
		assert_true(n < INPUT_BYTES);
		assert_int_equal(decoders[c](out, n, back), INPUT_BYTES);
		assert_memory_equal(back, text, INPUT_BYTES);
		encoder_free(&e);
		assert_null(e);
	}
	free(text);
	free(out);
	free(back);
}

/* After a flush everything that went in can be decoded. */
static void flushed_bytes_can_be_decoded(void **state)
{
	char *text = make_text(5000), *out = malloc(OUTPUT_BYTES), *back = malloc(OUTPUT_BYTES);

	(void)state;
	for (enum coding c = CODING_GZIP; c < CODING_COUNT; c++) {
		struct encoder *e = encoder_new(c, 1 << 16);
		size_t n = 0;

		for (size_t at = 0; at < 5000; at += 50) {
			order(e, ENCODER_GO_ON, slice_of(text + at, 50), 64, out, &n);
			order(e, ENCODER_FLUSH, (slice){NULL, 0}, 64, out, &n);
			assert_int_equal(decoders[c](out, n, back), at + 50);
			assert_memory_equal(back, text, at + 50);
		}
		order(e, ENCODER_END, (slice){NULL, 0}, 64, out, &n);
		encoder_free(&e);
	}
	free(text);
	free(out);
	free(back);
}

static void an_empty_stream_ends(void **state)
{
	char out[64];

	(void)state;
	for (enum coding c = CODING_GZIP; c < CODING_COUNT; c++) {
		struct encoder *e = encoder_new(c, 1 << 16);
		slice none = {NULL, 0};
		size_t n;

		assert_int_equal(encoder_run(e, ENCODER_END, &none, out, sizeof out, &n), 1);
		assert_true(n > 0);
		encoder_free(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(codings),
		cmocka_unit_test(media_types),
		cmocka_unit_test(a_media_type_without_memory_is_empty),
		cmocka_unit_test(what_goes_in_comes_out),
		cmocka_unit_test(flushed_bytes_can_be_decoded),
		cmocka_unit_test(an_empty_stream_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
