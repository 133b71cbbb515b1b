/*
 * Tokens of Go expressions, in which Traefik's rules and conditions are written: comments, string
 * escapes and the newline that ends an expression included.
 */
#ifndef CORE_GO_TOKEN_H
#define CORE_GO_TOKEN_H

#include "core/arena.h"
#include "core/error.h"

/* X(NAME, spelling, precedence of the binary operator or 0) */
#define GO_TOKENS(X) \
	X(END, "EOF", 0) \
	X(ILLEGAL, "ILLEGAL", 0) \
	X(NAME, "IDENT", 0) \
	X(INT, "INT", 0) \
	X(FLOAT, "FLOAT", 0) \
	X(IMAG, "IMAG", 0) \
	X(CHAR, "CHAR", 0) \
	X(STRING, "STRING", 0) \
	X(KEYWORD, "keyword", 0) \
	X(OR_OR, "||", 1) \
	X(AND_AND, "&&", 2) \
	X(EQUAL, "==", 3) \
	X(NOT_EQUAL, "!=", 3) \
	X(LESS, "<", 3) \
	X(LESS_EQUAL, "<=", 3) \
	X(GREATER, ">", 3) \
	X(GREATER_EQUAL, ">=", 3) \
	X(PLUS, "+", 4) \
	X(MINUS, "-", 4) \
	X(OR, "|", 4) \
	X(XOR, "^", 4) \
	X(STAR, "*", 5) \
	X(SLASH, "/", 5) \
	X(PERCENT, "%", 5) \
	X(SHIFT_LEFT, "<<", 5) \
	X(SHIFT_RIGHT, ">>", 5) \
	X(AND, "&", 5) \
	X(AND_NOT, "&^", 5) \
	X(PLUS_PLUS, "++", 0) \
	X(MINUS_MINUS, "--", 0) \
	X(PLUS_ASSIGN, "+=", 0) \
	X(MINUS_ASSIGN, "-=", 0) \
	X(STAR_ASSIGN, "*=", 0) \
	X(SLASH_ASSIGN, "/=", 0) \
	X(PERCENT_ASSIGN, "%=", 0) \
	X(AND_ASSIGN, "&=", 0) \
	X(OR_ASSIGN, "|=", 0) \
	X(XOR_ASSIGN, "^=", 0) \
	X(SHIFT_LEFT_ASSIGN, "<<=", 0) \
	X(SHIFT_RIGHT_ASSIGN, ">>=", 0) \
	X(AND_NOT_ASSIGN, "&^=", 0) \
	X(ASSIGN, "=", 0) \
	X(DEFINE, ":=", 0) \
	X(NOT, "!", 0) \
	X(TILDE, "~", 0) \
	X(ARROW, "<-", 0) \
	X(OPEN, "(", 0) \
	X(CLOSE, ")", 0) \
	X(OPEN_INDEX, "[", 0) \
	X(CLOSE_INDEX, "]", 0) \
	X(OPEN_BRACE, "{", 0) \
	X(CLOSE_BRACE, "}", 0) \
	X(COMMA, ",", 0) \
	X(SEMICOLON, ";", 0) \
	X(COLON, ":", 0) \
	X(DOT, ".", 0) \
	X(ELLIPSIS, "...", 0) \
	X(NEWLINE, ";", 0)

enum go_token_kind {
#define X(name, spelling, precedence) GO_TOKEN_##name,
	GO_TOKENS(X)
#undef X
		GO_TOKEN_COUNT
};

struct go_token {
	enum go_token_kind kind;
	size_t at; /* offset in the text */
	slice text;
};

/** Lifetime: one parse of `text`. The first fault (by position) of the text stays in `error`. */
struct go_lexer {
	slice text;
	size_t at;
	bool ends_expression; /* a newline after the last token would end the expression */
	size_t newline_at; /* offset + 1 of a newline inside a comment that must still be delivered
			    */
	bool failed;
	size_t failed_at;
	char message[160];
};

/** Starts at the front of `text`, which is borrowed; a byte order mark is skipped. */
void go_lexer_init(struct go_lexer *l, slice text);

/** The next token; after the last one GO_TOKEN_END for ever. Faults are noted, not returned. */
struct go_token go_lexer_next(struct go_lexer *l);

/** Notes a fault at an offset unless there is an earlier one. */
void go_lexer_fail(struct go_lexer *l, size_t at, const char *format, ...) PRINTF_LIKE(3, 4);

/** How Go spells a token's kind. */
const char *go_token_spelling(enum go_token_kind kind);
unsigned go_token_precedence(enum go_token_kind kind);

/** Line and column (in bytes) of an offset, both from 1. */
void go_position(slice text, size_t at, unsigned *line, unsigned *column);

/** The value of a string token without lexical faults. Returns 0 or -ENOMEM. */
int go_unquote(slice literal, struct arena *arena, slice *value);

#endif
