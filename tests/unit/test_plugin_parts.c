#include "core/sha256.h"
#include "plugin_fake.h"

#include "plugin/counters.h"
#include "plugin/link.h"
#include "plugin/scan.h"
#include "plugin/survey.h"
#include "plugin/uri.h"
#include "plugin/wasm_code.h"

struct pair {
	const char *given;
	const char *shown;
};

static void shown_targets(void **state)
{
	static const struct pair pairs[] = {
		{"", "/"},
		{"/", "/"},
		{"*", "*"},
		{"example.test:443", "/"},
		{"/foo?", "/foo?"},
		{"/foo??", "/foo??"},
		{"//foo", "//foo"},
		{"/a b", "/a%20b"},
		{"/a b?q=go+language", "/a%20b?q=go+language"},
		{"/a b?q=go language", "/a%20b?q=go language"},
		{"/a%26b", "/a%26b"},
		{"/a%2fb", "/a%2fb"},
		{"/%7e (x)", "/~%20%28x%29"},
		{"/a(b)*'!", "/a(b)*'!"},
		{"/[x]", "/[x]"},
		{"/\xc3\xa9", "/%C3%A9"},
		{"/a#b", "/a%23b"},
		{"/\"<>\\^`{|}", "/%22%3C%3E%5C%5E%60%7B%7C%7D"},
		{"/%zz x", "/%zz%20x"},
		{"http://example.test/p?q", "/p?q"},
		{"HTTP://example.test", "/"},
		{"http://example.test?q", "/?q"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		struct str out = {0};

		uri_show(&out, slice_from(pairs[i].given));
		assert_string_equal(out.p, pairs[i].shown);
		str_free(&out);
	}
}

static void taken_uris(void **state)
{
	static const struct pair pairs[] = {
		{"", "/"},
		{"*", "*"},
		{"/foo?", "/foo?"},
		{"//foo", "//foo"},
		{"/a b?q=go+language", "/a%20b?q=go+language"},
		{"/a?q=a b\xff#c", "/a?q=a%20b%FF%23c"},
		{"/a#b", "/a%23b"},
		{"/a%20(b", "/a%20(b"},
		{"http://h/p?q", "/p?q"},
		{"a+b.c-1://h", "/"},
		{"/?%zz", "/?%zz"},
	};
	static const char *const refused[] = {"rel",    "x",        "/%zz",   "/%4",
					      "/a\nb",  "/\x7f",    "*?a",    "://h",
					      "1a://h", "mailto:x", "http:/h"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		struct str out = {0}, again = {0};

		assert_null(uri_take(&out, slice_from(pairs[i].given)));
		assert_string_equal(out.p, pairs[i].shown);
		/* What was taken is shown as it is. */
		uri_show(&again, str_slice(&out));
		assert_string_equal(again.p, out.p);
		str_free(&out);
		str_free(&again);
	}
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct str out = {0};

		assert_non_null(uri_take(&out, slice_from(refused[i])));
		str_free(&out);
	}
}

