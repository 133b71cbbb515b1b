#include "middleware/digest_header.h"

#include <errno.h>

#include "core/base.h"

/* The next element of a list, without its escapes, but with its quotes: `*to` moves behind it. */
static slice next_element(slice *rest, char **to)
{
	char *start = *to;
	bool quoted = false;

	while (rest->n > 0) {
		char c = rest->p[0];

		*rest = slice_from_at(*rest, 1);
		if (c == ',' && !quoted)
			break;
		if (c == '\\' && quoted) {
			if (rest->n == 0)
				break;
			c = rest->p[0];
			*rest = slice_from_at(*rest, 1);
		} else if (c == '"') {
			quoted = !quoted;
		}
		*(*to)++ = c;
	}
	return slice_trim(slice_of(start, (size_t)(*to - start)));
}

static void keep(struct digest_parameters *parameters, slice element)
{
	size_t at = slice_find(element, '=');
	slice name = slice_first(element, at), value = slice_from_at(element, at + 1);

	if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
		value = slice_of(value.p + 1, value.n - 2);
#define X(parameter) \
	if (slice_equal(name, SLICE(#parameter))) \
		parameters->parameter = value;
	DIGEST_PARAMETERS(X)
#undef X
}

int digest_header_parse(slice value, struct arena *arena, struct digest_parameters *parameters)
{
	char *to;

	*parameters = (struct digest_parameters){.username = {NULL, 0}};
	if (!slice_starts(value, SLICE("Digest ")))
		return -EINVAL;
	value = slice_from_at(value, sizeof "Digest " - 1);
	to = arena_alloc(arena, value.n + 1);
	if (to == NULL)
		return -ENOMEM;
	while (value.n > 0)
		keep(parameters, next_element(&value, &to));
	return 0;
}
