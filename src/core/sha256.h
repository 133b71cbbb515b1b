/*
 * SHA-256 (FIPS 180-4) over bytes that come in parts.
 */
#ifndef CORE_SHA256_H
#define CORE_SHA256_H

#include "core/slice.h"

#define SHA256_DIGEST_BYTES 32
#define SHA256_BLOCK_BYTES 64
/** Lower-case digits of a digest, and a terminator. */
#define SHA256_HEX (2 * SHA256_DIGEST_BYTES + 1)

/** Lifetime: from `sha256_begin` to `sha256_end`; owns nothing. */
struct sha256 {
	uint32_t state[8];
	uint64_t total_bytes;
	size_t pending;
	unsigned char block[SHA256_BLOCK_BYTES];
};

/** Starts a digest; there is nothing to free. */
void sha256_begin(struct sha256 *h);
/** Adds the next part of the message. */
void sha256_add(struct sha256 *h, slice bytes);

/** Writes the digest; `h` is of no use afterwards. */
void sha256_end(struct sha256 *h, unsigned char digest[SHA256_DIGEST_BYTES]);

/** The digest of `bytes` in lower-case hexadecimal digits, terminated. */
void sha256_hex(slice bytes, char hex[SHA256_HEX]);

#endif
