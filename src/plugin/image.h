/*
 * The content of a linear memory, kept once for all instances that begin with it: a sealed memfd
 * whose zero pages are holes.
 */
#ifndef PLUGIN_IMAGE_H
#define PLUGIN_IMAGE_H

#include "core/error.h"

#define IMAGE_MAGIC 0x696d6167u

/** Immutable. Must outlive the memories that are made of it. */
struct image {
	uint32_t magic;
	int fd;              /* -1 if `bytes` is 0 */
	size_t bytes;        /* the memory's size */
	const uint8_t *view; /* the whole, read-only; NULL if `bytes` is 0 */
};

/**
 * Copies `bytes` (a multiple of the page size) from `base`. `touched` has one bit per page, the
 * lowest first, that is clear only if the page is known to be zero; NULL: nothing is known.
 * Returns 0, -ENOMEM, or another negative errno value of the system's.
 */
int image_create(struct image **image, const uint8_t *base, size_t bytes, const uint8_t *touched,
		 struct weir_error *error);

/** NULL is allowed in `*image`. */
void image_destroy(struct image **image);

/** What the image takes now: pages that were holes count once any guest has touched them. */
uint64_t image_stored_bytes(const struct image *image);

/** The size of the system's pages, to which everything here is aligned. */
size_t image_page_bytes(void);

#endif
