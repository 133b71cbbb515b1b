/*
 * Shows enable_features: asks for the configured "init" while it initialises and for the number in
 * the request's X-Features; answers "init=A request=B", the two results.
 */
#include "http_wasm.h"

static uint32_t init_result;

EXPORT("_initialize") void initialize(void)
{
	init_result = http_enable_features(text_number(config_get(TEXT("init"))));
}

EXPORT("handle_request") int64_t handle_request(void)
{
	char buf[64];
	struct out out = {buf, 0, sizeof buf};
	uint32_t asked = text_number(header_text(REQUEST_HEADERS, TEXT("X-Features")));

	out_text(&out, TEXT("init="));
	out_number(&out, init_result);
	out_text(&out, TEXT(" request="));
	out_number(&out, http_enable_features(asked));
	return answer(200, out_slice(&out));
}

NO_RESPONSE_PHASE
