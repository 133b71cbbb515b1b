/*
 * The parsers behind `tree_parse`: each fills in an empty root map.
 */
#ifndef CONFIG_PARSE_H
#define CONFIG_PARSE_H

#ifdef __cplusplus
extern "C" {
#endif

#include <stddef.h>
#include <stdint.h>

struct tree;
struct tree_node;
struct weir_error;

/** `source` lives as long as the tree. Return as `tree_parse`. */
int parse_yaml(struct tree *t, const char *text, size_t n, const char *source,
	       struct weir_error *error);
int parse_toml(struct tree *t, const char *text, size_t n, const char *source,
	       struct weir_error *error);

/** What the TOML parser hands over: kinds and types as in tree.h, numbers already in text. */
struct parse_value {
	int kind;
	int type;
	const char *text;
	size_t text_n;
	double number;
	uint32_t line, column;
	const char *key;
	size_t key_n;
	uint32_t key_line, key_column;
};

/** Adds a value below `parent` (NULL: the root). NULL on failure, with the error set. */
struct tree_node *parse_add(struct tree *t, struct tree_node *parent,
			    const struct parse_value *value, const char *source,
			    struct weir_error *error);

/** The text that Traefik makes of a float: six decimals, unless all are zero. Returns its length.
 */
size_t parse_float_text(double value, char *out, size_t size);

/** Sets an error of the form "source:line:column: text". Returns `code`. */
int parse_error(struct weir_error *error, int code, const char *source, uint32_t line,
		uint32_t column, const char *text, size_t n);

#ifdef __cplusplus
}
#endif

#endif
