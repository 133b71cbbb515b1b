/*
 * Inside of the file provider; only src/provider/file*.c include this.
 */
#ifndef PROVIDER_FILE_PRIVATE_H
#define PROVIDER_FILE_PRIVATE_H

#include "provider/provider.h"

/** Files and directories that one load looked at, in order. Paths are owned. */
struct file_paths {
	char **items;
	size_t count;
	size_t capacity;
};

/** Frees the paths; the set is empty after. */
void file_paths_free(struct file_paths *paths);

/** Adds a copy unless it is there. Returns 0 or -ENOMEM. */
int file_paths_add(struct file_paths *paths, const char *path);

/**
 * The files to read, in the order in which they count: `filename` alone, or those of the directory,
 * sorted by name, sub-directories included. Names that start with ".." belong to orchestrators and
 * are passed over. Returns 0 or a negative errno value.
 */
int file_list(const struct file_provider_config *config, struct file_paths *files,
	      struct weir_error *e);

/** What tells one state of the files from another without reading them. */
struct file_state {
	unsigned char digest[32];
	bool has_empty; /* one of them has no bytes: perhaps it is just being written */
};

/** The state of all files that a load would read, and of `contents`, which the configuration names.
 * Errors are part of it. */
void file_state(const struct file_provider_config *config, const struct file_paths *contents,
		struct file_state *state);

/**
 * Directories in which something must happen before another load can give another result: those
 * that hold the files and `contents`, and those that hold a symbolic link on the way to them.
 * Returns 0 or -ENOMEM.
 */
int file_watch_paths(const struct file_provider_config *config, const struct file_paths *contents,
		     struct file_paths *directories);

/** As `file_provider_load`; the names of certificates and keys in it become `contents`. */
int file_load(const struct file_provider_config *options, struct config_report *report,
	      struct dynamic_config **config, struct file_paths *contents);

/** Watches on a set of directories. */
struct file_watcher;

/** `changed` may be called more often than needed. Returns 0 or -ENOMEM. */
int file_watcher_create(struct file_watcher **w, uv_loop_t *loop, void (*changed)(void *context),
			void *context);

/** Memory is freed when the loop has closed the handles; `changed` is not called any more. */
void file_watcher_destroy(struct file_watcher **w);

/** Makes the watched set equal to `directories`. Returns 0, or a negative errno value if one could
 * not be watched. */
int file_watcher_set(struct file_watcher *w, const struct file_paths *directories,
		     struct weir_error *e);

#endif
