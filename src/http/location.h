/*
 * URLs as Go's net/url reads and writes them, for fields such as Location.
 */
#ifndef HTTP_LOCATION_H
#define HTTP_LOCATION_H

#include "core/arena.h"
#include "core/slice.h"

struct url;

/**
 * Go's url.Parse(text) and String(): a lower-case scheme, the path and the fragment encoded where
 * they must be. Relative references are allowed. Returns 0; -EINVAL for what cannot be parsed,
 * control characters among it; -ENOMEM.
 */
int location_normalize(slice text, struct arena *arena, slice *location);

/**
 * The same, seen from `base`, whose user information stays behind: Go's URL.ResolveReference (RFC
 * 3986 section 5.2).
 */
int location_resolve(slice text, const struct url *base, struct arena *arena, slice *location);

#endif
