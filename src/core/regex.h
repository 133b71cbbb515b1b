/*
 * Regular expressions with the syntax and the meaning of Go's package regexp, matched in linear
 * time (RE2).
 */
#ifndef CORE_REGEX_H
#define CORE_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "core/slice.h"
#include "core/str.h"

/** Immutable after compilation; any number of threads may match at the same time. */
struct regex;

/** Bounds of one expression; 0 stands for the default. */
struct regex_limits {
	size_t pattern_bytes; /* length of the text, default 64 KiB */
	int64_t memory_bytes; /* program and automaton cache together, default 8 MiB */
};

/** Leftmost match and groups are reported for at most this many groups, the whole match included.
 */
#define REGEX_GROUPS_MAX 64

/**
 * Compiles; `limits` may be NULL. Returns 0; -EINVAL with a text in the form of Go's
 * "error parsing regexp: ..."; -E2BIG past a limit; -ENOMEM.
 */
int regex_compile(slice pattern, const struct regex_limits *limits, struct regex **re,
		  struct weir_error *e);
void regex_free(struct regex **re);

/** Whether the expression matches anywhere in `text`. */
bool regex_matches(const struct regex *re, slice text);

/** How many parenthesised groups there are. */
size_t regex_group_count(const struct regex *re);

/**
 * Finds the leftmost match; `groups[0]` becomes the match, the others the groups (`p` is NULL where
 * one took no part). `count` is at most REGEX_GROUPS_MAX.
 */
bool regex_find(const struct regex *re, slice text, slice *groups, size_t count);

/** The index of a named group, or -1. */
int regex_group_named(const struct regex *re, slice name);

/**
 * Go's Regexp.Expand: `$1`, `${1}`, `$name`, `${name}`, `$$`; the longest run of letters, digits
 * and `_` is the name (`$1x` is the group "1x"); unknown groups give nothing. `groups` as from
 * `regex_find`.
 */
void regex_expand(const struct regex *re, slice template_text, const slice *groups, size_t count,
		  struct str *out);

/** Go's ReplaceAllString: appends `text` with every match replaced. Returns whether anything
 * matched. */
bool regex_replace(const struct regex *re, slice text, slice template_text, struct str *out);

#endif
