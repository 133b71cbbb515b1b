/*
 * The access log: formats lines on the worker that has served the request, and hands them to a
 * thread that writes them.
 */
#ifndef OBSERVE_ACCESS_LOG_H
#define OBSERVE_ACCESS_LOG_H

#include "observe/line_writer.h"

struct access_log;
struct proxy;
struct static_config;

/**
 * Opens the log of `accessLog` and has the proxy tell it of requests. Control thread, before the
 * first configuration. Returns 0, or a negative errno value with `e` filled in.
 */
int access_log_create(struct access_log **log, struct proxy *proxy,
		      const struct static_config *config, struct weir_error *e);

/** As `line_writer_reopen`. NULL is allowed. */
void access_log_reopen(struct access_log *log);

/** What was written and lost. Any thread. */
void access_log_counters(const struct access_log *log, struct line_writer_counters *sums);

/** After the proxy was destroyed: writes what waits. NULL is allowed in `*log`. */
void access_log_destroy(struct access_log **log);

#endif
