#include "config/toml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/parse.h"

/* How a table or list came to be, which says how it may go on (TOML 1.0, "Table"). Kept in `mark`
 * of its node. */
enum mark {
	MARK_CLOSED,   /* a value: [1, 2] or {a = 1}; scalars, too */
	MARK_IMPLICIT, /* on the way of a header: [a.b] makes a */
	MARK_HEADER,   /* by its own header, or the root */
	MARK_DOTTED,   /* by a dotted key */
	MARK_LIST,     /* by [[a]] */
};

static int value(struct toml *p, struct tree_node *node);

struct tree_place toml_place(struct toml *p)
{
	for (; p->counted < p->at && p->counted < p->text.n; p->counted++) {
		unsigned char c = (unsigned char)p->text.p[p->counted];

		if (c == '\n') {
			p->line++;
			p->column = 1;
		} else if ((c & 0xc0) != 0x80) {
			p->column++;
		}
	}
	return (struct tree_place){p->source, p->line, p->column};
}

int toml_fail(struct toml *p, const char *format, ...)
{
	struct tree_place at = toml_place(p);
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	return parse_error(p->error, -EINVAL, p->source, at.line, at.column, text, strlen(text));
}

int toml_no_memory(struct toml *p)
{
	return error_set(p->error, -ENOMEM, "%s: out of memory", p->source);
}

static void skip_space(struct toml *p)
{
	while (toml_peek(p) == ' ' || toml_peek(p) == '\t')
		p->at++;
}

static int skip_comment(struct toml *p)
{
	while (toml_peek(p) >= 0 && toml_peek(p) != '\n' && !toml_ahead(p, SLICE("\r\n"))) {
		int c = toml_peek(p);

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return toml_fail(p, "found control character 0x%02x, expected text",
					 (unsigned)c);
		p->at++;
	}
	return 0;
}

/* White space, comments and line ends. */
static int skip_lines(struct toml *p)
{
	for (;;) {
		skip_space(p);
		if (toml_peek(p) == '\n') {
			p->at++;
		} else if (toml_ahead(p, SLICE("\r\n"))) {
			p->at += 2;
		} else if (toml_peek(p) == '#') {
			int r = skip_comment(p);

			if (r < 0)
				return r;
		} else {
			return 0;
		}
	}
}

static int end_of_line(struct toml *p)
{
	int r = 0;

	skip_space(p);
	if (toml_peek(p) == '#')
		r = skip_comment(p);
	if (r == 0 && toml_peek(p) >= 0 && toml_peek(p) != '\n' && !toml_ahead(p, SLICE("\r\n")))
		return toml_fail(p, "found more on the line, expected its end");
	return r;
}

static bool in_bare_key(int c)
{
	return c >= 0 && (ascii_digit((char)c) || c == '_' || c == '-' ||
			  (ascii_lower((char)c) >= 'a' && ascii_lower((char)c) <= 'z'));
}

static int simple_key(struct toml *p, slice *name, struct tree_place *place)
{
	size_t start = p->at;

	*place = toml_place(p);
	if (toml_peek(p) == '"' || toml_peek(p) == '\'')
		return toml_string(p, false, name);
	while (in_bare_key(toml_peek(p)))
		p->at++;
	*name = slice_of(p->text.p + start, p->at - start);
	if (name->n > 0)
		return 0;
	/* JSON, for instance; the words of Traefik's parser, which people search for. */
	if (toml_peek(p) == '{')
		return toml_fail(p, "found no key: expected '.' or '=', but got '{' instead");
	return toml_fail(p, "found no key, expected one (letters, digits, _ and -, or in quotes)");
}

/* The name of a member in the map of all members: address of the table, then the name. */
static slice member_key(struct toml *p, const struct tree_node *table, slice name)
{
	const uintptr_t address = (uintptr_t)table;
	char *key = arena_alloc(p->t->arena, sizeof address + name.n);

	if (key == NULL)
		return slice_of(NULL, 0);
	memcpy(key, &address, sizeof address);
	if (name.n > 0)
		memcpy(key + sizeof address, name.p, name.n);
	return slice_of(key, sizeof address + name.n);
}

