#include <string.h>

#include "http/h1_private.h"
#include "http/h1_scan.h"

static bool is_host(slice s)
{
	return scan_class(s.p, s.p + s.n, CHAR_HOST) == s.p + s.n;
}

/* RFC 9110 section 9.3.6: a host and a port that is neither missing nor out of range. */
static bool is_host_and_port(slice s)
{
	const char *colon = s.n > 0 ? memrchr(s.p, ':', s.n) : NULL;
	uint64_t port;

	if (!is_host(s) || colon == NULL || colon == s.p)
		return false;
	return slice_to_u64(slice_from_at(s, (size_t)(colon + 1 - s.p)), &port) && port > 0 &&
	       port <= 65535;
}

static void split_path(struct request *r, slice rest)
{
	size_t mark = slice_find(rest, '?');

	r->path = slice_first(rest, mark);
	r->has_query = mark < rest.n;
	r->query = slice_from_at(rest, mark + 1);
}

/* Every "%" begins a percent sequence (RFC 3986 section 2.1). */
static bool is_well_escaped(slice s)
{
	for (size_t i = 0; (i += slice_find(slice_from_at(s, i), '%')) < s.n; i += 3) {
		if (s.n - i < 3 || ascii_hex(s.p[i + 1]) < 0 || ascii_hex(s.p[i + 2]) < 0)
			return false;
	}
	return true;
}

/* The authority of a target: unlike in Host, the port consists of digits, and only the zone of an
 * address in brackets holds a "%". */
static bool is_authority(slice s)
{
	size_t colon, end = s.n > 0 && s.p[0] == '[' ? slice_find(s, ']') : 0;

	if (s.n == 0 || !is_host(s))
		return false;
	s = slice_from_at(s, end);
	colon = slice_find(s, ':');
	for (size_t i = colon + 1; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	}
	return slice_find(slice_first(s, colon), '%') >= colon;
}

/* "http://host/path" (RFC 9112 section 3.2.2). */
static enum h1_result judge_absolute_target(struct request *r)
{
	slice t = r->target;
	size_t scheme = slice_find(t, ':');
	size_t authority = scheme + 3, end;

	if (!slice_equal_nocase(slice_first(t, scheme), SLICE("http")) &&
	    !slice_equal_nocase(slice_first(t, scheme), SLICE("https")))
		return H1_BAD_SYNTAX;
	if (!slice_starts(slice_from_at(t, scheme), SLICE("://")))
		return H1_BAD_SYNTAX;
	for (end = authority; end < t.n && t.p[end] != '/' && t.p[end] != '?';)
		end++;
	r->authority = slice_of(t.p + authority, end - authority);
	if (!is_authority(r->authority))
		return H1_BAD_HOST;
	split_path(r, slice_from_at(t, end));
	if (!is_well_escaped(r->path))
		return H1_BAD_SYNTAX;
	if (r->path.n == 0) {
		bool server_wide = r->method_id == METHOD_OPTIONS && !r->has_query;

		r->path = server_wide ? SLICE("*") : SLICE("/");
	}
	return H1_DONE;
}

/* RFC 9112 section 3.2. Sets the authority only if the target holds one. */
static enum h1_result judge_target(struct request *r)
{
	if (r->method_id == METHOD_CONNECT) {
		r->authority = r->target;
		return is_host_and_port(r->target) ? H1_DONE : H1_BAD_HOST;
	}
	if (r->target.p[0] == '/') {
		split_path(r, r->target);
		return is_well_escaped(r->path) ? H1_DONE : H1_BAD_SYNTAX;
	}
	if (slice_equal(r->target, SLICE("*"))) {
		r->path = r->target;
		return r->method_id == METHOD_OPTIONS ? H1_DONE : H1_BAD_SYNTAX;
	}
	return judge_absolute_target(r);
}

/* One valid Host on 1.1, at most one on 1.0; it gives way to an authority in the target. */
static enum h1_result judge_host(struct request *r)
{
	const struct field *host = fields_find_id(&r->fields, FIELD_HOST);

	if (host == NULL)
		return r->version == HTTP_1_0 ? H1_DONE : H1_BAD_HOST;
	if (!is_host(host->value) || fields_find_next(&r->fields, host) != NULL)
		return H1_BAD_HOST;
	if (r->authority.n == 0)
		r->authority = host->value;
	else if (fields_set_id(&r->fields, FIELD_HOST, r->authority) != 0)
		return H1_NO_MEMORY;
	return H1_DONE;
}

