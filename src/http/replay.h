/*
 * A body that begins with kept bytes and goes on, if there is more, with the rest of another body:
 * what the next one gets after somebody has read, replaced or prefixed a body.
 */
#ifndef HTTP_REPLAY_H
#define HTTP_REPLAY_H

#include "http/body.h"
#include "http/spool.h"
#include "net/loop.h"

#define REPLAY_MAGIC 0x7265706cu

/** Embedded; lives at least as long as its bodies are used. */
struct replay {
	uint32_t magic;
	struct loop *loop;
	const struct spool *kept;
	uint64_t at;       /* of the kept bytes, already pushed */
	struct body *rest; /* NULL: nothing follows */
	struct body *out;
};

/**
 * Makes `out` (initialised, without producer) deliver what `kept` holds and then `rest`, whose
 * consumer this becomes. With `rest` NULL the body ends after the kept bytes, with `trailers` (may
 * be NULL).
 */
void replay_start(struct replay *r, struct loop *loop, const struct spool *kept, struct body *rest,
		  struct body *out, struct fields *trailers);

/** The same, without the first `from` of the kept bytes. */
void replay_start_at(struct replay *r, struct loop *loop, const struct spool *kept, uint64_t from,
		     struct body *rest, struct body *out, struct fields *trailers);

/** Lets go of `rest`. Harmless if never started (zeroed). */
void replay_stop(struct replay *r);

#endif
