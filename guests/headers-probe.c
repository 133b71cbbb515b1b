/*
 * Answers with what it can read of the headers: the lines "name: value" of the request in the order
 * of get_header_names. The path selects edge cases: /set-host, /empty-name, /kind, /trailers,
 * /crlf, /crlf-request, /add, /limits, /response (the response phase logs what it sees).
 */
#include "http_wasm.h"

static char buf[65536], names[16384], values[16384];

static void list(struct out *out, uint32_t kind)
{
	uint64_t count_n = http_get_header_names(kind, names, sizeof names);
	const char *name = names;

	for (uint32_t i = 0; i < count_n >> 32; i++) {
		struct text key = text_of(name);
		uint64_t values_n =
			http_get_header_values(kind, key.p, key.n, values, sizeof values);
		const char *value = values;

		for (uint32_t j = 0; j < values_n >> 32; j++) {
			struct text line = text_of(value);

			out_text(out, key);
			out_text(out, TEXT(": "));
			out_text(out, line);
			out_text(out, TEXT("\n"));
			value += line.n + 1;
		}
		name += key.n + 1;
	}
}

/* How the getters treat a buffer of 0, exactly fitting and one too small: "N written N untouched
 * ...". */
static void probe_limits(struct out *out)
{
	static char probe[8192];

	for (int32_t step = -1; step <= 1; step++) {
		uint32_t full = http_get_uri(probe, 0), limit = (uint32_t)((int32_t)full + step);

		probe[0] = '?';
		out_number(out, http_get_uri(probe, limit));
		out_text(out, (struct text){probe, 1});
		out_text(out, TEXT(" "));
	}
	probe[0] = '?';
	out_number(out, (uint32_t)http_get_header_names(REQUEST_HEADERS, probe, 1));
	out_text(out, (struct text){probe, 1});
}

EXPORT("handle_request") int64_t handle_request(void)
{
	struct out out = {buf, 0, sizeof buf};
	struct text uri = uri_text();

	if (text_equal(uri, TEXT("/limits"))) {
		probe_limits(&out);
		return answer(200, out_slice(&out));
	}
	if (text_equal(uri, TEXT("/empty-name")))
		http_set_header(REQUEST_HEADERS, "", 0, "x", 1);
	if (text_equal(uri, TEXT("/kind")))
		http_set_header(4, "x", 1, "x", 1);
	if (text_equal(uri, TEXT("/trailers")))
		http_set_header(REQUEST_TRAILERS, "x", 1, "x", 1);
	if (text_equal(uri, TEXT("/set-host")))
		set_header(REQUEST_HEADERS, TEXT("Host"), TEXT("changed.example"));
	if (text_equal(uri, TEXT("/crlf")))
		set_header(RESPONSE_HEADERS, TEXT("X-Crlf"), TEXT("a\r\nX-Injected: yes"));
	if (text_equal(uri, TEXT("/crlf-request"))) {
		set_header(REQUEST_HEADERS, TEXT("X-Crlf"), TEXT("a\r\nX-Injected: yes"));
		return NEXT;
	}
	if (text_equal(uri, TEXT("/response")))
		return NEXT;
	if (text_equal(uri, TEXT("/add"))) {
		http_add_header(REQUEST_HEADERS, "X-Multi", 7, "added", 5);
		return NEXT;
	}
	list(&out, REQUEST_HEADERS);
	return answer(200, out_slice(&out));
}

EXPORT("handle_response") void handle_response(uint32_t ctx, uint32_t is_error)
{
	struct out out = {buf, 0, sizeof buf};

	(void)ctx;
	(void)is_error;
	out_text(&out, TEXT("response headers:\n"));
	list(&out, RESPONSE_HEADERS);
	log_text(LOG_ERROR, out_slice(&out));
}
