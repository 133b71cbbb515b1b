/*
 * Hands the last good configuration of each provider to somebody who outlives this process: as a
 * sealed file in memory, so that secrets reach no disk, made in a thread of its own, because
 * thousands of routers take their time.
 */
#ifndef PROVIDER_KEEPER_H
#define PROVIDER_KEEPER_H

#include "config/dynamic.h"

/** Of the process; any thread may read them. */
struct keeper_numbers {
	_Atomic uint64_t bytes;    /* that are kept now, of all providers */
	_Atomic uint64_t failures; /* configurations that were not kept: too long, or no memory */
};
extern struct keeper_numbers keeper_numbers;

struct keeper;

/**
 * `hand` gets the name of a provider and the file, which stays the keeper's, or -1: nothing of that
 * provider is to be kept any longer. It is called in the keeper's thread. Returns 0 or a negative
 * errno value.
 */
int keeper_create(struct keeper **k, size_t bytes_max, void (*hand)(const char *provider, int fd),
		  struct weir_error *e);

/** Keeps this configuration of that provider (a name that outlives the keeper), of which it takes a
 * reference, soon; if they come too fast, only the newest one. */
void keeper_take(struct keeper *k, const char *provider, struct dynamic_config *config);

/** NULL is allowed. */
void keeper_destroy(struct keeper **k);

#endif
