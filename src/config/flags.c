#include <errno.h>
#include <stdlib.h>

#include "config/source.h"
#include "net/url.h"

/* The row that a path leads to; `entry`: to one named object or element of it. NULL for unknown
 * paths. */
static const struct option *row_at(const struct option *table, slice path, bool *entry)
{
	const struct option *row = NULL;
	slice name;

	*entry = false;
	while (slice_next(&path, '.', &name)) {
		size_t bracket = slice_find(name, '[');

		if (row != NULL && row->type == OPTION_MAP && !*entry) {
			*entry = true;
			continue;
		}
		table = row != NULL ? row->table : table;
		row = table != NULL ? option_find(table, slice_first(name, bracket)) : NULL;
		if (row == NULL)
			return NULL;
		*entry = bracket < name.n;
	}
	return row;
}

static bool needs_no_argument(const struct option *table, slice path)
{
	bool entry;
	const struct option *row = row_at(table, path, &entry);

	if (row == NULL)
		return false;
	return entry || row->type == OPTION_BOOL || row->type == OPTION_TRISTATE ||
	       row->type == OPTION_POINTER || row->type == OPTION_OBJECT;
}

static bool is_list(const struct option *table, slice path)
{
	bool entry;
	const struct option *row = row_at(table, path, &entry);

	return row != NULL &&
	       (row->type == OPTION_LIST || row->type == OPTION_INTS || row->type == OPTION_FLOATS);
}

/* One flag with its value; a list that comes again is appended to. */
static int put_flag(struct tree *t, slice name, slice value, const struct option *table,
		    struct config_report *report)
{
	const struct tree_node *old = tree_get(t, name);
	struct tree_place place = {.line = 0};
	struct weir_error error;
	slice source = arena_format(t->arena, "flag --%.*s", SLICE_ARG(slice_first(name, 200)));

	place.source = source.p != NULL ? source.p : "flags";
	if (old != NULL && old->kind == TREE_SCALAR && is_list(table, name))
		value = arena_format(t->arena, "%.*s,%.*s", SLICE_ARG(old->text), SLICE_ARG(value));
	if (value.p == NULL)
		return config_error(report, place, "out of memory");
	if (tree_put(t, name, value, place, &error) < 0)
		return config_error_from(report, &error);
	return 0;
}

/* Returns how many arguments were used, 0 at the end of the flags. */
static size_t parse_flag(struct tree *t, size_t count, const char *const *args,
			 const struct option *table, struct config_report *report, int *result)
{
	slice flag = slice_from(args[0]),
	      name = slice_from_at(flag, flag.n > 1 && flag.p[1] == '-' ? 2 : 1);
	struct tree_place place = {args[0], 0, 0};
	size_t equals = slice_find(name, '=');
	slice value = slice_from_at(name, equals + 1);
	size_t used = 1;

	if (flag.n < 2 || flag.p[0] != '-')
		return 0;
	if (name.n == 0 || name.p[0] == '-' || name.p[0] == '=') {
		*result = config_error(report, place, "found this flag, expected --name=value");
		return 1;
	}
	if (equals == name.n && needs_no_argument(table, name)) {
		value = SLICE("true");
	} else if (equals == name.n && count < 2) {
		*result = config_error(report, place, "found no argument, expected %s=value",
				       args[0]);
		return 1;
	} else if (equals == name.n) {
		value = slice_from(args[1]);
		used = 2;
	}
	if (put_flag(t, slice_first(name, equals), value, table, report) < 0)
		*result = -EINVAL;
	return used;
}

int source_parse_flags(struct tree *t, size_t arg_count, const char *const *args,
		       const struct option *table, struct config_report *report)
{
	int result = 0;

	while (arg_count > 0) {
		bool end = strcmp(args[0], "--") == 0;
		size_t used = end ? 0 : parse_flag(t, arg_count, args, table, report, &result);

		if (used == 0) {
			args += end;
			arg_count -= end;
			break;
		}
		args += used;
		arg_count -= used;
	}
	if (arg_count > 0)
		config_warn(report, NULL, (struct tree_place){args[0], 0, 0},
			    "found this argument, expected a flag; it and what follows is ignored, "
			    "as in Traefik");
	return result;
}

/* Itself, or what it is in. What plugins are told may be one, too. */
static bool is_secret(const struct option *table, slice path)
{
	slice name;

	while (table != NULL && slice_next(&path, '.', &name)) {
		const struct option *row =
			option_find(table, slice_first(name, slice_find(name, '[')));

		if (row == NULL)
			return false;
		if ((row->flags & OPTION_SECRET) || row->type == OPTION_FREE ||
		    row->type == OPTION_FREE_MAP)
			return true;
		/* The name of an object. */
		if (row->type == OPTION_MAP)
			(void)slice_next(&path, '.', &name);
		table = row->table;
	}
	return false;
}

