#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/value.h"

static const struct {
	const char *name;
	const char *expected;
	size_t size; /* of the member; 0 for objects */
} types[] = {
	[OPTION_STRING] = {"string", "a string", sizeof(slice)},
	[OPTION_BOOL] = {"boolean", "true or false", sizeof(bool)},
	[OPTION_TRISTATE] = {"boolean", "true or false", sizeof(enum option_tristate)},
	[OPTION_INT] = {"integer", "an integer", sizeof(int64_t)},
	[OPTION_INT32] = {"integer", "an integer of 32 bits", sizeof(int32_t)},
	[OPTION_FLOAT] = {"number", "a number", sizeof(double)},
	[OPTION_DURATION] = {"duration", "a duration such as 10, 300ms or 1m30s", sizeof(int64_t)},
	[OPTION_SIZE] = {"size", "a number of bytes such as 65536 or 64KiB", sizeof(int64_t)},
	[OPTION_ENUM] = {"name", "a name", sizeof(int)},
	[OPTION_CONTENT] = {"path or PEM", "a path or PEM text", sizeof(struct option_content)},
	[OPTION_CONTENTS] = {"list of paths or PEM", "a list of paths or PEM texts",
			     sizeof(struct option_contents)},
	[OPTION_LIST] = {"list of strings", "a list of strings", sizeof(struct option_list)},
	[OPTION_INTS] = {"list of integers", "a list of integers", sizeof(struct option_ints)},
	[OPTION_FLOATS] = {"list of numbers", "a list of numbers", sizeof(struct option_floats)},
	[OPTION_PAIRS] = {"map of strings", "an object with strings", 0},
	[OPTION_INT_PAIRS] = {"map of integers", "an object with integers", 0},
	[OPTION_OBJECT] = {"object", "an object", 0},
	[OPTION_POINTER] = {"object", "an object", 0},
	[OPTION_MAP] = {"map of objects", "an object with named objects", 0},
	[OPTION_ARRAY] = {"list of objects", "a list of objects", 0},
	[OPTION_FREE] = {"free-form", "an object", 0},
	[OPTION_FREE_MAP] = {"map of free-form objects", "an object with named objects", 0},
};

const char *option_type_name(enum option_type type)
{
	return types[type].name;
}

const char *value_expected(enum option_type type)
{
	return types[type].expected;
}

bool value_is_plain(enum option_type type)
{
	return types[type].size > 0;
}

size_t value_size(enum option_type type)
{
	return types[type].size;
}

void value_clear(const struct option *row, void *to)
{
	memset(to, 0, types[row->type].size);
	if (row->type == OPTION_STRING || row->type == OPTION_CONTENT)
		*(slice *)to = SLICE("");
	else if (row->flags & OPTION_OPTIONAL)
		*(int64_t *)to = OPTION_NOT_GIVEN;
}

static int refuse(const struct option *row, slice text, int code, struct weir_error *error)
{
	if (code == -ERANGE)
		return error_set(error, -EINVAL,
				 "found \"%.*s\", which is out of range, expected %s",
				 SLICE_ARG(slice_first(text, 200)), value_expected(row->type));
	return error_set(error, -EINVAL, "found \"%.*s\", expected %s",
			 SLICE_ARG(slice_first(text, 200)), value_expected(row->type));
}

static int check_range(const struct option *row, int64_t value, slice text,
		       struct weir_error *error)
{
	struct str low = {0}, high = {0};
	bool duration = row->type == OPTION_DURATION;
	int r = 0;

	if ((row->min == 0 && row->max == 0) || (value >= row->min && value <= row->max))
		return 0;
	if (duration) {
		option_add_duration(&low, row->min);
		option_add_duration(&high, row->max);
	} else {
		str_format(&low, "%lld", (long long)row->min);
		str_format(&high, "%lld", (long long)row->max);
	}
	if (row->max == INT64_MAX)
		r = error_set(error, -EINVAL, "found %.*s, expected at least %s",
			      SLICE_ARG(slice_first(text, 100)), low.p);
	else
		r = error_set(error, -EINVAL, "found %.*s, expected %s to %s",
			      SLICE_ARG(slice_first(text, 100)), low.p, high.p);
	str_free(&low);
	str_free(&high);
	return r;
}

