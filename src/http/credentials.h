/*
 * The user information of a URL as a request carries it.
 */
#ifndef HTTP_CREDENTIALS_H
#define HTTP_CREDENTIALS_H

#include "core/arena.h"

/**
 * The value of Authorization for `userinfo` (`user[:password]`, percent-encoded), as Go's client
 * makes it. `value` lives in the arena, and is empty if `userinfo` is. Returns 0 or -ENOMEM.
 */
int credentials_basic(slice userinfo, struct arena *arena, slice *value);

#endif
