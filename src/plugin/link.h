/*
 * Host functions and the engine: which imports a module may have, and how they are bound.
 */
#ifndef PLUGIN_LINK_H
#define PLUGIN_LINK_H

#include <wasm.h>
#include <wasmtime.h>

#include "core/str.h"

/**
 * Whether the host has what a module imports. Types are written as in `struct wasi_function`, with
 * f, F, v and r for those that no host function has; `params` is NULL for what is no function.
 * Returns 0, -EINVAL for what does not exist or has another type, or -ENOTSUP for a socket
 * extension.
 */
int link_check(slice module, slice name, const char *params, const char *results,
	       struct weir_error *error);

/** The same of an import as the engine sees it; also -ENOMEM. */
int link_check_import(const wasm_importtype_t *import, struct weir_error *error);

/** Binds all host functions to a module whose imports have been checked. Returns 0 or -EINVAL. */
int link_module(wasmtime_instance_pre_t **linked, wasm_engine_t *engine,
		const wasmtime_module_t *module, struct weir_error *error);

/** Compares with types written as in `struct wasi_function`. */
bool link_type_is(const wasm_functype_t *type, const char *params, const char *results);

/** Appends a type as "(i32, i64) -> (i32)". */
void link_describe(struct str *out, const wasm_functype_t *type);
void link_describe_signature(struct str *out, const char *params, const char *results);

#endif
