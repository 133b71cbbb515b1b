/*
 * Absolute URLs as they stand in a configuration: `scheme://host[:port][/path][?query]`.
 */
#ifndef NET_URL_H
#define NET_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"
#include "core/slice.h"
#include "core/str.h"

/** The parts of a URL, borrowed from its text. */
struct url {
	slice scheme;    /* as written; compare with slice_equal_nocase */
	slice authority; /* host[:port] as written, without user information */
	slice host;      /* brackets of an IPv6 literal removed */
	uint16_t port;   /* of the URL, else the default of its scheme, else 0 */
	bool has_port;   /* the text names one */
	slice userinfo;
	slice path; /* escaped; may be empty */
	slice query;
	bool has_query;
};

/**
 * Splits an absolute URL with a host. Returns 0, or -EINVAL with a text that names the URL and the
 * fault, or -ERANGE if nothing is wrong but that the port is too large: the parts are there, and
 * the port is 0. Percent-encoding in the path must be valid.
 */
int url_parse(slice text, struct url *u, struct weir_error *e);

/**
 * Appends a text with `xxxx` in place of the user information of each URL in it, for all that
 * people read: files, logs, messages. If all of the text is a URL that cannot be parsed, for a
 * password with a "/" in it, that is all up to the last "@". The text must not be escaped yet.
 */
void url_add_hidden(struct str *out, slice text);

/** Whether `s` holds a control character. */
bool url_has_controls(slice s);

/** Whether two hexadecimal digits follow every `%`. */
bool url_percent_is_valid(slice s);

/** http, ws, h2c: 80; https, wss: 443; others 0. */
uint16_t url_default_port(slice scheme);

#endif
