/*
 * A body that is read to its end, or to a limit, and can then be delivered any number of times: for
 * middlewares that need all of it, or have a request made again.
 */
#ifndef HTTP_KEPT_BODY_H
#define HTTP_KEPT_BODY_H

#include "http/exchange.h"
#include "http/replay.h"

#define KEPT_BODY_MAGIC 0x6b657074u

/** In the state of a middleware: zeroed, `kept_body_begin` … `kept_body_end`. */
struct kept_body {
	uint32_t magic;
	struct exchange *x;
	struct body *in;
	struct spool bytes;
	uint64_t bytes_max;
	struct task again; /* resumes the exchange, outside of whoever brings bytes */
	struct replay replay;
	struct body out; /* what is delivered */
};

/** Limits of one. */
struct kept_body_limits {
	size_t memory_bytes; /* beyond them in a file */
	uint64_t bytes_max;  /* UINT64_MAX: any */
};

/** Takes over `in`, a body of the exchange. */
void kept_body_begin(struct kept_body *k, struct exchange *x, struct body *in,
		     const struct kept_body_limits *limits);

/**
 * Keeps what is there. For hooks: returns 0 when the body is complete; -EAGAIN if not, and the
 * exchange is resumed when there is more; -EFBIG when it is longer than the limit, of which what is
 * beyond has not been taken; the code of its abort; or what `spool_add` returned.
 */
int kept_body_collect(struct kept_body *k);

/**
 * Puts what is kept in the place of `*where`, from its beginning; anything that was delivered
 * before must have been dropped by its consumer. `with_rest`: what `in` still holds, or gets,
 * follows. Else the body ends with `trailers`, or NULL.
 */
void kept_body_deliver(struct kept_body *k, struct body **where, bool with_rest,
		       struct fields *trailers);

/** Whether anything of what was delivered has been taken. */
bool kept_body_is_taken(const struct kept_body *k);

/** Lets go of everything. Harmless if never begun. */
void kept_body_end(struct kept_body *k);

#endif
