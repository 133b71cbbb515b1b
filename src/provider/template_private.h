/*
 * Inside of the template engine; nothing but src/provider/template*.c includes this.
 */
#ifndef PROVIDER_TEMPLATE_PRIVATE_H
#define PROVIDER_TEMPLATE_PRIVATE_H

#include <locale.h>

#include "core/base.h"
#include "provider/template.h"

/* X(NAME, text): the Go types that values can have, as `%T` prints them. */
#define TEMPLATE_TYPES(X) \
	X(NIL, "<nil>") \
	X(BOOL, "bool") \
	X(INT, "int") \
	X(INT64, "int64") \
	X(UINT8, "uint8") \
	X(FLOAT, "float64") \
	X(STRING, "string") \
	X(ANYS, "[]interface {}") \
	X(STRINGS, "[]string") \
	X(INTS, "[]int") \
	X(MAP, "map[string]interface {}") \
	X(STRING_MAP, "map[string]string")

enum template_type {
#define X(name, text) TYPE_##name,
	TEMPLATE_TYPES(X)
#undef X
};

struct template_list {
	size_t count;
	struct template_value *items;
};

struct template_pair {
	slice key;
	struct template_value *value;
};

/** Sorted by key; shared by all values that refer to it, as in Go. */
struct template_pairs {
	size_t count;
	size_t capacity;
	struct template_pair *at;
};

struct template_value {
	enum template_type type;
	union {
		bool boolean;
		int64_t integer; /* INT, INT64, UINT8 */
		double real;
		slice text;
		struct template_list list;  /* ANYS, STRINGS, INTS */
		struct template_pairs *map; /* MAP, STRING_MAP */
	};
};

/* X(NAME, how an error message calls it) */
#define TEMPLATE_TOKENS(X) \
	X(TEXT, "text") \
	X(LEFT, "{{") \
	X(RIGHT, "}}") \
	X(SPACE, "a space") \
	X(IDENTIFIER, "a function name") \
	X(FIELD, "a field") \
	X(DOT, ".") \
	X(VARIABLE, "a variable") \
	X(NUMBER, "a number") \
	X(CHARACTER, "a character constant") \
	X(STRING, "a string") \
	X(BOOLEAN, "a boolean") \
	X(NIL, "nil") \
	X(PIPE, "|") \
	X(DECLARE, ":=") \
	X(ASSIGN, "=") \
	X(COMMA, ",") \
	X(OPEN, "(") \
	X(CLOSE, ")") \
	X(BLOCK, "block") \
	X(BREAK, "break") \
	X(CONTINUE, "continue") \
	X(DEFINE, "define") \
	X(ELSE, "else") \
	X(END, "end") \
	X(IF, "if") \
	X(RANGE, "range") \
	X(TEMPLATE, "template") \
	X(WITH, "with") \
	X(EOF, "the end of the file")

enum template_token_type {
#define X(name, text) TOKEN_##name,
	TEMPLATE_TOKENS(X)
#undef X
};

struct template_token {
	enum template_token_type type;
	size_t offset; /* in the source */
	slice text;
};

struct template_lexer {
	slice source;
	size_t offset;
	int parens;
	bool inside; /* between delimiters, or about to read the opening one */
	bool opened; /* the opening delimiter was read */
	bool trim;   /* the next text loses its leading space */
};

struct template_run;
struct template_function;

enum node_type {
	NODE_TEXT,
	NODE_ACTION,
	NODE_IF,
	NODE_WITH,
	NODE_RANGE,
	NODE_TEMPLATE,
	NODE_BREAK,
	NODE_CONTINUE,
};

/** One statement; a list of them is linked by `next`. */
struct template_node {
	enum node_type type;
	size_t offset;
	slice text; /* of text; the name of a template */
	struct pipe *pipe;
	struct template_node *body;
	struct template_node *otherwise;
	struct template_node *next;
};

