#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/parse.h"
#include "config/toml.h"
#include "core/base.h"

/* Longer ones are no numbers that anybody writes. */
#define PLAIN_MAX 128

/* Digits of a base with single underscores between them; returns how many bytes, 0 if they are not
 * right. */
static size_t digits(const char *s, int base, char *out, size_t *n)
{
	size_t i = 0;

	for (;; i++) {
		int d = s[i] == '_' ? -1 : ascii_hex(s[i]);

		if (d >= 0 && d < base) {
			out[(*n)++] = s[i];
			continue;
		}
		if (s[i] != '_')
			return i;
		if (i == 0 || s[i - 1] == '_' || ascii_hex(s[i + 1]) < 0 ||
		    ascii_hex(s[i + 1]) >= base)
			return 0;
	}
}

static int set_int(struct toml *p, struct tree_node *node, const char *plain, int base,
		   bool negative)
{
	uint64_t limit = (uint64_t)INT64_MAX + negative, v = 0;

	for (; *plain != '\0'; plain++) {
		uint64_t d = (uint64_t)ascii_hex(*plain);

		if (v > (limit - d) / (uint64_t)base)
			return toml_fail(p,
					 "found an integer out of range, expected one of 64 bits");
		v = v * (uint64_t)base + d;
	}
	node->type = TREE_INT;
	node->number = negative ? -(double)v : (double)v;
	node->text = arena_format(p->t->arena, "%s%llu", negative && v > 0 ? "-" : "",
				  (unsigned long long)v);
	return node->text.p != NULL ? 0 : toml_no_memory(p);
}

static int set_float(struct toml *p, struct tree_node *node, double value)
{
	char text[400];

	node->type = TREE_FLOAT;
	node->number = value;
	node->text =
		arena_copy(p->t->arena, slice_of(text, parse_float_text(value, text, sizeof text)));
	return node->text.p != NULL ? 0 : toml_no_memory(p);
}

/* 1 if it is no number at all. */
static int read_number(struct toml *p, struct tree_node *node, const char *s)
{
	static const struct {
		const char *prefix;
		int base;
	} bases[] = {{"0x", 16}, {"0o", 8}, {"0b", 2}};
	char plain[PLAIN_MAX + 2];
	bool negative = *s == '-', sign = negative || *s == '+';
	size_t n = 0, used;

	for (size_t i = 0; i < ARRAY_LEN(bases); i++) {
		if (strncmp(s, bases[i].prefix, 2) != 0)
			continue;
		used = digits(s + 2, bases[i].base, plain, &n);
		plain[n] = '\0';
		return used > 0 && s[2 + used] == '\0'
			       ? set_int(p, node, plain, bases[i].base, false)
			       : 1;
	}
	s += sign;
	if (strcmp(s, "inf") == 0 || strcmp(s, "nan") == 0)
		return set_float(p, node, *s == 'n' ? NAN : negative ? -INFINITY : INFINITY);
	used = digits(s, 10, plain, &n);
	if (used == 0 || (plain[0] == '0' && n > 1))
		return 1;
	s += used;
	plain[n] = '\0';
	if (*s == '\0')
		return set_int(p, node, plain, 10, negative);
	if (*s == '.') {
		plain[n++] = *s++;
		used = digits(s, 10, plain, &n);
		if (used == 0)
			return 1;
		s += used;
	}
	if (*s == 'e' || *s == 'E') {
		plain[n++] = *s++;
		if (*s == '+' || *s == '-')
			plain[n++] = *s++;
		used = digits(s, 10, plain, &n);
		if (used == 0)
			return 1;
		s += used;
	}
	plain[n] = '\0';
	if (*s != '\0')
		return 1;
	return set_float(p, node, (negative ? -1 : 1) * strtod(plain, NULL));
}

static bool two_digits(const char **s, unsigned most)
{
	unsigned v;

	if (!ascii_digit((*s)[0]) || !ascii_digit((*s)[1]))
		return false;
	v = (unsigned)((*s)[0] - '0') * 10 + (unsigned)((*s)[1] - '0');
	*s += 2;
	return v <= most;
}

static bool is_time(const char **s)
{
	if (!two_digits(s, 23) || *(*s)++ != ':' || !two_digits(s, 59) || *(*s)++ != ':' ||
	    !two_digits(s, 60))
		return false;
	if (**s != '.')
		return true;
	if (!ascii_digit(*++*s))
		return false;
	while (ascii_digit(**s))
		++*s;
	return true;
}

static bool is_day(const char **s)
{
	const char *month, *day;

	for (int half = 0; half < 2; half++) {
		if (!two_digits(s, 99))
			return false;
	}
	if (*(*s)++ != '-')
		return false;
	month = *s;
	if (!two_digits(s, 12) || strncmp(month, "00", 2) == 0 || *(*s)++ != '-')
		return false;
	day = *s;
	return two_digits(s, 31) && strncmp(day, "00", 2) != 0;
}

static bool is_date(const char *s)
{
	const char *start = s;

	if (is_time(&s))
		return *s == '\0';
	s = start;
	if (!is_day(&s))
		return false;
	if (*s == '\0')
		return true;
	if (*s != 'T' && *s != 't' && *s != ' ')
		return false;
	s++;
	if (!is_time(&s))
		return false;
	if (*s == '\0' || ((*s == 'Z' || *s == 'z') && s[1] == '\0'))
		return true;
	if (*s != '+' && *s != '-')
		return false;
	s++;
	return two_digits(&s, 23) && *s++ == ':' && two_digits(&s, 59) && *s == '\0';
}

static bool in_word(int c)
{
	return c >= 0 && (ascii_digit((char)c) ||
			  (ascii_lower((char)c) >= 'a' && ascii_lower((char)c) <= 'z') ||
			  c == '+' || c == '-' || c == '_' || c == '.' || c == ':');
}

/* The bytes up to a delimiter; a date and a time may have one space between them. */
static slice read_word(struct toml *p)
{
	size_t start = p->at;

	while (in_word(toml_peek(p)))
		p->at++;
	if (p->at - start == 10 && p->text.p[start + 4] == '-' && p->at + 3 < p->text.n &&
	    p->text.p[p->at] == ' ' && ascii_digit(p->text.p[p->at + 1]) &&
	    p->text.p[p->at + 3] == ':') {
		p->at++;
		while (in_word(toml_peek(p)))
			p->at++;
	}
	return slice_of(p->text.p + start, p->at - start);
}

int toml_plain(struct toml *p, struct tree_node *node)
{
	struct tree_place place = toml_place(p);
	slice word = read_word(p);
	char text[PLAIN_MAX];
	int r = 1;

	node->kind = TREE_SCALAR;
	(void)snprintf(text, sizeof text, "%.*s", SLICE_ARG(word));
	if (slice_equal(word, SLICE("true")) || slice_equal(word, SLICE("false"))) {
		node->type = TREE_BOOL;
		node->text = word.n == 4 ? SLICE("true") : SLICE("false");
		return 0;
	}
	if (word.n > 0 && word.n < sizeof text) {
		if (is_date(text)) {
			node->type = TREE_TIME;
			node->text = arena_copy(p->t->arena, word);
			return node->text.p != NULL ? 0 : toml_no_memory(p);
		}
		r = read_number(p, node, text);
	}
	if (r <= 0)
		return r;
	if (word.n == 0)
		return toml_fail(p, "found no value, expected one");
	return error_set(p->error, -EINVAL,
			 "%s:%u:%u: found %.*s, expected a value (text in quotes)", p->source,
			 place.line, place.column, SLICE_ARG(slice_first(word, 100)));
}
