#include "provider/template_private.h"

/* Walks the tree of one run. Control flow inside a range travels as the result of a walk. */

enum walk { WALK_FAILED, WALK_ON, WALK_BREAK, WALK_CONTINUE };

static enum walk walk_list(struct template_run *t, const struct template_node *list,
			   const struct template_value *dot);
static bool eval_pipe(struct template_run *t, const struct pipe *pipe,
		      const struct template_value *dot, struct template_value *result);

static struct variable *find_variable(struct template_run *t, slice name)
{
	for (size_t i = t->variable_count; i > 0; i--)
		if (slice_equal(t->variables[i - 1].name, name))
			return &t->variables[i - 1];
	return NULL;
}

static bool push_variable(struct template_run *t, size_t offset, slice name,
			  struct template_value value)
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
	t->variables[t->variable_count++] = (struct variable){name, value};
	return true;
}

static bool eval_field(struct template_run *t, const struct operand *o, slice field,
		       struct template_value *value)
{
	const struct template_value *found;

	if (value->type == TYPE_NIL)
		return true; /* a field of a missing value is missing too */
	if (!template_is_map(value))
		return template_fail(t, o->offset,
				     "can't evaluate field %.*s in type %s, expected a map",
				     SLICE_ARG(field), template_type_name(value->type));
	found = template_map_get(value, field);
	*value = found != NULL ? *found : value_nil();
	return true;
}

static bool eval_function(struct template_run *t, const struct command *c,
			  const struct template_value *dot, const struct template_value *final,
			  struct template_value *result);

/* An operand by itself, fields included. A function is called without arguments. */
static bool eval_operand(struct template_run *t, const struct operand *o,
			 const struct template_value *dot, struct template_value *value)
{
	const struct variable *variable;
	struct command call = {.offset = o->offset};
	struct operand alone = *o;

	switch (o->type) {
	case OPERAND_DOT:
		*value = *dot;
		break;
	case OPERAND_VARIABLE:
		variable = find_variable(t, o->text);
		if (variable == NULL)
			return template_fail(t, o->offset, "undefined variable %.*s",
					     SLICE_ARG(o->text));
		*value = variable->value;
		break;
	case OPERAND_CONSTANT:
		*value = o->constant;
		break;
	case OPERAND_NIL:
		*value = value_nil();
		break;
	case OPERAND_PIPE:
		if (!eval_pipe(t, o->pipe, dot, value))
			return false;
		break;
	case OPERAND_FUNCTION:
		alone.next = NULL;
		call.operands = &alone;
		call.operand_count = 1;
		if (!eval_function(t, &call, dot, NULL, value))
			return false;
		break;
	}
	for (size_t i = 0; i < o->field_count; i++)
		if (!eval_field(t, o, o->fields[i], value))
			return false;
	return true;
}

/* `and` and `or` stop at the first argument that decides. */
static bool eval_logic(struct template_run *t, const struct command *c,
		       const struct template_value *dot, const struct template_value *final,
		       struct template_value *result)
{
	bool stop_at = slice_equal(c->operands->text, SLICE("or"));

	for (const struct operand *o = c->operands->next; o != NULL; o = o->next) {
		if (!eval_operand(t, o, dot, result))
			return false;
		if (template_truth(result) == stop_at)
			return true;
	}
	if (final != NULL)
		*result = *final;
	return true;
}

static char param_type(const struct template_function *f, size_t index)
{
	size_t n = strlen(f->params);

	if (n > 0 && f->params[n - 1] == '*')
		return index < n - 2 ? f->params[index] : f->params[n - 2];
	return index < n ? f->params[index] : '\0';
}

static bool check_count(struct template_run *t, size_t offset, const struct template_function *f,
			size_t count)
{
	size_t n = strlen(f->params);
	bool variadic = n > 0 && f->params[n - 1] == '*';
	size_t least = variadic ? n - 2 : n;

	if (count >= least && (variadic || count == least))
		return true;
	return template_fail(t, offset, "wrong number of args for %s: expected %s%zu, found %zu",
			     f->name, variadic ? "at least " : "", least, count);
}

