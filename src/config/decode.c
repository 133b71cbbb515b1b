#include <errno.h>

#include "config/value.h"

#define ROWS_MAX 128

/* One call of `option_decode`. */
struct decoder {
	const struct option_context *context;
	bool quiet; /* inside an object that was accepted without effect */
	int result;
};

static int decode_map(struct decoder *d, const struct option *table, const struct tree_node *node,
		      char *object, bool skip_unknown);

static void *member(const struct option *row, char *object)
{
	return object == NULL || (row->flags & OPTION_NOWHERE) ? NULL : object + row->offset;
}

static int no_memory(struct decoder *d, const struct tree_node *node)
{
	(void)config_error_at(d->context->report, node, "out of memory");
	return d->result = -ENOMEM;
}

#define refuse(d, node, ...) \
	((d)->result = config_error_at((d)->context->report, (node), __VA_ARGS__))

static void set_default(const struct option *row, void *to, struct arena *arena, int *result)
{
	struct weir_error error = {0};
	int r;

	value_clear(row, to);
	if (row->initial == NULL)
		return;
	r = value_from_text(row, slice_from(row->initial), to, arena, &error);
	must(r == 0 || r == -ENOMEM);
	if (r < 0)
		*result = r;
}

int option_defaults(const struct option *table, void *object, struct arena *arena)
{
	int result = 0;

	for (; table->name != NULL; table++) {
		char *to = member(table, object);

		if (to == NULL)
			continue;
		if (value_is_plain(table->type))
			set_default(table, to, arena, &result);
		else if (table->type == OPTION_OBJECT &&
			 option_defaults(table->table, to, arena) < 0)
			result = -ENOMEM;
	}
	return result;
}

static void *new_object(struct decoder *d, const struct option *row, const struct tree_node *node)
{
	void *object = arena_zalloc(d->context->arena, row->size);

	if (object == NULL || option_defaults(row->table, object, d->context->arena) < 0) {
		(void)no_memory(d, node);
		return NULL;
	}
	return object;
}

/* The value of a plain row at `to`. */
static int read_value(struct decoder *d, const struct option *row, const struct tree_node *node,
		      void *to)
{
	bool list = row->type == OPTION_LIST || row->type == OPTION_CONTENTS ||
		    row->type == OPTION_INTS || row->type == OPTION_FLOATS;
	struct weir_error error = {0};
	int r;

	if (node->kind == TREE_LIST && list)
		r = value_from_list(row, node, to, d->context->arena, &error);
	else if (node->kind != TREE_SCALAR)
		return refuse(d, node, "found %s, expected %s", tree_describe(node),
			      value_expected(row->type));
	else if (node->type == TREE_TIME)
		return refuse(d, node,
			      "found a date, expected %s (in quotes, if the text is meant)",
			      value_expected(row->type));
	else if ((row->flags & OPTION_QUOTED) != 0 &&
		 (node->type == TREE_INT || node->type == TREE_FLOAT))
		return refuse(d, node,
			      "found the number %s, expected digits in quotes, such as \"%s\"",
			      node->text.p, row->initial);
	else
		r = value_from_text(row, node->text, to, d->context->arena, &error);
	if (r == 0 && row->type == OPTION_FLOAT &&
	    (node->type == TREE_FLOAT || node->type == TREE_INT))
		*(double *)to = node->number;
	if (r == 0 && row->check != NULL)
		r = row->check(to, &error);
	return r < 0 ? refuse(d, node, "%s", error.text) : 0;
}

/* "weir does not ..." for a row that is not implemented. */
static void tell_status(struct decoder *d, const struct option *row, const struct tree_node *node)
{
	const char *hint = row->hint != NULL ? row->hint : "",
		   *separator = row->hint != NULL ? "; " : "";
	struct str path = {0};

	switch (row->status) {
	case IMPLEMENTED:
		break;
	case ACCEPTED:
		if (d->quiet)
			break;
		tree_add_path(&path, node);
		config_warn(d->context->report, row, node->place, "%s: accepted without effect%s%s",
			    path.p != NULL ? path.p : row->name, separator, hint);
		str_free(&path);
		break;
	case REFUSED:
		if (d->context->refused != NULL)
			d->context->refused(d->context->user, row, node);
		else
			(void)refuse(d, node, "not supported by weir%s%s", separator, hint);
		break;
	case REMOVED:
		(void)refuse(d, node, "%s", row->hint);
		break;
	}
}

