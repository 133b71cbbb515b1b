/*
 * Blocks like a web application firewall: a request whose URI or body contains "attack" gets 403
 * without a body; a response whose header X-Leak is present or whose body contains "secret" is
 * emptied by a status and Content-Length: 0 and by nothing else.
 */
#include "http_wasm.h"

static struct heap heap;

EXPORT("_initialize") void initialize(void)
{
	http_enable_features(FEATURE_BUFFER_REQUEST | FEATURE_BUFFER_RESPONSE);
}

EXPORT("handle_request") int64_t handle_request(void)
{
	if (text_find(uri_text(), TEXT("attack")) < 0 &&
	    text_find(heap_read_body(&heap, REQUEST_BODY), TEXT("attack")) < 0)
		return NEXT_WITH(7);
	http_set_status_code(403);
	return STOP;
}

EXPORT("handle_response") void handle_response(uint32_t ctx, uint32_t is_error)
{
	if (ctx != 7 || is_error != 0)
		return;
	if (header_text(RESPONSE_HEADERS, TEXT("X-Leak")).n == 0 &&
	    text_find(heap_read_body(&heap, RESPONSE_BODY), TEXT("secret")) < 0)
		return;
	http_set_status_code(403);
	set_header(RESPONSE_HEADERS, TEXT("Content-Length"), TEXT("0"));
}
