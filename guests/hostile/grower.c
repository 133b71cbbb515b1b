/*
 * Grows its memory to the limit in every request, whatever the URI, and uses each page. Says how
 * many pages it got, and how many it has.
 */
#include "../http_wasm.h"

EXPORT("handle_request") int64_t handle_request(void)
{
	char buf[64];
	struct out out = {buf, 0, sizeof buf};
	uint32_t got = 0;
	char *page;

	while ((page = memory_new(PAGE_SIZE)) != NULL) {
		page[0] = page[PAGE_SIZE - 1] = 1;
		got++;
	}
	out_number(&out, got);
	out_text(&out, TEXT(" of "));
	out_number(&out, __builtin_wasm_memory_size(0));
	set_header(RESPONSE_HEADERS, TEXT("x-pages"), out_slice(&out));
	return NEXT;
}

NO_RESPONSE_PHASE
