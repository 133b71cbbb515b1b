#include <jansson.h>
#include <math.h>

#include "provider/template_private.h"

/* JSON as Go's encoding/json writes and reads it. */

#define NESTING_MAX 100 /* a map can be made to contain itself */

struct writer {
	struct str out;
	bool html;
	bool pretty;
};

static void write_value(struct writer *w, const struct template_value *v, unsigned depth);

static void write_text(struct writer *w, slice s)
{
	static const char special[] = "\b\f\n\r\t\"\\", letters[] = "bfnrt\"\\";
	uint32_t rune;
	size_t n;

	str_add_char(&w->out, '"');
	for (; s.n > 0; s = slice_from_at(s, n)) {
		const char *known;

		n = template_rune(s, &rune);
		known = rune != 0 && rune < 0x80 ? strchr(special, (int)rune) : NULL;
		if (known != NULL)
			str_format(&w->out, "\\%c", letters[known - special]);
		else if (rune < 0x20 || rune == 0x2028 || rune == 0x2029 ||
			 (rune == 0xfffd && n == 1) ||
			 (w->html && (rune == '<' || rune == '>' || rune == '&')))
			str_format(&w->out, "\\u%04x", rune);
		else
			str_add(&w->out, slice_first(s, n));
	}
	str_add_char(&w->out, '"');
}

/* Go's exponents have no leading zero here. */
static void write_float(struct writer *w, double d)
{
	double size = fabs(d);
	struct str text = {0};

	if (size > 0 && (size < 1e-6 || size >= 1e21)) {
		slice s;

		template_print_float(&text, d, 'e', -1);
		s = str_slice(&text);
		if (s.n > 3 && s.p[s.n - 2] == '0') {
			text.p[s.n - 2] = s.p[s.n - 1];
			s.n--;
		}
		str_add(&w->out, s);
	} else {
		template_print_float(&w->out, d, 'f', -1);
	}
	str_free(&text);
}

static void write_break(struct writer *w, unsigned depth)
{
	if (!w->pretty)
		return;
	str_add_char(&w->out, '\n');
	for (unsigned i = 0; i < depth; i++)
		str_add(&w->out, SLICE("  "));
}

static void write_list(struct writer *w, const struct template_list *list, unsigned depth)
{
	str_add_char(&w->out, '[');
	for (size_t i = 0; i < list->count && !w->out.failed; i++) {
		if (i > 0)
			str_add_char(&w->out, ',');
		write_break(w, depth + 1);
		write_value(w, &list->items[i], depth + 1);
	}
	if (list->count > 0)
		write_break(w, depth);
	str_add_char(&w->out, ']');
}

static void write_map(struct writer *w, const struct template_pairs *map, unsigned depth)
{
	str_add_char(&w->out, '{');
	for (size_t i = 0; i < map->count && !w->out.failed; i++) {
		if (i > 0)
			str_add_char(&w->out, ',');
		write_break(w, depth + 1);
		write_text(w, map->at[i].key);
		str_add(&w->out, w->pretty ? SLICE(": ") : SLICE(":"));
		write_value(w, map->at[i].value, depth + 1);
	}
	if (map->count > 0)
		write_break(w, depth);
	str_add_char(&w->out, '}');
}

static void write_value(struct writer *w, const struct template_value *v, unsigned depth)
{
	if (depth > NESTING_MAX)
		w->out.failed = true;
	else if (v->type == TYPE_NIL)
		str_add(&w->out, SLICE("null"));
	else if (v->type == TYPE_STRING)
		write_text(w, v->text);
	else if (v->type == TYPE_FLOAT)
		write_float(w, v->real);
	else if (template_is_list(v))
		write_list(w, &v->list, depth);
	else if (template_is_map(v))
		write_map(w, v->map, depth);
	else
		template_print(&w->out, v);
}

static bool return_json(struct template_call *c, bool html, bool pretty)
{
	struct writer w = {template_scratch(c->run), html, pretty};

	write_value(&w, &c->args[0], 0);
	return template_return_text(c, &w.out);
}

static bool call_to_json(struct template_call *c)
{
	return return_json(c, true, false);
}

static bool call_to_pretty_json(struct template_call *c)
{
	return return_json(c, true, true);
}

static bool call_to_raw_json(struct template_call *c)
{
	return return_json(c, false, false);
}

static bool convert(struct template_call *c, const json_t *json, struct template_value *v);

static bool convert_array(struct template_call *c, const json_t *json, struct template_value *v)
{
	size_t count = json_array_size(json);

	*v = (struct template_value){.type = TYPE_ANYS};
	v->list.items = ARENA_ARRAY(&c->run->arena, struct template_value, count + 1);
	if (v->list.items == NULL)
		return template_fail_memory(c->run, c->offset);
	v->list.count = count;
	for (size_t i = 0; i < count; i++)
		if (!convert(c, json_array_get(json, i), &v->list.items[i]))
			return false;
	return true;
}

static bool convert_object(struct template_call *c, json_t *json, struct template_value *v)
{
	struct template_value *map = template_map(&c->run->arena), inner;
	const char *key;
	json_t *value;

	if (map == NULL)
		return template_fail_memory(c->run, c->offset);
	json_object_foreach(json, key, value)
	{
		slice copy = arena_copy(&c->run->arena, slice_from(key));

		if (!convert(c, value, &inner))
			return false;
		if (copy.p == NULL || !template_map_set(&c->run->arena, map, copy, inner))
			return template_fail_memory(c->run, c->offset);
	}
	*v = *map;
	return true;
}

static bool convert(struct template_call *c, const json_t *json, struct template_value *v)
{
	slice text;

	if (json_is_array(json))
		return convert_array(c, json, v);
	if (json_is_object(json))
		return convert_object(c, (json_t *)(uintptr_t)json, v);
	*v = value_nil();
	if (json_is_boolean(json))
		*v = value_bool(json_is_true(json));
	else if (json_is_number(json))
		*v = value_float(json_number_value(json));
	else if (json_is_string(json)) {
		text = slice_of(json_string_value(json), json_string_length(json));
		*v = value_text(arena_copy(&c->run->arena, text));
		if (v->text.p == NULL)
			return template_fail_memory(c->run, c->offset);
	}
	return true;
}

static bool from_json(struct template_call *c, bool must_succeed)
{
	slice text = c->args[0].text;
	json_error_t error;
	json_t *json =
		json_loadb(text.p != NULL ? text.p : "", text.n,
			   JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
	bool ok;

	c->result = value_nil();
	if (json == NULL && must_succeed)
		return template_call_fail(c, "not JSON: %s", error.text);
	if (json == NULL)
		return true;
	ok = convert(c, json, &c->result);
	json_decref(json);
	return ok;
}

static bool call_from_json(struct template_call *c)
{
	return from_json(c, false);
}

static bool call_must_from_json(struct template_call *c)
{
	return from_json(c, true);
}

const struct template_function template_json_functions[] = {
	{"toJson", "a", call_to_json},
	{"mustToJson", "a", call_to_json},
	{"toPrettyJson", "a", call_to_pretty_json},
	{"mustToPrettyJson", "a", call_to_pretty_json},
	{"toRawJson", "a", call_to_raw_json},
	{"mustToRawJson", "a", call_to_raw_json},
	{"fromJson", "s", call_from_json},
	{"mustFromJson", "s", call_must_from_json},
	{NULL, NULL, NULL},
};
