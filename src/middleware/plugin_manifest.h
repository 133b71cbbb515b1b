/*
 * The manifest of a plugin, `.traefik.yml`.
 */
#ifndef MIDDLEWARE_PLUGIN_MANIFEST_H
#define MIDDLEWARE_PLUGIN_MANIFEST_H

#include "core/arena.h"
#include "core/error.h"

struct plugin_manifest {
	slice wasm_path; /* relative, inside the plugin's directory */
};

/**
 * Reads `directory`/.traefik.yml with Traefik's rules for local plugins: type middleware, runtime
 * wasm, displayName, summary and testData present, wasmPath relative and inside the directory
 * (default plugin.wasm). Texts go to `arena`. Returns 0 or a negative errno value.
 */
int plugin_manifest_read(struct plugin_manifest *m, struct arena *arena, const char *directory,
			 struct weir_error *e);

#endif