static int set_integer(const struct option *row, slice text, void *to, struct weir_error *error)
{
	int64_t value;
	int r;

	if (row->type == OPTION_DURATION)
		r = option_parse_duration(text, &value);
	else if (row->type == OPTION_SIZE)
		r = option_parse_size(text, &value);
	else
		r = option_parse_int(text, &value);
	if (r == 0 && row->type == OPTION_INT32 && (value < INT32_MIN || value > INT32_MAX))
		r = -ERANGE;
	if (r < 0)
		return refuse(row, text, r, error);
	r = check_range(row, value, text, error);
	if (r < 0)
		return r;
	if (row->type == OPTION_INT32)
		*(int32_t *)to = (int32_t)value;
	else
		*(int64_t *)to = value;
	return 0;
}

static int refuse_name(const struct option_names *names, slice text, struct weir_error *error)
{
	struct str all = {0};
	int r;

	for (size_t i = 0; i < names->count; i++)
		if (names->items[i][0] != '\0')
			str_format(&all, "%s%s", all.n > 0 ? ", " : "", names->items[i]);
	r = error_set(error, -EINVAL, "found \"%.*s\", expected one of %s",
		      SLICE_ARG(slice_first(text, 200)), all.p != NULL ? all.p : "nothing");
	str_free(&all);
	return r;
}

static int set_name(const struct option *row, slice text, void *to, struct weir_error *error)
{
	for (size_t i = 0; i < row->names->count; i++) {
		slice name = slice_from(row->names->items[i]);

		if (slice_equal(text, name) ||
		    ((row->flags & OPTION_NO_CASE) && slice_equal_nocase(text, name))) {
			*(int *)to = (int)i;
			return 0;
		}
	}
	return refuse_name(row->names, text, error);
}

static int set_string(slice text, slice *to, struct arena *arena, struct weir_error *error)
{
	if (memchr(text.n > 0 ? text.p : "", '\0', text.n) != NULL)
		return error_set(error, -EINVAL,
				 "found a NUL character, expected text without one");
	*to = arena_copy(arena, text);
	return to->p != NULL ? 0 : error_set(error, -ENOMEM, "out of memory");
}

/* The element of a list at `to` from its text, or from the number that its node holds. */
static int set_element(const struct option *row, slice text, const struct tree_node *node, void *to,
		       struct arena *arena, struct weir_error *error)
{
	int r;

	text = slice_trim(text);
	if (row->type == OPTION_LIST || row->type == OPTION_CONTENTS)
		return set_string(text, to, arena, error);
	if (row->type == OPTION_FLOATS && node != NULL &&
	    (node->type == TREE_FLOAT || node->type == TREE_INT)) {
		*(double *)to = node->number;
		return 0;
	}
	r = row->type == OPTION_INTS ? option_parse_int(text, to) : option_parse_float(text, to);
	return r < 0 ? refuse(row, text, r, error) : 0;
}

static size_t element_size(const struct option *row)
{
	if (row->type == OPTION_CONTENTS)
		return sizeof(struct option_content);
	return row->type == OPTION_LIST ? sizeof(slice) : sizeof(int64_t);
}

/* All list members have the same shape: a pointer and a count. */
static void set_list(void *to, void *items, size_t count)
{
	struct option_list list = {items, count};

	memcpy(to, &list, sizeof list);
}

static int list_from_text(const struct option *row, slice text, void *to, struct arena *arena,
			  struct weir_error *error)
{
	size_t count = 1, size = element_size(row);
	char *items;

	if (text.n == 0)
		return 0;
	for (size_t i = 0; i < text.n; i++)
		count += text.p[i] == ',';
	items = arena_zalloc_array(arena, size, count);
	if (items == NULL)
		return error_set(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		size_t end = slice_find(text, ',');
		int r = set_element(row, slice_first(text, end), NULL, items + i * size, arena,
				    error);

		if (r < 0)
			return r;
		text = slice_from_at(text, end + 1);
	}
	set_list(to, items, count);
	return 0;
}

int value_from_list(const struct option *row, const struct tree_node *list, void *to,
		    struct arena *arena, struct weir_error *error)
{
	size_t i = 0, size = element_size(row);
	char *items;

	if (list->count == 0)
		return 0;
	items = arena_zalloc_array(arena, size, list->count);
	if (items == NULL)
		return error_set(error, -ENOMEM, "out of memory");
	TREE_FOR_EACH (child, list) {
		int r;

		if (child->kind != TREE_SCALAR || child->type == TREE_TIME)
			return error_set(error, -EINVAL, "found %s in the list, expected %s",
					 tree_describe(child), value_expected(row->type));
		r = set_element(row, child->text, child, items + i++ * size, arena, error);
		if (r < 0)
			return r;
	}
	set_list(to, items, list->count);
	return 0;
}

