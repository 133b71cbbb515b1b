/*
 * Where a module's native code comes from: the cache on disk, a compiler process, or the engine in
 * this process.
 */
#ifndef PLUGIN_CODE_H
#define PLUGIN_CODE_H

#include <stdatomic.h>

#include "plugin/cache.h"
#include "plugin/compiler.h"
#include "weir/plugin.h"

/* As in `struct weir_host_stats`. */
#define CODE_COUNTERS(X) \
	X(compiling) \
	X(compiled) \
	X(compile_failures) \
	X(compile_ns) \
	X(cache_hits) \
	X(cache_misses) \
	X(cache_corrupt) \
	X(cache_write_failures) \
	X(cache_evicted)

/** Lifetime: `code_source_init`, then `code_source_free`. Any thread in between. */
struct code_source {
	wasm_engine_t *engine;
	const struct weir_host_options *options; /* defaults filled in */
	struct compiler compiler;
	struct cache cache;
	struct artefact_key fingerprint;
	_Atomic bool warned_corrupt, warned_write;
	/* Written by any thread. */
#define X(name) _Atomic uint64_t name;
	CODE_COUNTERS(X)
#undef X
};

/**
 * Both pointers are borrowed. A cache that cannot be used is warned of, and done without.
 */
void code_source_init(struct code_source *s, wasm_engine_t *engine,
		      const struct weir_host_options *options);

/** Nobody is in `code_get` any more. */
void code_source_free(struct code_source *s);

/**
 * The module that `rewritten` compiles to; `hash` is the SHA-256 of the original binary. Blocks.
 * Returns 0, or as `compiler_run`.
 */
int code_get(wasmtime_module_t **module, struct code_source *s, slice original,
	     const char hash[SHA256_HEX], slice rewritten, struct weir_error *error);

#endif
