/*
 * Changes every page of 8 MiB in every request, whatever the URI. Says how often the pages have
 * been changed before; traps if they disagree.
 */
#include "../http_wasm.h"

#define PAGES 2048u
#define STEP 4096u

static uint8_t *all;

EXPORT("_initialize") void initialize(void)
{
	all = memory_new(PAGES * STEP);
	/* Half of them are in the image, the others are holes. */
	for (uint32_t i = 0; i < PAGES; i += 2)
		all[i * STEP] = 7;
}

EXPORT("handle_request") int64_t handle_request(void)
{
	char buf[16];
	struct out out = {buf, 0, sizeof buf};
	uint8_t before = all[100];

	for (uint32_t i = 0; i < PAGES; i++) {
		if (all[i * STEP] != (i % 2 == 0 ? 7 : 0) || all[i * STEP + 100] != before)
			__builtin_trap();
		all[i * STEP + 100]++;
	}
	out_number(&out, before);
	set_header(RESPONSE_HEADERS, TEXT("x-before"), out_slice(&out));
	return NEXT;
}

NO_RESPONSE_PHASE
