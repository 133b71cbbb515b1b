#include "plugin/call.h"

#include <stdio.h>

#include "core/clock.h"
#include "core/work_note.h"
#include "plugin/engine.h"
#include "plugin/mapping.h"
#include "plugin/output.h"
#include "plugin/plugin.h"

/* A slice that took so many times its length has held up other work. */
#define LATE_SLICES 5u

/* What the first slice of a call may have cost: it is not measured in CPU time, because most calls
 * end within it and that clock is a system call. */
static uint64_t slice_spent_ns(const struct instance *i)
{
	const struct guest_call *c = &i->call;
	uint64_t most = 2 * ticker_slice_ns(i->seat->ticker);

	if (c->measured)
		return clock_thread_cpu_ns() - c->slice_cpu_ns;
	return MIN(clock_mono_ns() - c->slice_mono_ns, most);
}

static bool past_budget(struct instance *i)
{
	struct guest_call *c = &i->call;

	if (c->cpu_ns + slice_spent_ns(i) >= c->cpu_budget_ns) {
		instance_fault(i, WEIR_CAUSE_DEADLINE, "used up its %llu ms of CPU time",
			       (unsigned long long)(c->cpu_budget_ns / 1000000u));
		return true;
	}
	if (clock_mono_ns() >= c->deadline_ns) {
		instance_fault(i, WEIR_CAUSE_DEADLINE, "used up its time");
		return true;
	}
	return false;
}

/* On the guest's fiber, when the epoch has passed the slice's end. */
static wasmtime_error_t *on_epoch(wasmtime_context_t *context, void *data, uint64_t *delta,
				  wasmtime_update_deadline_kind_t *kind)
{
	struct instance *i = data;

	(void)context;
	OBJ_CHECK(i, INSTANCE_MAGIC);
	if (past_budget(i))
		return wasmtime_error_new("deadline");
	i->call.yielded = true;
	*delta = TICKER_SLICE_TICKS;
	*kind = WASMTIME_UPDATE_DEADLINE_YIELD;
	return NULL;
}

void call_attach(struct instance *i)
{
	wasmtime_store_epoch_deadline_callback(i->store, on_epoch, i, NULL);
}

static struct guest_call *begin(struct instance *i, const char *name, uint64_t deadline_ns)
{
	struct guest_call *c = &i->call;

	must(c->future == NULL && i->fault.cause == WEIR_CAUSE_NONE);
	*c = (struct guest_call){
		.name = name,
		.cpu_budget_ns = ms_to_ns(i->state == INSTANCE_STARTING
						  ? i->plugin->facts.limits.init_ms
						  : i->plugin->facts.limits.call_cpu_ms),
		.deadline_ns = deadline_ns,
	};
	return c;
}

void call_begin(struct instance *i, const char *name, const wasmtime_func_t *function,
		const wasmtime_val_t *args, size_t arg_count, size_t result_count,
		uint64_t deadline_ns)
{
	struct guest_call *c = begin(i, name, deadline_ns);

	must(arg_count <= ARRAY_LEN(c->args) && result_count <= 1);
	for (size_t n = 0; n < arg_count; n++)
		c->args[n] = args[n];
	c->function = *function;
	c->future = wasmtime_func_call_async(i->context, &c->function, c->args, arg_count,
					     &c->result, result_count, &c->trap, &c->error);
}

void call_begin_instantiation(struct instance *i, uint64_t deadline_ns)
{
	struct guest_call *c = begin(i, "instantiation", deadline_ns);

	c->future = wasmtime_instance_pre_instantiate_async(i->plugin->module->linked, i->context,
							    &i->handle, &c->trap, &c->error);
}

/* A guest that stands near its limit was probably refused memory, and gave up. */
static void add_memory_hint(struct str *text, struct instance *i)
{
	struct guest_memory memory;
	uint64_t limit = i->plugin->facts.limits.memory_bytes;

	if (instance_memory(i, NULL, &memory) && memory.size_bytes >= limit - limit / 16)
		str_format(text, ", its memory stands at %zu of %llu bytes", memory.size_bytes,
			   (unsigned long long)limit);
}

static void explain(struct instance *i)
{
	struct guest_call *c = &i->call;
	struct fault *f = &i->fault;
	struct str text = {0};
	enum weir_cause cause = c->trap != NULL ? WEIR_CAUSE_TRAP : WEIR_CAUSE_MEMORY;
	bool by_host = f->cause != WEIR_CAUSE_NONE;

	str_format(&text, "%s: ", c->name);
	engine_explain(&text, by_host ? slice_from(f->text) : SLICE(""),
		       i->plugin->module->code_moved, c->trap, c->error);
	if (!by_host) {
		f->cause = cause;
		add_memory_hint(&text, i);
	}
	c->trap = NULL;
	c->error = NULL;
	/* Where memory is short, what the host has said before must do. */
	if (!text.failed)
		(void)snprintf(f->text, sizeof f->text, "%.*s", SLICE_ARG(str_slice(&text)));
	else if (!by_host)
		(void)snprintf(f->text, sizeof f->text, "%s: failed, and memory is short", c->name);
	output_flatten(f->text);
	str_free(&text);
}

