/*
 * Reads facts out of a wasm binary that the engine does not tell. Bounded: looks at each byte once,
 * trusts none.
 */
#ifndef PLUGIN_SCAN_H
#define PLUGIN_SCAN_H

#include "core/error.h"

struct scan_facts {
	bool response_empty; /* the code of the export `handle_response` is empty */
};

/**
 * Returns 0, or -EINVAL with the offset of the offending byte. What it does not look at (types,
 * instructions) is the engine's to validate.
 */
int scan_module(struct scan_facts *facts, slice wasm, struct weir_error *error);

#endif
