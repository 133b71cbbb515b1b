#include "proxy/rule_query.h"

slice rule_query_begin(slice query)
{
	size_t pairs = 1;

	for (size_t i = 0; i < query.n; i++)
		pairs += query.p[i] == '&';
	return pairs <= RULE_QUERY_PAIRS_MAX ? query : (slice){NULL, 0};
}

static bool is_valid(slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == ';')
			return false;
		if (s.p[i] != '%')
			continue;
		if (s.n - i < 3 || ascii_hex(s.p[i + 1]) < 0 || ascii_hex(s.p[i + 2]) < 0)
			return false;
		i += 2;
	}
	return true;
}

bool rule_query_next(slice *rest, struct rule_query_pair *pair)
{
	slice part;

	while (slice_next(rest, '&', &part)) {
		size_t equals = slice_find(part, '=');

		pair->key = slice_first(part, equals);
		pair->value = slice_from_at(part, equals + 1);
		if (part.n > 0 && is_valid(pair->key) && is_valid(pair->value))
			return true;
	}
	return false;
}

/* Decodes the character at `*at` of valid `s` and steps over it. */
static char decode_at(slice s, size_t *at)
{
	char c = s.p[(*at)++];

	if (c == '+')
		return ' ';
	if (c != '%')
		return c;
	*at += 2;
	return (char)(ascii_hex(s.p[*at - 2]) << 4 | ascii_hex(s.p[*at - 1]));
}

bool rule_query_equal(slice encoded, slice plain)
{
	size_t at = 0, i = 0;

	while (at < encoded.n) {
		if (i == plain.n || decode_at(encoded, &at) != plain.p[i++])
			return false;
	}
	return i == plain.n;
}

bool rule_query_is_encoded(slice encoded)
{
	return slice_find(encoded, '%') < encoded.n || slice_find(encoded, '+') < encoded.n;
}

slice rule_query_decode(slice encoded, char *to)
{
	size_t n = 0;

	for (size_t at = 0; at < encoded.n;)
		to[n++] = decode_at(encoded, &at);
	return slice_of(to, n);
}
