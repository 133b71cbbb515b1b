/*
 * Leaves its stack pointer 2 KiB lower after every request, whatever the URI, and what it wrote
 * there. Says how far it was from the first one; traps when the stack is used up.
 */
#include "../http_wasm.h"

#define TAKEN_BYTES 2048u
#define STACK_BYTES 60000u

__asm__(".globaltype __stack_pointer, i32\n");

static uint32_t initial;

static uint32_t get_pointer(void)
{
	uint32_t pointer;

	__asm__ volatile("global.get __stack_pointer\n"
			 "local.set %0\n"
			 : "=r"(pointer));
	return pointer;
}

static void set_pointer(uint32_t pointer)
{
	__asm__ volatile("local.get %0\n"
			 "global.set __stack_pointer\n"
			 :
			 : "r"(pointer));
}

EXPORT("_initialize") void initialize(void)
{
	initial = get_pointer();
}

__attribute__((noinline)) static uint32_t say(void)
{
	char buf[16];
	struct out out = {buf, 0, sizeof buf};
	uint32_t depth = initial - get_pointer();

	out_number(&out, depth);
	set_header(RESPONSE_HEADERS, TEXT("x-depth"), out_slice(&out));
	return depth;
}

/* Without variables on the stack: the function would put the pointer back. */
EXPORT("handle_request") int64_t handle_request(void)
{
	static volatile uint32_t depth;

	depth = say();
	if (depth > STACK_BYTES)
		__builtin_trap();
	set_pointer(get_pointer() - TAKEN_BYTES);
	*(volatile uint32_t *)(uintptr_t)get_pointer() = 0x5ec2e7;
	return NEXT;
}

NO_RESPONSE_PHASE
