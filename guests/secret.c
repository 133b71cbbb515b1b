/*
 * Keeps the eight characters behind the URI's slash in every place that it has, and answers what it
 * finds there from requests before: "none", the secret that lies in all of them, or "mixed" and the
 * first place that differs. A URI that ends with a digit makes it grow its memory and use that,
 * too.
 */
#include "http_wasm.h"

#define BELOW_STACK 4096u

__asm__(".globaltype secret_global, i64\n"
	"secret_global:\n"
	".globaltype __stack_pointer, i32\n");

static volatile uint64_t in_data = 0x1234567890abcdef;
static volatile uint64_t in_zeros[20000];
static uint32_t initial_pages;

static uint64_t get_global(void)
{
	uint64_t n;

	__asm__ volatile("global.get secret_global\n"
			 "local.set %0\n"
			 : "=r"(n));
	return n;
}

static void set_global(uint64_t n)
{
	__asm__ volatile("local.get %0\n"
			 "global.set secret_global\n"
			 :
			 : "r"(n));
}

/* Where functions that are called from here have their variables. */
static volatile uint64_t *below_stack(void)
{
	uint32_t pointer;

	__asm__ volatile("global.get __stack_pointer\n"
			 "local.set %0\n"
			 : "=r"(pointer));
	return (volatile uint64_t *)(uintptr_t)((pointer - BELOW_STACK) & ~7u);
}

static volatile uint64_t *grown(void)
{
	return (volatile uint64_t *)(uintptr_t)(initial_pages * PAGE_SIZE + 96);
}

static bool has_grown(void)
{
	return __builtin_wasm_memory_size(0) > initial_pages;
}

EXPORT("_initialize") void initialize(void)
{
	initial_pages = (uint32_t)__builtin_wasm_memory_size(0);
	in_data = 0x1122334455667788;
}

enum { PLACES_MAX = 7 };

static uint32_t look(uint64_t *found)
{
	uint32_t n = 0;

	found[n++] = in_data == 0x1122334455667788 ? 0 : in_data;
	found[n++] = in_zeros[0];
	found[n++] = in_zeros[10000];
	found[n++] = in_zeros[19999];
	found[n++] = *below_stack();
	found[n++] = get_global();
	if (has_grown())
		found[n++] = *grown();
	return n;
}

static void plant(uint64_t secret, bool grow)
{
	in_data = secret;
	in_zeros[0] = in_zeros[10000] = in_zeros[19999] = secret;
	*below_stack() = secret;
	set_global(secret);
	if (grow && !has_grown())
		memory_new(PAGE_SIZE);
	if (has_grown())
		*grown() = secret;
}

static int64_t report(const uint64_t *found, uint32_t count)
{
	char buf[32];
	struct out out = {buf, 0, sizeof buf};

	for (uint32_t i = 1; i < count; i++) {
		if (found[i] != found[0]) {
			out_text(&out, TEXT("mixed "));
			out_number(&out, i);
			return answer(200, out_slice(&out));
		}
	}
	if (found[0] == 0)
		return answer(200, TEXT("none"));
	out_text(&out, (struct text){(const char *)found, 8});
	return answer(200, out_slice(&out));
}

EXPORT("handle_request") int64_t handle_request(void)
{
	uint64_t found[PLACES_MAX], secret = 0;
	uint32_t count = look(found);
	struct text uri = uri_text();

	if (uri.n < 9)
		return answer(400, TEXT("expected a slash and eight characters"));
	__builtin_memcpy(&secret, uri.p + 1, 8);
	plant(secret, uri.p[8] >= '0' && uri.p[8] <= '9');
	return report(found, count);
}

NO_RESPONSE_PHASE
