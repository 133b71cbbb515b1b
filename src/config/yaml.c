#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "config/parse.h"
#include "config/scalar.h"
#include "core/map.h"

struct anchor {
	slice name;
	const struct tree_node *node;
	struct anchor *older;
};

/* An open map or list. A key waits here until its value comes. */
struct frame {
	struct tree_node *node;
	struct tree_node *merges; /* a detached list of the values of `<<`; NULL if there is none */
	slice key;
	struct tree_place key_place;
	bool has_key;
	bool merge; /* the key is `<<` */
};

/** One parse; lives on the stack of `parse_yaml`. */
struct reader {
	struct tree *t;
	const char *source;
	slice text;
	struct weir_error *error;
	struct frame *frames; /* limits.depth + 1 of them */
	size_t open;
	bool done; /* the document's value was seen */
	struct anchor *anchors;
};

static struct tree_place place_of(const struct reader *r, yaml_mark_t mark)
{
	return (struct tree_place){r->source, (uint32_t)mark.line + 1, (uint32_t)mark.column + 1};
}

static int fail(struct reader *r, struct tree_place at, const char *format, ...) PRINTF_LIKE(3, 4);

static int fail(struct reader *r, struct tree_place at, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	return parse_error(r->error, -EINVAL, at.source, at.line, at.column, text, strlen(text));
}

static int no_memory(struct reader *r)
{
	return error_set(r->error, -ENOMEM, "%s: out of memory", r->source);
}

static slice bytes(const unsigned char *p, size_t n)
{
	return slice_of((const char *)p, n);
}

static struct frame *top(struct reader *r)
{
	return &r->frames[r->open - 1];
}

static int merge_map(struct reader *r, struct tree_node *to, struct map *known,
		     const struct tree_node *from)
{
	if (from->kind != TREE_MAP)
		return fail(r, from->place, "found %s, expected an object to merge",
			    tree_describe(from));
	TREE_FOR_EACH (child, from) {
		struct tree_node *copy;
		int result;

		if (map_get(known, child->key) != NULL)
			continue;
		copy = tree_add(r->t, to, child->key, child->key_place, r->error);
		if (copy == NULL)
			return -E2BIG;
		result = tree_copy(r->t, copy, child, r->error);
		if (result == 0 && map_put(known, copy->key, copy) < 0)
			result = no_memory(r);
		if (result < 0)
			return result;
	}
	return 0;
}

/* What the map says itself comes first, then the merged maps in their order. */
static int apply_merges(struct reader *r, struct tree_node *to, struct map *known,
			const struct tree_node *merges)
{
	int result = 0;

	for (const struct tree_node *m = merges->first; m != NULL && result == 0; m = m->next) {
		if (m->kind != TREE_LIST) {
			result = merge_map(r, to, known, m);
			continue;
		}
		for (const struct tree_node *each = m->first; each != NULL && result == 0;
		     each = each->next)
			result = merge_map(r, to, known, each);
	}
	return result;
}

static int close_map(struct reader *r, struct frame *f)
{
	struct map known = {0};
	int result = 0;

	if (f->node->count < 2 && f->merges == NULL)
		return 0;
	for (struct tree_node *c = f->node->first; c != NULL && result == 0; c = c->next) {
		const struct tree_node *first = map_get(&known, c->key);

		if (first != NULL)
			result = fail(
				r, c->key_place,
				"found key \"%.*s\" again, expected it once (first at line %u)",
				SLICE_ARG(slice_first(c->key, 100)), first->key_place.line);
		else if (map_put(&known, c->key, c) < 0)
			result = no_memory(r);
	}
	if (result == 0 && f->merges != NULL)
		result = apply_merges(r, f->node, &known, f->merges);
	map_free(&known);
	return result;
}

/* Where the next value goes: the root, the next element, or the waiting key. */
static int place_value(struct reader *r, struct tree_place at, struct tree_node **node)
{
	struct frame *f;
	struct tree_node *parent;

	if (r->open == 0) {
		if (r->done)
			return fail(r, at, "found a second document, expected only one");
		r->done = true;
		*node = r->t->root;
		(*node)->place = at;
		return 0;
	}
	f = top(r);
	parent = f->node;
	if (f->has_key && f->merge) {
		if (f->merges == NULL) {
			f->merges = ARENA_NEW(r->t->arena, struct tree_node);
			if (f->merges == NULL)
				return no_memory(r);
			f->merges->kind = TREE_LIST;
			f->merges->depth = parent->depth;
			f->merges->parent = parent->parent;
		}
		parent = f->merges;
	}
	*node = tree_add(r->t, parent, f->has_key ? f->key : slice_of(NULL, 0), at, r->error);
	if (*node == NULL)
		return -E2BIG;
	if (f->has_key)
		(*node)->key_place = f->key_place;
	f->has_key = false;
	return 0;
}

