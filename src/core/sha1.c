#include "core/sha1.h"

#include "core/base.h"

#define BLOCK_BYTES ((size_t)64)

static uint32_t rotate(uint32_t x, unsigned n)
{
	return x << n | x >> (32 - n);
}

static uint32_t mix(unsigned i, const uint32_t s[5])
{
	if (i < 20)
		return ((s[1] & s[2]) | (~s[1] & s[3])) + 0x5a827999;
	if (i < 40)
		return (s[1] ^ s[2] ^ s[3]) + 0x6ed9eba1;
	if (i < 60)
		return ((s[1] & s[2]) | (s[1] & s[3]) | (s[2] & s[3])) + 0x8f1bbcdc;
	return (s[1] ^ s[2] ^ s[3]) + 0xca62c1d6;
}

static void compress(uint32_t state[5], const unsigned char *p)
{
	uint32_t w[80], s[5];

	for (size_t i = 0; i < 16; i++, p += 4)
		w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	for (size_t i = 16; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	memcpy(s, state, sizeof s);
	for (unsigned i = 0; i < 80; i++) {
		uint32_t next = rotate(s[0], 5) + mix(i, s) + s[4] + w[i];

		memmove(s + 1, s, 4 * sizeof *s);
		s[2] = rotate(s[2], 30);
		s[0] = next;
	}
	for (size_t i = 0; i < 5; i++)
		state[i] += s[i];
}

/* The last block or two: the rest of the message, a bit, and the length. */
static void finish(uint32_t state[5], slice rest, uint64_t bits)
{
	unsigned char blocks[2 * BLOCK_BYTES] = {0};
	size_t n = rest.n < BLOCK_BYTES - 8 ? BLOCK_BYTES : 2 * BLOCK_BYTES;

	if (rest.n > 0)
		memcpy(blocks, rest.p, rest.n);
	blocks[rest.n] = 0x80;
	for (size_t i = 0; i < 8; i++)
		blocks[n - 1 - i] = (unsigned char)(bits >> (8 * i));
	compress(state, blocks);
	if (n > BLOCK_BYTES)
		compress(state, blocks + BLOCK_BYTES);
}

void sha1(slice bytes, unsigned char digest[SHA1_DIGEST_BYTES])
{
	uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	uint64_t bits = (uint64_t)bytes.n * 8;

	for (; bytes.n >= BLOCK_BYTES; bytes = slice_from_at(bytes, BLOCK_BYTES))
		compress(state, (const unsigned char *)bytes.p);
	finish(state, bytes, bits);
	for (size_t i = 0; i < SHA1_DIGEST_BYTES; i++)
		digest[i] = (unsigned char)(state[i / 4] >> (24 - 8 * (i % 4)));
}
