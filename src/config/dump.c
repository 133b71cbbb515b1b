#include <stdlib.h>

#include "config/value.h"

static void add_indent(struct str *out, unsigned indent)
{
	for (unsigned i = 0; i < indent; i++)
		str_add(out, SLICE("  "));
}

static bool is_absent(const struct option *row, const void *from)
{
	if (row->type == OPTION_TRISTATE)
		return *(const enum option_tristate *)from == OPTION_UNSET;
	return (row->flags & OPTION_OPTIONAL) && *(const int64_t *)from == OPTION_NOT_GIVEN;
}

static bool is_default(const struct option *row, const void *from)
{
	union value_any initial;
	struct arena arena;
	bool same;

	arena_init(&arena, 1024, 64 * 1024);
	value_clear(row, &initial);
	if (row->initial != NULL)
		(void)value_from_text(row, slice_from(row->initial), &initial, &arena, NULL);
	same = value_equal(row, from, &initial);
	arena_free(&arena);
	return same;
}

static void dump_plain(struct str *out, const struct option *row, const char *from,
		       const struct option_dump *how)
{
	if (is_absent(row, from) || (!how->defaults && is_default(row, from)))
		return;
	tree_add_yaml_key(out, slice_from(row->name), how->indent);
	str_add_char(out, ' ');
	if ((row->flags & OPTION_SECRET) && !how->secrets && !is_default(row, from))
		str_add(out, SLICE("xxxx"));
	else
		value_add_yaml(out, row, from);
	if (how->docs)
		str_format(out, "  # %s", row->doc);
	str_add_char(out, '\n');
}

static struct option_dump inside(const struct option_dump *how)
{
	struct option_dump deeper = *how;

	deeper.indent++;
	return deeper;
}

/* After "key:": the structure below it, or {} if there is nothing to say. */
static void dump_below(struct str *out, const struct option *table, const void *object,
		       const struct option_dump *how)
{
	struct option_dump deeper = inside(how);
	struct str body = {0};

	option_dump(&body, table, object, &deeper);
	str_add(out, body.n > 0 ? SLICE("\n") : SLICE(" {}\n"));
	str_add(out, str_slice(&body));
	out->failed |= body.failed;
	str_free(&body);
}

static void dump_node(struct str *out, const struct tree_node *node, unsigned indent)
{
	str_add(out, node->first == NULL ? SLICE(" {}\n") : SLICE("\n"));
	tree_add_yaml(out, node, indent + 1);
}

static void dump_map(struct str *out, const struct option *row, const struct option_map *map,
		     const struct option_dump *how)
{
	struct option_dump deeper = inside(how);

	if (map->count == 0)
		return;
	tree_add_yaml_key(out, slice_from(row->name), how->indent);
	str_add_char(out, '\n');
	for (size_t i = 0; i < map->count; i++) {
		tree_add_yaml_key(out, map->items[i].name, deeper.indent);
		if (row->type == OPTION_FREE_MAP)
			dump_node(out, map->items[i].value, deeper.indent);
		else
			dump_below(out, row->table, map->items[i].value, &deeper);
	}
}

static void dump_array(struct str *out, const struct option *row, const struct option_array *array,
		       const struct option_dump *how)
{
	struct option_dump deeper = inside(how);

	if (array->count == 0)
		return;
	tree_add_yaml_key(out, slice_from(row->name), how->indent);
	str_add_char(out, '\n');
	for (size_t i = 0; i < array->count; i++) {
		add_indent(out, deeper.indent);
		str_add_char(out, '-');
		dump_below(out, row->table, array->items[i], &deeper);
	}
}

static void dump_pairs(struct str *out, const struct option *row, const void *from,
		       const struct option_dump *how)
{
	struct option_pairs strings;
	struct option_int_pairs integers;

	memcpy(&strings, from, sizeof strings);
	memcpy(&integers, from, sizeof integers);
	if (strings.count == 0)
		return;
	tree_add_yaml_key(out, slice_from(row->name), how->indent);
	str_add_char(out, '\n');
	for (size_t i = 0; i < strings.count; i++) {
		tree_add_yaml_key(out,
				  row->type == OPTION_PAIRS ? strings.items[i].key
							    : integers.items[i].key,
				  how->indent + 1);
		str_add_char(out, ' ');
		if (row->type == OPTION_INT_PAIRS)
			str_format(out, "%lld", (long long)integers.items[i].value);
		else if ((row->flags & OPTION_SECRET) && !how->secrets)
			str_add(out, SLICE("xxxx"));
		else
			tree_add_yaml_string(out, strings.items[i].value);
		str_add_char(out, '\n');
	}
}

/* A structure that is always there is left out if it has nothing to say; one that must not be empty
 * says its defaults. */
static void dump_object(struct str *out, const struct option *row, const void *object,
			const struct option_dump *how)
{
	struct option_dump deeper = inside(how);
	struct str body = {0};

	option_dump(&body, row->table, object, &deeper);
	if (body.n == 0 && row->type == OPTION_OBJECT)
		return;
	if (body.n == 0 && !(row->flags & OPTION_ALLOW_EMPTY)) {
		deeper.defaults = true;
		option_dump(&body, row->table, object, &deeper);
	}
	tree_add_yaml_key(out, slice_from(row->name), how->indent);
	str_add(out, body.n > 0 ? SLICE("\n") : SLICE(" {}\n"));
	str_add(out, str_slice(&body));
	out->failed |= body.failed;
	str_free(&body);
}

static void dump_row(struct str *out, const struct option *row, const char *from,
		     const struct option_dump *how)
{
	const void *const *pointer = (const void *const *)(const void *)from;

	switch (row->type) {
	case OPTION_OBJECT:
		dump_object(out, row, from, how);
		break;
	case OPTION_POINTER:
		if (*pointer != NULL)
			dump_object(out, row, *pointer, how);
		break;
	case OPTION_FREE:
		if (*pointer == NULL)
			break;
		tree_add_yaml_key(out, slice_from(row->name), how->indent);
		dump_node(out, *pointer, how->indent);
		break;
	case OPTION_MAP:
	case OPTION_FREE_MAP:
		dump_map(out, row, (const struct option_map *)(const void *)from, how);
		break;
	case OPTION_ARRAY:
		dump_array(out, row, (const struct option_array *)(const void *)from, how);
		break;
	case OPTION_PAIRS:
	case OPTION_INT_PAIRS:
		dump_pairs(out, row, from, how);
		break;
	default:
		dump_plain(out, row, from, how);
	}
}

void option_dump(struct str *out, const struct option *table, const void *object,
		 const struct option_dump *how)
{
	for (; table->name != NULL; table++)
		if (!(table->flags & OPTION_NOWHERE))
			dump_row(out, table, (const char *)object + table->offset, how);
}
