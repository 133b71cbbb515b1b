/*
 * Private to headers*.c: the three parts of the middleware `headers`, in the order in which a
 * request meets them.
 *
 *   headers_cors.c     cross-origin requests: preflights are answered, responses get fields
 *   headers.c          fields that are set or removed
 *   headers_secure.c   which hosts are served, fields that tell browsers to be careful
 */
#ifndef MIDDLEWARE_HEADERS_PRIVATE_H
#define MIDDLEWARE_HEADERS_PRIVATE_H

#include "config/dynamic.h"
#include "core/regex.h"
#include "http/exchange.h"

/** A field to set; an empty value removes it. */
struct header_change {
	slice name; /* in Go's canonical spelling */
	slice value;
};

struct header_changes {
	struct header_change *list;
	size_t count;
};

struct headers_cors {
	bool defined;
	bool credentials, any_header, any_method; /* "*" is listed */
	slice headers, methods;                   /* joined by commas */
	slice expose;                             /* empty: not sent */
	slice max_age;                            /* `p` is NULL: not given */
	struct option_list origins;
	struct regex **origin_regexes;
	size_t origin_regex_count;
	bool vary;
};

struct headers_secure {
	bool defined;
	const struct dynamic_headers *options;
	struct header_changes always;
	slice transport; /* Strict-Transport-Security; empty: not sent */
	slice keys;      /* Public-Key-Pins; the same */
};

/** Fills in from the options; texts go to `arena`. Returns 0, -EINVAL or -ENOMEM; to be freed in
 * any case. */
int headers_cors_init(struct headers_cors *c, const struct dynamic_headers *options,
		      struct arena *arena, struct weir_error *e);
void headers_cors_free(struct headers_cors *c);

/** Whether the request is a preflight, which is answered then (or has failed: `*verdict`). */
bool headers_cors_preflight(const struct headers_cors *c, struct exchange *x,
			    enum middleware_verdict *verdict);

/** Sets the fields of a response. Returns 0 or -ENOMEM. */
int headers_cors_respond(const struct headers_cors *c, struct exchange *x);

/** As `headers_cors_init`; nothing is to be freed. `options` outlive `s`. */
int headers_secure_init(struct headers_secure *s, const struct dynamic_headers *options,
			struct arena *arena, struct weir_error *e);

/** Whether the request's host is one of those that are served. */
bool headers_secure_serves(const struct headers_secure *s, const struct exchange *x);

/** Whether the request came by TLS, or says so in a field that is believed. */
bool headers_secure_is_tls(const struct headers_secure *s, const struct exchange *x);

/** Sets the fields of a response; `tls` is what `headers_secure_is_tls` said about the request.
 * Returns 0 or -ENOMEM. */
int headers_secure_respond(const struct headers_secure *s, struct exchange *x, bool tls);

/** The list as one text: "a,b". `p` is NULL when the arena is full. */
slice headers_join(struct arena *arena, struct option_list list);

#endif
