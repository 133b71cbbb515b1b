#include "core/base64.h"

const char base64_digits[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The offset of the next byte that is no line break. */
static size_t skip_breaks(slice s, size_t i)
{
	while (i < s.n && (s.p[i] == '\n' || s.p[i] == '\r'))
		i++;
	return i;
}

/* After the first `=`, which came after `digits` digits of its group. */
static bool decode_padding(slice s, size_t i, size_t digits, size_t *bad)
{
	*bad = i;
	if (digits < 2)
		return false;
	i++;
	if (digits == 2) {
		i = skip_breaks(s, i);
		*bad = i;
		if (i == s.n || s.p[i] != '=')
			return false;
		i++;
	}
	*bad = skip_breaks(s, i);
	return *bad == s.n;
}

bool base64_decode(slice s, char *to, size_t *n, size_t *bad)
{
	uint32_t group = 0;
	size_t digits = 0, i;

	*n = 0;
	for (i = skip_breaks(s, 0); i < s.n && s.p[i] != '='; i = skip_breaks(s, i + 1)) {
		const char *digit = s.p[i] != '\0' ? strchr(base64_digits, s.p[i]) : NULL;

		*bad = i;
		if (digit == NULL)
			return false;
		group = group << 6 | (uint32_t)(digit - base64_digits);
		if (++digits < 4)
			continue;
		for (unsigned j = 0; j < 3; j++)
			to[(*n)++] = (char)(group >> (16 - 8 * j));
		digits = 0;
	}
	if (i == s.n) {
		*bad = i - digits;
		return digits == 0;
	}
	for (size_t j = 1; j < digits; j++)
		to[(*n)++] = (char)(group << 6 * (4 - digits) >> (24 - 8 * j));
	return decode_padding(s, i, digits, bad);
}

void base64_encode(slice s, char *to)
{
	for (size_t i = 0; i < s.n; i += 3) {
		uint32_t group = 0;

		for (size_t j = i; j < i + 3; j++)
			group = group << 8 | (j < s.n ? (unsigned char)s.p[j] : 0);
		for (size_t j = 0; j < 4; j++)
			*to++ = i + j <= s.n ? base64_digits[group >> (18 - 6 * j) & 63] : '=';
	}
}
