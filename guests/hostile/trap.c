/*
 * Traps. Configuration {"phase": "init" | "request" | "response", "features": N}; the last two only
 * for evil URIs, after having set headers, a status and a body that must not reach the client.
 */
#include "../http_wasm.h"

static void trap_in(struct text phase, bool spoil)
{
	if (!config_is(TEXT("phase"), phase))
		return;
	if (spoil) {
		http_set_status_code(202);
		set_header(RESPONSE_HEADERS, TEXT("X-Guest-Secret"), TEXT("guest-secret"));
		write_text(RESPONSE_BODY, TEXT("guest-secret"));
	}
	log_text(LOG_ERROR, TEXT("guest is about to trap"));
	__builtin_trap();
}

EXPORT("_initialize") void initialize(void)
{
	http_enable_features(text_number(config_get(TEXT("features"))));
	trap_in(TEXT("init"), false);
}

EXPORT("handle_request") int64_t handle_request(void)
{
	if (!uri_is_evil())
		return NEXT;
	trap_in(TEXT("request"), true);
	return NEXT_WITH(1);
}

EXPORT("handle_response") void handle_response(uint32_t ctx, uint32_t is_error)
{
	(void)is_error;
	if (ctx == 1)
		trap_in(TEXT("response"), text_number(config_get(TEXT("features"))) != 0);
}