enum operand_type {
	OPERAND_DOT, /* with `fields`: .a.b */
	OPERAND_VARIABLE,
	OPERAND_CONSTANT,
	OPERAND_NIL,
	OPERAND_FUNCTION,
	OPERAND_PIPE, /* in parentheses */
};

struct operand {
	enum operand_type type;
	size_t offset;
	slice text; /* as written, for messages; the name of a variable */
	struct template_value constant;
	const struct template_function *function;
	struct pipe *pipe;
	slice *fields;
	size_t field_count;
	struct operand *next;
};

struct command {
	size_t offset;
	struct operand *operands;
	size_t operand_count;
	struct command *next;
};

struct pipe {
	size_t offset;
	slice variables[2];
	size_t variable_count;
	bool assigns; /* `=` and not `:=` */
	struct command *commands;
};

struct definition {
	slice name;
	struct template_node *body;
	bool given; /* has content other than space */
	struct definition *next;
};

struct variable {
	slice name;
	struct template_value value;
};

/** One rendering: source, tree, variables and bounds. */
struct template_run {
	struct arena arena;
	slice source;
	const struct template_input *input;
	struct template_limits limits;
	struct weir_error *error;
	int code; /* first failure, or 0 */
	struct template_lexer lexer;
	struct template_token peeked;
	bool has_peeked;
	struct template_node *body;
	struct definition *definitions;
	struct variable *variables;
	size_t variable_count;
	size_t variable_capacity;
	unsigned depth;
	unsigned range_depth; /* while parsing */
	uint64_t steps;
	struct str *out;
	size_t out_start; /* length of `out` before this rendering */
};

/** A function being called; positions are of the call. */
struct template_call {
	struct template_run *run;
	const struct template_function *function;
	size_t offset;
	struct template_value *args;
	size_t count;
	struct template_value result;
};

/**
 * `params` has one letter per parameter: a any, s string, i int, b bool, m map, l list (checked by
 * the function itself, for its message); a trailing `*` repeats the last any number of times (also
 * none).
 */
struct template_function {
	const char *name;
	const char *params;
	bool (*call)(struct template_call *c); /* NULL: known, but not supported */
};

extern const struct template_function template_basic_functions[];
extern const struct template_function template_string_functions[];
extern const struct template_function template_list_functions[];
extern const struct template_function template_number_functions[];
extern const struct template_function template_map_functions[];
extern const struct template_function template_json_functions[];
extern const struct template_function template_regex_functions[];
extern const struct template_function template_other_functions[];

/** The function of that name, also one that is not supported; NULL if there is none. */
const struct template_function *template_function_find(slice name);

/** Records the first failure with its position; always returns false. */
bool template_fail(struct template_run *t, size_t offset, const char *format, ...)
	PRINTF_LIKE(3, 4);
bool template_fail_memory(struct template_run *t, size_t offset);
/** Counts work; false when the bound is passed. */
bool template_step(struct template_run *t, size_t offset, uint64_t steps);
/** As `template_fail`, with the name of the function in front. */
bool template_call_fail(struct template_call *c, const char *format, ...) PRINTF_LIKE(2, 3);

/** The next token; an illegal one ends in `template_fail` and false. */
bool template_lex(struct template_run *t, struct template_token *token);
const char *template_token_name(enum template_token_type type);
/** Numbers, characters and strings as written in a template (Go syntax). */
bool template_constant(struct template_run *t, const struct template_token *token,
		       struct template_value *value);
/** strconv.ParseInt with base 0; false if it is no integer. */
bool template_parse_integer(slice s, int64_t *value, bool *overflow);
/** Go's unquoting of one character; `*code` is a byte if `*is_byte`. Returns what was consumed, 0
 * on error. */
size_t template_unquote(slice s, char quote, uint32_t *code, bool *is_byte);

/** Source to tree; false after `template_fail`. */
bool template_parse(struct template_run *t);

