#include "core/sha256.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

#include "core/base.h"

static const uint32_t round_constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2};

static uint32_t rotate(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

static void schedule(uint32_t w[64], const unsigned char *block)
{
	for (size_t i = 0; i < 16; i++)
		w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
		       (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
	for (size_t i = 16; i < 64; i++) {
		uint32_t a = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
		uint32_t b = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;

		w[i] = w[i - 16] + a + w[i - 7] + b;
	}
}

/* One round on the state that is rotated by `i`: letter n of the standard is s[(n - i) mod 8]. */
static inline void do_round(uint32_t s[8], unsigned i, uint32_t word)
{
	uint32_t a = s[(0u - i) % 8], b = s[(1u - i) % 8], c = s[(2u - i) % 8];
	uint32_t e = s[(4u - i) % 8], f = s[(5u - i) % 8], g = s[(6u - i) % 8];
	uint32_t t1 = s[(7u - i) % 8] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
		      ((e & f) ^ (~e & g)) + word;
	uint32_t t2 =
		(rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));

	s[(3u - i) % 8] += t1;
	s[(7u - i) % 8] = t1 + t2;
}

static void compress_plain(uint32_t state[8], const unsigned char *blocks, size_t count)
{
	uint32_t w[64], s[8];

	for (; count > 0; count--, blocks += SHA256_BLOCK_BYTES) {
		schedule(w, blocks);
		memcpy(s, state, sizeof s);
		for (unsigned i = 0; i < 64; i += 8) {
			for (unsigned k = 0; k < 8; k++)
				do_round(s, k, round_constants[i + k] + w[i + k]);
		}
		for (size_t i = 0; i < 8; i++)
			state[i] += s[i];
	}
}

#if defined(__x86_64__)
#define SHA_UNIT __attribute__((target("sha,sse4.1")))

/* Four words of the schedule after those in w[0..3], which are the last sixteen. */
SHA_UNIT static inline __m128i next_words(const __m128i w[4])
{
	__m128i sum =
		_mm_add_epi32(_mm_sha256msg1_epu32(w[0], w[1]), _mm_alignr_epi8(w[3], w[2], 4));

	return _mm_sha256msg2_epu32(sum, w[3]);
}

/* Sixteen rounds at a time; the unit wants the state as ABEF and CDGH. */
SHA_UNIT static void compress_block(__m128i *abef, __m128i *cdgh, const unsigned char *block)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	const __m128i before[2] = {*abef, *cdgh};
	__m128i w[4];

	for (size_t i = 0; i < 4; i++)
		w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)block + i),
					swap);
	for (size_t i = 0; i < 16; i++) {
		__m128i k = _mm_loadu_si128((const __m128i *)(const void *)round_constants + i);
		__m128i in = _mm_add_epi32(w[0], k), next = next_words(w);

		*cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, in);
		*abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(in, 0x0e));
		w[0] = w[1];
		w[1] = w[2];
		w[2] = w[3];
		w[3] = next;
	}
	*abef = _mm_add_epi32(*abef, before[0]);
	*cdgh = _mm_add_epi32(*cdgh, before[1]);
}

SHA_UNIT static void compress_by_unit(uint32_t state[8], const unsigned char *blocks, size_t count)
{
	__m128i *place = (__m128i *)(void *)state;
	__m128i dcba = _mm_shuffle_epi32(_mm_loadu_si128(place), 0xb1);
	__m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128(place + 1), 0x1b);
	__m128i abef = _mm_alignr_epi8(dcba, hgfe, 8);
	__m128i cdgh = _mm_blend_epi16(hgfe, dcba, 0xf0);

	for (; count > 0; count--, blocks += SHA256_BLOCK_BYTES)
		compress_block(&abef, &cdgh, blocks);
	dcba = _mm_shuffle_epi32(abef, 0x1b);
	hgfe = _mm_shuffle_epi32(cdgh, 0xb1);
	_mm_storeu_si128(place, _mm_blend_epi16(dcba, hgfe, 0xf0));
	_mm_storeu_si128(place + 1, _mm_alignr_epi8(hgfe, dcba, 8));
}

/* CPUID leaf 7 and 1: the SHA extensions, and SSE4.1 with what comes before it. */
static bool has_unit(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_1) && (c & bit_SSSE3) &&
	       __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}
#endif

static void compress(uint32_t state[8], const unsigned char *blocks, size_t count)
{
#if defined(__x86_64__)
	/* 0: not yet known; then 1 more than the answer, which is the same for all threads. */
	static _Atomic int unit;
	int known = atomic_load_explicit(&unit, memory_order_relaxed);

	if (known == 0) {
		known = 1 + has_unit();
		atomic_store_explicit(&unit, known, memory_order_relaxed);
	}
	if (known == 2) {
		compress_by_unit(state, blocks, count);
		return;
	}
#endif
	compress_plain(state, blocks, count);
}

void sha256_begin(struct sha256 *h)
{
	static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
					  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

	*h = (struct sha256){0};
	memcpy(h->state, start, sizeof start);
}

void sha256_add(struct sha256 *h, slice bytes)
{
	size_t n = MIN(bytes.n, (SHA256_BLOCK_BYTES - h->pending) % SHA256_BLOCK_BYTES);

	h->total_bytes += bytes.n;
	if (n > 0) {
		memcpy(h->block + h->pending, bytes.p, n);
		h->pending += n;
		bytes = slice_from_at(bytes, n);
	}
	if (h->pending == SHA256_BLOCK_BYTES) {
		compress(h->state, h->block, 1);
		h->pending = 0;
	}
	n = bytes.n / SHA256_BLOCK_BYTES;
	if (n > 0) {
		compress(h->state, (const unsigned char *)bytes.p, n);
		bytes = slice_from_at(bytes, n * SHA256_BLOCK_BYTES);
	}
	if (bytes.n > 0) {
		memcpy(h->block, bytes.p, bytes.n);
		h->pending = bytes.n;
	}
}

void sha256_end(struct sha256 *h, unsigned char digest[SHA256_DIGEST_BYTES])
{
	static const char padding[SHA256_BLOCK_BYTES] = {'\x80'};
	uint64_t bits = h->total_bytes * 8;
	size_t n = (h->pending < 56 ? 56 : 120) - h->pending;
	char length[8];

	for (size_t i = 0; i < 8; i++)
		length[i] = (char)(bits >> (56 - 8 * i));
	sha256_add(h, slice_of(padding, n));
	sha256_add(h, slice_of(length, sizeof length));
	for (size_t i = 0; i < SHA256_DIGEST_BYTES; i++)
		digest[i] = (unsigned char)(h->state[i / 4] >> (24 - 8 * (i % 4)));
}

void sha256_hex(slice bytes, char hex[SHA256_HEX])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char digest[SHA256_DIGEST_BYTES];
	struct sha256 h;

	sha256_begin(&h);
	sha256_add(&h, bytes);
	sha256_end(&h, digest);
	for (size_t i = 0; i < sizeof digest; i++) {
		hex[2 * i] = digits[digest[i] >> 4];
		hex[2 * i + 1] = digits[digest[i] & 15];
	}
	hex[SHA256_HEX - 1] = '\0';
}