static enum run finish(struct instance *i)
{
	struct guest_call *c = &i->call;

	wasmtime_call_future_delete(c->future);
	c->future = NULL;
	i->suspension.kind = SUSPENSION_NONE;
	counter_add(&i->counters->cpu_ns, c->cpu_ns);
	if (i->state != INSTANCE_STARTING)
		histogram_note(&i->counters->call, c->cpu_ns);
	if (c->trap == NULL && c->error == NULL)
		return RUN_DONE;
	explain(i);
	return RUN_FAILED;
}

static enum run waiting(const struct instance *i)
{
	switch (i->suspension.kind) {
	case SUSPENSION_BODY:
		return RUN_BODY;
	case SUSPENSION_SLEEP:
		return RUN_SLEEP;
	default:
		must_not_reach("a guest is suspended for no known reason");
	}
}

/* The deadline passes while the guest sleeps or waits for its turn. */
static enum run give_up(struct instance *i)
{
	char text[sizeof i->fault.text];

	instance_fault(i, WEIR_CAUSE_DEADLINE, "used up its time");
	(void)snprintf(text, sizeof text, "%s: %.200s", i->call.name, i->fault.text);
	memcpy(i->fault.text, text, sizeof text);
	call_cancel(i);
	return RUN_FAILED;
}

/* It has changed more memory than it may, and the budget is used up. */
static enum run refuse_memory(struct instance *i, enum run run)
{
	if (run == RUN_FAILED)
		return run;
	instance_fault(i, WEIR_CAUSE_BUSY, "the plugins' memory budget is used up");
	return give_up(i);
}

/* One instruction that fills or copies a whole memory cannot be interrupted. The first slice of a
 * call is not measured in CPU time: there, the system's other work counts, too. */
static void note_late(struct instance *i, uint64_t spent_ns)
{
	uint64_t slice_ns = ticker_slice_ns(i->seat->ticker);

	if (LIKELY(spent_ns < 2 * slice_ns))
		return;
	if (!i->call.measured)
		spent_ns = clock_mono_ns() - i->call.slice_mono_ns;
	if (spent_ns >= LATE_SLICES * slice_ns)
		counter_add(&i->counters->late_slices, 1);
}

static enum run run_slice(struct instance *i)
{
	struct guest_call *c = &i->call;
	uint64_t spent_ns;
	bool done, within;

	c->measured = c->measured || c->yielded;
	c->yielded = false;
	if (c->measured)
		c->slice_cpu_ns = clock_thread_cpu_ns();
	else
		c->slice_mono_ns = clock_mono_ns();
	wasmtime_context_set_epoch_deadline(i->context, TICKER_SLICE_TICKS);
	ticker_enter(i->seat);
	mapping_use(i->begins_as);
	work_note.plugin = i->plugin->facts.name;
	done = wasmtime_call_future_poll(c->future);
	work_note.plugin = NULL;
	mapping_use(NULL);
	ticker_leave(i->seat);
	spent_ns = slice_spent_ns(i);
	c->cpu_ns += spent_ns;
	note_late(i, spent_ns);
	within = charge_note(i, spent_ns);
	if (done)
		return within ? finish(i) : refuse_memory(i, finish(i));
	if (!within)
		return refuse_memory(i, RUN_YIELD);
	if (!c->yielded)
		return waiting(i);
	counter_add(&i->counters->yields, 1);
	return RUN_YIELD;
}

enum run call_run(struct instance *i)
{
	OBJ_CHECK(i, INSTANCE_MAGIC);
	must(i->call.future != NULL);
	if (!suspension_progress(i)) {
		if (i->suspension.kind == SUSPENSION_SLEEP &&
		    clock_mono_ns() >= i->call.deadline_ns)
			return give_up(i);
		return waiting(i);
	}
	if (i->call.yielded && clock_mono_ns() >= i->call.deadline_ns)
		return give_up(i);
	return run_slice(i);
}

void call_cancel(struct instance *i)
{
	if (i->call.future == NULL)
		return;
	wasmtime_call_future_delete(i->call.future);
	i->call.future = NULL;
	i->suspension.kind = SUSPENSION_NONE;
	counter_add(&i->counters->cpu_ns, i->call.cpu_ns);
}