int value_from_text(const struct option *row, slice text, void *to, struct arena *arena,
		    struct weir_error *error)
{
	bool flag;
	int r;

	switch (row->type) {
	case OPTION_STRING:
	case OPTION_CONTENT:
		return set_string(text, to, arena, error);
	case OPTION_BOOL:
	case OPTION_TRISTATE:
		r = option_parse_bool(text, &flag);
		if (r < 0)
			return refuse(row, text, r, error);
		if (row->type == OPTION_BOOL)
			*(bool *)to = flag;
		else
			*(enum option_tristate *)to = flag ? OPTION_TRUE : OPTION_FALSE;
		return 0;
	case OPTION_INT:
	case OPTION_INT32:
	case OPTION_DURATION:
	case OPTION_SIZE:
		return set_integer(row, text, to, error);
	case OPTION_FLOAT:
		r = option_parse_float(text, to);
		return r < 0 ? refuse(row, text, r, error) : 0;
	case OPTION_ENUM:
		return set_name(row, text, to, error);
	case OPTION_LIST:
	case OPTION_CONTENTS:
	case OPTION_INTS:
	case OPTION_FLOATS:
		return list_from_text(row, text, to, arena, error);
	default:
		must_not_reach("an object has no text");
	}
}

static void add_number(struct str *out, double value)
{
	char text[40];

	for (int digits = 1; digits <= 17; digits++) {
		(void)snprintf(text, sizeof text, "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	str_add(out, slice_from(text));
}

static void add_list(struct str *out, const struct option *row, const void *from)
{
	struct option_list list;

	memcpy(&list, from, sizeof list);
	str_add_char(out, '[');
	for (size_t i = 0; i < list.count; i++) {
		const char *item = (const char *)list.items + i * element_size(row);

		if (i > 0)
			str_add(out, SLICE(", "));
		if (row->type == OPTION_LIST || row->type == OPTION_CONTENTS)
			tree_add_yaml_string(out, *(const slice *)(const void *)item);
		else if (row->type == OPTION_INTS)
			str_format(out, "%lld", (long long)*(const int64_t *)(const void *)item);
		else
			add_number(out, *(const double *)(const void *)item);
	}
	str_add_char(out, ']');
}

static void add_size(struct str *out, int64_t bytes)
{
	if (bytes > 0 && bytes % (1 << 30) == 0)
		str_format(out, "%lldGiB", (long long)(bytes >> 30));
	else if (bytes > 0 && bytes % (1 << 20) == 0)
		str_format(out, "%lldMiB", (long long)(bytes >> 20));
	else if (bytes > 0 && bytes % (1 << 10) == 0)
		str_format(out, "%lldKiB", (long long)(bytes >> 10));
	else
		str_format(out, "%lld", (long long)bytes);
}

void value_add_yaml(struct str *out, const struct option *row, const void *from)
{
	switch (row->type) {
	case OPTION_STRING:
	case OPTION_CONTENT:
		tree_add_yaml_string(out, *(const slice *)from);
		break;
	case OPTION_BOOL:
		str_add(out, *(const bool *)from ? SLICE("true") : SLICE("false"));
		break;
	case OPTION_TRISTATE:
		str_add(out, *(const enum option_tristate *)from == OPTION_TRUE ? SLICE("true")
										: SLICE("false"));
		break;
	case OPTION_INT:
		str_format(out, "%lld", (long long)*(const int64_t *)from);
		break;
	case OPTION_INT32:
		str_format(out, "%d", (int)*(const int32_t *)from);
		break;
	case OPTION_FLOAT:
		add_number(out, *(const double *)from);
		break;
	case OPTION_DURATION:
		option_add_duration(out, *(const int64_t *)from);
		break;
	case OPTION_SIZE:
		add_size(out, *(const int64_t *)from);
		break;
	case OPTION_ENUM:
		tree_add_yaml_string(out, slice_from(row->names->items[*(const int *)from]));
		break;
	default:
		add_list(out, row, from);
	}
}

bool value_equal(const struct option *row, const void *a, const void *b)
{
	struct str x = {0}, y = {0};
	bool equal;

	if (row->flags & OPTION_OPTIONAL || row->type == OPTION_TRISTATE)
		return memcmp(a, b, types[row->type].size) == 0;
	value_add_yaml(&x, row, a);
	value_add_yaml(&y, row, b);
	equal = !x.failed && !y.failed && slice_equal(str_slice(&x), str_slice(&y));
	str_free(&x);
	str_free(&y);
	return equal;
}
