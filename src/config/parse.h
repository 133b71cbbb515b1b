/*
 * The parsers behind `tree_parse`, and what they share.
 */
#ifndef CONFIG_PARSE_H
#define CONFIG_PARSE_H

#include "config/tree.h"

/** Fill in an empty root map. `source` lives as long as the tree. Return as `tree_parse`. */
int parse_yaml(struct tree *t, const char *text, size_t n, const char *source,
	       struct weir_error *error);
int parse_toml(struct tree *t, const char *text, size_t n, const char *source,
	       struct weir_error *error);

/** The text that Traefik makes of a float: six decimals, unless all are zero. Returns its length.
 */
size_t parse_float_text(double value, char *out, size_t size);

/** The length of the byte order mark that the text begins with, or 0. */
size_t parse_skip_mark(slice text);

/** Sets an error of the form "source:line:column: text". Returns `code`. */
int parse_error(struct weir_error *error, int code, const char *source, uint32_t line,
		uint32_t column, const char *text, size_t n);

#endif
