/*
 * The limits of plugins and their defaults.
 */
#ifndef PLUGIN_LIMITS_H
#define PLUGIN_LIMITS_H

#include "weir/plugin.h"

/* X(field of struct weir_limits, default) */
#define LIMITS(X) \
	X(memory_bytes, (uint64_t)256 * 1024 * 1024) \
	X(init_ms, 30000) \
	X(call_cpu_ms, 1000) \
	X(exchange_wall_ms, 30000) \
	X(idle_ms, 10000) \
	X(queue_wait_ms, 2000) \
	X(body_bytes, (uint64_t)64 * 1024 * 1024) \
	X(text_bytes, (uint64_t)1024 * 1024) \
	X(instances, 256) \
	X(queue_length, 1024) \
	X(log_lines, 100) \
	X(tables, 8) \
	X(table_elements, 1000000) \
	X(requests, UINT32_MAX) \
	X(age_ms, UINT64_MAX) \
	X(total_bytes, UINT64_MAX) \
	X(circuit_failures, 50) \
	X(start_failures, 5) \
	X(circuit_window_ms, 60000) \
	X(circuit_wait_ms, 1000) \
	X(circuit_wait_max_ms, 30000) \
	X(private_bytes, UINT64_MAX) \
	X(instances_min, 0) \
	X(open_files, 64)

/** Replaces each 0 by the value in `defaults`, or by the default where that is NULL. */
void limits_fill(struct weir_limits *limits, const struct weir_limits *defaults);

#endif
