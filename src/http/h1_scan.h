/*
 * Searches for the first byte outside a character class. Private to http. The SSE2 versions look
 * at sixteen bytes at a time and never past `end`; the last bytes, and other machines, go byte by
 * byte.
 */
#ifndef HTTP_H1_SCAN_H
#define HTTP_H1_SCAN_H

#include "http/chars.h"

#if defined(__SSE2__)
#include <emmintrin.h>

static inline __m128i scan_load(const char *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* Bytes that are at most `max`, as unsigned numbers. */
static inline __m128i scan_at_most(__m128i bytes, int max)
{
	return _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8((char)max)), bytes);
}

static inline __m128i scan_equal(__m128i bytes, int c)
{
	return _mm_cmpeq_epi8(bytes, _mm_set1_epi8((char)c));
}

/*
 * Advances `p` while sixteen bytes are left and `stops` marks none; returns from the function at
 * the first marked byte.
 */
#define SCAN_WIDE(p, end, bytes, stops) \
	while ((end) - (p) >= 16) { \
		__m128i bytes = scan_load(p); \
		unsigned marks = (unsigned)_mm_movemask_epi8(stops); \
		if (marks != 0) \
			return (p) + __builtin_ctz(marks); \
		(p) += 16; \
	}
#else
#define SCAN_WIDE(p, end, bytes, stops)
#endif

static inline const char *scan_class(const char *p, const char *end, unsigned class)
{
	while (p < end && char_is(*p, class))
		p++;
	return p;
}

/* The first byte that no field value may have: a control other than tab. */
static inline const char *scan_value(const char *p, const char *end)
{
	SCAN_WIDE(p, end, b,
		  _mm_or_si128(_mm_andnot_si128(scan_equal(b, '\t'), scan_at_most(b, 0x1f)),
			       scan_equal(b, 0x7f)))
	return scan_class(p, end, CHAR_VALUE);
}

/* The first byte that no request target may have: anything but visible ASCII. */
static inline const char *scan_target(const char *p, const char *end)
{
	/* As signed numbers, bytes from 0x80 are below 0x21 too. */
	SCAN_WIDE(p, end, b,
		  _mm_or_si128(_mm_cmplt_epi8(b, _mm_set1_epi8(0x21)), scan_equal(b, 0x7f)))
	return scan_class(p, end, CHAR_TARGET);
}

/*
 * The first colon, control or space: the end of a name whose other bytes are still to be checked.
 */
static inline const char *scan_name(const char *p, const char *end)
{
	SCAN_WIDE(p, end, b, _mm_or_si128(scan_equal(b, ':'), scan_at_most(b, ' ')))
	return scan_class(p, end, CHAR_TOKEN);
}

#endif
