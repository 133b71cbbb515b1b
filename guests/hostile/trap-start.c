/*
 * Traps in _start, before _initialize may run.
 */
#include "../http_wasm.h"

EXPORT("_start") void start(void)
{
	log_text(LOG_ERROR, TEXT("guest traps in _start"));
	__builtin_trap();
}

EXPORT("_initialize") void initialize(void)
{
	log_text(LOG_ERROR, TEXT("_initialize ran after a failed _start"));
}

EXPORT("handle_request") int64_t handle_request(void)
{
	return NEXT;
}

NO_RESPONSE_PHASE
