#include "middleware/predicate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/arena.h"
#include "core/go_expression.h"

#define MEMORY_BYTES_MAX ((size_t)1 << 20)
#define BLOCK_BYTES 512

static const struct go_limits limits = {
	.what = "expression", .depth = 64, .calls = 256, .calls_name = "terms"};

static const struct {
	const char *function, *literal;
} types[] = {
#define X(name, function, literal) [PREDICATE_##name] = {function, literal},
	PREDICATE_TYPES(X)
#undef X
};

enum node_kind { NODE_LITERAL, NODE_CALL, NODE_AND, NODE_OR, NODE_COMPARE };

struct node {
	enum node_kind kind;
	enum go_token_kind op; /* of NODE_COMPARE */
	unsigned function;     /* of NODE_CALL */
	enum predicate_type type;
	const struct node *left, *right;
	struct predicate_value literal;
	struct predicate_value arguments[PREDICATE_ARGUMENTS_MAX];
};

#define PREDICATE_MAGIC 0x70726564u

struct predicate {
	uint32_t magic;
	struct arena arena;
	const struct node *root;
	uint32_t called; /* a bit for each function */
	const struct predicate_language *language;
};

/* One compilation. */
struct compiler {
	struct predicate *p;
	const struct predicate_language *language;
	struct weir_error *error;
};

static int no_memory(struct compiler *c)
{
	return error_set(c->error, -ENOMEM, "out of memory");
}

/* What Go calls the type of a node. */
struct type_name {
	char text[64];
};

static struct type_name type_of(const struct compiler *c, const struct node *n)
{
	struct type_name name;

	if (n->kind == NODE_LITERAL)
		(void)snprintf(name.text, sizeof name.text, "%s", types[n->type].literal);
	else
		(void)snprintf(name.text, sizeof name.text, "%s.%s", c->language->package,
			       types[n->type].function);
	return name;
}

static int new_node(struct compiler *c, enum node_kind kind, enum predicate_type type,
		    struct node **n)
{
	*n = ARENA_NEW(&c->p->arena, struct node);
	if (*n == NULL)
		return no_memory(c);
	(*n)->kind = kind;
	(*n)->type = type;
	return 0;
}

static int compile_literal(struct compiler *c, const struct go_expression *x, struct node *n)
{
	static const enum predicate_type of[] = {[GO_STRING] = PREDICATE_STRING,
						 [GO_INT] = PREDICATE_INTEGER,
						 [GO_FLOAT] = PREDICATE_REAL};
	struct go_value v = {0};
	int r = go_literal(&x->token, &c->p->arena, &v, c->error);

	if (r < 0)
		return r;
	n->type = of[v.kind];
	n->literal = (struct predicate_value){
		.type = n->type, .integer = v.number, .real = v.real, .string = v.string};
	return 0;
}

static int find_function(struct compiler *c, const struct go_expression *x, unsigned *function)
{
	const struct predicate_language *l = c->language;
	slice name;
	int r = go_function_name(x, &name, c->error);

	if (r < 0)
		return r;
	for (size_t i = 0; i < l->count; i++) {
		if (slice_equal(l->functions[i].name, name)) {
			*function = (unsigned)i;
			return 0;
		}
	}
	return error_set(c->error, -EINVAL, "unsupported function: %.*s", SLICE_ARG(name));
}

static int compile_plain(struct compiler *c, const struct go_expression *x, struct node **n);

/* The arguments of a call: Go finds a wrong number before a wrong type, and both after whatever is
 * wrong with one of them. */
static int compile_arguments(struct compiler *c, const struct go_expression *x, struct node *call)
{
	const struct predicate_function *f = &c->language->functions[call->function];
	const char *expected = types[f->parameters].literal;
	struct type_name wrong = {""};
	unsigned count = 0;

	must(f->count <= PREDICATE_ARGUMENTS_MAX);
	for (const struct go_expression *a = x->arguments; a != NULL; a = a->next) {
		struct node *n = NULL;
		int r = compile_plain(c, a, &n);

		if (r < 0)
			return r;
		if (wrong.text[0] == '\0' && (n->kind != NODE_LITERAL || n->type != f->parameters))
			wrong = type_of(c, n);
		if (count < f->count)
			call->arguments[count] = n->literal;
		count++;
	}
	if (count != f->count)
		return error_set(c->error, -EINVAL, "reflect: Call with too %s input arguments",
				 count < f->count ? "few" : "many");
	if (wrong.text[0] != '\0')
		return error_set(c->error, -EINVAL, "reflect: Call using %s as type %s", wrong.text,
				 expected);
	return 0;
}

