/*
 * Writes a response body, a header and a status in the request phase and continues: the bytes come
 * before the upstream's. With the configuration {"rewrite": "true"} the response phase writes
 * again, which replaces all.
 */
#include "http_wasm.h"

EXPORT("_initialize") void initialize(void)
{
	http_enable_features(text_number(config_get(TEXT("features"))));
}

EXPORT("handle_request") int64_t handle_request(void)
{
	set_header(RESPONSE_HEADERS, TEXT("X-Prefix"), TEXT("guest"));
	set_header(RESPONSE_HEADERS, TEXT("X-Both"), TEXT("guest"));
	write_text(RESPONSE_BODY, TEXT("prefix:"));
	return NEXT;
}

EXPORT("handle_response") void handle_response(uint32_t ctx, uint32_t is_error)
{
	(void)ctx;
	if (is_error == 0 && config_is(TEXT("rewrite"), TEXT("true")))
		write_text(RESPONSE_BODY, TEXT("replaced"));
}