void source_add_hidden(struct str *out, slice argument, const struct option *table, bool *secret)
{
	bool value = *secret;
	size_t dashes = slice_starts(argument, SLICE("--"))  ? 2
			: slice_starts(argument, SLICE("-")) ? 1
							     : 0;
	size_t equals = slice_find(argument, '=');

	*secret = false;
	if (value) {
		str_add(out, SLICE("xxxx"));
	} else if (dashes == 0 ||
		   !is_secret(table, slice_from_at(slice_first(argument, equals), dashes))) {
		size_t start = dashes > 0 && equals < argument.n ? equals + 1 : 0;

		str_add(out, slice_first(argument, start));
		url_add_hidden(out, slice_from_at(argument, start));
	} else if (equals == argument.n) {
		str_add(out, argument);
		*secret = true;
	} else {
		str_add(out, slice_first(argument, equals));
		str_add(out, SLICE("=xxxx"));
	}
}

bool source_wants_help(size_t arg_count, const char *const *args)
{
	static const char *const names[] = {"-h", "-help", "--help"};

	for (size_t i = 0; i < arg_count; i++)
		for (size_t j = 0; j < ARRAY_LEN(names); j++)
			if (strcmp(args[i], names[j]) == 0)
				return true;
	return false;
}

static bool starts_with_upper(slice text, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		if (i >= text.n || text.p[i] != ascii_upper(name[i]))
			return false;
	return true;
}

/* As Traefik looks for variables: by the beginning of a root key, in capitals; what follows may be
 * anything. */
static bool begins_with_key(slice rest, const struct option *table)
{
	for (; table->name != NULL; table++)
		if (starts_with_upper(rest, table->name))
			return true;
	return false;
}

static int put_variable(struct tree *t, slice name, slice rest, slice value,
			struct config_report *report)
{
	slice path = arena_copy(t->arena, rest);
	slice source = arena_format(t->arena, "variable %.*s", SLICE_ARG(slice_first(name, 200)));
	struct tree_place place = {source.p, 0, 0};
	char *p = (char *)(uintptr_t)path.p;
	struct weir_error error;

	if (path.p == NULL || source.p == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < path.n; i++)
		p[i] = p[i] == '_' ? '.' : ascii_lower(p[i]);
	return tree_put(t, path, value, place, &error) < 0 ? config_error_from(report, &error) : 0;
}

/* A variable that nearly begins with a root key. Others that share the prefix are somebody else's.
 */
static void warn_of_slip(slice name, slice rest, const char *prefix, const struct option *table,
			 struct config_report *report)
{
	size_t end = slice_find(rest, '_');
	const char *near = option_nearest(table, slice_first(rest, end));
	slice source, meant;
	char *p;

	if (near == NULL)
		return;
	source = arena_format(report->arena, "variable %.*s", SLICE_ARG(slice_first(name, 200)));
	meant = arena_format(report->arena, "%s%.*s", near,
			     SLICE_ARG(slice_first(slice_from_at(rest, end), 200)));
	if (source.p == NULL || meant.p == NULL)
		return;
	p = (char *)(uintptr_t)meant.p;
	for (size_t i = 0; i < meant.n; i++)
		p[i] = ascii_upper(p[i]);
	config_warn(report, NULL, (struct tree_place){source.p, 0, 0},
		    "unknown option is ignored; did you mean %s%s?", prefix, p);
}

int source_parse_environment(struct tree *t, const char *const *environment, const char *prefix,
			     const struct option *table, struct config_report *report)
{
	int result = 0;

	for (; environment != NULL && *environment != NULL; environment++) {
		slice all = slice_from(*environment);
		size_t equals = slice_find(all, '=');
		slice name = slice_first(all, equals), rest;

		if (!slice_starts(name, slice_from(prefix)))
			continue;
		rest = slice_from_at(name, strlen(prefix));
		if (slice_equal(rest, SLICE("CONFIGFILE"))) {
			config_warn(report, NULL, (struct tree_place){"variable", 0, 0},
				    "%.*s has no effect, as in Traefik; use --configFile",
				    SLICE_ARG(name));
			continue;
		}
		if (!begins_with_key(rest, table))
			warn_of_slip(name, rest, prefix, table, report);
		else if (put_variable(t, name, rest, slice_from_at(all, equals + 1), report) < 0)
			result = -EINVAL;
	}
	return result;
}
