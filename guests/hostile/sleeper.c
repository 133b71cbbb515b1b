/*
 * Sleeps for an hour on evil URIs.
 */
#include "../wasi.h"

EXPORT("handle_request") int64_t handle_request(void)
{
	if (uri_is_evil())
		wasi_sleep((uint64_t)3600 * 1000 * 1000 * 1000);
	return NEXT;
}

NO_RESPONSE_PHASE
