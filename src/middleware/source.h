/*
 * What counts as one client (Traefik: sourceCriterion): an address, the host, or a header.
 */
#ifndef MIDDLEWARE_SOURCE_H
#define MIDDLEWARE_SOURCE_H

#include "middleware/ip_strategy.h"

enum source_kind { SOURCE_ADDRESS, SOURCE_HOST, SOURCE_HEADER };

/** Lifetime: `source_init` … `source_free`. Any thread may ask. */
struct source {
	enum source_kind kind;
	struct ip_strategy ip; /* of an address */
	slice header;
};

/** `options` may be NULL, and outlive the source; `usual` is for those that say nothing. Returns 0,
 * or -EINVAL with Traefik's text for more than one criterion, or as `ip_strategy_init`; nothing is
 * to be freed then. */
int source_init(struct source *s, const struct dynamic_source_criterion *options,
		enum source_kind usual, struct weir_error *e);
void source_free(struct source *s);

/** The request's source, which may be empty. Borrowed from the exchange; `p` is NULL when its arena
 * is full. */
slice source_key(const struct source *s, struct exchange *x);

#endif
