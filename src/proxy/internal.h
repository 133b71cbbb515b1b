/*
 * Services that the proxy has without configuration: name@internal.
 */
#ifndef PROXY_INTERNAL_H
#define PROXY_INTERNAL_H

#include <stdatomic.h>

#include "http/middleware.h"

/** Answers 200 OK, or `terminating_status` once `*terminating` is set (Traefik: ping). */
struct ping_service {
	struct service service; /* first */
	const _Atomic bool *terminating;
	int terminating_status;
};

#define PING_SERVICE_NAME "ping@internal"

/** `terminating` outlives the service. */
void ping_service_init(struct ping_service *p, const _Atomic bool *terminating,
		       int terminating_status);

#endif
