/*
 * handle_request returns i32 instead of i64: must be refused.
 */
#include "../http_wasm.h"

EXPORT("handle_request") int32_t handle_request(void)
{
	return 1;
}

NO_RESPONSE_PHASE
