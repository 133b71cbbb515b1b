/*
 * Go expressions, parsed by Go's grammar and refused with Go's words: the common part of Traefik's
 * rules and of the conditions of its middlewares (vulcand/predicate). What functions and operators
 * mean is the caller's.
 */
#ifndef CORE_GO_EXPRESSION_H
#define CORE_GO_EXPRESSION_H

#include "core/go_token.h"

/* X(NAME, what Go calls it): those that can be told apart in a message. */
#define GO_NODES(X) \
	X(LITERAL, "*ast.BasicLit") \
	X(NAME, "*ast.Ident") \
	X(SELECTOR, "*ast.SelectorExpr") \
	X(INDEX, "*ast.IndexExpr") \
	X(CALL, "*ast.CallExpr") \
	X(PAREN, "*ast.ParenExpr") \
	X(UNARY, "*ast.UnaryExpr") \
	X(STAR, "*ast.StarExpr") \
	X(BINARY, "*ast.BinaryExpr")

enum go_node {
#define X(name, go) GO_NODE_##name,
	GO_NODES(X)
#undef X
};

/** A node of the tree, in the arena of its parse. */
struct go_expression {
	enum go_node kind;
	struct go_token token;      /* the literal, name or operator; of a selector its last name */
	struct go_expression *left; /* operand, called function, or what a selector selects from */
	struct go_expression *right;
	struct go_expression *arguments;
	struct go_expression *next; /* in a list of arguments */
};

struct go_limits {
	const char *what; /* "rule", for messages */
	unsigned depth;   /* nesting of parentheses and operators */
	unsigned calls;   /* and about as many binary operators */
	const char *calls_name;
};

enum go_value_kind { GO_STRING, GO_INT, GO_FLOAT };

/** The value of a literal. */
struct go_value {
	enum go_value_kind kind;
	slice string;
	int64_t number;
	double real;
};

/**
 * Parses `text`, which outlives the tree in `arena`. Returns 0; -EINVAL with "line:column: " and
 * the reason in Go's words; -E2BIG; -ENOMEM.
 */
int go_expression_parse(slice text, const struct go_limits *limits, struct arena *arena,
			const struct go_expression **root, struct weir_error *e);

/** What Go calls a node of that kind. */
const char *go_node_type(enum go_node kind);

/** The value of a literal's token. Returns 0; -EINVAL, -E2BIG or -ENOMEM with the reason. */
int go_literal(const struct go_token *t, struct arena *arena, struct go_value *v,
	       struct weir_error *e);

/** The name of a called function, `x->left` of the call. Returns 0 or -EINVAL with the reason. */
int go_function_name(const struct go_expression *x, slice *name, struct weir_error *e);

/** Refuses an expression where only a literal or a call makes sense: -EINVAL with the reason. */
int go_unsupported(const struct go_expression *x, struct weir_error *e);

#endif
