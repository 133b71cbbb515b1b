/*
 * Where the static configuration comes from. Traefik's three sources exclude each other: a file,
 * else flags, else the environment. weir's own options lie over it, from all three: file, then
 * environment, then flags.
 */
#ifndef CONFIG_SOURCE_H
#define CONFIG_SOURCE_H

#include "config/static.h"

/**
 * Reads the static configuration. `args` are the arguments after the command's name, `environment`
 * is as `environ`; either may be NULL. The report gets everything that is wrong or ignored, not
 * only the first; it keeps its texts in `report->arena`. On success `*config` belongs to the
 * caller. Returns 0 or a negative errno value with `*config` NULL. Blocks. Traefik's documentation:
 * reference/install-configuration/boot-environment.
 */
int static_load(struct static_config **config, size_t arg_count, const char *const *args,
		const char *const *environment, struct config_report *report);

/** The same for a text, without flags and environment. */
int static_load_text(struct static_config **config, slice text, enum tree_format format,
		     const char *source, struct config_report *report);

/** Whether -h, -help or --help is among the flags. */
bool source_wants_help(size_t arg_count, const char *const *args);

/** Appends what `--help` says about options. */
void source_add_help(struct str *out);

/**
 * Appends an argument as people may see it, without users in URLs and without the value of a flag
 * that is a secret. `*secret` says whether it is the value of the argument before (false before the
 * first one), and is set for the next.
 */
void source_add_hidden(struct str *out, slice argument, const struct option *table, bool *secret);

/**
 * Flags to a tree, with the grammar of Go's flag package as Traefik reads it: `--a.b=c`, `-a.b c`,
 * `--bool`, `--`. Keys begin at the root; `table` tells which flags need no argument. Returns 0 or
 * a negative errno value.
 */
int source_parse_flags(struct tree *t, size_t arg_count, const char *const *args,
		       const struct option *table, struct config_report *report);

/** Variables that begin with `prefix` ("TRAEFIK_") and the name of a root key; the rest of the name
 * is lower-cased. */
int source_parse_environment(struct tree *t, const char *const *environment, const char *prefix,
			     const struct option *table, struct config_report *report);

#endif
