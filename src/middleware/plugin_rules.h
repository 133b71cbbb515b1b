/*
 * What becomes of a response that a guest has changed: rules that do not depend on how messages are
 * kept.
 */
#ifndef MIDDLEWARE_PLUGIN_RULES_H
#define MIDDLEWARE_PLUGIN_RULES_H

#include "http/fields.h"

/**
 * A guest that suppresses a body says so with Content-Length alone: a declared length below the `n`
 * bytes that there are to send means that nothing must be sent, because a firewall's guest has no
 * other means. Anything else follows the body.
 */
bool plugin_suppresses_body(const struct fields *response, bool length_set, bool body_written,
			    uint64_t n);

#endif
