/*
 * What waits to be written on an HTTP/2 connection: copies of frames, and pieces of bodies between
 * them by reference, in order. Knows no frames.
 */
#ifndef HTTP_H2_OUTBOX_H
#define HTTP_H2_OUTBOX_H

#include "http/body.h"
#include "net/transport.h"

/** The longest payload of a frame that is sent (RFC 9113 section 4.2: every peer takes as much),
 * and its head. */
#define H2_FRAME_BYTES 16384u
#define H2_FRAME_HEAD_BYTES 9u

#define H2_OUTBOX_PIECES 64u

/** From here on it takes no more, so that frames of higher priority can still go first. */
#define H2_OUTBOX_BYTES ((size_t)256 * 1024)

struct h2_outbox_piece {
	struct buffer *buffer; /* one reference */
	const char *p;
	size_t n;
};

/** Embedded in a connection, zeroed. Holds no block while it is empty. */
struct h2_outbox {
	struct buffer *block; /* into which frames are copied */
	struct h2_outbox_piece pieces[H2_OUTBOX_PIECES];
	unsigned first, count;
	size_t bytes;
};

/* A frame with pieces of a body, which may all have to be copied, and behind it one of another
 * kind: two heads, and the ends of blocks within what is copied. */
#define H2_OUTBOX_COPIED (2u * (H2_FRAME_HEAD_BYTES + H2_FRAME_BYTES))
#define H2_OUTBOX_COPIES (2u + (H2_OUTBOX_COPIED + BUFFER_SMALL_BYTES - 2u) / BUFFER_SMALL_BYTES)

_Static_assert(BODY_PIECES + H2_OUTBOX_COPIES <= H2_OUTBOX_PIECES, "an empty outbox has room");
_Static_assert(H2_OUTBOX_COPIED <= H2_OUTBOX_BYTES, "an empty outbox has room");

/** Whether a frame with pieces of a body has room, and behind it one that is copied. */
static inline bool h2_outbox_has_room(const struct h2_outbox *o)
{
	return o->count + BODY_PIECES + H2_OUTBOX_COPIES <= H2_OUTBOX_PIECES &&
	       o->bytes < H2_OUTBOX_BYTES;
}

/** Copies a frame, or its head. Needs room. Returns 0 or -ENOBUFS. */
int h2_outbox_copy(struct h2_outbox *o, struct loop *loop, slice bytes);

/** Takes `n` waiting bytes off `body`, without copying those that have a buffer. Needs room.
 * Returns 0 or -ENOBUFS. */
int h2_outbox_take(struct h2_outbox *o, struct loop *loop, struct body *body, size_t n);

/** Writes once. Returns 0 when all is written, -EAGAIN when the transport takes no more now, or
 * another negative errno. */
int h2_outbox_write(struct h2_outbox *o, struct transport *t);

/** Drops what waits. */
void h2_outbox_free(struct h2_outbox *o);

#endif
