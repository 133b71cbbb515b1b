#include "core/go_expression.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base.h"

static const char *const go_types[] = {
#define X(name, go) go,
	GO_NODES(X)
#undef X
};

struct parser {
	struct go_lexer lexer;
	struct go_token token;
	struct arena *arena;
	const struct go_limits *limits;
	unsigned depth;
	unsigned operations; /* calls and binary operators, so that the tree's depth is bounded too
			      */
	int code;            /* the first failure that is not one of syntax */
	struct weir_error *error;
};

const char *go_node_type(enum go_node kind)
{
	return go_types[kind];
}

static bool stopped(const struct parser *p)
{
	return p->code < 0 || p->lexer.failed;
}

static void advance(struct parser *p)
{
	p->token = go_lexer_next(&p->lexer);
}

static bool is_literal(enum go_token_kind kind)
{
	return kind >= GO_TOKEN_NAME && kind <= GO_TOKEN_STRING;
}

static void fail_expected(struct parser *p, const char *what)
{
	const struct go_token *t = &p->token;

	if (stopped(p))
		return; /* the lexer has found a fault in this token */
	if (t->kind == GO_TOKEN_NEWLINE)
		go_lexer_fail(&p->lexer, t->at, "expected %s, found newline", what);
	else if (is_literal(t->kind))
		go_lexer_fail(&p->lexer, t->at, "expected %s, found %.*s", what,
			      SLICE_ARG(t->text));
	else if (t->kind == GO_TOKEN_KEYWORD)
		go_lexer_fail(&p->lexer, t->at, "expected %s, found '%.*s'", what,
			      SLICE_ARG(t->text));
	else
		go_lexer_fail(&p->lexer, t->at, "expected %s, found '%s'", what,
			      go_token_spelling(t->kind));
}

static void expect(struct parser *p, enum go_token_kind kind)
{
	char what[16];

	if (p->token.kind != kind) {
		(void)snprintf(what, sizeof what, "'%s'", go_token_spelling(kind));
		fail_expected(p, what);
	}
	advance(p);
}

static struct go_expression *new_expression(struct parser *p, enum go_node kind,
					    struct go_expression *left)
{
	struct go_expression *x = ARENA_NEW(p->arena, struct go_expression);

	if (x == NULL) {
		p->code = error_set(p->error, -ENOMEM, "out of memory");
		return NULL;
	}
	if (kind == GO_NODE_CALL || kind == GO_NODE_BINARY)
		p->operations++;
	if (p->operations / 2 > p->limits->calls) {
		p->code = error_set(p->error, -E2BIG, "%s has more than %u %s", p->limits->what,
				    p->limits->calls, p->limits->calls_name);
		return NULL;
	}
	x->kind = kind;
	x->token = p->token;
	x->left = left;
	return x;
}

static bool descend(struct parser *p)
{
	if (++p->depth <= p->limits->depth)
		return true;
	p->code = error_set(p->error, -E2BIG, "%s is nested deeper than %u levels", p->limits->what,
			    p->limits->depth);
	return false;
}

static struct go_expression *parse_binary(struct parser *p, unsigned precedence);

static void missing_comma(struct parser *p)
{
	bool newline = p->token.kind == GO_TOKEN_NEWLINE;

	if (stopped(p))
		return;
	go_lexer_fail(&p->lexer, p->token.at, "missing ','%s in argument list",
		      newline ? " before newline" : "");
}

static struct go_expression *parse_call(struct parser *p, struct go_expression *function)
{
	struct go_expression *call = new_expression(p, GO_NODE_CALL, function), **end;
	bool ellipsis = false;

	if (call == NULL)
		return NULL;
	end = &call->arguments;
	advance(p);
	while (!stopped(p) && p->token.kind != GO_TOKEN_CLOSE && p->token.kind != GO_TOKEN_END &&
	       !ellipsis) {
		*end = parse_binary(p, 1);
		if (stopped(p))
			return NULL;
		end = &(*end)->next;
		if (p->token.kind == GO_TOKEN_ELLIPSIS) {
			ellipsis = true;
			advance(p);
		}
		if (p->token.kind == GO_TOKEN_CLOSE)
			break;
		if (p->token.kind != GO_TOKEN_COMMA)
			missing_comma(p);
		advance(p);
	}
	if (p->token.kind == GO_TOKEN_NEWLINE)
		missing_comma(p);
	expect(p, GO_TOKEN_CLOSE);
	return stopped(p) ? NULL : call;
}

static struct go_expression *parse_operand(struct parser *p)
{
	struct go_expression *x;

