/*
 * What the parts of the HTTP/1 parser share. Private to h1_*.c.
 */
#ifndef HTTP_H1_PRIVATE_H
#define HTTP_H1_PRIVATE_H

#include "http/h1.h"

/**
 * Parses one field line at `*at`, line end included, and moves `*at` past it. H1_MORE when the line
 * is not complete; mistakes are reported as soon as they are seen.
 */
enum h1_result h1_parse_field(const char **at, const char *end, struct field *field);

/** What a complete head with valid lines means: target form, host, framing, connection options. */
enum h1_result h1_judge_request(struct request *request);
enum h1_result h1_judge_response(struct response *response, enum method method);

/** Whether a line must not come after the body because it changes the meaning, the way or the
 * rights of the message (RFC 9110 section 6.5.1). */
bool h1_trailer_is_forbidden(const struct field *line);

#endif
