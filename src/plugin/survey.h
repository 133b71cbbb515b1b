/*
 * What a wasm binary wants from its host and offers to it, for people. Bounded: looks at each byte
 * once, trusts none.
 */
#ifndef PLUGIN_SURVEY_H
#define PLUGIN_SURVEY_H

#include "core/arena.h"
#include "core/error.h"
#include "plugin/wasm_reader.h"

/** An import or an export. */
struct survey_entry {
	slice module; /* of an import; else empty */
	slice name;
	unsigned kind;       /* enum wasm_external */
	uint32_t index;      /* of a function's type, later of an exported object */
	const char *params;  /* a function's, as `link_check` takes them; NULL: of another kind */
	const char *results; /* the same */
};

struct survey_list {
	struct survey_entry *entries;
	size_t count;
};

/** Slices and arrays live as long as the binary and the arena. */
struct survey {
	struct survey_list imports;
	struct survey_list exports;
	bool has_memory; /* of its own */
	bool memory_bounded;
	uint64_t memory_min_bytes;
	uint64_t memory_max_bytes; /* if it is bounded */
	uint32_t functions;        /* of its own, as the next two */
	uint32_t tables;
	uint32_t mutable_globals;
	uint32_t data_segments; /* passive ones included */
	uint32_t passive_segments;
	uint64_t data_bytes; /* the same */
	uint64_t passive_bytes;
	uint32_t code; /* bits of wasm_code.h */
	bool starts_by_section;
};

/**
 * Returns 0, -EINVAL with the offset of the offending byte, or -ENOMEM when the arena is full. What
 * it does not look at (types of instructions) is the engine's to validate.
 */
int survey_module(struct survey *survey, slice wasm, struct arena *arena, struct weir_error *error);

/** "func", "table" ... of a kind of import or export. Static. */
const char *survey_kind_text(unsigned kind);

#endif