/* The member of that name in `table`, or a new one; `*is_new` says which. */
static int open_member(struct toml *p, struct tree_node *table, slice name, struct tree_place place,
		       struct tree_node **node, bool *is_new)
{
	slice key = member_key(p, table, name);

	if (key.p == NULL)
		return toml_no_memory(p);
	*node = map_get(&p->members, key);
	*is_new = *node == NULL;
	if (!*is_new)
		return 0;
	*node = tree_add(p->t, table, name, place, p->error);
	if (*node == NULL)
		return -E2BIG;
	(*node)->text = SLICE("");
	return map_put(&p->members, key, *node) < 0 ? toml_no_memory(p) : 0;
}

static int defined_again(struct toml *p, slice name, struct tree_place place,
			 const struct tree_node *first)
{
	return error_set(p->error, -EINVAL,
			 "%s:%u:%u: found \"%.*s\" again, expected it once (first at line %u)",
			 p->source, place.line, place.column, SLICE_ARG(slice_first(name, 100)),
			 first->key_place.line);
}

/* a.b.c = value, into `table`. */
static int key_value(struct toml *p, struct tree_node *table)
{
	struct tree_node *node;
	struct tree_place place;
	bool is_new;
	slice name;
	int r;

	for (;;) {
		r = simple_key(p, &name, &place);
		if (r == 0)
			r = open_member(p, table, name, place, &node, &is_new);
		if (r < 0)
			return r;
		skip_space(p);
		if (toml_peek(p) != '.')
			break;
		if (is_new) {
			node->kind = TREE_MAP;
			node->mark = MARK_DOTTED;
		} else if (node->mark != MARK_DOTTED) {
			return defined_again(p, name, place, node);
		}
		table = node;
		p->at++;
		skip_space(p);
	}
	if (!is_new)
		return defined_again(p, name, place, node);
	if (toml_peek(p) != '=')
		return toml_fail(p, "found something else, expected = after the key");
	p->at++;
	skip_space(p);
	return value(p, node);
}

/* The table or list that a name on the way of a header leads to. */
static int step_into(struct toml *p, struct tree_node **table, slice name, struct tree_place place)
{
	struct tree_node *node;
	bool is_new;
	int r = open_member(p, *table, name, place, &node, &is_new);

	if (r < 0)
		return r;
	if (is_new) {
		node->kind = TREE_MAP;
		node->mark = MARK_IMPLICIT;
	}
	if (node->mark == MARK_CLOSED)
		return defined_again(p, name, place, node);
	*table = node->mark == MARK_LIST ? node->last : node;
	return 0;
}

static int open_table(struct toml *p, struct tree_node *parent, slice name, struct tree_place place,
		      struct tree_node **table)
{
	bool is_new;
	int r = open_member(p, parent, name, place, table, &is_new);

	if (r < 0)
		return r;
	if (!is_new && (*table)->mark != MARK_IMPLICIT)
		return defined_again(p, name, place, *table);
	(*table)->kind = TREE_MAP;
	(*table)->mark = MARK_HEADER;
	(*table)->place = (*table)->key_place = place;
	return 0;
}

static int open_element(struct toml *p, struct tree_node *parent, slice name,
			struct tree_place place, struct tree_node **table)
{
	struct tree_node *list;
	bool is_new;
	int r = open_member(p, parent, name, place, &list, &is_new);

	if (r < 0)
		return r;
	if (is_new) {
		list->kind = TREE_LIST;
		list->mark = MARK_LIST;
	} else if (list->mark != MARK_LIST) {
		return defined_again(p, name, place, list);
	}
	*table = tree_add(p->t, list, slice_of(NULL, 0), place, p->error);
	if (*table == NULL)
		return -E2BIG;
	(*table)->kind = TREE_MAP;
	(*table)->mark = MARK_HEADER;
	(*table)->text = SLICE("");
	return 0;
}

