/*
 * One instance of a plugin: how it comes into being, runs and goes. The only place that knows how
 * instances are made.
 *
 *   STARTING -> IDLE -> REQUEST -> HELD -> RESPONSE -> USED -> IDLE,   REQUEST -> USED,
 *   any -> DEAD
 */
#ifndef PLUGIN_INSTANCE_H
#define PLUGIN_INSTANCE_H

#include <wasm.h>
#include <wasmtime.h>

#include "core/str.h"
#include "plugin/charge.h"
#include "plugin/counters.h"
#include "plugin/restore.h"
#include "plugin/suspension.h"
#include "plugin/ticker.h"
#include "plugin/wasi.h"
#include "weir/plugin.h"

/* X(NAME, text) */
#define INSTANCE_STATES(X) \
	X(STARTING, "starting") \
	X(IDLE, "idle") \
	X(REQUEST, "request") \
	X(HELD, "held") \
	X(RESPONSE, "response") \
	X(USED, "used") /* its exchange is over, and it has not been put back */ \
	X(DEAD, "dead")

enum instance_state {
#define X(name, text) INSTANCE_##name,
	INSTANCE_STATES(X)
#undef X
};

/** How far a guest call has come. */
enum run {
	RUN_DONE,
	RUN_YIELD, /* its slice is over */
	RUN_BODY,  /* waits for bytes of the request body */
	RUN_SLEEP, /* until `instance_wake_at_ns` */
	RUN_FAILED /* `fault` says why; the instance is to be destroyed */
};

/** Why the guest cannot go on: set by whoever notices first. */
struct fault {
	enum weir_cause cause; /* WEIR_CAUSE_NONE: nothing so far */
	bool exited;
	uint32_t exit_code;
	char text[256];
};

/** One call on a fiber. */
struct guest_call {
	const char *name;
	wasmtime_call_future_t *future;
	wasmtime_func_t function;
	wasm_trap_t *trap;
	wasmtime_error_t *error;
	wasmtime_val_t args[2];
	wasmtime_val_t result;
	uint64_t cpu_ns; /* charged for past slices */
	uint64_t cpu_budget_ns;
	uint64_t deadline_ns;   /* monotonic */
	uint64_t slice_mono_ns; /* start of the current slice, by either clock */
	uint64_t slice_cpu_ns;
	bool measured; /* has yielded before: slices are measured in CPU time from here on */
	bool yielded;  /* in the current slice */
};

#define INSTANCE_MAGIC 0x696e7374u

/** Owned by a pool's idle list, by an exchange, or by its plugin until the first pool takes it. */
struct instance {
	uint32_t magic;
	enum instance_state state;
	struct weir_plugin *plugin; /* whose owner holds a reference */
	struct ticker_seat *seat;   /* of the thread that runs it */
	struct counters *counters;
	struct weir_exchange *exchange; /* NULL while it starts and idles */
	struct list link;               /* in the pool's list of idle or used ones */
	uint64_t idle_since_ns;
	wasmtime_store_t *store;
	wasmtime_context_t *context;
	wasmtime_instance_t handle;
	bool instantiated; /* the handles below are valid */
	wasmtime_memory_t memory;
	wasmtime_func_t handle_request;
	wasmtime_func_t handle_response;
	wasmtime_global_t *globals;    /* the module's `global_count` */
	const struct image *begins_as; /* what its memory is made of */
	uint32_t requests;             /* since it was made or put back */
	uint64_t since_ns;
	bool rested; /* nothing has happened since `instance_rest` */
	struct charge charge;
	struct restore_memo restored;
	uint64_t linear_bytes; /* size of its memory when last noted */
	struct wasi *wasi;
	struct guest_call call;
	struct suspension suspension;
	struct fault fault;
	enum {
		START_INSTANTIATE,
		START_SECTION,
		START_COMMAND,
		START_REACTOR,
		START_OVER
	} start_stage;
	uint64_t start_deadline_ns;
	uint32_t start_features; /* asked for while starting */
	struct str start_output; /* the end of what the guest said while starting */
	uint32_t log_lines_left;
	uint64_t log_lines_dropped;
};

/**
 * An instance in STARTING, to be driven by `instance_start`. Takes what it needs from the plugin,
 * and takes over `reserved_bytes` of its budget where it succeeds.
 * Returns 0, -ENOMEM or the error of `wasi_create`.
 */
int instance_create(struct instance **instance, struct weir_plugin *plugin,
		    struct ticker_seat *seat, struct counters *counters, uint64_t reserved_bytes,
		    struct weir_error *error);

/** Goes on with the initialisation; RUN_DONE leaves the instance in IDLE. */
enum run instance_start(struct instance *i);

/** Any state, also in the middle of a call, which is then unwound. */
void instance_destroy(struct instance **instance);

/** Gives an idle instance to another thread's pool. */
void instance_move(struct instance *i, struct ticker_seat *seat, struct counters *counters);

/** IDLE -> REQUEST, REQUEST -> HELD, HELD -> RESPONSE. */
void instance_begin_request(struct instance *i, struct weir_exchange *e);
void instance_hold(struct instance *i);
void instance_begin_response(struct instance *i);

/** REQUEST or RESPONSE -> USED: the exchange is over. */
void instance_finish(struct instance *i);

/** USED: whether `instance_release` is a matter of a microsecond, and not followed by
 * `instance_destroy`. */
bool instance_releases_quickly(const struct instance *i);

/**
 * USED -> IDLE, put back to how it was initialised where its plugin wants that. False if it cannot
 * serve again: it is to be destroyed.
 */
bool instance_release(struct instance *i);

/**
 * IDLE: puts the instance back so that it takes next to no memory of its own, if its plugin's
 * instances are copies. Nothing happens the second time. False if it cannot serve again: it is to
 * be destroyed.
 */
bool instance_rest(struct instance *i);

/** The guest's memory as it is now; `caller` is needed while the instance starts. False if there is
 * none. */
bool instance_memory(struct instance *i, wasmtime_caller_t *caller, struct guest_memory *memory);

/** After RUN_SLEEP. */
uint64_t instance_wake_at_ns(const struct instance *i);

/** Records why the guest cannot go on, unless something was recorded before. */
void instance_fault(struct instance *i, enum weir_cause cause, const char *format, ...)
	PRINTF_LIKE(3, 4);

/** For assertions and logs. */
const char *instance_state_text(enum instance_state state);

#endif
