/*
 * How classes of middlewares are made and freed where they need nothing special.
 */
#ifndef MIDDLEWARE_MAKE_H
#define MIDDLEWARE_MAKE_H

#include "middleware/registry.h"

/**
 * A cleared middleware of `size` bytes whose first member is the `struct middleware`, from malloc,
 * named as in `config`. NULL when memory is short, with `e` filled in.
 */
void *middleware_new(size_t size, const struct middleware_class *class,
		     const struct dynamic_middleware *config, struct weir_error *e);

/** `destroy` of classes that own nothing but what `middleware_new` gave. */
void middleware_free(struct middleware **m);

/** An answer in the form of Go's http.Error: the text of the status and a line feed, as text/plain.
 * For hooks that then return MW_ANSWERED. */
void middleware_answer_error(struct exchange *x, int status);

/** An answer of the status and its text, without a Content-Type. As above. */
void middleware_answer_status(struct exchange *x, int status);

/** Without leading and trailing ASCII white space, as Go's strings.TrimSpace. */
slice middleware_trim(slice s);

/** Refuses text that cannot stand in a header field. Returns 0, or -EINVAL naming `option`. */
int middleware_check_value(slice value, const char *option, struct weir_error *e);

#endif