static void digests(void **state)
{
	char hex[SHA256_HEX], *million = malloc(1000000);

	(void)state;
	assert_non_null(million);
	sha256_hex(SLICE(""), hex);
	assert_string_equal(hex,
			    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sha256_hex(SLICE("abc"), hex);
	assert_string_equal(hex,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256_hex(SLICE("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), hex);
	assert_string_equal(hex,
			    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	memset(million, 'a', 1000000);
	sha256_hex(slice_of(million, 1000000), hex);
	assert_string_equal(hex,
			    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	free(million);
}

static const char whole[] =
	"(module (import \"a\" \"f\" (func (param i32 i32))) (import \"a\" \"t\" (table 1 2 "
	"funcref))"
	"(import \"a\" \"m\" (memory 1)) (import \"a\" \"g\" (global i32))"
	"(func) (func (export \"handle_response\") (param i32 i32) (local i32) nop)"
	"(func (export \"handle_request\") (result i64) (i64.const 1)))";

/* Whatever the bytes are, all names and types that come out can be read. */
static void survey_bytes(const char *bytes, size_t n)
{
	struct survey survey;
	struct weir_error error = {0};
	struct arena arena;

	arena_init(&arena, 1024, (size_t)1 << 20);
	if (survey_module(&survey, slice_of(bytes, n), &arena, &error) == 0) {
		for (size_t i = 0; i < survey.imports.count; i++) {
			const struct survey_entry *e = &survey.imports.entries[i];

			(void)link_check(e->module, e->name, e->params, e->results, &error);
		}
	} else {
		assert_true(error.code == -EINVAL || error.code == -ENOMEM);
	}
	arena_free(&arena);
}

static void surveyed(void **state)
{
	wasm_byte_vec_t wasm = fake_wasm(
		"(module (import \"http_handler\" \"log\" (func (param i32 i32 i32)))"
		"(import \"wasi_snapshot_preview1\" \"fd_write\" (func (param i32 f64) (result "
		"i32)))"
		"(import \"env\" \"g\" (global f32))"
		"(memory (export \"memory\") 2 10) (table (export \"t\") 1 funcref)"
		"(global $a (mut i64) (i64.const 1)) (global $b i32 (i32.const 1))"
		"(data (i32.const 8) \"abc\") (data $p \"defgh\")"
		"(func $f (param f32 f64 v128 externref)) (func $s) (start $s)"
		"(func (export \"handle_request\") (result i64) (table.set (i32.const 0) (ref.null "
		"func)) (data.drop $p) (i64.const 1))"
		"(export \"f\" (func $f)) (export \"log\" (func 0)))");
	struct survey s;
	struct weir_error error;
	struct arena arena;
	struct survey_entry *e;

	(void)state;
	arena_init(&arena, 1024, (size_t)1 << 20);
	assert_int_equal(survey_module(&s, slice_of(wasm.data, wasm.size), &arena, &error), 0);
	assert_int_equal(s.imports.count, 3);
	e = s.imports.entries;
	assert_true(slice_equal(e[0].name, SLICE("log")));
	assert_string_equal(e[0].params, "iii");
	assert_int_equal(link_check(e[0].module, e[0].name, e[0].params, e[0].results, &error), 0);
	assert_int_equal(link_check(e[1].module, e[1].name, e[1].params, e[1].results, &error),
			 -EINVAL);
	assert_string_equal(error.text,
			    "import func[wasi_snapshot_preview1.fd_write] has the wrong signature: "
			    "found (i32, f64) -> (i32), should be (i32, i32, i32, i32) -> (i32)");
	assert_int_equal(e[2].kind, WASM_EXTERNAL_GLOBAL);
	assert_null(e[2].params);
	assert_int_equal(s.exports.count, 5);
	e = s.exports.entries;
	assert_string_equal(survey_kind_text(e[0].kind), "memory");
	assert_string_equal(survey_kind_text(e[1].kind), "table");
	assert_string_equal(e[2].results, "I");
	assert_string_equal(e[3].params, "fFvr");
	assert_string_equal(e[4].params, "iii");
	assert_true(s.has_memory && s.memory_bounded && s.starts_by_section);
	assert_int_equal(s.memory_min_bytes, 2 * 65536);
	assert_int_equal(s.memory_max_bytes, 10 * 65536);
	assert_int_equal(s.mutable_globals, 1);
	assert_int_equal(s.data_segments, 2);
	assert_int_equal(s.data_bytes, 8);
	assert_int_equal(s.passive_segments, 1);
	assert_int_equal(s.passive_bytes, 5);
	assert_int_equal(s.code, WASM_CODE_CHANGES_TABLES | WASM_CODE_DROPS | WASM_CODE_NAMES_DATA);
	arena_free(&arena);
	wasm_byte_vec_delete(&wasm);
}

/* Sections that come twice: the engine refuses them, and nothing is read beyond what was kept. */
static void repeated_sections(void **state)
{
	static const char twice[] = "\0asm\1\0\0\0"
				    "\1\x0a\3\x60\0\0\x60\0\0\x60\0\0"
				    "\1\4\1\x60\0\0"
				    "\3\2\1\2"
				    "\7\5\1\1f\0\0"
				    "\7\1\0";
	struct survey s;
	struct arena arena;

	(void)state;
	arena_init(&arena, 1024, (size_t)1 << 20);
	assert_int_equal(survey_module(&s, slice_of(twice, sizeof twice - 1), &arena, NULL), 0);
	assert_int_equal(s.exports.count, 0);
	survey_bytes(twice, sizeof twice - 4);
	arena_free(&arena);
}

/* Each byte in turn is changed, and each end cut off: never a wrong read, and where it fails an
 * offset within the data. */
static void damaged_modules(void **state)
{
	wasm_byte_vec_t wasm = fake_wasm(whole);
	struct scan_facts facts;
	struct weir_error error;

	(void)state;
	assert_int_equal(scan_module(&facts, slice_of(wasm.data, wasm.size), &error), 0);
	assert_true(facts.response_empty);
	survey_bytes(wasm.data, wasm.size);
	for (size_t n = 0; n < wasm.size; n++) {
		char *copy = malloc(n + 1);

		assert_non_null(copy);
		memcpy(copy, wasm.data, n);
		if (scan_module(&facts, slice_of(copy, n), &error) != 0)
			assert_int_equal(error.code, -EINVAL);
		survey_bytes(copy, n);
		free(copy);
		for (unsigned change = 1; change < 256; change += 7) {
			char *changed = malloc(wasm.size);
			size_t at = 0;

			assert_non_null(changed);
			memcpy(changed, wasm.data, wasm.size);
			changed[n] = (char)(changed[n] ^ (char)change);
			if (scan_module(&facts, slice_of(changed, wasm.size), &error) != 0 &&
			    sscanf(error.text, "is a damaged WebAssembly module: at byte %zu",
				   &at) == 1)
				assert_true(at <= wasm.size);
			survey_bytes(changed, wasm.size);
			free(changed);
		}
	}
	wasm_byte_vec_delete(&wasm);
}

static void long_numbers(void **state)
{
	struct scan_facts facts;
	struct weir_error error;

	(void)state;
	assert_int_equal(scan_module(&facts, SLICE("\0asm\1\0\0\0\1\x80\x80\x80\x80\x10"), &error),
			 -EINVAL);
	assert_string_equal(error.text,
			    "is a damaged WebAssembly module: at byte 14 of 14 a number "
			    "is too long");
	assert_int_equal(scan_module(&facts, SLICE("\0asm\1\0\0\0\1\x80\x80\x80\x80\x00"), &error),
			 0);
}

/* Each time lies in the first bucket whose bound it does not pass. */
static void histogram_buckets(void **state)
{
	struct histogram h = {0};
	struct weir_histogram sum = {0};

	(void)state;
	assert_int_equal(histogram_bucket(0), 0);
	assert_int_equal(histogram_bucket(UINT64_MAX), WEIR_HISTOGRAM_BUCKETS - 1);
	for (size_t i = 0; i + 1 < WEIR_HISTOGRAM_BUCKETS; i++) {
		uint64_t bound = UINT64_C(1) << (WEIR_HISTOGRAM_FIRST_BITS + 2 * i);

		assert_int_equal(histogram_bucket(bound), i);
		assert_int_equal(histogram_bucket(bound - 1), i);
		assert_int_equal(histogram_bucket(bound + 1), i + 1);
	}
	histogram_note(&h, 257);
	histogram_note(&h, 3);
	histogram_sum(&sum, &h);
	assert_int_equal(sum.counts[0], 1);
	assert_int_equal(sum.counts[1], 1);
	assert_int_equal(sum.sum_ns, 260);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shown_targets),     cmocka_unit_test(taken_uris),
		cmocka_unit_test(digests),           cmocka_unit_test(damaged_modules),
		cmocka_unit_test(long_numbers),      cmocka_unit_test(surveyed),
		cmocka_unit_test(repeated_sections), cmocka_unit_test(histogram_buckets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
