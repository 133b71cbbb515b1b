#include <wctype.h>

#include "provider/template_private.h"

/* sprig's functions on strings. Offsets are bytes, as there. */

static bool return_slice(struct template_call *c, slice s)
{
	c->result = value_text(s);
	return true;
}

static bool is_space_rune(uint32_t rune)
{
	return rune == ' ' || (rune >= '\t' && rune <= '\r') || rune == 0x85 || rune == 0xa0 ||
	       (rune >= 0x80 && iswspace_l((wint_t)rune, template_unicode()));
}

static bool in_cutset(uint32_t rune, slice cutset)
{
	uint32_t other;

	for (; cutset.n > 0; cutset = slice_from_at(cutset, template_rune(cutset, &other)))
		if (template_rune(cutset, &other) > 0 && other == rune)
			return true;
	return false;
}

static slice trim_runes(slice s, const slice *cutset)
{
	uint32_t rune;

	while (s.n > 0) {
		size_t n = template_rune(s, &rune);

		if (cutset != NULL ? !in_cutset(rune, *cutset) : !is_space_rune(rune))
			break;
		s = slice_from_at(s, n);
	}
	while (s.n > 0) {
		size_t n = 1;

		while (n < s.n && n < 4 && (s.p[s.n - n] & 0xc0) == 0x80)
			n++;
		if (template_rune(slice_of(s.p + s.n - n, n), &rune) != n) {
			n = 1;
			rune = 0xfffd;
		}
		if (cutset != NULL ? !in_cutset(rune, *cutset) : !is_space_rune(rune))
			break;
		s.n -= n;
	}
	return s;
}

static bool call_trim(struct template_call *c)
{
	return return_slice(c, trim_runes(c->args[0].text, NULL));
}

static bool call_trim_all(struct template_call *c)
{
	return return_slice(c, trim_runes(c->args[1].text, &c->args[0].text));
}

static bool call_trim_prefix(struct template_call *c)
{
	slice s = c->args[1].text, prefix = c->args[0].text;

	return return_slice(c, slice_starts(s, prefix) ? slice_from_at(s, prefix.n) : s);
}

static bool call_trim_suffix(struct template_call *c)
{
	slice s = c->args[1].text, suffix = c->args[0].text;

	return return_slice(c, slice_ends(s, suffix) ? slice_first(s, s.n - suffix.n) : s);
}

/* What a mapping of runes needs to know about the place of each. */
struct rune_place {
	uint32_t rune;
	uint32_t before; /* ' ' at the start */
};

static bool map_runes(struct template_call *c, slice s, uint32_t (*map)(struct rune_place place))
{
	struct str out = template_scratch(c->run);
	struct rune_place place = {.before = ' '};

	while (s.n > 0) {
		size_t n = template_rune(s, &place.rune);
		uint32_t mapped = map(place);

		if (mapped == place.rune && place.rune != 0xfffd)
			str_add(&out, slice_first(s, n));
		else
			template_add_rune(&out, mapped);
		place.before = place.rune;
		s = slice_from_at(s, n);
	}
	return template_return_text(c, &out);
}

static uint32_t to_upper(struct rune_place p)
{
	return (uint32_t)towupper_l((wint_t)p.rune, template_unicode());
}

static uint32_t to_lower(struct rune_place p)
{
	return (uint32_t)towlower_l((wint_t)p.rune, template_unicode());
}

/* Go's isSeparator: letters, digits and underscore are none; of the rest in ASCII all are. */
static bool is_separator(uint32_t rune)
{
	if (rune < 0x80)
		return !(ascii_digit((char)rune) || rune == '_' ||
			 (ascii_lower((char)rune) >= 'a' && ascii_lower((char)rune) <= 'z'));
	return is_space_rune(rune);
}

static uint32_t to_title(struct rune_place p)
{
	return is_separator(p.before) ? to_upper(p) : p.rune;
}

static uint32_t to_untitle(struct rune_place p)
{
	return is_space_rune(p.before) ? to_lower(p) : p.rune;
}

static uint32_t to_swapped(struct rune_place p)
{
	if (iswupper_l((wint_t)p.rune, template_unicode()))
		return to_lower(p);
	return is_space_rune(p.before) ? to_title(p) : to_upper(p);
}

static bool call_upper(struct template_call *c)
{
	return map_runes(c, c->args[0].text, to_upper);
}

static bool call_lower(struct template_call *c)
{
	return map_runes(c, c->args[0].text, to_lower);
}

static bool call_title(struct template_call *c)
{
	return map_runes(c, c->args[0].text, to_title);
}

static bool call_untitle(struct template_call *c)
{
	return map_runes(c, c->args[0].text, to_untitle);
}

