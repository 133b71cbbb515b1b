/*
 * Compiles modules in child processes, so that what a binary costs to compile (memory, time, a
 * crash) is bounded and nobody else's.
 */
#ifndef PLUGIN_COMPILER_H
#define PLUGIN_COMPILER_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/error.h"
#include "plugin/artefact.h"

/** Lifetime: `compiler_init`, then `compiler_free`. Any thread in between. */
struct compiler {
	const char *const *argv; /* borrowed */
	uint64_t timeout_ms;
	uint64_t memory_bytes;
	uint32_t jobs_max;
	_Atomic bool cancelled; /* ends what is in progress, and is its error */
	uint32_t jobs;          /* under the lock */
	pthread_mutex_t lock;
	pthread_cond_t ended;
};

/** The fields before `jobs` are the caller's to set. */
void compiler_init(struct compiler *c);
/** No compilation is in progress any more. */
void compiler_free(struct compiler *c);

/**
 * Compiles in a child of its own; blocks, also while `jobs_max` others are compiling. Returns a
 * descriptor of a checked artefact, which the caller closes, or -EINVAL (does not compile), -ENOMEM
 * or -ETIMEDOUT (needs more than it may), -EIO (the compiler failed), -ECANCELED, each with the
 * reason.
 */
int compiler_run(struct compiler *c, slice original, slice rewritten,
		 const struct artefact_key *key, struct weir_error *error);

#endif
