/*
 * Lists of statuses as Traefik writes them: "500", "500-599".
 */
#ifndef MIDDLEWARE_STATUS_LIST_H
#define MIDDLEWARE_STATUS_LIST_H

#include "config/option.h"

struct status_range {
	int first, last;
};

/** Lives in the arena it was made in. Immutable. */
struct status_list {
	struct status_range *ranges;
	size_t count;
};

/** Returns 0, -ENOMEM, or -EINVAL with a text that names what is no status. */
int status_list_parse(struct status_list *list, struct option_list texts, struct arena *arena,
		      struct weir_error *e);

/** Whether one of the ranges holds the status. */
bool status_list_has(const struct status_list *list, int status);

#endif
