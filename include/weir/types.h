/*
 * The two value types that weir's public interfaces share.
 */
#ifndef WEIR_TYPES_H
#define WEIR_TYPES_H

#include <stddef.h>

/** Borrowed bytes: neither owned nor terminated. `p` may be NULL only if `n` is 0. */
struct weir_slice {
	const char *p;
	size_t n;
};

/** Capacity of an error's text, terminator included; longer texts are cut. */
#define WEIR_ERROR_TEXT 1024

/**
 * An error as a value: the caller provides the storage, the failing function fills it in.
 * `code` is a negative errno value, or 0 for no error; `text` is one line without a final
 * full stop that says what was found and what was expected.
 */
struct weir_error {
	int code;
	char text[WEIR_ERROR_TEXT];
};

#endif
