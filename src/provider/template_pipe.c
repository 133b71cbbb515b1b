#include "provider/template_private.h"

/* Tokens to pipelines; statements are in template_parse.c. */

bool template_next(struct template_run *t, struct template_token *token)
{
	if (t->has_peeked) {
		*token = t->peeked;
		t->has_peeked = false;
		return true;
	}
	return template_lex(t, token);
}

void template_push_back(struct template_run *t, const struct template_token *token)
{
	must(!t->has_peeked);
	t->peeked = *token;
	t->has_peeked = true;
}

bool template_next_past_space(struct template_run *t, struct template_token *token)
{
	do {
		if (!template_next(t, token))
			return false;
	} while (token->type == TOKEN_SPACE);
	return true;
}

bool template_unexpected(struct template_run *t, const struct template_token *token,
			 const char *where, const char *expected)
{
	if (token->type == TOKEN_EOF)
		return template_fail(t, token->offset,
				     "unexpected end of the file in %s, expected %s", where,
				     expected);
	if (token->type == TOKEN_SPACE)
		return template_fail(t, token->offset, "unexpected space in %s, expected %s", where,
				     expected);
	return template_fail(t, token->offset, "unexpected \"%.*s\" in %s, expected %s",
			     SLICE_ARG(slice_first(token->text, 40)), where, expected);
}

bool template_expect(struct template_run *t, enum template_token_type type, const char *where,
		     struct template_token *token)
{
	if (!template_next_past_space(t, token))
		return false;
	if (token->type != type)
		return template_unexpected(t, token, where, template_token_name(type));
	return true;
}

void *template_take(struct template_run *t, size_t offset, size_t size)
{
	void *p = arena_zalloc(&t->arena, size);

	if (p == NULL)
		(void)template_fail_memory(t, offset);
	return p;
}

bool template_enter(struct template_run *t, size_t offset)
{
	if (++t->depth > t->limits.depth_max)
		return template_fail(t, offset, "nested too deep, expected at most %u levels",
				     t->limits.depth_max);
	return true;
}

bool template_declare(struct template_run *t, size_t offset, slice name)
{
	if (t->variable_count == t->variable_capacity) {
		size_t capacity = MAX(t->variable_capacity * 2, (size_t)16);
		struct variable *bigger = ARENA_ARRAY(&t->arena, struct variable, capacity);

		if (bigger == NULL)
			return template_fail_memory(t, offset);
		if (t->variable_count > 0)
			memcpy(bigger, t->variables, t->variable_count * sizeof *bigger);
		t->variables = bigger;
		t->variable_capacity = capacity;
	}
	t->variables[t->variable_count++] = (struct variable){.name = name};
	return true;
}

static bool check_variable(struct template_run *t, const struct template_token *token)
{
	for (size_t i = t->variable_count; i > 0; i--)
		if (slice_equal(t->variables[i - 1].name, token->text))
			return true;
	return template_fail(t, token->offset, "undefined variable %.*s", SLICE_ARG(token->text));
}

static bool find_function(struct template_run *t, const struct template_token *token,
			  const struct template_function **function)
{
	const struct template_function *f = template_function_find(token->text);

	if (f == NULL)
		return template_fail(t, token->offset, "function \"%.*s\" is not defined",
				     SLICE_ARG(token->text));
	if (f->call == NULL)
		return template_fail(t, token->offset, "function %s is not supported", f->name);
	*function = f;
	return true;
}

static bool parse_parentheses(struct template_run *t, struct operand *o)
{
	bool ok = template_enter(t, o->offset) &&
		  template_parse_pipe(t, "parenthesized pipeline", TOKEN_CLOSE, &o->pipe);

	t->depth--;
	return ok;
}

