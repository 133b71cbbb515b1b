#include "proxy/rule_tree.h"

#include <errno.h>

#include "core/base.h"
#include "core/go_expression.h"

struct builder {
	struct arena *arena;
	const slice *names;
	size_t name_count;
	struct weir_error *error;
};

/* What Go's reflect calls the values that a rule can have. */
enum value_kind {
	VALUE_STRING = GO_STRING,
	VALUE_INT = GO_INT,
	VALUE_FLOAT = GO_FLOAT,
	VALUE_TREE
};

static const char *const value_types[] = {"string", "int", "float64", "rules.TreeBuilder"};

struct value {
	enum value_kind kind;
	slice string;
	struct rule_node *tree;
};

static int fail(struct builder *b, const char *format, const char *what)
{
	return error_set(b->error, -EINVAL, format, what);
}

static bool spells(slice name, slice call)
{
	bool lower = true, upper = true, title = true;

	if (slice_equal(name, call))
		return true;
	if (name.n != call.n)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		lower = lower && call.p[i] == ascii_lower(name.p[i]);
		upper = upper && call.p[i] == ascii_upper(name.p[i]);
		title = title &&
			call.p[i] == (i == 0 ? ascii_upper(name.p[i]) : ascii_lower(name.p[i]));
	}
	return lower || upper || title;
}

static int evaluate_literal(struct builder *b, const struct go_token *t, struct value *v)
{
	struct go_value literal = {0};
	int r = go_literal(t, b->arena, &literal, b->error);

	if (r == 0)
		*v = (struct value){.kind = (enum value_kind)literal.kind,
				    .string = literal.string};
	return r;
}

static int find_function(struct builder *b, const struct go_expression *x, unsigned *matcher)
{
	slice name;
	int r = go_function_name(x, &name, b->error);

	if (r < 0)
		return r;
	for (size_t i = 0; i < b->name_count; i++) {
		if (spells(b->names[i], name)) {
			*matcher = (unsigned)i;
			return 0;
		}
	}
	return error_set(b->error, -EINVAL, "unsupported function: %.*s", SLICE_ARG(name));
}

static int evaluate_call(struct builder *b, const struct go_expression *x, struct value *v);

static int evaluate_plain(struct builder *b, const struct go_expression *x, struct value *v)
{
	if (x->kind == GO_NODE_LITERAL)
		return evaluate_literal(b, &x->token, v);
	if (x->kind == GO_NODE_CALL)
		return evaluate_call(b, x, v);
	return go_unsupported(x, b->error);
}

static int evaluate_call(struct builder *b, const struct go_expression *x, struct value *v)
{
	struct rule_node *node = ARENA_NEW(b->arena, struct rule_node);
	size_t count = 0, n = 0;
	unsigned matcher;
	slice *values;
	const char *wrong = NULL;
	int r = find_function(b, x->left, &matcher);

	if (r < 0)
		return r;
	for (const struct go_expression *a = x->arguments; a != NULL; a = a->next)
		count++;
	values = ARENA_ARRAY(b->arena, slice, count + 1);
	if (node == NULL || values == NULL)
		return error_set(b->error, -ENOMEM, "out of memory");
	for (const struct go_expression *a = x->arguments; a != NULL; a = a->next) {
		struct value argument = {0};

		r = evaluate_plain(b, a, &argument);
		if (r < 0)
			return r;
		if (argument.kind != VALUE_STRING && wrong == NULL)
			wrong = value_types[argument.kind];
		values[n++] = argument.string;
	}
	if (wrong != NULL)
		return fail(b, "reflect: cannot use %s as type string in Call", wrong);
	node->kind = RULE_MATCHER;
	node->matcher = matcher;
	node->values = values;
	node->value_count = count;
	*v = (struct value){.kind = VALUE_TREE, .tree = node};
	return 0;
}

static void invert(struct rule_node *node)
{
	if (node->kind == RULE_MATCHER) {
		node->negated = !node->negated;
		return;
	}
	node->kind = node->kind == RULE_AND ? RULE_OR : RULE_AND;
	invert(node->left);
	invert(node->right);
}

static int need_tree(struct builder *b, const struct value *v)
{
	if (v->kind != VALUE_TREE)
		return fail(b, "reflect: Call using %s as type rules.TreeBuilder",
			    value_types[v->kind]);
	return 0;
}

static int evaluate(struct builder *b, const struct go_expression *x, struct value *v);

static int evaluate_binary(struct builder *b, const struct go_expression *x, struct value *v)
{
	struct value left = {0}, right = {0};
	struct rule_node *node = ARENA_NEW(b->arena, struct rule_node);

	int r;

	if (node == NULL)
		return error_set(b->error, -ENOMEM, "out of memory");
	r = evaluate(b, x->left, &left);
	if (r == 0)
		r = evaluate(b, x->right, &right);
	if (r < 0)
		return r;
	if (x->token.kind != GO_TOKEN_AND_AND && x->token.kind != GO_TOKEN_OR_OR)
		return fail(b, "%s is not supported", go_token_spelling(x->token.kind));
	r = need_tree(b, &left);
	if (r == 0)
		r = need_tree(b, &right);
	if (r < 0)
		return r;
	node->kind = x->token.kind == GO_TOKEN_AND_AND ? RULE_AND : RULE_OR;
	node->left = left.tree;
	node->right = right.tree;
	*v = (struct value){.kind = VALUE_TREE, .tree = node};
	return 0;
}

static int evaluate_not(struct builder *b, const struct go_expression *x, struct value *v)
{
	int r;

	if (x->token.kind != GO_TOKEN_NOT)
		return fail(b, "%s is not supported", go_token_spelling(x->token.kind));
	r = evaluate(b, x->left, v);
	if (r == 0)
		r = need_tree(b, v);
	if (r == 0)
		invert(v->tree);
	return r;
}

static int evaluate(struct builder *b, const struct go_expression *x, struct value *v)
{
	switch (x->kind) {
	case GO_NODE_BINARY:
		return evaluate_binary(b, x, v);
	case GO_NODE_PAREN:
		return evaluate(b, x->left, v);
	case GO_NODE_UNARY:
		return evaluate_not(b, x, v);
	default:
		return evaluate_plain(b, x, v);
	}
}

int rule_parse(slice text, const slice *names, size_t count, const struct rule_limits *limits,
	       struct arena *arena, const struct rule_node **root, struct weir_error *e)
{
	const struct go_limits bounds = {.what = "rule",
					 .depth = limits->depth,
					 .calls = limits->matchers,
					 .calls_name = "matchers"};
	struct builder b = {.arena = arena, .names = names, .name_count = count, .error = e};
	const struct go_expression *x;
	struct value v = {0};
	int r = go_expression_parse(text, &bounds, arena, &x, e);

	if (r == 0)
		r = evaluate(&b, x, &v);
	if (r < 0)
		return r;
	*root = v.kind == VALUE_TREE ? v.tree : NULL;
	return 0;
}

slice rule_node_name(const struct rule_node *node, const slice *names)
{
	if (node->kind == RULE_AND)
		return SLICE("and");
	return node->kind == RULE_OR ? SLICE("or") : names[node->matcher];
}
