#include <stdio.h>

#include "provider/template_private.h"

/* Go's verbs. What does not fit is printed as Go does: "%!d(string=x)". */

#define WIDTH_MAX 100000 /* Go refuses more than a million; this keeps padding small */

#define NESTING_MAX 100 /* a map can be made to contain itself */

struct verb {
	bool minus, plus, sharp, space, zero;
	int width;     /* -1: none */
	int precision; /* -1: none */
	char letter;
	unsigned depth; /* of the value being printed */
};

struct arguments {
	const struct template_value *at;
	size_t count;
	size_t next;
	bool reordered;
	bool bad_index;
};

static void add_padded(struct str *out, const struct verb *v, slice text, bool zeros)
{
	size_t runes = 0, width = v->width > 0 ? (size_t)v->width : 0;
	uint32_t rune;

	for (slice s = text; s.n > 0; s = slice_from_at(s, template_rune(s, &rune)))
		runes++;
	if (zeros && text.n > 0 && (text.p[0] == '-' || text.p[0] == '+' || text.p[0] == ' ')) {
		str_add_char(out, text.p[0]);
		text = slice_from_at(text, 1);
	}
	if (v->minus)
		str_add(out, text);
	for (size_t i = runes; i < width && !out->failed; i++)
		str_add_char(out, zeros && !v->minus ? '0' : ' ');
	if (!v->minus)
		str_add(out, text);
}

static void add_bad(struct str *out, struct verb *v, const struct template_value *arg)
{
	str_format(out, "%%!%c(", v->letter);
	if (arg->type != TYPE_NIL)
		str_format(out, "%s=", template_type_name(arg->type));
	template_print(out, arg);
	str_add_char(out, ')');
}

static void digits_in_base(struct str *out, uint64_t value, unsigned base, bool upper, int least)
{
	const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char text[64];
	size_t at = sizeof text;

	while (value > 0) {
		text[--at] = digits[value % base];
		value /= base;
	}
	for (int i = (int)(sizeof text - at); i < least; i++)
		str_add_char(out, '0');
	str_add(out, slice_of(text + at, sizeof text - at));
}

static void format_integer(struct str *out, const struct verb *v, int64_t value)
{
	unsigned base = v->letter == 'b'                       ? 2
			: v->letter == 'o' || v->letter == 'O' ? 8
			: ascii_lower(v->letter) == 'x'        ? 16
							       : 10;
	uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
	bool plus = v->plus && v->letter != 'v'; /* %+v means something else */
	struct str text = {0};

	if (value < 0 || plus || v->space)
		str_add_char(&text, value < 0 ? '-' : plus ? '+' : ' ');
	if (v->letter == 'O' || (v->sharp && base == 8))
		str_add(&text, v->letter == 'O' ? SLICE("0o") : SLICE("0"));
	if (v->sharp && base == 16)
		str_add(&text, v->letter == 'x' ? SLICE("0x") : SLICE("0X"));
	if (v->sharp && base == 2)
		str_add(&text, SLICE("0b"));
	digits_in_base(&text, magnitude, base, v->letter == 'X', MAX(v->precision, 1));
	add_padded(out, v, str_slice(&text), v->zero && v->precision < 0);
	str_free(&text);
}

static bool format_integer_verb(struct str *out, const struct verb *v, int64_t value)
{
	struct str text = {0};

	switch (v->letter) {
	case 'v':
	case 'd':
	case 'b':
	case 'o':
	case 'O':
	case 'x':
	case 'X':
		format_integer(out, v, value);
		return true;
	case 'c':
		template_add_rune(&text, (uint32_t)(value < 0 ? -1 : MIN(value, 0x110000)));
		break;
	case 'q': {
		struct str rune = {0};

		template_add_rune(&rune, (uint32_t)(value < 0 ? -1 : MIN(value, 0x110000)));
		if (slice_equal(str_slice(&rune), SLICE("'")))
			str_add(&text, SLICE("'\\''"));
		else if (slice_equal(str_slice(&rune), SLICE("\"")))
			str_add(&text, SLICE("'\"'"));
		else {
			template_quote(&text, str_slice(&rune));
			text.p[0] = text.p[text.n - 1] = '\'';
		}
		str_free(&rune);
		break;
	}
	case 'U':
		str_format(&text, "U+%04llX", (unsigned long long)value);
		break;
	default:
		return false;
	}
	add_padded(out, v, str_slice(&text), false);
	str_free(&text);
	return true;
}

