#include <string.h>

#include "core/base.h"
#include "http/h1_private.h"
#include "http/h1_scan.h"

/* A chunk-size line, extensions and line end included. */
#define SIZE_LINE_BYTES_MAX 4096

/*
 * What framing may cost a sender that cuts its body into very small chunks with long extensions:
 * each chunk earns CHUNK_OVERHEAD_FREE bytes of framing and twice its size, and the rest must stay
 * below the maximum (as in Go's net/http).
 */
#define CHUNK_OVERHEAD_FREE 16
#define OVERHEAD_BYTES_MAX (16 * 1024)

#define TRAILER_BYTES_MAX_DEFAULT (64 * 1024)

enum state {
	SIZE_FIRST, /* the first digit of a chunk size; zero, so that `{0}` starts a decoder */
	SIZE,
	EXTENSION,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER_FIRST, /* the start of a line of the trailer section */
	TRAILER_LINE,
	TRAILER_LF, /* of the empty line that ends the body */
	END,
	BROKEN,
};

/*
 * Fields that change the meaning, the way or the rights of a message must not come after its body
 * (RFC 9110 section 6.5.1).
 */
static const uint64_t forbidden_ids =
	FIELD_BIT(FIELD_AUTHORIZATION) | FIELD_BIT(FIELD_CACHE_CONTROL) |
	FIELD_BIT(FIELD_CONNECTION) | FIELD_BIT(FIELD_CONTENT_ENCODING) |
	FIELD_BIT(FIELD_CONTENT_LENGTH) | FIELD_BIT(FIELD_CONTENT_TYPE) | FIELD_BIT(FIELD_COOKIE) |
	FIELD_BIT(FIELD_EXPECT) | FIELD_BIT(FIELD_FORWARDED) | FIELD_BIT(FIELD_HOST) |
	FIELD_BIT(FIELD_IF_MODIFIED_SINCE) | FIELD_BIT(FIELD_IF_NONE_MATCH) |
	FIELD_BIT(FIELD_KEEP_ALIVE) | FIELD_BIT(FIELD_LOCATION) |
	FIELD_BIT(FIELD_PROXY_AUTHENTICATE) | FIELD_BIT(FIELD_PROXY_AUTHORIZATION) |
	FIELD_BIT(FIELD_PROXY_CONNECTION) | FIELD_BIT(FIELD_RANGE) | FIELD_BIT(FIELD_RETRY_AFTER) |
	FIELD_BIT(FIELD_SET_COOKIE) | FIELD_BIT(FIELD_TE) | FIELD_BIT(FIELD_TRAILER) |
	FIELD_BIT(FIELD_TRANSFER_ENCODING) | FIELD_BIT(FIELD_UPGRADE) | FIELD_BIT(FIELD_VARY) |
	FIELD_BIT(FIELD_WWW_AUTHENTICATE) | FIELD_BIT(FIELD_X_FORWARDED_FOR) |
	FIELD_BIT(FIELD_X_FORWARDED_HOST) | FIELD_BIT(FIELD_X_FORWARDED_METHOD) |
	FIELD_BIT(FIELD_X_FORWARDED_PORT) | FIELD_BIT(FIELD_X_FORWARDED_PREFIX) |
	FIELD_BIT(FIELD_X_FORWARDED_PROTO) | FIELD_BIT(FIELD_X_FORWARDED_SCHEME) |
	FIELD_BIT(FIELD_X_FORWARDED_SERVER) | FIELD_BIT(FIELD_X_FORWARDED_TLS_CLIENT_CERT) |
	FIELD_BIT(FIELD_X_FORWARDED_TLS_CLIENT_CERT_INFO) | FIELD_BIT(FIELD_X_FORWARDED_URI) |
	FIELD_BIT(FIELD_X_REAL_IP) | FIELD_BIT(FIELD_X_SCHEME);

bool h1_trailer_is_forbidden(const struct field *line)
{
	static const slice names[] = {
		{"Content-Range", 13}, {"Max-Forwards", 12}, {"Pragma", 6}, {"Realm", 5}};

	if (line->id != FIELD_OTHER)
		return (forbidden_ids & FIELD_BIT(line->id)) != 0;
	if (slice_equal_nocase(slice_first(line->name, 3), SLICE("If-")))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (slice_equal_nocase(line->name, names[i]))
			return true;
	}
	return false;
}

/*
 * Checks the whole section, of which every line is known to end with CRLF, and adds what may be
 * added.
 */
static enum h1_result parse_trailer(slice section, struct fields *trailers)
{
	const char *p = section.p, *end = section.p + section.n;

	while (p < end) {
		struct field line;
		enum h1_result result = h1_parse_field(&p, end, &line);

		if (result != H1_DONE)
			return H1_BAD_SYNTAX;
		if (trailers == NULL || h1_trailer_is_forbidden(&line))
			continue;
		line.name = arena_copy(trailers->arena, line.name);
		line.value = arena_copy(trailers->arena, line.value);
		if (line.name.p == NULL || line.value.p == NULL ||
		    fields_add_field(trailers, &line) != 0)
			return H1_NO_MEMORY;
	}
	return H1_DONE;
}

static enum h1_result end_trailer(struct h1_chunked *c, struct fields *trailers)
{
	struct fields before = trailers != NULL ? *trailers : (struct fields){0};
	enum h1_result result = H1_DONE;

	if (c->trailer.n > 0)
		result = parse_trailer(str_slice(&c->trailer), trailers);
	if (result != H1_DONE && trailers != NULL)
		*trailers = before;
	str_free(&c->trailer);
	c->state = END;
	return result;
}

