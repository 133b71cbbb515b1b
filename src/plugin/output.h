/*
 * What guests say: bounded, and passed to the embedder's log.
 */
#ifndef PLUGIN_OUTPUT_H
#define PLUGIN_OUTPUT_H

#include "plugin/instance.h"

#define OUTPUT_LINE_MAX_BYTES 4096

/** Passes on one line, or counts it as left out past the limit of the exchange. */
void output_line(struct instance *i, enum weir_log_source source, enum weir_log_level level,
		 slice line);

/** Begins a new account of lines. */
void output_restart(struct instance *i);

/** Says how many lines were left out since the last `output_restart`, if any. */
void output_finish(struct instance *i);

/** Makes what a guest may have written fit for one line: control characters become spaces. */
void output_flatten(char *text);

/** Whether the embedder would write lines of that level. */
bool output_enabled(const struct instance *i, enum weir_log_level level);

/** A line of the host about a plugin. */
void output_note(const struct weir_plugin *p, enum weir_log_level level, const char *format, ...)
	PRINTF_LIKE(3, 4);

/** A line of the host about none of its plugins. */
void output_host(const struct weir_host_options *options, enum weir_log_level level,
		 const char *format, ...) PRINTF_LIKE(3, 4);

#endif
