#include "provider/template_private.h"

/* The functions of text/template itself. `slice` is sprig's, in template_lists.c. */

static bool call_not(struct template_call *c)
{
	c->result = value_bool(!template_truth(&c->args[0]));
	return true;
}

enum basic_kind { KIND_OTHER, KIND_BOOL, KIND_INTEGER, KIND_FLOAT, KIND_STRING };

static enum basic_kind basic_kind(const struct template_value *v)
{
	if (template_is_integer(v))
		return KIND_INTEGER;
	if (v->type == TYPE_BOOL)
		return KIND_BOOL;
	if (v->type == TYPE_FLOAT)
		return KIND_FLOAT;
	return v->type == TYPE_STRING ? KIND_STRING : KIND_OTHER;
}

static bool incompatible(struct template_call *c, const struct template_value *a,
			 const struct template_value *b)
{
	return template_call_fail(c, "incompatible types for comparison: %s and %s",
				  template_type_name(a->type), template_type_name(b->type));
}

/* -1, 0, 1 of two values of the same basic kind. */
static int order(const struct template_value *a, const struct template_value *b)
{
	if (a->type == TYPE_STRING)
		return slice_compare(a->text, b->text);
	if (a->type == TYPE_FLOAT)
		return a->real < b->real ? -1 : a->real > b->real;
	if (a->type == TYPE_BOOL)
		return a->boolean - b->boolean;
	return a->integer < b->integer ? -1 : a->integer > b->integer;
}

static bool equal_two(struct template_call *c, const struct template_value *a,
		      const struct template_value *b, bool *equal)
{
	*equal = false;
	if (a->type == TYPE_NIL || b->type == TYPE_NIL) {
		*equal = a->type == b->type;
		return true;
	}
	if (basic_kind(a) != basic_kind(b))
		return incompatible(c, a, b);
	if (basic_kind(a) == KIND_OTHER)
		return template_call_fail(c, "values of type %s can't be compared",
					  template_type_name(a->type));
	*equal = order(a, b) == 0 && (a->type != TYPE_FLOAT || a->real <= b->real);
	return true;
}

static bool call_eq(struct template_call *c)
{
	bool equal = false;

	if (c->count < 2)
		return template_call_fail(c,
					  "missing argument for comparison, expected at least two");
	for (size_t i = 1; i < c->count && !equal; i++)
		if (!equal_two(c, &c->args[0], &c->args[i], &equal))
			return false;
	c->result = value_bool(equal);
	return true;
}

static bool call_ne(struct template_call *c)
{
	bool equal;

	if (!equal_two(c, &c->args[0], &c->args[1], &equal))
		return false;
	c->result = value_bool(!equal);
	return true;
}

static bool compare(struct template_call *c, int *result)
{
	enum basic_kind a = basic_kind(&c->args[0]), b = basic_kind(&c->args[1]);

	if (a == KIND_OTHER || a == KIND_BOOL)
		return template_call_fail(c, "values of type %s have no order",
					  template_type_name(c->args[0].type));
	if (a != b)
		return incompatible(c, &c->args[0], &c->args[1]);
	*result = order(&c->args[0], &c->args[1]);
	return true;
}

static bool call_lt(struct template_call *c)
{
	int result;

	if (!compare(c, &result))
		return false;
	c->result = value_bool(result < 0);
	return true;
}

static bool call_le(struct template_call *c)
{
	int result;

	if (!compare(c, &result))
		return false;
	c->result = value_bool(result <= 0);
	return true;
}

static bool call_gt(struct template_call *c)
{
	int result;

	if (!compare(c, &result))
		return false;
	c->result = value_bool(result > 0);
	return true;
}

static bool call_ge(struct template_call *c)
{
	int result;

	if (!compare(c, &result))
		return false;
	c->result = value_bool(result >= 0);
	return true;
}

static bool index_number(struct template_call *c, const struct template_value *index, size_t count,
			 size_t *at)
{
	if (!template_is_integer(index))
		return template_call_fail(c, "cannot index a list with a %s, expected an int",
					  template_type_name(index->type));
	if (index->integer < 0 || (uint64_t)index->integer >= count)
		return template_call_fail(c, "index out of range: %lld, expected less than %zu",
					  (long long)index->integer, count);
	*at = (size_t)index->integer;
	return true;
}

static bool index_one(struct template_call *c, struct template_value *v,
		      const struct template_value *index)
{
	const struct template_value *found;
	size_t at;

	if (template_is_map(v)) {
		if (index->type != TYPE_STRING)
			return template_call_fail(c,
						  "cannot index a map with a %s, expected a string",
						  template_type_name(index->type));
		found = template_map_get(v, index->text);
		*v = found != NULL ? *found : value_nil();
		return true;
	}
	if (v->type == TYPE_STRING) {
		if (!index_number(c, index, v->text.n, &at))
			return false;
		*v = value_int(TYPE_UINT8, (unsigned char)v->text.p[at]);
		return true;
	}
	if (!template_is_list(v))
		return template_call_fail(c, "can't index a value of type %s",
					  template_type_name(v->type));
	if (!index_number(c, index, v->list.count, &at))
		return false;
	*v = v->list.items[at];
	return true;
}

