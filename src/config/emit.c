#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/parse.h"
#include "core/base.h"

static bool plain_in_yaml(slice s)
{
	static const char *const words[] = {"true", "false", "null", "yes", "no",
					    "on",   "off",   "y",    "n"};

	if (s.n == 0 || s.n > 200 ||
	    (s.p[0] != '/' && s.p[0] != '_' &&
	     (ascii_lower(s.p[0]) < 'a' || ascii_lower(s.p[0]) > 'z')))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = ascii_lower(s.p[i]);

		if (!ascii_digit(c) && (c < 'a' || c > 'z') && strchr("_-./@", c) == NULL)
			return false;
	}
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_equal_nocase(s, slice_from(words[i])))
			return false;
	return memchr(s.p, '\0', s.n) == NULL;
}

void tree_add_yaml_string(struct str *out, slice text)
{
	if (plain_in_yaml(text)) {
		str_add(out, text);
		return;
	}
	str_add_char(out, '"');
	for (size_t i = 0; i < text.n;) {
		size_t start = i;
		int32_t rune = slice_rune(text, &i);

		if (rune == '"' || rune == '\\') {
			str_add_char(out, '\\');
			str_add_char(out, (char)rune);
		} else if (rune == '\n') {
			str_add(out, SLICE("\\n"));
		} else if (rune == -1) {
			str_add(out, SLICE("\\ufffd"));
		} else if (rune < 0x20 || (rune >= 0x7f && rune < 0xa0) || rune == 0x2028 ||
			   rune == 0x2029 || rune == 0xfeff || rune == 0xfffe || rune == 0xffff) {
			str_format(out, "\\u%04x", (unsigned)rune);
		} else {
			str_add(out, slice_of(text.p + start, i - start));
		}
	}
	str_add_char(out, '"');
}

static void add_indent(struct str *out, unsigned indent)
{
	for (unsigned i = 0; i < indent; i++)
		str_add(out, SLICE("  "));
}

/* Parsers find only the end of a short key by themselves. */
#define LONG_KEY 100

void tree_add_yaml_key(struct str *out, slice key, unsigned indent)
{
	add_indent(out, indent);
	if (key.n > LONG_KEY)
		str_add(out, SLICE("? "));
	tree_add_yaml_string(out, key);
	if (key.n > LONG_KEY) {
		str_add_char(out, '\n');
		add_indent(out, indent);
	}
	str_add_char(out, ':');
}

