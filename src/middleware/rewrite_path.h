/*
 * What the middlewares that change the path share. Paths have two forms, as in Go's net/url:
 * decoded, which prefixes and expressions are compared with, and as it was encoded, where that is
 * not the usual encoding.
 */
#ifndef MIDDLEWARE_REWRITE_PATH_H
#define MIDDLEWARE_REWRITE_PATH_H

#include "http/exchange.h"

/** Gets the path as it was from replacePath and replacePathRegex. */
#define REPLACED_PATH SLICE("X-Replaced-Path")

/** Borrowed from the exchange. */
struct rewrite_path {
	slice plain;
	slice raw; /* `p` is NULL: the usual encoding of `plain` */
};

/** The request's path in both forms. Returns 0, 400 or -ENOMEM. */
int rewrite_path_get(struct exchange *x, struct rewrite_path *path);

/**
 * The request's path from both forms; if they contradict each other, `plain` counts. What is sent
 * is what it encodes to. Returns 0 or -ENOMEM.
 */
int rewrite_path_set(struct exchange *x, const struct rewrite_path *path);

/**
 * Removes the first `prefix.n` decoded bytes, which are `prefix`, and adds them to
 * X-Forwarded-Prefix; what is left begins with a slash unless it is empty, and with `force_slash`
 * always. As stripPrefix and stripPrefixRegex: a rest that is not in its shortest form is answered
 * 400, and so is a prefix that cannot stand in a header field.
 */
enum middleware_verdict rewrite_path_strip(struct exchange *x, struct rewrite_path *path,
					   slice prefix, bool force_slash);

/** What a hook says after `rewrite_path_get` or `rewrite_path_set` returned `r`, which is not 0. */
enum middleware_verdict rewrite_path_fail(struct exchange *x, int r);

/** `before` and `after` as one, with a slash in front if there is none. `p` is NULL when the arena
 * is full. */
slice rewrite_path_join(struct exchange *x, slice before, slice after);

/** How many bytes of an encoded path stand for its first `decoded` bytes. */
size_t rewrite_path_encoded(slice raw, size_t decoded);

#endif
