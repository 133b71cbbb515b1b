#include <errno.h>
#include <stdlib.h>

#include "provider/template_private.h"

/* Constants as Go writes them. */

static size_t unquote_number(slice s, size_t digits, unsigned base, uint32_t *code)
{
	uint32_t value = 0;

	if (s.n < digits)
		return 0;
	for (size_t i = 0; i < digits; i++) {
		int digit = ascii_hex(s.p[i]);

		if (digit < 0 || (unsigned)digit >= base)
			return 0;
		value = value * base + (uint32_t)digit;
	}
	*code = value;
	return digits;
}

static size_t unquote_escape(slice s, char quote, uint32_t *code, bool *is_byte)
{
	static const char letters[] = "abfnrtv\\", codes[] = "\a\b\f\n\r\t\v\\";
	const char *known;
	size_t n;

	if (s.n == 0)
		return 0;
	known = s.p[0] != '\0' ? strchr(letters, s.p[0]) : NULL;
	if (known != NULL || ((s.p[0] == '"' || s.p[0] == '\'') && s.p[0] == quote)) {
		*code = (unsigned char)(known != NULL ? codes[known - letters] : quote);
		return 1;
	}
	if (s.p[0] >= '0' && s.p[0] <= '7') {
		*is_byte = true;
		return unquote_number(s, 3, 8, code) == 3 && *code <= 255 ? 3 : 0;
	}
	if (s.p[0] != 'x' && s.p[0] != 'u' && s.p[0] != 'U')
		return 0;
	*is_byte = s.p[0] == 'x';
	n = s.p[0] == 'x' ? 2 : s.p[0] == 'u' ? 4 : 8;
	if (unquote_number(slice_from_at(s, 1), n, 16, code) == 0)
		return 0;
	if (!*is_byte && (*code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff)))
		return 0;
	return n + 1;
}

size_t template_unquote(slice s, char quote, uint32_t *code, bool *is_byte)
{
	size_t n;

	*is_byte = false;
	if (s.n == 0)
		return 0;
	if (s.p[0] != '\\')
		return template_rune(s, code);
	n = unquote_escape(slice_from_at(s, 1), quote, code, is_byte);
	return n == 0 ? 0 : n + 1;
}

static bool string_constant(struct template_run *t, const struct template_token *token,
			    struct template_value *value)
{
	slice s = slice_of(token->text.p + 1, token->text.n - 2);
	struct str out = template_scratch(t);
	uint32_t code;
	bool is_byte;

	if (token->text.p[0] == '`') {
		/* Go drops carriage returns from raw strings. */
		for (size_t i = 0; i < s.n; i++)
			if (s.p[i] != '\r')
				str_add_char(&out, s.p[i]);
		s = (slice){0};
	}
	while (s.n > 0) {
		size_t n = template_unquote(s, '"', &code, &is_byte);

		if (n == 0) {
			str_free(&out);
			return template_fail(t, token->offset, "invalid escape in the string %.*s",
					     SLICE_ARG(token->text));
		}
		if (is_byte)
			str_add_char(&out, (char)code);
		else if (s.p[0] != '\\')
			str_add(&out, slice_first(s, n));
		else
			template_add_rune(&out, code);
		s = slice_from_at(s, n);
	}
	value->type = TYPE_STRING;
	return template_keep(t, token->offset, &out, &value->text);
}

static bool character_constant(struct template_run *t, const struct template_token *token,
			       struct template_value *value)
{
	slice s = slice_of(token->text.p + 1, token->text.n - 2);
	uint32_t code = 0;
	bool is_byte;
	size_t n = template_unquote(s, '\'', &code, &is_byte);

	if (n == 0 || n != s.n)
		return template_fail(t, token->offset,
				     "malformed character constant %.*s, expected one character",
				     SLICE_ARG(token->text));
	*value = value_int(TYPE_INT, code);
	return true;
}

/* Go's base prefixes; "0" followed by digits is octal. */
static unsigned number_base(slice *s)
{
	char second = s->n > 1 && s->p[0] == '0' ? ascii_lower(s->p[1]) : '\0';

	if (second == 'x' || second == 'b' || second == 'o') {
		*s = slice_from_at(*s, 2);
		return second == 'x' ? 16 : second == 'b' ? 2 : 8;
	}
	return second != '\0' ? 8 : 10;
}

bool template_parse_integer(slice s, int64_t *value, bool *overflow)
{
	bool negative = s.n > 0 && s.p[0] == '-';
	__int128 total = 0;
	unsigned base;

	if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'))
		s = slice_from_at(s, 1);
	base = number_base(&s);
	if (s.n == 0 || s.p[s.n - 1] == '_')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		int digit = ascii_hex(s.p[i]);

		if (s.p[i] == '_')
			continue;
		if (digit < 0 || (unsigned)digit >= base)
			return false;
		if (total < (__int128)1 << 100)
			total = total * base + digit;
	}
	total = negative ? -total : total;
	*overflow = total > INT64_MAX || total < INT64_MIN;
	*value = (int64_t)total;
	return true;
}

static bool parse_float(slice s, double *value)
{
	char text[64], *end;
	size_t n = 0;

	for (size_t i = 0; i < s.n && n < sizeof text - 1; i++)
		if (s.p[i] != '_')
			text[n++] = s.p[i];
	text[n] = '\0';
	if (s.n >= sizeof text - 1)
		return false;
	*value = strtod(text, &end);
	return *end == '\0' && *value - *value == 0;
}

static bool number_constant(struct template_run *t, const struct template_token *token,
			    struct template_value *value)
{
	bool overflow = false;
	int64_t integer;
	double real;

	if (template_parse_integer(token->text, &integer, &overflow)) {
		if (overflow)
			return template_fail(t, token->offset, "%.*s overflows int",
					     SLICE_ARG(token->text));
		*value = value_int(TYPE_INT, integer);
		return true;
	}
	if (token->text.p[token->text.n - 1] == 'i')
		return template_fail(t, token->offset,
				     "complex numbers such as %.*s are not supported",
				     SLICE_ARG(token->text));
	if (!parse_float(token->text, &real))
		return template_fail(t, token->offset, "bad number syntax: %.*s",
				     SLICE_ARG(token->text));
	*value = value_float(real);
	return true;
}

bool template_constant(struct template_run *t, const struct template_token *token,
		       struct template_value *value)
{
	switch (token->type) {
	case TOKEN_STRING:
		return string_constant(t, token, value);
	case TOKEN_CHARACTER:
		return character_constant(t, token, value);
	case TOKEN_BOOLEAN:
		*value = value_bool(token->text.p[0] == 't');
		return true;
	default:
		return number_constant(t, token, value);
	}
}