static int compile_call(struct compiler *c, const struct go_expression *x, struct node *call)
{
	int r = find_function(c, x->left, &call->function);

	if (r < 0)
		return r;
	call->type = c->language->functions[call->function].result;
	c->p->called |= UINT32_C(1) << call->function;
	return compile_arguments(c, x, call);
}

static int compile_plain(struct compiler *c, const struct go_expression *x, struct node **n)
{
	bool literal = x->kind == GO_NODE_LITERAL;
	int r;

	if (!literal && x->kind != GO_NODE_CALL)
		return go_unsupported(x, c->error);
	r = new_node(c, literal ? NODE_LITERAL : NODE_CALL, PREDICATE_BOOLEAN, n);
	if (r < 0)
		return r;
	return literal ? compile_literal(c, x, *n) : compile_call(c, x, *n);
}

static bool is_boolean(const struct node *n)
{
	return n->kind != NODE_LITERAL && n->type == PREDICATE_BOOLEAN;
}

static int check_join(struct compiler *c, const struct node *n)
{
	const struct node *wrong = !is_boolean(n->left)    ? n->left
				   : !is_boolean(n->right) ? n->right
							   : NULL;

	if (wrong == NULL)
		return 0;
	return error_set(c->error, -EINVAL, "reflect: cannot use %s as type %s.%s in Call",
			 type_of(c, wrong).text, c->language->package,
			 types[PREDICATE_BOOLEAN].function);
}

/* The name of the function that refuses first in Traefik: "le" asks "lt", "neq" asks "eq". */
static const char *operator_name(enum go_token_kind op)
{
	switch (op) {
	case GO_TOKEN_LESS:
	case GO_TOKEN_LESS_EQUAL:
		return "lt";
	case GO_TOKEN_GREATER:
	case GO_TOKEN_GREATER_EQUAL:
		return "gt";
	default:
		return "eq";
	}
}

static int check_comparison(struct compiler *c, const struct node *n)
{
	const struct node *left = n->left, *right = n->right;
	bool equality = n->op == GO_TOKEN_EQUAL || n->op == GO_TOKEN_NOT_EQUAL;

	if (left->kind != NODE_CALL || left->type == PREDICATE_BOOLEAN ||
	    (left->type == PREDICATE_STRING && !equality))
		return error_set(c->error, -EINVAL, "%s%sunsupported argument: %s",
				 c->language->says_operator ? operator_name(n->op) : "",
				 c->language->says_operator ? ": " : "", type_of(c, left).text);
	if (right->kind != NODE_LITERAL || right->type != left->type)
		return error_set(c->error, -EINVAL, "expected %s, got %s",
				 types[left->type].literal, type_of(c, right).text);
	return 0;
}

static int compile_expression(struct compiler *c, const struct go_expression *x, struct node **n);

static int compile_binary(struct compiler *c, const struct go_expression *x, struct node **n)
{
	struct node *left = NULL, *right = NULL;
	enum go_token_kind op = x->token.kind;
	enum node_kind kind = op == GO_TOKEN_AND_AND ? NODE_AND
			      : op == GO_TOKEN_OR_OR ? NODE_OR
						     : NODE_COMPARE;
	int r = compile_expression(c, x->left, &left);

	if (r == 0)
		r = compile_expression(c, x->right, &right);
	if (r < 0)
		return r;
	if (kind == NODE_COMPARE && (op < GO_TOKEN_EQUAL || op > GO_TOKEN_GREATER_EQUAL))
		return error_set(c->error, -EINVAL, "%s is not supported", go_token_spelling(op));
	r = new_node(c, kind, PREDICATE_BOOLEAN, n);
	if (r < 0)
		return r;
	(*n)->left = left;
	(*n)->right = right;
	(*n)->op = op;
	return kind == NODE_COMPARE ? check_comparison(c, *n) : check_join(c, *n);
}

