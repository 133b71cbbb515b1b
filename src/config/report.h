/*
 * What was found while configuration was read: errors and warnings, bounded, in the order of
 * discovery.
 */
#ifndef CONFIG_REPORT_H
#define CONFIG_REPORT_H

#include "config/tree.h"

#define CONFIG_REPORT_MAX 64

enum config_severity { CONFIG_WARNING, CONFIG_ERROR };

struct config_message {
	enum config_severity severity;
	const void *about; /* what a warning is given only once for, or NULL */
	slice text;        /* "traefik.yml:3:7: entryPoints.web.adress: unknown option, did you mean
			      \"address\"?" */
};

/** Texts live in `arena`. Lifetime: `config_report_init`, then as long as the arena. */
struct config_report {
	struct arena *arena;
	struct config_message messages[CONFIG_REPORT_MAX];
	size_t count;   /* of messages kept */
	size_t errors;  /* found, also those that were not kept */
	size_t dropped; /* not kept */
};

/** Starts empty; `arena` is the caller's. */
void config_report_init(struct config_report *r, struct arena *arena);

/** Adds an error at that place; returns -EINVAL, for the caller to return. */
int config_error(struct config_report *r, struct tree_place place, const char *format, ...)
	PRINTF_LIKE(3, 4);

/** As `config_error`, with the option path of `node` after its place. */
int config_error_at(struct config_report *r, const struct tree_node *node, const char *format, ...)
	PRINTF_LIKE(3, 4);

/** Adds a warning; a second one about the same thing (not NULL) is left out. */
void config_warn(struct config_report *r, const void *about, struct tree_place place,
		 const char *format, ...) PRINTF_LIKE(4, 5);

/** Takes over an error that another function described. */
int config_error_from(struct config_report *r, const struct weir_error *error);

/** Appends one message per line, errors as "error: ...", warnings as "warning: ...". */
void config_report_add(struct str *out, const struct config_report *r);

#endif
