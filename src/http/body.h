/*
 * A body on its way: a bounded queue of borrowed pieces of reference-counted buffers between one
 * producer and one consumer on the same loop. Back-pressure is part of it: a producer stops when
 * the queue is full and is woken when half of it has been taken. The end, an abort and the trailers
 * travel in band, behind the bytes.
 *
 * Between two sockets a long body may go through a pipe of the kernel behind the pieces, without
 * being looked at, if its consumer has said that it takes it so.
 */
#ifndef HTTP_BODY_H
#define HTTP_BODY_H

#include <sys/uio.h>

#include "core/buffer.h"
#include "core/pipe_pool.h"
#include "http/fields.h"

/** Pieces that one body holds at most; many tiny ones make it full before its bytes do. */
#define BODY_PIECES 16u

/** Default of a body's limit: bytes that wait at most between producer and consumer. */
#define BODY_LIMIT_BYTES ((size_t)128 * 1024)

struct body;

/**
 * Called when there is room again, and once when a consumer has come. May push, but not notify:
 * whoever takes bytes or becomes the consumer looks at the body again afterwards.
 */
typedef void body_want_fn(struct body *, void *producer);

/** Called when the consumer has taken `n` bytes, also after the end. Must not push or notify. */
typedef void body_taken_fn(struct body *, void *producer, size_t n);

/** Called when bytes, the end or an abort have arrived. */
typedef void body_ready_fn(struct body *, void *consumer);

struct body_piece {
	struct buffer *buffer; /* one reference, or NULL for bytes that outlive the body */
	const char *p;
	size_t n;
};

enum body_state { BODY_OPEN, BODY_ENDED, BODY_ABORTED };

#define BODY_MAGIC 0x626f6479u

/** Lifetime: `body_init` … `body_free`, normally inside an exchange. */
struct body {
	uint32_t magic;
	enum body_state state;
	int abort_code; /* negative errno of an abort: -ETIMEDOUT, -ECONNRESET, -EPROTO … */
	unsigned first;
	unsigned count;
	struct body_piece pieces[BODY_PIECES];
	size_t bytes;      /* waiting, those in the pipe included */
	bool takes_pipe;   /* the consumer takes bytes by `body_pipe_out` */
	struct pipe *pipe; /* behind the pieces; NULL: none */
	size_t limit_bytes;
	uint64_t taken_bytes; /* by the consumer, since the start */
	bool stalled;         /* the producer has seen the body full and waits to be woken */
	uint32_t stalls;      /* how often that happened */
	body_want_fn *want;
	body_taken_fn *taken; /* NULL: nobody counts */
	void *producer;
	body_ready_fn *ready;
	void *consumer;
	struct fields *trailers; /* set by the producer before the end; NULL: none */
};

/** An open body without producer, consumer or bytes; `limit_bytes` may wait in it at most. */
void body_init(struct body *b, size_t limit_bytes);

/** Drops what is left. Producer and consumer are not told. */
void body_free(struct body *b);

/** Makes `producer` the one who is asked for more. `want` may be NULL: everything is pushed
 * already. */
void body_set_producer(struct body *b, body_want_fn *want, void *producer);

/** The same for a producer that pushes no more than it has given its peer credit for: `taken` tells
 * it when to give more, and `want` (may be NULL) when there is a consumer. */
void body_set_credit(struct body *b, body_want_fn *want, body_taken_fn *taken, void *producer);

/**
 * Makes `consumer` the one who takes bytes, instead of any earlier one, and asks the producer to go
 * on. With `ready` NULL nobody takes bytes any more, and nobody is asked for them.
 */
void body_set_consumer(struct body *b, body_ready_fn *ready, void *consumer);

/** Lowers the limit that `body_init` set; what waits already stays. */
void body_shrink(struct body *b, size_t limit_bytes);

/** Whether the producer may push; if not, it will be asked when there is room. */
bool body_has_room(struct body *b);

/**
 * Appends bytes of `buffer` (a reference is taken) or, with NULL, bytes that outlive the body.
 * Needs `body_has_room`, which is not exact: one push may pass the limit. An empty slice is
 * ignored.
 */
void body_push(struct body *b, struct buffer *buffer, slice bytes);

/** No more bytes come. Allowed once, in the open state. */
void body_end(struct body *b);

/** The rest will never come. What is queued is still delivered. Ignored unless open. */
void body_abort(struct body *b, int code);

/** Tells the consumer, if there is one, that something has changed. The body may be freed within
 * the call. */
void body_notify(struct body *b);

/** Fills in up to `max` vectors with the first `limit` waiting bytes; returns how many. */
int body_vectors(const struct body *b, struct iovec *v, int max, size_t limit);

/** The first waiting piece; empty if none. */
slice body_front(const struct body *b);

/** Takes `n` waiting bytes off the front; may wake the producer. */
void body_take(struct body *b, size_t n);

/** The consumer also takes what comes through a pipe, by `body_pipe_out`, until it is replaced. */
void body_accept_pipe(struct body *b);

/** Whether more bytes may come through a pipe. */
static inline bool body_accepts_pipe(const struct body *b)
{
	return b->takes_pipe;
}

/**
 * Moves at most `n` bytes from a socket into the body, past us. Needs `body_has_room` and
 * `body_accepts_pipe`. Returns how many, 0 at the end of the socket's data, -EAGAIN when it has
 * none now or the pipe perhaps no room (then the producer is asked again, once less is in the
 * pipe), -EOPNOTSUPP when what comes next has to be read and pushed, or another negative errno.
 */
ssize_t body_pipe_in(struct body *b, struct pipe_pool *pool, int fd, uint64_t n);

/** Bytes in the pipe; they come behind all pieces. */
static inline size_t body_piped(const struct body *b)
{
	return b->pipe != NULL ? b->pipe->bytes : 0;
}

/** Moves at most `n` bytes of the pipe to a socket, when all pieces are taken; may wake the
 * producer. Returns how many, -EAGAIN, or another negative errno. */
ssize_t body_pipe_out(struct body *b, int fd, uint64_t n);

/** Moves a piece from the front of one body to the end of another, without copying. Needs room
 * there and bytes here. */
void body_move(struct body *to, struct body *from);

static inline bool body_finished(const struct body *b)
{
	return b->state == BODY_ENDED && b->bytes == 0;
}

static inline bool body_broken(const struct body *b)
{
	return b->state == BODY_ABORTED && b->bytes == 0;
}

#endif