static int compile_expression(struct compiler *c, const struct go_expression *x, struct node **n)
{
	switch (x->kind) {
	case GO_NODE_BINARY:
		return compile_binary(c, x, n);
	case GO_NODE_PAREN:
		return compile_expression(c, x->left, n);
	case GO_NODE_UNARY:
		return error_set(c->error, -EINVAL, "%s is not supported",
				 go_token_spelling(x->token.kind));
	default:
		return compile_plain(c, x, n);
	}
}

static int compile(struct compiler *c, slice text)
{
	slice copy = arena_copy(&c->p->arena, text);
	const struct go_expression *x = NULL;
	struct node *root = NULL;
	int r;

	if (copy.p == NULL)
		return error_set(c->error, -E2BIG, "expression is too long");
	r = go_expression_parse(copy, &limits, &c->p->arena, &x, c->error);
	if (r == 0)
		r = compile_expression(c, x, &root);
	if (r == 0 && !is_boolean(root))
		r = error_set(c->error, -EINVAL, "expected predicate, got %s",
			      type_of(c, root).text);
	c->p->root = root;
	return r;
}

int predicate_compile(struct predicate **p, slice text, const struct predicate_language *language,
		      struct weir_error *e)
{
	struct predicate *made = calloc(1, sizeof *made);
	struct compiler c = {made, language, e};
	int r;

	must(language->count <= 32);
	*p = NULL;
	if (made == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	made->magic = PREDICATE_MAGIC;
	made->language = language;
	arena_init(&made->arena, BLOCK_BYTES, MEMORY_BYTES_MAX);
	r = compile(&c, text);
	if (r < 0)
		predicate_free(&made);
	*p = made;
	return r;
}

void predicate_free(struct predicate **p)
{
	struct predicate *taken;

	if (*p == NULL)
		return;
	OBJ_TAKE(taken, p, PREDICATE_MAGIC);
	arena_free(&taken->arena);
	taken->magic = 0;
	free(taken);
}

bool predicate_calls(const struct predicate *p, unsigned function)
{
	OBJ_CHECK(p, PREDICATE_MAGIC);
	return (p->called >> function & 1) != 0;
}

/* One evaluation. */
struct looker {
	predicate_look *look;
	void *context;
};

static struct predicate_value value_of(const struct node *n, const struct looker *l)
{
	struct predicate_value v = {.type = n->type};

	l->look(l->context, n->function, n->arguments, &v);
	return v;
}

static int order_of(const struct predicate_value *a, const struct predicate_value *b)
{
	switch (a->type) {
	case PREDICATE_INTEGER:
		return (a->integer > b->integer) - (a->integer < b->integer);
	case PREDICATE_REAL:
		return (a->real > b->real) - (a->real < b->real);
	default:
		return slice_compare(a->string, b->string);
	}
}

static bool compare(const struct node *n, const struct looker *l)
{
	struct predicate_value v = value_of(n->left, l);
	int order = order_of(&v, &n->right->literal);

	switch (n->op) {
	case GO_TOKEN_EQUAL:
		return order == 0;
	case GO_TOKEN_NOT_EQUAL:
		return order != 0;
	case GO_TOKEN_LESS:
		return order < 0;
	case GO_TOKEN_LESS_EQUAL:
		return order <= 0;
	case GO_TOKEN_GREATER:
		return order > 0;
	default:
		return order >= 0;
	}
}

static bool holds(const struct node *n, const struct looker *l)
{
	switch (n->kind) {
	case NODE_AND:
		return holds(n->left, l) && holds(n->right, l);
	case NODE_OR:
		return holds(n->left, l) || holds(n->right, l);
	case NODE_COMPARE:
		return compare(n, l);
	default:
		return value_of(n, l).boolean;
	}
}

bool predicate_holds(const struct predicate *p, predicate_look *look, void *context)
{
	const struct looker l = {look, context};

	OBJ_CHECK(p, PREDICATE_MAGIC);
	return holds(p->root, &l);
}
