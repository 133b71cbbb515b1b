#include <errno.h>

#include "cli/plugin_cli.h"
#include "config/tree.h"
#include "core/error.h"
#include "http/h1.h"

#define FILE_MAX_BYTES ((size_t)64 * 1024 * 1024)
#define REQUESTS_MAX ((size_t)100000)

static const struct h1_limits limits = {
	.head_bytes_max = (size_t)1024 * 1024,
	.fields_max = 1000,
	.target_bytes_max = (size_t)256 * 1024,
};

struct reader {
	struct plugin_args *args;
	struct plugin_requests *out;
	size_t room;
	struct weir_error *error;
};

/** A message in parts; field lines have their ends. */
struct parts {
	slice line; /* "GET /", or "200" */
	struct str fields;
	slice body;
	bool has_length; /* it gets a Content-Length unless there is one */
};

static int out_of_memory(struct reader *r)
{
	return error_set(r->error, -ENOMEM, "out of memory");
}

static struct plugin_request *add(struct reader *r)
{
	struct plugin_requests *out = r->out;

	if (out->count == r->room) {
		size_t room = MAX(2 * r->room, (size_t)8);
		struct plugin_request *larger =
			ARENA_ARRAY(&r->args->arena, struct plugin_request, room);

		if (larger == NULL)
			return NULL;
		if (out->list != NULL)
			memcpy(larger, out->list, out->count * sizeof *larger);
		out->list = larger;
		r->room = room;
	}
	return &out->list[out->count++];
}

/* Whether one of the lines has that name. */
static bool names(slice lines, slice name)
{
	slice line;

	while (slice_next(&lines, '\n', &line)) {
		if (slice_equal_nocase(slice_first(line, slice_find(line, ':')), name))
			return true;
	}
	return false;
}

static void add_fields(struct str *text, const struct parts *p)
{
	slice lines = str_slice(&p->fields);

	str_add(text, lines);
	if (p->has_length && !names(lines, SLICE("Content-Length")) &&
	    !names(lines, SLICE("Transfer-Encoding")))
		str_format(text, "Content-Length: %zu\r\n", p->body.n);
	str_add(text, SLICE("\r\n"));
}

/* Into the arena; empty if memory is short. */
static slice keep(struct reader *r, struct str *text)
{
	slice kept = {NULL, 0};

	if (!text->failed)
		kept = arena_copy(&r->args->arena, str_slice(text));
	str_free(text);
	return kept;
}

static int parse_request(struct reader *r, struct plugin_request *q, slice bytes,
			 size_t *head_bytes)
{
	size_t scanned = 0;
	enum h1_result result =
		h1_parse_request(&q->head, &r->args->arena, bytes, &limits, &scanned, head_bytes);

	if (result == H1_DONE)
		return 0;
	return error_set(r->error, -EINVAL, "%s",
			 result == H1_MORE ? "the head has no end, expected an empty line"
					   : h1_error_text(result));
}

static int make_request(struct reader *r, struct plugin_request *q, const struct parts *p)
{
	struct str text = {0};
	size_t head_bytes;
	slice bytes;
	int result;

	str_format(&text, "%.*s HTTP/1.1\r\n", SLICE_ARG(p->line));
	if (!names(str_slice(&p->fields), SLICE("Host")))
		str_add(&text, SLICE("Host: localhost\r\n"));
	add_fields(&text, p);
	bytes = keep(r, &text);
	if (bytes.p == NULL)
		return out_of_memory(r);
	result = parse_request(r, q, bytes, &head_bytes);
	if (result == 0 && head_bytes < bytes.n)
		result = error_set(r->error, -EINVAL, "found an empty line within the head");
	q->body = p->body;
	q->piece_bytes = r->args->piece_bytes;
	return result;
}