static bool wants_key(const struct reader *r)
{
	return r->open > 0 && r->frames[r->open - 1].node->kind == TREE_MAP &&
	       !r->frames[r->open - 1].has_key;
}

static int set_anchor(struct reader *r, const yaml_char_t *name, const struct tree_node *node)
{
	struct anchor *a;

	if (name == NULL)
		return 0;
	a = ARENA_NEW(r->t->arena, struct anchor);
	if (a == NULL)
		return no_memory(r);
	a->name = arena_copy(r->t->arena, slice_from((const char *)name));
	a->node = node;
	a->older = r->anchors;
	r->anchors = a;
	return a->name.p != NULL ? 0 : no_memory(r);
}

static int on_key(struct reader *r, const yaml_event_t *e)
{
	struct frame *f = top(r);
	slice text = bytes(e->data.scalar.value, e->data.scalar.length);

	f->key = arena_copy(r->t->arena, text);
	if (f->key.p == NULL)
		return no_memory(r);
	f->key_place = place_of(r, e->start_mark);
	f->has_key = true;
	f->merge = e->data.scalar.plain_implicit &&
		   e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
		   slice_equal(text, SLICE("<<"));
	if (e->data.scalar.anchor != NULL)
		return fail(r, f->key_place, "found an anchor on a key, expected it on a value");
	return 0;
}

static int tagged_scalar(struct reader *r, struct tree_node *node, const yaml_event_t *e,
			 slice text)
{
	static const slice prefix = {"tag:yaml.org,2002:", 18};
	slice tag = slice_from((const char *)e->data.scalar.tag);
	static const struct {
		slice name;
		enum tree_kind kind;
		enum tree_type type;
	} known[] = {
		{{"bool", 4}, TREE_SCALAR, TREE_BOOL},      {{"int", 3}, TREE_SCALAR, TREE_INT},
		{{"float", 5}, TREE_SCALAR, TREE_FLOAT},    {{"null", 4}, TREE_NULL, TREE_STRING},
		{{"timestamp", 9}, TREE_SCALAR, TREE_TIME},
	};

	if (slice_starts(tag, prefix))
		tag = slice_from_at(tag, prefix.n);
	if (slice_equal(tag, SLICE("str")) || slice_equal(tag, SLICE("!"))) {
		node->kind = TREE_SCALAR;
		node->text = arena_copy(r->t->arena, text);
		return node->text.p != NULL ? 0 : no_memory(r);
	}
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (!slice_equal(tag, known[i].name))
			continue;
		if (scalar_resolve(node, text, r->t->arena) < 0)
			return no_memory(r);
		if (node->kind == known[i].kind && node->type == TREE_INT &&
		    known[i].type == TREE_FLOAT)
			node->type = TREE_FLOAT;
		if (node->kind == known[i].kind && node->type == known[i].type)
			return 0;
		return fail(r, node->place, "found \"%.*s\", expected a value of type !!%s",
			    SLICE_ARG(slice_first(text, 100)), known[i].name.p);
	}
	return fail(r, node->place,
		    "found tag %.*s, expected none, !!str, !!int, !!float, !!bool or !!null",
		    SLICE_ARG(slice_first(tag, 100)));
}

static int on_scalar(struct reader *r, const yaml_event_t *e)
{
	slice text = bytes(e->data.scalar.value, e->data.scalar.length);
	struct tree_place at = place_of(r, e->start_mark);
	struct tree_node *node;
	int result = place_value(r, at, &node);

	if (result < 0)
		return result;
	if (e->data.scalar.tag != NULL) {
		result = tagged_scalar(r, node, e, text);
	} else if (e->data.scalar.plain_implicit) {
		result = scalar_resolve(node, text, r->t->arena) < 0 ? no_memory(r) : 0;
	} else {
		node->kind = TREE_SCALAR;
		node->type = TREE_STRING;
		node->text = arena_copy(r->t->arena, text);
		result = node->text.p != NULL ? 0 : no_memory(r);
	}
	if (result == 0)
		result = set_anchor(r, e->data.scalar.anchor, node);
	if (result == 0 && node == r->t->root && node->kind != TREE_NULL)
		result = fail(r, at, "found %s, expected an object with options",
			      tree_describe(node));
	node->kind = node == r->t->root ? TREE_MAP : node->kind;
	return result;
}

static int on_start(struct reader *r, const yaml_event_t *e, enum tree_kind kind,
		    const yaml_char_t *anchor)
{
	struct tree_place at = place_of(r, e->start_mark);
	struct tree_node *node;
	int result;

	if (wants_key(r))
		return fail(r, at, "found %s as a key, expected a string",
			    kind == TREE_MAP ? "an object" : "a list");
	result = place_value(r, at, &node);
	if (result < 0)
		return result;
	if (node == r->t->root && kind != TREE_MAP)
		return fail(r, at, "found a list, expected an object with options");
	node->kind = kind;
	node->text = SLICE("");
	if (r->open > r->t->limits.depth)
		return fail(r, at, "found more than %u levels, expected fewer", r->t->limits.depth);
	r->frames[r->open++] = (struct frame){.node = node};
	return set_anchor(r, anchor, node);
}

