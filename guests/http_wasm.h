/*
 * What a guest in C needs: the imports of the http-handler ABI, the exports' attributes and a few
 * helpers. Everything is static because a guest is one file linked without a C library.
 */
#ifndef HTTP_WASM_H
#define HTTP_WASM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define HTTP(name) IMPORT("http_handler", name)
#define EXPORT(name) __attribute__((export_name(name), used))
#define UNUSED __attribute__((unused))

enum feature { FEATURE_BUFFER_REQUEST = 1, FEATURE_BUFFER_RESPONSE = 2, FEATURE_TRAILERS = 4 };
enum header_kind { REQUEST_HEADERS, RESPONSE_HEADERS, REQUEST_TRAILERS, RESPONSE_TRAILERS };
enum body_kind { REQUEST_BODY, RESPONSE_BODY };
enum log_level { LOG_DEBUG = -1, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_NONE };

HTTP("enable_features") uint32_t http_enable_features(uint32_t features);
HTTP("get_config") uint32_t http_get_config(void *buf, uint32_t limit);
HTTP("log_enabled") uint32_t http_log_enabled(int32_t level);
HTTP("log") void http_log(int32_t level, const void *message, uint32_t n);
HTTP("get_method") uint32_t http_get_method(void *buf, uint32_t limit);
HTTP("set_method") void http_set_method(const void *p, uint32_t n);
HTTP("get_uri") uint32_t http_get_uri(void *buf, uint32_t limit);
HTTP("set_uri") void http_set_uri(const void *p, uint32_t n);
HTTP("get_protocol_version") uint32_t http_get_protocol_version(void *buf, uint32_t limit);
HTTP("get_source_addr") uint32_t http_get_source_addr(void *buf, uint32_t limit);
HTTP("get_header_names") uint64_t http_get_header_names(uint32_t kind, void *buf, uint32_t limit);
HTTP("get_header_values")
uint64_t http_get_header_values(uint32_t kind, const void *name, uint32_t name_n, void *buf,
				uint32_t limit);
HTTP("set_header_value")
void http_set_header(uint32_t kind, const void *name, uint32_t name_n, const void *value,
		     uint32_t value_n);
HTTP("add_header_value")
void http_add_header(uint32_t kind, const void *name, uint32_t name_n, const void *value,
		     uint32_t value_n);
HTTP("remove_header") void http_remove_header(uint32_t kind, const void *name, uint32_t name_n);
HTTP("read_body") uint64_t http_read_body(uint32_t kind, void *buf, uint32_t limit);
HTTP("write_body") void http_write_body(uint32_t kind, const void *p, uint32_t n);
HTTP("get_status_code") uint32_t http_get_status_code(void);
HTTP("set_status_code") void http_set_status_code(uint32_t status);

/* Results of handle_request. */
#define STOP ((int64_t)0)
#define NEXT ((int64_t)1)
#define NEXT_WITH(ctx) ((int64_t)(((uint64_t)(uint32_t)(ctx) << 32) | 1))

#define PAGE_SIZE 65536u

/* For guests that have nothing to do once the response is there. */
#define NO_RESPONSE_PHASE \
	EXPORT("handle_response") void handle_response(uint32_t ctx, uint32_t is_error) \
	{ \
		(void)ctx; \
		(void)is_error; \
	}

struct text {
	const char *p;
	uint32_t n;
};

#define TEXT(literal) ((struct text){("" literal), sizeof(literal) - 1})

UNUSED static struct text text_of(const char *string)
{
	uint32_t n = 0;

	while (string[n] != '\0')
		n++;
	return (struct text){string, n};
}

UNUSED static bool text_equal(struct text a, struct text b)
{
	if (a.n != b.n)
		return false;
	for (uint32_t i = 0; i < a.n; i++)
		if (a.p[i] != b.p[i])
			return false;
	return true;
}

UNUSED static bool text_starts(struct text s, struct text prefix)
{
	return s.n >= prefix.n && text_equal((struct text){s.p, prefix.n}, prefix);
}

/** Where `needle` begins in `s`, or -1. */
UNUSED static int32_t text_find(struct text s, struct text needle)
{
	for (uint32_t i = 0; needle.n > 0 && i + needle.n <= s.n; i++)
		if (text_equal((struct text){s.p + i, needle.n}, needle))
			return (int32_t)i;
	return -1;
}

UNUSED static struct text text_from(struct text s, uint32_t from)
{
	return (struct text){s.p + from, s.n - from};
}

/** The number that the digits of `s` spell; other bytes end it. */
UNUSED static uint32_t text_number(struct text s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
		n = n * 10 + (uint32_t)(s.p[i] - '0');
	return n;
}

/* Output that is collected in a fixed buffer and cut when it is full. */
struct out {
	char *p;
	uint32_t n;
	uint32_t limit;
};

UNUSED static void out_text(struct out *out, struct text s)
{
	for (uint32_t i = 0; i < s.n && out->n < out->limit; i++)
		out->p[out->n++] = s.p[i];
}

