#include "provider/template_private.h"

/* Statements, by recursive descent; pipelines are in template_pipe.c. */

/* What ended a list of statements. */
enum list_end { LIST_EOF, LIST_END, LIST_ELSE };

static bool parse_list(struct template_run *t, bool top, struct template_node **list,
		       enum list_end *end, size_t *offset);

static bool parse_body(struct template_run *t, struct template_node **list, enum list_end *end,
		       size_t start, const char *what)
{
	size_t offset;
	bool ok = template_enter(t, start) && parse_list(t, false, list, end, &offset);

	t->depth--;
	if (!ok)
		return false;
	if (*end == LIST_EOF)
		return template_fail(t, start,
				     "unexpected end of the file, expected {{end}} for this {{%s}}",
				     what);
	return true;
}

static bool parse_control(struct template_run *t, struct template_node *n, const char *what);

/* {{else}}, {{else if ...}}, {{else with ...}}: the last two are a statement of their own in the
 * branch. */
static bool parse_else(struct template_run *t, struct template_node *n, const char *what)
{
	struct template_token token;
	enum list_end end;

	if (!template_next_past_space(t, &token))
		return false;
	if ((token.type == TOKEN_IF && n->type == NODE_IF) ||
	    (token.type == TOKEN_WITH && n->type == NODE_WITH)) {
		struct template_node *inner = template_take(t, token.offset, sizeof *inner);
		bool ok;

		if (inner == NULL)
			return false;
		inner->type = n->type;
		inner->offset = token.offset;
		n->otherwise = inner;
		ok = template_enter(t, token.offset) && parse_control(t, inner, what);
		t->depth--;
		return ok;
	}
	if (token.type != TOKEN_RIGHT)
		return template_unexpected(t, &token, "else", "}}");
	if (!parse_body(t, &n->otherwise, &end, n->offset, what))
		return false;
	if (end == LIST_ELSE)
		return template_fail(t, n->offset,
				     "expected end; found a second {{else}} for this {{%s}}", what);
	return true;
}

/* After `if`, `with` or `range`. Variables declared inside end with it. */
static bool parse_control(struct template_run *t, struct template_node *n, const char *what)
{
	size_t variables = t->variable_count;
	enum list_end end;

	if (!template_parse_pipe(t, what, TOKEN_RIGHT, &n->pipe))
		return false;
	t->range_depth += n->type == NODE_RANGE;
	if (!parse_body(t, &n->body, &end, n->offset, what))
		return false;
	t->range_depth -= n->type == NODE_RANGE;
	if (end == LIST_ELSE && !parse_else(t, n, what))
		return false;
	t->variable_count = variables;
	return true;
}

static bool is_blank(const struct template_node *list)
{
	for (; list != NULL; list = list->next) {
		if (list->type != NODE_TEXT)
			return false;
		for (size_t i = 0; i < list->text.n; i++)
			if (strchr(" \t\r\n", list->text.p[i]) == NULL)
				return false;
	}
	return true;
}

static bool add_definition(struct template_run *t, size_t offset, slice name,
			   struct template_node *body)
{
	struct definition *d = t->definitions;
	bool given = !is_blank(body);

	while (d != NULL && !slice_equal(d->name, name))
		d = d->next;
	if (d == NULL) {
		d = template_take(t, offset, sizeof *d);
		if (d == NULL)
			return false;
		d->next = t->definitions;
		t->definitions = d;
	} else if (d->given && given) {
		return template_fail(t, offset, "multiple definition of template \"%.*s\"",
				     SLICE_ARG(name));
	} else if (!given) {
		return true;
	}
	*d = (struct definition){name, body, given, d->next};
	return true;
}

static bool parse_name(struct template_run *t, const char *where, slice *name)
{
	struct template_token token;
	struct template_value value;

	if (!template_next_past_space(t, &token))
		return false;
	if (token.type != TOKEN_STRING)
		return template_unexpected(t, &token, where, "a quoted name");
	if (!template_constant(t, &token, &value))
		return false;
	*name = value.text;
	return true;
}

/* The body of a template has `$` only. */
static bool parse_definition_body(struct template_run *t, size_t offset, slice name,
				  const char *what)
{
	struct variable *variables = t->variables;
	size_t count = t->variable_count, capacity = t->variable_capacity;
	unsigned ranges = t->range_depth;
	struct template_node *body = NULL;
	enum list_end end;
	bool ok;

	t->variables = NULL;
	t->variable_count = t->variable_capacity = 0;
	t->range_depth = 0;
	ok = template_declare(t, offset, SLICE("$")) && parse_body(t, &body, &end, offset, what);
	t->variables = variables;
	t->variable_count = count;
	t->variable_capacity = capacity;
	t->range_depth = ranges;
	if (!ok)
		return false;
	if (end == LIST_ELSE)
		return template_fail(t, offset,
				     "unexpected {{else}} in this {{%s}}, expected {{end}}", what);
	return add_definition(t, offset, name, body);
}

