/*
 * Private to plugin_registry.c and plugin_totals.c.
 */
#ifndef MIDDLEWARE_PLUGIN_REGISTRY_PRIVATE_H
#define MIDDLEWARE_PLUGIN_REGISTRY_PRIVATE_H

#include "core/map.h"
#include "middleware/plugin_totals.h"

#define REGISTRY_MAGIC 0x70726567u

/** One declared plugin. */
struct plugin_source {
	slice alias;
	const struct weir_plugin_config *limits;
	_Atomic uint64_t passed; /* under `failure: open`, without the plugin */
	const char *reason;      /* why it cannot be used; NULL: it can */
	slice wasm;
	struct weir_module
		*module; /* held with abortOnPluginFailure; else compiled when first used */
	const char **envs;
	size_t env_count;
	struct weir_mount *mounts;
	size_t mount_count;
	struct weir_plugin_stats gone; /* of uses that have gone; under the registry's lock */
};

struct plugin_registry {
	uint32_t magic;
	struct weir_host *host;
	const struct static_config *config;
	const struct loop_group *loops;
	struct arena arena;
	struct plugin_source *sources;
	size_t source_count;
	pthread_mutex_t lock; /* guards what follows and the counts of all uses */
	struct map uses;
	struct list all; /* uses whose parts are not all gone */
	size_t live;     /* their number */
};

/** Under the registry's lock: keeps what a use has counted whose pools have gone. */
void plugin_totals_keep(const struct plugin_use *use);

#endif
