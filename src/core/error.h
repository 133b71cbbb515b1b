/*
 * Errors as values: a code and one line of text that names what was found and what was expected.
 */
#ifndef CORE_ERROR_H
#define CORE_ERROR_H

#include "core/base.h"
#include "core/slice.h"

/** Fills in `e` (which may be NULL) and returns `code`, a negative errno value. */
int error_set(struct weir_error *e, int code, const char *format, ...) PRINTF_LIKE(3, 4);

/** Puts text in front of the one there is: who was doing what, outermost first. */
void error_prefix(struct weir_error *e, const char *format, ...) PRINTF_LIKE(2, 3);

/** Adds text at the end: what was expected, a hint. */
void error_suffix(struct weir_error *e, const char *format, ...) PRINTF_LIKE(2, 3);

/**
 * The one of `count` names nearest to `found` (edit distance, case ignored), or NULL if none is
 * near enough to be a likely slip.
 */
const char *error_nearest(slice found, const char *const *names, size_t count);

#endif
