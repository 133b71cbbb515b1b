#include "core/slice.h"

#include <stdlib.h>

int ascii_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool slice_equal_nocase(slice a, slice b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
			return false;
	}
	return true;
}

int slice_compare(slice a, slice b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n > 0 ? memcmp(a.p, b.p, n) : 0;

	if (order != 0)
		return order;
	return a.n < b.n ? -1 : a.n > b.n;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

slice slice_trim(slice s)
{
	while (s.n > 0 && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

size_t slice_find(slice s, char c)
{
	const char *at = s.n > 0 ? memchr(s.p, c, s.n) : NULL;

	return at != NULL ? (size_t)(at - s.p) : s.n;
}

size_t slice_search(slice s, slice needle)
{
	const char *at;

	if (needle.n == 0)
		return 0;
	at = s.n >= needle.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
	return at != NULL ? (size_t)(at - s.p) : s.n;
}

bool slice_next(slice *rest, char separator, slice *part)
{
	size_t at;

	if (rest->n == 0)
		return false;
	at = slice_find(*rest, separator);
	*part = slice_first(*rest, at);
	*rest = slice_from_at(*rest, at + 1);
	return true;
}

int32_t slice_rune(slice s, size_t *i)
{
	static const int32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char c = (unsigned char)s.p[*i];
	size_t n = c < 0x80             ? 1
		   : (c & 0xe0) == 0xc0 ? 2
		   : (c & 0xf0) == 0xe0 ? 3
		   : (c & 0xf8) == 0xf0 ? 4
					: 0;
	int32_t rune = n == 1 ? c : c & (0x7f >> n);

	for (size_t k = 1; k < n; k++) {
		unsigned char more = *i + k < s.n ? (unsigned char)s.p[*i + k] : 0;

		if ((more & 0xc0) != 0x80)
			n = 0;
		rune = (rune << 6) | (more & 0x3f);
	}
	if (n == 0 || rune < least[n] || rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff)) {
		(*i)++;
		return -1;
	}
	*i += n;
	return rune;
}

bool slice_to_u64(slice s, uint64_t *value)
{
	uint64_t sum = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		uint64_t digit = (uint64_t)(unsigned char)s.p[i] - '0';

		if (digit > 9 || __builtin_mul_overflow(sum, 10, &sum) ||
		    __builtin_add_overflow(sum, digit, &sum))
			return false;
	}
	*value = sum;
	return true;
}

char *slice_dup(slice s)
{
	char *copy = malloc(s.n + 1);

	if (copy == NULL)
		return NULL;
	if (s.n > 0)
		memcpy(copy, s.p, s.n);
	copy[s.n] = '\0';
	return copy;
}