static bool format_float_verb(struct str *out, const struct verb *v, double value)
{
	struct str text = {0};
	char letter = ascii_lower(v->letter);
	int precision = v->precision;

	if (strchr("veEfFgG", v->letter) == NULL)
		return false;
	if (precision < 0 && (letter == 'e' || letter == 'f'))
		precision = 6;
	if (value >= 0 && ((v->plus && letter != 'v') || v->space))
		str_add_char(&text, v->plus ? '+' : ' ');
	template_print_float(&text, value, letter == 'v' ? 'g' : letter, MIN(precision, 300));
	for (size_t i = 0; i < text.n && (v->letter == 'E' || v->letter == 'G'); i++)
		text.p[i] = ascii_upper(text.p[i]);
	add_padded(out, v, str_slice(&text), v->zero);
	str_free(&text);
	return true;
}

static void add_hex(struct str *text, const struct verb *v, slice s)
{
	if (v->sharp && s.n > 0)
		str_add(text, v->letter == 'x' ? SLICE("0x") : SLICE("0X"));
	for (size_t i = 0; i < s.n; i++) {
		if (v->space && i > 0)
			str_add_char(text, ' ');
		str_format(text, v->letter == 'x' ? "%02x" : "%02X", (unsigned char)s.p[i]);
	}
}

static bool format_string_verb(struct str *out, const struct verb *v, slice s)
{
	struct str text = {.limit = out->limit};
	uint32_t rune;
	size_t n = 0;

	for (int i = 0; v->precision >= 0 && i < v->precision && n < s.n; i++)
		n += template_rune(slice_from_at(s, n), &rune);
	if (v->precision >= 0)
		s = slice_first(s, n);
	if (v->letter == 'q' || (v->letter == 'v' && v->sharp))
		template_quote(&text, s);
	else if (v->letter == 'x' || v->letter == 'X')
		add_hex(&text, v, s);
	else if (v->letter == 's' || v->letter == 'v')
		str_add(&text, s);
	else
		return false;
	out->failed |= text.failed;
	add_padded(out, v, str_slice(&text), v->zero);
	str_free(&text);
	return true;
}

static void format_value(struct str *out, struct verb *v, const struct template_value *arg);

/* Verbs go to the elements, brackets come from here. */
static void format_list(struct str *out, struct verb *v, const struct template_list *list)
{
	str_add_char(out, '[');
	for (size_t i = 0; i < list->count && !out->failed; i++) {
		if (i > 0)
			str_add_char(out, ' ');
		format_value(out, v, &list->items[i]);
	}
	str_add_char(out, ']');
}

static void format_map(struct str *out, struct verb *v, const struct template_pairs *map)
{
	str_add(out, SLICE("map["));
	for (size_t i = 0; i < map->count && !out->failed; i++) {
		struct template_value key = value_text(map->at[i].key);

		if (i > 0)
			str_add_char(out, ' ');
		format_value(out, v, &key);
		str_add_char(out, ':');
		format_value(out, v, map->at[i].value);
	}
	str_add_char(out, ']');
}

static void format_value(struct str *out, struct verb *v, const struct template_value *arg)
{
	struct str text = {.limit = out->limit};
	bool done = false;

	if (arg->type == TYPE_BOOL && (v->letter == 't' || v->letter == 'v')) {
		add_padded(out, v, arg->boolean ? SLICE("true") : SLICE("false"), false);
		return;
	}
	if (template_is_integer(arg))
		done = format_integer_verb(out, v, arg->integer);
	else if (arg->type == TYPE_FLOAT)
		done = format_float_verb(out, v, arg->real);
	else if (arg->type == TYPE_STRING)
		done = format_string_verb(out, v, arg->text);
	else if (template_is_list(arg) && ++v->depth < NESTING_MAX)
		format_list(out, v, &arg->list);
	else if (template_is_map(arg) && ++v->depth < NESTING_MAX)
		format_map(out, v, arg->map);
	if (template_is_list(arg) || template_is_map(arg)) {
		out->failed |= v->depth >= NESTING_MAX;
		v->depth--;
		return;
	}
	if (done)
		return;
	if (v->letter != 'v') {
		add_bad(out, v, arg);
		return;
	}
	template_print(&text, arg);
	out->failed |= text.failed;
	add_padded(out, v, str_slice(&text), false);
	str_free(&text);
}

