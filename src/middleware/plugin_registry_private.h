/*
 * Private to plugin_registry.c, plugin_source.c and plugin_totals.c.
 */
#ifndef MIDDLEWARE_PLUGIN_REGISTRY_PRIVATE_H
#define MIDDLEWARE_PLUGIN_REGISTRY_PRIVATE_H

#include <sys/stat.h>

#include "core/map.h"
#include "core/sha256.h"
#include "middleware/plugin_totals.h"

#define REGISTRY_MAGIC 0x70726567u

/** What a plugin's files held when they were last read with success. In its own arena. */
struct plugin_content {
	struct arena arena;
	slice wasm;
	slice wasm_path;       /* as messages show it */
	char hash[SHA256_HEX]; /* of the binary */
};

/** What tells whether a file may have changed. All zero: it is not there. */
struct file_stamp {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified;
	struct timespec changed;
};

/** One declared plugin. What its files make of it is the builder's: one thread at a time. */
struct plugin_source {
	slice alias;
	const struct local_plugin_config *config;
	const struct weir_plugin_config *limits;
	_Atomic uint64_t passed;        /* under `failure: open`, without the plugin */
	char *reason;                   /* why it cannot be used; NULL: it can */
	struct plugin_content *content; /* NULL: it never could be read */
	bool unusable; /* its settings are wrong, which no change of a file mends */
	struct file_stamp manifest_stamp;
	struct file_stamp wasm_stamp;
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
	uint64_t wanted; /* how often a use was asked for */
};

/** Reads the files of all declared plugins. Returns as `plugin_registry_create`. */
int plugin_sources_load(struct plugin_registry *r, struct weir_error *e);

/** Reads those again that have changed; one that cannot be read goes on as it was. */
void plugin_sources_refresh(struct plugin_registry *r);

/** Frees what files have brought. */
void plugin_sources_free(struct plugin_registry *r);

/** Under the registry's lock: keeps what a use has counted whose pools have gone. */
void plugin_totals_keep(const struct plugin_use *use);

#endif