static bool check_type(struct template_run *t, size_t offset, const struct template_function *f,
		       char type, const struct template_value *v)
{
	const char *expected = NULL;

	if (type == 's' && v->type != TYPE_STRING)
		expected = "string";
	else if (type == 'i' && v->type != TYPE_INT)
		expected = "int";
	else if (type == 'b' && v->type != TYPE_BOOL)
		expected = "bool";
	else if (type == 'm' && v->type != TYPE_MAP && v->type != TYPE_NIL)
		expected = "map[string]interface {}";
	if (expected == NULL)
		return true;
	return template_fail(t, offset, "wrong type of argument for %s: expected %s, found %s",
			     f->name, expected, template_type_name(v->type));
}

/* Long strings cost time wherever they are looked at. */
static bool charge(struct template_run *t, size_t offset, const struct template_value *v)
{
	uint64_t steps = 0;

	if (v->type == TYPE_STRING)
		steps = v->text.n / 256;
	else if (template_is_list(v))
		steps = v->list.count / 16;
	return template_step(t, offset, steps);
}

static bool eval_function(struct template_run *t, const struct command *c,
			  const struct template_value *dot, const struct template_value *final,
			  struct template_value *result)
{
	const struct template_function *f = c->operands->function;
	size_t count = c->operand_count - 1 + (final != NULL), i = 0;
	struct template_value *args;
	struct template_call call = {.run = t, .function = f, .offset = c->operands->offset};

	if (!check_count(t, call.offset, f, count))
		return false;
	if (f->params[0] == 'L') /* logic */
		return eval_logic(t, c, dot, final, result);
	args = ARENA_ARRAY(&t->arena, struct template_value, MAX(count, (size_t)1));
	if (args == NULL)
		return template_fail_memory(t, call.offset);
	for (const struct operand *o = c->operands->next; o != NULL; o = o->next, i++)
		if (!eval_operand(t, o, dot, &args[i]) ||
		    !check_type(t, o->offset, f, param_type(f, i), &args[i]) ||
		    !charge(t, o->offset, &args[i]))
			return false;
	if (final != NULL) {
		args[i] = *final;
		if (!check_type(t, call.offset, f, param_type(f, i), final) ||
		    !charge(t, call.offset, final))
			return false;
	}
	call.args = args;
	call.count = count;
	if (!f->call(&call))
		must(t->code != 0);
	*result = call.result;
	return t->code == 0;
}

static bool eval_command(struct template_run *t, const struct command *c,
			 const struct template_value *dot, const struct template_value *final,
			 struct template_value *result)
{
	const struct operand *o = c->operands;

	if (!template_step(t, c->offset, 1))
		return false;
	if (o->type == OPERAND_FUNCTION && o->field_count == 0)
		return eval_function(t, c, dot, final, result);
	if (c->operand_count > 1 || final != NULL)
		return template_fail(t, o->offset, "can't give argument to non-function %.*s",
				     SLICE_ARG(o->text));
	if (o->type == OPERAND_NIL)
		return template_fail(t, o->offset, "nil is not a command, expected a value");
	return eval_operand(t, o, dot, result);
}

/* The value of a pipeline, without its variables. */
static bool eval_commands(struct template_run *t, const struct pipe *pipe,
			  const struct template_value *dot, struct template_value *result)
{
	const struct template_value *final = NULL;
	struct template_value value = value_nil();

	if (t->depth >= t->limits.depth_max)
		return template_fail(t, pipe->offset,
				     "calls are nested too deep, expected at most %u levels",
				     t->limits.depth_max);
	t->depth++;
	for (const struct command *c = pipe->commands; c != NULL; c = c->next) {
		struct template_value next = value_nil();

		if (!eval_command(t, c, dot, final, &next))
			return false;
		value = next;
		final = &value;
	}
	t->depth--;
	*result = value;
	return true;
}

static bool set_variable(struct template_run *t, const struct pipe *pipe, size_t index,
			 struct template_value value)
{
	struct variable *variable;

