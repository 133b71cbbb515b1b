/*
 * An initialised instance, kept so that others can begin as it was, and be put back to it: memory,
 * globals, and the host's state about it.
 */
#ifndef PLUGIN_SNAPSHOT_H
#define PLUGIN_SNAPSHOT_H

#include "plugin/image.h"
#include "plugin/instance.h"

#define SNAPSHOT_MAGIC 0x736e6170u

/** Immutable. Must outlive the instances that were made of it. */
struct snapshot {
	uint32_t magic;
	struct image *image;
	struct wasi *wasi;
	size_t global_count;
	wasmtime_val_t *globals;
};

/**
 * Of an instance that has just been initialised, which becomes the first copy: its memory shares
 * the image from then on. Returns 0, or a negative errno value, after which the instance is to be
 * destroyed.
 */
int snapshot_take(struct snapshot **snapshot, struct instance *i, struct weir_error *error);

/** All copies must have gone. NULL is allowed in `*snapshot`. */
void snapshot_destroy(struct snapshot **snapshot);

/** Completes a new instance whose memory has been made of the image. */
void snapshot_enter(const struct snapshot *s, struct instance *i);

/**
 * Puts an instance back; `drop` says that its pages shall not stay its own. False if its memory has
 * grown, and nothing has happened; or if the system failed, and it is to be destroyed.
 */
bool snapshot_restore(const struct snapshot *s, struct instance *i, bool drop);

/** Whether memory, globals and descriptors are as in the snapshot: looks at each byte. */
bool snapshot_verify(const struct snapshot *s, struct instance *i);

/** Whether two values of a global, which are numbers or vectors, are the same bits. */
bool snapshot_same_value(const wasmtime_val_t *a, const wasmtime_val_t *b);

#endif
