/*
 * A growable string. After the first failed allocation it swallows everything and says so at the
 * end, so that callers check once.
 */
#ifndef CORE_STR_H
#define CORE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/slice.h"

/** Lifetime: `(struct str){0}`, with a limit if need be, to `str_free` or `str_take`. */
struct str {
	char *p; /* terminated once anything was added */
	size_t n;
	size_t capacity;
	size_t limit; /* 0: none */
	bool failed;  /* memory was short, or the limit was reached */
};

/** Gives the memory back; the string can be used again as an empty one. */
void str_free(struct str *s);

/** Forgets the text and any failure, keeps the memory. */
void str_clear(struct str *s);

/** Adds to the end, as all that follow; a failure shows in `failed`. */
void str_add(struct str *s, slice bytes);

/** One byte. */
void str_add_char(struct str *s, char c);

/** In UTF-8; at most U+10FFFF. */
void str_add_rune(struct str *s, uint32_t rune);

/** In decimal. */
void str_add_u64(struct str *s, uint64_t value);

/** As printf. */
void str_format(struct str *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Makes room for `n` more bytes and returns where they go, or NULL; `str_commit` says how many
 * were used. */
char *str_reserve(struct str *s, size_t n);

/** The first `n` of the bytes reserved last are text now. */
void str_commit(struct str *s, size_t n);

/** What there is; gone with the next change. */
static inline slice str_slice(const struct str *s)
{
	return (slice){s->p, s->n};
}

/** Hands the terminated buffer to the caller, who frees it; NULL if the string failed. The string
 * is empty after. */
char *str_take(struct str *s);

#endif
