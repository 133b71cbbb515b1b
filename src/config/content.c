#include <errno.h>

#include "config/option.h"

#define PATH_BYTES_MAX 4096
#define FILE_BYTES_MAX ((size_t)16 << 20)

bool option_names_file(slice text)
{
	return text.n > 0 && text.n < PATH_BYTES_MAX && memchr(text.p, '\n', text.n) == NULL &&
	       slice_search(text, SLICE("-----BEGIN")) == text.n;
}

int option_read_content(struct arena *arena, const struct option_content *value, slice *content,
			struct weir_error *error)
{
	*content = value->bytes.p != NULL ? value->bytes : value->text;
	if (value->bytes.p != NULL || !option_names_file(value->text))
		return 0;
	return tree_read_file(arena, value->text.p, FILE_BYTES_MAX, content, error);
}

/* One call of `option_visit_contents`. */
struct visitor {
	void (*visit)(void *user, struct option_content *content);
	void *user;
};

static void visit_rows(const struct visitor *v, const struct option *table, char *object);

static void visit_content(const struct visitor *v, struct option_content *content)
{
	if (content->text.n > 0)
		v->visit(v->user, content);
}

static void visit_list(const struct visitor *v, const struct option_contents *list)
{
	for (size_t i = 0; i < list->count; i++)
		visit_content(v, &list->items[i]);
}

static void visit_map(const struct visitor *v, const struct option *table,
		      const struct option_map *map)
{
	for (size_t i = 0; i < map->count; i++)
		visit_rows(v, table, map->items[i].value);
}

static void visit_array(const struct visitor *v, const struct option *table,
			const struct option_array *array)
{
	for (size_t i = 0; i < array->count; i++)
		visit_rows(v, table, array->items[i]);
}

static void visit_row(const struct visitor *v, const struct option *row, void *at)
{
	switch (row->type) {
	case OPTION_CONTENT:
		visit_content(v, at);
		break;
	case OPTION_CONTENTS:
		visit_list(v, at);
		break;
	case OPTION_OBJECT:
		visit_rows(v, row->table, at);
		break;
	case OPTION_POINTER:
		if (*(void **)at != NULL)
			visit_rows(v, row->table, *(void **)at);
		break;
	case OPTION_MAP:
		visit_map(v, row->table, at);
		break;
	case OPTION_ARRAY:
		visit_array(v, row->table, at);
		break;
	default:
		break;
	}
}

static void visit_rows(const struct visitor *v, const struct option *table, char *object)
{
	for (; table->name != NULL; table++)
		if (!(table->flags & OPTION_NOWHERE))
			visit_row(v, table, object + table->offset);
}

void option_visit_contents(const struct option *table, void *object,
			   void (*visit)(void *user, struct option_content *content), void *user)
{
	const struct visitor v = {visit, user};

	visit_rows(&v, table, object);
}
