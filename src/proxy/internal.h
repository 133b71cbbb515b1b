/*
 * Services that exist without configuration, name@internal, and the routers that lead to them.
 */
#ifndef PROXY_INTERNAL_H
#define PROXY_INTERNAL_H

#include <stdatomic.h>

#include "config/static.h"
#include "http/middleware.h"

/* X(NAME, name of service and router, rule of the router) */
#define INTERNAL_SERVICES(X) \
	X(PING, "ping@internal", "PathPrefix(`/ping`)") \
	X(PROMETHEUS, "prometheus@internal", "PathPrefix(`/metrics`)")

enum internal_service {
#define X(name, text, rule) INTERNAL_##name,
	INTERNAL_SERVICES(X)
#undef X
		INTERNAL_SERVICE_COUNT
};

/** Their names, for `dynamic_link`. */
extern const slice internal_service_names[INTERNAL_SERVICE_COUNT];

/** The rule of the router that exists without configuration. */
slice internal_service_rule(enum internal_service which);

/** Whether the configuration wants the service at all. */
bool internal_service_wanted(enum internal_service which, const struct static_config *config);

/**
 * The entry point on which a router of the process's own leads to the service; empty if there is no
 * such router.
 */
slice internal_service_entry_point(enum internal_service which, const struct static_config *config);

/** Answers 200 OK, or `terminating_status` once `*terminating` is set (Traefik: ping). */
struct ping_service {
	struct service service; /* first */
	const _Atomic bool *terminating;
	int terminating_status;
};

/** `terminating` outlives the service. */
void ping_service_init(struct ping_service *p, const _Atomic bool *terminating,
		       int terminating_status);

/** A service that nobody will call, where a configuration is only looked at. */
void internal_service_init_unused(struct service *s, enum internal_service which);

#endif
