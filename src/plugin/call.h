/*
 * Guest calls on fibers: slices, budgets, and what went wrong.
 */
#ifndef PLUGIN_CALL_H
#define PLUGIN_CALL_H

#include "plugin/instance.h"

/** Prepares the store of a new instance for calls: the epoch callback. */
void call_attach(struct instance *i);

/**
 * Starts a call that `call_run` then drives. `function` is copied.
 * `deadline_ns` is monotonic.
 */
void call_begin(struct instance *i, const char *name, const wasmtime_func_t *function,
		const wasmtime_val_t *args, size_t arg_count, size_t result_count,
		uint64_t deadline_ns);

/** Starts the instantiation, which runs the guest's start section, in the same way. */
void call_begin_instantiation(struct instance *i, uint64_t deadline_ns);

/** Runs the guest until it is done, has to wait, or has used up its slice. */
enum run call_run(struct instance *i);

/** Unwinds an unfinished call. */
void call_cancel(struct instance *i);

#endif
