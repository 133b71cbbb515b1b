/*
 * Watches the files of local plugins.
 */
#ifndef PROVIDER_PLUGIN_FILES_H
#define PROVIDER_PLUGIN_FILES_H

#include <uv.h>

#include "config/static.h"
#include "core/error.h"

struct plugin_files;

/**
 * Calls `changed` on the loop when something has happened in a directory of a plugin that `config`
 * (which outlives the result) declares, and then nothing for half a second. Directories that are
 * not there are not watched. Returns 0 or -ENOMEM.
 */
int plugin_files_create(struct plugin_files **files, uv_loop_t *loop,
			const struct static_config *config, void (*changed)(void *context),
			void *context, struct weir_error *e);

/** Memory is freed once the loop has closed the handles. NULL is allowed. */
void plugin_files_destroy(struct plugin_files **files);

#endif
