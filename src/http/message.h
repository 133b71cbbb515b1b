/*
 * The heads of a request and a response, whatever the protocol version they came in.
 */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "http/fields.h"

/* Methods with a meaning to the proxy; every other token is METHOD_OTHER and forwarded as it is. */
#define METHOD_NAMES(X) \
	X(GET) X(HEAD) X(POST) X(PUT) X(DELETE) X(CONNECT) X(OPTIONS) X(TRACE) X(PATCH)

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
	slice authority; /* host[:port] of the target, else of Host; may be empty */
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

/* X(STATUS, "reason phrase as Go's net/http spells it") */
#define STATUS_TEXTS(X) \
	X(100, "Continue") \
	X(101, "Switching Protocols") \
	X(102, "Processing") \
	X(103, "Early Hints") \
	X(200, "OK") \
	X(201, "Created") \
	X(202, "Accepted") \
	X(203, "Non-Authoritative Information") \
	X(204, "No Content") \
	X(205, "Reset Content") \
	X(206, "Partial Content") \
	X(207, "Multi-Status") \
	X(208, "Already Reported") \
	X(226, "IM Used") \
	X(300, "Multiple Choices") \
	X(301, "Moved Permanently") \
	X(302, "Found") \
	X(303, "See Other") \
	X(304, "Not Modified") \
	X(305, "Use Proxy") \
	X(307, "Temporary Redirect") \
	X(308, "Permanent Redirect") \
	X(400, "Bad Request") \
	X(401, "Unauthorized") \
	X(402, "Payment Required") \
	X(403, "Forbidden") \
	X(404, "Not Found") \
	X(405, "Method Not Allowed") \
	X(406, "Not Acceptable") \
	X(407, "Proxy Authentication Required") \
	X(408, "Request Timeout") \
	X(409, "Conflict") \
	X(410, "Gone") \
	X(411, "Length Required") \
	X(412, "Precondition Failed") \
	X(413, "Request Entity Too Large") \
	X(414, "Request URI Too Long") \
	X(415, "Unsupported Media Type") \
	X(416, "Requested Range Not Satisfiable") \
	X(417, "Expectation Failed") \
	X(418, "I'm a teapot") \
	X(421, "Misdirected Request") \
	X(422, "Unprocessable Entity") \
	X(423, "Locked") \
	X(424, "Failed Dependency") \
	X(425, "Too Early") \
	X(426, "Upgrade Required") \
	X(428, "Precondition Required") \
	X(429, "Too Many Requests") \
	X(431, "Request Header Fields Too Large") \
	X(451, "Unavailable For Legal Reasons") \
	X(500, "Internal Server Error") \
	X(501, "Not Implemented") \
	X(502, "Bad Gateway") \
	X(503, "Service Unavailable") \
	X(504, "Gateway Timeout") \
	X(505, "HTTP Version Not Supported") \
	X(506, "Variant Also Negotiates") \
	X(507, "Insufficient Storage") \
	X(508, "Loop Detected") \
	X(510, "Not Extended") \
	X(511, "Network Authentication Required")

/** The method of that exact name (case counts, RFC 9110 section 9.1), or METHOD_OTHER. */
enum method method_of(slice name);

/** Whether there is an expectation that nobody here can meet (RFC 9110 section 10.1.1; as Go's
 * server).
 */
bool request_expects_unknown(const struct request *q);

/** RFC 9110 section 9.2.2. */
bool method_is_idempotent(enum method m);

/** The standard reason phrase, or "" for an unknown status; spelled as Go's net/http does. */
const char *status_text(int status);

/** Whether `s` can name a protocol: printable characters, so that nobody reads another one out of
 * it (as Go's proxy). */
bool protocol_is_printable(slice s);

/**
 * Whether a response with this status to this method has no body by definition (RFC 9110 section
 * 6.4.1).
 */
bool status_has_no_body(int status, enum method m);

#endif
