/*
 * The tree of a rule: what the parser gives, what the compiler and the index of routers walk.
 */
#ifndef PROXY_RULE_TREE_H
#define PROXY_RULE_TREE_H

#include "proxy/rule.h"

enum rule_kind { RULE_AND, RULE_OR, RULE_MATCHER };

/** Negations stand only at matchers: the parser moves them there by De Morgan's rules, as Traefik
 * does. */
struct rule_node {
	enum rule_kind kind;
	bool negated;
	unsigned matcher; /* index into the names given to the parser */
	const slice *values;
	size_t value_count;
	struct rule_node *left; /* of RULE_AND and RULE_OR */
	struct rule_node *right;
};

/**
 * Parses `text`, whose calls may have the `count` given names in four spellings: as given, lower,
 * upper, and lower with the first letter upper. Nodes live in `arena` and borrow from it only.
 * Returns 0; -EINVAL with the reason (Go's or Traefik's text), -E2BIG, -ENOMEM.
 */
int rule_parse(slice text, const slice *names, size_t count, const struct rule_limits *limits,
	       struct arena *arena, const struct rule_node **root, struct weir_error *e);

/** The word that Traefik's messages use for a node: its matcher's name, "and" or "or". */
slice rule_node_name(const struct rule_node *node, const slice *names);

#endif
