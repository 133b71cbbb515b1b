/*
 * The process log, in Traefik's formats: one line per call, written whole. Any thread.
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base.h"
#include "core/slice.h"

/* X(NAME, traefik name, console tag) */
#define LOG_LEVELS(X) \
	X(TRACE, "trace", "TRC") \
	X(DEBUG, "debug", "DBG") \
	X(INFO, "info", "INF") \
	X(WARN, "warn", "WRN") \
	X(ERROR, "error", "ERR") \
	X(FATAL, "fatal", "FTL") \
	X(PANIC, "panic", "PNC")

enum log_level {
#define X(name, text, tag) LOG_##name,
	LOG_LEVELS(X)
#undef X
		LOG_LEVEL_COUNT
};

enum log_format { LOG_COMMON, LOG_JSON };

/** A key and a value that go with a message; `key` is a plain identifier. */
struct log_field {
	const char *key;
	enum { LOG_FIELD_TEXT, LOG_FIELD_INTEGER } type;
	slice text;
	int64_t integer;
};

#define LOG_TEXT(k, s) ((struct log_field){.key = (k), .type = LOG_FIELD_TEXT, .text = (s)})
#define LOG_STRING(k, s) LOG_TEXT(k, slice_from(s))
#define LOG_INTEGER(k, v) \
	((struct log_field){.key = (k), .type = LOG_FIELD_INTEGER, .integer = (int64_t)(v)})
/** The text of a `struct weir_error *`, under Traefik's key. */
#define LOG_CAUSE(e) LOG_STRING("error", (e)->text)

struct log_options {
	enum log_level level;
	enum log_format format;
	bool color;            /* console format only */
	const char *file_path; /* NULL: standard output */
	/* A file that would grow beyond `rotate_bytes` (0: any size) is moved aside. Of such
	 * backups the newest `backups_max` (0: all) that are not older than `backup_age_s` (0: any
	 * age) stay.
	 */
	uint64_t rotate_bytes;
	unsigned backups_max;
	uint64_t backup_age_s;
};

/**
 * Replaces the settings; before the first call everything from LOG_ERROR up goes to standard error.
 * Returns 0, or a negative errno value with the settings unchanged when the file cannot be opened.
 * Control thread.
 */
int log_configure(const struct log_options *options);

/** Opens the file again under its name, after somebody has moved it away. Returns as
 * `log_configure`. */
int log_reopen(void);

/** Whether a line of that level would be written; cheap enough to ask before formatting. */
bool log_enabled(enum log_level level);

/** Lines that could not be written (disk full, reader gone) since the start. */
uint64_t log_lost_lines(void);

/** Writes one line if `level` is enabled. Control characters and bytes that are not UTF-8 are
 * escaped in messages and values. A line is cut at 16 KiB or so. */
void log_write(enum log_level level, const struct log_field *fields, size_t count,
	       const char *format, ...) PRINTF_LIKE(4, 5);

#define LOG_WITH(level, fields, ...) \
	do { \
		if (log_enabled(level)) { \
			const struct log_field log_fields_[] = {LOG_UNPACK fields}; \
			log_write(level, log_fields_, ARRAY_LEN(log_fields_), __VA_ARGS__); \
		} \
	} while (0)
#define LOG_UNPACK(...) __VA_ARGS__

/* log_warn_with((LOG_STRING("routerName", name), LOG_CAUSE(&error)), "Router is disabled"); */
#define log_debug_with(fields, ...) LOG_WITH(LOG_DEBUG, fields, __VA_ARGS__)
#define log_info_with(fields, ...) LOG_WITH(LOG_INFO, fields, __VA_ARGS__)
#define log_warn_with(fields, ...) LOG_WITH(LOG_WARN, fields, __VA_ARGS__)
#define log_error_with(fields, ...) LOG_WITH(LOG_ERROR, fields, __VA_ARGS__)

#define LOG_PLAIN(level, ...) \
	do { \
		if (log_enabled(level)) \
			log_write(level, NULL, 0, __VA_ARGS__); \
	} while (0)
#define log_debug(...) LOG_PLAIN(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) LOG_PLAIN(LOG_INFO, __VA_ARGS__)
#define log_warn(...) LOG_PLAIN(LOG_WARN, __VA_ARGS__)
#define log_error(...) LOG_PLAIN(LOG_ERROR, __VA_ARGS__)

/** The level of that name (any case), or -1. */
int log_level_from(slice name);

#endif
