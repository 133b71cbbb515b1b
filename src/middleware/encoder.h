/*
 * Streams of compressed bytes, in any of the codings: bytes in, bytes out, nothing of bodies.
 */
#ifndef MIDDLEWARE_ENCODER_H
#define MIDDLEWARE_ENCODER_H

#include "middleware/accept_encoding.h"

struct encoder;

/** What to do with what was put in. */
enum encoder_order {
	ENCODER_GO_ON, /* keep what helps to compress better */
	ENCODER_FLUSH, /* everything can be decoded from what comes out */
	ENCODER_END,
};

/**
 * At the level that is the coding's default; `window_bytes` is how far back it may refer, which
 * bounds its memory. NULL when memory is short.
 */
struct encoder *encoder_new(enum coding coding, size_t window_bytes);

/** NULL is allowed in `*e`. */
void encoder_free(struct encoder **e);

/**
 * Takes bytes off the front of `*in`, and writes up to `room` bytes to `out`, `*made` of them.
 * Returns 1 when the order is carried out, 0 when it must be repeated with more room, or -EIO.
 */
int encoder_run(struct encoder *e, enum encoder_order order, slice *in, char *out, size_t room,
		size_t *made);

#endif
