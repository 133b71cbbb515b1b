/*
 * One value of an option table: from text to its C member and back. For the decoder and the dump
 * only.
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "config/option.h"

/** Room for the member of any row that `value_is_plain`. */
union value_any {
	slice text;
	bool flag;
	enum option_tristate tristate;
	int64_t integer;
	int32_t integer32;
	double number;
	int choice;
	struct option_content content;
	struct option_contents contents;
	struct option_list list;
	struct option_ints ints;
	struct option_floats floats;
};

/** "a duration such as 10, 300ms or 1m30s" */
const char *value_expected(enum option_type type);

/** Whether the type is a scalar or a list of scalars, the ones that have a default and a text. */
bool value_is_plain(enum option_type type);

/** The size of the member of such a row. */
size_t value_size(enum option_type type);

/** Sets the member at `to` from the notation of flags. Returns 0, -ENOMEM, or -EINVAL with "found
 * ..., expected ...". */
int value_from_text(const struct option *row, slice text, void *to, struct arena *arena,
		    struct weir_error *error);

/** Sets the member of a list type from scalars. */
int value_from_list(const struct option *row, const struct tree_node *list, void *to,
		    struct arena *arena, struct weir_error *error);

/** Sets the member of a row without default. */
void value_clear(const struct option *row, void *to);

/** Appends the member at `from` as YAML on one line. */
void value_add_yaml(struct str *out, const struct option *row, const void *from);

/** Whether two members of that row say the same. */
bool value_equal(const struct option *row, const void *a, const void *b);

#endif