static bool call_index(struct template_call *c)
{
	struct template_value v = c->args[0];

	for (size_t i = 1; i < c->count; i++)
		if (!index_one(c, &v, &c->args[i]))
			return false;
	c->result = v;
	return true;
}

static bool call_len(struct template_call *c)
{
	const struct template_value *v = &c->args[0];
	size_t n;

	if (v->type == TYPE_STRING)
		n = v->text.n;
	else if (template_is_list(v))
		n = v->list.count;
	else if (template_is_map(v))
		n = v->map->count;
	else
		return template_call_fail(c, "a value of type %s has no length",
					  template_type_name(v->type));
	c->result = value_int(TYPE_INT, (int64_t)n);
	return true;
}

static bool call_print(struct template_call *c)
{
	struct str out = template_scratch(c->run);

	template_print_all(&out, c->args, c->count, false);
	return template_return_text(c, &out);
}

static bool call_println(struct template_call *c)
{
	struct str out = template_scratch(c->run);

	template_print_all(&out, c->args, c->count, true);
	return template_return_text(c, &out);
}

static bool call_printf(struct template_call *c)
{
	struct str out = template_scratch(c->run);

	template_printf(&out, c->args[0].text, c->args + 1, c->count - 1);
	return template_return_text(c, &out);
}

/* What the escapers work on: one string as it is, anything else printed. */
static bool arguments_text(struct template_call *c, slice *text)
{
	struct str out;

	if (c->count == 1 && c->args[0].type == TYPE_STRING) {
		*text = c->args[0].text;
		return true;
	}
	for (size_t i = 0; i < c->count; i++)
		if (c->args[i].type == TYPE_NIL)
			c->args[i] = value_text(SLICE("<no value>"));
	out = template_scratch(c->run);
	template_print_all(&out, c->args, c->count, false);
	return template_keep(c->run, c->offset, &out, text);
}

static bool call_html(struct template_call *c)
{
	struct str out = template_scratch(c->run);
	slice s;

	if (!arguments_text(c, &s))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char b = s.p[i];

		str_add(&out, b == '\''   ? SLICE("&#39;")
			      : b == '"'  ? SLICE("&#34;")
			      : b == '&'  ? SLICE("&amp;")
			      : b == '<'  ? SLICE("&lt;")
			      : b == '>'  ? SLICE("&gt;")
			      : b == '\0' ? SLICE("\xef\xbf\xbd")
					  : slice_of(&s.p[i], 1));
	}
	return template_return_text(c, &out);
}

static bool call_js(struct template_call *c)
{
	struct str out = template_scratch(c->run);
	slice s;

	if (!arguments_text(c, &s))
		return false;
	for (size_t n; s.n > 0; s = slice_from_at(s, n)) {
		uint32_t b;

		n = template_rune(s, &b);
		if (b == '\\' || b == '\'' || b == '"')
			str_format(&out, "\\%c", (char)b);
		else if (b < 0x20 || (b < 0x80 && strchr("<>&=", (int)b) != NULL) ||
			 (b >= 0x80 && !template_printable(b)))
			str_format(&out, "\\u%04X", b);
		else
			str_add(&out, slice_first(s, n));
	}
	return template_return_text(c, &out);
}

static bool call_urlquery(struct template_call *c)
{
	struct str out = template_scratch(c->run);
	slice s;

	if (!arguments_text(c, &s))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char b = s.p[i], lower = ascii_lower(b);

		if ((lower >= 'a' && lower <= 'z') || ascii_digit(b) ||
		    (b != '\0' && strchr("-_.~", b) != NULL))
			str_add_char(&out, b);
		else if (b == ' ')
			str_add_char(&out, '+');
		else
			str_format(&out, "%%%02X", (unsigned char)b);
	}
	return template_return_text(c, &out);
}

/* Evaluated by the walk itself: its arguments after the deciding one are not. */
static bool call_logic(struct template_call *c)
{
	(void)c;
	must_not_reach("and, or are not called");
}

const struct template_function template_basic_functions[] = {
	{"and", "La*", call_logic},
	{"or", "La*", call_logic},
	{"not", "a", call_not},
	{"eq", "aa*", call_eq},
	{"ne", "aa", call_ne},
	{"lt", "aa", call_lt},
	{"le", "aa", call_le},
	{"gt", "aa", call_gt},
	{"ge", "aa", call_ge},
	{"index", "aa*", call_index},
	{"len", "a", call_len},
	{"print", "a*", call_print},
	{"println", "a*", call_println},
	{"printf", "sa*", call_printf},
	{"html", "a*", call_html},
	{"js", "a*", call_js},
	{"urlquery", "a*", call_urlquery},
	{"call", "aa*", NULL},
	{NULL, NULL, NULL},
};
