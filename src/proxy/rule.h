/*
 * Router rules: the predicate language of Traefik's routers, compiled once and evaluated per
 * request.
 */
#ifndef PROXY_RULE_H
#define PROXY_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/error.h"
#include "http/message.h"
#include "net/address.h"

/** Immutable after compilation; any number of threads may evaluate it. */
struct rule;

/** Router option `ruleSyntax`. */
enum rule_syntax { RULE_V3, RULE_V2 };

/** Bounds of one rule; 0 stands for the default. */
struct rule_limits {
	size_t text_bytes;          /* default 64 KiB */
	unsigned depth;             /* nesting of parentheses and negations, default 256 */
	unsigned matchers;          /* default 2048 */
	int64_t regex_memory_bytes; /* per expression, as in struct regex_limits */
};

/**
 * What a rule looks at. The caller fills in the first group before the first evaluation and clears
 * the rest; one input serves all rules of one request.
 */
struct rule_input {
	const struct request
		*request; /* after the entry point stages of http/path.h and proxy/forwarded.h */
	slice host;       /* canonical, from `path_host` */
	slice path;       /* routing path, from `path_routing` */
	const struct address
		*peer; /* of the TCP connection (or PROXY protocol), never from a header */
	struct arena
		*arena; /* used only to decode a query value for an expression, once per request */

	char *scratch; /* internal */
	bool failed;   /* the arena was full: the answer is not to be trusted, fail the request */
};

/**
 * Parses and compiles `text`. `limits` may be NULL. Returns 0; -EINVAL with Traefik's text for the
 * fault; -E2BIG past a limit; -ENOMEM. `*rule` owns everything it needs.
 */
int rule_compile(slice text, enum rule_syntax syntax, const struct rule_limits *limits,
		 struct rule **rule, struct weir_error *e);
void rule_free(struct rule **rule);

/** Evaluates; does not allocate except as said at `rule_input.arena`. */
bool rule_matches(const struct rule *rule, struct rule_input *in);

/** The priority of a router that sets none: the length of the rule's text in bytes. */
int64_t rule_priority(const struct rule *rule);

/**
 * Calls `visit` for every host of a `Host` matcher that is not negated, lower-cased, in order of
 * appearance and with repetitions: the domains that a certificate for this router needs.
 */
void rule_each_host(const struct rule *rule, void (*visit)(void *context, slice host),
		    void *context);

#endif
