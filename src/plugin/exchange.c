#include "plugin/exchange.h"

#include <errno.h>
#include <stdlib.h>

#include "core/clock.h"
#include "plugin/call.h"
#include "plugin/pool.h"

/* What a client is told that comes when all instances are busy. */
#define BUSY_RETRY_MS 1000u

/* How often an exchange that waits for memory looks again. */
#define MEMORY_POLL_NS 10000000u

static void enter_state(struct weir_exchange *e, enum exchange_state from, enum exchange_state to)
{
	must(e->state == from);
	e->state = to;
}

/* Pages that the instance has for itself; 0 where that is not known, or not wanted. */
static uint64_t measure(const struct weir_exchange *e)
{
	const struct weir_host *host = e->pool->plugin->host;
	struct guest_memory memory;
	int64_t bytes = 0;

	if (host->options.measure && instance_memory(e->instance, NULL, &memory))
		bytes = restore_private_bytes(&host->restorer, memory.base, memory.size_bytes);
	return bytes > 0 ? (uint64_t)bytes : 0;
}

static void note_changes(struct weir_exchange *e)
{
	uint64_t now = measure(e);

	if (now > e->private_bytes)
		e->facts.changed_bytes = now - e->private_bytes;
}

/* An instance that cannot serve again; others may be made in its place. */
static void drop_instance(struct weir_exchange *e)
{
	if (e->instance == NULL)
		return;
	instance_destroy(&e->instance);
	pool_put_slot(e->pool);
}

static void give_back(struct weir_exchange *e)
{
	note_changes(e);
	instance_finish(e->instance);
	pool_put_used(e->pool, &e->instance);
}

static void tell_guard(struct weir_exchange *e, enum weir_cause cause)
{
	struct weir_plugin *p = e->pool->plugin;

	if (cause == WEIR_CAUSE_START)
		guard_note_failure(p, GUARD_STARTS, e->start_trial, e->error.text);
	else if (guard_counts(cause))
		guard_note_failure(p, GUARD_CALLS, e->trial, e->error.text);
}

/* The error's text has been set. */
static enum weir_step fail(struct weir_exchange *e, enum weir_cause cause)
{
	e->cause = cause;
	e->state = EXCHANGE_FAILED;
	if (cause == WEIR_CAUSE_BUSY)
		e->retry_ms = BUSY_RETRY_MS;
	counter_add(&e->pool->counters.failures[cause], 1);
	tell_guard(e, cause);
	drop_instance(e);
	return WEIR_FAILED;
}

static enum weir_step fail_refused(struct weir_exchange *e, enum guarded what)
{
	e->retry_ms = guard_retry_ms(e->pool->plugin, what);
	(void)error_set(&e->error, -EBUSY, "%s failed nearly always: the next is tried in %llu ms",
			what == GUARD_CALLS ? "its requests" : "starting its instances",
			(unsigned long long)e->retry_ms);
	return fail(e, WEIR_CAUSE_CIRCUIT);
}

/* The guest has done its part. */
static void note_success(struct weir_exchange *e)
{
	if (UNLIKELY(e->trial))
		guard_note_success(e->pool->plugin, GUARD_CALLS);
	e->trial = false;
}

static enum weir_step fail_guest(struct weir_exchange *e)
{
	const struct fault *f = &e->instance->fault;
	bool starting = e->state == EXCHANGE_STARTING && f->cause != WEIR_CAUSE_BUSY;

	if (e->state != EXCHANGE_STARTING)
		note_changes(e);
	(void)error_set(&e->error, -ENOEXEC, "%s%s",
			starting ? "an additional instance cannot start: " : "", f->text);
	return fail(e, starting ? WEIR_CAUSE_START : f->cause);
}

/* The budget runs while the guest works, sleeps or yields, not while it waits for the client. */
static void account_wait(struct weir_exchange *e, enum run run)
{
	uint64_t now;

	if ((run == RUN_BODY) == (e->body_wait_since_ns != 0))
		return;
	now = clock_mono_ns();
	if (run == RUN_BODY) {
		e->body_wait_since_ns = now;
		return;
	}
	e->body_wait_since_ns = 0;
}

