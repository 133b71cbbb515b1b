/*
 * Calls every host function of http_handler with pointers outside its memory. The URI is /evil/F/V:
 * F numbers the call, V the pointer. Configuration {"phase": "request" | "response" | "init",
 * ...}: in init, F and V come from the configuration's "call" and "pointer".
 */
#include "../http_wasm.h"

struct range {
	uint32_t at;
	uint32_t n;
};

static struct range wild(uint32_t variant)
{
	uint32_t end = (uint32_t)__builtin_wasm_memory_size(0) * PAGE_SIZE;

	switch (variant) {
	case 0:
		return (struct range){end, 1};
	case 1:
		return (struct range){0xffffffffu, 1};
	case 2:
		return (struct range){0, 0xffffffffu};
	case 3:
		return (struct range){end - 4, 8};
	case 4:
		return (struct range){0xfffffff0u, 0x20};
	case 5:
		return (struct range){0x80000000u, 0x80000000u};
	default:
		return (struct range){end - 1, 0x7fffffff};
	}
}

static void call_message(uint32_t function, struct range r)
{
	char *p = (char *)(uintptr_t)r.at;

	switch (function) {
	case 0:
		http_enable_features(r.at);
		break;
	case 1:
		http_get_config(p, r.n);
		break;
	case 2:
		http_log_enabled((int32_t)r.at);
		break;
	case 3:
		http_log(LOG_ERROR, p, r.n);
		break;
	case 4:
		http_get_method(p, r.n);
		break;
	case 5:
		http_set_method(p, r.n);
		break;
	case 6:
		http_get_uri(p, r.n);
		break;
	case 7:
		http_set_uri(p, r.n);
		break;
	case 8:
		http_get_protocol_version(p, r.n);
		break;
	case 9:
		http_get_source_addr(p, r.n);
		break;
	default:
		break;
	}
}

static void call_content(uint32_t function, struct range r)
{
	char *p = (char *)(uintptr_t)r.at;
	char buf[8];

	switch (function) {
	case 10:
		http_get_header_names(REQUEST_HEADERS, p, r.n);
		break;
	case 11:
		http_get_header_values(REQUEST_HEADERS, p, r.n, buf, sizeof buf);
		break;
	case 12:
		http_get_header_values(REQUEST_HEADERS, "host", 4, p, r.n);
		break;
	case 13:
		http_set_header(REQUEST_HEADERS, p, r.n, "v", 1);
		break;
	case 14:
		http_set_header(RESPONSE_HEADERS, "n", 1, p, r.n);
		break;
	case 15:
		http_add_header(REQUEST_HEADERS, p, r.n, "v", 1);
		break;
	case 16:
		http_add_header(RESPONSE_HEADERS, "n", 1, p, r.n);
		break;
	case 17:
		http_remove_header(REQUEST_HEADERS, p, r.n);
		break;
	case 18:
		http_read_body(REQUEST_BODY, p, r.n);
		break;
	case 19:
		http_write_body(REQUEST_BODY, p, r.n);
		break;
	case 20:
		http_write_body(RESPONSE_BODY, p, r.n);
		break;
	case 21:
		http_get_header_names(r.at, p, r.n);
		break;
	case 22:
		http_read_body(r.at, p, r.n);
		break;
	case 23:
		http_set_status_code(r.at);
		break;
	case 24:
		http_get_status_code();
		break;
	default:
		break;
	}
}

static void call(uint32_t function, struct range r)
{
	if (function < 10)
		call_message(function, r);
	else
		call_content(function, r);
}

EXPORT("_initialize") void initialize(void)
{
	http_enable_features(FEATURE_BUFFER_REQUEST | FEATURE_BUFFER_RESPONSE);
	if (config_is(TEXT("phase"), TEXT("init")))
		call(text_number(config_get(TEXT("call"))),
		     wild(text_number(config_get(TEXT("pointer")))));
}

static void act(struct text phase)
{
	struct text uri = uri_text();
	int32_t slash;

	if (!text_starts(uri, TEXT("/evil/")) || !config_is(TEXT("phase"), phase))
		return;
	uri = text_from(uri, 6);
	slash = text_find(uri, TEXT("/"));
	if (slash > 0)
		call(text_number(uri), wild(text_number(text_from(uri, (uint32_t)slash + 1))));
}

EXPORT("handle_request") int64_t handle_request(void)
{
	act(TEXT("request"));
	return NEXT;
}

EXPORT("handle_response") void handle_response(uint32_t ctx, uint32_t is_error)
{
	(void)ctx;
	(void)is_error;
	act(TEXT("response"));
}
