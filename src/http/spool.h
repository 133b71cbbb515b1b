/*
 * Bytes that are kept: in memory up to a threshold, beyond it in an unlinked file. For bodies that
 * must be read again or replaced.
 */
#ifndef HTTP_SPOOL_H
#define HTTP_SPOOL_H

#include <stdint.h>

#include <sys/types.h>

#include "core/counter.h"
#include "core/str.h"

/** Bytes that one spool holds in memory at most, unless told otherwise. */
#define SPOOL_MEMORY_BYTES ((size_t)1024 * 1024)

/* X(NAME, kind, help): of all spools of the process. */
#define SPOOL_COUNTERS(X) \
	X(bytes, GAUGE, "Bytes of bodies that are kept, in memory and in files") \
	X(files, GAUGE, "Files that hold some of them") \
	X(refused, COUNTER, "Times that there was no room for more")

struct spool_counters {
#define X(name, kind, help) _Atomic uint64_t name;
	SPOOL_COUNTERS(X)
#undef X
};

/** Read by any thread, written by `spool.c` with atomic additions. */
extern struct spool_counters spool_counters;

/** How many bytes all spools of the process may hold together; without it any number. Any thread.
 */
void spool_set_limit(uint64_t bytes_max);

/** Embedded, zeroed with `file` -1: `spool_init` … `spool_free`. */
struct spool {
	struct str memory;
	size_t memory_max;
	int file; /* -1: none; holds everything once it is there */
	uint64_t n;
};

/** An empty spool; no memory and no file yet. */
void spool_init(struct spool *s);
/** The same, with another limit for what is in memory. */
void spool_init_within(struct spool *s, size_t memory_max);
/** Drops the content and its memory. The spool may be used again after `spool_init`. */
void spool_free(struct spool *s);

/** Appends. Returns 0, -ENOMEM, -EDQUOT where all spools together have no room for it, or what
 * writing to the temporary directory gave. */
int spool_add(struct spool *s, slice bytes);

/** Drops the content. */
void spool_clear(struct spool *s);

/** Reads up to `n` bytes from `offset` on. Returns how many, 0 at the end, or a negative errno
 * value. */
ssize_t spool_read(const struct spool *s, uint64_t offset, void *to, size_t n);

/** All content if it is in memory; `p` is NULL if it is not. Valid until the next change. */
slice spool_memory(const struct spool *s);

#endif
