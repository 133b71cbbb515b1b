#include "plugin/instance.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "plugin/call.h"
#include "plugin/output.h"
#include "plugin/plugin.h"
#include "plugin/rewrite.h"

/* To put so much back takes a few microseconds. */
#define QUICK_BYTES ((uint64_t)64 * 1024)

/* So much of the guest's output while starting goes into the error if the start fails. */
#define START_OUTPUT_MAX_BYTES 480

const char *instance_state_text(enum instance_state state)
{
	static const char *const texts[] = {
#define X(name, text) [INSTANCE_##name] = text,
		INSTANCE_STATES(X)
#undef X
	};

	return texts[state];
}

static void enter_state(struct instance *i, enum instance_state from, enum instance_state to)
{
	must(i->state == from);
	i->state = to;
}

static int64_t limit_of(uint64_t n)
{
	return n > INT64_MAX ? -1 : (int64_t)n;
}

static void make_store(struct instance *i)
{
	const struct weir_limits *limits = &i->plugin->facts.limits;

	i->store = wasmtime_store_new(i->plugin->host->engine, i, NULL);
	i->context = wasmtime_store_context(i->store);
	wasmtime_store_limiter(i->store, limit_of(limits->memory_bytes),
			       limit_of(limits->table_elements), 1, limit_of(limits->tables), 1);
	call_attach(i);
}

static void on_wasi_line(void *ctx, int fd, slice line)
{
	output_line(ctx, fd == 1 ? WEIR_LOG_STDOUT : WEIR_LOG_STDERR,
		    fd == 1 ? WEIR_LOG_DEBUG : WEIR_LOG_INFO, line);
}

static int make_wasi(struct instance *i, struct weir_error *error)
{
	struct weir_plugin *p = i->plugin;
	const struct wasi_options options = {
		.envs = p->envs,
		.env_count = p->env_count,
		.mounts = p->mounts,
		.mount_count = p->mount_count,
		.output = on_wasi_line,
		.ctx = i,
		.line_max_bytes = OUTPUT_LINE_MAX_BYTES,
		.files_max = p->facts.limits.open_files,
		.files = &p->files,
	};

	return wasi_create(&i->wasi, &options, error);
}

static int copy_wasi(struct instance *i, const struct snapshot *s, struct weir_error *error)
{
	int r = wasi_clone(&i->wasi, s->wasi, error);

	if (r == 0)
		wasi_set_output_ctx(i->wasi, i);
	return r;
}

/* What the instance owns besides the store. */
static int equip(struct instance *i, struct weir_error *error)
{
	const struct weir_plugin *p = i->plugin;

	i->begins_as = p->snapshot != NULL ? p->snapshot->image : p->module->initial;
	i->globals = calloc(p->module->global_count + 1u, sizeof *i->globals);
	if (i->globals == NULL)
		return error_set(error, -ENOMEM, "not enough memory for an instance");
	return p->snapshot != NULL ? copy_wasi(i, p->snapshot, error) : make_wasi(i, error);
}

int instance_create(struct instance **instance, struct weir_plugin *plugin,
		    struct ticker_seat *seat, struct counters *counters, uint64_t reserved_bytes,
		    struct weir_error *error)
{
	struct instance *i = calloc(1, sizeof *i);
	int r;

	if (i == NULL)
		return error_set(error, -ENOMEM, "not enough memory for an instance");
	i->magic = INSTANCE_MAGIC;
	i->state = INSTANCE_STARTING;
	i->plugin = plugin;
	i->seat = seat;
	i->counters = counters;
	i->start_output.limit = START_OUTPUT_MAX_BYTES;
	output_restart(i);
	r = equip(i, error);
	if (r < 0) {
		free(i->globals);
		free(i);
		return r;
	}
	make_store(i);
	i->charge.reserved_bytes = reserved_bytes;
	(void)atomic_fetch_add(&plugin->created, 1);
	counter_add(&counters->in_use, 1);
	i->since_ns = clock_mono_ns();
	i->start_deadline_ns = add_ns(i->since_ns, ms_to_ns(plugin->facts.limits.init_ms));
	call_begin_instantiation(i, i->start_deadline_ns);
	*instance = i;
	return 0;
}

static wasmtime_func_t get_function(struct instance *i, const char *name)
{
	wasmtime_extern_t item;
	bool found =
		wasmtime_instance_export_get(i->context, &i->handle, name, strlen(name), &item);

	must(found && item.kind == WASMTIME_EXTERN_FUNC);
	return item.of.func;
}

static void look_up_globals(struct instance *i)
{
	for (uint32_t n = 0; n < i->plugin->module->global_count; n++) {
		char name[32];
		int length = snprintf(name, sizeof name, REWRITE_GLOBAL_FORMAT, n);
		wasmtime_extern_t item;
		bool found = wasmtime_instance_export_get(i->context, &i->handle, name,
							  (size_t)length, &item);

		must(found && item.kind == WASMTIME_EXTERN_GLOBAL);
		i->globals[n] = item.of.global;
	}
}

