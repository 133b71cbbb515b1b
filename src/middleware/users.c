#include "middleware/users.h"

#include <errno.h>
#include <stdlib.h>

#include "middleware/make.h"

static const struct {
	size_t parts;
	const char *text;
} formats[] = {
#define X(name, parts, text) {parts, text},
	USERS_FORMATS(X)
#undef X
};

static int parse_line(struct user *user, slice line, enum users_format format, struct weir_error *e)
{
	size_t colons = 0, last = 0;

	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] == ':') {
			colons++;
			last = i;
		}
	}
	/* The line itself may be a secret that was put in the wrong place. */
	if (colons + 1 != formats[format].parts)
		return error_set(
			e, -EINVAL,
			"error parsing %s: found %zu parts, expected %zu with colons between "
			"them",
			formats[format].text, colons + 1, formats[format].parts);
	user->name = slice_first(line, last);
	user->secret = slice_from_at(line, last + 1);
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct user *x = a, *y = b;
	int order = slice_compare(x->name, y->name);

	return order != 0 ? order : (x->place < y->place) - (x->place > y->place);
}

/* Of several with one name the last one stays, which comes first then. */
static void sort(struct users *users)
{
	size_t kept = 0;

	qsort(users->list, users->count, sizeof *users->list, compare);
	for (size_t i = 0; i < users->count; i++) {
		if (kept == 0 || !slice_equal(users->list[kept - 1].name, users->list[i].name))
			users->list[kept++] = users->list[i];
	}
	users->count = kept;
}

static int add(struct users *users, slice line, enum users_format format, struct weir_error *e)
{
	struct user *user = &users->list[users->count];
	int r = parse_line(user, line, format, e);

	user->place = users->count;
	users->count += r == 0;
	return r;
}

int users_parse(struct users *users, slice text, struct option_list more, enum users_format format,
		struct arena *arena, struct weir_error *e)
{
	size_t lines = 1, number = 0;
	slice line;
	int r = 0;

	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n';
	*users = (struct users){.list = ARENA_ARRAY(arena, struct user, lines + more.count)};
	if (users->list == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	while (r == 0 && slice_next(&text, '\n', &line)) {
		number++;
		line = middleware_trim(line);
		if (line.n > 0 && line.p[0] != '#')
			r = add(users, line, format, e);
		if (r < 0)
			error_prefix(e, "line %zu: ", number);
	}
	for (size_t i = 0; r == 0 && i < more.count; i++)
		r = add(users, more.items[i], format, e);
	if (r == 0)
		sort(users);
	return r;
}

int users_load(struct users *users, const struct dynamic_auth *options, enum users_format format,
	       size_t file_max, struct arena *arena, struct weir_error *e)
{
	slice text = {NULL, 0}, file = options->users_file;
	int r = file.n > 0 ? tree_read_file(arena, file.p, file_max, &text, e) : 0;

	if (r == -EFBIG)
		error_suffix(e, " (weir.limits.usersFile)");
	if (r == 0)
		r = users_parse(users, text, options->users, format, arena, e);
	if (r < 0)
		error_prefix(e, "%s%.*s: ", file.n > 0 ? "usersFile " : "users", SLICE_ARG(file));
	return r;
}

const struct user *users_find(const struct users *users, slice name)
{
	size_t low = 0, high = users->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = slice_compare(users->list[middle].name, name);

		if (order == 0)
			return &users->list[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}
