/*
 * What an untagged plain YAML scalar means to Traefik's YAML library (yaml.v3, untyped): the 1.2
 * core schema, plus 1.1's octals, underscores and dates; yes, no, on and off are strings.
 */
#ifndef CONFIG_SCALAR_H
#define CONFIG_SCALAR_H

#include "config/tree.h"

/** Sets kind (TREE_SCALAR or TREE_NULL), type, text and number of `node`. Returns 0 or -ENOMEM. */
int scalar_resolve(struct tree_node *node, slice raw, struct arena *arena);

#endif