/* The shortest decimal that reads back as the same double, and as a float. */
static void add_double(struct str *out, double value)
{
	char text[40];

	for (int digits = 1; digits <= 17; digits++) {
		(void)snprintf(text, sizeof text, "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	str_add(out, slice_from(text));
	if (strpbrk(text, ".e") == NULL)
		str_add(out, SLICE(".0"));
}

static void add_yaml_scalar(struct str *out, const struct tree_node *node)
{
	if (node->type == TREE_FLOAT && isfinite(node->number)) {
		add_double(out, node->number);
	} else if (node->type == TREE_FLOAT) {
		str_add(out, isnan(node->number) ? SLICE(".nan")
			     : node->number > 0  ? SLICE(".inf")
						 : SLICE("-.inf"));
	} else if (node->type == TREE_STRING) {
		tree_add_yaml_string(out, node->text);
	} else {
		str_add(out, node->text);
	}
}

/* After "key:" or "-": the value on the same line, or its children on the next ones. */
static void add_yaml_value(struct str *out, const struct tree_node *node, unsigned indent)
{
	if (node->kind == TREE_NULL) {
		str_add(out, SLICE(" null\n"));
	} else if (node->kind == TREE_SCALAR) {
		str_add_char(out, ' ');
		add_yaml_scalar(out, node);
		str_add_char(out, '\n');
	} else if (node->first == NULL) {
		str_add(out, node->kind == TREE_MAP ? SLICE(" {}\n") : SLICE(" []\n"));
	} else {
		str_add_char(out, '\n');
		tree_add_yaml(out, node, indent + 1);
	}
}

void tree_add_yaml(struct str *out, const struct tree_node *node, unsigned indent)
{
	TREE_FOR_EACH (child, node) {
		if (node->kind == TREE_LIST) {
			add_indent(out, indent);
			str_add_char(out, '-');
		} else {
			tree_add_yaml_key(out, child->key, indent);
		}
		add_yaml_value(out, child, indent);
	}
}

void tree_add_json_string(struct str *out, slice s)
{
	str_add_char(out, '"');
	for (size_t i = 0; i < s.n;) {
		size_t start = i;
		int32_t rune = slice_rune(s, &i);

		switch (rune) {
		case '"':
		case '\\':
			str_add_char(out, '\\');
			str_add_char(out, (char)rune);
			break;
		case '\n':
			str_add(out, SLICE("\\n"));
			break;
		case '\r':
			str_add(out, SLICE("\\r"));
			break;
		case '\t':
			str_add(out, SLICE("\\t"));
			break;
		case '\b':
			str_add(out, SLICE("\\b"));
			break;
		case '\f':
			str_add(out, SLICE("\\f"));
			break;
		case -1:
			str_add(out, SLICE("\\ufffd"));
			break;
		default:
			if (rune < 0x20 || rune == '<' || rune == '>' || rune == '&' ||
			    rune == 0x2028 || rune == 0x2029)
				str_format(out, "\\u%04x", (unsigned)rune);
			else
				str_add(out, slice_of(s.p + start, i - start));
		}
	}
	str_add_char(out, '"');
}

void tree_add_json_number(struct str *out, double v)
{
	double size = fabs(v);
	char text[400];

	if (v == 0 || (size >= 1e-6 && size < 1e21)) {
		for (int digits = 0; digits <= 30; digits++) {
			(void)snprintf(text, sizeof text, "%.*f", digits, v);
			if (strtod(text, NULL) == v)
				break;
		}
		str_add(out, slice_from(text));
		return;
	}
	for (int digits = 0; digits <= 17; digits++) {
		(void)snprintf(text, sizeof text, "%.*e", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	/* Go writes 1e-7 where C writes 1e-07. */
	char *e = strchr(text, 'e');

	if (e != NULL && e[2] == '0' && e[3] != '\0')
		memmove(e + 2, e + 3, strlen(e + 3) + 1);
	str_add(out, slice_from(text));
}

static void add_json_number(struct str *out, const struct tree_node *node)
{
	if (node->type == TREE_INT)
		str_add(out, node->text);
	else if (!isfinite(node->number))
		tree_add_json_string(out, node->text);
	else
		tree_add_json_number(out, node->number);
}

enum list_of { LIST_OF_STRINGS, LIST_OF_BOOLS, LIST_OF_NUMBERS };

/* Traefik keeps the type of a list whose elements have one. */
static enum list_of list_type(const struct tree_node *list)
{
	size_t bools = 0, numbers = 0;

	TREE_FOR_EACH (child, list) {
		if (child->kind != TREE_SCALAR)
			continue;
		bools += child->type == TREE_BOOL;
		numbers += child->type == TREE_INT || child->type == TREE_FLOAT;
	}
	if (bools == list->count)
		return LIST_OF_BOOLS;
	return numbers == list->count ? LIST_OF_NUMBERS : LIST_OF_STRINGS;
}

static void add_json(struct str *out, const struct tree_node *node, bool as_traefik, bool top);

static void add_json_scalar(struct str *out, const struct tree_node *node, bool typed)
{
	if (typed && node->type == TREE_BOOL)
		str_add(out, node->text);
	else if (typed && (node->type == TREE_INT || node->type == TREE_FLOAT))
		add_json_number(out, node);
	else
		tree_add_json_string(out, node->text);
}

static void add_json_list(struct str *out, const struct tree_node *list, bool as_traefik)
{
	bool typed = !as_traefik || list_type(list) != LIST_OF_STRINGS, first = true;

	str_add_char(out, '[');
	TREE_FOR_EACH (child, list) {
		if (!first)
			str_add_char(out, ',');
		first = false;
		if (child->kind == TREE_SCALAR)
			add_json_scalar(out, child, typed);
		else
			add_json(out, child, as_traefik, false);
	}
	str_add_char(out, ']');
}

static int by_key(const void *a, const void *b)
{
	return slice_compare((*(struct tree_node *const *)a)->key,
			     (*(struct tree_node *const *)b)->key);
}

static void add_json_map(struct str *out, const struct tree_node *map, bool as_traefik)
{
	struct tree_node **sorted = malloc((map->count + 1) * sizeof(struct tree_node *));
	bool first = true;
	size_t n = 0;

	if (sorted == NULL) {
		out->failed = true;
		return;
	}
	TREE_FOR_EACH (child, map)
		sorted[n++] = child;
	qsort(sorted, n, sizeof(struct tree_node *), by_key);
	str_add_char(out, '{');
	for (size_t i = 0; i < n; i++) {
		if (as_traefik && sorted[i]->kind == TREE_NULL)
			continue;
		if (!first)
			str_add_char(out, ',');
		first = false;
		tree_add_json_string(out, sorted[i]->key);
		str_add_char(out, ':');
		add_json(out, sorted[i], as_traefik, false);
	}
	str_add_char(out, '}');
	free(sorted);
}

static void add_json(struct str *out, const struct tree_node *node, bool as_traefik, bool top)
{
	if (node->kind == TREE_NULL)
		str_add(out, as_traefik ? SLICE("\"\"") : SLICE("null"));
	else if (node->kind == TREE_SCALAR)
		add_json_scalar(out, node, !as_traefik);
	else if (as_traefik && !top && node->first == NULL)
		str_add(out, SLICE("\"\""));
	else if (node->kind == TREE_LIST)
		add_json_list(out, node, as_traefik);
	else
		add_json_map(out, node, as_traefik);
}

void tree_add_json(struct str *out, const struct tree_node *node, bool as_traefik)
{
	if (node->kind == TREE_MAP)
		add_json(out, node, as_traefik, true);
	else
		str_add(out, SLICE("{}"));
}
