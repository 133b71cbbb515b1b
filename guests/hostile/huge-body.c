/*
 * Writes a body without end on evil URIs. Configuration {"side": "request" | "response"}.
 */
#include "../http_wasm.h"

EXPORT("handle_request") int64_t handle_request(void)
{
	static char block[PAGE_SIZE];
	uint32_t kind = config_is(TEXT("side"), TEXT("request")) ? REQUEST_BODY : RESPONSE_BODY;

	if (!uri_is_evil())
		return NEXT;
	for (;;)
		http_write_body(kind, block, sizeof block);
}

NO_RESPONSE_PHASE
