/*
 * Users and what they prove themselves with, from the option `users` and from files in the formats
 * of Apache's htpasswd and htdigest.
 */
#ifndef MIDDLEWARE_USERS_H
#define MIDDLEWARE_USERS_H

#include "config/dynamic.h"

/* X(NAME, parts of a line, Traefik's name for one in messages) */
#define USERS_FORMATS(X) \
	X(BASIC, 2, "BasicUser")   /* name:hash */ \
	X(DIGEST, 3, "DigestUser") /* name:realm:hash */

enum users_format {
#define X(name, parts, text) USERS_##name,
	USERS_FORMATS(X)
#undef X
};

/** Borrowed. */
struct user {
	slice name; /* with ":realm" for digests */
	slice secret;
	size_t place; /* among the lines */
};

/** Immutable; any thread may look. */
struct users {
	struct user *list; /* sorted by name */
	size_t count;
};

/**
 * Reads the file, if there is one, of at most `file_max` bytes, and the list; of several entries
 * for one name the last one counts. What is kept lives in `arena`, or as long as `options`. Returns
 * 0, -EINVAL with Traefik's text for a line that is not in the format, another negative errno value
 * for a file that cannot be read. Blocks.
 */
int users_load(struct users *users, const struct dynamic_auth *options, enum users_format format,
	       size_t file_max, struct arena *arena, struct weir_error *e);

/** As `users_load` from text alone. */
int users_parse(struct users *users, slice text, struct option_list more, enum users_format format,
		struct arena *arena, struct weir_error *e);

/** The user of that name, or NULL. */
const struct user *users_find(const struct users *users, slice name);

#endif
