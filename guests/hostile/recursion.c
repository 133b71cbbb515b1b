/*
 * Overflows the call stack of the engine on evil URIs. Its own shadow stack is not used.
 */
#include "../http_wasm.h"

static volatile uint32_t depth;

__attribute__((noinline)) static uint32_t descend(uint32_t n)
{
	depth = n;
	return descend(n + 1) + depth;
}

EXPORT("handle_request") int64_t handle_request(void)
{
	if (uri_is_evil())
		depth = descend(0);
	return NEXT;
}

NO_RESPONSE_PHASE