/* Before the guest runs on: the time that it waited for the client does not count. */
static void forgive_wait(struct weir_exchange *e)
{
	struct guest_call *c = &e->instance->call;
	uint64_t now;

	if (e->body_wait_since_ns == 0)
		return;
	now = clock_mono_ns();
	c->deadline_ns = add_ns(c->deadline_ns, now - e->body_wait_since_ns);
	e->body_wait_since_ns = now;
}

static uint64_t wall_deadline(const struct weir_exchange *e)
{
	return add_ns(clock_mono_ns(), e->wall_left_ns);
}

static void note_wall_left(struct weir_exchange *e)
{
	uint64_t now = clock_mono_ns(), deadline = e->instance->call.deadline_ns;

	if (e->wall_left_ns != UINT64_MAX)
		e->wall_left_ns = deadline > now ? deadline - now : 0;
}

static void note_queue_wait(struct weir_exchange *e)
{
	if (e->queued_since_ns == 0)
		return;
	histogram_note(&e->pool->counters.queue_wait, clock_mono_ns() - e->queued_since_ns);
	e->queued_since_ns = 0;
}

static enum weir_step run_guest(struct weir_exchange *e);

static void begin_request(struct weir_exchange *e)
{
	struct instance *i = e->instance;

	note_queue_wait(e);
	e->state = EXCHANGE_REQUEST;
	e->features = atomic_load_explicit(&e->pool->plugin->features, memory_order_relaxed);
	e->private_bytes = measure(e);
	instance_begin_request(i, e);
	call_begin(i, "handle_request", &i->handle_request, NULL, 0, 1, wall_deadline(e));
}

static enum weir_step end_request(struct weir_exchange *e)
{
	uint64_t result = (uint64_t)e->instance->call.result.of.i64;

	e->facts.features = e->features;
	if ((uint32_t)result == 0) {
		enter_state(e, EXCHANGE_REQUEST, EXCHANGE_OVER);
		note_success(e);
		give_back(e);
		return WEIR_STOP;
	}
	enter_state(e, EXCHANGE_REQUEST, EXCHANGE_NEXT);
	e->context = (uint32_t)(result >> 32);
	e->facts.response_wanted = !e->pool->plugin->facts.response_empty;
	if (e->facts.response_wanted) {
		note_wall_left(e);
		instance_hold(e->instance);
	} else {
		note_success(e);
		give_back(e);
	}
	return WEIR_NEXT;
}

static enum weir_step end_response(struct weir_exchange *e)
{
	enter_state(e, EXCHANGE_RESPONSE, EXCHANGE_OVER);
	note_success(e);
	give_back(e);
	return WEIR_DONE;
}

static enum weir_step wait_for_instance(struct weir_exchange *e);

/* Instead of starting an instance: another one may become free. */
static enum weir_step wait_for_another(struct weir_exchange *e)
{
	e->slot = false;
	pool_drop_slot(e->pool);
	return wait_for_instance(e);
}

static enum weir_step begin_start(struct weir_exchange *e)
{
	struct weir_plugin *p = e->pool->plugin;
	uint64_t bytes = charge_estimate(p);
	enum circuit_answer answer = guard_ask(p, GUARD_STARTS);

	must(e->slot);
	if (answer == CIRCUIT_REFUSE && e->pool->slots == 1)
		return fail_refused(e, GUARD_STARTS);
	if (answer == CIRCUIT_REFUSE || !pool_make_room(p, bytes))
		return wait_for_another(e);
	e->start_trial = answer == CIRCUIT_TRY;
	if (instance_create(&e->instance, p, e->pool->seat, &e->pool->counters, bytes, &e->error) <
	    0) {
		budget_give(&p->budget, bytes);
		return fail(e, WEIR_CAUSE_START);
	}
	e->slot = false;
	e->state = EXCHANGE_STARTING;
	return run_guest(e);
}

static enum weir_step waiting(struct weir_exchange *e, enum run run)
{
	e->wake_at_ns = UINT64_MAX;
	switch (run) {
	case RUN_YIELD:
		return WEIR_YIELD;
	case RUN_BODY:
		return WEIR_WAIT_BODY;
	case RUN_SLEEP:
		e->wake_at_ns = instance_wake_at_ns(e->instance);
		return WEIR_WAIT_TIMER;
	default:
		must_not_reach("not a reason to wait");
	}
}

