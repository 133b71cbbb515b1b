/*
 * The plugins of the process: what the static configuration declares, read once, and every (plugin,
 * configuration) pair that middlewares use, shared by all of them.
 */
#ifndef MIDDLEWARE_PLUGIN_REGISTRY_H
#define MIDDLEWARE_PLUGIN_REGISTRY_H

#include "config/static.h"
#include "net/per_loop.h"
#include "weir/plugin.h"

struct plugin_registry;

/**
 * Reads manifests and binaries of `experimental.localPlugins` below `weir.plugins.directory`. What
 * is wrong with one plugin is logged and kept as the reason why middlewares cannot use it; returns
 * a negative errno value only if the host cannot be made, or, with `abortOnPluginFailure`, for the
 * first broken plugin. `config` and `loops` outlive the registry.
 */
int plugin_registry_create(struct plugin_registry **registry, const struct static_config *config,
			   const struct loop_group *loops, struct weir_error *e);

/**
 * Reads the files of plugins again that have changed, for uses that are made from then on; uses
 * that there are go on. By whoever builds, before a build.
 */
void plugin_registry_refresh(struct plugin_registry *registry);

/** Calls `visit` for every declared plugin that cannot be used. */
void plugin_registry_visit_broken(const struct plugin_registry *registry,
				  void (*visit)(void *context, slice alias, const char *why),
				  void *context);

/** The host of all plugins. */
const struct weir_host *plugin_registry_host(const struct plugin_registry *registry);

/** The process ends: what is being compiled is given up, and its errors are of no interest. */
void plugin_registry_cancel(struct plugin_registry *registry);

/** All uses must have been released and their parts freed. */
void plugin_registry_destroy(struct plugin_registry **registry);

#define PLUGIN_USE_MAGIC 0x706c7567u

/** One plugin with one configuration. Shared by reference counting. */
struct plugin_use {
	uint32_t magic;
	unsigned references; /* under the registry's lock, as the next one */
	uint64_t wanted;     /* when it was last asked for, as a number that only grows */
	uint64_t made_ns;    /* monotonic */
	struct plugin_registry *registry;
	struct list link; /* in the registry's list of all, under its lock */
	char *key;
	slice alias;
	size_t source; /* number of the declared plugin */
	struct weir_plugin *plugin;
	bool fails_open; /* `failure: open` */
	struct per_loop pools;
};

/**
 * The use of plugin `alias` with this configuration (JSON): found, or made, which compiles and
 * initialises and takes its time: not on a loop, and one builder at a time. The caller gets a
 * reference. Returns 0 or a negative errno value with the reason and `*use` NULL; -ENOMEM only if
 * it is the proxy that lacks memory, not the guest.
 */
int plugin_use_get(struct plugin_use **use, struct plugin_registry *registry, slice alias,
		   slice json, struct weir_error *e);

/** One more reference. Any thread. */
struct plugin_use *plugin_use_ref(struct plugin_use *use);

/** Drops the reference and nulls the pointer; the last one frees the instances on all loops. NULL
 * is allowed. */
void plugin_use_release(struct plugin_use **use);

/** One loop's instances. */
struct plugin_part {
	struct weir_pool *pool;
	struct loop *loop;
	struct timer tick;
	struct task work; /* what the pool has put off */
};

/** This loop's part, made on first use; NULL when memory is short. The loop's thread. */
struct plugin_part *plugin_use_part(struct plugin_use *use, struct loop *loop);

/** Counts a request or a response that went on without the plugin. Any thread. */
void plugin_use_note_passed(struct plugin_use *use);

/** Has this loop make the instances that are to be kept ready, if there are to be any. The loop's
 * thread. */
void plugin_use_prepare(struct plugin_use *use, struct loop *loop);

/** To be called when an exchange was begun: keeps the pool's housekeeping going while there is
 * something to do. */
void plugin_part_busy(struct plugin_part *part);

/** Whether scalars of this plugin's configuration become strings (`weir.plugins…stringifyConfig`).
 */
bool plugin_registry_stringifies(const struct plugin_registry *registry, slice alias);

#endif
