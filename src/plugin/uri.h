/*
 * Request targets as the ABI shows them to guests and takes them back (the semantics of Go's
 * net/url, which guests were written against).
 */
#ifndef PLUGIN_URI_H
#define PLUGIN_URI_H

#include "core/str.h"

/**
 * Appends what `get_uri` gives for a received target: escaped path and raw query, or "*"; "/" for
 * an empty path and for the authority form. A path that is a valid encoding stays as it is;
 * otherwise it is decoded and encoded again.
 */
void uri_show(struct str *out, slice target);

/**
 * Appends the target that `set_uri` asks for: from a path, an absolute URI (whose scheme and
 * authority are dropped) or "*"; the query is made safe for a request line. Returns NULL, or what
 * is wrong with `uri`.
 */
const char *uri_take(struct str *out, slice uri);

#endif
