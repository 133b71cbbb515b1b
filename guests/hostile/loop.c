/*
 * Never returns. Configuration {"phase": "init" | "request" | "response"}; the last two only for
 * evil URIs.
 */
#include "../http_wasm.h"

static volatile uint32_t turns;

static void loop_in(struct text phase)
{
	if (config_is(TEXT("phase"), phase))
		for (;;)
			turns++;
}

EXPORT("_initialize") void initialize(void)
{
	loop_in(TEXT("init"));
}

EXPORT("handle_request") int64_t handle_request(void)
{
	if (!uri_is_evil())
		return NEXT;
	loop_in(TEXT("request"));
	return NEXT_WITH(1);
}

EXPORT("handle_response") void handle_response(uint32_t ctx, uint32_t is_error)
{
	(void)is_error;
	if (ctx == 1)
		loop_in(TEXT("response"));
}
