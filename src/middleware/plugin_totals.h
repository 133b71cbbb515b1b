/*
 * What the plugins of the process have counted, by declared plugin: all of its configurations
 * together, those that have gone included, so that the numbers are as many as the plugins that the
 * static configuration declares, whatever dynamic ones come and go.
 */
#ifndef MIDDLEWARE_PLUGIN_TOTALS_H
#define MIDDLEWARE_PLUGIN_TOTALS_H

#include "core/counter.h"
#include "core/sha256.h"
#include "middleware/plugin_registry.h"

/* X(member of struct weir_plugin_stats, kind, help) */
#define PLUGIN_COUNTERS(X) \
	X(created, COUNTER, "Instances made") \
	X(destroyed, COUNTER, "Instances destroyed") \
	X(live, GAUGE, "Instances that exist: created less destroyed") \
	X(idle, GAUGE, "Instances that wait for an exchange") \
	X(in_use, GAUGE, "Instances that are initialised, or held by an exchange") \
	X(waiting, GAUGE, "Exchanges that wait for an instance") \
	X(exchanges, COUNTER, "Exchanges that came to the plugin") \
	X(reserved_bytes, GAUGE, "Memory reserved of the budget, images included") \
	X(private_bytes, GAUGE, "Memory that instances have for themselves, when last measured") \
	X(linear_bytes, GAUGE, "Sizes of the memories of instances, as the plugin sees them") \
	X(budget_refusals, COUNTER, "Reservations that the plugin's own budget had no room for") \
	X(restores, COUNTER, "Instances that were put back to how they were initialised") \
	X(restored_bytes, COUNTER, "Memory that was copied to put instances back") \
	X(cpu_ns, COUNTER, "CPU time of the plugin's code, initialisation included") \
	X(yields, COUNTER, "Slices of time that ended before the call that they were part of") \
	X(late_slices, COUNTER, "Slices that took five times their length, or more") \
	X(log_lines_dropped, COUNTER, "Log lines beyond the limit of one exchange") \
	X(circuit_open, GAUGE, "Configurations whose circuit is open: exchanges are refused") \
	X(circuit_opened, COUNTER, "Times that a circuit opened") \
	X(starts_stopped, GAUGE, "Configurations that start no instance for a while") \
	X(starts_stopped_count, COUNTER, "Times that starting instances was stopped for a while") \
	X(open_files, GAUGE, "Descriptors that instances hold, mounts included") \
	X(open_file_refusals, COUNTER, \
	  "Files not opened: too many in the instance, or in all plugins together")

/* X(member of struct weir_plugin_stats, help) */
#define PLUGIN_HISTOGRAMS(X) \
	X(init, "Time to make an instance that initialises itself") \
	X(clone, "Time to make an instance as a copy of the first one") \
	X(restore, "Time to put an instance back") \
	X(call, "Time that the plugin's code ran in one call of an exchange") \
	X(queue_wait, "Time that exchanges waited for an instance")

/** One declared plugin. */
struct plugin_totals {
	slice alias;
	char content[SHA256_HEX]; /* of the binary of the newest use; "" while there is none */
	uint64_t newest;          /* of the uses, as `plugin_use.wanted` */
	uint64_t configurations;  /* in use, or draining */
	uint64_t image_bytes;     /* of all of them */
	uint64_t passed;          /* requests and responses that went on without the plugin */
	struct weir_plugin_stats stats;
};

/** How many plugins are declared. */
size_t plugin_totals_count(const struct plugin_registry *registry);

/**
 * Fills in `totals`, one for each declared plugin. The registry's lock is not held for longer than
 * it takes to copy pointers. Returns 0 or -ENOMEM. Any thread.
 */
int plugin_totals_read(struct plugin_registry *registry, struct plugin_totals *totals);

/** One plugin with one configuration, as others see it. */
struct plugin_use_look {
	slice alias;
	char content[SHA256_HEX];
	uint64_t age_ns;
	unsigned references; /* middlewares that use it; 0: it drains */
	size_t source;       /* number of the declared plugin */
	struct weir_plugin *plugin;
};

/**
 * All uses whose instances are not all gone, the oldest first, in an array for
 * `plugin_uses_release`; each holds a reference on its plugin. NULL when memory is short. Any
 * thread.
 */
struct plugin_use_look *plugin_uses_hold(struct plugin_registry *registry, size_t *count);

/** Frees what `plugin_uses_hold` returned; NULL is allowed. Any thread. */
void plugin_uses_release(struct plugin_use_look **uses, size_t count);

#endif
