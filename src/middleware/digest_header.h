/*
 * The field Authorization of digest authentication (RFC 2617 section 3.2.2).
 */
#ifndef MIDDLEWARE_DIGEST_HEADER_H
#define MIDDLEWARE_DIGEST_HEADER_H

#include "core/arena.h"

/* X(NAME): the parameters that count. */
#define DIGEST_PARAMETERS(X) \
	X(username) X(nonce) X(uri) X(response) X(algorithm) X(qop) X(nc) X(cnonce) X(opaque)

/** `p` is NULL for what is missing. */
struct digest_parameters {
#define X(name) slice name;
	DIGEST_PARAMETERS(X)
#undef X
};

/**
 * Reads a value that begins with "Digest "; quotes and backslashes are resolved, the last one of a
 * name counts, unknown ones are passed over. Texts are in `arena`. Returns 0, -EINVAL for another
 * scheme, -ENOMEM.
 */
int digest_header_parse(slice value, struct arena *arena, struct digest_parameters *parameters);

#endif
