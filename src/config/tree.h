/*
 * Configuration before it has types: one tree of maps, lists and scalars, whatever it was written
 * in. Every node knows where it stands, so that whoever refuses it later can say so.
 */
#ifndef CONFIG_TREE_H
#define CONFIG_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/error.h"
#include "core/slice.h"
#include "core/str.h"

/** Where something was written. `line` and `column` count from 1; line 0: `source` is a flag or a
 * variable. */
struct tree_place {
	const char *source;
	uint32_t line;
	uint32_t column;
};

enum tree_kind { TREE_NULL, TREE_SCALAR, TREE_LIST, TREE_MAP };

/** What a scalar looked like to its format; flags, variables and labels know only strings. */
enum tree_type { TREE_STRING, TREE_BOOL, TREE_INT, TREE_FLOAT, TREE_TIME };

/**
 * Immutable once loaded. `text` is what Traefik's decoder makes of the value: "8" for YAML's 010,
 * "true" for True, "1.500000" for 1.5; terminated. A map that came from flags or labels may have a
 * `text` too (`--api=false --api.debug`).
 */
struct tree_node {
	enum tree_kind kind;
	enum tree_type type;
	uint32_t depth; /* of the root: 0 */
	uint32_t count; /* of children */
	uint32_t mark;  /* the parser's, while it works */
	slice key;      /* its name in its map, terminated; empty in a list and for the root */
	slice text;
	double number; /* TREE_INT and TREE_FLOAT: the value, unrounded where a double can hold it
			*/
	struct tree_place key_place;
	struct tree_place place;
	struct tree_node *parent;
	struct tree_node *first;
	struct tree_node *last;
	struct tree_node *next;
};

struct tree_limits {
	size_t file_bytes;
	uint32_t nodes; /* copies that aliases make included */
	uint32_t depth;
};

/** 16 MiB, 1,000,000 nodes, 64 levels. */
extern const struct tree_limits tree_default_limits;

/** Everything lives in `arena`, which the caller owns; `root` is a map, empty at first. */
struct tree {
	struct arena *arena;
	struct tree_limits limits;
	struct tree_node *root;
	uint32_t nodes;
};

enum tree_format { TREE_YAML, TREE_TOML, TREE_JSON, TREE_UNKNOWN };

#define TREE_FOR_EACH(child, node) \
	for (struct tree_node *child = (node)->first; child != NULL; child = child->next)

/** `limits` may be NULL for the default ones. Returns 0 or -ENOMEM. */
int tree_init(struct tree *t, struct arena *arena, const struct tree_limits *limits);

/** By the extension, in any case: .yaml, .yml, .toml, .json. */
enum tree_format tree_format_of(slice path);

/**
 * Parses `text` into `t->root`. JSON goes through the YAML parser, as in Traefik. Duplicate keys,
 * non-scalar keys, unknown tags, more than one document and whatever passes the limits are errors.
 * `source` (copied) names the text in errors: "traefik.yml:3:7: found ..., expected ...". Returns 0
 * or a negative errno value.
 */
int tree_parse(struct tree *t, slice text, enum tree_format format, const char *source,
	       struct weir_error *error);

/** Reads the file and parses it by its extension. Blocks. Returns as `tree_parse`, or open's and
 * read's errors. */
int tree_load(struct tree *t, const char *path, struct weir_error *error);

/** Reads a regular file into the arena, at most `limit` bytes. Returns as `tree_load`. */
int tree_read_file(struct arena *arena, const char *path, size_t limit, slice *text,
		   struct weir_error *error);

/**
 * Adds one flag, label or variable: `path` is "entryPoints.web.http.tls.domains[0].main" without
 * any prefix. Names that differ only in case are the same node, as in Traefik; elements are kept in
 * the order of their numbers. An existing value is replaced. Returns 0, -EINVAL for a malformed
 * path, -E2BIG past a limit, -ENOMEM.
 */
int tree_put(struct tree *t, slice path, slice value, struct tree_place place,
	     struct weir_error *error);

/** The scalar at that path that `tree_put` wrote, or NULL. */
struct tree_node *tree_get(const struct tree *t, slice path);

/** Builders for parsers: a new last child. NULL with `error` filled in past a limit, or when memory
 * is short. */
struct tree_node *tree_add(struct tree *t, struct tree_node *parent, slice key,
			   struct tree_place place, struct weir_error *error);

/** The contents of `from`, copied, become those of `to`, which keeps its key. Returns 0 or a
 * negative errno value. */
int tree_copy(struct tree *t, struct tree_node *to, const struct tree_node *from,
	      struct weir_error *error);

/** Copies the children of `from` over those of `to`: maps are merged by name (any case), everything
 * else is replaced. */
int tree_overlay(struct tree *t, struct tree_node *to, const struct tree_node *from,
		 struct weir_error *error);

/** The child of that name in any case, or NULL; `node` may be NULL. */
struct tree_node *tree_child(const struct tree_node *node, slice name);

/** The child of exactly that name, or NULL. */
struct tree_node *tree_child_exact(const struct tree_node *node, slice name);

/** Appends "entryPoints.web.http.tls.domains[0].main". */
void tree_add_path(struct str *out, const struct tree_node *node);

/** "a string", "a list", "an object", "nothing" ... for messages. */
const char *tree_describe(const struct tree_node *node);

/** Appends "traefik.yml:3:7" or just the source. */
void tree_add_place(struct str *out, struct tree_place place);

/** Appends the node as block YAML, indented by `indent` levels of two spaces; every line ends in a
 * newline. */
void tree_add_yaml(struct str *out, const struct tree_node *node, unsigned indent);

/** Appends "key:", indented. */
void tree_add_yaml_key(struct str *out, slice key, unsigned indent);

/** Appends one YAML scalar, quoted if it must be to come back as the string that it is. */
void tree_add_yaml_string(struct str *out, slice text);

/** Appends a string in quotes, with Go's escapes; bytes that are not UTF-8 become U+FFFD. */
void tree_add_json_string(struct str *out, slice s);

/**
 * Appends JSON or YAML that the functions here have made, with the user information of URLs hidden
 * in each string in quotes (`url_add_hidden`), before it is escaped. `add` writes strings of that
 * format: `tree_add_json_string` or `tree_add_yaml_string`.
 */
void tree_add_hidden(struct str *out, slice text, void (*add)(struct str *out, slice s));

/** Appends a number as Go's encoding/json does. */
void tree_add_json_number(struct str *out, double value);

/**
 * Appends a free-form node as JSON, with sorted keys and Go's escapes. `as_traefik`: the types that
 * Traefik's file provider gives to plugins: scalars become strings, lists of one kind of scalar
 * stay typed, empty maps and lists become "", nulls vanish; the node itself is always an object.
 * Otherwise the types are those of the file.
 */
void tree_add_json(struct str *out, const struct tree_node *node, bool as_traefik);

#endif
