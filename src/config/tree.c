#include "config/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base.h"

const struct tree_limits tree_default_limits = {
	.file_bytes = (size_t)16 << 20,
	.nodes = 1000000,
	.depth = 64,
};

int tree_init(struct tree *t, struct arena *arena, const struct tree_limits *limits)
{
	*t = (struct tree){.arena = arena,
			   .limits = limits != NULL ? *limits : tree_default_limits};
	t->root = ARENA_NEW(arena, struct tree_node);
	if (t->root == NULL)
		return -ENOMEM;
	t->root->kind = TREE_MAP;
	return 0;
}

enum tree_format tree_format_of(slice path)
{
	static const struct {
		slice extension;
		enum tree_format format;
	} known[] = {
		{{".yaml", 5}, TREE_YAML},
		{{".yml", 4}, TREE_YAML},
		{{".toml", 5}, TREE_TOML},
		{{".json", 5}, TREE_JSON},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		slice e = known[i].extension;

		if (path.n > e.n && slice_equal_nocase(slice_from_at(path, path.n - e.n), e))
			return known[i].format;
	}
	return TREE_UNKNOWN;
}

struct tree_node *tree_add(struct tree *t, struct tree_node *parent, slice key,
			   struct tree_place place, struct weir_error *error)
{
	struct tree_node *node;

	if (t->nodes >= t->limits.nodes || parent->depth >= t->limits.depth) {
		bool deep = parent->depth >= t->limits.depth;

		(void)error_set(error, -E2BIG,
				"%s:%u:%u: found more than %u %s, expected a smaller configuration",
				place.source, place.line, place.column,
				deep ? t->limits.depth : t->limits.nodes,
				deep ? "levels" : "values");
		return NULL;
	}
	node = ARENA_NEW(t->arena, struct tree_node);
	if (node == NULL || (key.n > 0 && (node->key = arena_copy(t->arena, key)).p == NULL)) {
		(void)error_set(error, -ENOMEM, "%s: out of memory", place.source);
		return NULL;
	}
	t->nodes++;
	node->depth = parent->depth + 1;
	node->place = node->key_place = place;
	node->parent = parent;
	if (parent->last == NULL)
		parent->first = node;
	else
		parent->last->next = node;
	parent->last = node;
	parent->count++;
	return node;
}

struct tree_node *tree_child(const struct tree_node *node, slice name)
{
	if (node == NULL)
		return NULL;
	TREE_FOR_EACH (child, node) {
		if (slice_equal_nocase(child->key, name))
			return child;
	}
	return NULL;
}

struct tree_node *tree_child_exact(const struct tree_node *node, slice name)
{
	if (node == NULL)
		return NULL;
	TREE_FOR_EACH (child, node) {
		if (slice_equal(child->key, name))
			return child;
	}
	return NULL;
}

static void unlink_children(struct tree_node *node)
{
	node->first = node->last = NULL;
	node->count = 0;
}

int tree_copy(struct tree *t, struct tree_node *to, const struct tree_node *from,
	      struct weir_error *error)
{
	unlink_children(to);
	to->kind = from->kind;
	to->type = from->type;
	to->text = from->text;
	to->number = from->number;
	to->place = from->place;
	TREE_FOR_EACH (child, from) {
		struct tree_node *copy = tree_add(t, to, child->key, child->key_place, error);
		int r = copy == NULL ? -E2BIG : tree_copy(t, copy, child, error);

		if (r < 0)
			return r;
	}
	return 0;
}

int tree_overlay(struct tree *t, struct tree_node *to, const struct tree_node *from,
		 struct weir_error *error)
{
	TREE_FOR_EACH (child, from) {
		struct tree_node *old = tree_child(to, child->key);
		int r;

		if (old == NULL)
			old = tree_add(t, to, child->key, child->key_place, error);
		if (old == NULL)
			return -E2BIG;
		old->key_place = child->key_place;
		if (old->kind == TREE_MAP && child->kind == TREE_MAP)
			r = tree_overlay(t, old, child, error);
		else
			r = tree_copy(t, old, child, error);
		if (r < 0)
			return r;
	}
	return 0;
}

void tree_add_path(struct str *out, const struct tree_node *node)
{
	const struct tree_node *way[256];
	size_t n = 0;

	for (; node != NULL && node->parent != NULL && n < ARRAY_LEN(way); node = node->parent)
		way[n++] = node;
	while (n-- > 0) {
		if (way[n]->parent->kind == TREE_LIST) {
			size_t index = 0;

			for (const struct tree_node *e = way[n]->parent->first; e != way[n];
			     e = e->next)
				index++;
			str_format(out, "[%zu]", index);
			continue;
		}
		if (way[n]->parent->parent != NULL)
			str_add_char(out, '.');
		str_add(out, slice_first(way[n]->key, 200));
	}
}

const char *tree_describe(const struct tree_node *node)
{
	static const char *const scalars[] = {"a string", "a boolean", "an integer", "a number",
					      "a date"};

	switch (node->kind) {
	case TREE_NULL:
		return "nothing";
	case TREE_LIST:
		return "a list";
	case TREE_MAP:
		return "an object";
	case TREE_SCALAR:
		break;
	}
	return scalars[node->type];
}

void tree_add_place(struct str *out, struct tree_place place)
{
	if (place.line == 0)
		str_format(out, "%s", place.source != NULL ? place.source : "configuration");
	else
		str_format(out, "%s:%u:%u", place.source, place.line, place.column);
}

static int read_all(struct arena *arena, int fd, const char *path, size_t limit, slice *text,
		    struct weir_error *error)
{
	struct stat st;
	size_t used = 0;
	char *bytes;

	if (fstat(fd, &st) < 0)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(error, -EINVAL, "%s: found %s, expected a regular file", path,
				 S_ISDIR(st.st_mode) ? "a directory" : "a device, pipe or socket");
	if ((uint64_t)st.st_size > limit)
		return error_set(error, -EFBIG, "%s: found %lld bytes, expected at most %zu", path,
				 (long long)st.st_size, limit);
	bytes = arena_alloc(arena, (size_t)st.st_size + 1);
	if (bytes == NULL)
		return error_set(error, -ENOMEM, "%s: out of memory", path);
	while (used < (size_t)st.st_size) {
		ssize_t n = read(fd, bytes + used, (size_t)st.st_size - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(error, -errno, "%s: %s", path, strerror(errno));
		if (n == 0)
			break;
		used += (size_t)n;
	}
	bytes[used] = '\0';
	*text = slice_of(bytes, used);
	return 0;
}

int tree_read_file(struct arena *arena, const char *path, size_t limit, slice *text,
		   struct weir_error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r;

	if (fd < 0)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	r = read_all(arena, fd, path, limit, text, error);
	(void)close(fd);
	return r;
}

int tree_load(struct tree *t, const char *path, struct weir_error *error)
{
	enum tree_format format = tree_format_of(slice_from(path));
	slice text;
	int r;

	if (format == TREE_UNKNOWN)
		return error_set(
			error, -EINVAL,
			"%s: found an unknown file extension, expected .yaml, .yml, .toml or .json",
			path);
	r = tree_read_file(t->arena, path, t->limits.file_bytes, &text, error);
	if (r < 0)
		return r;
	return tree_parse(t, text, format, path, error);
}
