/*
 * Services that exist without configuration, name@internal, and the routers that lead to them.
 */
#ifndef PROXY_INTERNAL_H
#define PROXY_INTERNAL_H

#include <stdatomic.h>

#include "config/dynamic.h"
#include "config/static.h"
#include "http/middleware.h"

/* X(NAME, name) */
#define INTERNAL_SERVICES(X) \
	X(API, "api") \
	X(DASHBOARD, "dashboard") \
	X(NOOP, "noop") \
	X(PING, "ping") \
	X(PROMETHEUS, "prometheus") \
	X(REST, "rest")

enum internal_service {
#define X(name, text) INTERNAL_##name,
	INTERNAL_SERVICES(X)
#undef X
		INTERNAL_SERVICE_COUNT
};

/** Their names with the provider ("ping@internal"), for `dynamic_link`. */
extern const slice internal_service_names[INTERNAL_SERVICE_COUNT];

/** Whether the configuration wants the service at all. */
bool internal_service_wanted(enum internal_service which, const struct static_config *config);

/**
 * Makes the merged configuration `d` complete, on its first call, for the static one `c`: adds the
 * process's own routers, gives routers what their entry points add, follows references. Returns 0
 * or -ENOMEM.
 */
int internal_settle(struct dynamic_config *d, const struct static_config *c);

/** Answers 200 OK, or `terminating_status` once `*terminating` is set (Traefik: ping). */
struct ping_service {
	struct service service; /* first */
	const _Atomic bool *terminating;
	int terminating_status;
};

/** `terminating` outlives the service. */
void ping_service_init(struct ping_service *p, const _Atomic bool *terminating,
		       int terminating_status);

/** Where a redirection stands in front of it, as in Traefik: answers 418. */
void noop_service_init(struct service *s);

/** A service that nobody will call, where a configuration is only looked at. */
void internal_service_init_unused(struct service *s, enum internal_service which);

#endif