static int make_response(struct reader *r, struct plugin_request *q, const struct parts *p)
{
	struct str text = {0};
	size_t scanned = 0, head_bytes;
	enum h1_result result;
	slice bytes;

	str_format(&text, "HTTP/1.1 %.*s \r\n", SLICE_ARG(p->line));
	add_fields(&text, p);
	bytes = keep(r, &text);
	if (bytes.p == NULL)
		return out_of_memory(r);
	result = h1_parse_response(&q->upstream, &r->args->arena, bytes, q->head.method_id, &limits,
				   &scanned, &head_bytes);
	if (result != H1_DONE || head_bytes < bytes.n)
		return error_set(r->error, -EINVAL, "response: %s",
				 result < 0 ? h1_error_text(result)
					    : "found an empty line within the head");
	q->upstream_body = p->body;
	return 0;
}

static bool has_length(slice status)
{
	uint64_t number;

	return slice_to_u64(status, &number) && !status_has_no_body((int)number, METHOD_GET);
}

/* The response that the options describe. */
static int make_usual_response(struct reader *r, struct plugin_request *q)
{
	const struct plugin_args *a = r->args;
	const struct parts p = {
		.line = a->response_status,
		.fields = a->response_fields,
		.body = a->response_body,
		.has_length = has_length(a->response_status),
	};

	return make_response(r, q, &p);
}

static int read_arguments(struct reader *r)
{
	const struct plugin_args *a = r->args;

	for (size_t i = 0; i < a->request_count; i++) {
		const struct plugin_request_args *from = &a->requests[i];
		const struct parts p = {from->line, from->fields, from->body, from->has_body};
		struct plugin_request *q = add(r);
		int result = q == NULL ? out_of_memory(r) : make_request(r, q, &p);

		if (result == 0)
			result = make_usual_response(r, q);
		if (result < 0) {
			error_prefix(r->error, "--request \"%.*s\": ", SLICE_ARG(from->line));
			return result;
		}
	}
	return 0;
}

/* ---- HTTP/1.1 messages ---- */

/* A head whose lines end in LF alone, as editors write them, gets the line ends that it needs.
 * Returns the head's length in the file; 0: its lines are complete. */
static size_t mend_head(struct reader *r, slice bytes, slice *mended)
{
	slice most = slice_first(bytes, limits.head_bytes_max), line;
	slice head = slice_first(most, slice_search(most, SLICE("\n\n")) + 2);
	struct str text = {0};

	*mended = bytes;
	if (memchr(head.p, '\r', head.n) != NULL)
		return 0;
	for (slice rest = head; slice_next(&rest, '\n', &line) && line.n > 0;) {
		str_add(&text, line);
		str_add(&text, SLICE("\r\n"));
	}
	str_add(&text, SLICE("\r\n"));
	*mended = keep(r, &text);
	return head.n;
}

static int read_chunks(struct reader *r, struct plugin_request *q, slice *bytes)
{
	struct h1_chunked chunked = {0};
	struct str body = {0};
	enum h1_result result;
	slice data;

	do {
		result = h1_chunked_next(&chunked, bytes, &data, NULL);
		if (result == H1_DONE && data.n > 0)
			str_add(&body, data);
	} while (result == H1_DONE && data.n > 0);
	h1_chunked_free(&chunked);
	if (result != H1_DONE) {
		str_free(&body);
		return error_set(r->error, -EINVAL, "body: %s",
				 result == H1_MORE ? "the file ends before the last chunk"
						   : h1_error_text(result));
	}
	q->body = body.n > 0 ? keep(r, &body) : SLICE("");
	return q->body.p == NULL ? out_of_memory(r) : 0;
}

static int read_body(struct reader *r, struct plugin_request *q, slice *bytes)
{
	if (q->head.framing == FRAMING_CHUNKED)
		return read_chunks(r, q, bytes);
	if (q->head.framing != FRAMING_LENGTH)
		return 0;
	if (q->head.content_length > bytes->n)
		return error_set(r->error, -EINVAL,
				 "body: found %zu bytes, expected the %llu of Content-Length",
				 bytes->n, (unsigned long long)q->head.content_length);
	q->body = slice_first(*bytes, (size_t)q->head.content_length);
	*bytes = slice_from_at(*bytes, q->body.n);
	return 0;
}