	if (!pipe->assigns)
		return push_variable(t, pipe->offset, pipe->variables[index], value);
	variable = find_variable(t, pipe->variables[index]);
	if (variable == NULL)
		return template_fail(t, pipe->offset, "undefined variable %.*s",
				     SLICE_ARG(pipe->variables[index]));
	variable->value = value;
	return true;
}

static bool eval_pipe(struct template_run *t, const struct pipe *pipe,
		      const struct template_value *dot, struct template_value *result)
{
	if (!eval_commands(t, pipe, dot, result))
		return false;
	for (size_t i = 0; i < pipe->variable_count; i++)
		if (!set_variable(t, pipe, i, *result))
			return false;
	return true;
}

static bool emit(struct template_run *t, size_t offset, const struct template_value *v)
{
	if (v->type == TYPE_NIL)
		str_add(t->out, SLICE("<no value>"));
	else
		template_print(t->out, v);
	if (t->out->failed || t->out->n - t->out_start > t->limits.output_bytes_max)
		return template_fail_memory(t, offset);
	return true;
}

static enum walk walk_if(struct template_run *t, const struct template_node *n,
			 const struct template_value *dot)
{
	size_t variables = t->variable_count;
	struct template_value value;
	enum walk w;

	if (!eval_pipe(t, n->pipe, dot, &value))
		return WALK_FAILED;
	if (template_truth(&value))
		w = walk_list(t, n->body, n->type == NODE_WITH ? &value : dot);
	else
		w = walk_list(t, n->otherwise, dot);
	t->variable_count = variables;
	return w;
}

/* One iteration: the variables of the range are `key` and `value`, or `value` alone. */
static enum walk iterate(struct template_run *t, const struct template_node *n,
			 struct template_value key, const struct template_value *value)
{
	const struct pipe *pipe = n->pipe;
	size_t variables = t->variable_count;
	enum walk w;
	bool ok = template_step(t, n->offset, 1);

	if (ok && pipe->variable_count == 2)
		ok = set_variable(t, pipe, 0, key) && set_variable(t, pipe, 1, *value);
	else if (ok && pipe->variable_count == 1)
		ok = set_variable(t, pipe, 0, *value);
	if (!ok)
		return WALK_FAILED;
	w = walk_list(t, n->body, value);
	t->variable_count = variables;
	return w == WALK_CONTINUE ? WALK_ON : w;
}

static enum walk iterate_list(struct template_run *t, const struct template_node *n,
			      const struct template_list *list)
{
	enum walk w = WALK_ON;

	for (size_t i = 0; i < list->count && w == WALK_ON; i++)
		w = iterate(t, n, value_int(TYPE_INT, (int64_t)i), &list->items[i]);
	return w;
}

/* Over a copy of the pairs: the body may change the map. */
static enum walk iterate_map(struct template_run *t, const struct template_node *n,
			     const struct template_pairs *map)
{
	struct template_pair *pairs = ARENA_ARRAY(&t->arena, struct template_pair, map->count + 1);
	size_t count = map->count;
	enum walk w = WALK_ON;

	if (pairs == NULL) {
		(void)template_fail_memory(t, n->offset);
		return WALK_FAILED;
	}
	memcpy(pairs, map->at, count * sizeof *pairs);
	for (size_t i = 0; i < count && w == WALK_ON; i++)
		w = iterate(t, n, value_text(pairs[i].key), pairs[i].value);
	return w;
}

static enum walk iterate_number(struct template_run *t, const struct template_node *n,
				const struct template_value *limit)
{
	enum walk w = WALK_ON;

	if (n->pipe->variable_count > 1) {
		(void)template_fail(t, n->pipe->offset,
				    "can't use a number to iterate over more than one variable");
		return WALK_FAILED;
	}
	for (int64_t i = 0; i < limit->integer && w == WALK_ON; i++) {
		struct template_value value = value_int(limit->type, i);

		w = iterate(t, n, value, &value);
	}
	return w;
}

static bool is_empty(const struct template_value *v)
{
	return v->type == TYPE_NIL || (template_is_list(v) && v->list.count == 0) ||
	       (template_is_map(v) && v->map->count == 0) ||
	       (template_is_integer(v) && v->integer <= 0);
}

