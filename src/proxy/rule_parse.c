#include "proxy/rule_tree.h"

#include <errno.h>
#include <stdio.h>

#include "core/base.h"
#include "proxy/rule_token.h"

/* The subset of Go's expression nodes that can be told apart in a message. */
#define NODES(X) \
	X(LITERAL, "*ast.BasicLit") \
	X(NAME, "*ast.Ident") \
	X(SELECTOR, "*ast.SelectorExpr") \
	X(INDEX, "*ast.IndexExpr") \
	X(CALL, "*ast.CallExpr") \
	X(PAREN, "*ast.ParenExpr") \
	X(UNARY, "*ast.UnaryExpr") \
	X(STAR, "*ast.StarExpr") \
	X(BINARY, "*ast.BinaryExpr")

enum expression_kind {
#define X(name, go) EXPRESSION_##name,
	NODES(X)
#undef X
};

static const char *const go_types[] = {
#define X(name, go) go,
	NODES(X)
#undef X
};

struct expression {
	enum expression_kind kind;
	struct rule_token token; /* the literal, name or operator; of a selector its last name */
	struct expression *left; /* operand, called function, or what a selector selects from */
	struct expression *right;
	struct expression *arguments;
	struct expression *next; /* in a list of arguments */
};

struct parser {
	struct rule_lexer lexer;
	struct rule_token token;
	struct arena *arena;
	const slice *names;
	size_t name_count;
	unsigned depth;
	unsigned depth_max;
	unsigned matchers; /* calls and binary operators, so that the tree's depth is bounded too */
	unsigned matchers_max;
	int code; /* the first failure that is not one of syntax */
	struct weir_error *error;
};

/* What Go's reflect calls the values that a rule can have. */
enum value_kind { VALUE_TREE, VALUE_STRING, VALUE_INT, VALUE_FLOAT };

static const char *const value_types[] = {"rules.TreeBuilder", "string", "int", "float64"};

struct value {
	enum value_kind kind;
	slice string;
	struct rule_node *tree;
};

static bool stopped(const struct parser *p)
{
	return p->code < 0 || p->lexer.failed;
}

static void advance(struct parser *p)
{
	p->token = rule_lexer_next(&p->lexer);
}

static bool is_literal(enum rule_token_kind kind)
{
	return kind >= RULE_TOKEN_NAME && kind <= RULE_TOKEN_STRING;
}

static void fail_expected(struct parser *p, const char *what)
{
	const struct rule_token *t = &p->token;

	if (stopped(p))
		return; /* the lexer has found a fault in this token */
	if (t->kind == RULE_TOKEN_NEWLINE)
		rule_lexer_fail(&p->lexer, t->at, "expected %s, found newline", what);
	else if (is_literal(t->kind))
		rule_lexer_fail(&p->lexer, t->at, "expected %s, found %.*s", what,
				SLICE_ARG(t->text));
	else if (t->kind == RULE_TOKEN_KEYWORD)
		rule_lexer_fail(&p->lexer, t->at, "expected %s, found '%.*s'", what,
				SLICE_ARG(t->text));
	else
		rule_lexer_fail(&p->lexer, t->at, "expected %s, found '%s'", what,
				rule_token_spelling(t->kind));
}

static void expect(struct parser *p, enum rule_token_kind kind)
{
	char what[16];

	if (p->token.kind != kind) {
		(void)snprintf(what, sizeof what, "'%s'", rule_token_spelling(kind));
		fail_expected(p, what);
	}
	advance(p);
}

static struct expression *new_expression(struct parser *p, enum expression_kind kind,
					 struct expression *left)
{
	struct expression *x = ARENA_NEW(p->arena, struct expression);

	if (x == NULL) {
		p->code = error_set(p->error, -ENOMEM, "out of memory");
		return NULL;
	}
	if (kind == EXPRESSION_CALL || kind == EXPRESSION_BINARY)
		p->matchers++;
	if (p->matchers / 2 > p->matchers_max) {
		p->code = error_set(p->error, -E2BIG, "rule has more than %u matchers",
				    p->matchers_max);
		return NULL;
	}
	x->kind = kind;
	x->token = p->token;
	x->left = left;
	return x;
}

static struct expression *parse_binary(struct parser *p, unsigned precedence);

static void missing_comma(struct parser *p)
{
	bool newline = p->token.kind == RULE_TOKEN_NEWLINE;

	if (stopped(p))
		return;
	rule_lexer_fail(&p->lexer, p->token.at, "missing ','%s in argument list",
			newline ? " before newline" : "");
}

