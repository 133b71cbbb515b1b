/*
 * Media types, "text/html; charset=utf-8", read as Go's mime.ParseMediaType reads them.
 */
#ifndef MIDDLEWARE_MEDIA_TYPE_H
#define MIDDLEWARE_MEDIA_TYPE_H

#include "core/arena.h"
#include "core/error.h"

#define MEDIA_PARAMETERS 16u

struct media_parameter {
	slice name; /* in lower case */
	slice value;
};

struct media_type {
	slice name; /* in lower case */
	struct media_parameter parameters[MEDIA_PARAMETERS];
	size_t count;
};

/**
 * Bytes come from `a`. Returns 0; -EINVAL with a reason in Go's words, where `t->name` may still
 * hold the name of a type whose parameters are wrong, else it is empty; -ENOMEM; -E2BIG for more
 * parameters than there is room for.
 */
int media_type_parse(struct arena *a, slice text, struct media_type *t, struct weir_error *e);

#endif
