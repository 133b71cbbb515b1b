/*
 * Inside of hosts and plugins, for the files of this folder.
 */
#ifndef PLUGIN_PLUGIN_H
#define PLUGIN_PLUGIN_H

#include "core/arena.h"
#include "plugin/budget.h"
#include "plugin/guard.h"
#include "plugin/instance.h"
#include "plugin/module.h"
#include "plugin/restore.h"
#include "plugin/snapshot.h"

#define HOST_MAGIC 0x686f7374u

struct weir_host {
	uint32_t magic;
	wasm_engine_t *engine;
	struct ticker *ticker;
	struct code_source code;
	struct module_store modules;
	struct restorer restorer;
	struct budget budget;
	struct budget files;              /* descriptors of guests */
	struct weir_host_options options; /* defaults filled in */
	_Atomic uint64_t plugins;
};

#define PLUGIN_MAGIC 0x706c7567u

/** Immutable, except for what is atomic or under `lock`. */
struct weir_plugin {
	uint32_t magic;
	_Atomic uint32_t references;
	struct weir_host *host;
	struct module *module;
	struct arena arena; /* the texts below */
	struct weir_plugin_facts facts;
	struct budget budget;
	struct budget files;                 /* descriptors of guests; no limit of its own */
	struct guard guard;                  /* under `lock`, where it is not atomic */
	uint64_t image_bytes;                /* taken from it; under `lock` */
	_Atomic uint64_t changed_high_bytes; /* by instances, for themselves; 0: not known yet */
	struct snapshot *snapshot; /* what instances begin as; NULL: each initialises itself */
	slice config;
	const char **envs;
	size_t env_count;
	struct wasi_mount *mounts;
	size_t mount_count;
	_Atomic uint32_t features; /* that guests enabled while initialising, for every exchange */
	_Atomic uint64_t created;
	_Atomic uint64_t destroyed;
	struct instance *_Atomic spare; /* the first instance, until a pool takes it */
	pthread_mutex_t lock;
	struct list pools;
	struct counters counters; /* of pools that have gone, and of the first instance's start */
};

/** Saturating: an unlimited number of milliseconds stays unlimited. */
static inline uint64_t ms_to_ns(uint64_t ms)
{
	return ms > UINT64_MAX / 1000000u ? UINT64_MAX : ms * 1000000u;
}

static inline uint64_t add_ns(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

#endif