/* Only what a token starts; `*found` is false if it starts no operand. */
static bool parse_term(struct template_run *t, const struct template_token *token,
		       struct operand *o, bool *found)
{
	*found = true;
	o->offset = token->offset;
	o->text = token->text;
	switch (token->type) {
	case TOKEN_IDENTIFIER:
		o->type = OPERAND_FUNCTION;
		return find_function(t, token, &o->function);
	case TOKEN_DOT:
	case TOKEN_FIELD: /* its name is taken as the first field */
		o->type = OPERAND_DOT;
		return true;
	case TOKEN_NIL:
		o->type = OPERAND_NIL;
		return true;
	case TOKEN_VARIABLE:
		o->type = OPERAND_VARIABLE;
		return check_variable(t, token);
	case TOKEN_BOOLEAN:
	case TOKEN_CHARACTER:
	case TOKEN_NUMBER:
	case TOKEN_STRING:
		o->type = OPERAND_CONSTANT;
		return template_constant(t, token, &o->constant);
	case TOKEN_OPEN:
		o->type = OPERAND_PIPE;
		o->text = SLICE("(...)");
		return parse_parentheses(t, o);
	default:
		*found = false;
		return true;
	}
}

static bool add_field(struct template_run *t, struct operand *o, const struct template_token *token)
{
	slice *bigger = ARENA_ARRAY(&t->arena, slice, o->field_count + 1);

	if (bigger == NULL)
		return template_fail_memory(t, token->offset);
	if (o->field_count > 0)
		memcpy(bigger, o->fields, o->field_count * sizeof *bigger);
	bigger[o->field_count++] = slice_from_at(token->text, 1);
	o->fields = bigger;
	return true;
}

/* A term and the fields that follow it directly. */
static bool parse_operand(struct template_run *t, const struct template_token *first,
			  struct operand *o, bool *found)
{
	struct template_token token = *first;
	bool takes_fields;

	if (!parse_term(t, first, o, found))
		return false;
	if (!*found)
		return true;
	takes_fields = o->type == OPERAND_VARIABLE || o->type == OPERAND_PIPE ||
		       o->type == OPERAND_FUNCTION || first->type == TOKEN_FIELD;
	if (first->type == TOKEN_FIELD && !add_field(t, o, first))
		return false;
	for (;;) {
		if (!template_next(t, &token))
			return false;
		if (token.type != TOKEN_FIELD)
			break;
		if (!takes_fields)
			return template_fail(t, token.offset, "unexpected . after term %.*s",
					     SLICE_ARG(o->text));
		if (!add_field(t, o, &token))
			return false;
	}
	template_push_back(t, &token);
	return true;
}

static bool append_operand(struct template_run *t, struct command *c, const struct operand *o)
{
	struct operand *copy = template_take(t, o->offset, sizeof *copy);
	struct operand **end = &c->operands;

	if (copy == NULL)
		return false;
	*copy = *o;
	while (*end != NULL)
		end = &(*end)->next;
	*end = copy;
	c->operand_count++;
	return true;
}

/* Operands up to `|` or the end of the pipeline, which stays for the caller. */
static bool parse_command(struct template_run *t, struct command *c)
{
	struct template_token token;
	bool found;

	for (;;) {
		struct operand o = {0};

		if (!template_next_past_space(t, &token))
			return false;
		if (!parse_operand(t, &token, &o, &found))
			return false;
		if (found) {
			if (!append_operand(t, c, &o) || !template_next(t, &token))
				return false;
			if (token.type == TOKEN_SPACE)
				continue;
		}
		if (token.type != TOKEN_RIGHT && token.type != TOKEN_CLOSE &&
		    token.type != TOKEN_PIPE)
			return template_unexpected(t, &token, found ? "operand" : "command",
						   found ? "a space, | or }}" : "an operand");
		template_push_back(t, &token);
		return true;
	}
}

static bool check_commands(struct template_run *t, struct pipe *pipe, const char *where)
{
	int stage = 1;

	if (pipe->commands == NULL)
		return template_fail(t, pipe->offset, "missing value for %s", where);
	for (struct command *c = pipe->commands->next; c != NULL; c = c->next) {
		const struct operand *o = c->operands;
		bool runs = o->type == OPERAND_FUNCTION || o->type == OPERAND_VARIABLE ||
			    o->type == OPERAND_PIPE || o->field_count > 0;

		stage++;
		if (!runs)
			return template_fail(
				t, c->offset,
				"non executable command in pipeline stage %d, expected a "
				"function",
				stage);
	}
	return true;
}

