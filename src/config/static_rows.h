/*
 * Tables of Traefik's static options that weir reads but does not act on yet. Whoever implements
 * one gives its rows a structure (OPT_... instead of ROW) and takes the status off the row that
 * refers to it.
 */
#ifndef CONFIG_STATIC_ROWS_H
#define CONFIG_STATIC_ROWS_H

#include "config/option.h"

/* Below an object that has a status of its own. */
#define ROW(key, TYPE, initial_) OPT_NOWHERE(key, TYPE, ACCEPTED, initial_, NULL)
/* A password or the like of something that weir has not. */
#define ROW_SECRET(key, TYPE) \
	{ \
		.name = (key), .type = OPTION_##TYPE, .status = ACCEPTED, \
		.flags = OPTION_NOWHERE | OPTION_SECRET \
	}
#define TABLE(key, TYPE, rows, flags_) OPT_NOWHERE_TABLE(key, TYPE, IMPLEMENTED, rows, flags_, NULL)
#define ROW_REMOVED(key, hint_) \
	{ \
		.name = (key), .type = OPTION_FREE, .status = REMOVED, .flags = OPTION_NOWHERE, \
		.hint = (hint_) \
	}

extern const struct option client_tls_rows[];
extern const struct option log_otlp_rows[];

/* By root key. */
extern const struct option providers_rows[];
extern const struct option metrics_rows[];
extern const struct option tracing_rows[];
extern const struct option access_log_rows[];
extern const struct option certificates_resolver_rows[];
extern const struct option entry_point_rows[];
/* A part of it. */
extern const struct option unix_socket_rows[];

#endif
