/*
 * Lines from the workers to a file, written by a thread of its own: nobody waits for a disk or for
 * the reader of a pipe. What finds no room, or cannot be written, is lost and counted.
 */
#ifndef OBSERVE_LINE_WRITER_H
#define OBSERVE_LINE_WRITER_H

#include "core/counter.h"
#include "core/error.h"
#include "core/slice.h"

/* X(NAME, kind, help): sums over all queues. */
#define LINE_WRITER_COUNTERS(X) \
	X(lines, COUNTER, "Lines written") \
	X(bytes, COUNTER, "Bytes written") \
	X(queue_full, COUNTER, "Lines lost because too many were waiting to be written") \
	X(write_failures, COUNTER, "Lines lost because they could not be written")

struct line_writer_counters {
#define X(name, kind, help) _Atomic uint64_t name;
	LINE_WRITER_COUNTERS(X)
#undef X
};

struct line_writer;

/**
 * Opens `path` (empty: standard output) with the folders that it lies in, and starts the thread.
 * `queues` threads may hand in lines, `queue_bytes` wait in each of them. Returns 0, or a negative
 * errno value with `e` naming the file.
 */
int line_writer_create(struct line_writer **writer, slice path, size_t queues, size_t queue_bytes,
		       struct weir_error *e);

/** Hands in one line with its end, in queue number `queue`, which is the calling thread's own. */
void line_writer_put(struct line_writer *w, size_t queue, slice line);

/** Counts a line as lost that was too long to be made. */
void line_writer_lose(struct line_writer *w, size_t queue);

/** What waits is written, then the file is opened again under its name. Any thread. */
void line_writer_reopen(struct line_writer *w);

/** Sums up to now. Any thread. */
void line_writer_counters(const struct line_writer *w, struct line_writer_counters *sums);

/**
 * Writes what waits and ends the thread; who does not read is not waited for longer than a second.
 * Nobody may hand in lines any more. NULL is allowed in `*writer`.
 */
void line_writer_destroy(struct line_writer **writer);

#endif