static bool parse_commands(struct template_run *t, const char *where, enum template_token_type end,
			   struct pipe *pipe)
{
	struct command **tail = &pipe->commands;
	struct template_token token;

	for (;;) {
		struct command *c;

		if (!template_next_past_space(t, &token))
			return false;
		if (token.type == end && (tail == &pipe->commands || *tail == NULL))
			return check_commands(t, pipe, where);
		template_push_back(t, &token);
		c = template_take(t, token.offset, sizeof *c);
		if (c == NULL)
			return false;
		c->offset = token.offset;
		if (!parse_command(t, c))
			return false;
		if (c->operands == NULL)
			return template_unexpected(t, &t->peeked, "command", "an operand");
		*tail = c;
		tail = &c->next;
		if (!template_next_past_space(t, &token))
			return false;
		if (token.type == end)
			return check_commands(t, pipe, where);
		if (token.type != TOKEN_PIPE)
			return template_unexpected(t, &token, where, "|");
	}
}

/* After the first variable: `:=`, `=`, or for range `, $second :=`. False in `*declares`: it is an
 * operand. */
static bool parse_declaration(struct template_run *t, const char *where, struct pipe *pipe,
			      const struct template_token *first, bool *declares)
{
	struct template_token token;

	*declares = false;
	if (!template_next(t, &token))
		return false;
	if (token.type == TOKEN_SPACE && !template_next(t, &token))
		return false;
	if (token.type != TOKEN_DECLARE && token.type != TOKEN_ASSIGN &&
	    token.type != TOKEN_COMMA) {
		/* Two tokens are in hand: the operand starts again at the variable. */
		t->lexer.offset = first->offset + first->text.n;
		t->lexer.inside = true;
		t->lexer.trim = false;
		t->lexer.parens -= token.type == TOKEN_OPEN;
		t->lexer.parens += token.type == TOKEN_CLOSE;
		template_push_back(t, first);
		return true;
	}
	*declares = true;
	pipe->variables[pipe->variable_count++] = first->text;
	pipe->assigns = token.type == TOKEN_ASSIGN;
	if (pipe->assigns && !check_variable(t, first))
		return false;
	if (token.type != TOKEN_COMMA)
		return true;
	if (strcmp(where, "range") != 0)
		return template_fail(t, token.offset, "too many declarations in %s, expected one",
				     where);
	if (pipe->variable_count == 2)
		return template_fail(t, token.offset,
				     "too many declarations in range, expected two");
	if (!template_expect(t, TOKEN_VARIABLE, "range", &token))
		return false;
	{
		struct template_token second = token;

		if (!parse_declaration(t, where, pipe, &second, declares))
			return false;
		if (!*declares)
			return template_fail(t, second.offset,
					     "range can only initialize variables, "
					     "expected := after %.*s",
					     SLICE_ARG(second.text));
	}
	return true;
}

bool template_parse_pipe(struct template_run *t, const char *where, enum template_token_type end,
			 struct pipe **pipe)
{
	struct template_token token;
	struct pipe *p;
	bool declares;

	if (!template_next_past_space(t, &token))
		return false;
	p = template_take(t, token.offset, sizeof *p);
	if (p == NULL)
		return false;
	p->offset = token.offset;
	*pipe = p;
	if (token.type != TOKEN_VARIABLE)
		template_push_back(t, &token);
	else if (!parse_declaration(t, where, p, &token, &declares))
		return false;
	if (!parse_commands(t, where, end, p))
		return false;
	for (size_t i = 0; i < p->variable_count && !p->assigns; i++)
		if (!template_declare(t, p->offset, p->variables[i]))
			return false;
	return true;
}
