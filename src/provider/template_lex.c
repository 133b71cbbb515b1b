#include <errno.h>
#include <stdlib.h>

#include "provider/template_private.h"

/* A lexer over one source: text up to "{{", then tokens up to "}}". Spaces count, as in Go. */

static const char *const token_names[] = {
#define X(name, text) text,
	TEMPLATE_TOKENS(X)
#undef X
};

const char *template_token_name(enum template_token_type type)
{
	return token_names[type];
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_word(char c)
{
	return c == '_' || ascii_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (unsigned char)c >= 0x80;
}

static slice rest_of(const struct template_lexer *l)
{
	return slice_from_at(l->source, l->offset);
}

static char char_at(const struct template_lexer *l, size_t ahead)
{
	return ahead < l->source.n - l->offset ? l->source.p[l->offset + ahead] : '\0';
}

/* Whether the closing delimiter is next; `*length` covers its trim marker and the delimiter. */
static bool at_right(const struct template_lexer *l, size_t *length, bool *trim)
{
	slice s = rest_of(l);

	*trim = s.n >= 2 && is_space(s.p[0]) && s.p[1] == '-' &&
		slice_starts(slice_from_at(s, 2), SLICE("}}"));
	*length = *trim ? 4 : 2;
	return *trim || slice_starts(s, SLICE("}}"));
}

/* Skips a comment that follows the opening delimiter. */
static bool skip_comment(struct template_run *t, size_t start)
{
	struct template_lexer *l = &t->lexer;
	slice s = slice_from_at(l->source, l->offset + 2);
	size_t end = slice_search(s, SLICE("*/")), length;
	bool trim;

	if (end == s.n)
		return template_fail(t, start, "unclosed comment, expected */");
	l->offset += 2 + end + 2;
	if (!at_right(l, &length, &trim))
		return template_fail(t, start,
				     "comment ends before closing delimiter, expected */}}");
	l->offset += length;
	l->trim = trim;
	return true;
}

static void trim_left(struct template_lexer *l)
{
	while (l->offset < l->source.n && is_space(l->source.p[l->offset]))
		l->offset++;
	l->trim = false;
}

/* Text up to the next action that is not a comment; the token is empty only right before an action.
 */
static bool lex_text(struct template_run *t, struct template_token *token)
{
	struct template_lexer *l = &t->lexer;
	slice s;
	size_t at;
	bool trim_right;

	if (l->trim)
		trim_left(l);
	s = rest_of(l);
	at = slice_search(s, SLICE("{{"));
	*token = (struct template_token){TOKEN_TEXT, l->offset, slice_first(s, at)};
	l->offset += at;
	if (at == s.n) {
		if (s.n == 0)
			token->type = TOKEN_EOF;
		return true;
	}
	trim_right = char_at(l, 2) == '-' && is_space(char_at(l, 3));
	while (trim_right && token->text.n > 0 && is_space(token->text.p[token->text.n - 1]))
		token->text.n--;
	if (char_at(l, trim_right ? 4 : 2) == '/' && char_at(l, trim_right ? 5 : 3) == '*') {
		size_t start = l->offset;

		l->offset += trim_right ? 4 : 2;
		return skip_comment(t, start);
	}
	l->inside = true;
	l->opened = false;
	l->parens = 0;
	return true;
}

static bool lex_left(struct template_lexer *l, struct template_token *token)
{
	bool trim = char_at(l, 2) == '-' && is_space(char_at(l, 3));

	l->opened = true;
	*token = (struct template_token){TOKEN_LEFT, l->offset, SLICE("{{")};
	l->offset += trim ? 4 : 2;
	return true;
}

/* The end of a quoted thing that starts at the offset, or 0. Back-quoted text may span lines. */
static size_t quoted_length(slice s)
{
	char quote = s.p[0];

	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] == quote)
			return i + 1;
		if (quote == '`')
			continue;
		if (s.p[i] == '\n')
			return 0;
		if (s.p[i] == '\\' && ++i < s.n && s.p[i] == '\n')
			return 0;
	}
	return 0;
}

static bool lex_quoted(struct template_run *t, struct template_token *token)
{
	struct template_lexer *l = &t->lexer;
	slice s = rest_of(l);
	size_t n = quoted_length(s);

	if (n == 0)
		return template_fail(t, l->offset, "unterminated %s, expected a closing %c",
				     s.p[0] == '`'    ? "raw quoted string"
				     : s.p[0] == '\'' ? "character constant"
						      : "quoted string",
				     s.p[0]);
	token->type = s.p[0] == '\'' ? TOKEN_CHARACTER : TOKEN_STRING;
	token->text = slice_first(s, n);
	l->offset += n;
	return true;
}

static size_t word_length(slice s)
{
	size_t n = 0;

	while (n < s.n && is_word(s.p[n]))
		n++;
	return n;
}

/* A number's extent; whether it is well formed is for `template_constant`. */
static size_t number_length(slice s)
{
	size_t n = s.p[0] == '+' || s.p[0] == '-' ? 1 : 0;
	bool hex = n + 1 < s.n && s.p[n] == '0' && ascii_lower(s.p[n + 1]) == 'x';

	while (n < s.n) {
		char before = n > 0 ? ascii_lower(s.p[n - 1]) : '\0';
		bool sign = (s.p[n] == '+' || s.p[n] == '-') && before == (hex ? 'p' : 'e');

		if (!is_word(s.p[n]) && s.p[n] != '.' && !sign)
			break;
		n++;
	}
	return n;
}

