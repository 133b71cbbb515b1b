/*
 * Keeps exchanges away from a plugin that fails nearly every one of them, and from starting
 * instances that do not start: a circuit for each. Says in the log when one opens or closes. All
 * take the plugin's lock, but for a closed circuit that nothing has failed on. Any thread.
 */
#ifndef PLUGIN_GUARD_H
#define PLUGIN_GUARD_H

#include "plugin/circuit.h"
#include "weir/plugin.h"

/** Part of a plugin. */
struct guard {
	struct circuit calls;  /* exchanges */
	struct circuit starts; /* instances */
};

enum guarded { GUARD_CALLS, GUARD_STARTS };

/** Both circuits closed, with the plugin's limits. */
void guard_init(struct weir_plugin *p);

/** May an exchange, or the start of an instance, be tried? See `circuit_ask`. */
enum circuit_answer guard_ask(struct weir_plugin *p, enum guarded what);

/** One failed, for `why`; `trial` if the answer was CIRCUIT_TRY. */
void guard_note_failure(struct weir_plugin *p, enum guarded what, bool trial, const char *why);

/** A trial succeeded. */
void guard_note_success(struct weir_plugin *p, enum guarded what);

/** Whether a failure of that cause says something about the plugin, and not about the client, the
 * upstream or the load. */
bool guard_counts(enum weir_cause cause);

/** How long until something may be tried again, at least 1. */
uint64_t guard_retry_ms(const struct weir_plugin *p, enum guarded what);

#endif
