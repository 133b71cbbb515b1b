/*
 * Compiled rules by their text: a rule that is there is found again, whichever router or
 * generation asks for it. Compiling is most of what building a router costs.
 */
#ifndef PROXY_RULE_REGISTRY_H
#define PROXY_RULE_REGISTRY_H

#include "proxy/rule.h"

/** Any thread. Lifetime: longer than the rules. */
struct rule_registry;

/** Returns 0 or -ENOMEM. */
int rule_registry_create(struct rule_registry **registry);
/** No rule is left. NULL is allowed in `*registry`. */
void rule_registry_destroy(struct rule_registry **registry);

/** As `rule_compile` with its default limits, unless the rule is there; one reference. Without a
 * registry (NULL) it is compiled. */
int rule_registry_get(struct rule_registry *registry, slice text, enum rule_syntax syntax,
		      struct rule **rule, struct weir_error *e);

/** Drops a reference that `rule_registry_get` gave; the last one frees it. NULL is allowed. */
void rule_release(struct rule **rule);

/** How many rules there are. */
size_t rule_registry_count(struct rule_registry *registry);

#endif
