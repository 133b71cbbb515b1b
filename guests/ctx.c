/*
 * Traps when the context that handle_request returned does not come back to the same instance. The
 * response says which context it was.
 */
#include "http_wasm.h"

static uint32_t next_ctx = 42;

EXPORT("_initialize") void initialize(void)
{
	http_enable_features(FEATURE_BUFFER_RESPONSE);
}

EXPORT("handle_request") int64_t handle_request(void)
{
	return NEXT_WITH(next_ctx++);
}

EXPORT("handle_response") void handle_response(uint32_t ctx, uint32_t is_error)
{
	char digits[20];
	struct out out = {digits, 0, sizeof digits};

	if (ctx + 1 != next_ctx)
		__builtin_trap();
	out_number(&out, ctx);
	if (is_error == 0)
		set_header(RESPONSE_HEADERS, TEXT("X-Ctx"), out_slice(&out));
}