/*
 * H1_DONE if the only coding is chunked; tells codings that we do not know from lists that make no
 * sense.
 */
static enum h1_result judge_codings(const struct fields *f)
{
	const struct field *line = fields_find_id(f, FIELD_TRANSFER_ENCODING);
	bool last_is_chunked = false;
	size_t codings = 0;

	for (; line != NULL; line = fields_find_next(f, line)) {
		slice rest = line->value, coding;

		if (line->value.n == 0 || slice_ends(line->value, SLICE(",")))
			return H1_BAD_FRAMING;
		while (slice_next(&rest, ',', &coding)) {
			coding = slice_trim(coding);
			if (last_is_chunked || coding.n == 0)
				return H1_BAD_FRAMING;
			last_is_chunked = slice_equal_nocase(coding, SLICE("chunked"));
			codings++;
		}
	}
	return last_is_chunked && codings == 1 ? H1_DONE : H1_BAD_CODING;
}

/*
 * The one place that decides how long a body is (RFC 9112 section 6.3), stricter than the RFC asks
 * for: what two recipients could understand differently is refused. FRAMING_CLOSE stands for "no
 * field says it". Repeated equal lengths become one line.
 */
static enum h1_result judge_framing(struct fields *f, enum http_version version,
				    enum framing *framing, uint64_t *content_length)
{
	const struct field *length = fields_find_id(f, FIELD_CONTENT_LENGTH), *again;

	if (fields_have(f, FIELD_TRANSFER_ENCODING)) {
		if (length != NULL || version == HTTP_1_0)
			return H1_BAD_FRAMING;
		*framing = FRAMING_CHUNKED;
		return judge_codings(f);
	}
	*framing = FRAMING_CLOSE;
	if (length == NULL)
		return H1_DONE;
	/* The limit leaves room for sums of lengths in signed and unsigned numbers. */
	if (!slice_to_u64(length->value, content_length) || *content_length > INT64_MAX)
		return H1_BAD_FRAMING;
	*framing = FRAMING_LENGTH;
	again = fields_find_next(f, length);
	if (again == NULL)
		return H1_DONE;
	for (; again != NULL; again = fields_find_next(f, again)) {
		if (!slice_equal(again->value, length->value))
			return H1_BAD_FRAMING;
	}
	/* Cannot fail: there is a line to replace. */
	return fields_set(f, length->name, length->value) == 0 ? H1_DONE : H1_NO_MEMORY;
}

static bool judge_keep_alive(const struct fields *f, enum http_version version)
{
	if (!fields_have(f, FIELD_CONNECTION))
		return version != HTTP_1_0;
	if (fields_has_token(f, FIELD_CONNECTION, SLICE("close")))
		return false;
	return version != HTTP_1_0 || fields_has_token(f, FIELD_CONNECTION, SLICE("keep-alive"));
}

enum h1_result h1_judge_request(struct request *r)
{
	enum h1_result result;

	r->method_id = method_of(r->method);
	result = judge_target(r);
	if (result == H1_DONE)
		result = judge_host(r);
	if (result == H1_DONE)
		result = judge_framing(&r->fields, r->version, &r->framing, &r->content_length);
	if (result != H1_DONE)
		return result;
	if (r->framing == FRAMING_CLOSE)
		r->framing = FRAMING_NONE;
	r->keep_alive = judge_keep_alive(&r->fields, r->version);
	/* From 1.0 senders neither Expect nor Upgrade counts (RFC 9110 sections 10.1.1, 7.8). */
	if (r->version == HTTP_1_0)
		return H1_DONE;
	r->expect_continue = slice_equal_nocase(fields_value_id(&r->fields, FIELD_EXPECT),
						SLICE("100-continue"));
	r->upgrade = fields_have(&r->fields, FIELD_UPGRADE) &&
		     fields_has_token(&r->fields, FIELD_CONNECTION, SLICE("upgrade"));
	return H1_DONE;
}

enum h1_result h1_judge_response(struct response *r, enum method method)
{
	enum h1_result result =
		judge_framing(&r->fields, r->version, &r->framing, &r->content_length);

	if (result != H1_DONE)
		return result;
	if (status_has_no_body(r->status, method)) {
		r->framing = FRAMING_NONE;
		r->content_length = 0;
	}
	r->keep_alive = r->framing != FRAMING_CLOSE && judge_keep_alive(&r->fields, r->version);
	return H1_DONE;
}