	switch (p->token.kind) {
	case GO_TOKEN_NAME:
		x = new_expression(p, GO_NODE_NAME, NULL);
		advance(p);
		return x;
	case GO_TOKEN_INT:
	case GO_TOKEN_FLOAT:
	case GO_TOKEN_IMAG:
	case GO_TOKEN_CHAR:
	case GO_TOKEN_STRING:
		x = new_expression(p, GO_NODE_LITERAL, NULL);
		advance(p);
		return x;
	case GO_TOKEN_OPEN:
		x = new_expression(p, GO_NODE_PAREN, NULL);
		advance(p);
		if (stopped(p))
			return NULL;
		x->left = parse_binary(p, 1);
		expect(p, GO_TOKEN_CLOSE);
		return x;
	default:
		fail_expected(p, "operand");
		return NULL;
	}
}

static struct go_expression *parse_selector(struct parser *p, struct go_expression *x)
{
	advance(p);
	if (p->token.kind != GO_TOKEN_NAME) {
		fail_expected(p, "selector or type assertion");
		return NULL;
	}
	x = new_expression(p, GO_NODE_SELECTOR, x);
	advance(p);
	return x;
}

static struct go_expression *parse_index(struct parser *p, struct go_expression *x)
{
	x = new_expression(p, GO_NODE_INDEX, x);
	advance(p);
	if (stopped(p))
		return NULL;
	x->right = parse_binary(p, 1);
	expect(p, GO_TOKEN_CLOSE_INDEX);
	return x;
}

static struct go_expression *parse_primary(struct parser *p)
{
	struct go_expression *x = parse_operand(p);

	while (!stopped(p)) {
		if (p->token.kind == GO_TOKEN_DOT)
			x = parse_selector(p, x);
		else if (p->token.kind == GO_TOKEN_OPEN_INDEX)
			x = parse_index(p, x);
		else if (p->token.kind == GO_TOKEN_OPEN)
			x = parse_call(p, x);
		else
			return x;
	}
	return NULL;
}

static bool is_unary(enum go_token_kind kind)
{
	return kind == GO_TOKEN_NOT || kind == GO_TOKEN_PLUS || kind == GO_TOKEN_MINUS ||
	       kind == GO_TOKEN_XOR || kind == GO_TOKEN_AND || kind == GO_TOKEN_TILDE ||
	       kind == GO_TOKEN_ARROW;
}

static struct go_expression *parse_unary(struct parser *p)
{
	bool star = p->token.kind == GO_TOKEN_STAR;
	struct go_expression *x;

	if (!star && !is_unary(p->token.kind))
		return parse_primary(p);
	x = new_expression(p, star ? GO_NODE_STAR : GO_NODE_UNARY, NULL);
	advance(p);
	if (stopped(p))
		return NULL;
	if (!descend(p))
		return NULL;
	x->left = parse_unary(p);
	p->depth--;
	return x;
}

/* Go reads "=" as a misspelt "==". */
static enum go_token_kind operator_of(const struct parser *p)
{
	return p->token.kind == GO_TOKEN_ASSIGN ? GO_TOKEN_EQUAL : p->token.kind;
}

static struct go_expression *parse_binary(struct parser *p, unsigned precedence)
{
	struct go_expression *x;

	if (stopped(p))
		return NULL;
	if (!descend(p))
		return NULL;
	x = parse_unary(p);
	while (!stopped(p)) {
		enum go_token_kind op = operator_of(p);
		unsigned binds = go_token_precedence(op);

		if (binds < precedence || binds == 0)
			break;
		x = new_expression(p, GO_NODE_BINARY, x);
		expect(p, op);
		if (stopped(p))
			return NULL;
		x->right = parse_binary(p, binds + 1);
	}
	p->depth--;
	return stopped(p) ? NULL : x;
}

static int fail_syntax(struct parser *p)
{
	unsigned line, column;

	if (p->code < 0)
		return p->code;
	go_position(p->lexer.text, p->lexer.failed_at, &line, &column);
	return error_set(p->error, -EINVAL, "%u:%u: %s", line, column, p->lexer.message);
}

int go_expression_parse(slice text, const struct go_limits *limits, struct arena *arena,
			const struct go_expression **root, struct weir_error *e)
{
	struct parser p = {.arena = arena, .limits = limits, .error = e};

	go_lexer_init(&p.lexer, text);
	advance(&p);
	*root = parse_binary(&p, 1);
	if (!stopped(&p) && p.token.kind == GO_TOKEN_NEWLINE)
		advance(&p);
	if (!stopped(&p))
		expect(&p, GO_TOKEN_END);
	return stopped(&p) ? fail_syntax(&p) : 0;
}

