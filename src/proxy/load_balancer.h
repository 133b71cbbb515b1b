/*
 * The loadBalancer service: chooses a server and forwards the exchange to it.
 */
#ifndef PROXY_LOAD_BALANCER_H
#define PROXY_LOAD_BALANCER_H

#include "http/exchange.h"
#include "http/upstream.h"
#include "proxy/balancer.h"
#include "proxy/series.h"
#include "proxy/turn_registry.h"

struct server {
	struct upstream *upstream; /* one reference */
	slice host;                /* host[:port], for the Host field without passHostHeader */
	slice path;                /* of the URL, with preservePath; else empty */
	slice url;                 /* as configured, for logs */
};

#define LOAD_BALANCER_MAGIC 0x6c6f6164u

/** Lives in its generation's arena; immutable but for the balancer's position. */
struct load_balancer {
	struct service service; /* first */
	uint32_t magic;
	bool pass_host_header;
	struct series_group *series; /* one reference; NULL: not counted */
	size_t count;
	struct server *servers;
	struct balancer balancer;
	struct turn *turn; /* one reference; NULL: the balancer has its own position */
};

extern const struct service_class load_balancer_class;

/** Releases the servers' endpoints. */
void load_balancer_release(struct load_balancer *b);

#endif
