/*
 * Puts the memory of an instance back to its image: finds the pages that the instance has for
 * itself and copies them, or drops them.
 */
#ifndef PLUGIN_RESTORE_H
#define PLUGIN_RESTORE_H

#include "plugin/image.h"
#include "weir/plugin.h"

/** Shared by all threads. */
struct restorer {
	enum weir_restore method; /* never WEIR_RESTORE_AUTO */
	int pagemap_fd;           /* -1 where it is not needed */
};

/**
 * Tries the method on a small memory; for WEIR_RESTORE_AUTO the methods in turn. Returns 0,
 * -ENOTSUP if the one asked for does not work here, or another negative errno value.
 */
int restorer_open(struct restorer *r, enum weir_restore method, struct weir_error *error);

/** Closes what opening it opened. */
void restorer_close(struct restorer *r);

#define RESTORE_RUNS_MAX 16u

/**
 * Which pages a memory had for itself when it was last looked at. It can get another one only by a
 * page fault of the thread that uses it: while the thread has had none, these are all. Zeroed: not
 * known. To be zeroed when another thread takes the memory over, or when pages are dropped.
 */
struct restore_memo {
	uint64_t faults; /* of the thread, before that look */
	uint32_t run_count;
	bool known;
	struct restore_run {
		uint32_t first; /* page */
		uint32_t count;
	} runs[RESTORE_RUNS_MAX];
};

/** How many page faults the calling thread has had: 0.3 us, a third of a look at page tables. */
uint64_t restore_thread_faults(void);

/**
 * `base` is a memory of the image's size that was made of the image, `memo` what is known about it,
 * which is brought up to date. Returns the bytes of the pages that the memory has for itself and
 * that were copied, 0 for those that were dropped, or a negative errno value, after which the
 * memory is in no known state.
 */
int64_t restore_memory(const struct restorer *r, const struct image *image, uint8_t *base,
		       struct restore_memo *memo);

/** How many bytes the memory has for itself, or a negative errno value where that is not known. */
int64_t restore_private_bytes(const struct restorer *r, const uint8_t *base, size_t bytes);

/** Whether the memory equals its image: looks at each byte. */
bool restore_verify(const struct image *image, const uint8_t *base);

#endif