static int on_alias(struct reader *r, const yaml_event_t *e)
{
	slice name = slice_from((const char *)e->data.alias.anchor);
	struct tree_place at = place_of(r, e->start_mark);
	struct anchor *a = r->anchors;
	struct tree_node *node;
	int result;

	if (wants_key(r))
		return fail(r, at, "found an alias as a key, expected a string");
	while (a != NULL && !slice_equal(a->name, name))
		a = a->older;
	if (a == NULL)
		return fail(r, at, "found alias *%.*s, expected an anchor of that name before it",
			    SLICE_ARG(slice_first(name, 100)));
	for (size_t i = 0; i < r->open; i++) {
		if (r->frames[i].node == a->node)
			return fail(r, at, "found alias *%.*s inside its own anchor",
				    SLICE_ARG(slice_first(name, 100)));
	}
	result = place_value(r, at, &node);
	return result < 0 ? result : tree_copy(r->t, node, a->node, r->error);
}

static int on_event(struct reader *r, const yaml_event_t *e)
{
	int result = 0;

	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return wants_key(r) ? on_key(r, e) : on_scalar(r, e);
	case YAML_MAPPING_START_EVENT:
		return on_start(r, e, TREE_MAP, e->data.mapping_start.anchor);
	case YAML_SEQUENCE_START_EVENT:
		return on_start(r, e, TREE_LIST, e->data.sequence_start.anchor);
	case YAML_MAPPING_END_EVENT:
		result = close_map(r, top(r));
		r->open--;
		return result;
	case YAML_SEQUENCE_END_EVENT:
		r->open--;
		return 0;
	case YAML_ALIAS_EVENT:
		return on_alias(r, e);
	case YAML_DOCUMENT_START_EVENT:
		if (r->done)
			return fail(r, place_of(r, e->start_mark),
				    "found a second document, expected only one");
		return 0;
	default:
		return 0;
	}
}

/* Where a byte stands: libyaml gives no lines for text that it cannot read. */
static struct tree_place place_of_byte(const struct reader *r, size_t offset)
{
	struct tree_place at = {r->source, 1, 1};

	for (size_t i = 0; i < offset && i < r->text.n; i++) {
		at.column = r->text.p[i] == '\n'
				    ? 1
				    : at.column + (((unsigned char)r->text.p[i] & 0xc0) != 0x80);
		at.line += r->text.p[i] == '\n';
	}
	return at;
}

static bool is_tab(const struct reader *r, yaml_mark_t mark)
{
	size_t line = 0, i = 0;

	/* The mark's index counts characters, not bytes. */
	while (i < r->text.n && line < mark.line)
		line += r->text.p[i++] == '\n';
	for (size_t column = 0; i < r->text.n && column < mark.column; column++) {
		do
			i++;
		while (i < r->text.n && ((unsigned char)r->text.p[i] & 0xc0) == 0x80);
	}
	return i < r->text.n && r->text.p[i] == '\t';
}

static int syntax_error(struct reader *r, const yaml_parser_t *parser)
{
	const char *problem = parser->problem != NULL ? parser->problem : "not valid YAML";
	struct tree_place at = place_of(r, parser->problem_mark);

	if (parser->error == YAML_MEMORY_ERROR)
		return no_memory(r);
	if (parser->error == YAML_READER_ERROR)
		return fail(r, place_of_byte(r, parser->problem_offset), "%s, expected UTF-8 text",
			    problem);
	if (is_tab(r, parser->problem_mark))
		return fail(r, at, "found a tab, expected spaces for indentation");
	if (parser->context != NULL)
		return fail(r, at, "%s, %s", parser->context, problem);
	return fail(r, at, "%s", problem);
}

static int read_events(struct reader *r, yaml_parser_t *parser)
{
	yaml_event_type_t type;
	yaml_event_t event;
	int result;

	do {
		if (!yaml_parser_parse(parser, &event))
			return syntax_error(r, parser);
		type = event.type;
		result = on_event(r, &event);
		yaml_event_delete(&event);
	} while (result == 0 && type != YAML_STREAM_END_EVENT);
	return result;
}

int parse_yaml(struct tree *t, const char *text, size_t n, const char *source,
	       struct weir_error *error)
{
	struct reader r = {.t = t, .source = source, .text = slice_of(text, n), .error = error};
	yaml_parser_t parser;
	int result;

	r.frames = ARENA_ARRAY(t->arena, struct frame, (size_t)t->limits.depth + 2);
	if (r.frames == NULL || !yaml_parser_initialize(&parser))
		return no_memory(&r);
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
	result = read_events(&r, &parser);
	yaml_parser_delete(&parser);
	return result;
}
