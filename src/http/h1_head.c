#include <string.h>

#include "core/base.h"
#include "http/h1_private.h"
#include "http/h1_scan.h"

/* Empty lines that are ignored before a request line. */
#define EMPTY_LINES_MAX 2

int h1_error_status(enum h1_result r)
{
	switch (r) {
	case H1_HEAD_TOO_LARGE:
		return 431;
	case H1_TARGET_TOO_LONG:
		return 414;
	case H1_BAD_VERSION:
		return 505;
	case H1_BAD_CODING:
		return 501;
	case H1_NO_MEMORY:
		return 503;
	case H1_BAD_SYNTAX:
	case H1_BAD_FRAMING:
	case H1_BAD_HOST:
		return 400;
	case H1_DONE:
	case H1_MORE:
		break;
	}
	must_not_reach("status asked for a result that is not an error");
}

const char *h1_error_text(enum h1_result r)
{
	switch (r) {
	case H1_DONE:
		return "complete";
	case H1_MORE:
		return "incomplete";
	case H1_BAD_SYNTAX:
		return "start line, field line or chunk does not follow RFC 9112";
	case H1_BAD_FRAMING:
		return "Content-Length and Transfer-Encoding do not give one certain body length";
	case H1_BAD_HOST:
		return "Host is missing, repeated or not host[:port]";
	case H1_HEAD_TOO_LARGE:
		return "header or trailer section is larger than the limit";
	case H1_TARGET_TOO_LONG:
		return "request target is longer than the limit";
	case H1_BAD_VERSION:
		return "protocol version is not HTTP/1.x";
	case H1_BAD_CODING:
		return "transfer coding is not chunked";
	case H1_NO_MEMORY:
		return "memory limit of the exchange is reached";
	}
	return "unknown result";
}

/* Compares with a shape in which '0' stands for a digit and every other byte for itself. */
static enum h1_result match_shape(const char *p, const char *end, const char *shape)
{
	for (; *shape != '\0'; p++, shape++) {
		if (p == end)
			return H1_MORE;
		if (*shape == '0' ? !ascii_digit(*p) : *p != *shape)
			return H1_BAD_SYNTAX;
	}
	return H1_DONE;
}

/*
 * "HTTP/x.y" at `p`, whose shape is known to be right. A higher minor version is a 1.1 sender that
 * knows more.
 */
static enum h1_result version_at(const char *p, enum http_version *version)
{
	if (p[5] != '1')
		return H1_BAD_VERSION;
	*version = p[7] == '0' ? HTTP_1_0 : HTTP_1_1;
	return H1_DONE;
}

static enum h1_result match_line_end(const char **at, const char *end)
{
	const char *p = *at;

	if (end - p >= 2 && p[0] == '\r' && p[1] == '\n') {
		*at = p + 2;
		return H1_DONE;
	}
	return p == end || (p[0] == '\r' && end - p == 1) ? H1_MORE : H1_BAD_SYNTAX;
}

static enum h1_result parse_request_line(const char **at, const char *end,
					 const struct h1_limits *limits, struct request *r)
{
	const char *p = *at;
	const char *stop = scan_class(p, end, CHAR_TOKEN);
	enum h1_result result;

	if (stop == end)
		return H1_MORE;
	if (stop == p || *stop != ' ')
		return H1_BAD_SYNTAX;
	r->method = slice_of(p, (size_t)(stop - p));

	p = stop + 1;
	stop = scan_target(p, end);
	if ((size_t)(stop - p) > limits->target_bytes_max)
		return H1_TARGET_TOO_LONG;
	if (stop == end)
		return H1_MORE;
	if (stop == p || *stop != ' ')
		return H1_BAD_SYNTAX;
	r->target = slice_of(p, (size_t)(stop - p));

	p = stop + 1;
	result = match_shape(p, end, "HTTP/0.0\r\n");
	if (result != H1_DONE)
		return result;
	*at = p + 10;
	return version_at(p, &r->version);
}

static enum h1_result parse_status_line(const char **at, const char *end, struct response *r)
{
	const char *p = *at, *stop;
	enum h1_result result = match_shape(p, end, "HTTP/0.0 000");

	if (result != H1_DONE)
		return result;
	result = version_at(p, &r->version);
	if (result != H1_DONE)
		return result;
	r->status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
	if (r->status < 100)
		return H1_BAD_SYNTAX;
	stop = p += 12;
	if (p < end && *p == ' ')
		stop = scan_value(++p, end);
	r->reason = slice_of(p, (size_t)(stop - p));
	*at = stop;
	return match_line_end(at, end);
}

enum h1_result h1_parse_field(const char **at, const char *end, struct field *field)
{
	const char *p = *at;
	const char *stop = scan_name(p, end);
	enum h1_result result;

	field->name = slice_of(p, (size_t)(stop - p));
	if (stop == end)
		return stop == p || field_is_token(field->name) ? H1_MORE : H1_BAD_SYNTAX;
	if (stop == p || *stop != ':')
		return H1_BAD_SYNTAX;
	field->id = field_id_of(field->name);
	if (field->id == FIELD_OTHER && !field_is_token(field->name))
		return H1_BAD_SYNTAX;

	p = stop + 1;
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	stop = scan_value(p, end);
	*at = stop;
	result = match_line_end(at, end);
	while (stop > p && (stop[-1] == ' ' || stop[-1] == '\t'))
		stop--;
	field->value = slice_of(p, (size_t)(stop - p));
	return result;
}

static enum h1_result parse_field_lines(const char **at, const char *end, size_t fields_max,
					struct fields *f)
{
	enum h1_result result;

