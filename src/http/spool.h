/*
 * Bytes that are kept: in memory up to a threshold, beyond it in an unlinked file. For bodies that
 * must be read again or replaced.
 */
#ifndef HTTP_SPOOL_H
#define HTTP_SPOOL_H

#include <stdint.h>

#include <sys/types.h>

#include "core/str.h"

/** Bytes that one spool holds in memory at most. */
#define SPOOL_MEMORY_BYTES ((size_t)1024 * 1024)

/** Embedded, zeroed with `file` -1: `spool_init` … `spool_free`. */
struct spool {
	struct str memory;
	int file; /* -1: none; holds everything once it is there */
	uint64_t n;
};

/** An empty spool; no memory and no file yet. */
void spool_init(struct spool *s);
/** Drops the content and its memory. The spool may be used again after `spool_init`. */
void spool_free(struct spool *s);

/** Appends. Returns 0, -ENOMEM, or what writing to the temporary directory gave. */
int spool_add(struct spool *s, slice bytes);

/** Drops the content. */
void spool_clear(struct spool *s);

/** Reads up to `n` bytes from `offset` on. Returns how many, 0 at the end, or a negative errno
 * value. */
ssize_t spool_read(const struct spool *s, uint64_t offset, void *to, size_t n);

/** All content if it is in memory; `p` is NULL if it is not. Valid until the next change. */
slice spool_memory(const struct spool *s);

#endif
