/*
 * HTTP/1 syntax (RFC 9112), strict: message heads, chunked bodies, serialisation. Knows no sockets.
 * Everything that two recipients could understand differently is refused.
 */
#ifndef HTTP_H1_H
#define HTTP_H1_H

#include "core/str.h"
#include "http/message.h"

struct h1_limits {
	size_t head_bytes_max; /* start line and fields, final empty line included */
	size_t fields_max;     /* field lines */
	size_t target_bytes_max;
};

/**
 * What a parse step found. Negative values are errors; `h1_error_status` gives the answer to send.
 */
enum h1_result {
	H1_DONE = 0,
	H1_MORE = 1,
	H1_BAD_SYNTAX = -1,      /* 400 */
	H1_BAD_FRAMING = -2,     /* 400: lengths or codings that contradict each other */
	H1_BAD_HOST = -3,        /* 400 */
	H1_HEAD_TOO_LARGE = -4,  /* 431: too many bytes or lines in a header or trailer section */
	H1_TARGET_TOO_LONG = -5, /* 414 */
	H1_BAD_VERSION = -6,     /* 505 */
	H1_BAD_CODING = -7,      /* 501: a transfer coding other than chunked */
	H1_NO_MEMORY = -8,       /* 503: the exchange's arena is full */
};

/** The status to answer an error with; for negative results only. */
int h1_error_status(enum h1_result r);

/** One line for the log. Static. */
const char *h1_error_text(enum h1_result r);

/**
 * Parses one request head at the start of `bytes`. Slices of `*request` point into `bytes`, or to
 * static text ("/" for the empty path of an absolute target, the canonical name of a known field);
 * the field array comes from `arena`. `scanned` is 0 on the first call for a head and kept by the
 * caller between calls that gave H1_MORE (`bytes` may have moved, but only have grown), so that no
 * byte is searched twice for the end of the head; `*request` means nothing until H1_DONE. A mistake
 * is reported as soon as it is seen, at the latest when its line is complete. On H1_DONE
 * `*head_bytes` is the length of the head. Empty lines before the request line are skipped and
 * counted (at most 2, RFC 9112 section 2.2).
 *
 * An absolute target overrides Host (RFC 9112 section 3.2.2): the Host line, if there is one, then
 * has the target's authority as value. Repeated equal Content-Length lines become one.
 */
enum h1_result h1_parse_request(struct request *request, struct arena *arena, slice bytes,
				const struct h1_limits *limits, size_t *scanned,
				size_t *head_bytes);

/**
 * The same for a response to a request with `method`; framing follows RFC 9112 section 6.3. 1xx
 * heads are returned like others.
 */
enum h1_result h1_parse_response(struct response *response, struct arena *arena, slice bytes,
				 enum method method, const struct h1_limits *limits,
				 size_t *scanned, size_t *head_bytes);

/**
 * Moves all slices of a message that point into `from` (the bytes it was parsed from) to the copy
 * at `to`; others stay.
 */
void h1_rebase_request(struct request *request, slice from, const char *to);
void h1_rebase_response(struct response *response, slice from, const char *to);

/**
 * Decoder of a chunked body. Lifetime: `(struct h1_chunked){0}`, with the limit if it is not the
 * default, to `h1_chunked_free`. A chunk-size line has at most 4 KiB, and chunks must not be much
 * smaller than their framing all the time.
 */
struct h1_chunked {
	int state;
	uint64_t left;            /* bytes of the current chunk still to come */
	size_t line_bytes;        /* of the current chunk-size line */
	uint64_t overhead_bytes;  /* of chunk-size lines, less what the data made up for */
	size_t trailer_bytes_max; /* 0: 64 KiB */
	struct str trailer;       /* raw trailer section, kept until it is complete */
};

/**
 * Takes the next step: consumes bytes from the front of `*bytes` and either gives a piece of the
 * body (`*data`, pointing into `*bytes`, H1_DONE with `data->n > 0`), or asks for more (H1_MORE),
 * or reports the end (H1_DONE with `data->n == 0`), or an error. At the end `trailers` (which may
 * be NULL: discard) has the trailer fields appended, copied into its arena; `*bytes` is what
 * follows the body. Names that must not be in trailers (RFC 9110 section 6.5.1: framing, routing,
 * authentication) are dropped. After an error `trailers` is as before; after the end and after an
 * error, further calls repeat that and consume nothing.
 */
enum h1_result h1_chunked_next(struct h1_chunked *c, slice *bytes, slice *data,
			       struct fields *trailers);

/** Drops a trailer section that is not complete. Harmless on a finished or zeroed decoder. */
void h1_chunked_free(struct h1_chunked *c);

/** Bytes that the functions below write, so that the caller can provide room. */
size_t h1_request_bytes(const struct request *request, slice target);
size_t h1_response_bytes(const struct response *response);

/**
 * Writes a request head to `to` and returns its end. `target` is what stands in the request line.
 * Fields are written in order and as they are: the caller has already removed and added what the
 * hop needs. The version is HTTP/1.1.
 */
char *h1_write_request(char *to, const struct request *request, slice target);

/** The same for a response; an empty reason is filled in from `status_text`. */
char *h1_write_response(char *to, const struct response *response);

/** Writes the chunk-size line for `n` bytes (at most 18 bytes) and returns its end. */
char *h1_write_chunk_size(char *to, uint64_t n);

#endif
