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

/** Lifetime: `(struct str){0}` or `str_init`, then `str_free`. */
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

/** Add to the end; a failure shows in `failed`. */
void str_add(struct str *s, slice bytes);
void str_add_char(struct str *s, char c);
void str_add_u64(struct str *s, uint64_t value);
void str_format(struct str *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Makes room for `n` more bytes and returns where they go, or NULL; `str_commit` says how many
 * were used. */
char *str_reserve(struct str *s, size_t n);
void str_commit(struct str *s, size_t n);

static inline slice str_slice(const struct str *s)
{
	return (slice){s->p, s->n};
}

/** Hands the terminated buffer to the caller, who frees it; NULL if the string failed. The string
 * is empty after. */
char *str_take(struct str *s);

#endif