static struct expression *parse_call(struct parser *p, struct expression *function)
{
	struct expression *call = new_expression(p, EXPRESSION_CALL, function), **end;
	bool ellipsis = false;

	if (call == NULL)
		return NULL;
	end = &call->arguments;
	advance(p);
	while (!stopped(p) && p->token.kind != RULE_TOKEN_CLOSE &&
	       p->token.kind != RULE_TOKEN_END && !ellipsis) {
		*end = parse_binary(p, 1);
		if (stopped(p))
			return NULL;
		end = &(*end)->next;
		if (p->token.kind == RULE_TOKEN_ELLIPSIS) {
			ellipsis = true;
			advance(p);
		}
		if (p->token.kind == RULE_TOKEN_CLOSE)
			break;
		if (p->token.kind != RULE_TOKEN_COMMA)
			missing_comma(p);
		advance(p);
	}
	if (p->token.kind == RULE_TOKEN_NEWLINE)
		missing_comma(p);
	expect(p, RULE_TOKEN_CLOSE);
	return stopped(p) ? NULL : call;
}

static struct expression *parse_operand(struct parser *p)
{
	struct expression *x;

	switch (p->token.kind) {
	case RULE_TOKEN_NAME:
		x = new_expression(p, EXPRESSION_NAME, NULL);
		advance(p);
		return x;
	case RULE_TOKEN_INT:
	case RULE_TOKEN_FLOAT:
	case RULE_TOKEN_IMAG:
	case RULE_TOKEN_CHAR:
	case RULE_TOKEN_STRING:
		x = new_expression(p, EXPRESSION_LITERAL, NULL);
		advance(p);
		return x;
	case RULE_TOKEN_OPEN:
		x = new_expression(p, EXPRESSION_PAREN, NULL);
		advance(p);
		if (stopped(p))
			return NULL;
		x->left = parse_binary(p, 1);
		expect(p, RULE_TOKEN_CLOSE);
		return x;
	default:
		fail_expected(p, "operand");
		return NULL;
	}
}

static struct expression *parse_selector(struct parser *p, struct expression *x)
{
	advance(p);
	if (p->token.kind != RULE_TOKEN_NAME) {
		fail_expected(p, "selector or type assertion");
		return NULL;
	}
	x = new_expression(p, EXPRESSION_SELECTOR, x);
	advance(p);
	return x;
}

static struct expression *parse_index(struct parser *p, struct expression *x)
{
	x = new_expression(p, EXPRESSION_INDEX, x);
	advance(p);
	if (stopped(p))
		return NULL;
	x->right = parse_binary(p, 1);
	expect(p, RULE_TOKEN_CLOSE_INDEX);
	return x;
}

static struct expression *parse_primary(struct parser *p)
{
	struct expression *x = parse_operand(p);

	while (!stopped(p)) {
		if (p->token.kind == RULE_TOKEN_DOT)
			x = parse_selector(p, x);
		else if (p->token.kind == RULE_TOKEN_OPEN_INDEX)
			x = parse_index(p, x);
		else if (p->token.kind == RULE_TOKEN_OPEN)
			x = parse_call(p, x);
		else
			return x;
	}
	return NULL;
}

static bool is_unary(enum rule_token_kind kind)
{
	return kind == RULE_TOKEN_NOT || kind == RULE_TOKEN_PLUS || kind == RULE_TOKEN_MINUS ||
	       kind == RULE_TOKEN_XOR || kind == RULE_TOKEN_AND || kind == RULE_TOKEN_TILDE ||
	       kind == RULE_TOKEN_ARROW;
}

static struct expression *parse_unary(struct parser *p)
{
	bool star = p->token.kind == RULE_TOKEN_STAR;
	struct expression *x;

	if (!star && !is_unary(p->token.kind))
		return parse_primary(p);
	x = new_expression(p, star ? EXPRESSION_STAR : EXPRESSION_UNARY, NULL);
	advance(p);
	if (stopped(p))
		return NULL;
	if (++p->depth > p->depth_max) {
		p->code = error_set(p->error, -E2BIG, "rule is nested deeper than %u levels",
				    p->depth_max);
		return NULL;
	}
	x->left = parse_unary(p);
	p->depth--;
	return x;
}

/* Go reads "=" as a misspelt "==". */
static enum rule_token_kind operator_of(const struct parser *p)
{
	return p->token.kind == RULE_TOKEN_ASSIGN ? RULE_TOKEN_EQUAL : p->token.kind;
}