/* In one of the states in which the guest has a call under way. */
static enum weir_step run_guest(struct weir_exchange *e)
{
	for (;;) {
		enum run run;

		if (e->state == EXCHANGE_STARTING) {
			run = instance_start(e->instance);
		} else {
			forgive_wait(e);
			run = call_run(e->instance);
			account_wait(e, run);
		}
		if (run == RUN_FAILED)
			return fail_guest(e);
		if (run != RUN_DONE)
			return waiting(e, run);
		if (e->state == EXCHANGE_REQUEST)
			return end_request(e);
		if (e->state == EXCHANGE_RESPONSE)
			return end_response(e);
		if (e->start_trial)
			guard_note_success(e->pool->plugin, GUARD_STARTS);
		e->start_trial = false;
		begin_request(e);
	}
}

void exchange_grant(struct weir_exchange *e, struct instance *i)
{
	OBJ_CHECK(e, EXCHANGE_MAGIC);
	enter_state(e, EXCHANGE_QUEUED, EXCHANGE_GRANTED);
	e->instance = i;
	e->slot = i == NULL;
}

static enum weir_step fail_busy(struct weir_exchange *e, const char *why)
{
	note_queue_wait(e);
	(void)error_set(&e->error, -EBUSY, "no instance is free: %s (%u instances per thread)", why,
			e->pool->plugin->facts.limits.instances);
	return fail(e, WEIR_CAUSE_BUSY);
}

/* When it will be looked again whether there is memory: nobody tells. */
static void plan_wake(struct weir_exchange *e, uint64_t now)
{
	e->wake_at_ns = MIN(e->queue_end_ns, add_ns(now, MEMORY_POLL_NS));
}

static enum weir_step step_granted(struct weir_exchange *e);

static enum weir_step step_queued(struct weir_exchange *e)
{
	uint64_t now = clock_mono_ns();

	if (now < e->wake_at_ns)
		return WEIR_WAIT_INSTANCE;
	if (now >= e->queue_end_ns) {
		pool_dequeue(e->pool, e);
		return fail_busy(e, "the longest wait is over");
	}
	plan_wake(e, now);
	/* Those who came first go first. */
	if (e->pool->queue.next != &e->link || !pool_take_slot(e->pool))
		return WEIR_WAIT_INSTANCE;
	pool_dequeue(e->pool, e);
	exchange_grant(e, NULL);
	return step_granted(e);
}

static enum weir_step step_granted(struct weir_exchange *e)
{
	if (e->instance == NULL)
		return begin_start(e);
	begin_request(e);
	return run_guest(e);
}

static enum weir_step wait_for_instance(struct weir_exchange *e)
{
	uint64_t wait_ns = ms_to_ns(e->pool->plugin->facts.limits.queue_wait_ms);
	uint64_t now = clock_mono_ns();
	bool again = e->queue_end_ns != 0;

	if (!pool_enqueue(e->pool, e, again))
		return fail_busy(e, "the queue is full");
	e->state = EXCHANGE_QUEUED;
	if (!again) {
		e->queued_since_ns = now;
		e->queue_end_ns = add_ns(now, wait_ns);
	}
	plan_wake(e, now);
	return WEIR_WAIT_INSTANCE;
}

static struct weir_exchange *make(struct weir_pool *pool, const struct weir_http *http, void *x)
{
	struct weir_exchange *e = malloc(sizeof *e);

	if (e == NULL)
		return NULL;
	memset(e, 0, offsetof(struct weir_exchange, error));
	e->error.code = 0;
	e->error.text[0] = '\0';
	e->magic = EXCHANGE_MAGIC;
	e->pool = pool;
	e->http = http;
	e->x = x;
	e->wake_at_ns = UINT64_MAX;
	e->wall_left_ns = ms_to_ns(pool->plugin->facts.limits.exchange_wall_ms);
	pool->exchanges++;
	counter_add(&pool->counters.exchanges, 1);
	return e;
}

