/*
 * Between the sources and the structure of the static configuration.
 */
#ifndef CONFIG_STATIC_PRIVATE_H
#define CONFIG_STATIC_PRIVATE_H

#include "config/static.h"

/** An empty one with its arena, where the tree is to be made; NULL if memory is short. */
struct static_config *static_config_new(void);

/** Decodes, settles what is implied, and checks. Returns 0 or a negative errno value with the
 * report filled in. */
int static_decode(struct static_config *c, const struct tree *tree, struct config_report *report);

/** Names that `providers.precedence` may hold, in any case. */
bool static_is_provider(slice name);

#endif