/* False, whatever the default: what weir does not do is not wanted either. */
static bool asks_for_nothing(const struct option *row, const union value_any *value)
{
	return row->status == ACCEPTED && row->type == OPTION_BOOL && !value->flag;
}

static int decode_plain(struct decoder *d, const struct option *row, const struct tree_node *node,
			char *object)
{
	void *to = member(row, object);
	union value_any value, initial;
	int r = 0;

	if (row->status == IMPLEMENTED && to != NULL)
		return read_value(d, row, node, to);
	set_default(row, &initial, d->context->arena, &r);
	value = initial;
	if (r < 0)
		return no_memory(d, node);
	if (read_value(d, row, node, &value) < 0)
		return d->result;
	if (!value_equal(row, &value, &initial) && !asks_for_nothing(row, &value))
		tell_status(d, row, node);
	return to != NULL ? read_value(d, row, node, to) : 0;
}

enum presence { PRESENT, ABSENT, INVALID };

/* Whether an object is there: `x: {}`, `--x`, `x: false`. */
static enum presence presence_of(struct decoder *d, const struct option *row,
				 const struct tree_node *node)
{
	bool allow_empty = row->flags & OPTION_ALLOW_EMPTY;

	if (node->kind == TREE_LIST || (node->kind == TREE_SCALAR && !allow_empty)) {
		if (node->kind == TREE_SCALAR && node->text.n == 0)
			(void)refuse(d, node,
				     "found nothing, expected at least one option below it");
		else
			(void)refuse(d, node, "found %s, expected %s", tree_describe(node),
				     value_expected(row->type));
		return INVALID;
	}
	if (allow_empty && node->text.n > 0) {
		if (slice_equal_nocase(node->text, SLICE("true")))
			return PRESENT;
		if (slice_equal_nocase(node->text, SLICE("false")))
			return ABSENT;
		(void)refuse(d, node, "found \"%.*s\", expected an object, true or false",
			     SLICE_ARG(slice_first(node->text, 100)));
		return INVALID;
	}
	if (node->first == NULL && !allow_empty) {
		(void)refuse(d, node, "found an empty object, expected at least one option in it");
		return INVALID;
	}
	return PRESENT;
}

static int decode_object(struct decoder *d, const struct option *row, const struct tree_node *node,
			 char *object)
{
	char *to = member(row, object);

	if (to != NULL && row->type == OPTION_POINTER) {
		void **pointer = (void **)(void *)to;

		if (*pointer == NULL)
			*pointer = new_object(d, row, node);
		to = *pointer;
		if (to == NULL)
			return -ENOMEM;
	}
	return decode_map(d, row->table, node, to, false);
}

/* False if there is no entry to keep; one with an error inside is kept, for the checks that follow.
 */
static bool decode_entry(struct decoder *d, const struct option *row, const struct tree_node *node,
			 void **value)
{
	*value = NULL;
	if (node->kind == TREE_LIST || (node->kind == TREE_SCALAR && node->text.n > 0 &&
					!slice_equal_nocase(node->text, SLICE("true")))) {
		(void)refuse(d, node, "found %s, expected an object", tree_describe(node));
		return false;
	}
	if (row->type == OPTION_FREE_MAP) {
		*value = (void *)(uintptr_t)node;
		return true;
	}
	if (row->size > 0) {
		*value = new_object(d, row, node);
		if (*value == NULL)
			return false;
	}
	(void)decode_map(d, row->table, node, *value, false);
	return true;
}