UNUSED static void out_number(struct out *out, uint64_t number)
{
	char digits[20];
	uint32_t n = sizeof digits;

	do {
		digits[--n] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	out_text(out, (struct text){digits + n, (uint32_t)sizeof digits - n});
}

UNUSED static void out_hex(struct out *out, struct text bytes)
{
	for (uint32_t i = 0; i < bytes.n; i++) {
		char pair[2] = {"0123456789abcdef"[(bytes.p[i] >> 4) & 15],
				"0123456789abcdef"[bytes.p[i] & 15]};

		out_text(out, (struct text){pair, 2});
	}
}

UNUSED static struct text out_slice(const struct out *out)
{
	return (struct text){out->p, out->n};
}

UNUSED static struct text config_text(void)
{
	static char config[65536];
	uint32_t n = http_get_config(config, sizeof config);

	return (struct text){config, n <= sizeof config ? n : 0};
}

/** A string inside JSON text from its opening quote; sets `*end` behind the closing one. Escapes
 * stay. */
UNUSED static struct text json_string(struct text json, uint32_t at, uint32_t *end)
{
	uint32_t i = at + 1;

	while (i < json.n && json.p[i] != '"')
		i += json.p[i] == '\\' ? 2 : 1;
	*end = i + 1 <= json.n ? i + 1 : json.n;
	return (struct text){json.p + at + 1, i < json.n ? i - at - 1 : 0};
}

/** Behind the value that begins at `at`. */
UNUSED static uint32_t json_skip(struct text json, uint32_t at)
{
	uint32_t depth = 0, end;

	while (at < json.n) {
		char c = json.p[at];

		if (c == '"') {
			json_string(json, at, &end);
			at = end;
			if (depth == 0)
				return at;
			continue;
		}
		if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && (depth == 0 || --depth == 0))
			return depth == 0 && (c == '}' || c == ']') ? at + 1 : at;
		else if (c == ',' && depth == 0)
			return at;
		at++;
	}
	return at;
}

/** The next member of the compact JSON object `json` from `*at` (0 at first): its name and raw
 * value. */
UNUSED static bool json_next(struct text json, uint32_t *at, struct text *name, struct text *value)
{
	uint32_t i = *at, end;

	while (i < json.n && json.p[i] != '"')
		i++;
	if (i >= json.n)
		return false;
	*name = json_string(json, i, &end);
	i = end + 1;
	if (i >= json.n)
		return false;
	end = json_skip(json, i);
	*value = json.p[i] == '"' ? json_string(json, i, &end) : (struct text){json.p + i, end - i};
	*at = end;
	return true;
}

/** The value of a member of `json`: a string without its quotes, or raw; empty if there is none. */
UNUSED static struct text json_get(struct text json, struct text name)
{
	struct text key, value;
	uint32_t at = 0;

	while (json_next(json, &at, &key, &value))
		if (text_equal(key, name))
			return value;
	return (struct text){"", 0};
}

UNUSED static struct text config_get(struct text name)
{
	return json_get(config_text(), name);
}

UNUSED static struct text uri_text(void)
{
	static char uri[8192];
	uint32_t n = http_get_uri(uri, sizeof uri);

	return (struct text){uri, n <= sizeof uri ? n : 0};
}

/** The first value of a header; empty if there is none. */
UNUSED static struct text header_text(uint32_t kind, struct text name)
{
	static char values[8192];
	uint64_t count_n = http_get_header_values(kind, name.p, name.n, values, sizeof values);

	if (count_n >> 32 == 0 || (uint32_t)count_n > sizeof values)
		return (struct text){"", 0};
	return text_of(values);
}

UNUSED static void set_header(uint32_t kind, struct text name, struct text value)
{
	http_set_header(kind, name.p, name.n, value.p, value.n);
}

UNUSED static void write_text(uint32_t kind, struct text body)
{
	http_write_body(kind, body.p, body.n);
}

UNUSED static int64_t answer(uint32_t status, struct text body)
{
	/* Headers first: a host that does not buffer may commit them with the status. */
	set_header(RESPONSE_HEADERS, TEXT("content-type"), TEXT("text/plain"));
	http_set_status_code(status);
	write_text(RESPONSE_BODY, body);
	return STOP;
}

UNUSED static void log_text(int32_t level, struct text message)
{
	http_log(level, message.p, message.n);
}

/** `size_bytes` of new zeroed linear memory, or NULL. */
UNUSED static void *memory_new(uint32_t size_bytes)
{
	size_t old = __builtin_wasm_memory_grow(0, (size_bytes + PAGE_SIZE - 1) / PAGE_SIZE);

	return old == (size_t)-1 ? NULL : (void *)(old * PAGE_SIZE);
}

/* A growable run of bytes at the end of linear memory; one per guest. */
struct heap {
	char *p;
	uint32_t n;
	uint32_t limit;
};

/** Room for `more` bytes behind `heap->n`; traps when the memory cannot grow. */
UNUSED static char *heap_reserve(struct heap *heap, uint32_t more)
{
	if (heap->p == NULL)
		heap->p = memory_new(PAGE_SIZE), heap->limit = heap->p == NULL ? 0 : PAGE_SIZE;
	while (heap->limit - heap->n < more) {
		if (memory_new(heap->limit) == NULL)
			__builtin_trap();
		heap->limit *= 2;
	}
	return heap->p + heap->n;
}

/** Collects a whole body. */
UNUSED static struct text heap_read_body(struct heap *heap, uint32_t kind)
{
	uint64_t eof_n;

	heap->n = 0;
	do {
		char *p = heap_reserve(heap, 32768);

		eof_n = http_read_body(kind, p, 32768);
		heap->n += (uint32_t)eof_n;
	} while (eof_n >> 32 == 0);
	return (struct text){heap->p, heap->n};
}

/* Hostile guests misbehave on URIs that contain "evil" and serve everything else properly. */
UNUSED static bool uri_is_evil(void)
{
	return text_find(uri_text(), TEXT("evil")) >= 0;
}

UNUSED static bool config_is(struct text name, struct text value)
{
	return text_equal(config_get(name), value);
}

#endif