/* The module's exports have been checked when it was loaded. */
static void look_up_exports(struct instance *i)
{
	wasmtime_extern_t item;
	bool found = wasmtime_instance_export_get(i->context, &i->handle, "memory", 6, &item);

	must(found && item.kind == WASMTIME_EXTERN_MEMORY);
	i->memory = item.of.memory;
	i->handle_request = get_function(i, "handle_request");
	i->handle_response = get_function(i, "handle_response");
	look_up_globals(i);
	i->instantiated = true;
}

static void begin_start_function(struct instance *i, const char *name, const char *shown)
{
	wasmtime_func_t f = get_function(i, name);

	call_begin(i, shown, &f, NULL, 0, 0, i->start_deadline_ns);
}

/* A command's start function that ends by exit(0) has done its work: the guest's memory stays as it
 * left it. */
static bool ended_well(struct instance *i)
{
	bool well = i->start_stage == START_COMMAND && i->fault.exited && i->fault.exit_code == 0;

	if (well)
		i->fault = (struct fault){0};
	return well;
}

struct stage {
	const char *function;
	const char *shown;
	bool present;
};

static struct stage stage_of(const struct instance *i)
{
	const struct module *m = i->plugin->module;

	switch (i->start_stage) {
	case START_SECTION:
		/* To the guest's author it is part of the instantiation. */
		return (struct stage){REWRITE_START, "instantiation", m->has_section};
	case START_COMMAND:
		return (struct stage){"_start", "_start", m->has_start};
	default:
		return (struct stage){"_initialize", "_initialize", m->has_initialize};
	}
}

/* Begins the next stage that this module has. */
static void next_stage(struct instance *i)
{
	if (i->start_stage == START_INSTANTIATE) {
		look_up_exports(i);
		if (i->plugin->snapshot != NULL) {
			snapshot_enter(i->plugin->snapshot, i);
			i->start_stage = START_OVER;
			return;
		}
	}
	while (++i->start_stage != START_OVER) {
		struct stage s = stage_of(i);

		if (s.present) {
			begin_start_function(i, s.function, s.shown);
			return;
		}
	}
}

static void set_linear(struct instance *i, uint64_t bytes)
{
	counter_add(&i->counters->linear_bytes, bytes - i->linear_bytes);
	i->linear_bytes = bytes;
}

static void note_linear(struct instance *i)
{
	set_linear(i, wasmtime_memory_data_size(i->context, &i->memory));
}

enum run instance_start(struct instance *i)
{
	OBJ_CHECK(i, INSTANCE_MAGIC);
	must(i->state == INSTANCE_STARTING);
	while (i->start_stage != START_OVER) {
		enum run run = call_run(i);

		if (run == RUN_FAILED && ended_well(i))
			run = RUN_DONE;
		if (run != RUN_DONE)
			return run;
		next_stage(i);
	}
	wasi_flush(i->wasi);
	output_finish(i);
	str_free(&i->start_output);
	histogram_note(i->plugin->snapshot != NULL ? &i->counters->clone : &i->counters->init,
		       clock_mono_ns() - i->since_ns);
	note_linear(i);
	(void)atomic_fetch_or(&i->plugin->features, i->start_features);
	enter_state(i, INSTANCE_STARTING, INSTANCE_IDLE);
	counter_sub(&i->counters->in_use, 1);
	counter_add(&i->counters->idle, 1);
	return RUN_DONE;
}

void instance_destroy(struct instance **instance)
{
	struct instance *i;

	OBJ_TAKE(i, instance, INSTANCE_MAGIC);
	must(i->state != INSTANCE_DEAD && !list_linked(&i->link));
	call_cancel(i);
	counter_sub(i->state == INSTANCE_IDLE ? &i->counters->idle : &i->counters->in_use, 1);
	wasi_destroy(&i->wasi);
	output_finish(i);
	wasmtime_store_delete(i->store);
	str_free(&i->start_output);
	free(i->globals);
	charge_end(i);
	set_linear(i, 0);
	(void)atomic_fetch_add(&i->plugin->destroyed, 1);
	i->state = INSTANCE_DEAD;
	i->magic = 0;
	free(i);
}

void instance_move(struct instance *i, struct ticker_seat *seat, struct counters *counters)
{
	OBJ_CHECK(i, INSTANCE_MAGIC);
	must(i->state == INSTANCE_IDLE && !list_linked(&i->link));
	counter_sub(&i->counters->idle, 1);
	counter_sub(&i->counters->private_bytes, i->charge.measured_bytes);
	counter_sub(&i->counters->linear_bytes, i->linear_bytes);
	i->seat = seat;
	i->counters = counters;
	charge_move(i);
	counter_add(&i->counters->idle, 1);
	counter_add(&i->counters->private_bytes, i->charge.measured_bytes);
	counter_add(&i->counters->linear_bytes, i->linear_bytes);
}

