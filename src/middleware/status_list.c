#include "middleware/status_list.h"

#include <errno.h>
#include <limits.h>

static bool parse_status(slice text, int *status)
{
	uint64_t n;

	if (!slice_to_u64(text, &n) || n > INT_MAX)
		return false;
	*status = (int)n;
	return true;
}

static int parse_range(slice text, struct status_range *r, struct weir_error *e)
{
	size_t dash = slice_find(text, '-');

	if (parse_status(slice_first(text, dash), &r->first) &&
	    (dash == text.n || parse_status(slice_from_at(text, dash + 1), &r->last))) {
		if (dash == text.n)
			r->last = r->first;
		return 0;
	}
	return error_set(e, -EINVAL, "status \"%.*s\", expected a number or two, as in 500-599",
			 SLICE_ARG(text));
}

int status_list_parse(struct status_list *list, struct option_list texts, struct arena *arena,
		      struct weir_error *e)
{
	*list = (struct status_list){.ranges =
					     ARENA_ARRAY(arena, struct status_range, texts.count)};
	if (list->ranges == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < texts.count; i++) {
		int r = parse_range(texts.items[i], &list->ranges[list->count++], e);

		if (r < 0)
			return r;
	}
	return 0;
}

bool status_list_has(const struct status_list *list, int status)
{
	for (size_t i = 0; i < list->count; i++) {
		if (status >= list->ranges[i].first && status <= list->ranges[i].last)
			return true;
	}
	return false;
}
