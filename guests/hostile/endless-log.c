/*
 * Logs without end on evil URIs, in lines of 64 KiB, through log and through stdout.
 */
#include "../wasi.h"

EXPORT("handle_request") int64_t handle_request(void)
{
	static char line[PAGE_SIZE];

	if (!uri_is_evil())
		return NEXT;
	for (uint32_t i = 0; i < sizeof line; i++)
		line[i] = (char)('a' + i % 26);
	for (;;) {
		http_log(LOG_ERROR, line, sizeof line);
		wasi_print(1, (struct text){line, sizeof line});
	}
}

NO_RESPONSE_PHASE
