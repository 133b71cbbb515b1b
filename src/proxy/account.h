/*
 * What is noted of one request while it is served, so that its entry point's and its router's
 * series can count it when it is over.
 */
#ifndef PROXY_ACCOUNT_H
#define PROXY_ACCOUNT_H

#include "http/exchange.h"
#include "proxy/series.h"

struct entry_point;
struct route;

/** In the exchange's arena. */
struct account {
	uint64_t begun_ns;
	struct series_key key; /* without the code */
	const struct series_shape *shape;
};

/** Begins to count if the entry point says so; without memory the request is not counted. */
void account_begin(struct exchange *x, const struct entry_point *p);

/** Nothing of this exchange is counted. */
void account_drop(struct exchange *x);

/** The exchange is over: counts it. `route` is NULL if there was none. */
void account_end(struct exchange *x, const struct entry_point *p, const struct route *route);

/** Counts one answer of a service on the exchange's loop. `group` may be NULL. */
void account_service(struct exchange *x, struct series_group *group, uint16_t code,
		     const struct series_request *request);

#endif
