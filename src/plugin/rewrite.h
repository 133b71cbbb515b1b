/*
 * Changes a wasm binary so that the host can put an instance into any state it was in: mutable
 * globals and the start function get exports, start and active data segments become the host's to
 * apply. On top of that, facts about the code that decide whether such a state is complete.
 */
#ifndef PLUGIN_REWRITE_H
#define PLUGIN_REWRITE_H

#include "core/error.h"
#include "core/str.h"

/** Exports that begin so belong to the host; a module that has its own is refused. */
#define REWRITE_RESERVED "__weir_"
#define REWRITE_START REWRITE_RESERVED "start"
#define REWRITE_GLOBAL_FORMAT REWRITE_RESERVED "g%u"

/** More mutable globals than this are not exported. */
#define REWRITE_GLOBALS_MAX 4096u

/**
 * What keeps an instance's state out of the host's reach. X(NAME, text: "the plugin ...")
 */
#define REWRITE_OBSTACLES(X) \
	X(TABLES, "changes tables while it runs") \
	X(DROPS, "drops passive segments while it runs") \
	X(REFERENCES, "has mutable globals that hold references") \
	X(GLOBALS, "has more than 4096 mutable globals") \
	X(IMPORTS, "imports memories, tables or globals") \
	X(OFFSETS, "has data segments whose offsets are not constant") \
	X(UNKNOWN, "uses instructions that the host does not know")

enum rewrite_obstacle {
#define X(name, text) REWRITE_##name,
	REWRITE_OBSTACLES(X)
#undef X
		REWRITE_OBSTACLE_COUNT
};

/** Bytes that belong into the memory of a new instance. */
struct rewrite_segment {
	uint32_t offset;
	slice bytes; /* in the original binary */
};

/** Lifetime: `rewrite_module`, then `rewrite_free`. */
struct rewrite {
	struct str wasm; /* the new binary */
	struct rewrite_segment *segments;
	size_t segment_count;
	uint32_t global_count; /* exported ones: mutable, numeric or vector */
	size_t all_globals;
	uint32_t table_count;        /* own ones */
	uint64_t table_elements_max; /* of the one that can become the largest */
	bool has_start;     /* exported as REWRITE_START, and no longer run by the engine */
	uint32_t obstacles; /* bits by `enum rewrite_obstacle` */
	int64_t code_moved; /* bytes from where the code was to where it is */
};

/**
 * `wasm` must live as long as the segments are used. Looks at each byte at most twice. The result
 * validates if the original does. Returns 0, -EINVAL with the offset of the offending byte, or
 * -ENOMEM; `rewrite_free` is needed after 0 only.
 */
int rewrite_module(struct rewrite *rewrite, slice wasm, struct weir_error *error);

/** Frees what a successful `rewrite_module` made. */
void rewrite_free(struct rewrite *rewrite);

/** The first of the obstacles, as the rest of a sentence about the plugin; NULL: none. */
const char *rewrite_obstacle_text(uint32_t obstacles);

#endif
