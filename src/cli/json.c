#include "cli/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/str.h"

static bool short_of_memory;

json_t *json_slice(slice text)
{
	json_t *string = json_stringn(text.p != NULL ? text.p : "", text.n);
	struct str clean = {0};

	if (string != NULL)
		return string;
	for (size_t i = 0; i < text.n;) {
		size_t from = i;

		if (slice_rune(text, &i) < 0)
			str_add(&clean, SLICE("\xef\xbf\xbd"));
		else
			str_add(&clean, slice_of(text.p + from, i - from));
	}
	if (!clean.failed)
		string = json_stringn(clean.p, clean.n);
	str_free(&clean);
	return string;
}

json_t *json_count(uint64_t number)
{
	return json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number);
}

void json_put(json_t *object, const char *key, json_t *value)
{
	short_of_memory |= json_object_set_new(object, key, value) < 0;
}

void json_append(json_t *array, json_t *value)
{
	short_of_memory |= json_array_append_new(array, value) < 0;
}

int json_finish(json_t *value)
{
	char *text = short_of_memory ? NULL : json_dumps(value, JSON_INDENT(2));

	json_decref(value);
	if (text == NULL) {
		(void)fputs("weir: out of memory\n", stderr);
		return -ENOMEM;
	}
	(void)puts(text);
	free(text);
	return 0;
}