static const struct {
	const char *word;
	enum template_token_type type;
} keywords[] = {
	{"block", TOKEN_BLOCK},   {"break", TOKEN_BREAK},  {"continue", TOKEN_CONTINUE},
	{"define", TOKEN_DEFINE}, {"else", TOKEN_ELSE},    {"end", TOKEN_END},
	{"false", TOKEN_BOOLEAN}, {"if", TOKEN_IF},        {"nil", TOKEN_NIL},
	{"range", TOKEN_RANGE},   {"true", TOKEN_BOOLEAN}, {"template", TOKEN_TEMPLATE},
	{"with", TOKEN_WITH},
};

/* What may follow a word, so that `a+b` is not two operands. */
static bool at_terminator(const struct template_lexer *l)
{
	char c = char_at(l, 0);
	size_t length;
	bool trim;

	return l->offset >= l->source.n || is_space(c) || strchr(".,|:)(=", c) != NULL ||
	       at_right(l, &length, &trim);
}

static bool lex_word(struct template_run *t, struct template_token *token)
{
	struct template_lexer *l = &t->lexer;
	char first = char_at(l, 0);
	size_t prefix = first == '.' || first == '$' ? 1 : 0;

	token->text =
		slice_first(rest_of(l), prefix + word_length(slice_from_at(rest_of(l), prefix)));
	token->type = first == '.' ? TOKEN_FIELD : first == '$' ? TOKEN_VARIABLE : TOKEN_IDENTIFIER;
	if (first == '.' && token->text.n == 1)
		token->type = TOKEN_DOT;
	l->offset += token->text.n;
	if (!at_terminator(l))
		return template_fail(t, l->offset,
				     "unexpected character %.1s after %.*s, expected a space",
				     l->source.p + l->offset, SLICE_ARG(token->text));
	for (size_t i = 0; prefix == 0 && i < ARRAY_LEN(keywords); i++)
		if (slice_equal(token->text, slice_from(keywords[i].word)))
			token->type = keywords[i].type;
	return true;
}

static bool lex_number(struct template_lexer *l, struct template_token *token)
{
	token->type = TOKEN_NUMBER;
	token->text = slice_first(rest_of(l), number_length(rest_of(l)));
	l->offset += token->text.n;
	return true;
}

static bool lex_punctuation(struct template_run *t, struct template_token *token)
{
	struct template_lexer *l = &t->lexer;
	char c = char_at(l, 0);
	size_t n = 1;

	if (c == ':' && char_at(l, 1) == '=') {
		token->type = TOKEN_DECLARE;
		n = 2;
	} else if (c == '=') {
		token->type = TOKEN_ASSIGN;
	} else if (c == '|') {
		token->type = TOKEN_PIPE;
	} else if (c == ',') {
		token->type = TOKEN_COMMA;
	} else if (c == '(') {
		token->type = TOKEN_OPEN;
		l->parens++;
	} else if (c == ')' && l->parens-- > 0) {
		token->type = TOKEN_CLOSE;
	} else if (c == ')') {
		return template_fail(t, l->offset, "unexpected ), no parenthesis is open");
	} else if (c == ':') {
		return template_fail(t, l->offset, "found :, expected :=");
	} else {
		slice rune = slice_first(rest_of(l), 1);

		return template_fail(t, l->offset,
				     "unrecognized character %.*s in action, expected "
				     "an operand or }}",
				     SLICE_ARG(rune));
	}
	token->text = slice_first(rest_of(l), n);
	l->offset += n;
	return true;
}

/* Spaces; the last one belongs to " -}}" if that follows. */
static void lex_space(struct template_lexer *l, struct template_token *token)
{
	size_t length;
	bool trim;

	token->type = TOKEN_SPACE;
	while (l->offset < l->source.n && is_space(l->source.p[l->offset])) {
		if (at_right(l, &length, &trim) && trim)
			break;
		l->offset++;
	}
	token->text = slice_of(l->source.p + token->offset, l->offset - token->offset);
}

static bool lex_right(struct template_run *t, struct template_token *token, size_t length,
		      bool trim)
{
	struct template_lexer *l = &t->lexer;

	if (l->parens > 0)
		return template_fail(t, l->offset, "unclosed left paren, expected )");
	*token = (struct template_token){TOKEN_RIGHT, l->offset, SLICE("}}")};
	l->offset += length;
	l->inside = false;
	l->trim = trim;
	return true;
}

static bool lex_inside(struct template_run *t, struct template_token *token)
{
	struct template_lexer *l = &t->lexer;
	char c = char_at(l, 0);
	size_t length;
	bool trim;

	*token = (struct template_token){.offset = l->offset};
	if (at_right(l, &length, &trim))
		return lex_right(t, token, length, trim);
	if (l->offset >= l->source.n)
		return template_fail(t, l->offset, "unclosed action, expected }}");
	if (is_space(c)) {
		lex_space(l, token);
		return true;
	}
	if (c == '"' || c == '`' || c == '\'')
		return lex_quoted(t, token);
	if (c == '+' || c == '-' || ascii_digit(c) || (c == '.' && ascii_digit(char_at(l, 1))))
		return lex_number(l, token);
	if (c == '.' || c == '$' || is_word(c))
		return lex_word(t, token);
	return lex_punctuation(t, token);
}

bool template_lex(struct template_run *t, struct template_token *token)
{
	struct template_lexer *l = &t->lexer;

	if (!l->inside)
		return lex_text(t, token);
	if (!l->opened)
		return lex_left(l, token);
	return lex_inside(t, token);
}