static bool call_swapcase(struct template_call *c)
{
	return map_runes(c, c->args[0].text, to_swapped);
}

static bool call_nospace(struct template_call *c)
{
	struct str out = template_scratch(c->run);
	uint32_t rune;
	size_t n;

	for (slice s = c->args[0].text; s.n > 0; s = slice_from_at(s, n)) {
		n = template_rune(s, &rune);
		if (!is_space_rune(rune))
			str_add(&out, slice_first(s, n));
	}
	return template_return_text(c, &out);
}

static bool call_initials(struct template_call *c)
{
	struct str out = template_scratch(c->run);
	uint32_t rune;
	bool start = true;
	size_t n;

	for (slice s = c->args[0].text; s.n > 0; s = slice_from_at(s, n)) {
		n = template_rune(s, &rune);
		if (start && !is_space_rune(rune))
			str_add(&out, slice_first(s, n));
		start = is_space_rune(rune);
	}
	return template_return_text(c, &out);
}

static bool call_repeat(struct template_call *c)
{
	struct str out = template_scratch(c->run);

	if (c->args[0].integer < 0)
		return template_call_fail(c, "negative count %lld", (long long)c->args[0].integer);
	for (int64_t i = 0; i < c->args[0].integer && !out.failed && c->args[1].text.n > 0; i++)
		str_add(&out, c->args[1].text);
	return template_return_text(c, &out);
}

/* An empty `old` matches before every rune and at the end. */
static void replace_all(struct str *out, slice s, slice old, slice new)
{
	uint32_t rune;

	while (old.n == 0) {
		size_t n;

		str_add(out, new);
		if (s.n == 0 || out->failed)
			return;
		n = template_rune(s, &rune);
		str_add(out, slice_first(s, n));
		s = slice_from_at(s, n);
	}
	while (!out->failed) {
		size_t n = slice_search(s, old);

		str_add(out, slice_first(s, n));
		if (n == s.n)
			return;
		str_add(out, new);
		s = slice_from_at(s, n + old.n);
	}
}

static bool call_replace(struct template_call *c)
{
	struct str out = template_scratch(c->run);

	replace_all(&out, c->args[2].text, c->args[0].text, c->args[1].text);
	return template_return_text(c, &out);
}

static bool call_contains(struct template_call *c)
{
	slice s = c->args[1].text, part = c->args[0].text;

	c->result = value_bool(part.n == 0 || slice_search(s, part) < s.n);
	return true;
}

static bool call_has_prefix(struct template_call *c)
{
	c->result = value_bool(slice_starts(c->args[1].text, c->args[0].text));
	return true;
}

static bool call_has_suffix(struct template_call *c)
{
	c->result = value_bool(slice_ends(c->args[1].text, c->args[0].text));
	return true;
}

static bool call_trunc(struct template_call *c)
{
	slice s = c->args[1].text;
	int64_t n = c->args[0].integer;

	if (n < 0 && (uint64_t)-n < s.n)
		return return_slice(c, slice_from_at(s, s.n - (size_t)-n));
	if (n >= 0 && (uint64_t)n < s.n)
		return return_slice(c, slice_first(s, (size_t)n));
	return return_slice(c, s);
}

static bool call_substr(struct template_call *c)
{
	slice s = c->args[2].text;
	int64_t start = c->args[0].integer, end = c->args[1].integer;

	if (start < 0)
		start = 0;
	else if (end < 0 || (uint64_t)end > s.n)
		end = (int64_t)s.n;
	if (end < start || (uint64_t)end > s.n)
		return template_call_fail(
			c, "bounds %lld to %lld are outside of a string of %zu bytes",
			(long long)start, (long long)end, s.n);
	return return_slice(c, slice_of(s.p + start, (size_t)(end - start)));
}

static bool call_abbrev(struct template_call *c)
{
	struct str out = template_scratch(c->run);
	slice s = c->args[1].text;
	int64_t width = c->args[0].integer;

	if (width < 4 || s.n <= (uint64_t)width)
		return return_slice(c, s);
	str_add(&out, slice_first(s, (size_t)width - 3));
	str_add(&out, SLICE("..."));
	return template_return_text(c, &out);
}

static void add_indented(struct template_call *c, struct str *out)
{
	struct str pad = template_scratch(c->run);

	str_add_char(&pad, '\n');
	for (int64_t i = 0; i < c->args[0].integer && !pad.failed; i++)
		str_add_char(&pad, ' ');
	out->failed |= pad.failed;
	str_add(out, slice_from_at(str_slice(&pad), 1));
	replace_all(out, c->args[1].text, SLICE("\n"), str_slice(&pad));
	str_free(&pad);
}