static struct expression *parse_binary(struct parser *p, unsigned precedence)
{
	struct expression *x;

	if (stopped(p))
		return NULL;
	if (++p->depth > p->depth_max) {
		p->code = error_set(p->error, -E2BIG, "rule is nested deeper than %u levels",
				    p->depth_max);
		return NULL;
	}
	x = parse_unary(p);
	while (!stopped(p)) {
		enum rule_token_kind op = operator_of(p);
		unsigned binds = rule_token_precedence(op);

		if (binds < precedence || binds == 0)
			break;
		x = new_expression(p, EXPRESSION_BINARY, x);
		expect(p, op);
		if (stopped(p))
			return NULL;
		x->right = parse_binary(p, binds + 1);
	}
	p->depth--;
	return stopped(p) ? NULL : x;
}

static int fail(struct parser *p, const char *format, const char *what)
{
	return p->code = error_set(p->error, -EINVAL, format, what);
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

static int evaluate_literal(struct parser *p, const struct rule_token *t, struct value *v)
{
	uint64_t number;

	switch (t->kind) {
	case RULE_TOKEN_STRING:
		v->kind = VALUE_STRING;
		if (rule_unquote(t->text, p->arena, &v->string) < 0)
			return p->code = error_set(p->error, -ENOMEM, "out of memory");
		return 0;
	case RULE_TOKEN_INT:
		v->kind = VALUE_INT;
		if (slice_to_u64(t->text, &number) && number <= INT64_MAX)
			return 0;
		return p->code = error_set(p->error, -EINVAL,
					   "failed to parse argument: %.*s, error: strconv.Atoi: "
					   "parsing \"%.*s\": %s",
					   SLICE_ARG(t->text), SLICE_ARG(t->text),
					   t->text.p[0] != '0' ? "value out of range"
							       : "invalid syntax");
	case RULE_TOKEN_FLOAT:
		v->kind = VALUE_FLOAT;
		return 0;
	default:
		return fail(p, "unsupported function argument type: '%s'",
			    rule_token_spelling(t->kind));
	}
}

static int fail_undefined(struct parser *p, const struct expression *x)
{
	slice names[2];

	if (x->kind == EXPRESSION_NAME)
		return p->code = error_set(p->error, -EINVAL, "%.*s is not defined",
					   SLICE_ARG(x->token.text));
	names[1] = x->token.text;
	for (x = x->left; x->kind == EXPRESSION_SELECTOR; x = x->left)
		names[1] = slice_of(x->token.text.p,
				    (size_t)(names[1].p + names[1].n - x->token.text.p));
	if (x->kind != EXPRESSION_NAME)
		return fail(p, "unsupported selector type: %s", go_types[x->kind]);
	names[0] = x->token.text;
	return p->code = error_set(p->error, -EINVAL, "%.*s.%.*s is not defined",
				   SLICE_ARG(names[0]), SLICE_ARG(names[1]));
}

/* The function's name as Traefik sees it; may be `a.b`, which no matcher is called. */
static int find_function(struct parser *p, const struct expression *x, unsigned *matcher)
{
	if (x->kind == EXPRESSION_SELECTOR) {
		if (x->left->kind != EXPRESSION_NAME)
			return fail(p, "expected selector identifier, got: %s",
				    go_types[x->left->kind]);
		return p->code =
			       error_set(p->error, -EINVAL, "unsupported function: %.*s.%.*s",
					 SLICE_ARG(x->left->token.text), SLICE_ARG(x->token.text));
	}
	if (x->kind != EXPRESSION_NAME)
		return fail(p, "expected identifier, got: %s", go_types[x->kind]);
	for (size_t i = 0; i < p->name_count; i++) {
		if (spells(p->names[i], x->token.text)) {
			*matcher = (unsigned)i;
			return 0;
		}
	}
	return p->code = error_set(p->error, -EINVAL, "unsupported function: %.*s",
				   SLICE_ARG(x->token.text));
}

static int evaluate_call(struct parser *p, const struct expression *x, struct value *v);

static int evaluate_plain(struct parser *p, const struct expression *x, struct value *v)
{
	switch (x->kind) {
	case EXPRESSION_LITERAL:
		return evaluate_literal(p, &x->token, v);
	case EXPRESSION_NAME:
	case EXPRESSION_SELECTOR:
		return fail_undefined(p, x);
	case EXPRESSION_INDEX:
		return fail(p, "%s are not supported", "properties");
	case EXPRESSION_CALL:
		return evaluate_call(p, x, v);
	default:
		return fail(p, "%s is not supported", go_types[x->kind]);
	}
}

static int evaluate_call(struct parser *p, const struct expression *x, struct value *v)
{
	struct rule_node *node = ARENA_NEW(p->arena, struct rule_node);
	size_t count = 0, n = 0;
	unsigned matcher;
	slice *values;
	const char *wrong = NULL;

	if (find_function(p, x->left, &matcher) < 0)
		return p->code;
	for (const struct expression *a = x->arguments; a != NULL; a = a->next)
		count++;
	values = ARENA_ARRAY(p->arena, slice, count + 1);
	if (node == NULL || values == NULL)
		return p->code = error_set(p->error, -ENOMEM, "out of memory");
	for (const struct expression *a = x->arguments; a != NULL; a = a->next) {
		struct value argument = {0};

		if (evaluate_plain(p, a, &argument) < 0)
			return p->code;
		if (argument.kind != VALUE_STRING && wrong == NULL)
			wrong = value_types[argument.kind];
		values[n++] = argument.string;
	}
	if (wrong != NULL)
		return fail(p, "reflect: cannot use %s as type string in Call", wrong);
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

static int need_tree(struct parser *p, const struct value *v)
{
	if (v->kind != VALUE_TREE)
		return fail(p, "reflect: Call using %s as type rules.TreeBuilder",
			    value_types[v->kind]);
	return 0;
}

static int evaluate(struct parser *p, const struct expression *x, struct value *v);

static int evaluate_binary(struct parser *p, const struct expression *x, struct value *v)
{
	struct value left = {0}, right = {0};
	struct rule_node *node = ARENA_NEW(p->arena, struct rule_node);

	if (node == NULL)
		return p->code = error_set(p->error, -ENOMEM, "out of memory");
	if (evaluate(p, x->left, &left) < 0 || evaluate(p, x->right, &right) < 0)
		return p->code;
	if (x->token.kind != RULE_TOKEN_AND_AND && x->token.kind != RULE_TOKEN_OR_OR)
		return fail(p, "%s is not supported", rule_token_spelling(x->token.kind));
	if (need_tree(p, &left) < 0 || need_tree(p, &right) < 0)
		return p->code;
	node->kind = x->token.kind == RULE_TOKEN_AND_AND ? RULE_AND : RULE_OR;
	node->left = left.tree;
	node->right = right.tree;
	*v = (struct value){.kind = VALUE_TREE, .tree = node};
	return 0;
}

static int evaluate(struct parser *p, const struct expression *x, struct value *v)
{
	switch (x->kind) {
	case EXPRESSION_BINARY:
		return evaluate_binary(p, x, v);
	case EXPRESSION_PAREN:
		return evaluate(p, x->left, v);
	case EXPRESSION_UNARY:
		if (x->token.kind != RULE_TOKEN_NOT)
			return fail(p, "%s is not supported", rule_token_spelling(x->token.kind));
		if (evaluate(p, x->left, v) < 0 || need_tree(p, v) < 0)
			return p->code;
		invert(v->tree);
		return 0;
	default:
		return evaluate_plain(p, x, v);
	}
}

static int fail_syntax(struct parser *p)
{
	unsigned line, column;

	if (p->code < 0)
		return p->code;
	rule_position(p->lexer.text, p->lexer.failed_at, &line, &column);
	return error_set(p->error, -EINVAL, "%u:%u: %s", line, column, p->lexer.message);
}

int rule_parse(slice text, const slice *names, size_t count, const struct rule_limits *limits,
	       struct arena *arena, const struct rule_node **root, struct weir_error *e)
{
	struct parser p = {.arena = arena, .names = names, .name_count = count, .error = e};
	struct value v = {0};
	struct expression *x;

	p.depth_max = limits->depth;
	p.matchers_max = limits->matchers;
	rule_lexer_init(&p.lexer, text);
	advance(&p);
	x = parse_binary(&p, 1);
	if (!stopped(&p) && p.token.kind == RULE_TOKEN_NEWLINE)
		advance(&p);
	if (!stopped(&p))
		expect(&p, RULE_TOKEN_END);
	if (stopped(&p))
		return fail_syntax(&p);
	if (evaluate(&p, x, &v) < 0)
		return p.code;
	*root = v.kind == VALUE_TREE ? v.tree : NULL;
	return 0;
}

slice rule_node_name(const struct rule_node *node, const slice *names)
{
	if (node->kind == RULE_AND)
		return SLICE("and");
	return node->kind == RULE_OR ? SLICE("or") : names[node->matcher];
}
