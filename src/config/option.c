#include "config/option.h"

#include <stdlib.h>

#define NAMES_MAX 128
/* In an error. */
#define NAMES_SHOWN 12

void *option_map_get(const struct option_map *map, const char *name)
{
	for (size_t i = 0; i < map->count; i++)
		if (slice_equal(map->items[i].name, slice_from(name)))
			return map->items[i].value;
	return NULL;
}

const struct option *option_find(const struct option *table, slice name)
{
	for (; table->name != NULL; table++)
		if (slice_equal_nocase(slice_from(table->name), name))
			return table;
	return NULL;
}

static size_t names_of(const struct option *table, const char *names[NAMES_MAX])
{
	size_t count = 0;

	for (; table->name != NULL && count < NAMES_MAX; table++)
		if (table->status != REMOVED)
			names[count++] = table->name;
	return count;
}

const char *option_nearest(const struct option *table, slice found)
{
	const char *names[NAMES_MAX];
	size_t count = names_of(table, names);

	return error_nearest(found, names, count);
}

void option_add_expected(struct str *out, const struct option *table, slice found)
{
	const char *names[NAMES_MAX], *near = option_nearest(table, found);
	size_t count = near != NULL ? 0 : names_of(table, names);

	if (near != NULL)
		str_format(out, ", did you mean \"%s\"?", near);
	for (size_t i = 0; i < MIN(count, (size_t)NAMES_SHOWN); i++)
		str_format(out, "%s%s", i == 0 ? ", expected " : ", ", names[i]);
	if (count > NAMES_SHOWN)
		str_add(out, SLICE(", ..."));
}

struct visitor {
	bool (*visit)(const char *path, const struct option *row, enum option_status status,
		      void *user);
	void *user;
};

static const char *element_name(enum option_type type)
{
	switch (type) {
	case OPTION_MAP:
	case OPTION_FREE_MAP:
	case OPTION_PAIRS:
	case OPTION_INT_PAIRS:
		return ".<name>";
	case OPTION_ARRAY:
		return "[n]";
	default:
		return "";
	}
}

static bool visit_rows(const struct option *table, const char *prefix, enum option_status outer,
		       const struct visitor *v)
{
	for (; table->name != NULL; table++) {
		enum option_status status = MAX(table->status, outer);
		struct str path = {0};
		bool go_on;

		str_format(&path, "%s%s%s", prefix, *prefix != '\0' ? "." : "", table->name);
		go_on = path.failed || v->visit(path.p, table, status, v->user);
		str_add(&path, slice_from(element_name(table->type)));
		if (go_on && !path.failed && table->table != NULL)
			go_on = visit_rows(table->table, path.p, status, v);
		str_free(&path);
		if (!go_on)
			return false;
	}
	return true;
}

void option_visit(const struct option *table, const char *prefix,
		  bool (*visit)(const char *path, const struct option *row,
				enum option_status status, void *user),
		  void *user)
{
	struct visitor v = {visit, user};

	(void)visit_rows(table, prefix, IMPLEMENTED, &v);
}