static bool parse_define(struct template_run *t, const struct template_token *start)
{
	struct template_token token;
	slice name;

	return parse_name(t, "define clause", &name) &&
	       template_expect(t, TOKEN_RIGHT, "define clause", &token) &&
	       parse_definition_body(t, start->offset, name, "define");
}

static bool parse_block(struct template_run *t, struct template_node *n)
{
	return parse_name(t, "block clause", &n->text) &&
	       template_parse_pipe(t, "block clause", TOKEN_RIGHT, &n->pipe) &&
	       parse_definition_body(t, n->offset, n->text, "block");
}

static bool parse_template_call(struct template_run *t, struct template_node *n)
{
	struct template_token token;

	if (!parse_name(t, "template clause", &n->text) || !template_next_past_space(t, &token))
		return false;
	if (token.type == TOKEN_RIGHT)
		return true;
	template_push_back(t, &token);
	return template_parse_pipe(t, "template clause", TOKEN_RIGHT, &n->pipe);
}

static bool parse_jump(struct template_run *t, struct template_node *n,
		       const struct template_token *start)
{
	struct template_token token;

	n->type = start->type == TOKEN_BREAK ? NODE_BREAK : NODE_CONTINUE;
	if (t->range_depth == 0)
		return template_fail(t, start->offset, "{{%s}} outside {{range}}",
				     template_token_name(start->type));
	return template_expect(t, TOKEN_RIGHT, template_token_name(start->type), &token);
}

/* One action that is neither define, else nor end. */
static bool parse_action(struct template_run *t, struct template_node *n,
			 const struct template_token *token)
{
	n->offset = token->offset;
	switch (token->type) {
	case TOKEN_IF:
		n->type = NODE_IF;
		return parse_control(t, n, "if");
	case TOKEN_WITH:
		n->type = NODE_WITH;
		return parse_control(t, n, "with");
	case TOKEN_RANGE:
		n->type = NODE_RANGE;
		return parse_control(t, n, "range");
	case TOKEN_TEMPLATE:
		n->type = NODE_TEMPLATE;
		return parse_template_call(t, n);
	case TOKEN_BLOCK:
		n->type = NODE_TEMPLATE;
		return parse_block(t, n);
	case TOKEN_BREAK:
	case TOKEN_CONTINUE:
		return parse_jump(t, n, token);
	default:
		n->type = NODE_ACTION;
		template_push_back(t, token);
		return template_parse_pipe(t, "command", TOKEN_RIGHT, &n->pipe);
	}
}

/* {{else}} keeps its position before the closing delimiter, since `else if` may follow. */
static bool parse_list_end(struct template_run *t, const struct template_token *token, bool top,
			   enum list_end *end)
{
	struct template_token right;

	if (top)
		return template_fail(t, token->offset, "unexpected {{%s}}, nothing is open",
				     template_token_name(token->type));
	*end = token->type == TOKEN_END ? LIST_END : LIST_ELSE;
	return token->type == TOKEN_ELSE || template_expect(t, TOKEN_RIGHT, "end", &right);
}

static bool append_text(struct template_run *t, struct template_node ***tail,
			const struct template_token *token)
{
	struct template_node *n;

	if (token->text.n == 0)
		return true;
	n = template_take(t, token->offset, sizeof *n);
	if (n == NULL)
		return false;
	*n = (struct template_node){
		.type = NODE_TEXT, .offset = token->offset, .text = token->text};
	**tail = n;
	*tail = &n->next;
	return true;
}

static bool parse_list(struct template_run *t, bool top, struct template_node **list,
		       enum list_end *end, size_t *offset)
{
	struct template_node **tail = list;
	struct template_token token;

	for (;;) {
		struct template_node *n;

		if (!template_next(t, &token))
			return false;
		*offset = token.offset;
		*end = LIST_EOF;
		if (token.type == TOKEN_EOF)
			return true;
		if (token.type == TOKEN_TEXT) {
			if (!append_text(t, &tail, &token))
				return false;
			continue;
		}
		must(token.type == TOKEN_LEFT);
		if (!template_next_past_space(t, &token))
			return false;
		if (token.type == TOKEN_END || token.type == TOKEN_ELSE)
			return parse_list_end(t, &token, top, end);
		if (token.type == TOKEN_DEFINE && top) {
			if (!parse_define(t, &token))
				return false;
			continue;
		}
		if (token.type == TOKEN_DEFINE)
			return template_fail(t, token.offset,
					     "unexpected {{define}}, expected it outside "
					     "of other actions");
		n = template_take(t, token.offset, sizeof *n);
		if (n == NULL || !parse_action(t, n, &token))
			return false;
		*tail = n;
		tail = &n->next;
	}
}

bool template_parse(struct template_run *t)
{
	enum list_end end;
	size_t offset;

	if (!template_declare(t, 0, SLICE("$")))
		return false;
	if (!parse_list(t, true, &t->body, &end, &offset))
		return false;
	return true;
}