static bool call_indent(struct template_call *c)
{
	struct str out = template_scratch(c->run);

	if (c->args[0].integer < 0)
		return template_call_fail(c, "negative count %lld", (long long)c->args[0].integer);
	add_indented(c, &out);
	return template_return_text(c, &out);
}

static bool call_nindent(struct template_call *c)
{
	struct str out = template_scratch(c->run);

	if (c->args[0].integer < 0)
		return template_call_fail(c, "negative count %lld", (long long)c->args[0].integer);
	str_add_char(&out, '\n');
	add_indented(c, &out);
	return template_return_text(c, &out);
}

static bool call_quote(struct template_call *c)
{
	struct str out = template_scratch(c->run);

	for (size_t i = 0; i < c->count; i++) {
		slice text;

		if (c->args[i].type == TYPE_NIL)
			continue;
		if (!template_to_text(c->run, c->offset, &c->args[i], &text)) {
			str_free(&out);
			return false;
		}
		if (out.n > 0)
			str_add_char(&out, ' ');
		template_quote(&out, text);
	}
	return template_return_text(c, &out);
}

static bool call_squote(struct template_call *c)
{
	struct str out = template_scratch(c->run);

	for (size_t i = 0; i < c->count; i++) {
		if (c->args[i].type == TYPE_NIL)
			continue;
		if (out.n > 0)
			str_add_char(&out, ' ');
		str_add_char(&out, '\'');
		template_print(&out, &c->args[i]);
		str_add_char(&out, '\'');
	}
	return template_return_text(c, &out);
}

static bool call_cat(struct template_call *c)
{
	struct str out = template_scratch(c->run);
	bool ok;

	for (size_t i = 0; i < c->count; i++) {
		if (c->args[i].type == TYPE_NIL)
			continue;
		template_print(&out, &c->args[i]);
		str_add_char(&out, ' ');
	}
	ok = template_return_text(c, &out);
	if (ok)
		c->result.text = trim_runes(c->result.text, NULL);
	return ok;
}

static bool call_plural(struct template_call *c)
{
	return return_slice(c, c->args[2].integer == 1 ? c->args[0].text : c->args[1].text);
}

void template_normalize(slice text, struct str *out)
{
	size_t start = out->n, n;
	bool gap = false;
	uint32_t rune;

	for (; text.n > 0; text = slice_from_at(text, n)) {
		n = template_rune(text, &rune);
		if (!iswalnum_l((wint_t)rune, template_unicode())) {
			gap = true;
			continue;
		}
		if (gap && out->n > start)
			str_add_char(out, '-');
		gap = false;
		str_add(out, slice_first(text, n));
	}
}

static bool call_normalize(struct template_call *c)
{
	struct str out = template_scratch(c->run);

	template_normalize(c->args[0].text, &out);
	return template_return_text(c, &out);
}

const struct template_function template_string_functions[] = {
	{"trim", "s", call_trim},
	{"trimAll", "ss", call_trim_all},
	{"trimall", "ss", call_trim_all},
	{"trimPrefix", "ss", call_trim_prefix},
	{"trimSuffix", "ss", call_trim_suffix},
	{"upper", "s", call_upper},
	{"lower", "s", call_lower},
	{"title", "s", call_title},
	{"untitle", "s", call_untitle},
	{"swapcase", "s", call_swapcase},
	{"nospace", "s", call_nospace},
	{"initials", "s", call_initials},
	{"repeat", "is", call_repeat},
	{"replace", "sss", call_replace},
	{"contains", "ss", call_contains},
	{"hasPrefix", "ss", call_has_prefix},
	{"hasSuffix", "ss", call_has_suffix},
	{"trunc", "is", call_trunc},
	{"substr", "iis", call_substr},
	{"abbrev", "is", call_abbrev},
	{"indent", "is", call_indent},
	{"nindent", "is", call_nindent},
	{"quote", "a*", call_quote},
	{"squote", "a*", call_squote},
	{"cat", "a*", call_cat},
	{"plural", "ssi", call_plural},
	{"normalize", "s", call_normalize},
	{"abbrevboth", "iis", NULL},
	{"snakecase", "s", NULL},
	{"camelcase", "s", NULL},
	{"kebabcase", "s", NULL},
	{"wrap", "is", NULL},
	{"wrapWith", "iss", NULL},
	{"shuffle", "s", NULL},
	{"randAlphaNum", "i", NULL},
	{"randAlpha", "i", NULL},
	{"randAscii", "i", NULL},
	{"randNumeric", "i", NULL},
	{"randBytes", "i", NULL},
	{NULL, NULL, NULL},
};