static int read_message(struct reader *r, struct plugin_request *q, slice *bytes)
{
	slice mended;
	size_t head_bytes, from_file = mend_head(r, *bytes, &mended);
	int result = mended.p == NULL ? out_of_memory(r) : parse_request(r, q, mended, &head_bytes);

	if (result < 0)
		return result;
	*bytes = slice_from_at(*bytes, from_file > 0 ? from_file : head_bytes);
	q->piece_bytes = r->args->piece_bytes;
	result = read_body(r, q, bytes);
	return result == 0 ? make_usual_response(r, q) : result;
}

static slice skip_space(slice s)
{
	while (s.n > 0 && strchr(" \t\r\n", s.p[0]) != NULL)
		s = slice_from_at(s, 1);
	return s;
}

static int read_messages(struct reader *r, slice bytes)
{
	const char *start = bytes.p;

	while ((bytes = skip_space(bytes)).n > 0) {
		size_t at = (size_t)(bytes.p - start);
		struct plugin_request *q = r->out->count < REQUESTS_MAX ? add(r) : NULL;
		int result = q == NULL ? error_set(r->error, -E2BIG,
						   "expected at most %zu requests", REQUESTS_MAX)
				       : read_message(r, q, &bytes);

		if (result < 0) {
			error_prefix(r->error, "request %zu, from byte %zu on: ", r->out->count,
				     at);
			return result;
		}
	}
	return 0;
}

/* ---- JSON ---- */

static slice json_text(const json_t *value)
{
	return slice_of(json_string_value(value), json_string_length(value));
}

static int expect(struct reader *r, const char *what, bool is, const char *expected)
{
	return is ? 0 : error_set(r->error, -EINVAL, "%s: expected %s", what, expected);
}

static int add_json_field(struct reader *r, struct parts *p, const char *name, const json_t *value)
{
	slice text = json_text(value);

	if (!json_is_string(value) || !field_is_token(slice_from(name)) || !field_is_value(text))
		return error_set(r->error, -EINVAL,
				 "headers: \"%s\": expected a header's name, and its value as a "
				 "string or a list of strings",
				 name);
	str_format(&p->fields, "%s: %.*s\r\n", name, SLICE_ARG(text));
	return p->fields.failed ? out_of_memory(r) : 0;
}

static int take_headers(struct reader *r, struct parts *p, const json_t *headers)
{
	const char *name;
	json_t *value;
	int result = expect(r, "headers", json_is_object(headers), "an object");

	json_object_foreach((json_t *)(uintptr_t)headers, name, value)
	{
		if (result == 0 && !json_is_array(value))
			result = add_json_field(r, p, name, value);
		for (size_t i = 0; result == 0 && i < json_array_size(value); i++)
			result = add_json_field(r, p, name, json_array_get(value, i));
	}
	return result;
}

static int take_body(struct reader *r, struct parts *p, const json_t *body)
{
	p->has_length = true;
	p->body = arena_copy(&r->args->arena, json_text(body));
	if (json_is_string(body) && p->body.p == NULL)
		return out_of_memory(r);
	return expect(r, "body", json_is_string(body), "a string");
}

static int refuse_key(struct reader *r, const char *key, const char *expected)
{
	return error_set(r->error, -EINVAL, "\"%s\": unknown key, expected one of %s", key,
			 expected);
}

static int read_json_response(struct reader *r, struct plugin_request *q, const json_t *object)
{
	char status[24] = "200";
	struct parts p = {.line = {NULL, 0}};
	const char *key;
	json_t *value;
	int result = expect(r, "response", json_is_object(object), "an object");

	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		if (result < 0)
			break;
		if (strcmp(key, "status") == 0) {
			(void)snprintf(status, sizeof status, "%lld",
				       (long long)json_integer_value(value));
			result = expect(r, "status",
					json_integer_value(value) >= 200 &&
						json_integer_value(value) <= 999,
					"a number from 200 to 999");
		} else if (strcmp(key, "headers") == 0) {
			result = take_headers(r, &p, value);
		} else if (strcmp(key, "body") == 0) {
			result = take_body(r, &p, value);
		} else {
			result = refuse_key(r, key, "status, headers, body");
		}
	}
	p.line = slice_from(status);
	p.has_length = has_length(p.line);
	if (result == 0)
		result = make_response(r, q, &p);
	str_free(&p.fields);
	return result;
}

