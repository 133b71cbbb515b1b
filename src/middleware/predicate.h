/*
 * Conditions of middlewares, such as `NetworkErrorRatio() > 0.5 && LatencyAtQuantileMS(50.0) >
 * 100`: the language of vulcand/predicate as Traefik has it. Expressions of Go with && and ||, and
 * comparisons with the function at the left and a literal of its type at the right.
 */
#ifndef MIDDLEWARE_PREDICATE_H
#define MIDDLEWARE_PREDICATE_H

#include "core/error.h"

#define PREDICATE_ARGUMENTS_MAX 4

/* X(NAME, what messages call a function of that type, what they call a literal, or NULL) */
#define PREDICATE_TYPES(X) \
	X(BOOLEAN, "hpredicate", NULL) \
	X(INTEGER, "toInt", "int") \
	X(REAL, "toFloat64", "float64") \
	X(STRING, "toString", "string")

enum predicate_type {
#define X(name, function, literal) PREDICATE_##name,
	PREDICATE_TYPES(X)
#undef X
};

struct predicate_value {
	enum predicate_type type;
	bool boolean;
	int64_t integer;
	double real;
	slice string;
};

struct predicate_function {
	slice name;
	enum predicate_type result;
	unsigned count;                 /* of arguments */
	enum predicate_type parameters; /* the type of all of them */
};

/** Static. */
struct predicate_language {
	const char *package; /* stands before the types of functions in messages, as in Traefik's */
	bool says_operator;  /* in messages: "eq: " */
	const struct predicate_function *functions;
	size_t count;
};

struct predicate;

/**
 * Compiles `text`, which is not needed afterwards. Returns 0; -EINVAL with the reason, in the words
 * of Traefik: with line and column where it is one of syntax; -E2BIG; -ENOMEM. `*p` is NULL then.
 */
int predicate_compile(struct predicate **p, slice text, const struct predicate_language *language,
		      struct weir_error *e);

/** NULL is allowed in `*p`. */
void predicate_free(struct predicate **p);

/** Whether function number `function` (below 32) is called anywhere in it. */
bool predicate_calls(const struct predicate *p, unsigned function);

/** Fills in the value of function number `function`, whose type is set already. */
typedef void predicate_look(void *context, unsigned function,
			    const struct predicate_value *arguments, struct predicate_value *value);

/** Whether it is true now. Any thread; takes no memory. */
bool predicate_holds(const struct predicate *p, predicate_look *look, void *context);

#endif
