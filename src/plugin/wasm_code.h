/*
 * Walks the instructions of a wasm binary, to tell which of a few it uses.
 */
#ifndef PLUGIN_WASM_CODE_H
#define PLUGIN_WASM_CODE_H

#include "plugin/wasm_reader.h"

/** What the code does. */
#define WASM_CODE_CHANGES_TABLES 1u /* table.set, grow, copy, init, fill */
#define WASM_CODE_DROPS 2u          /* data.drop, elem.drop */
#define WASM_CODE_NAMES_DATA 4u     /* memory.init, data.drop */
#define WASM_CODE_UNKNOWN 8u        /* an instruction that this file does not know */

/** The content of the code section. Returns what was found; failures are in the reader. */
uint32_t wasm_code_scan(struct wasm_reader *r);

/** The value of a constant expression. */
struct wasm_constant {
	bool known; /* evaluated: integers, sums and products of them, and globals that are known */
	uint64_t bits;
};

/**
 * Reads a constant expression up to and including its end. `globals` are the values of those that
 * come before.
 */
struct wasm_constant wasm_constant_read(struct wasm_reader *r, const struct wasm_constant *globals,
					size_t global_count);

#endif
