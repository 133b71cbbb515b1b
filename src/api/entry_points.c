#include <stdlib.h>

#include "api/api_private.h"
#include "config/static_rows.h"

static void add_entry_point(struct str *out, const struct option_entry *e)
{
	static const struct option_json how = {.set_only = false};

	str_add_char(out, '{');
	if (option_json(out, entry_point_rows, e->value, e->node, &how))
		str_add_char(out, ',');
	str_add(out, SLICE("\"name\":"));
	tree_add_json_string(out, e->name);
	str_add_char(out, '}');
}

static int by_name(const void *a, const void *b)
{
	return slice_compare((*(const struct option_entry *const *)a)->name,
			     (*(const struct option_entry *const *)b)->name);
}

void api_list_entry_points(struct api_call *c)
{
	const struct option_map *map = &c->api->config->entry_points;
	const struct option_entry **list =
		ARENA_ARRAY(&c->arena, const struct option_entry *, map->count + 1);
	size_t from, count = 0;

	if (list == NULL) {
		c->out->failed = true;
		return;
	}
	OPTION_MAP_FOR_EACH (e, map)
		list[count++] = e;
	qsort(list, count, sizeof(const struct option_entry *), by_name);
	api_begin_json(c);
	if (!api_take_page(c, &from, &count))
		return;
	str_add_char(c->out, '[');
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			str_add_char(c->out, ',');
		add_entry_point(c->out, list[from + i]);
	}
	str_add(c->out, SLICE("]\n"));
}

void api_show_entry_point(struct api_call *c)
{
	OPTION_MAP_FOR_EACH (e, &c->api->config->entry_points) {
		if (!slice_equal(e->name, c->id))
			continue;
		api_begin_json(c);
		add_entry_point(c->out, e);
		str_add_char(c->out, '\n');
		return;
	}
	api_fail(c, 404, "entry point not found: %.*s", SLICE_ARG(c->id));
}