/* What of a request is a text of its line. */
static int take_line(struct reader *r, slice *part, const char *key, const json_t *value)
{
	*part = json_text(value);
	return expect(r, key,
		      json_is_string(value) && part->n > 0 && field_is_value(*part) &&
			      slice_find(*part, ' ') == part->n,
		      "a string without spaces");
}

static int read_json_parts(struct reader *r, struct parts *p, struct str *line,
			   const json_t *object)
{
	slice method = SLICE("GET"), target = SLICE("/");
	const char *key;
	json_t *value;
	int result = expect(r, "request", json_is_object(object), "an object");

	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		if (result < 0)
			return result;
		if (strcmp(key, "method") == 0)
			result = take_line(r, &method, key, value);
		else if (strcmp(key, "target") == 0)
			result = take_line(r, &target, key, value);
		else if (strcmp(key, "headers") == 0)
			result = take_headers(r, p, value);
		else if (strcmp(key, "body") == 0)
			result = take_body(r, p, value);
		else if (strcmp(key, "response") != 0)
			result = refuse_key(r, key, "method, target, headers, body, response");
	}
	str_format(line, "%.*s %.*s", SLICE_ARG(method), SLICE_ARG(target));
	p->line = str_slice(line);
	return result;
}

static int read_json_request(struct reader *r, const json_t *object)
{
	const json_t *response = json_object_get(object, "response");
	struct plugin_request *q = add(r);
	struct parts p = {.line = {NULL, 0}};
	struct str line = {0};
	int result = q == NULL ? out_of_memory(r) : read_json_parts(r, &p, &line, object);

	if (result == 0)
		result = line.failed ? out_of_memory(r) : make_request(r, q, &p);
	if (result == 0)
		result = response != NULL ? read_json_response(r, q, response)
					  : make_usual_response(r, q);
	str_free(&line);
	str_free(&p.fields);
	return result;
}

static int read_json_list(struct reader *r, const json_t *list)
{
	size_t count = json_is_array(list) ? json_array_size(list) : 1;

	if (count == 0)
		return error_set(r->error, -EINVAL, "found an empty list, expected requests");
	if (count > REQUESTS_MAX)
		return error_set(r->error, -E2BIG, "found %zu requests, expected at most %zu",
				 count, REQUESTS_MAX);
	for (size_t i = 0; i < count; i++) {
		int result =
			read_json_request(r, json_is_array(list) ? json_array_get(list, i) : list);

		if (result < 0) {
			error_prefix(r->error, "request %zu: ", i + 1);
			return result;
		}
	}
	return 0;
}

static int read_json(struct reader *r, slice text)
{
	json_error_t where;
	json_t *list = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &where);
	int result;

	if (list == NULL)
		return error_set(r->error, -EINVAL, "line %d, column %d: %s", where.line,
				 where.column, where.text);
	result = read_json_list(r, list);
	json_decref(list);
	return result;
}

int plugin_requests_parse(struct plugin_requests *requests, struct plugin_args *a, slice text,
			  struct weir_error *error)
{
	struct reader r = {.args = a, .out = requests, .error = error};
	slice from = skip_space(text);

	*requests = (struct plugin_requests){0};
	if (from.n == 0)
		return error_set(error, -EINVAL, "is empty, expected requests");
	if (from.p[0] == '{' || from.p[0] == '[')
		return read_json(&r, text);
	return read_messages(&r, text);
}

int plugin_requests_read(struct plugin_requests *requests, struct plugin_args *a,
			 struct weir_error *error)
{
	struct reader r = {.args = a, .out = requests, .error = error};
	slice text;
	int result;

	*requests = (struct plugin_requests){0};
	if (a->requests_path == NULL)
		return read_arguments(&r);
	if (a->request_count > 0)
		return error_set(error, -EINVAL,
				 "--requests: found --request beside it, expected one of them");
	result = tree_read_file(&a->arena, a->requests_path, FILE_MAX_BYTES, &text, error);
	if (result < 0)
		return result;
	result = plugin_requests_parse(requests, a, text, error);
	if (result < 0)
		error_prefix(error, "%s: ", a->requests_path);
	return result;
}
