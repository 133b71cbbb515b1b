/*
 * Passwords against their hashes, in the families of Apache's htpasswd.
 */
#ifndef MIDDLEWARE_PASSWORD_H
#define MIDDLEWARE_PASSWORD_H

#include "core/slice.h"

/**
 * Whether the password is the one that `hash` was made of: `$2a$`, `$2b$`, `$2x$` and `$2y$` are
 * bcrypt,
 * `{SHA}` is SHA-1 in base64, and what has three dollar signs is MD5-crypt (`$apr1$`, `$1$`);
 * nothing else fits anything, and no password of more than 1024 bytes. Takes as long as the hash
 * wants: see `password_is_expensive`. The comparison takes the same time whatever differs. Any
 * thread.
 */
bool password_fits(slice hash, slice password);

/** Whether checking takes so long that it must not be done on a loop. */
bool password_is_expensive(slice hash);

#endif
