#include "config/scalar.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/parse.h"

/* Longer ones are strings: no number that anybody writes needs more. */
#define NUMBER_MAX 128

static int digit_value(char c)
{
	return ascii_hex(c);
}

/* Go's ParseInt(s, 0, 64) and ParseUint: sign, then 0x, 0o, 0b or a leading 0 for octal. */
static bool parse_any_base(const char *s, bool *negative, uint64_t *value)
{
	unsigned base = 10;
	uint64_t v = 0;

	*negative = *s == '-';
	if (*s == '-' || *s == '+')
		s++;
	if (s[0] == '0' && s[1] != '\0') {
		char kind = ascii_lower(s[1]);

		base = kind == 'x' ? 16 : kind == 'b' ? 2 : 8;
		s += kind == 'x' || kind == 'b' || kind == 'o' ? 2 : 1;
	}
	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++) {
		int d = digit_value(*s);

		if (d < 0 || (unsigned)d >= base)
			return false;
		if (__builtin_mul_overflow(v, (uint64_t)base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)d, &v))
			return false;
	}
	*value = v;
	return !*negative || v <= (uint64_t)INT64_MAX + 1;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool looks_like_float(const char *s)
{
	size_t before = 0, after = 0;

	if (*s == '-' || *s == '+')
		s++;
	for (; ascii_digit(*s); s++)
		before++;
	if (*s == '.')
		for (s++; ascii_digit(*s); s++)
			after++;
	if (before + after == 0)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		if (*s == '-' || *s == '+')
			s++;
		if (!ascii_digit(*s))
			return false;
		while (ascii_digit(*s))
			s++;
	}
	return *s == '\0';
}

static bool read_digits(const char **s, unsigned least, unsigned most, unsigned *value)
{
	unsigned n = 0;

	*value = 0;
	for (; n < most && ascii_digit(**s); n++, (*s)++)
		*value = *value * 10 + (unsigned)(**s - '0');
	return n >= least && !ascii_digit(**s);
}

/* 2006-1-2, or with T, t or a space 15:4:5, a fraction, and Z or an offset. */
static bool looks_like_date(const char *s)
{
	unsigned year, month, day, hour, minute, second, skip;

	if (!read_digits(&s, 4, 4, &year) || *s++ != '-' || !read_digits(&s, 1, 2, &month) ||
	    *s++ != '-' || !read_digits(&s, 1, 2, &day) || month < 1 || month > 12 || day < 1 ||
	    day > 31)
		return false;
	if (*s == '\0')
		return true;
	if ((*s != 'T' && *s != 't' && *s != ' ') || (s++, !read_digits(&s, 1, 2, &hour)) ||
	    *s++ != ':' || !read_digits(&s, 1, 2, &minute) || *s++ != ':' ||
	    !read_digits(&s, 1, 2, &second) || hour > 23 || minute > 59 || second > 59)
		return false;
	if (*s == '.' && (s++, !read_digits(&s, 1, 9, &skip)))
		return false;
	if (*s == '\0' || (*s == 'Z' && s[1] == '\0'))
		return true;
	return (*s == '+' || *s == '-') && (s++, read_digits(&s, 2, 2, &hour)) && *s++ == ':' &&
	       read_digits(&s, 2, 2, &minute) && *s == '\0';
}

