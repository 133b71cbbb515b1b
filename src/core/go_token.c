#include "core/go_token.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define END_OF_TEXT (-1)

static const struct {
	const char *spelling;
	unsigned precedence;
} kinds[] = {
#define X(name, spelling, precedence) [GO_TOKEN_##name] = {spelling, precedence},
	GO_TOKENS(X)
#undef X
};

static const char *const keywords[] = {
	"break",  "case",        "chan",      "const",   "continue", "default", "defer",
	"else",   "fallthrough", "for",       "func",    "go",       "goto",    "if",
	"import", "map",         "interface", "package", "range",    "return",  "select",
	"struct", "switch",      "type",      "var",
};

const char *go_token_spelling(enum go_token_kind kind)
{
	return kinds[kind].spelling;
}

unsigned go_token_precedence(enum go_token_kind kind)
{
	return kinds[kind].precedence;
}

void go_position(slice text, size_t at, unsigned *line, unsigned *column)
{
	size_t start = 0;

	*line = 1;
	for (size_t i = 0; i < at && i < text.n; i++) {
		if (text.p[i] == '\n') {
			++*line;
			start = i + 1;
		}
	}
	*column = (unsigned)(at - start) + 1;
}

void go_lexer_init(struct go_lexer *l, slice text)
{
	*l = (struct go_lexer){.text = text};
	if (slice_starts(text, SLICE("\xef\xbb\xbf")))
		l->at = 3;
}

void go_lexer_fail(struct go_lexer *l, size_t at, const char *format, ...)
{
	va_list args;

	if (l->failed && l->failed_at <= at)
		return;
	l->failed = true;
	l->failed_at = at;
	va_start(args, format);
	(void)vsnprintf(l->message, sizeof l->message, format, args);
	va_end(args);
}

static int peek(const struct go_lexer *l, size_t ahead)
{
	return ahead < l->text.n - l->at ? (unsigned char)l->text.p[l->at + ahead] : END_OF_TEXT;
}

