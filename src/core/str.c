#include "core/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base.h"

void str_free(struct str *s)
{
	free(s->p);
	*s = (struct str){.limit = s->limit};
}

void str_clear(struct str *s)
{
	s->n = 0;
	s->failed = false;
	if (s->p != NULL)
		s->p[0] = '\0';
}

static bool grow(struct str *s, size_t n)
{
	size_t need, capacity;
	char *p;

	if (s->failed || __builtin_add_overflow(s->n, n, &need) || need == SIZE_MAX)
		return false;
	if (s->limit != 0 && need > s->limit)
		return false;
	need++;
	if (need <= s->capacity)
		return true;
	capacity = MAX(need, MIN(s->capacity, SIZE_MAX / 2) * 2);
	capacity = MAX(capacity, 64);
	p = realloc(s->p, capacity);
	if (p == NULL)
		return false;
	s->p = p;
	s->capacity = capacity;
	return true;
}

char *str_reserve(struct str *s, size_t n)
{
	if (!grow(s, n)) {
		s->failed = true;
		return NULL;
	}
	return s->p + s->n;
}

void str_commit(struct str *s, size_t n)
{
	must(n < s->capacity - s->n);
	s->n += n;
	s->p[s->n] = '\0';
}

void str_add(struct str *s, slice bytes)
{
	char *p = str_reserve(s, bytes.n);

	if (p == NULL)
		return;
	if (bytes.n > 0)
		memcpy(p, bytes.p, bytes.n);
	str_commit(s, bytes.n);
}

void str_add_char(struct str *s, char c)
{
	str_add(s, (slice){&c, 1});
}

void str_add_rune(struct str *s, uint32_t rune)
{
	if (rune < 0x80) {
		str_add_char(s, (char)rune);
	} else if (rune < 0x800) {
		str_add_char(s, (char)(0xc0 | rune >> 6));
		str_add_char(s, (char)(0x80 | (rune & 0x3f)));
	} else if (rune < 0x10000) {
		str_add_char(s, (char)(0xe0 | rune >> 12));
		str_add_char(s, (char)(0x80 | (rune >> 6 & 0x3f)));
		str_add_char(s, (char)(0x80 | (rune & 0x3f)));
	} else {
		str_add_char(s, (char)(0xf0 | rune >> 18));
		str_add_char(s, (char)(0x80 | (rune >> 12 & 0x3f)));
		str_add_char(s, (char)(0x80 | (rune >> 6 & 0x3f)));
		str_add_char(s, (char)(0x80 | (rune & 0x3f)));
	}
}

void str_add_u64(struct str *s, uint64_t value)
{
	char digits[20];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	str_add(s, (slice){digits + at, sizeof digits - at});
}

void str_format(struct str *s, const char *format, ...)
{
	va_list args;
	char *p;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (n < 0)
		s->failed = true;
	p = str_reserve(s, n < 0 ? 0 : (size_t)n);
	if (p == NULL)
		return;
	va_start(args, format);
	(void)vsnprintf(p, (size_t)n + 1, format, args);
	va_end(args);
	str_commit(s, (size_t)n);
}

char *str_take(struct str *s)
{
	char *p;

	if (str_reserve(s, 0) != NULL)
		str_commit(s, 0);
	if (s->failed) {
		str_free(s);
		return NULL;
	}
	p = s->p;
	*s = (struct str){.limit = s->limit};
	return p;
}