static const struct {
	const char *word;
	enum tree_kind kind;
	enum tree_type type;
	const char *text;
	double number;
} words[] = {
	{"", TREE_NULL, TREE_STRING, "", 0},
	{"~", TREE_NULL, TREE_STRING, "", 0},
	{"null", TREE_NULL, TREE_STRING, "", 0},
	{"Null", TREE_NULL, TREE_STRING, "", 0},
	{"NULL", TREE_NULL, TREE_STRING, "", 0},
	{"true", TREE_SCALAR, TREE_BOOL, "true", 0},
	{"True", TREE_SCALAR, TREE_BOOL, "true", 0},
	{"TRUE", TREE_SCALAR, TREE_BOOL, "true", 0},
	{"false", TREE_SCALAR, TREE_BOOL, "false", 0},
	{"False", TREE_SCALAR, TREE_BOOL, "false", 0},
	{"FALSE", TREE_SCALAR, TREE_BOOL, "false", 0},
	{".nan", TREE_SCALAR, TREE_FLOAT, "NaN", NAN},
	{".NaN", TREE_SCALAR, TREE_FLOAT, "NaN", NAN},
	{".NAN", TREE_SCALAR, TREE_FLOAT, "NaN", NAN},
	{".inf", TREE_SCALAR, TREE_FLOAT, "+Inf", INFINITY},
	{".Inf", TREE_SCALAR, TREE_FLOAT, "+Inf", INFINITY},
	{".INF", TREE_SCALAR, TREE_FLOAT, "+Inf", INFINITY},
	{"+.inf", TREE_SCALAR, TREE_FLOAT, "+Inf", INFINITY},
	{"+.Inf", TREE_SCALAR, TREE_FLOAT, "+Inf", INFINITY},
	{"+.INF", TREE_SCALAR, TREE_FLOAT, "+Inf", INFINITY},
	{"-.inf", TREE_SCALAR, TREE_FLOAT, "-Inf", -INFINITY},
	{"-.Inf", TREE_SCALAR, TREE_FLOAT, "-Inf", -INFINITY},
	{"-.INF", TREE_SCALAR, TREE_FLOAT, "-Inf", -INFINITY},
};

static bool resolve_word(struct tree_node *node, slice raw)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!slice_equal(raw, slice_from(words[i].word)))
			continue;
		node->kind = words[i].kind;
		node->type = words[i].type;
		node->text = slice_from(words[i].text);
		node->number = words[i].number;
		return true;
	}
	return false;
}

size_t parse_float_text(double value, char *out, size_t size)
{
	int n;

	if (!isfinite(value)) {
		n = snprintf(out, size, "%s", isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
		return (size_t)n;
	}
	n = snprintf(out, size, "%.6f", value);
	must(n > 7 && (size_t)n < size);
	if (strcmp(out + n - 7, ".000000") == 0)
		out[n -= 7] = '\0';
	return (size_t)n;
}

/* Numbers lose their notation: 0x1F becomes 31. */
static int resolve_number(struct tree_node *node, slice raw, struct arena *arena)
{
	char plain[NUMBER_MAX], text[400];
	bool negative;
	uint64_t value;
	size_t n = 0;

	for (size_t i = 0; i < raw.n && n < sizeof plain - 1; i++)
		if (raw.p[i] != '_')
			plain[n++] = raw.p[i];
	plain[n] = '\0';
	if (parse_any_base(plain, &negative, &value)) {
		node->type = TREE_INT;
		node->number = negative ? -(double)value : (double)value;
		node->text = arena_format(arena, "%s%llu", negative && value > 0 ? "-" : "",
					  (unsigned long long)value);
		return node->text.p != NULL ? 0 : -ENOMEM;
	}
	if (!looks_like_float(plain))
		return -EINVAL;
	node->number = strtod(plain, NULL);
	if (!isfinite(node->number))
		return -EINVAL;
	node->type = TREE_FLOAT;
	node->text = arena_copy(arena,
				slice_of(text, parse_float_text(node->number, text, sizeof text)));
	return node->text.p != NULL ? 0 : -ENOMEM;
}

int scalar_resolve(struct tree_node *node, slice raw, struct arena *arena)
{
	if (resolve_word(node, raw))
		return 0;
	node->kind = TREE_SCALAR;
	node->type = TREE_STRING;
	node->text = arena_copy(arena, raw);
	if (node->text.p == NULL)
		return -ENOMEM;
	if (raw.n >= NUMBER_MAX || memchr(raw.p, '\0', raw.n) != NULL)
		return 0;
	if (!ascii_digit(raw.p[0]) && raw.p[0] != '-' && raw.p[0] != '+' && raw.p[0] != '.')
		return 0;
	if (looks_like_date(node->text.p)) {
		node->type = TREE_TIME;
		return 0;
	}
	return resolve_number(node, raw, arena) == -ENOMEM ? -ENOMEM : 0;
}
