/*
 * What keeps programs working that were built with another version of the public header.
 */
#ifndef PLUGIN_VERSION_H
#define PLUGIN_VERSION_H

#include "core/error.h"

/** Refuses, with -EINVAL, options that set what this version does not know; else 0. `words` are the
 * `reserved` member of `structure`. */
int version_check_reserved(const uint64_t *words, size_t count, const char *structure,
			   struct weir_error *error);

#define VERSION_CHECK_RESERVED(options, structure, error) \
	version_check_reserved((options)->reserved, ARRAY_LEN((options)->reserved), structure, \
			       error)

#endif
