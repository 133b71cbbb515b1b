#include "config/parse.h"

#include <errno.h>

#include "config/tree.h"

int parse_error(struct weir_error *error, int code, const char *source, uint32_t line,
		uint32_t column, const char *text, size_t n)
{
	return error_set(error, code, "%s:%u:%u: %.*s", source, line, column,
			 (int)MIN(n, (size_t)600), text);
}

size_t parse_skip_mark(slice text)
{
	return slice_starts(text, SLICE("\xef\xbb\xbf")) ? 3 : 0;
}

int tree_parse(struct tree *t, slice text, enum tree_format format, const char *source,
	       struct weir_error *error)
{
	slice name = arena_copy(t->arena, slice_from(source));

	if (name.p == NULL)
		return error_set(error, -ENOMEM, "%s: out of memory", source);
	if (text.n > t->limits.file_bytes)
		return error_set(error, -EFBIG, "%s: found %zu bytes, expected at most %zu", source,
				 text.n, t->limits.file_bytes);
	if (text.n == 0)
		text = SLICE("");
	if (t->root->place.source == NULL)
		t->root->place = (struct tree_place){name.p, 1, 1};
	switch (format) {
	case TREE_YAML:
	case TREE_JSON:
		return parse_yaml(t, text.p, text.n, name.p, error);
	case TREE_TOML:
		return parse_toml(t, text.p, text.n, name.p, error);
	case TREE_UNKNOWN:
		break;
	}
	return error_set(error, -EINVAL, "%s: found an unknown format, expected YAML, TOML or JSON",
			 source);
}