static int fail_literal(slice text, const char *function, const char *why, struct weir_error *e)
{
	return error_set(e, -EINVAL,
			 "failed to parse argument: %.*s, error: strconv.%s: parsing \"%.*s\": %s",
			 SLICE_ARG(text), function, SLICE_ARG(text), why);
}

/* As strconv.Atoi: decimal, leading zeros allowed, without underscores. */
static int parse_int(slice text, int64_t *number, struct weir_error *e)
{
	uint64_t value = 0;
	bool large = false;

	for (size_t i = 0; i < text.n; i++) {
		if (!ascii_digit(text.p[i]))
			return fail_literal(text, "Atoi", "invalid syntax", e);
		large = large || __builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(text.p[i] - '0'), &value) ||
			value > INT64_MAX;
	}
	if (large)
		return fail_literal(text, "Atoi", "value out of range", e);
	*number = (int64_t)value;
	return 0;
}

#define FLOAT_BYTES_MAX 128

/* The lexer has seen to it that it is a number of Go's; C knows the same ones, but for "_". */
static int parse_float(slice text, double *number, struct weir_error *e)
{
	char digits[FLOAT_BYTES_MAX], *end;
	size_t n = 0;

	for (size_t i = 0; i < text.n && n < sizeof digits; i++) {
		if (text.p[i] != '_')
			digits[n++] = text.p[i];
	}
	if (n == sizeof digits)
		return error_set(e, -E2BIG, "a number of more than %d digits", FLOAT_BYTES_MAX - 1);
	digits[n] = '\0';
	*number = strtod(digits, &end);
	if (*end != '\0')
		return fail_literal(text, "ParseFloat", "invalid syntax", e);
	if (*number > 1.7976931348623157e308)
		return fail_literal(text, "ParseFloat", "value out of range", e);
	return 0;
}

int go_literal(const struct go_token *t, struct arena *arena, struct go_value *v,
	       struct weir_error *e)
{
	switch (t->kind) {
	case GO_TOKEN_STRING:
		v->kind = GO_STRING;
		if (go_unquote(t->text, arena, &v->string) < 0)
			return error_set(e, -ENOMEM, "out of memory");
		return 0;
	case GO_TOKEN_INT:
		v->kind = GO_INT;
		return parse_int(t->text, &v->number, e);
	case GO_TOKEN_FLOAT:
		v->kind = GO_FLOAT;
		return parse_float(t->text, &v->real, e);
	default:
		return error_set(e, -EINVAL, "unsupported function argument type: '%s'",
				 go_token_spelling(t->kind));
	}
}

static int fail_undefined(const struct go_expression *x, struct weir_error *e)
{
	slice names[2];

	if (x->kind == GO_NODE_NAME)
		return error_set(e, -EINVAL, "%.*s is not defined", SLICE_ARG(x->token.text));
	names[1] = x->token.text;
	for (x = x->left; x->kind == GO_NODE_SELECTOR; x = x->left)
		names[1] = slice_of(x->token.text.p,
				    (size_t)(names[1].p + names[1].n - x->token.text.p));
	if (x->kind != GO_NODE_NAME)
		return error_set(e, -EINVAL, "unsupported selector type: %s", go_types[x->kind]);
	names[0] = x->token.text;
	return error_set(e, -EINVAL, "%.*s.%.*s is not defined", SLICE_ARG(names[0]),
			 SLICE_ARG(names[1]));
}

int go_unsupported(const struct go_expression *x, struct weir_error *e)
{
	switch (x->kind) {
	case GO_NODE_NAME:
	case GO_NODE_SELECTOR:
		return fail_undefined(x, e);
	case GO_NODE_INDEX:
		return error_set(e, -EINVAL, "properties are not supported");
	default:
		return error_set(e, -EINVAL, "%s is not supported", go_types[x->kind]);
	}
}

int go_function_name(const struct go_expression *x, slice *name, struct weir_error *e)
{
	*name = x->token.text;
	if (x->kind == GO_NODE_NAME)
		return 0;
	if (x->kind != GO_NODE_SELECTOR)
		return error_set(e, -EINVAL, "expected identifier, got: %s", go_types[x->kind]);
	if (x->left->kind != GO_NODE_NAME)
		return error_set(e, -EINVAL, "expected selector identifier, got: %s",
				 go_types[x->left->kind]);
	return error_set(e, -EINVAL, "unsupported function: %.*s.%.*s",
			 SLICE_ARG(x->left->token.text), SLICE_ARG(x->token.text));
}
