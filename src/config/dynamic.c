#include "config/dynamic.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/dynamic_private.h"

#define MEMORY_BYTES_MAX ((size_t)256 << 20)
#define BLOCK_BYTES ((size_t)16 * 1024)

struct dynamic_config *dynamic_new(size_t memory_bytes_max)
{
	struct dynamic_config *c = calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	c->magic = DYNAMIC_CONFIG_MAGIC;
	c->references = 1;
	arena_init(&c->arena, BLOCK_BYTES,
		   memory_bytes_max > 0 ? memory_bytes_max : MEMORY_BYTES_MAX);
	return c;
}

struct dynamic_config *dynamic_ref(struct dynamic_config *config)
{
	OBJ_CHECK(config, DYNAMIC_CONFIG_MAGIC);
	atomic_fetch_add(&config->references, 1);
	return config;
}

void dynamic_destroy(struct dynamic_config **config)
{
	struct dynamic_config *c;

	if (*config == NULL)
		return;
	OBJ_TAKE(c, config, DYNAMIC_CONFIG_MAGIC);
	if (atomic_fetch_sub(&c->references, 1) > 1)
		return;
	for (size_t i = 0; i < c->part_count; i++)
		dynamic_destroy(&c->parts[i].config);
	arena_free(&c->arena);
	c->magic = 0;
	free(c);
}

void dynamic_disable(struct arena *arena, struct dynamic_object *object, const char *format, ...)
{
	char text[WEIR_ERROR_TEXT];
	va_list args;

	if (object->disabled.n > 0)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	object->disabled = arena_copy(arena, slice_from(text));
	if (object->disabled.p == NULL)
		object->disabled = SLICE("out of memory");
}

/* Something that is not served yet was asked for in the object that was written at `node`. */
struct refusal {
	const struct tree_node *object;
	slice text;
	struct refusal *next;
};

struct refusals {
	struct arena *arena;
	struct refusal *first;
	bool failed;
};

#define OBJECT_DEPTH 3 /* http.routers.<name> */

/* "loadBalancer.sticky", seen from the object. */
static void add_path_below(struct str *out, const struct tree_node *node, uint32_t depth)
{
	if (node == NULL || node->depth <= depth)
		return;
	add_path_below(out, node->parent, depth);
	if (node->key.n > 0 && out->n > 0)
		str_add_char(out, '.');
	str_add(out, node->key);
}

static void note_refusal(void *user, const struct option *row, const struct tree_node *node)
{
	struct refusals *all = user;
	struct refusal *r = ARENA_NEW(all->arena, struct refusal);
	const struct tree_node *object = node;
	struct str path = {0};

	while (object != NULL && object->depth > OBJECT_DEPTH)
		object = object->parent;
	add_path_below(&path, node, OBJECT_DEPTH);
	if (r == NULL || path.failed) {
		all->failed = true;
	} else {
		*r = (struct refusal){.object = object, .next = all->first};
		r->text = arena_format(all->arena, "%.*s is not supported by weir: %s",
				       SLICE_ARG(str_slice(&path)), row->hint);
		all->failed |= r->text.p == NULL;
		all->first = r;
	}
	str_free(&path);
}

/* The first of an object counts; the list is in reverse. */
static void apply_refusals(struct dynamic_object *object, const struct tree_node *node,
			   const struct refusals *all)
{
	for (const struct refusal *r = all->first; r != NULL; r = r->next)
		if (r->object == node)
			object->disabled = r->text;
}

static int take_objects(struct dynamic_config *c, enum dynamic_kind kind,
			const struct option_map *map, const struct refusals *refusals)
{
	struct dynamic_object **objects =
		ARENA_ARRAY(&c->arena, struct dynamic_object *, map->count + 1);

	if (objects == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < map->count; i++) {
		const struct option_entry *e = &map->items[i];

		objects[i] = e->value;
		objects[i]->name = e->name;
		objects[i]->place = e->node->key_place;
		objects[i]->node = e->node;
		apply_refusals(objects[i], e->node, refusals);
	}
	return dynamic_set(c, kind, objects, map->count);
}

