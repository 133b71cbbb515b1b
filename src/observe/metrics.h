/*
 * prometheus@internal: answers scrapes. The text is written on a thread of its own, so that no
 * request waits for it; scrapes that come meanwhile share the next text.
 */
#ifndef OBSERVE_METRICS_H
#define OBSERVE_METRICS_H

#include "config/static.h"
#include "core/error.h"

struct access_log;
struct metrics;
struct proxy;

/**
 * Starts the thread and has the proxy serve the service. `log` (NULL: none) lives as long. Control
 * thread, before the first configuration. Returns 0 or a negative errno value.
 */
int metrics_create(struct metrics **metrics, struct proxy *proxy, const struct access_log *log,
		   const struct static_config *config, struct weir_error *e);

/**
 * Answers those who wait and ends the thread; later scrapes get 503. Before the proxy is destroyed.
 * NULL is allowed.
 */
void metrics_stop(struct metrics *metrics);

/** After the proxy was destroyed. NULL is allowed in `*metrics`. */
void metrics_destroy(struct metrics **metrics);

#endif