enum weir_step weir_exchange_begin(struct weir_exchange **exchange, struct weir_pool *pool,
				   const struct weir_http *http, void *x)
{
	struct weir_exchange *e;
	enum circuit_answer answer;

	pool_check(pool);
	*exchange = e = make(pool, http, x);
	if (e == NULL) {
		counter_add(&pool->counters.failures[WEIR_CAUSE_MEMORY], 1);
		return WEIR_FAILED;
	}
	answer = guard_ask(pool->plugin, GUARD_CALLS);
	if (answer == CIRCUIT_REFUSE)
		return fail_refused(e, GUARD_CALLS);
	e->trial = answer == CIRCUIT_TRY;
	e->state = EXCHANGE_GRANTED;
	e->instance = pool_take(pool);
	if (e->instance == NULL) {
		/* Those who wait for memory were here before. */
		e->slot = list_empty(&pool->queue) && pool_take_slot(pool);
		if (!e->slot)
			return wait_for_instance(e);
	}
	return step_granted(e);
}

enum weir_step weir_exchange_step(struct weir_exchange *e)
{
	OBJ_CHECK(e, EXCHANGE_MAGIC);
	pool_check(e->pool);
	switch (e->state) {
	case EXCHANGE_QUEUED:
		return step_queued(e);
	case EXCHANGE_GRANTED:
		return step_granted(e);
	case EXCHANGE_STARTING:
	case EXCHANGE_REQUEST:
	case EXCHANGE_RESPONSE:
		return run_guest(e);
	default:
		must_not_reach("an exchange is stepped that waits for nothing");
	}
}

enum weir_step weir_exchange_response(struct weir_exchange *e, unsigned flags)
{
	wasmtime_val_t args[2] = {{.kind = WASMTIME_I32}, {.kind = WASMTIME_I32}};

	OBJ_CHECK(e, EXCHANGE_MAGIC);
	pool_check(e->pool);
	if (!e->facts.response_wanted) {
		enter_state(e, EXCHANGE_NEXT, EXCHANGE_OVER);
		return WEIR_DONE;
	}
	enter_state(e, EXCHANGE_NEXT, EXCHANGE_RESPONSE);
	e->after = true;
	e->frozen = flags != 0;
	memset(e->body, 0, sizeof e->body);
	args[0].of.i32 = (int32_t)e->context;
	args[1].of.i32 = (flags & WEIR_RESPONSE_ERROR) != 0;
	instance_begin_response(e->instance);
	call_begin(e->instance, "handle_response", &e->instance->handle_response, args, 2, 0,
		   wall_deadline(e));
	return run_guest(e);
}

uint64_t weir_exchange_wake_at_ns(const struct weir_exchange *e)
{
	OBJ_CHECK(e, EXCHANGE_MAGIC);
	return e->wake_at_ns;
}

const struct weir_exchange_facts *weir_exchange_facts(const struct weir_exchange *e)
{
	OBJ_CHECK(e, EXCHANGE_MAGIC);
	return &e->facts;
}

enum weir_cause weir_exchange_cause(const struct weir_exchange *e)
{
	if (e == NULL)
		return WEIR_CAUSE_MEMORY;
	OBJ_CHECK(e, EXCHANGE_MAGIC);
	return e->cause;
}

uint64_t weir_exchange_retry_ms(const struct weir_exchange *e)
{
	if (e == NULL)
		return 0;
	OBJ_CHECK(e, EXCHANGE_MAGIC);
	return e->retry_ms;
}

const struct weir_error *weir_exchange_error(const struct weir_exchange *e)
{
	static const struct weir_error no_memory = {-ENOMEM, "not enough memory for an exchange"};

	if (e == NULL)
		return &no_memory;
	OBJ_CHECK(e, EXCHANGE_MAGIC);
	return &e->error;
}

void weir_exchange_end(struct weir_exchange **exchange)
{
	struct weir_exchange *e;
	struct weir_pool *p;

	if (*exchange == NULL)
		return;
	OBJ_TAKE(e, exchange, EXCHANGE_MAGIC);
	p = e->pool;
	pool_check(p);
	if (e->state == EXCHANGE_QUEUED)
		pool_dequeue(p, e);
	else if (e->state == EXCHANGE_GRANTED && e->instance != NULL)
		pool_put(p, &e->instance);
	else
		drop_instance(e);
	if (e->slot)
		pool_put_slot(p);
	p->exchanges--;
	e->magic = 0;
	free(e);
}