void instance_begin_request(struct instance *i, struct weir_exchange *e)
{
	OBJ_CHECK(i, INSTANCE_MAGIC);
	enter_state(i, INSTANCE_IDLE, INSTANCE_REQUEST);
	counter_sub(&i->counters->idle, 1);
	counter_add(&i->counters->in_use, 1);
	i->exchange = e;
	i->requests++;
	i->rested = false;
	output_restart(i);
}

void instance_hold(struct instance *i)
{
	OBJ_CHECK(i, INSTANCE_MAGIC);
	enter_state(i, INSTANCE_REQUEST, INSTANCE_HELD);
}

void instance_begin_response(struct instance *i)
{
	OBJ_CHECK(i, INSTANCE_MAGIC);
	enter_state(i, INSTANCE_HELD, INSTANCE_RESPONSE);
}

/* `drop`: and the pages that it has for itself go. */
static bool put_back(struct instance *i, bool drop)
{
	const struct snapshot *s = i->plugin->snapshot;
	uint64_t begun_ns;

	if (s == NULL)
		return false;
	begun_ns = clock_mono_ns();
	if (!snapshot_restore(s, i, drop))
		return false;
	i->requests = 0;
	i->since_ns = clock_mono_ns();
	histogram_note(&i->counters->restore, i->since_ns - begun_ns);
	return true;
}

bool instance_rest(struct instance *i)
{
	OBJ_CHECK(i, INSTANCE_MAGIC);
	must(i->state == INSTANCE_IDLE);
	if (i->plugin->snapshot == NULL || i->rested)
		return true;
	i->rested = put_back(i, true);
	return i->rested;
}

static bool worn(const struct instance *i)
{
	const struct weir_limits *l = &i->plugin->facts.limits;

	if (i->requests >= l->requests)
		return true;
	return l->age_ms != UINT64_MAX &&
	       clock_mono_ns() >= add_ns(i->since_ns, ms_to_ns(l->age_ms));
}

static bool is_large(struct instance *i)
{
	uint64_t most = i->plugin->facts.limits.private_bytes;

	return most != UINT64_MAX && charge_exceeds(i, most);
}

/* Whether it may serve the next request. */
static bool renew(struct instance *i)
{
	bool large;

	if (i->plugin->facts.isolation == WEIR_ISOLATION_FRESH)
		return false;
	large = is_large(i);
	if (i->plugin->facts.isolation == WEIR_ISOLATION_RESET || large || worn(i))
		return put_back(i, large);
	return true;
}

void instance_finish(struct instance *i)
{
	OBJ_CHECK(i, INSTANCE_MAGIC);
	must(i->call.future == NULL && i->fault.cause == WEIR_CAUSE_NONE);
	wasi_flush(i->wasi);
	output_finish(i);
	note_linear(i);
	i->exchange = NULL;
	enter_state(i, i->state == INSTANCE_RESPONSE ? INSTANCE_RESPONSE : INSTANCE_REQUEST,
		    INSTANCE_USED);
}

bool instance_releases_quickly(const struct instance *i)
{
	const struct weir_plugin *p = i->plugin;

	must(i->state == INSTANCE_USED);
	switch (p->facts.isolation) {
	case WEIR_ISOLATION_REUSE:
		return !worn(i);
	case WEIR_ISOLATION_RESET:
		return counter_get(&p->changed_high_bytes) <= QUICK_BYTES;
	default:
		return false;
	}
}

bool instance_release(struct instance *i)
{
	OBJ_CHECK(i, INSTANCE_MAGIC);
	must(i->state == INSTANCE_USED);
	if (!renew(i))
		return false;
	enter_state(i, INSTANCE_USED, INSTANCE_IDLE);
	counter_sub(&i->counters->in_use, 1);
	counter_add(&i->counters->idle, 1);
	return true;
}

bool instance_memory(struct instance *i, wasmtime_caller_t *caller, struct guest_memory *memory)
{
	if (!i->instantiated) {
		wasmtime_extern_t item;

		if (caller == NULL || !wasmtime_caller_export_get(caller, "memory", 6, &item))
			return false;
		must(item.kind == WASMTIME_EXTERN_MEMORY);
		i->memory = item.of.memory;
	}
	memory->base = wasmtime_memory_data(i->context, &i->memory);
	memory->size_bytes = wasmtime_memory_data_size(i->context, &i->memory);
	return true;
}

uint64_t instance_wake_at_ns(const struct instance *i)
{
	must(i->suspension.kind == SUSPENSION_SLEEP);
	return MIN(i->suspension.wake_at_ns, i->call.deadline_ns);
}

void instance_fault(struct instance *i, enum weir_cause cause, const char *format, ...)
{
	va_list args;

	if (i->fault.cause != WEIR_CAUSE_NONE)
		return;
	i->fault.cause = cause;
	va_start(args, format);
	(void)vsnprintf(i->fault.text, sizeof i->fault.text, format, args);
	va_end(args);
}