/* Keeps bytes of the trailer section up to the end of the current line. */
static enum h1_result keep_trailer(struct h1_chunked *c, slice *bytes)
{
	size_t max = c->trailer_bytes_max != 0 ? c->trailer_bytes_max : TRAILER_BYTES_MAX_DEFAULT;
	size_t at = slice_find(*bytes, '\n');
	bool whole = at < bytes->n;
	size_t n = whole ? at + 1 : at;

	if (n > max - c->trailer.n)
		return H1_HEAD_TOO_LARGE;
	str_add(&c->trailer, slice_first(*bytes, n));
	if (c->trailer.failed)
		return H1_NO_MEMORY;
	*bytes = slice_from_at(*bytes, n);
	if (!whole)
		return H1_MORE;
	/* A line feed of its own must not be taken for part of another line later. */
	if (c->trailer.n < 2 || c->trailer.p[c->trailer.n - 2] != '\r')
		return H1_BAD_SYNTAX;
	c->state = TRAILER_FIRST;
	return H1_DONE;
}

static enum h1_result trailer_step(struct h1_chunked *c, slice *bytes, struct fields *trailers)
{
	switch ((enum state)c->state) {
	case TRAILER_FIRST:
		if (bytes->p[0] != '\r') {
			c->state = TRAILER_LINE;
			return H1_DONE;
		}
		*bytes = slice_from_at(*bytes, 1);
		c->state = TRAILER_LF;
		return H1_DONE;
	case TRAILER_LINE:
		return keep_trailer(c, bytes);
	case TRAILER_LF:
		if (bytes->p[0] != '\n')
			return H1_BAD_SYNTAX;
		*bytes = slice_from_at(*bytes, 1);
		return end_trailer(c, trailers);
	default:
		must_not_reach("not in a trailer section");
	}
}

static enum h1_result add_digit(struct h1_chunked *c, char digit)
{
	int value = ascii_hex(digit);

	/* Sizes stay below 2^63, as Content-Length does. */
	if (value < 0 || c->left >> 59 != 0)
		return H1_BAD_SYNTAX;
	c->left = c->left << 4 | (uint64_t)value;
	return H1_DONE;
}

/* The end of a chunk-size line. */
static enum h1_result begin_chunk(struct h1_chunked *c)
{
	uint64_t earned = c->left < UINT32_MAX ? CHUNK_OVERHEAD_FREE + 2 * c->left : UINT64_MAX;

	c->overhead_bytes += c->line_bytes;
	c->overhead_bytes -= MIN(c->overhead_bytes, earned);
	if (c->overhead_bytes > OVERHEAD_BYTES_MAX)
		return H1_BAD_SYNTAX;
	c->line_bytes = 0;
	c->state = c->left > 0 ? DATA : TRAILER_FIRST;
	return H1_DONE;
}

/* One byte of the framing between pieces of data. */
static enum h1_result framing_step(struct h1_chunked *c, char byte)
{
	switch ((enum state)c->state) {
	case SIZE_FIRST:
		c->left = 0;
		c->state = SIZE;
		return add_digit(c, byte);
	case SIZE:
		if (byte != ';' && byte != '\r')
			return add_digit(c, byte);
		c->state = byte == ';' ? EXTENSION : SIZE_LF;
		return H1_DONE;
	case EXTENSION:
		if (byte == '\r')
			c->state = SIZE_LF;
		return byte == '\r' || char_is(byte, CHAR_VALUE) ? H1_DONE : H1_BAD_SYNTAX;
	case SIZE_LF:
		return byte == '\n' ? begin_chunk(c) : H1_BAD_SYNTAX;
	case DATA_CR:
		c->state = DATA_LF;
		return byte == '\r' ? H1_DONE : H1_BAD_SYNTAX;
	case DATA_LF:
		c->state = SIZE_FIRST;
		return byte == '\n' ? H1_DONE : H1_BAD_SYNTAX;
	default:
		must_not_reach("not between chunks");
	}
}

static enum h1_result framing_steps(struct h1_chunked *c, slice *bytes)
{
	enum h1_result result = H1_DONE;
	size_t n = 0;

	while (result == H1_DONE && n < bytes->n && c->state != DATA && c->state != TRAILER_FIRST) {
		if (c->state <= SIZE_LF && ++c->line_bytes > SIZE_LINE_BYTES_MAX)
			return H1_BAD_SYNTAX;
		result = framing_step(c, bytes->p[n++]);
	}
	*bytes = slice_from_at(*bytes, n);
	return result;
}

static enum h1_result take_data(struct h1_chunked *c, slice *bytes, slice *data)
{
	size_t n = c->left < bytes->n ? (size_t)c->left : bytes->n;

	*data = slice_first(*bytes, n);
	*bytes = slice_from_at(*bytes, n);
	c->left -= n;
	if (c->left == 0)
		c->state = DATA_CR;
	return H1_DONE;
}

enum h1_result h1_chunked_next(struct h1_chunked *c, slice *bytes, slice *data,
			       struct fields *trailers)
{
	enum h1_result result = H1_DONE;

	*data = (slice){NULL, 0};
	while (result == H1_DONE && c->state != END) {
		if (c->state == BROKEN)
			return H1_BAD_SYNTAX;
		if (bytes->n == 0)
			return H1_MORE;
		if (c->state == DATA)
			return take_data(c, bytes, data);
		if (c->state >= TRAILER_FIRST)
			result = trailer_step(c, bytes, trailers);
		else
			result = framing_steps(c, bytes);
	}
	if (result < 0)
		c->state = BROKEN;
	return result;
}

void h1_chunked_free(struct h1_chunked *c)
{
	str_free(&c->trailer);
}
