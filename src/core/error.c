#include "core/error.h"

#include <stdarg.h>
#include <stdio.h>

int error_set(struct weir_error *e, int code, const char *format, ...)
{
	va_list args;

	must(code < 0);
	if (e == NULL)
		return code;
	e->code = code;
	va_start(args, format);
	(void)vsnprintf(e->text, sizeof e->text, format, args);
	va_end(args);
	return code;
}

void error_prefix(struct weir_error *e, const char *format, ...)
{
	char text[WEIR_ERROR_TEXT];
	va_list args;
	size_t used;

	if (e == NULL)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	used = strlen(text);
	(void)snprintf(text + used, sizeof text - used, "%s", e->text);
	memcpy(e->text, text, sizeof text);
}

void error_suffix(struct weir_error *e, const char *format, ...)
{
	va_list args;
	size_t used;

	if (e == NULL)
		return;
	used = strlen(e->text);
	va_start(args, format);
	(void)vsnprintf(e->text + used, sizeof e->text - used, format, args);
	va_end(args);
}

#define NAME_MAX_LENGTH 63

/* Levenshtein distance over two short names, one row at a time. */
static size_t distance(slice a, slice b)
{
	size_t row[NAME_MAX_LENGTH + 1];

	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			bool same = ascii_lower(a.p[i - 1]) == ascii_lower(b.p[j - 1]);
			size_t replace = diagonal + !same;

			diagonal = row[j];
			row[j] = MIN(replace, MIN(row[j], row[j - 1]) + 1);
		}
	}
	return row[b.n];
}

const char *error_nearest(slice found, const char *const *names, size_t count)
{
	const char *best = NULL;
	size_t best_distance = 1 + found.n / 3;

	if (found.n > NAME_MAX_LENGTH)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		slice name = slice_from(names[i]);
		size_t d = name.n <= NAME_MAX_LENGTH ? distance(found, name) : SIZE_MAX;

		if (d <= best_distance && (best == NULL || d < best_distance)) {
			best = names[i];
			best_distance = d;
		}
	}
	return best;
}
