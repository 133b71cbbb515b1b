/*
 * Base64 (RFC 4648 section 4) with padding.
 */
#ifndef CORE_BASE64_H
#define CORE_BASE64_H

#include "core/slice.h"

/** The digits in their order, terminated. */
extern const char base64_digits[65];

/** Length of `n` bytes encoded. */
#define BASE64_BYTES(n) (((n) + 2) / 3 * 4)

/** Encodes, with padding; `to` has `BASE64_BYTES(s.n)` bytes, which are all filled in. */
void base64_encode(slice s, char *to);

/** Room that decoding `n` bytes may need. */
#define BASE64_ROOM(n) ((n) / 4 * 3 + 3)

/**
 * Decodes as Go's base64.StdEncoding: strict padding, line breaks are passed over. `to` has
 * `BASE64_ROOM(s.n)` bytes; `*n` of them are filled in. Returns false on bad input, with the offset
 * in `*bad` that Go complains about.
 */
bool base64_decode(slice s, char *to, size_t *n, size_t *bad);

#endif