static enum walk walk_range(struct template_run *t, const struct template_node *n,
			    const struct template_value *dot)
{
	size_t variables = t->variable_count;
	struct template_value value;
	enum walk w;

	if (!eval_commands(t, n->pipe, dot, &value))
		return WALK_FAILED;
	if (is_empty(&value))
		w = walk_list(t, n->otherwise, dot);
	else if (template_is_list(&value))
		w = iterate_list(t, n, &value.list);
	else if (template_is_map(&value))
		w = iterate_map(t, n, value.map);
	else if (template_is_integer(&value))
		w = iterate_number(t, n, &value);
	else {
		(void)template_fail(
			t, n->pipe->offset,
			"range can't iterate over a %s, expected a list, a map or an int",
			template_type_name(value.type));
		return WALK_FAILED;
	}
	t->variable_count = variables;
	return w == WALK_BREAK ? WALK_ON : w;
}

static enum walk walk_template(struct template_run *t, const struct template_node *n,
			       const struct template_value *dot)
{
	const struct definition *d = t->definitions;
	struct variable *variables = t->variables;
	size_t count = t->variable_count, capacity = t->variable_capacity;
	struct template_value value = value_nil();
	enum walk w = WALK_FAILED;

	while (d != NULL && !slice_equal(d->name, n->text))
		d = d->next;
	if (d == NULL) {
		(void)template_fail(t, n->offset, "template \"%.*s\" is not defined",
				    SLICE_ARG(n->text));
		return WALK_FAILED;
	}
	if (n->pipe != NULL && !eval_pipe(t, n->pipe, dot, &value))
		return WALK_FAILED;
	t->variables = NULL;
	t->variable_count = t->variable_capacity = 0;
	if (push_variable(t, n->offset, SLICE("$"), value))
		w = walk_list(t, d->body, &value);
	t->variables = variables;
	t->variable_count = count;
	t->variable_capacity = capacity;
	return w;
}

static enum walk walk_action(struct template_run *t, const struct template_node *n,
			     const struct template_value *dot)
{
	struct template_value value;

	if (!eval_pipe(t, n->pipe, dot, &value))
		return WALK_FAILED;
	if (n->pipe->variable_count > 0)
		return WALK_ON;
	return emit(t, n->offset, &value) ? WALK_ON : WALK_FAILED;
}

static enum walk walk_node(struct template_run *t, const struct template_node *n,
			   const struct template_value *dot)
{
	struct template_value text;

	switch (n->type) {
	case NODE_TEXT:
		text = value_text(n->text);
		return emit(t, n->offset, &text) ? WALK_ON : WALK_FAILED;
	case NODE_ACTION:
		return walk_action(t, n, dot);
	case NODE_IF:
	case NODE_WITH:
		return walk_if(t, n, dot);
	case NODE_RANGE:
		return walk_range(t, n, dot);
	case NODE_TEMPLATE:
		return walk_template(t, n, dot);
	case NODE_BREAK:
		return WALK_BREAK;
	case NODE_CONTINUE:
		return WALK_CONTINUE;
	}
	must_not_reach("a node of an unknown type");
}

static enum walk walk_list(struct template_run *t, const struct template_node *list,
			   const struct template_value *dot)
{
	enum walk w = WALK_ON;

	if (list == NULL)
		return WALK_ON;
	if (++t->depth > t->limits.depth_max) {
		(void)template_fail(t, list->offset, "nested too deep, expected at most %u levels",
				    t->limits.depth_max);
		return WALK_FAILED;
	}
	for (const struct template_node *n = list; n != NULL && w == WALK_ON; n = n->next)
		w = template_step(t, n->offset, 1) ? walk_node(t, n, dot) : WALK_FAILED;
	t->depth--;
	return w;
}

bool template_eval(struct template_run *t)
{
	static const struct template_value nothing = {.type = TYPE_BOOL};
	const struct template_value *dot = t->input->data != NULL ? t->input->data : &nothing;

	t->variable_count = 0;
	return push_variable(t, 0, SLICE("$"), *dot) && walk_list(t, t->body, dot) != WALK_FAILED;
}