/* [a.b] or [[a.b]]. */
static int header(struct toml *p, struct tree_node **table)
{
	bool element = toml_ahead(p, SLICE("[["));
	struct tree_node *parent = p->t->root;
	struct tree_place place;
	slice name;
	int r;

	p->at += element ? 2 : 1;
	for (;;) {
		skip_space(p);
		r = simple_key(p, &name, &place);
		if (r < 0)
			return r;
		skip_space(p);
		if (toml_peek(p) != '.')
			break;
		p->at++;
		r = step_into(p, &parent, name, place);
		if (r < 0)
			return r;
	}
	if (!toml_ahead(p, element ? SLICE("]]") : SLICE("]")))
		return toml_fail(p, "found something else, expected %s after the name",
				 element ? "]]" : "]");
	p->at += element ? 2 : 1;
	return element ? open_element(p, parent, name, place, table)
		       : open_table(p, parent, name, place, table);
}

static int list(struct toml *p, struct tree_node *node)
{
	int r;

	node->kind = TREE_LIST;
	p->at++;
	for (;;) {
		struct tree_node *element;

		r = skip_lines(p);
		if (r < 0)
			return r;
		if (toml_peek(p) == ']')
			break;
		element = tree_add(p->t, node, slice_of(NULL, 0), toml_place(p), p->error);
		if (element == NULL)
			return -E2BIG;
		element->text = SLICE("");
		r = value(p, element);
		if (r == 0)
			r = skip_lines(p);
		if (r < 0)
			return r;
		if (toml_peek(p) == ',')
			p->at++;
		else if (toml_peek(p) != ']')
			return toml_fail(p, "found something else, expected , or ] in the list");
	}
	p->at++;
	return 0;
}

static int inline_table(struct toml *p, struct tree_node *node)
{
	node->kind = TREE_MAP;
	p->at++;
	skip_space(p);
	if (toml_peek(p) == '}') {
		p->at++;
		return 0;
	}
	for (;;) {
		int r;

		skip_space(p);
		r = key_value(p, node);
		if (r < 0)
			return r;
		skip_space(p);
		if (toml_peek(p) != ',' && toml_peek(p) != '}')
			return toml_fail(
				p, "found something else, expected , or } in the inline table");
		if (p->text.p[p->at++] == '}')
			return 0;
	}
}

static int value(struct toml *p, struct tree_node *node)
{
	node->place = toml_place(p);
	node->mark = MARK_CLOSED;
	switch (toml_peek(p)) {
	case '[':
		return list(p, node);
	case '{':
		return inline_table(p, node);
	case '"':
	case '\'':
		node->kind = TREE_SCALAR;
		node->type = TREE_STRING;
		return toml_string(p, true, &node->text);
	default:
		return toml_plain(p, node);
	}
}

static int document(struct toml *p)
{
	struct tree_node *table = p->t->root;
	int r = 0;

	for (;;) {
		r = skip_lines(p);
		if (r < 0 || toml_peek(p) < 0)
			return r;
		r = toml_peek(p) == '[' ? header(p, &table) : key_value(p, table);
		if (r == 0)
			r = end_of_line(p);
		if (r < 0)
			return r;
	}
}

int parse_toml(struct tree *t, const char *text, size_t n, const char *source,
	       struct weir_error *error)
{
	struct toml p = {.t = t,
			 .source = source,
			 .error = error,
			 .text = {text, n},
			 .line = 1,
			 .column = 1};
	int r = 0;

	p.at = p.counted = parse_skip_mark(p.text);
	for (size_t i = p.at; i < n && r == 0;) {
		if (slice_rune(p.text, &i) >= 0)
			continue;
		p.at = i - 1;
		r = toml_fail(&p, "found a byte that is not UTF-8, expected UTF-8 text");
	}
	t->root->mark = MARK_HEADER;
	if (r == 0)
		r = document(&p);
	map_free(&p.members);
	return r;
}
