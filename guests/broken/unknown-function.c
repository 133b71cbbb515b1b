/*
 * Imports a function that http_handler does not have: must be refused by name.
 */
#include "../http_wasm.h"

HTTP("await_response") uint32_t http_await_response(uint64_t ctx_next);

EXPORT("handle_request") int64_t handle_request(void)
{
	return (int64_t)http_await_response(1);
}

NO_RESPONSE_PHASE
