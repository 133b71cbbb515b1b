#include "plugin/engine.h"

#include <errno.h>

#include "core/base.h"
#include "plugin/mapping.h"

/* Guests get the first part of a fiber's stack, host functions the rest. */
#define GUEST_STACK_BYTES ((size_t)512 * 1024)
#define FIBER_STACK_BYTES ((size_t)1024 * 1024)

#define STACK_FRAMES_MAX 6

wasm_engine_t *engine_create(void)
{
	wasm_config_t *c = wasm_config_new();
	wasm_engine_t *engine;

	wasmtime_config_epoch_interruption_set(c, true);
	wasmtime_config_max_wasm_stack_set(c, GUEST_STACK_BYTES);
	wasmtime_config_async_stack_size_set(c, FIBER_STACK_BYTES);
	/* The engine's defaults are WebAssembly 3.0: guests need no more than 2.0. */
	wasmtime_config_wasm_tail_call_set(c, false);
	wasmtime_config_wasm_relaxed_simd_set(c, false);
	wasmtime_config_wasm_multi_memory_set(c, false);
	wasmtime_config_wasm_memory64_set(c, false);
	wasmtime_config_wasm_wide_arithmetic_set(c, false);
	wasmtime_config_wasm_custom_page_sizes_set(c, false);
	wasmtime_config_wasm_stack_switching_set(c, false);
	wasmtime_config_shared_memory_set(c, false);
	mapping_configure(c);
	engine = wasm_engine_new_with_config(c);
	must(engine != NULL);
	return engine;
}

static const char *const trap_texts[] = {
	[WASMTIME_TRAP_CODE_STACK_OVERFLOW] = "call stack exhausted",
	[WASMTIME_TRAP_CODE_MEMORY_OUT_OF_BOUNDS] = "out of bounds memory access",
	[WASMTIME_TRAP_CODE_HEAP_MISALIGNED] = "misaligned memory access",
	[WASMTIME_TRAP_CODE_TABLE_OUT_OF_BOUNDS] = "out of bounds table access",
	[WASMTIME_TRAP_CODE_INDIRECT_CALL_TO_NULL] = "indirect call to null",
	[WASMTIME_TRAP_CODE_BAD_SIGNATURE] = "indirect call with a wrong signature",
	[WASMTIME_TRAP_CODE_INTEGER_OVERFLOW] = "integer overflow",
	[WASMTIME_TRAP_CODE_INTEGER_DIVISION_BY_ZERO] = "integer division by zero",
	[WASMTIME_TRAP_CODE_BAD_CONVERSION_TO_INTEGER] = "invalid conversion to integer",
	[WASMTIME_TRAP_CODE_UNREACHABLE_CODE_REACHED] = "unreachable executed",
	[WASMTIME_TRAP_CODE_INTERRUPT] = "interrupted",
};

/* The engine's messages have many lines; a log line has one. */
static void add_flat(struct str *out, const wasm_name_t *message)
{
	bool gap = false;

	for (size_t i = 0; i < message->size && message->data[i] != '\0'; i++) {
		char c = message->data[i];

		if (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
			gap = true;
			continue;
		}
		if (gap)
			str_add_char(out, ' ');
		gap = false;
		str_add_char(out, c);
	}
}

static void add_reason(struct str *out, slice why, const wasm_trap_t *trap,
		       const wasmtime_error_t *error)
{
	wasm_name_t message = {0, NULL};
	wasmtime_trap_code_t code;

	if (why.n > 0) {
		str_add(out, why);
		return;
	}
	if (trap != NULL && wasmtime_trap_code(trap, &code) && code < ARRAY_LEN(trap_texts) &&
	    trap_texts[code] != NULL) {
		str_add(out, slice_from(trap_texts[code]));
		return;
	}
	if (trap != NULL)
		wasm_trap_message(trap, &message);
	else if (error != NULL)
		wasmtime_error_message(error, &message);
	add_flat(out, &message);
	wasm_name_delete(&message);
}

static void add_frame(struct str *out, const wasm_frame_t *frame, int64_t code_moved)
{
	const wasm_name_t *name = wasmtime_frame_func_name(frame);

	if (name != NULL && name->size > 0)
		str_add(out, slice_of(name->data, MIN(name->size, (size_t)120)));
	else
		str_format(out, "func[%u]", wasm_frame_func_index(frame));
	/* Where a stack overflows, the engine does not know it. */
	if (wasm_frame_module_offset(frame) != SIZE_MAX)
		str_format(out, "@0x%zx",
			   (size_t)((int64_t)wasm_frame_module_offset(frame) - code_moved));
}

static void add_stack(struct str *out, int64_t code_moved, const wasm_trap_t *trap,
		      const wasmtime_error_t *error)
{
	wasm_frame_vec_t frames = {0, NULL};

	if (trap != NULL)
		wasm_trap_trace(trap, &frames);
	else if (error != NULL)
		wasmtime_error_wasm_trace(error, &frames);
	for (size_t i = 0; i < frames.size && i < STACK_FRAMES_MAX; i++) {
		str_add(out, i == 0 ? SLICE(", in ") : SLICE(" < "));
		add_frame(out, frames.data[i], code_moved);
	}
	if (frames.size > STACK_FRAMES_MAX)
		str_format(out, " < %zu more", frames.size - STACK_FRAMES_MAX);
	wasm_frame_vec_delete(&frames);
}

void engine_explain(struct str *out, slice why, int64_t code_moved, wasm_trap_t *trap,
		    wasmtime_error_t *error)
{
	add_reason(out, why, trap, error);
	add_stack(out, code_moved, trap, error);
	if (trap != NULL)
		wasm_trap_delete(trap);
	if (error != NULL)
		wasmtime_error_delete(error);
}

int engine_compile(wasmtime_module_t **module, wasm_engine_t *engine, slice original,
		   slice rewritten, struct weir_error *error)
{
	struct str why = {0};
	wasmtime_error_t *e =
		wasmtime_module_validate(engine, (const uint8_t *)original.p, original.n);

	if (e == NULL)
		e = wasmtime_module_new(engine, (const uint8_t *)rewritten.p, rewritten.n, module);
	if (e == NULL)
		return 0;
	*module = NULL;
	engine_explain(&why, SLICE(""), 0, NULL, e);
	(void)error_set(error, -EINVAL, "does not compile: %s",
			why.p != NULL ? why.p : "not enough memory");
	str_free(&why);
	return -EINVAL;
}
