#include "plugin/suspension.h"

#include "core/clock.h"
#include "plugin/abi.h"

/* Asked by the engine on every poll: there is no other way to wake a fiber. */
static bool may_go_on(void *env)
{
	struct instance *i = env;

	if (i->suspension.finished)
		i->suspension.kind = SUSPENSION_NONE;
	return i->suspension.finished;
}

static struct instance *begin(wasmtime_caller_t *caller, enum suspension_kind kind,
			      const wasmtime_val_t *args, size_t arg_count, wasmtime_val_t *result,
			      wasm_trap_t **trap, wasmtime_async_continuation_t *continuation)
{
	struct instance *i = wasmtime_context_get_data(wasmtime_caller_context(caller));
	struct suspension *s = &i->suspension;

	OBJ_CHECK(i, INSTANCE_MAGIC);
	must(s->kind == SUSPENSION_NONE && arg_count <= ARRAY_LEN(s->args));
	*s = (struct suspension){.kind = kind, .result = result, .trap = trap};
	for (size_t n = 0; n < arg_count; n++)
		s->args[n] = (uint32_t)args[n].of.i32;
	if (!instance_memory(i, caller, &s->memory))
		s->memory = (struct guest_memory){0};
	continuation->callback = may_go_on;
	continuation->env = i;
	continuation->finalizer = NULL;
	return i;
}

static void finish(struct instance *i)
{
	i->suspension.finished = true;
	if (i->fault.cause != WEIR_CAUSE_NONE)
		*i->suspension.trap = wasmtime_trap_new("", 0);
}

void suspension_read_body(void *env, wasmtime_caller_t *caller, const wasmtime_val_t *args,
			  size_t arg_count, wasmtime_val_t *results, size_t result_count,
			  wasm_trap_t **trap, wasmtime_async_continuation_t *continuation)
{
	struct instance *i =
		begin(caller, SUSPENSION_BODY, args, arg_count, results, trap, continuation);

	(void)env;
	must(result_count == 1);
	results[0].kind = WASMTIME_I64;
	results[0].of.i64 = 0;
	if (abi_read_body_check(i, i->suspension.memory, i->suspension.args))
		(void)suspension_progress(i);
	else
		finish(i);
}

/* What a function of WASI asks for, once it has been called or finished. */
static void settle(struct instance *i, enum wasi_outcome outcome, uint32_t result)
{
	switch (outcome) {
	case WASI_DONE:
		i->suspension.result->of.i32 = (int32_t)result;
		finish(i);
		break;
	case WASI_SLEEP:
		i->suspension.wake_at_ns = wasi_wake_at_ns(i->wasi);
		break;
	default:
		instance_fault(i, WEIR_CAUSE_ABI, "poll_oneoff: the guest cannot go on");
		finish(i);
	}
}

void suspension_poll_oneoff(void *env, wasmtime_caller_t *caller, const wasmtime_val_t *args,
			    size_t arg_count, wasmtime_val_t *results, size_t result_count,
			    wasm_trap_t **trap, wasmtime_async_continuation_t *continuation)
{
	const struct wasi_function *f = env;
	struct instance *i =
		begin(caller, SUSPENSION_SLEEP, args, arg_count, results, trap, continuation);
	uint32_t result = 0;
	enum wasi_outcome outcome;

	must(result_count == 1);
	results[0].kind = WASMTIME_I32;
	results[0].of.i32 = 0;
	outcome = f->call(i->wasi, i->suspension.memory, i->suspension.args, &result);
	settle(i, outcome, result);
}

static void progress_sleep(struct instance *i)
{
	uint32_t result = 0;
	enum wasi_outcome outcome;

	if (clock_mono_ns() < i->suspension.wake_at_ns)
		return;
	outcome = wasi_poll_finish(i->wasi, i->suspension.memory, i->suspension.args, &result);
	settle(i, outcome, result);
}

bool suspension_progress(struct instance *i)
{
	struct suspension *s = &i->suspension;

	if (s->kind == SUSPENSION_NONE || s->finished)
		return true;
	if (s->kind == SUSPENSION_SLEEP)
		progress_sleep(i);
	else if (abi_read_body(i, s, &s->result->of.i64))
		finish(i);
	return s->finished;
}
