/*
 * Calls, in the response phase, what may be refused there. Configuration {"features": N, "call":
 * NAME}.
 */
#include "http_wasm.h"

EXPORT("_initialize") void initialize(void)
{
	http_enable_features(text_number(config_get(TEXT("features"))));
}

EXPORT("handle_request") int64_t handle_request(void)
{
	return NEXT;
}

static void call(struct text name)
{
	char buf[16];

	if (text_equal(name, TEXT("set_request_header")))
		set_header(REQUEST_HEADERS, TEXT("x"), TEXT("y"));
	else if (text_equal(name, TEXT("set_method")))
		http_set_method("PUT", 3);
	else if (text_equal(name, TEXT("set_uri")))
		http_set_uri("/x", 2);
	else if (text_equal(name, TEXT("write_request_body")))
		http_write_body(REQUEST_BODY, "x", 1);
	else if (text_equal(name, TEXT("read_request_body")))
		http_read_body(REQUEST_BODY, buf, sizeof buf);
	else if (text_equal(name, TEXT("set_response_header")))
		set_header(RESPONSE_HEADERS, TEXT("X-After"), TEXT("set"));
	else if (text_equal(name, TEXT("set_status")))
		http_set_status_code(418);
	else if (text_equal(name, TEXT("write_response_body")))
		write_text(RESPONSE_BODY, TEXT("after"));
	else if (text_equal(name, TEXT("read_response_body")))
		http_read_body(RESPONSE_BODY, buf, sizeof buf);
	else if (text_equal(name, TEXT("get_status")))
		http_get_status_code();
	else if (text_equal(name, TEXT("content_length_0")))
		set_header(RESPONSE_HEADERS, TEXT("Content-Length"), TEXT("0"));
	else if (text_equal(name, TEXT("remove_content_length")))
		http_remove_header(RESPONSE_HEADERS, "content-length", 14);
	else
		__builtin_trap();
}

EXPORT("handle_response") void handle_response(uint32_t ctx, uint32_t is_error)
{
	(void)ctx;
	(void)is_error;
	call(config_get(TEXT("call")));
}
