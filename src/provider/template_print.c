#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <wctype.h>

#include "provider/template_private.h"

/* Printing as Go's package fmt does it. */

locale_t template_unicode(void)
{
	static locale_t locale;

	/* Racing threads may each make one; the loser's is leaked once. */
	if (locale == (locale_t)0)
		locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	if (locale == (locale_t)0)
		locale = newlocale(LC_CTYPE_MASK, "C", (locale_t)0);
	return locale;
}

void template_add_rune(struct str *out, uint32_t rune)
{
	char b[4];

	if (rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff))
		rune = 0xfffd;
	if (rune < 0x80) {
		str_add_char(out, (char)rune);
		return;
	}
	if (rune < 0x800) {
		b[0] = (char)(0xc0 | rune >> 6);
		b[1] = (char)(0x80 | (rune & 0x3f));
		str_add(out, slice_of(b, 2));
		return;
	}
	if (rune < 0x10000) {
		b[0] = (char)(0xe0 | rune >> 12);
		b[1] = (char)(0x80 | (rune >> 6 & 0x3f));
		b[2] = (char)(0x80 | (rune & 0x3f));
		str_add(out, slice_of(b, 3));
		return;
	}
	b[0] = (char)(0xf0 | rune >> 18);
	b[1] = (char)(0x80 | (rune >> 12 & 0x3f));
	b[2] = (char)(0x80 | (rune >> 6 & 0x3f));
	b[3] = (char)(0x80 | (rune & 0x3f));
	str_add(out, slice_of(b, 4));
}

size_t template_rune(slice s, uint32_t *rune)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char first = (unsigned char)s.p[0];
	size_t n = first < 0x80   ? 1
		   : first < 0xc2 ? 0
		   : first < 0xe0 ? 2
		   : first < 0xf0 ? 3
		   : first < 0xf5 ? 4
				  : 0;
	uint32_t value;

	*rune = first;
	if (n == 1)
		return 1;
	*rune = 0xfffd;
	if (n == 0 || n > s.n)
		return 1;
	value = first & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((s.p[i] & 0xc0) != 0x80)
			return 1;
		value = value << 6 | (s.p[i] & 0x3f);
	}
	if (value < least[n] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
		return 1;
	*rune = value;
	return n;
}

bool template_printable(uint32_t rune)
{
	if (rune < 0x80)
		return rune >= 0x20 && rune != 0x7f;
	if (rune == 0xa0 || rune == 0xad || rune == 0xfeff || (rune >= 0x200b && rune <= 0x200f) ||
	    (rune >= 0x202a && rune <= 0x202e) || (rune >= 0x2060 && rune <= 0x206f))
		return false; /* spaces and format characters */
	return iswprint_l((wint_t)rune, template_unicode()) &&
	       !iswspace_l((wint_t)rune, template_unicode());
}

void template_quote(struct str *out, slice s)
{
	static const char special[] = "\a\b\f\n\r\t\v\\\"", letters[] = "abfnrtv\\\"";
	uint32_t rune;
	size_t n;

	str_add_char(out, '"');
	for (; s.n > 0; s = slice_from_at(s, n)) {
		const char *known;

		n = template_rune(s, &rune);
		known = rune != 0 && rune < 0x80 ? strchr(special, (int)rune) : NULL;
		if (known != NULL)
			str_format(out, "\\%c", letters[known - special]);
		else if (rune == 0xfffd && n == 1)
			str_format(out, "\\x%02x", (unsigned char)s.p[0]);
		else if (template_printable(rune))
			str_add(out, slice_first(s, n));
		else if (rune < 0x80)
			str_format(out, "\\x%02x", rune);
		else
			str_format(out, rune < 0x10000 ? "\\u%04x" : "\\U%08x", rune);
	}
	str_add_char(out, '"');
}

/* The shortest digits that read back as the same number. */
static int shortest_precision(double d)
{
	char text[40];

	for (int precision = 1; precision < 17; precision++) {
		(void)snprintf(text, sizeof text, "%.*e", precision - 1, d);
		if (strtod(text, NULL) == d)
			return precision;
	}
	return 17;
}

