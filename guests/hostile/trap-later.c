/*
 * Traps while it initialises if there is a file "trap" in its first mount; serves everything
 * otherwise.
 */
#include "../wasi.h"

EXPORT("_initialize") void initialize(void)
{
	uint32_t fd;

	if (wasi_path_open(3, 0, "trap", 4, 0, WASI_RIGHT_READ, 0, 0, &fd) == 0)
		__builtin_trap();
}

EXPORT("handle_request") int64_t handle_request(void)
{
	return NEXT;
}

NO_RESPONSE_PHASE
