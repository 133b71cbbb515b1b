/*
 * Operations on borrowed bytes.
 */
#ifndef CORE_SLICE_H
#define CORE_SLICE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "weir/types.h"

typedef struct weir_slice slice;

/** A slice of a string literal. */
#define SLICE(literal) ((slice){("" literal), sizeof(literal) - 1})

/** For printf's `%.*s`. */
#define SLICE_ARG(s) (int)(s).n, ((s).p != NULL ? (s).p : "")

static inline slice slice_of(const char *p, size_t n)
{
	return (slice){p, n};
}

/** The bytes of a terminated string; NULL gives the empty slice. */
static inline slice slice_from(const char *string)
{
	return (slice){string, string != NULL ? strlen(string) : 0};
}

static inline bool slice_equal(slice a, slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool slice_starts(slice s, slice prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static inline bool slice_ends(slice s, slice suffix)
{
	return s.n >= suffix.n &&
	       (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

/** The bytes from `from` (at most `s.n`) to the end. */
static inline slice slice_from_at(slice s, size_t from)
{
	return from < s.n ? (slice){s.p + from, s.n - from} : (slice){s.p, 0};
}

/** The first `n` bytes, or all of them if there are fewer. */
static inline slice slice_first(slice s, size_t n)
{
	return (slice){s.p, n < s.n ? n : s.n};
}

static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static inline char ascii_upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - ('a' - 'A')) : c;
}

static inline bool ascii_digit(char c)
{
	return c >= '0' && c <= '9';
}

/** The value of a hexadecimal digit, or -1. */
int ascii_hex(char c);

/** ASCII case-insensitive comparison for equality. */
bool slice_equal_nocase(slice a, slice b);

/** Three-way byte comparison, shorter first when one is a prefix of the other. */
int slice_compare(slice a, slice b);

/** Without leading and trailing spaces and tabs (RFC 9110 OWS). */
slice slice_trim(slice s);

/** Offset of the first `c`, or `s.n` if there is none. */
size_t slice_find(slice s, char c);

/** Offset of the first occurrence of `needle`, or `s.n` if there is none. */
size_t slice_search(slice s, slice needle);

/**
 * Cuts the next part off the front of `*rest`, up to (and swallowing) `separator`. Returns false
 * when nothing is left; "a,,b" gives "a", "", "b"; "a," gives "a"; "" gives nothing.
 */
bool slice_next(slice *rest, char separator, slice *part);

/** One character of UTF-8 at `*i` (less than `s.n`), which moves behind it; or -1, and one byte
 * further, if none begins there. */
int32_t slice_rune(slice s, size_t *i);

/** Decimal digits only, no sign or space. Returns false on any other byte, an empty slice or
 * overflow. */
bool slice_to_u64(slice s, uint64_t *value);

/** A terminated copy from malloc, or NULL if memory is short. */
char *slice_dup(slice s);

#endif
