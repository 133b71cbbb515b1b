/*
 * What instances of a plugin cost on this machine.
 */
#ifndef CLI_PLUGIN_MEASURE_H
#define CLI_PLUGIN_MEASURE_H

#include "cli/plugin_cli.h"

/** Nanoseconds of CPU time, bytes. */
struct plugin_costs {
	bool cloned; /* instances are copies of the first one; else they initialise themselves */
	uint64_t make_ns;       /* an instance */
	uint64_t restore_ns;    /* to put one back after a request; 0: it cannot be, or has grown */
	uint64_t changed_bytes; /* that a request changes in a new instance */
	bool keeps_state;       /* the same request again leaves the memory different each time */
};

/**
 * Makes instances, and sends the request through one of them, which must not fail. The session's
 * plugin runs with isolation `reuse`. Returns 0, or a negative errno value with the reason.
 */
int plugin_measure_costs(struct plugin_costs *costs, struct plugin_session *s,
			 const struct plugin_request *request, struct weir_error *error);

/** What many exchanges in turn took. */
struct plugin_rate {
	uint64_t exchanges;
	uint64_t wall_ns;
	uint64_t cpu_ns;       /* of the thread */
	uint64_t guest_cpu_ns; /* of that within the guest */
	uint64_t restored_bytes;
};

/**
 * Sends the requests in turn, for `for_ns` or, if that is not 0, `count` of them. Returns 0, or a
 * negative errno value when one fails.
 */
int plugin_measure_rate(struct plugin_rate *rate, struct plugin_session *s,
			const struct plugin_requests *requests, uint64_t for_ns, uint64_t count,
			struct weir_error *error);

#endif
