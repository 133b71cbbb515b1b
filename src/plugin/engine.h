/*
 * The WebAssembly engine's settings, and its failures as text. The only file that configures the
 * engine.
 */
#ifndef PLUGIN_ENGINE_H
#define PLUGIN_ENGINE_H

#include <wasm.h>
#include <wasmtime.h>

#include "core/error.h"
#include "core/str.h"

/**
 * An engine for core WebAssembly 2.0 with fibers and epoch interruption. Aborts the process if it
 * cannot be made (the engine's own choice). Delete with `wasm_engine_delete`.
 */
wasm_engine_t *engine_create(void);

/**
 * Appends one line about the failure of a compilation or a call, with the guest's stack (function,
 * offset in the binary), innermost first. `why` replaces the engine's own reason unless it is
 * empty. Consumes `trap` and `error`, of which at least one may be NULL. `code_moved` is how much
 * further back the code lies in what was compiled than in the binary that people know.
 */
void engine_explain(struct str *out, slice why, int64_t code_moved, wasm_trap_t *trap,
		    wasmtime_error_t *error);

/**
 * Compiles what was made of a binary, once the binary itself is found valid: what is wrong with it
 * may not be in `rewritten`. Returns 0 and the module, or -EINVAL with the reason. Any thread.
 */
int engine_compile(wasmtime_module_t **module, wasm_engine_t *engine, slice original,
		   slice rewritten, struct weir_error *error);

#endif
