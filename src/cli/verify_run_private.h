/*
 * Private to verify_*.c: a scenario while it runs.
 */
#ifndef CLI_VERIFY_RUN_PRIVATE_H
#define CLI_VERIFY_RUN_PRIVATE_H

#include "cli/verify_private.h"

#define VERIFY_MIB (1024.0 * 1024.0)
#define VERIFY_NS_PER_MS 1000000u
/** How long a rewrite may take to be in effect, and a proxy to be back. */
#define VERIFY_APPLY_MS 10000u

/** A scenario while it runs. */
struct verify_run {
	struct verify_result *result;
	const struct verify_args *args;
	const struct verify_scenario *scenario;
	struct verify_proxy proxy;
	struct verify_backend *backend;
	struct verify_load *load;
	struct verify_load_counts counts;
	struct verify_latency latency[2];
	struct verify_delays delays;
	struct verify_sample start;
	int64_t base_own_bytes; /* when what is looked for began */
	int64_t base_initialised;
	uint64_t for_ms;
	uint64_t passes;     /* to be done */
	uint64_t pass;       /* done */
	uint64_t good_pass;  /* the last one that was not broken */
	uint64_t missed;     /* were not in effect in time */
	uint64_t applied_ms; /* until those were that were, together */
	uint64_t broken;     /* were broken files */
	uint64_t not_kept, not_told, not_clear;
	uint64_t kills;
	uint64_t not_back;          /* of the kills: nothing was answered in time */
	struct verify_latency back; /* until something was, after the others */
	uint64_t not_one;           /* initialised another number of instances than one */
	int64_t initialised;        /* after the last pass, or at the start */
	bool died;
	bool over_memory;
	bool ready; /* it has been started */
	uint64_t shown_ms;
};

/** Whether the scenario may go on; shows `what` is done. */
bool verify_run_goes_on(struct verify_run *run, const char *what);

/** Waits. Returns false if the scenario ends meanwhile. */
bool verify_run_pause(struct verify_run *run, uint64_t until_ms, const char *what);

/** What has come so far is not what is looked for. */
void verify_run_begin(struct verify_run *run);

/** Starts clients by the plan, which needs neither port nor hosts. */
bool verify_run_start_load(struct verify_run *run, struct verify_load_plan plan,
			   struct weir_error *e);
/** Ends them and adds up what they have seen. */
void verify_run_stop_load(struct verify_run *run);

/** Rewrites the configuration again and again, as the scenario says. Returns false if the scenario
 * is over before, with or without an error. */
bool verify_run_rewrites(struct verify_run *run, struct weir_error *e);

/** Kills the server again and again. Returns as above. */
bool verify_run_kills(struct verify_run *run, struct weir_error *e);

#endif
