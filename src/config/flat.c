#include <errno.h>
#include <stdlib.h>

#include "config/parse.h"
#include "core/base.h"

/* The next name of a path: "domains[0]" is two, "domains" and "[0]". */
static bool next_name(slice *rest, slice *name)
{
	size_t end = 0;

	if (rest->n == 0)
		return false;
	if (rest->p[0] == '.' && rest->n > 1)
		*rest = slice_from_at(*rest, 1);
	if (rest->p[0] == '[') {
		end = slice_find(*rest, ']') + 1;
	} else {
		while (end < rest->n && rest->p[end] != '.' && rest->p[end] != '[')
			end++;
	}
	*name = slice_first(*rest, end);
	*rest = slice_from_at(*rest, end);
	return true;
}

static bool is_index(slice name, uint64_t *index)
{
	return name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']' &&
	       slice_to_u64(slice_of(name.p + 1, name.n - 2), index);
}

/* "name" or "name[12]". */
static bool check_part(slice part)
{
	size_t bracket = slice_find(part, '[');
	uint64_t index;

	if (bracket == 0 || part.n == 0)
		return false;
	if (bracket < part.n)
		return is_index(slice_from_at(part, bracket), &index);
	return slice_find(part, ']') == part.n;
}

static bool check_path(slice path)
{
	slice part;

	if (path.n == 0 || path.p[path.n - 1] == '.')
		return false;
	while (slice_next(&path, '.', &part))
		if (!check_part(part))
			return false;
	return true;
}

/* Elements stand in the order of their numbers, whatever the order of the flags. */
static void sort_in(struct tree_node *list, struct tree_node *added, uint64_t index)
{
	struct tree_node **at = &list->first, *before = NULL;
	uint64_t other;

	for (; *at != added; at = &(*at)->next) {
		if (is_index((*at)->key, &other) && other > index)
			break;
		before = *at;
	}
	if (*at == added)
		return;
	for (struct tree_node *n = *at; n != NULL; n = n->next) {
		if (n->next == added) {
			n->next = NULL;
			list->last = n;
			break;
		}
	}
	added->next = *at;
	if (before == NULL)
		list->first = added;
	else
		before->next = added;
}

static struct tree_node *open_child(struct tree *t, struct tree_node *parent, slice name,
				    struct tree_place place, struct weir_error *error)
{
	struct tree_node *child = tree_child(parent, name);
	uint64_t index;

	if (child != NULL)
		return child;
	child = tree_add(t, parent, name, place, error);
	if (child == NULL)
		return NULL;
	child->text = SLICE("");
	if (is_index(name, &index)) {
		parent->kind = TREE_LIST;
		sort_in(parent, child, index);
	} else {
		parent->kind = TREE_MAP;
	}
	return child;
}

static bool is_utf8(slice text)
{
	for (size_t i = 0; i < text.n;)
		if (slice_rune(text, &i) < 0)
			return false;
	return true;
}

int tree_put(struct tree *t, slice path, slice value, struct tree_place place,
	     struct weir_error *error)
{
	struct tree_node *node = t->root;
	slice rest = path, name;

	if (!is_utf8(path) || !is_utf8(value))
		return error_set(error, -EINVAL,
				 "%s: found bytes that are not UTF-8, expected UTF-8 text",
				 place.source);
	if (!check_path(path))
		return error_set(
			error, -EINVAL,
			"%s: found \"%.*s\", expected names with dots between them, or name[0]",
			place.source, SLICE_ARG(slice_first(path, 200)));
	while (next_name(&rest, &name)) {
		node = open_child(t, node, name, place, error);
		if (node == NULL)
			return -E2BIG;
	}
	node->text = arena_copy(t->arena, value);
	if (node->text.p == NULL)
		return error_set(error, -ENOMEM, "%s: out of memory", place.source);
	node->place = place;
	node->type = TREE_STRING;
	if (node->first == NULL)
		node->kind = TREE_SCALAR;
	return 0;
}

struct tree_node *tree_get(const struct tree *t, slice path)
{
	struct tree_node *node = t->root;
	slice rest = path, name;

	if (!check_path(path))
		return NULL;
	while (node != NULL && next_name(&rest, &name))
		node = tree_child(node, name);
	return node;
}