	while (*at < end && **at != '\r') {
		struct field *line;

		if (f->count >= fields_max)
			return H1_HEAD_TOO_LARGE;
		if (UNLIKELY(f->count == f->capacity) && fields_grow(f) != 0)
			return H1_NO_MEMORY;
		line = &f->list[f->count];
		result = h1_parse_field(at, end, line);
		if (result != H1_DONE)
			return result;
		f->present |= FIELD_BIT(line->id);
		f->count++;
	}
	return match_line_end(at, end);
}

static enum h1_result skip_empty_lines(const char **at, const char *end)
{
	for (int lines = 0; *at < end && **at == '\r'; lines++) {
		enum h1_result result = match_line_end(at, end);

		if (result != H1_DONE)
			return result;
		if (lines == EMPTY_LINES_MAX)
			return H1_BAD_SYNTAX;
	}
	return H1_DONE;
}

static enum h1_result parse_request_head(struct request *r, slice in,
					 const struct h1_limits *limits, size_t *head_bytes)
{
	const char *p = in.p, *end = in.p + in.n;
	enum h1_result result = skip_empty_lines(&p, end);

	if (result == H1_DONE)
		result = parse_request_line(&p, end, limits, r);
	if (result == H1_DONE)
		result = parse_field_lines(&p, end, limits->fields_max, &r->fields);
	if (result != H1_DONE)
		return result;
	*head_bytes = (size_t)(p - in.p);
	return h1_judge_request(r);
}

static enum h1_result parse_response_head(struct response *r, slice in, enum method method,
					  const struct h1_limits *limits, size_t *head_bytes)
{
	const char *p = in.p, *end = in.p + in.n;
	enum h1_result result = parse_status_line(&p, end, r);

	if (result == H1_DONE)
		result = parse_field_lines(&p, end, limits->fields_max, &r->fields);
	if (result != H1_DONE)
		return result;
	*head_bytes = (size_t)(p - in.p);
	return h1_judge_response(r, method);
}

/*
 * Whether `line`, which is complete, can be a line of a head that goes on, so not an empty one. The
 * start line is the one with nothing but line ends before it.
 */
static bool line_is_valid(slice in, slice line, const struct h1_limits *request_limits)
{
	const char *p = line.p, *end = line.p + line.n;
	size_t offset = (size_t)(line.p - in.p);
	enum h1_result result;

	if (offset > 2 * EMPTY_LINES_MAX) {
		struct field field;

		result = h1_parse_field(&p, end, &field);
	} else if (request_limits != NULL) {
		struct request scratch;

		result = parse_request_line(&p, end, request_limits, &scratch);
	} else {
		struct response scratch;

		result = parse_status_line(&p, end, &scratch);
	}
	return result == H1_DONE && p == end;
}

/*
 * Whether another parse of the whole head would find anything but H1_MORE. Only lines that got
 * complete in the bytes from `scanned` on are looked at, so that a head that comes byte by byte
 * costs linear time, and mistakes are still answered at the end of their line. (A parse more than
 * needed does no harm, but it must not depend on the sender how often.)
 */
static bool worth_parsing(slice in, size_t scanned, const struct h1_limits *request_limits)
{
	const char *end = in.p + in.n;
	const char *line_end = memchr(in.p + scanned, '\n', in.n - scanned);
	const char *line = line_end != NULL ? memrchr(in.p, '\n', scanned) : NULL;

	line = line != NULL ? line + 1 : in.p;
	while (line_end != NULL) {
		slice whole = slice_of(line, (size_t)(line_end + 1 - line));

		if (!line_is_valid(in, whole, request_limits))
			return true;
		line = line_end + 1;
		line_end = memchr(line, '\n', (size_t)(end - line));
	}
	return false;
}

/*
 * The bytes that may belong to the head; false if there is nothing new to find in them. A head that
 * fills its limit is always parsed, since its last line may hold the better reason to refuse it.
 */
static bool begin_parse(slice bytes, const struct h1_limits *limits, size_t *scanned,
			const struct h1_limits *request_limits, slice *in)
{
	must(*scanned <= bytes.n);
	*in = slice_first(bytes, limits->head_bytes_max);
	if (*scanned == 0 || in->n == limits->head_bytes_max ||
	    worth_parsing(*in, *scanned, request_limits))
		return true;
	*scanned = in->n;
	return false;
}

static enum h1_result end_parse(enum h1_result result, slice in, const struct h1_limits *limits,
				size_t *scanned)
{
	if (result != H1_MORE)
		return result;
	*scanned = in.n;
	return in.n == limits->head_bytes_max ? H1_HEAD_TOO_LARGE : H1_MORE;
}

enum h1_result h1_parse_request(struct request *request, struct arena *arena, slice bytes,
				const struct h1_limits *limits, size_t *scanned, size_t *head_bytes)
{
	enum h1_result result;
	slice in;

	if (!begin_parse(bytes, limits, scanned, limits, &in))
		return H1_MORE;
	*request = (struct request){.method_id = METHOD_OTHER};
	fields_init(&request->fields, arena);
	result = parse_request_head(request, in, limits, head_bytes);
	return end_parse(result, in, limits, scanned);
}

enum h1_result h1_parse_response(struct response *response, struct arena *arena, slice bytes,
				 enum method method, const struct h1_limits *limits,
				 size_t *scanned, size_t *head_bytes)
{
	enum h1_result result;
	slice in;

	if (!begin_parse(bytes, limits, scanned, NULL, &in))
		return H1_MORE;
	*response = (struct response){.status = 0};
	fields_init(&response->fields, arena);
	result = parse_response_head(response, in, method, limits, head_bytes);
	return end_parse(result, in, limits, scanned);
}