static bool is_letter(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

/* Length of the UTF-8 sequence at the front, at least 1; `rune` becomes its value or U+FFFD. */
static size_t decode_rune(slice s, uint32_t *rune)
{
	unsigned char first = (unsigned char)s.p[0];
	size_t n = first < 0x80       ? 1
		   : first >> 5 == 6  ? 2
		   : first >> 4 == 14 ? 3
		   : first >> 3 == 30 ? 4
				      : 0;
	uint32_t value = n < 2 ? first : first & (0x7fu >> n);

	for (size_t i = 1; i < n; i++) {
		if (i >= s.n || ((unsigned char)s.p[i] & 0xc0) != 0x80) {
			n = 0;
			break;
		}
		value = value << 6 | ((unsigned char)s.p[i] & 0x3f);
	}
	*rune = n == 0 ? 0xfffd : value;
	return n == 0 ? 1 : n;
}

/* Takes one byte that may be the first of a character; a whole character is skipped. */
static void skip_character(struct go_lexer *l)
{
	uint32_t rune;
	size_t n = decode_rune(slice_from_at(l->text, l->at), &rune);

	if (l->text.p[l->at] == '\0')
		go_lexer_fail(l, l->at, "illegal character NUL");
	else if (n == 1 && (unsigned char)l->text.p[l->at] >= 0x80)
		go_lexer_fail(l, l->at, "illegal UTF-8 encoding");
	l->at += n;
}

static void illegal_in_escape(struct go_lexer *l)
{
	slice rest = slice_from_at(l->text, l->at);
	uint32_t rune;
	size_t n;

	if (rest.n == 0) {
		go_lexer_fail(l, l->at, "escape sequence not terminated");
		return;
	}
	n = decode_rune(rest, &rune);
	if (rune < ' ' || rune == 0x7f)
		go_lexer_fail(l, l->at, "illegal character U+%04X in escape sequence", rune);
	else
		go_lexer_fail(l, l->at, "illegal character U+%04X '%.*s' in escape sequence", rune,
			      (int)n, rest.p);
}

static int digit_value(int c)
{
	return c == END_OF_TEXT ? -1 : ascii_hex((char)c);
}

/* After the backslash. */
static void scan_escape(struct go_lexer *l, int quote)
{
	size_t start = l->at;
	int c = peek(l, 0);
	uint32_t value = 0, base = 16, max = 0x10ffff;
	int digits;

	if (c != END_OF_TEXT && (strchr("abfnrtv\\", c) != NULL || c == quote) && c != '\0') {
		l->at++;
		return;
	}
	digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : c >= '0' && c <= '7' ? 3 : 0;
	if (digits == 0) {
		go_lexer_fail(l, start,
			      c == END_OF_TEXT ? "escape sequence not terminated"
					       : "unknown escape sequence");
		return;
	}
	if (digits == 3)
		base = 8;
	else
		l->at++;
	if (digits < 4)
		max = 255;
	for (; digits > 0; digits--) {
		int d = digit_value(peek(l, 0));

		if (d < 0 || (uint32_t)d >= base) {
			illegal_in_escape(l);
			return;
		}
		value = value > max ? value : value * base + (uint32_t)d;
		l->at++;
	}
	if (value > max || (value >= 0xd800 && value < 0xe000))
		go_lexer_fail(l, start, "escape sequence is invalid Unicode code point");
}

/* Strings in double quotes and runes in single ones; the opening quote is already taken. */
static void scan_quoted(struct go_lexer *l, char quote, size_t start)
{
	size_t characters = 0;
	bool was_failed = l->failed;

	for (;;) {
		int c = peek(l, 0);

		if (c == '\n' || c == END_OF_TEXT) {
			if (quote == '"' || l->failed == was_failed)
				go_lexer_fail(l, start, "%s literal not terminated",
					      quote == '"' ? "string" : "rune");
			return;
		}
		skip_character(l);
		if (c == quote)
			break;
		characters++;
		if (c == '\\')
			scan_escape(l, quote);
	}
	if (quote == '\'' && characters != 1 && l->failed == was_failed)
		go_lexer_fail(l, start, "illegal rune literal");
}

static void scan_raw(struct go_lexer *l, size_t start)
{
	for (;;) {
		int c = peek(l, 0);

		if (c == END_OF_TEXT) {
			go_lexer_fail(l, start, "raw string literal not terminated");
			return;
		}
		skip_character(l);
		if (c == '`')
			return;
	}
}

static enum go_token_kind scan_number(struct go_lexer *l)
{
	enum go_token_kind kind = GO_TOKEN_INT;
	bool hex = peek(l, 0) == '0' && (peek(l, 1) == 'x' || peek(l, 1) == 'X');

	for (;; l->at++) {
		int c = peek(l, 0);
		bool exponent = hex ? c == 'p' || c == 'P' : c == 'e' || c == 'E';

		if (c == '.' || exponent)
			kind = GO_TOKEN_FLOAT;
		else if (!is_digit(c) && !is_letter(c))
			break;
		if (exponent && (peek(l, 1) == '+' || peek(l, 1) == '-'))
			l->at++;
	}
	return l->text.p[l->at - 1] == 'i' ? GO_TOKEN_IMAG : kind;
}

/* A comment is at hand. Returns whether it holds a newline that ends the expression. */
static bool skip_comment(struct go_lexer *l)
{
	size_t start = l->at;
	bool line = peek(l, 1) == '/';

	for (l->at += 2; l->at < l->text.n; l->at++) {
		if (line && peek(l, 0) == '\n')
			return false;
		if (!line && peek(l, 0) == '\n' && l->newline_at == 0)
			l->newline_at = l->at + 1;
		if (!line && peek(l, 0) == '*' && peek(l, 1) == '/') {
			l->at += 2;
			return l->newline_at != 0;
		}
	}
	if (!line)
		go_lexer_fail(l, start, "comment not terminated");
	return false;
}

/* Skips blanks and comments; returns true if a newline ended the expression. */
static bool skip_blanks(struct go_lexer *l, size_t *at)
{
	for (;;) {
		int c = peek(l, 0);

		*at = l->at;
		if (c == '\n' && l->ends_expression) {
			l->at++;
			return true;
		}
		if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
			l->at++;
		} else if (c == '/' && (peek(l, 1) == '/' || peek(l, 1) == '*')) {
			bool newline = skip_comment(l);
			size_t where = l->newline_at;

			l->newline_at = 0;
			if (newline && l->ends_expression) {
				*at = where - 1;
				return true;
			}
		} else {
			return false;
		}
	}
}

static enum go_token_kind scan_operator(struct go_lexer *l)
{
	enum go_token_kind best = GO_TOKEN_ILLEGAL;
	size_t length = 0;

	for (unsigned k = GO_TOKEN_OR_OR; k < GO_TOKEN_NEWLINE; k++) {
		slice spelling = slice_from(kinds[k].spelling);

		if (spelling.n > length && slice_starts(slice_from_at(l->text, l->at), spelling)) {
			best = (enum go_token_kind)k;
			length = spelling.n;
		}
	}
	l->at += length;
	return best;
}

static void illegal_character(struct go_lexer *l)
{
	slice rest = slice_from_at(l->text, l->at);
	uint32_t rune;
	size_t start = l->at, n = decode_rune(rest, &rune);

	skip_character(l);
	if (rune == 0x201c || rune == 0x201d)
		go_lexer_fail(l, start, "curly quotation mark '%.*s' (use neutral '\"')", (int)n,
			      rest.p);
	else if (rune < ' ' || (rune >= 0x7f && rune <= 0xa0) || (rune >= 0x2000 && rune <= 0x200f))
		go_lexer_fail(l, start, "illegal character U+%04X", rune);
	else
		go_lexer_fail(l, start, "illegal character U+%04X '%.*s'", rune, (int)n, rest.p);
}

