/*
 * Imports the socket extension of WASI: must be refused with a message that names it.
 */
#include "../wasi.h"

WASI("sock_open") uint32_t wasi_sock_open(uint32_t family, uint32_t type, uint32_t *fd);

EXPORT("handle_request") int64_t handle_request(void)
{
	uint32_t fd = 0;

	return wasi_sock_open(1, 2, &fd) == 0 ? NEXT : STOP;
}

NO_RESPONSE_PHASE