static size_t parse_flags(slice s, struct verb *v)
{
	size_t n = 0;

	for (; n < s.n; n++) {
		if (s.p[n] == '-')
			v->minus = true;
		else if (s.p[n] == '+')
			v->plus = true;
		else if (s.p[n] == '#')
			v->sharp = true;
		else if (s.p[n] == ' ')
			v->space = true;
		else if (s.p[n] == '0')
			v->zero = true;
		else
			break;
	}
	return n;
}

static size_t parse_digits(slice s, int *value)
{
	size_t n = 0;

	*value = 0;
	while (n < s.n && ascii_digit(s.p[n])) {
		if (*value < WIDTH_MAX)
			*value = *value * 10 + (s.p[n] - '0');
		n++;
	}
	*value = MIN(*value, WIDTH_MAX);
	return n;
}

/* "[2]" chooses the next argument. */
static size_t parse_index(slice s, struct arguments *args)
{
	int number;
	size_t n;

	if (s.n < 3 || s.p[0] != '[')
		return 0;
	n = parse_digits(slice_from_at(s, 1), &number);
	if (n == 0 || n + 1 >= s.n || s.p[n + 1] != ']')
		return 0;
	args->reordered = true;
	args->bad_index = number <= 0 || (size_t)number > args->count;
	args->next = args->bad_index ? args->count : (size_t)number - 1;
	return n + 2;
}

/* Digits or `*`; `*value` is left alone if there is neither. */
static size_t parse_number(slice s, struct arguments *args, int *value, bool *bad)
{
	const struct template_value *arg;
	size_t index = parse_index(s, args), n;
	int number;

	s = slice_from_at(s, index);
	if (s.n > 0 && s.p[0] == '*') {
		arg = args->next < args->count ? &args->at[args->next] : NULL;
		*bad = arg == NULL || arg->type != TYPE_INT || arg->integer > WIDTH_MAX ||
		       arg->integer < -WIDTH_MAX;
		if (arg != NULL)
			args->next++;
		if (!*bad)
			*value = (int)arg->integer;
		return index + 1;
	}
	n = parse_digits(s, &number);
	if (n > 0)
		*value = number;
	return index + n;
}

/* One directive after its `%`; returns what it took. */
static size_t format_directive(struct str *out, slice s, struct arguments *args)
{
	struct verb v = {.width = -1, .precision = -1};
	bool bad = false;
	size_t n = parse_flags(s, &v);

	n += parse_number(slice_from_at(s, n), args, &v.width, &bad);
	if (bad)
		str_add(out, SLICE("%!(BADWIDTH)"));
	if (v.width < -1) {
		v.minus = true;
		v.width = -v.width;
	}
	if (n < s.n && s.p[n] == '.') {
		v.precision = 0;
		bad = false;
		n += 1 + parse_number(slice_from_at(s, n + 1), args, &v.precision, &bad);
		if (bad)
			str_add(out, SLICE("%!(BADPREC)"));
	}
	n += parse_index(slice_from_at(s, n), args);
	if (n >= s.n) {
		str_add(out, SLICE("%!(NOVERB)"));
		return n;
	}
	v.letter = s.p[n++];
	v.zero = v.zero && !v.minus;
	if (v.letter == '%')
		str_add_char(out, '%');
	else if (args->next >= args->count)
		str_format(out, args->bad_index ? "%%!%c(BADINDEX)" : "%%!%c(MISSING)", v.letter);
	else if (v.letter == 'T')
		add_padded(out, &v, slice_from(template_type_name(args->at[args->next++].type)),
			   false);
	else
		format_value(out, &v, &args->at[args->next++]);
	return n;
}

void template_printf(struct str *out, slice format, const struct template_value *args, size_t count)
{
	struct arguments a = {.at = args, .count = count};

	while (format.n > 0 && !out->failed) {
		size_t n = slice_find(format, '%');

		str_add(out, slice_first(format, n));
		if (n == format.n)
			break;
		format = slice_from_at(format, n + 1);
		format = slice_from_at(format, format_directive(out, format, &a));
	}
	if (a.reordered || a.next >= count)
		return;
	str_add(out, SLICE("%!(EXTRA "));
	for (size_t i = a.next; i < count; i++) {
		if (i > a.next)
			str_add(out, SLICE(", "));
		if (args[i].type == TYPE_NIL) {
			str_add(out, SLICE("<nil>"));
			continue;
		}
		str_format(out, "%s=", template_type_name(args[i].type));
		template_print(out, &args[i]);
	}
	str_add_char(out, ')');
}