/* What the two halves of the parser share. All return false after `template_fail`. */
bool template_next(struct template_run *t, struct template_token *token);
bool template_next_past_space(struct template_run *t, struct template_token *token);
/** The next call of the two above returns it again; one at a time. */
void template_push_back(struct template_run *t, const struct template_token *token);
/** Takes a token of that type past spaces; `where` is for the message. */
bool template_expect(struct template_run *t, enum template_token_type type, const char *where,
		     struct template_token *token);
bool template_unexpected(struct template_run *t, const struct template_token *token,
			 const char *where, const char *expected);
/** Cleared memory of the run; NULL after `template_fail_memory`. */
void *template_take(struct template_run *t, size_t offset, size_t size);
/** One level deeper; the caller decrements `depth` when it leaves. */
bool template_enter(struct template_run *t, size_t offset);
/** Makes a variable known to what is parsed after it. */
bool template_declare(struct template_run *t, size_t offset, slice name);
/** A pipeline up to and with `end`. */
bool template_parse_pipe(struct template_run *t, const char *where, enum template_token_type end,
			 struct pipe **pipe);
/** Walks the tree and appends to the run's output; false after `template_fail`. */
bool template_eval(struct template_run *t);

/* Values */
const char *template_type_name(enum template_type type);
const char *template_kind_name(const struct template_value *v);
bool template_truth(const struct template_value *v);
bool template_is_list(const struct template_value *v);
bool template_is_map(const struct template_value *v);
bool template_is_integer(const struct template_value *v);
/** False also when the run's bound of steps is passed, which fails the run. */
bool template_deep_equal(struct template_run *t, const struct template_value *a,
			 const struct template_value *b);
const struct template_value *template_map_get(const struct template_value *map, slice key);
/** Like `template_map_put`, for values by value; the key must live as long as the map. */
bool template_map_set(struct arena *a, struct template_value *map, slice key,
		      struct template_value value);
void template_map_remove(struct template_value *map, slice key);

static inline struct template_value value_text(slice s)
{
	return (struct template_value){.type = TYPE_STRING, .text = s};
}

static inline struct template_value value_bool(bool b)
{
	return (struct template_value){.type = TYPE_BOOL, .boolean = b};
}

static inline struct template_value value_int(enum template_type type, int64_t i)
{
	return (struct template_value){.type = type, .integer = i};
}

static inline struct template_value value_float(double d)
{
	return (struct template_value){.type = TYPE_FLOAT, .real = d};
}

static inline struct template_value value_nil(void)
{
	return (struct template_value){.type = TYPE_NIL};
}

/* Printing as package fmt does */
void template_print(struct str *out, const struct template_value *v);
void template_print_all(struct str *out, const struct template_value *args, size_t count,
			bool newline);
void template_printf(struct str *out, slice format, const struct template_value *args,
		     size_t count);
void template_quote(struct str *out, slice s);
void template_print_float(struct str *out, double d, char format, int precision);
/** Appends one code point; what is not one becomes U+FFFD. */
void template_add_rune(struct str *out, uint32_t rune);
/** Decodes one code point; bytes that are no UTF-8 give U+FFFD and one byte. */
size_t template_rune(slice s, uint32_t *rune);
/** unicode.IsPrint */
bool template_printable(uint32_t rune);
/** A locale that knows all letters of Unicode, if the system has one. */
locale_t template_unicode(void);

/** `fmt.Sprint` of a value, sprig's strval. False when memory is short. */
bool template_to_text(struct template_run *t, size_t offset, const struct template_value *v,
		      slice *text);
/** An empty string to build a result in, bounded by what memory is left. */
struct str template_scratch(struct template_run *t);
/** Moves the scratch text into the arena; frees it in any case. */
bool template_keep(struct template_run *t, size_t offset, struct str *s, slice *text);
/** `template_keep` as the result of the call. */
bool template_return_text(struct template_call *c, struct str *s);
bool template_return_list(struct template_call *c, enum template_type type, size_t count,
			  struct template_value **items);
int64_t template_to_int(const struct template_value *v);
double template_to_float(const struct template_value *v);

#endif