static int decode_entries(struct decoder *d, const struct option *row, const struct tree_node *node,
			  char *object)
{
	struct option_map *to = member(row, object), ignored;
	size_t count = 0;

	if (to == NULL)
		to = &ignored;
	to->count = 0;
	to->items = ARENA_ARRAY(d->context->arena, struct option_entry, node->count + 1);
	if (to->items == NULL)
		return no_memory(d, node);
	TREE_FOR_EACH (child, node) {
		struct option_entry *e = &to->items[count];

		if (child->kind == TREE_NULL) {
			config_warn(d->context->report, NULL, child->key_place,
				    "%.*s has no value and is ignored; {} would declare it",
				    SLICE_ARG(child->key));
			continue;
		}
		if (!decode_entry(d, row, child, &e->value))
			continue;
		e->name = child->key;
		e->node = child;
		count++;
	}
	to->count = count;
	return 0;
}

/* Environment variables number elements with plain names: DOMAINS_0_MAIN. */
static bool is_numbered(const struct tree_node *node)
{
	uint64_t number;

	if (node->kind != TREE_MAP)
		return false;
	TREE_FOR_EACH (child, node)
		if (!slice_to_u64(child->key, &number))
			return false;
	return true;
}

static int decode_array(struct decoder *d, const struct option *row, const struct tree_node *node,
			char *object)
{
	struct option_array *to = member(row, object), ignored;
	const struct tree_node **nodes;
	size_t count = 0;

	if (node->kind == TREE_SCALAR && node->text.n == 0)
		return 0;
	if (node->kind != TREE_LIST && !is_numbered(node))
		return refuse(d, node, "found %s, expected %s", tree_describe(node),
			      value_expected(row->type));
	if (to == NULL)
		to = &ignored;
	to->count = 0;
	to->items = ARENA_ARRAY(d->context->arena, void *, node->count + 1);
	to->nodes = nodes =
		ARENA_ARRAY(d->context->arena, const struct tree_node *, node->count + 1);
	if (to->items == NULL || nodes == NULL)
		return no_memory(d, node);
	TREE_FOR_EACH (child, node) {
		if (child->kind != TREE_MAP) {
			(void)refuse(d, child, "found %s, expected an object",
				     tree_describe(child));
			continue;
		}
		if (!decode_entry(d, row, child, &to->items[count]))
			continue;
		nodes[count++] = child;
	}
	to->count = count;
	return 0;
}

static size_t count_leaves(const struct tree_node *node)
{
	size_t n = 0;

	TREE_FOR_EACH (child, node)
		n += child->kind == TREE_MAP ? count_leaves(child) : 1;
	return n;
}

/* Nested names are joined with dots, as Traefik does for labels with dots in their keys. */
static int read_pairs(struct decoder *d, const struct option *row, const struct tree_node *node,
		      slice prefix, void *items, size_t *count)
{
	TREE_FOR_EACH (child, node) {
		slice key = child->key;

		if (prefix.n > 0)
			key = arena_format(d->context->arena, "%.*s.%.*s", SLICE_ARG(prefix),
					   SLICE_ARG(key));
		if (key.p == NULL)
			return no_memory(d, child);
		if (child->kind == TREE_NULL)
			continue;
		if (child->kind == TREE_MAP) {
			(void)read_pairs(d, row, child, key, items, count);
			continue;
		}
		if (child->kind != TREE_SCALAR || child->type == TREE_TIME) {
			(void)refuse(d, child, "found %s, expected %s", tree_describe(child),
				     row->type == OPTION_PAIRS ? "a string" : "an integer");
			continue;
		}
		if (row->type == OPTION_PAIRS) {
			((struct option_pair *)items)[(*count)++] =
				(struct option_pair){key, child->text};
			continue;
		}
		struct option_int_pair *pair = &((struct option_int_pair *)items)[*count];

		pair->key = key;
		if (option_parse_int(child->text, &pair->value) < 0)
			(void)refuse(d, child, "found \"%.*s\", expected an integer",
				     SLICE_ARG(child->text));
		else
			(*count)++;
	}
	return d->result;
}

