/*
 * The heads of a request and a response, whatever the protocol version they came in.
 */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "http/fields.h"

/* Methods with a meaning to the proxy; every other token is METHOD_OTHER and forwarded as it is. */
#define METHOD_NAMES(X) X(GET) X(HEAD) X(POST) X(PUT) X(DELETE) X(CONNECT) X(OPTIONS) X(TRACE) X(PATCH)

enum method {
	METHOD_OTHER,
#define X(name) METHOD_##name,
	METHOD_NAMES(X)
#undef X
};

/** How the end of a body is known (RFC 9112 section 6.3). */
enum framing { FRAMING_NONE, FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE };

enum http_version { HTTP_1_0, HTTP_1_1, HTTP_2 };

/** Slices live as long as the exchange: they point into its arena or its first bytes. */
struct request {
	slice method; /* case-sensitive, as received */
	enum method method_id;
	slice target;    /* as received: origin, absolute, authority or asterisk form */
	slice path;      /* of the target, still escaped; "*" for OPTIONS *; empty for CONNECT */
	slice query;     /* without "?" */
	bool has_query;  /* tells "/x?" from "/x" */
	slice authority; /* host[:port] of an absolute target, else the value of Host; may be empty */
	enum http_version version;
	enum framing framing;
	uint64_t content_length; /* with FRAMING_LENGTH */
	bool keep_alive;         /* what the version and Connection say */
	bool expect_continue;
	bool upgrade; /* Connection lists "upgrade" and there is an Upgrade field */
	struct fields fields;
};

struct response {
	int status;
	slice reason;
	enum http_version version;
	enum framing framing;
	uint64_t content_length;
	bool keep_alive;
	struct fields fields;
};

enum method method_of(slice name);

/** RFC 9110 section 9.2.2. */
bool method_is_idempotent(enum method m);

/** The standard reason phrase, or "" for an unknown status; spelled as Go's net/http does. */
const char *status_text(int status);

/** Whether a response with this status to this method has no body by definition (RFC 9110 section 6.4.1). */
bool status_has_no_body(int status, enum method m);

#endif
