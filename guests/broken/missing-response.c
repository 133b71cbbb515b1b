/*
 * Exports no handle_response: must be refused.
 */
#include "../http_wasm.h"

EXPORT("handle_request") int64_t handle_request(void)
{
	return NEXT;
}
