#include "core/md5.h"

#include "core/base.h"

/* The integer parts of 2^32 times the absolute sines of 1 to 64. */
static const uint32_t sines[64] = {
	0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613,
	0xfd469501, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193,
	0xa679438e, 0x49b40821, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d,
	0x02441453, 0xd8a1e681, 0xe7d3fbc8, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed,
	0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a, 0xfffa3942, 0x8771f681, 0x6d9d6122,
	0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70, 0x289b7ec6, 0xeaa127fa,
	0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665, 0xf4292244,
	0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
	0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb,
	0xeb86d391};

static const unsigned char shifts[4][4] = {
	{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};

static uint32_t mix(unsigned round, const uint32_t s[4])
{
	switch (round) {
	case 0:
		return (s[1] & s[2]) | (~s[1] & s[3]);
	case 1:
		return (s[3] & s[1]) | (~s[3] & s[2]);
	case 2:
		return s[1] ^ s[2] ^ s[3];
	default:
		return s[2] ^ (s[1] | ~s[3]);
	}
}

static uint32_t word(const unsigned char *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void compress(uint32_t state[4], const unsigned char *block)
{
	static const unsigned char step[4] = {1, 5, 3, 7}, start[4] = {0, 1, 5, 0};
	uint32_t s[4];

	memcpy(s, state, sizeof s);
	for (unsigned i = 0; i < 64; i++) {
		unsigned round = i / 16, shift = shifts[round][i % 4];
		unsigned from = (start[round] + step[round] * i) % 16;
		uint32_t sum = s[0] + mix(round, s) + sines[i] + word(block + 4 * (size_t)from);
		uint32_t next = s[1] + (sum << shift | sum >> (32 - shift));

		s[0] = s[3];
		s[3] = s[2];
		s[2] = s[1];
		s[1] = next;
	}
	for (size_t i = 0; i < 4; i++)
		state[i] += s[i];
}

void md5_begin(struct md5 *h)
{
	*h = (struct md5){.state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}};
}

void md5_add(struct md5 *h, slice bytes)
{
	while (bytes.n > 0) {
		size_t held = h->total_bytes % MD5_BLOCK_BYTES;
		size_t n = MIN(bytes.n, MD5_BLOCK_BYTES - held);

		memcpy(h->block + held, bytes.p, n);
		h->total_bytes += n;
		bytes = slice_from_at(bytes, n);
		if (held + n == MD5_BLOCK_BYTES)
			compress(h->state, h->block);
	}
}

void md5_end(struct md5 *h, unsigned char digest[MD5_DIGEST_BYTES])
{
	static const char padding[MD5_BLOCK_BYTES] = {(char)0x80};
	uint64_t bits = h->total_bytes * 8;
	size_t held = h->total_bytes % MD5_BLOCK_BYTES;
	char length[8];

	for (size_t i = 0; i < sizeof length; i++)
		length[i] = (char)(bits >> (8 * i));
	md5_add(h, slice_of(padding, (held < 56 ? 56 : 120) - held));
	md5_add(h, slice_of(length, sizeof length));
	for (size_t i = 0; i < MD5_DIGEST_BYTES; i++)
		digest[i] = (unsigned char)(h->state[i / 4] >> (8 * (i % 4)));
}

void md5_end_hex(struct md5 *h, char hex[MD5_HEX])
{
	unsigned char digest[MD5_DIGEST_BYTES];

	md5_end(h, digest);
	for (size_t i = 0; i < sizeof digest; i++) {
		hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
		hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
	}
	hex[MD5_HEX - 1] = '\0';
}
