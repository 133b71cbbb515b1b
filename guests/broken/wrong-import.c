/*
 * Imports log with a parameter too few: must be refused.
 */
#include "../http_wasm.h"

HTTP("log") void http_log_short(int32_t level, const void *message);

EXPORT("handle_request") int64_t handle_request(void)
{
	http_log_short(0, "x");
	return NEXT;
}

NO_RESPONSE_PHASE
