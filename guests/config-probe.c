/*
 * Answers with its configuration, byte for byte.
 */
#include "http_wasm.h"

EXPORT("handle_request") int64_t handle_request(void)
{
	return answer(200, config_text());
}

NO_RESPONSE_PHASE
