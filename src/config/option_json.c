#include <math.h>
#include <stdlib.h>

#include "config/value.h"

/* Structures as Traefik's API shows them. */

struct writer {
	struct str *out;
	const struct option_json *how;
	bool any; /* a member of the object at hand was written */
};

static void begin(struct writer *w, const struct option *row)
{
	if (w->any)
		str_add_char(w->out, ',');
	w->any = true;
	tree_add_json_string(w->out, slice_from(row->name));
	str_add_char(w->out, ':');
}

static void add_object(struct writer *w, const struct option *table, const void *object,
		       const struct tree_node *node)
{
	str_add_char(w->out, '{');
	(void)option_json(w->out, table, object, node, w->how);
	str_add_char(w->out, '}');
}

static bool is_zero(const struct option *row, const union value_any *v)
{
	switch (row->type) {
	case OPTION_BOOL:
		return !v->flag;
	case OPTION_TRISTATE:
		return v->tristate == OPTION_UNSET;
	case OPTION_INT32:
		return v->integer32 == 0;
	case OPTION_FLOAT:
		return v->number == 0;
	case OPTION_ENUM:
		return row->names->items[v->choice][0] == '\0';
	case OPTION_LIST:
		return v->list.count == 0;
	case OPTION_CONTENT:
		return v->content.text.n == 0;
	case OPTION_CONTENTS:
		return v->contents.count == 0;
	case OPTION_INTS:
		return v->ints.count == 0;
	case OPTION_FLOATS:
		return v->floats.count == 0;
	case OPTION_INT:
	case OPTION_SIZE:
	case OPTION_DURATION:
		return v->integer == 0;
	default:
		return v->text.n == 0;
	}
}

static bool is_absent(const struct option *row, const union value_any *v)
{
	if (row->type == OPTION_TRISTATE)
		return v->tristate == OPTION_UNSET;
	return (row->flags & OPTION_OPTIONAL) && v->integer == OPTION_NOT_GIVEN;
}

static bool is_shown(const struct writer *w, const struct option *row, const union value_any *v,
		     const struct tree_node *child)
{
	if (is_absent(row, v))
		return false;
	if (child == NULL && (w->how->set_only || (row->flags & OPTION_SHOWN_SET)))
		return false;
	return row->type == OPTION_TRISTATE || (row->flags & (OPTION_OPTIONAL | OPTION_SHOWN)) ||
	       !is_zero(row, v);
}

static void add_texts(struct str *out, const slice *items, size_t count)
{
	str_add_char(out, '[');
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			str_add_char(out, ',');
		tree_add_json_string(out, items[i]);
	}
	str_add_char(out, ']');
}

static void add_contents(struct str *out, const struct option_contents *list)
{
	str_add_char(out, '[');
	for (size_t i = 0; i < list->count; i++) {
		if (i > 0)
			str_add_char(out, ',');
		tree_add_json_string(out, list->items[i].text);
	}
	str_add_char(out, ']');
}

static void add_numbers(struct str *out, const struct option *row, const union value_any *v)
{
	size_t count = row->type == OPTION_INTS ? v->ints.count : v->floats.count;

	str_add_char(out, '[');
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			str_add_char(out, ',');
		if (row->type == OPTION_INTS)
			str_format(out, "%lld", (long long)v->ints.items[i]);
		else
			tree_add_json_number(out, v->floats.items[i]);
	}
	str_add_char(out, ']');
}

static void add_written(struct str *out, const struct tree_node *node)
{
	if (node->kind == TREE_SCALAR) {
		tree_add_json_string(out, node->text);
		return;
	}
	str_add_char(out, '[');
	TREE_FOR_EACH (child, node) {
		if (child != node->first)
			str_add_char(out, ',');
		tree_add_json_string(out, child->text);
	}
	str_add_char(out, ']');
}

static void add_duration(struct str *out, int64_t ns)
{
	str_add_char(out, '"');
	option_add_duration(out, ns);
	str_add_char(out, '"');
}

