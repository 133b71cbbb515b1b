#include "plugin/abi.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "plugin/plugin.h"

static const struct abi_function functions[] = {
#define X(name, params, results, at_start) {#name, params, results, at_start, abi_##name},
	ABI_FUNCTIONS(X)
#undef X
		{"read_body", "iii", "I", false, NULL},
};

const struct abi_function *abi_functions(size_t *count)
{
	*count = ARRAY_LEN(functions);
	return functions;
}

bool abi_fault(struct abi_call *c, const char *format, ...)
{
	char text[sizeof c->instance->fault.text];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	instance_fault(c->instance, WEIR_CAUSE_ABI, "%s", text);
	return false;
}

bool abi_refused(struct abi_call *c, int r, const char *what)
{
	instance_fault(c->instance, r == -EFBIG ? WEIR_CAUSE_MEMORY : WEIR_CAUSE_EMBEDDER, "%s: %s",
		       what, strerror(-r));
	return false;
}

bool abi_guest_bytes(struct abi_call *c, size_t n, const char *what, slice *bytes)
{
	uint32_t at = abi_arg(c, n), length = abi_arg(c, n + 1);

	*bytes = SLICE("");
	if (length == 0)
		return true;
	if (!abi_in_bounds(c->memory, at, length))
		return abi_fault(c, "out of memory reading %s: %u bytes at %u of %zu", what, length,
				 at, c->memory.size_bytes);
	*bytes = slice_of((const char *)c->memory.base + at, length);
	return true;
}

bool abi_guest_text(struct abi_call *c, size_t n, const char *what, slice *text)
{
	uint64_t limit = c->instance->plugin->facts.limits.text_bytes;

	if (!abi_guest_bytes(c, n, what, text))
		return false;
	return text->n <= limit || abi_fault(c, "%s has %zu bytes, expected at most %llu", what,
					     text->n, (unsigned long long)limit);
}

bool abi_give(struct abi_call *c, size_t n, const char *what, slice value)
{
	uint32_t at = abi_arg(c, n), limit = abi_arg(c, n + 1);

	if (value.n > INT32_MAX)
		return abi_fault(c, "%s has %zu bytes, more than a guest can hold", what, value.n);
	if (value.n > 0 && value.n <= limit) {
		if (!abi_in_bounds(c->memory, at, value.n))
			return abi_fault(c, "out of memory writing %s: %zu bytes at %u of %zu",
					 what, value.n, at, c->memory.size_bytes);
		memcpy(c->memory.base + at, value.p, value.n);
	}
	c->v[0].i32 = (int32_t)value.n;
	return true;
}

bool abi_is_token(slice s)
{
	static const char marks[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < s.n; i++) {
		char c = ascii_lower(s.p[i]);

		if (!(c >= 'a' && c <= 'z') && !ascii_digit(c) &&
		    (c == '\0' || strchr(marks, c) == NULL))
			return false;
	}
	return s.n > 0;
}
