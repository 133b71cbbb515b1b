/*
 * Counts its requests in linear memory and in a mutable wasm global that is not exported.
 */
#include "http_wasm.h"

__asm__(".globaltype count_global, i32\n"
	"count_global:\n");

static uint32_t count_memory;

static uint32_t increment_global(void)
{
	uint32_t n;

	__asm__ volatile("global.get count_global\n"
			 "i32.const 1\n"
			 "i32.add\n"
			 "global.set count_global\n"
			 "global.get count_global\n"
			 "local.set %0\n"
			 : "=r"(n));
	return n;
}

EXPORT("handle_request") int64_t handle_request(void)
{
	char buf[64];
	struct out out = {buf, 0, sizeof buf};

	out_text(&out, TEXT("memory="));
	out_number(&out, ++count_memory);
	out_text(&out, TEXT(" global="));
	out_number(&out, increment_global());
	return answer(200, out_slice(&out));
}

NO_RESPONSE_PHASE