static void add_value(struct str *out, const struct option *row, const union value_any *v)
{
	switch (row->type) {
	case OPTION_BOOL:
		str_add(out, v->flag ? SLICE("true") : SLICE("false"));
		break;
	case OPTION_TRISTATE:
		str_add(out, v->tristate == OPTION_TRUE ? SLICE("true") : SLICE("false"));
		break;
	case OPTION_INT32:
		str_format(out, "%ld", (long)v->integer32);
		break;
	case OPTION_FLOAT:
		tree_add_json_number(out, v->number);
		break;
	case OPTION_ENUM:
		tree_add_json_string(out, slice_from(row->names->items[v->choice]));
		break;
	case OPTION_LIST:
		add_texts(out, v->list.items, v->list.count);
		break;
	case OPTION_CONTENT:
		tree_add_json_string(out, v->content.text);
		break;
	case OPTION_CONTENTS:
		add_contents(out, &v->contents);
		break;
	case OPTION_INTS:
	case OPTION_FLOATS:
		add_numbers(out, row, v);
		break;
	case OPTION_INT:
	case OPTION_SIZE:
		str_format(out, "%lld", (long long)v->integer);
		break;
	case OPTION_DURATION:
		add_duration(out, v->integer);
		break;
	default:
		tree_add_json_string(out, v->text);
	}
}

/* What a row that is kept nowhere would hold. */
static void read_node(const struct option *row, const struct tree_node *child, union value_any *v,
		      struct arena *arena)
{
	int r = -1;

	value_clear(row, v);
	if (child != NULL && child->kind == TREE_LIST)
		r = value_from_list(row, child, v, arena, NULL);
	else if (child != NULL && child->kind == TREE_SCALAR)
		r = value_from_text(row, child->text, v, arena, NULL);
	if (r < 0 && row->initial != NULL)
		(void)value_from_text(row, slice_from(row->initial), v, arena, NULL);
}

static void add_plain(struct writer *w, const struct option *row, const char *from,
		      const struct tree_node *child)
{
	struct arena arena;
	union value_any v;

	arena_init(&arena, 1024, (size_t)1 << 20);
	if (from == NULL)
		read_node(row, child, &v, &arena);
	else
		memcpy(&v, from, value_size(row->type));
	if (is_shown(w, row, &v, child)) {
		begin(w, row);
		if ((row->flags & OPTION_SECRET) && w->how->hide && !is_zero(row, &v))
			tree_add_json_string(w->out, SLICE("xxxx"));
		else if ((row->flags & OPTION_AS_WRITTEN) && child != NULL &&
			 child->kind == (row->type == OPTION_LIST ? TREE_LIST : TREE_SCALAR))
			add_written(w->out, child);
		else
			add_value(w->out, row, &v);
	}
	arena_free(&arena);
}

static void add_pairs(struct writer *w, const struct option *row, const char *from)
{
	struct option_pairs strings = {0};
	struct option_int_pairs integers = {0};
	size_t count;

	if (from != NULL && row->type == OPTION_PAIRS)
		memcpy(&strings, from, sizeof strings);
	else if (from != NULL)
		memcpy(&integers, from, sizeof integers);
	count = strings.count + integers.count;
	if (count == 0)
		return;
	begin(w, row);
	for (size_t i = 0; i < count; i++) {
		str_add_char(w->out, i == 0 ? '{' : ',');
		tree_add_json_string(w->out, row->type == OPTION_PAIRS ? strings.items[i].key
								       : integers.items[i].key);
		str_add_char(w->out, ':');
		if (row->type == OPTION_INT_PAIRS)
			str_format(w->out, "%lld", (long long)integers.items[i].value);
		else if ((row->flags & OPTION_SECRET) && w->how->hide)
			tree_add_json_string(w->out, SLICE("xxxx"));
		else
			tree_add_json_string(w->out, strings.items[i].value);
	}
	str_add_char(w->out, '}');
}

