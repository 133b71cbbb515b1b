/*
 * The proxy as a whole, seen from the control thread: start, take new configurations, drain, end.
 */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include "config/dynamic.h"
#include "config/static.h"
#include "net/loop.h"
#include "net/socket_set.h"
#include "proxy/internal.h"

struct access_sink;
struct proxy;

/** Called on the control loop when the proxy has ended its last connection. */
typedef void proxy_drained_fn(void *context);

/**
 * Opens the entry points, for which it takes what fits from `inherited` (NULL: nothing), reads the
 * plugins, starts the workers. Connections are accepted from `proxy_accept` or the first
 * configuration on: until then they wait in the kernel's queue. `control` is the calling thread's
 * loop; `config` and `control` outlive the proxy. Returns 0 or a negative errno value with
 * everything undone.
 */
int proxy_create(struct proxy **proxy, struct loop *control, const struct static_config *config,
		 struct socket_set *inherited, struct weir_error *e);

/** Connections are accepted although there is no configuration. Once. Control thread. */
void proxy_accept(struct proxy *p);

/**
 * Serves an internal service that is not the proxy's own; it outlives the proxy. Control thread,
 * before the first configuration.
 */
void proxy_set_internal(struct proxy *p, enum internal_service which, struct service *service);

/**
 * Tells the sink of requests that are over; it outlives the proxy. Control thread, before the
 * first configuration.
 */
void proxy_set_access(struct proxy *p, struct access_sink *sink);

/**
 * Merges and settles a gathered configuration (`dynamic_gather`, `internal_settle`; a reference is
 * taken), builds a generation of it, all of that off all loops, and publishes it. While one is
 * being built, only the newest of later ones is remembered. Control thread.
 */
void proxy_apply(struct proxy *p, struct dynamic_config *config);

/** Builds the current configuration anew, with the files that plugins have now. Control thread. */
void proxy_rebuild(struct proxy *p);

/** Whether a configuration has been published. Control thread. */
bool proxy_is_ready(const struct proxy *p);

/** Calls `ready` once, when the first configuration has been published. Control thread. */
void proxy_on_ready(struct proxy *p, void (*ready)(void *context), void *context);

/**
 * From now on ping says so and configurations are ignored; entry points drain within their grace
 * times; then `drained` is called. Once. Control thread.
 */
void proxy_drain(struct proxy *p, proxy_drained_fn *drained, void *context);

/**
 * Ends connections that are left at once, waits for a build in progress, ends the workers and frees
 * everything. Runs the control loop meanwhile. NULL is allowed in `*proxy`. Control thread.
 */
void proxy_destroy(struct proxy **proxy);

#endif
