/*
 * Which address counts as the client's (Traefik: ipStrategy).
 */
#ifndef MIDDLEWARE_IP_STRATEGY_H
#define MIDDLEWARE_IP_STRATEGY_H

#include "config/dynamic.h"
#include "http/exchange.h"

/** Lifetime: `ip_strategy_init` … `ip_strategy_free`. Any thread may ask. */
struct ip_strategy {
	size_t depth;                 /* from the right of X-Forwarded-For; 0: not by depth */
	struct address_set *excluded; /* NULL: not by exclusion */
	unsigned subnet_bits;         /* of IPv6 addresses; 128: all */
};

/** `options` may be NULL: the peer. Returns 0, -EINVAL with the reason, or -ENOMEM; nothing is to
 * be freed then. */
int ip_strategy_init(struct ip_strategy *s, const struct dynamic_ip_strategy *options,
		     struct weir_error *e);
void ip_strategy_free(struct ip_strategy *s);

/** The client's address. Returns false if the field does not hold one where it should. */
bool ip_strategy_address(const struct ip_strategy *s, const struct exchange *x,
			 struct address *address);

/** What X-Forwarded-For (its first line) says by depth or exclusion; empty: nothing. Borrowed. */
slice ip_strategy_pick(const struct ip_strategy *s, slice forwarded_for);

#endif