static enum go_token_kind scan_name(struct go_lexer *l)
{
	size_t start = l->at;
	slice name;

	while (is_letter(peek(l, 0)) || is_digit(peek(l, 0)))
		l->at++;
	name = slice_of(l->text.p + start, l->at - start);
	for (size_t i = 0; i < ARRAY_LEN(keywords); i++) {
		if (slice_equal(name, slice_from(keywords[i])))
			return GO_TOKEN_KEYWORD;
	}
	return GO_TOKEN_NAME;
}

static enum go_token_kind scan(struct go_lexer *l)
{
	size_t start = l->at;
	int c = peek(l, 0);
	enum go_token_kind kind;

	if (is_letter(c))
		return scan_name(l);
	if (is_digit(c) || (c == '.' && is_digit(peek(l, 1))))
		return scan_number(l);
	if (c == '"' || c == '\'') {
		l->at++;
		scan_quoted(l, (char)c, start);
		return c == '"' ? GO_TOKEN_STRING : GO_TOKEN_CHAR;
	}
	if (c == '`') {
		l->at++;
		scan_raw(l, start);
		return GO_TOKEN_STRING;
	}
	kind = scan_operator(l);
	if (kind == GO_TOKEN_ILLEGAL)
		illegal_character(l);
	return kind;
}

static bool ends_expression(const struct go_token *t)
{
	switch (t->kind) {
	case GO_TOKEN_NAME:
	case GO_TOKEN_INT:
	case GO_TOKEN_FLOAT:
	case GO_TOKEN_IMAG:
	case GO_TOKEN_CHAR:
	case GO_TOKEN_STRING:
	case GO_TOKEN_CLOSE:
	case GO_TOKEN_CLOSE_INDEX:
	case GO_TOKEN_CLOSE_BRACE:
	case GO_TOKEN_PLUS_PLUS:
	case GO_TOKEN_MINUS_MINUS:
		return true;
	case GO_TOKEN_KEYWORD:
		return slice_equal(t->text, SLICE("break")) ||
		       slice_equal(t->text, SLICE("continue")) ||
		       slice_equal(t->text, SLICE("fallthrough")) ||
		       slice_equal(t->text, SLICE("return"));
	default:
		return false;
	}
}

struct go_token go_lexer_next(struct go_lexer *l)
{
	struct go_token t = {GO_TOKEN_END, 0, {NULL, 0}};

	if (skip_blanks(l, &t.at) || (l->at == l->text.n && l->ends_expression)) {
		l->ends_expression = false;
		t.kind = GO_TOKEN_NEWLINE;
		t.text = SLICE("\n");
		return t;
	}
	t.at = l->at;
	if (l->at == l->text.n)
		return t;
	t.kind = scan(l);
	t.text = slice_of(l->text.p + t.at, l->at - t.at);
	l->ends_expression = ends_expression(&t);
	return t;
}

static size_t encode_rune(char *p, uint32_t rune)
{
	size_t n = rune < 0x80 ? 1 : rune < 0x800 ? 2 : rune < 0x10000 ? 3 : 4;

	if (n == 1) {
		p[0] = (char)rune;
		return 1;
	}
	for (size_t i = n - 1; i > 0; i--, rune >>= 6)
		p[i] = (char)(0x80 | (rune & 0x3f));
	p[0] = (char)(rune | (0xf00u >> n & 0xff));
	return n;
}

/* Decodes the escape after a backslash at `*at` to `to`; returns how many bytes came out. */
static size_t unescape(slice s, size_t *at, char *to)
{
	static const char names[] = "abfnrtv", values[] = "\a\b\f\n\r\t\v";
	char c = s.p[(*at)++];
	const char *simple = strchr(names, c);
	size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : ascii_digit(c) ? 3 : 0;
	uint32_t value = 0;

	if (simple != NULL) {
		*to = values[simple - names];
		return 1;
	}
	if (digits == 0) {
		*to = c;
		return 1;
	}
	if (digits == 3)
		--*at;
	for (size_t i = 0; i < digits; i++)
		value = value * (digits == 3 ? 8 : 16) + (uint32_t)ascii_hex(s.p[(*at)++]);
	if (digits > 3)
		return encode_rune(to, value);
	*to = (char)value;
	return 1;
}

int go_unquote(slice literal, struct arena *arena, slice *value)
{
	slice s = slice_of(literal.p + 1, literal.n - 2);
	bool raw = literal.p[0] == '`';
	char *to = arena_alloc(arena, s.n + 1);
	size_t n = 0;

	if (to == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < s.n;) {
		char c = s.p[i++];

		if (!raw && c == '\\')
			n += unescape(s, &i, to + n);
		else if (!raw || c != '\r')
			to[n++] = c;
	}
	to[n] = '\0';
	*value = slice_of(to, n);
	return 0;
}
