/*
 * Compiled modules, one per content and host: checked, compiled and linked with the host functions
 * once, shared by reference count.
 */
#ifndef PLUGIN_MODULE_H
#define PLUGIN_MODULE_H

#include <pthread.h>
#include <wasm.h>
#include <wasmtime.h>

#include "core/error.h"
#include "core/list.h"
#include "core/sha256.h"
#include "plugin/budget.h"
#include "plugin/code.h"
#include "plugin/image.h"
#include "plugin/scan.h"

#define MODULE_MAGIC 0x6d6f6475u

/** Immutable once `module_get` has returned it. */
struct module {
	uint32_t magic;
	struct module_store *store;
	struct list link;    /* this and the next two under the store's lock */
	uint32_t references; /* 0 only while the last holder destroys it */
	enum { MODULE_BUILDING, MODULE_READY, MODULE_FAILED } state;
	char hash[SHA256_HEX];
	wasmtime_module_t *code;
	wasmtime_instance_pre_t *linked;
	struct scan_facts facts;
	uint64_t image_bytes;   /* taken from the budget */
	struct image *initial;  /* memory as the data segments make it */
	uint32_t global_count;  /* exported for the host, as REWRITE_GLOBAL_FORMAT */
	uint64_t globals_bytes; /* that all globals of an instance take */
	uint32_t table_count;   /* of tables that change; 0: none do */
	uint64_t table_elements_max;
	bool has_section;          /* a start section's function, exported as REWRITE_START */
	uint32_t obstacles;        /* to copying an instance: see rewrite.h */
	int64_t code_moved;        /* in what was compiled, see `engine_explain` */
	uint64_t memory_min_bytes; /* of the exported memory */
	bool has_start;            /* exports `_start` */
	bool has_initialize;       /* exports `_initialize` */
	struct weir_error failure; /* of a build that others waited for */
};

/** All modules of a host. */
struct module_store {
	wasm_engine_t *engine;
	struct code_source *code;
	uint64_t module_max_bytes;
	struct budget *budget; /* for images; NULL: none */
	pthread_mutex_t lock;
	pthread_cond_t built;
	struct list modules;
	uint64_t count;
};

/** An empty store; `engine`, `code` and `budget` (which may be NULL) are borrowed. */
void module_store_init(struct module_store *store, wasm_engine_t *engine, struct code_source *code,
		       uint64_t module_max_bytes, struct budget *budget);

/** How many modules there are. Any thread. */
uint64_t module_store_count(struct module_store *store);

/** Calls `visit` for each module that is ready and holds it meanwhile; nobody waits for that. Any
 * thread. */
void module_store_visit(struct module_store *store,
			void (*visit)(void *context, const char *hash, slice image), void *context);

/** All modules must have been given back. */
void module_store_free(struct module_store *store);

/**
 * The module with that content, compiled by the first caller while others wait for it. Returns 0
 * and a reference, or -EINVAL, -ENOTSUP, -E2BIG, -ENOMEM with the reason in the reference host's
 * words. Blocks.
 */
int module_get(struct module **module, struct module_store *store, slice wasm,
	       struct weir_error *error);

/** One more reference. Any thread. */
struct module *module_ref(struct module *m);

/** Any thread. */
void module_unref(struct module **module);

#endif
