/*
 * Compiled rules from inside: private to proxy/rule*.c and proxy/router.c.
 */
#ifndef PROXY_RULE_MATCH_H
#define PROXY_RULE_MATCH_H

#include "core/regex.h"
#include "core/registry.h"
#include "proxy/rule_tree.h"

/* What one test of a compiled rule compares. The matchers of both syntaxes come down to these. */
enum rule_test {
	RULE_TEST_ALWAYS,
	RULE_TEST_CLIENT_IP,
	RULE_TEST_METHOD,
	RULE_TEST_HOST,
	RULE_TEST_HOST_EXACT, /* no wildcards */
	RULE_TEST_HOST_REGEXP,
	RULE_TEST_PATH,
	RULE_TEST_PATH_PREFIX,
	RULE_TEST_PATH_REGEXP,
	RULE_TEST_HEADER,
	RULE_TEST_HEADER_REGEXP,
	RULE_TEST_QUERY,
	RULE_TEST_QUERY_REGEXP,
	RULE_TEST_QUERY_FIRST, /* the expression on the first value only */
};

#define RULE_YES UINT32_MAX
#define RULE_NO (UINT32_MAX - 1)

/** One test; the answer says which one comes next, or RULE_YES or RULE_NO. */
struct rule_leaf {
	enum rule_test test;
	enum field_id field;
	uint32_t if_true;
	uint32_t if_false;
	slice name;  /* of a header or query parameter */
	slice value; /* host, path, method ... */
	struct regex *regex;
	struct address_set *addresses;
};

/** The compiled tree: leaves in order of evaluation, which only ever moves forward. */
struct rule {
	uint32_t magic;
	struct arena arena;
	slice text;
	enum rule_syntax syntax;
	const struct rule_node *root;
	struct rule_leaf *leaves;
	uint32_t leaf_count;
	uint32_t leaf_capacity;
	uint32_t label_count;
	int64_t regex_memory_bytes;
	struct registry_member member; /* its registry NULL: it has one owner */
};

#define RULE_MAGIC 0x72756c65u /* "rule" */

/** Where to go from a part of the tree: leaves, RULE_YES, RULE_NO or labels that are not placed
 * yet. */
struct rule_targets {
	uint32_t if_true;
	uint32_t if_false;
};

/** A new leaf at the end; NULL, with `e` filled in, when memory is short. */
struct rule_leaf *rule_add_leaf(struct rule *rule, enum rule_test test, struct rule_targets targets,
				struct weir_error *e);

/** A target for leaves that come later; `rule_place_label` makes it mean the next leaf for those
 * from `from` on. */
uint32_t rule_new_label(struct rule *rule);
void rule_place_label(struct rule *rule, uint32_t label, uint32_t from);

/** Compiles the leaf's expression. Returns 0 or a negative code. */
int rule_set_regex(const struct rule *rule, struct rule_leaf *leaf, slice pattern,
		   struct weir_error *e);

/** Compiles one matcher that is known to have arguments, none empty. Returns 0 or a negative code.
 */
int rule_compile_v3(struct rule *rule, const struct rule_node *node, struct rule_targets targets,
		    struct weir_error *e);
int rule_compile_v2(struct rule *rule, const struct rule_node *node, struct rule_targets targets,
		    struct weir_error *e);

/** The matchers of both syntaxes; indices are `rule_node.matcher`. */
extern const slice rule_names_v3[];
extern const size_t rule_names_v3_count;
extern const slice rule_names_v2[];
extern const size_t rule_names_v2_count;

/**
 * The values of which a request must have one for `rule` to match at all: exact hosts (lower case,
 * no trailing dot), `*.` patterns included, or prefixes of the routing path. Returns how many were
 * written, or 0 if nothing of the kind is required or there are more than `max`.
 */
size_t rule_required_hosts(const struct rule *rule, slice *hosts, size_t max);
size_t rule_required_prefixes(const struct rule *rule, slice *prefixes, size_t max);

/** A copy in the rule's arena with every byte changed; `p` is NULL when memory is short. */
slice rule_copy_case(struct rule *rule, slice s, char (*change)(char));

/** Puts `s` in double quotes with Go's escapes for what cannot be printed, cut to `to_bytes`. */
const char *rule_quote(slice s, char *to, size_t to_bytes);

#endif
