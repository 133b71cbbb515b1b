/*
 * rest@internal: reads what is put to the provider `rest` and hands it to the control thread.
 */
#ifndef API_REST_H
#define API_REST_H

#include "config/static.h"
#include "net/loop.h"
#include "provider/provider.h"

struct proxy;
struct rest;

/**
 * Has the proxy serve the service. Control thread, before the first configuration; `aggregator`
 * lives until `rest_stop`, `control` as long as the proxy. Returns 0 or -ENOMEM.
 */
int rest_create(struct rest **made, struct proxy *proxy, const struct static_config *config,
		struct loop *control, struct aggregator *aggregator, struct weir_error *e);

/** Takes nothing any more: 503. Control thread. NULL is allowed. */
void rest_stop(struct rest *rest);

/** After the proxy was destroyed. NULL is allowed in `*rest`. */
void rest_destroy(struct rest **rest);

#endif
