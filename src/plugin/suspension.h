/*
 * Host functions that may have to wait: `read_body` and `poll_oneoff`. They run on the guest's
 * fiber up to the point where they must wait; `suspension_progress` finishes them from outside.
 */
#ifndef PLUGIN_SUSPENSION_H
#define PLUGIN_SUSPENSION_H

#include <stdbool.h>
#include <stdint.h>
#include <wasm.h>
#include <wasmtime.h>

#include "plugin/wasi.h"
#include "weir/plugin.h"

struct instance;

enum suspension_kind { SUSPENSION_NONE, SUSPENSION_BODY, SUSPENSION_SLEEP };

/** Part of an instance: the host function that its guest is in. */
struct suspension {
	enum suspension_kind kind;
	bool finished; /* result or trap has been given: the fiber may go on */
	wasmtime_val_t *result;
	wasm_trap_t **trap;
	struct guest_memory memory; /* cannot change while the guest is suspended */
	uint64_t args[4];
	uint32_t got_bytes; /* of a body, so far */
	uint64_t wake_at_ns;
};

/** The engine's callbacks for both; `env` of the second is its `struct wasi_function`. */
void suspension_read_body(void *env, wasmtime_caller_t *caller, const wasmtime_val_t *args,
			  size_t arg_count, wasmtime_val_t *results, size_t result_count,
			  wasm_trap_t **trap, wasmtime_async_continuation_t *continuation);
void suspension_poll_oneoff(void *env, wasmtime_caller_t *caller, const wasmtime_val_t *args,
			    size_t arg_count, wasmtime_val_t *results, size_t result_count,
			    wasm_trap_t **trap, wasmtime_async_continuation_t *continuation);

/** Tries to finish what the guest waits for. True if there is nothing (any more) to wait for. */
bool suspension_progress(struct instance *i);

#endif