static void add_map(struct writer *w, const struct option *row, const struct option_map *map)
{
	if (map->count == 0)
		return;
	begin(w, row);
	for (size_t i = 0; i < map->count; i++) {
		const struct option_entry *e = &map->items[i];

		str_add_char(w->out, i == 0 ? '{' : ',');
		tree_add_json_string(w->out, e->name);
		str_add_char(w->out, ':');
		if (row->type == OPTION_FREE_MAP && w->how->hide)
			tree_add_json_string(w->out, SLICE("xxxx"));
		else if (row->type == OPTION_FREE_MAP)
			tree_add_json(w->out, e->value, true);
		else
			add_object(w, row->table, e->value, e->node);
	}
	str_add_char(w->out, '}');
}

static void add_array(struct writer *w, const struct option *row, const struct option_array *array)
{
	if (array->count == 0)
		return;
	begin(w, row);
	for (size_t i = 0; i < array->count; i++) {
		str_add_char(w->out, i == 0 ? '[' : ',');
		add_object(w, row->table, array->items[i],
			   array->nodes != NULL ? array->nodes[i] : NULL);
	}
	str_add_char(w->out, ']');
}

static bool is_given(const struct tree_node *node)
{
	return node != NULL && node->kind != TREE_NULL &&
	       !slice_equal_nocase(node->text, SLICE("false"));
}

/* Lists and maps of what is kept nowhere. */
static void add_nodes(struct writer *w, const struct option *row, const struct tree_node *node)
{
	const bool list = row->type == OPTION_ARRAY;
	bool first = true;

	if (node == NULL || node->first == NULL)
		return;
	begin(w, row);
	str_add_char(w->out, list ? '[' : '{');
	TREE_FOR_EACH (child, node) {
		if (!first)
			str_add_char(w->out, ',');
		first = false;
		if (!list) {
			tree_add_json_string(w->out, child->key);
			str_add_char(w->out, ':');
		}
		if (w->how->hide && (row->type == OPTION_FREE_MAP || (row->flags & OPTION_SECRET)))
			tree_add_json_string(w->out, SLICE("xxxx"));
		else if (row->type == OPTION_FREE_MAP)
			tree_add_json(w->out, child, true);
		else if (row->type == OPTION_PAIRS)
			tree_add_json_string(w->out, child->text);
		else if (row->type == OPTION_INT_PAIRS)
			str_add(w->out, child->text);
		else
			add_object(w, row->table, NULL, child);
	}
	str_add_char(w->out, list ? ']' : '}');
}

static void add_row(struct writer *w, const struct option *row, const char *from,
		    const struct tree_node *child)
{
	const void *at = from, *object = from;

	if (row->type == OPTION_POINTER && from != NULL)
		memcpy(&object, from, sizeof object);
	switch (row->type) {
	case OPTION_OBJECT:
		if (is_given(child) || !(w->how->set_only || (row->flags & OPTION_SHOWN_SET))) {
			begin(w, row);
			add_object(w, row->table, object, child);
		}
		break;
	case OPTION_POINTER:
		if (from != NULL ? object != NULL
				 : is_given(child) || (row->flags & OPTION_SHOWN)) {
			begin(w, row);
			add_object(w, row->table, object, child);
		}
		break;
	case OPTION_PAIRS:
	case OPTION_INT_PAIRS:
		if (from == NULL)
			add_nodes(w, row, child);
		else
			add_pairs(w, row, from);
		break;
	case OPTION_MAP:
	case OPTION_FREE_MAP:
		if (from == NULL)
			add_nodes(w, row, child);
		else
			add_map(w, row, at);
		break;
	case OPTION_ARRAY:
		if (from == NULL)
			add_nodes(w, row, child);
		else
			add_array(w, row, at);
		break;
	case OPTION_FREE:
		if (child != NULL) {
			begin(w, row);
			tree_add_json(w->out, child, true);
		}
		break;
	default:
		add_plain(w, row, from, child);
	}
}

bool option_json(struct str *out, const struct option *table, const void *object,
		 const struct tree_node *node, const struct option_json *how)
{
	struct writer w = {.out = out, .how = how};

	for (; table->name != NULL; table++) {
		const char *from = object != NULL && !(table->flags & OPTION_NOWHERE)
					   ? (const char *)object + table->offset
					   : NULL;

		if (table->status != REMOVED)
			add_row(&w, table, from, tree_child(node, slice_from(table->name)));
	}
	return w.any;
}