static int exponent_of(double d, int precision)
{
	char text[64];

	(void)snprintf(text, sizeof text, "%.*e", MIN(precision, 40) - 1, d);
	return (int)strtol(strchr(text, 'e') + 1, NULL, 10);
}

void template_print_float(struct str *out, double d, char format, int precision)
{
	bool shortest = precision < 0;
	int digits = shortest ? shortest_precision(d) : precision, exponent;

	if (isnan(d) || isinf(d)) {
		str_add(out, isnan(d) ? SLICE("NaN") : d > 0 ? SLICE("+Inf") : SLICE("-Inf"));
		return;
	}
	if (format == 'f' || format == 'e') {
		if (shortest)
			digits = format == 'e' ? digits - 1
					       : MAX(digits - 1 - exponent_of(d, digits), 0);
		str_format(out, format == 'f' ? "%.*f" : "%.*e", digits, d);
		return;
	}
	digits = MAX(digits, 1);
	exponent = exponent_of(d, digits);
	if (exponent < -4 || exponent >= (shortest ? 6 : digits)) {
		struct str text = {0};
		slice mantissa;
		size_t e;

		str_format(&text, "%.*e", digits - 1, d);
		e = slice_find(str_slice(&text), 'e');
		mantissa = slice_first(str_slice(&text), e);
		while (slice_find(mantissa, '.') < mantissa.n &&
		       (mantissa.p[mantissa.n - 1] == '0' || mantissa.p[mantissa.n - 1] == '.')) {
			bool dot = mantissa.p[mantissa.n - 1] == '.';

			mantissa.n--;
			if (dot)
				break;
		}
		str_add(out, mantissa);
		str_add(out, slice_from_at(str_slice(&text), e));
		str_free(&text);
		return;
	}
	if (shortest)
		str_format(out, "%.*f", MAX(digits - 1 - exponent, 0), d);
	else
		str_format(out, "%.*g", digits, d);
}

#define NESTING_MAX 100 /* a map can be made to contain itself */

static void print_value(struct str *out, const struct template_value *v, unsigned depth);

static void print_list(struct str *out, const struct template_list *list, unsigned depth)
{
	str_add_char(out, '[');
	for (size_t i = 0; i < list->count && !out->failed; i++) {
		if (i > 0)
			str_add_char(out, ' ');
		print_value(out, &list->items[i], depth);
	}
	str_add_char(out, ']');
}

static void print_map(struct str *out, const struct template_pairs *map, unsigned depth)
{
	str_add(out, SLICE("map["));
	for (size_t i = 0; i < map->count && !out->failed; i++) {
		if (i > 0)
			str_add_char(out, ' ');
		str_add(out, map->at[i].key);
		str_add_char(out, ':');
		print_value(out, map->at[i].value, depth);
	}
	str_add_char(out, ']');
}

static void print_value(struct str *out, const struct template_value *v, unsigned depth)
{
	if (depth > NESTING_MAX)
		out->failed = true;
	else if (v->type == TYPE_NIL)
		str_add(out, SLICE("<nil>"));
	else if (v->type == TYPE_BOOL)
		str_add(out, v->boolean ? SLICE("true") : SLICE("false"));
	else if (template_is_integer(v))
		str_format(out, "%lld", (long long)v->integer);
	else if (v->type == TYPE_FLOAT)
		template_print_float(out, v->real, 'g', -1);
	else if (v->type == TYPE_STRING)
		str_add(out, v->text);
	else if (template_is_list(v))
		print_list(out, &v->list, depth + 1);
	else
		print_map(out, v->map, depth + 1);
}

void template_print(struct str *out, const struct template_value *v)
{
	print_value(out, v, 0);
}

void template_print_all(struct str *out, const struct template_value *args, size_t count,
			bool newline)
{
	for (size_t i = 0; i < count; i++) {
		bool strings =
			i > 0 && (args[i].type == TYPE_STRING || args[i - 1].type == TYPE_STRING);

		if (i > 0 && (newline || !strings))
			str_add_char(out, ' ');
		template_print(out, &args[i]);
	}
	if (newline)
		str_add_char(out, '\n');
}