static int decode_pairs(struct decoder *d, const struct option *row, const struct tree_node *node,
			char *object)
{
	size_t size = row->type == OPTION_PAIRS ? sizeof(struct option_pair)
						: sizeof(struct option_int_pair);
	struct option_pairs pairs = {0};
	void *items = arena_zalloc_array(d->context->arena, size, count_leaves(node) + 1);
	void *to = member(row, object);

	if (items == NULL)
		return no_memory(d, node);
	(void)read_pairs(d, row, node, slice_of(NULL, 0), items, &pairs.count);
	pairs.items = items;
	if (to != NULL)
		memcpy(to, &pairs, sizeof pairs);
	return 0;
}

static int decode_by_type(struct decoder *d, const struct option *row, const struct tree_node *node,
			  char *object)
{
	switch (row->type) {
	case OPTION_ARRAY:
		return decode_array(d, row, node, object);
	case OPTION_OBJECT:
	case OPTION_POINTER:
		return decode_object(d, row, node, object);
	case OPTION_MAP:
	case OPTION_FREE_MAP:
		return decode_entries(d, row, node, object);
	case OPTION_PAIRS:
	case OPTION_INT_PAIRS:
		return decode_pairs(d, row, node, object);
	case OPTION_FREE:
		if (member(row, object) != NULL)
			*(const struct tree_node **)member(row, object) = node;
		return 0;
	default:
		return decode_plain(d, row, node, object);
	}
}

static void decode_row(struct decoder *d, const struct option *row, const struct tree_node *node,
		       char *object)
{
	bool quiet = d->quiet;

	if (node->kind == TREE_NULL) {
		config_warn(d->context->report, NULL, node->key_place,
			    "%.*s has no value and is ignored%s", SLICE_ARG(node->key),
			    row->flags & OPTION_ALLOW_EMPTY ? "; {} would enable it" : "");
		return;
	}
	if (row->status == REMOVED) {
		tell_status(d, row, node);
		return;
	}
	if (!value_is_plain(row->type)) {
		if (row->type != OPTION_ARRAY && presence_of(d, row, node) != PRESENT)
			return;
		tell_status(d, row, node);
		if (row->status == REFUSED && d->context->refused == NULL)
			return;
		d->quiet |= row->status == ACCEPTED || row->status == REFUSED;
	}
	(void)decode_by_type(d, row, node, object);
	d->quiet = quiet;
}

static void unknown_key(struct decoder *d, const struct option *table, const struct tree_node *node)
{
	struct str text = {0};

	tree_add_path(&text, node);
	str_add(&text, SLICE(": unknown option"));
	option_add_expected(&text, table, node->key);
	d->result = config_error(d->context->report, node->key_place, "%s",
				 text.p != NULL ? text.p : "");
	str_free(&text);
}

static int decode_map(struct decoder *d, const struct option *table, const struct tree_node *node,
		      char *object, bool skip_unknown)
{
	const struct tree_node *seen[ROWS_MAX] = {NULL};

	TREE_FOR_EACH (child, node) {
		const struct option *row = option_find(table, child->key);

		if (row == NULL) {
			if (!skip_unknown)
				unknown_key(d, table, child);
			continue;
		}
		must(row - table < ROWS_MAX);
		if (seen[row - table] != NULL) {
			(void)refuse(
				d, child,
				"found it again, expected it once (first as \"%.*s\" at line %u)",
				SLICE_ARG(seen[row - table]->key),
				seen[row - table]->key_place.line);
			continue;
		}
		seen[row - table] = child;
		decode_row(d, row, child, object);
	}
	return d->result;
}

int option_apply(const struct option *table, const struct tree_node *node, void *object,
		 const struct option_context *context)
{
	struct decoder d = {.context = context};

	return decode_map(&d, table, node, object, context->skip_unknown);
}

int option_decode(const struct option *table, const struct tree_node *node, void *object,
		  const struct option_context *context)
{
	int r = option_defaults(table, object, context->arena);

	if (r < 0)
		return r;
	return node != NULL ? option_apply(table, node, object, context) : 0;
}
