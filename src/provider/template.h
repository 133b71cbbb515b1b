/*
 * Go's text/template with the sprig text functions, as far as configuration files and default rules
 * use them.
 */
#ifndef PROVIDER_TEMPLATE_H
#define PROVIDER_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/error.h"
#include "core/str.h"

/** Bounds of one rendering; 0 stands for the default. */
struct template_limits {
	size_t output_bytes_max; /* default 16 MiB */
	size_t memory_bytes_max; /* tree and intermediate values together, default 64 MiB */
	uint64_t steps_max; /* nodes, iterations and long strings looked at, default 10 million */
	unsigned depth_max; /* of nested actions, calls and parentheses, default 250 */
};

struct template_value;

/** What a template is run on. All pointers may be NULL. */
struct template_input {
	const char *file; /* for error messages */
	/** What `.` stands for at the start; NULL: the boolean false, which is what Traefik gives
	 * files. */
	const struct template_value *data;
	struct template_limits limits;
	/** Looks up an environment variable; NULL: the process's environment. */
	const char *(*getenv)(const char *name);
};

/**
 * Appends the rendered text to `out`; text without an action is appended as it is. Returns 0;
 * -EINVAL with "file:line:column: what was found, what was expected"; -E2BIG past a limit; -ENOMEM.
 * On failure `out` holds part of the text. Any thread.
 */
int template_render(slice text, const struct template_input *input, struct str *out,
		    struct weir_error *e);

/** Values for `data`. They live in `a`; NULL when that is full. A map takes the keys and values
 * that it is given by reference. */
struct template_value *template_text(struct arena *a, slice text);
struct template_value *template_map(struct arena *a);
bool template_map_put(struct arena *a, struct template_value *map, slice key,
		      const struct template_value *value);

/** Traefik's `normalize`: runs of anything but letters and digits become one `-`, none at the ends.
 */
void template_normalize(slice text, struct str *out);

#endif
