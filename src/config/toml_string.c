#include <errno.h>

#include "config/toml.h"
#include "core/base.h"

/* \uXXXX or \UXXXXXXXX, after the letter. */
static int read_rune(struct toml *p, size_t digits, struct str *out)
{
	uint32_t rune = 0;

	for (size_t i = 0; i < digits; i++) {
		int d = p->at < p->text.n ? ascii_hex(p->text.p[p->at]) : -1;

		if (d < 0)
			return toml_fail(p,
					 "found another character, expected %zu hexadecimal digits",
					 digits);
		rune = rune << 4 | (uint32_t)d;
		p->at++;
	}
	if (rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff))
		return toml_fail(p, "found U+%X, expected a character", rune);
	str_add_rune(out, rune);
	return 0;
}

/* A backslash at the end of a line swallows white space up to the next character. Returns whether
 * it did. */
static bool skip_line_end(struct toml *p)
{
	size_t at = p->at;
	bool line = false;

	while (at < p->text.n && strchr(" \t\r\n", p->text.p[at]) != NULL &&
	       p->text.p[at] != '\0') {
		char c = p->text.p[at];

		if (c == '\r' && !(at + 1 < p->text.n && p->text.p[at + 1] == '\n'))
			return false;
		line |= c == '\n';
		if (!line && c != ' ' && c != '\t' && c != '\r')
			return false;
		at++;
	}
	if (line)
		p->at = at;
	return line;
}

static int read_escape(struct toml *p, bool multi, struct str *out)
{
	static const char letters[] = "btnfr\"\\", meanings[] = "\b\t\n\f\r\"\\";
	int c = toml_peek(p);
	const char *found = c > 0 ? strchr(letters, c) : NULL;

	if (multi && skip_line_end(p))
		return 0;
	if (found != NULL) {
		p->at++;
		str_add_char(out, meanings[found - letters]);
		return 0;
	}
	if (c == 'u' || c == 'U') {
		p->at++;
		return read_rune(p, c == 'u' ? 4 : 8, out);
	}
	return toml_fail(p,
			 "found an unknown escape, expected \\b, \\t, \\n, \\f, \\r, \\\", \\\\, "
			 "\\uXXXX or \\UXXXXXXXX");
}

/* The line end at `p->at`, if there is one: its length. */
static size_t line_end(const struct toml *p)
{
	if (toml_peek(p) == '\n')
		return 1;
	return toml_ahead(p, SLICE("\r\n")) ? 2 : 0;
}

/* The closing quotes; up to two more before them belong to the text. Returns true at the end. */
static bool close_multi(struct toml *p, char quote, struct str *out)
{
	size_t n = 0;

	while (p->at + n < p->text.n && n < 5 && p->text.p[p->at + n] == quote)
		n++;
	if (n < 3) {
		str_add(out, slice_of(p->text.p + p->at, n));
		p->at += n;
		return false;
	}
	str_add(out, slice_of(p->text.p + p->at, n - 3));
	p->at += n;
	return true;
}

static int read_body(struct toml *p, char quote, bool multi, struct str *out)
{
	for (;;) {
		int c = toml_peek(p);
		size_t line = line_end(p);

		if (c < 0 || (line > 0 && !multi))
			return toml_fail(
				p, "found the end of the %s, expected %s%c to close the string",
				c < 0 ? "text" : "line", multi ? "three of " : "", quote);
		if (c == quote && !multi) {
			p->at++;
			return 0;
		}
		if (c == quote) {
			if (close_multi(p, quote, out))
				return 0;
			continue;
		}
		if (line > 0) {
			str_add_char(out, '\n');
			p->at += line;
			continue;
		}
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return toml_fail(p, "found control character 0x%02x, expected text",
					 (unsigned)c);
		p->at++;
		if (c == '\\' && quote == '"') {
			int r = read_escape(p, multi, out);

			if (r < 0)
				return r;
		} else {
			str_add_char(out, (char)c);
		}
	}
}

int toml_string(struct toml *p, bool multi_line, slice *value)
{
	char quote = p->text.p[p->at];
	char three[3] = {quote, quote, quote};
	bool multi = multi_line && toml_ahead(p, slice_of(three, 3));
	struct str out = {0};
	int r;

	p->at += multi ? 3 : 1;
	if (multi)
		p->at += line_end(p);
	r = read_body(p, quote, multi, &out);
	if (r == 0 && !out.failed)
		*value = arena_copy(p->t->arena, str_slice(&out));
	if (r == 0 && (out.failed || value->p == NULL))
		r = toml_no_memory(p);
	str_free(&out);
	return r;
}
