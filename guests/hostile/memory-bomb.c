/*
 * On evil URIs grows its memory page by page, touching every page, until memory.grow fails, and
 * then traps.
 */
#include "../http_wasm.h"

EXPORT("handle_request") int64_t handle_request(void)
{
	char *page;

	if (!uri_is_evil())
		return NEXT;
	while ((page = memory_new(PAGE_SIZE)) != NULL)
		for (uint32_t i = 0; i < PAGE_SIZE; i += 4096)
			page[i] = 1;
	log_text(LOG_INFO, TEXT("memory.grow refused"));
	__builtin_trap();
}

NO_RESPONSE_PHASE
