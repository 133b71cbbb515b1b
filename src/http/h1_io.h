/*
 * The two directions of an HTTP/1 connection, for servers and clients alike: a receiver takes bytes
 * off a transport and splits them into heads and body pieces; a sender writes a head and a body
 * with the framing of the message. Neither knows what the message means.
 */
#ifndef HTTP_H1_IO_H
#define HTTP_H1_IO_H

#include "http/body.h"
#include "http/h1.h"
#include "net/transport.h"

/** Embedded in a connection, zeroed. Holds a block only while there are unread bytes. */
struct h1_receiver {
	struct buffer *in;
	size_t at;               /* unread: from here to in->filled */
	size_t scanned;          /* of the unread bytes, by an incomplete head */
	enum buffer_class class; /* of the next block, as earlier reads suggest */
	enum framing framing;    /* of the body in progress */
	uint64_t left;           /* with FRAMING_LENGTH */
	struct h1_chunked chunked;
	uint64_t body_bytes; /* delivered so far */
};

/**
 * Reads once. Returns what `transport_read` does, -ENOBUFS when the loop's buffers are used up, and
 * -EMSGSIZE when unread bytes have filled `head_bytes_max`.
 */
ssize_t h1_receiver_fill(struct h1_receiver *r, struct transport *t, size_t head_bytes_max);

/** The unread bytes. */
static inline slice h1_receiver_bytes(const struct h1_receiver *r)
{
	return r->in == NULL ? (slice){NULL, 0}
			     : (slice){r->in->bytes + r->at, r->in->filled - r->at};
}

/** Marks `n` unread bytes as read; gives the block back when that was all, or keeps it for more of
 * a body that is going on. */
void h1_receiver_skip(struct h1_receiver *r, size_t n);

/** A body of this framing follows. */
void h1_receiver_begin_body(struct h1_receiver *r, enum framing framing, uint64_t length);

/**
 * Moves unread body bytes into `body`, which is ended (with `trailers`, may be NULL) when the
 * framing says so. Returns H1_DONE when the body is complete, H1_MORE when bytes or room are
 * missing, or an error, with the body left open.
 */
enum h1_result h1_receiver_decode(struct h1_receiver *r, struct body *body,
				  struct fields *trailers);

/**
 * Moves what has come of a long body of known length past us into `body`, whose bytes are then
 * accounted for by `h1_receiver_decode` as usual. Returns what `transport_read` does, or
 * -EOPNOTSUPP: it has to be read (`h1_receiver_fill`).
 */
ssize_t h1_receiver_pipe(struct h1_receiver *r, struct transport *t, struct body *body);

/** Drops unread bytes and state. */
void h1_receiver_free(struct h1_receiver *r);

enum h1_sent {
	H1_SENT_ALL,     /* head and body are written, the body had ended */
	H1_SENT_WAITING, /* everything there was is written; the body goes on */
	H1_SENT_BLOCKED, /* the transport takes no more now */
	H1_SENT_FAILED,  /* the transport failed: `error` */
	H1_SENT_BROKEN,  /* the body was aborted, or is longer or shorter than the head said */
};

/** Embedded in a connection, zeroed. */
struct h1_sender {
	struct buffer *head; /* bytes that go before the body */
	size_t head_at;
	struct body *body; /* NULL: no body */
	enum framing framing;
	uint64_t left;  /* FRAMING_LENGTH: bytes still owed; FRAMING_CHUNKED: of the chunk that is
			   open */
	char frame[32]; /* framing bytes between pieces of a chunked body */
	unsigned frame_at, frame_end;
	bool last_chunk; /* the final chunk and the trailers are in `tail` */
	struct str tail;
	size_t tail_at;
	uint64_t written; /* bytes handed to the transport since `h1_sender_free` */
	int error;
};

/**
 * Begins a message. Room for `head_bytes` of head is returned (to be filled completely and
 * committed with `h1_sender_head_done`), or NULL when buffers are used up. Heads queued earlier and
 * not yet written (interim responses) stay in front.
 */
char *h1_sender_head(struct h1_sender *s, struct loop *loop, size_t head_bytes);
void h1_sender_head_done(struct h1_sender *s, const char *end);

/** What follows the head. Whether the body may come through a pipe is for the caller to say
 * (`h1_sender_takes_pipe`). */
void h1_sender_body(struct h1_sender *s, struct body *body, enum framing framing, uint64_t length);

/** Whether the sender could take the body through a pipe: the transport is a bare socket, and the
 * framing needs nothing between the bytes. */
bool h1_sender_takes_pipe(const struct h1_sender *s, const struct transport *t);

/** Writes as much as the transport takes. */
enum h1_sent h1_sender_flush(struct h1_sender *s, struct transport *t);

/** Whether anything of the current message has not been written yet. */
bool h1_sender_pending(const struct h1_sender *s);

/** Forgets the message. */
void h1_sender_free(struct h1_sender *s);

#endif
