/*
 * MD5 (RFC 1321), for formats that are made of it: hashes of passwords and digest authentication.
 * Not for anything new.
 */
#ifndef CORE_MD5_H
#define CORE_MD5_H

#include "core/slice.h"

#define MD5_DIGEST_BYTES 16
#define MD5_BLOCK_BYTES 64
/** Lower-case digits of a digest, and a terminator. */
#define MD5_HEX (2 * MD5_DIGEST_BYTES + 1)

/** Lifetime: from `md5_begin` to `md5_end`; owns nothing. */
struct md5 {
	uint32_t state[4];
	uint64_t total_bytes;
	unsigned char block[MD5_BLOCK_BYTES];
};

/** Starts a digest; there is nothing to free. */
void md5_begin(struct md5 *h);
/** Adds the next part of the message. */
void md5_add(struct md5 *h, slice bytes);
/** Writes the digest; `h` is of no use afterwards. */
void md5_end(struct md5 *h, unsigned char digest[MD5_DIGEST_BYTES]);
/** As `md5_end`, in lower-case hexadecimal digits, terminated. */
void md5_end_hex(struct md5 *h, char hex[MD5_HEX]);

#endif
