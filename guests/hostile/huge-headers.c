/*
 * On evil URIs sets headers without end, on the side that the configuration's "side" names (request
 * or response), each with a new name and 64 KiB of value.
 */
#include "../http_wasm.h"

EXPORT("handle_request") int64_t handle_request(void)
{
	static char value[PAGE_SIZE];
	uint32_t kind =
		config_is(TEXT("side"), TEXT("request")) ? REQUEST_HEADERS : RESPONSE_HEADERS;

	if (!uri_is_evil())
		return NEXT;
	for (uint32_t i = 0; i < sizeof value; i++)
		value[i] = 'v';
	for (uint32_t i = 0; i < 100000; i++) {
		char name[32];
		struct out out = {name, 0, sizeof name};

		out_text(&out, TEXT("x-huge-"));
		out_number(&out, i);
		set_header(kind, out_slice(&out), (struct text){value, sizeof value});
	}
	return NEXT;
}

NO_RESPONSE_PHASE
