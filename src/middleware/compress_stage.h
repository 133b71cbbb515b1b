/*
 * A stage that compresses a body on its way to the client.
 */
#ifndef MIDDLEWARE_COMPRESS_STAGE_H
#define MIDDLEWARE_COMPRESS_STAGE_H

#include <stdatomic.h>

#include "http/exchange.h"
#include "middleware/encoder.h"

/* X(NAME, kind, help): of all middlewares and workers together. */
#define COMPRESSION_COUNTERS(X) \
	X(responses, COUNTER, "Responses compressed") \
	X(live, GAUGE, "Responses that are being compressed") \
	X(refused, COUNTER, "Responses left alone because enough others were being compressed") \
	X(in_bytes, COUNTER, "Bytes before compression") \
	X(out_bytes, COUNTER, "Bytes after compression")

/** Shared by all workers, which add to it once per response. */
struct compressions {
	uint64_t max; /* at the same time */
	size_t window_bytes;
#define X(name, kind, help) _Atomic uint64_t name;
	COMPRESSION_COUNTERS(X)
#undef X
};

#define COMPRESS_STAGE_MAGIC 0x636d7072u

/** In the exchange's arena, zeroed. */
struct compress_stage {
	uint32_t magic; /* 0: not started */
	struct exchange *x;
	struct compressions *all;
	struct body out;
	struct body *in;
	struct encoder *encoder;
	struct buffer *buffer; /* that is being filled; NULL: none */
	struct task work;
	struct timer patience;
	uint64_t in_bytes;
	bool eager;     /* bytes are passed on as they come: they may be all for a long time */
	bool unflushed; /* the encoder may hold some back */
	bool flushing;
};

/**
 * Compresses the response's body from now on. `eager` for bodies whose length is not known; those
 * of others wait up to 100 ms for more. Returns 0, or -EBUSY or -ENOMEM with everything as it was.
 */
int compress_stage_start(struct compress_stage *s, struct exchange *x, enum coding coding,
			 bool eager, struct compressions *all);

/** Lets go of everything. Harmless if never started. */
void compress_stage_stop(struct compress_stage *s);

#endif