static int take_all(struct dynamic_config *c, const struct dynamic_root *root,
		    const struct refusals *refusals)
{
	int r = 0;

#define X(kind, member, structure, array, number, name) \
	if (r == 0) \
		r = take_objects(c, DYNAMIC_##kind, &root->member, refusals);
	DYNAMIC_KINDS(X)
#undef X
	c->certificates = root->tls.certificates;
	return r;
}

static void warn_of_disabled(const struct dynamic_config *c, struct config_report *report)
{
	for (enum dynamic_kind kind = 0; kind < DYNAMIC_KIND_COUNT; kind++) {
		for (size_t i = 0; i < dynamic_count(c, kind); i++) {
			const struct dynamic_object *o = dynamic_at(c, kind, i);

			/* Routers are told of when they are built, with all the other reasons. */
			if (o->disabled.n > 0 && kind != DYNAMIC_ROUTER)
				config_warn(report, NULL, o->place, "%s \"%.*s\" is disabled: %.*s",
					    dynamic_kind_name(kind), SLICE_ARG(o->name),
					    SLICE_ARG(o->disabled));
		}
	}
}

int dynamic_decode(struct dynamic_config *config, const struct tree_node *root,
		   struct config_report *report)
{
	struct dynamic_root values = {0};
	struct refusals refusals = {.arena = &config->arena};
	const struct option_context context = {
		.arena = &config->arena,
		.report = report,
		.skip_unknown = true,
		.refused = note_refusal,
		.user = &refusals,
	};
	int r;

	OBJ_CHECK(config, DYNAMIC_CONFIG_MAGIC);
	must(config->part_count == 0 && config->router_count == 0);
	r = option_decode(dynamic_options, root, &values, &context);
	if (r < 0)
		return r;
	r = refusals.failed ? -ENOMEM : take_all(config, &values, &refusals);
	if (r == 0) {
		dynamic_check(config);
		r = dynamic_hash_objects(config);
		if (r == 0)
			r = dynamic_hash_whole(config);
	}
	if (r == 0)
		warn_of_disabled(config, report);
	else
		(void)config_error(report, root->place, "out of memory");
	return r;
}

int dynamic_parse(slice text, enum tree_format format, const char *source,
		  const struct tree_limits *limits, struct config_report *report,
		  struct dynamic_config **config)
{
	struct dynamic_config *c = dynamic_new(0);
	struct weir_error error = {0};
	struct tree tree;
	int r;

	*config = NULL;
	if (c == NULL)
		return -ENOMEM;
	r = tree_init(&tree, &c->arena, limits);
	if (r == 0)
		r = tree_parse(&tree, text, format, source, &error);
	if (r < 0 && error.code != 0)
		(void)config_error_from(report, &error);
	if (r == 0)
		r = dynamic_decode(c, tree.root, report);
	if (r == 0)
		*config = c;
	else
		dynamic_destroy(&c);
	return r;
}

bool dynamic_is_empty(const struct dynamic_config *config)
{
	size_t count = config->certificates.count;

	for (enum dynamic_kind kind = 0; kind < DYNAMIC_KIND_COUNT; kind++)
		count += dynamic_count(config, kind);
	return count == 0;
}

/* The arrays as the maps that the option table knows. */
static bool map_of(const struct dynamic_config *c, enum dynamic_kind kind, struct option_map *map)
{
	map->count = dynamic_count(c, kind);
	map->items = calloc(map->count + 1, sizeof *map->items);
	for (size_t i = 0; map->items != NULL && i < map->count; i++) {
		struct dynamic_object *o = dynamic_at(c, kind, i);

		map->items[i] = (struct option_entry){.name = o->name, .value = o};
	}
	return map->items != NULL;
}

void dynamic_dump(struct str *out, const struct dynamic_config *config,
		  const struct option_dump *how)
{
	struct dynamic_root root = {0};
	bool complete = true;

#define X(kind, member, structure, array, number, name) \
	complete = map_of(config, DYNAMIC_##kind, &root.member) && complete;
	DYNAMIC_KINDS(X)
#undef X
	root.tls.certificates = config->certificates;
	if (complete)
		option_dump(out, dynamic_options, &root, how);
	else
		out->failed = true;
#define X(kind, member, structure, array, number, name) free(root.member.items);
	DYNAMIC_KINDS(X)
#undef X
}

void dynamic_plugin_json(const struct tree_node *node, bool stringify, struct str *out)
{
	tree_add_json(out, node, stringify);
}
