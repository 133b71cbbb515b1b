/*
 * Native code of one module as a file: the engine's serialised module, and behind it what it was
 * made of and its digest. Whoever loads such a file runs it, so it is checked first, in a sealed
 * memfd that nobody can change after that.
 */
#ifndef PLUGIN_ARTEFACT_H
#define PLUGIN_ARTEFACT_H

#include <wasmtime.h>

#include "core/error.h"
#include "core/sha256.h"

/** Everything that the code depends on. */
struct artefact_key {
	unsigned char bytes[SHA256_DIGEST_BYTES];
};

/**
 * What of the key does not depend on the module: the engine's version, its settings and the
 * processor's features, as the engine writes them into what it compiles. False: it cannot.
 */
bool artefact_fingerprint(struct artefact_key *key, wasm_engine_t *engine);

/** The key of a module: `original` is the SHA-256 of the binary, `rewritten` what is compiled. */
void artefact_key(struct artefact_key *key, const struct artefact_key *fingerprint,
		  const char original[SHA256_HEX], slice rewritten);

/** An empty memfd, or a negative errno value. */
int artefact_create(void);

/** Writes all of it at the file's offset. Returns 0 or a negative errno value. */
int artefact_append(int fd, slice bytes);

/** Serialises `module` into an empty file. Returns 0 or a negative errno value. */
int artefact_write(int fd, const wasmtime_module_t *module, const struct artefact_key *key);

/** Appends up to `limit` bytes of the file `from` to `to`. Returns 0 or a negative errno value. */
int artefact_copy(int to, int from, uint64_t limit);

/**
 * Seals the memfd and finds out whether it holds code for that key, whole and undamaged. Returns 0
 * or -EBADMSG with the reason.
 */
int artefact_check(int fd, const struct artefact_key *key, struct weir_error *error);

/**
 * Makes a module of a memfd that was checked; it may be closed afterwards. Returns 0 or -EINVAL.
 */
int artefact_load(wasmtime_module_t **module, wasm_engine_t *engine, int fd,
		  struct weir_error *error);

#endif
