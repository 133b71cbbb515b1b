/* The file itself, so that both ways of computing are there to be compared. */
#include "../../src/core/sha256.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void known_digests_come_out(void **state)
{
	static char million[1000000];
	char hex[SHA256_HEX];

	(void)state;
	sha256_hex(SLICE("abc"), hex);
	assert_string_equal(hex,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	memset(million, 'a', sizeof million);
	sha256_hex(slice_of(million, sizeof million), hex);
	assert_string_equal(hex,
			    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* However a message is cut. */
static void parts_do_not_matter(void **state)
{
	unsigned char whole[SHA256_DIGEST_BYTES], parts[SHA256_DIGEST_BYTES];
	char text[500];
	struct sha256 h;

	(void)state;
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)(i * 7);
	for (size_t n = 0; n < sizeof text; n++) {
		sha256_begin(&h);
		sha256_add(&h, slice_of(text, n));
		sha256_end(&h, whole);
		sha256_begin(&h);
		for (size_t at = 0, step; at < n; at += step) {
			step = MIN((at * 31 + n) % 150 + 1, n - at);
			sha256_add(&h, slice_of(text + at, step));
		}
		sha256_end(&h, parts);
		assert_memory_equal(whole, parts, sizeof whole);
	}
}

static void the_cpus_unit_computes_the_same(void **state)
{
#if defined(__x86_64__)
	unsigned char blocks[5 * SHA256_BLOCK_BYTES];
	uint32_t a[8], b[8];

	(void)state;
	if (!has_unit())
		skip();
	srand(1);
	for (unsigned n = 0; n < 1000; n++) {
		size_t count = n % 5 + 1;

		for (size_t i = 0; i < sizeof blocks; i++)
			blocks[i] = (unsigned char)rand();
		for (size_t i = 0; i < 8; i++)
			a[i] = b[i] = (uint32_t)rand();
		compress_plain(a, blocks, count);
		compress_by_unit(b, blocks, count);
		assert_memory_equal(a, b, sizeof a);
	}
#else
	(void)state;
	skip();
#endif
}

static void without_the_unit_known_digests_come_out(void **state)
{
	unsigned char block[SHA256_BLOCK_BYTES] = "abc\x80";
	struct sha256 h;

	(void)state;
	block[63] = 24;
	sha256_begin(&h);
	compress_plain(h.state, block, 1);
	assert_int_equal(h.state[0], 0xba7816bf);
	assert_int_equal(h.state[7], 0xf20015ad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_digests_come_out),
		cmocka_unit_test(parts_do_not_matter),
		cmocka_unit_test(the_cpus_unit_computes_the_same),
		cmocka_unit_test(without_the_unit_known_digests_come_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
