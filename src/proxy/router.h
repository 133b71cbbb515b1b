/*
 * The routers of one entry point: finds the one with the highest priority whose rule matches, in
 * time that does not depend on how many there are as long as their rules name hosts or paths.
 */
#ifndef PROXY_ROUTER_H
#define PROXY_ROUTER_H

#include "proxy/rule.h"

/** Immutable; shared by all workers. */
struct router_set;

/** One router to be. `rule` and `target` are borrowed and outlive the set. */
struct router_entry {
	const struct rule *rule;
	int64_t priority; /* 0: `rule_priority` */
	void *target;     /* what `router_find` returns, never NULL */
};

/**
 * Builds the set. Order: priority descending; equal priorities in the order given (Traefik leaves
 * that open; give them sorted by name). Returns 0 or -ENOMEM.
 */
int router_set_new(const struct router_entry *entries, size_t count, struct router_set **set,
		   struct weir_error *e);
void router_set_free(struct router_set **set);

/** The target of the first router that matches, or NULL. Does not allocate. Any thread. */
void *router_find(const struct router_set *set, struct rule_input *in);

/** The same by evaluating every rule in turn: the specification that `router_find` must agree with.
 */
void *router_find_linear(const struct router_set *set, struct rule_input *in);

/** How many routers the set holds. */
size_t router_count(const struct router_set *set);

#endif
