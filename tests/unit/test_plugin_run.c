#include "plugin_fake.h"

#include <pthread.h>

#include "plugin/plugin.h"

#define WAITS_FOR_BODY \
	"(call $r64 (local.tee $r (call $read (i32.const 0) (i32.const 2048) (i32.const 8))))"

static int setup(void **state)
{
	*state = bench_new();
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	bench_free(&b);
	return 0;
}

static enum weir_step begin_raw(struct bench *b, struct weir_exchange **e, struct fake *f)
{
	return weir_exchange_begin(e, b->pool, &fake_http, f);
}

/* On a busy machine any call may yield. */
static enum weir_step settle(struct weir_exchange *e, enum weir_step step)
{
	while (step == WEIR_YIELD)
		step = weir_exchange_step(e);
	return step;
}

static enum weir_step begin(struct bench *b, struct weir_exchange **e, struct fake *f)
{
	enum weir_step step = begin_raw(b, e, f);

	return settle(*e, step);
}

static enum weir_step go_on(struct weir_exchange *e)
{
	return settle(e, weir_exchange_step(e));
}

static enum weir_step respond(struct weir_exchange *e)
{
	return settle(e, weir_exchange_response(e, 0));
}

/* Waits for timers as well. */
static enum weir_step begin_patiently(struct bench *b, struct weir_exchange **e, struct fake *f)
{
	enum weir_step step = begin_raw(b, e, f);

	return fake_drive(*e, step);
}

/* ---- faults ---- */

struct fault_case {
	const char *wat;
	bool in_response;
	enum weir_cause cause;
	const char *text;
};

static void fails(struct bench *b, const struct fault_case *c)
{
	struct weir_exchange *e = NULL, *next = NULL;
	enum weir_step step;
	struct fake f;

	fake_init(&f);
	bench_open(b, c->wat, NULL);
	step = begin_patiently(b, &e, &f);
	if (c->in_response) {
		assert_int_equal(step, WEIR_NEXT);
		step = fake_drive(e, weir_exchange_response(e, 0));
	}
	assert_int_equal(step, WEIR_FAILED);
	assert_int_equal(weir_exchange_cause(e), c->cause);
	assert_int_equal(bench_stats(b).live, 0);
	if (strstr(weir_exchange_error(e)->text, c->text) == NULL)
		fail_msg("found \"%s\", expected \"%s\"", weir_exchange_error(e)->text, c->text);
	/* The next one gets a fresh instance, also before the failed one has ended. */
	assert_int_equal(begin_patiently(b, &next, &f), c->in_response ? WEIR_NEXT : WEIR_FAILED);
	assert_int_equal(bench_stats(b).created, 2);
	weir_exchange_end(&next);
	weir_exchange_end(&e);
	bench_close_plugin(b);
	fake_free(&f);
}

#define IN_REQUEST(code) FAKE_GUEST("", "(func $deep (call $deep))", code FAKE_NEXT, "")
#define IN_RESPONSE(code) FAKE_GUEST("", "(func $deep (call $deep))", FAKE_NEXT, code)

static void faults(void **state)
{
	static const struct fault_case cases[] = {
		{IN_REQUEST("unreachable"), false, WEIR_CAUSE_TRAP,
		 "handle_request: unreachable executed, in func["},
		{IN_RESPONSE("unreachable"), true, WEIR_CAUSE_TRAP,
		 "handle_response: unreachable executed, in func["},
		{IN_REQUEST("(drop (i32.load (i32.const -8)))"), false, WEIR_CAUSE_TRAP,
		 "handle_request: out of bounds memory access, in "},
		{IN_REQUEST("(call $deep)"), false, WEIR_CAUSE_TRAP,
		 "handle_request: call stack exhausted, in deep"},
		{IN_RESPONSE("(call $deep)"), true, WEIR_CAUSE_TRAP, "call stack exhausted"},
		{IN_REQUEST("(call $exit (i32.const 3))"), false, WEIR_CAUSE_EXIT,
		 "handle_request: exit code 3, in "},
		{IN_REQUEST("(call $exit (i32.const 0))"), false, WEIR_CAUSE_EXIT,
		 "handle_request: exit code 0"},
		{IN_RESPONSE("(call $exit (i32.const 1))"), true, WEIR_CAUSE_EXIT,
		 "handle_response: exit code 1"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		fails(*state, &cases[i]);
}

static void memory_limit(void **state)
{
	struct bench *b = *state;
	struct weir_plugin_options o = {.limits = {.memory_bytes = 4 * 65536}};
	struct weir_exchange *e = NULL;
	struct fake f;

	fake_init(&f);
	bench_open(b,
		   FAKE_GUEST("", "",
			      "(call $r32 (memory.grow (i32.const 3))) (call $r32 (memory.grow "
			      "(i32.const 1))) unreachable",
			      ""),
		   &o);
	assert_int_equal(begin(b, &e, &f), WEIR_FAILED);
	expect_i32(b, 0, 1);
	expect_i32(b, 1, -1);
	assert_non_null(strstr(weir_exchange_error(e)->text,
			       "its memory stands at 262144 of 262144 bytes"));
	weir_exchange_end(&e);
	fake_free(&f);
}

/* ---- time ---- */

/* Spins for requests with the method SPIN, otherwise waits for the body. */
#define SPINNER \
	FAKE_GUEST("", "", \
		   "(drop (call $get_method (i32.const 512) (i32.const 8)))" \
		   "(if (i32.eq (i32.load8_u (i32.const 512)) (i32.const 83)) (then (loop (br " \
		   "0))))" WAITS_FOR_BODY FAKE_STOP, \
		   "")

static void endless_loop(void **state)
{
	struct bench *b = *state;
	struct weir_plugin_options o = {.limits = {.call_cpu_ms = 40}};
	struct weir_exchange *spin = NULL, *other = NULL;
	struct fake spinning, served;
	enum weir_step step;
	unsigned slices = 0;

	fake_init(&spinning);
	fake_init(&served);
	strcpy(spinning.method, "SPIN");
	str_add(&served.body[0], SLICE("01234567"));
	served.all_arrived = false;
	bench_open(b, SPINNER, &o);
	assert_int_equal(begin(b, &other, &served), WEIR_WAIT_BODY);
	for (step = begin_raw(b, &spin, &spinning); step == WEIR_YIELD;
	     step = weir_exchange_step(spin)) {
		slices++;
		if (served.arrived_bytes < 7) {
			served.arrived_bytes++;
			assert_int_equal(go_on(other), WEIR_WAIT_BODY);
		} else if (other != NULL) {
			served.arrived_bytes = 8;
			assert_int_equal(go_on(other), WEIR_STOP);
			expect_count_len(b, 0, 0, 8);
			weir_exchange_end(&other);
		}
	}
	assert_int_equal(step, WEIR_FAILED);
	assert_int_equal(weir_exchange_cause(spin), WEIR_CAUSE_DEADLINE);
	assert_non_null(strstr(weir_exchange_error(spin)->text,
			       "handle_request: used up its 40 ms of CPU time, in "));
	/* A slice is 2 ms at most. */
	assert_true(slices >= 10);
	assert_null(other);
	assert_true(bench_stats(b).yields >= slices);
	assert_true(bench_stats(b).cpu_ns >= 35000000);
	weir_exchange_end(&spin);
	fake_free(&spinning);
	fake_free(&served);
}

static void endless_response(void **state)
{
	struct bench *b = *state;
	struct weir_plugin_options o = {.limits = {.call_cpu_ms = 10}};
	struct weir_exchange *e = NULL;
	struct fake f;

	fake_init(&f);
	bench_open(b, FAKE_GUEST("", "", FAKE_NEXT, "(loop (br 0))"), &o);
	assert_int_equal(begin(b, &e, &f), WEIR_NEXT);
	assert_int_equal(fake_drive(e, weir_exchange_response(e, 0)), WEIR_FAILED);
	assert_int_equal(weir_exchange_cause(e), WEIR_CAUSE_DEADLINE);
	weir_exchange_end(&e);
	fake_free(&f);
}

/* One subscription at 3000: a clock, relative, of `ns`. */
#define SLEEPER(ns, next) \
	"(module " FAKE_IMPORTS "(import \"wasi_snapshot_preview1\" \"poll_oneoff\" (func $poll " \
	"(param i32 i32 i32 i32) (result " \
	"i32)))(memory (export \"memory\") 1)" FAKE_TOOLS \
	"(func (export \"handle_request\") (result i64)" \
	"(i32.store (i32.const 3016) (i32.const 1)) (i64.store (i32.const 3024) (i64.const " ns \
	"))" \
	"(call $r32 (call $poll (i32.const 3000) (i32.const 3100) (i32.const 1) (i32.const " \
	"3200)))" \
	"(call $r32 (i32.load (i32.const 3200)))" next ")" \
	"(func (export \"handle_response\") (param i32 i32)))"

static void sleeping(void **state)
{
	struct bench *b = *state;
	struct weir_exchange *e = NULL;
	struct fake f;
	uint64_t start = clock_mono_ns(), wake_at;

	fake_init(&f);
	bench_open(b, SLEEPER("20000000", FAKE_STOP), NULL);
	assert_int_equal(begin(b, &e, &f), WEIR_WAIT_TIMER);
	wake_at = weir_exchange_wake_at_ns(e);
	assert_true(wake_at >= start + 20000000);
	assert_true(wake_at < clock_mono_ns() + 1000000000u);
	assert_int_equal(fake_drive(e, go_on(e)), WEIR_STOP);
	assert_true(clock_mono_ns() >= wake_at);
	expect_i32(b, 0, 0);
	expect_i32(b, 1, 1);
	weir_exchange_end(&e);
	fake_free(&f);
}

static void sleeping_too_long(void **state)
{
	struct bench *b = *state;
	struct weir_plugin_options o = {.limits = {.exchange_wall_ms = 200}};
	struct weir_exchange *e = NULL;
	struct fake f;

	fake_init(&f);
	bench_open(b, SLEEPER("10000000000", FAKE_STOP), &o);
	assert_int_equal(begin(b, &e, &f), WEIR_WAIT_TIMER);
	assert_true(weir_exchange_wake_at_ns(e) < clock_mono_ns() + 1000000000u);
	assert_int_equal(fake_drive(e, go_on(e)), WEIR_FAILED);
	assert_int_equal(weir_exchange_cause(e), WEIR_CAUSE_DEADLINE);
	assert_string_equal(weir_exchange_error(e)->text, "handle_request: used up its time");
	weir_exchange_end(&e);
	/* Gone while asleep. */
	assert_int_equal(begin_patiently(b, &e, &f), WEIR_FAILED);
	weir_exchange_end(&e);
	assert_int_equal(begin(b, &e, &f), WEIR_WAIT_TIMER);
	weir_exchange_end(&e);
	assert_int_equal(bench_stats(b).live, 0);
	fake_free(&f);
}

static void ticker_rests(void **state)
{
	struct bench *b = *state;
	struct weir_exchange *e = NULL;
	struct fake f;

	fake_init(&f);
	strcpy(f.method, "SPIN");
	bench_open(b, SPINNER, NULL);
	for (int round = 0; round < 2; round++) {
		struct timespec pause = {.tv_nsec = 1000000};
		uint64_t give_up = clock_mono_ns() + 10000000000u;

		while (!ticker_sleeps(b->host->ticker) && clock_mono_ns() < give_up)
			(void)nanosleep(&pause, NULL);
		assert_true(ticker_sleeps(b->host->ticker));
		/* It is there when it is needed. */
		assert_int_equal(begin_raw(b, &e, &f), WEIR_YIELD);
		weir_exchange_end(&e);
	}
	fake_free(&f);
}

/* ---- waiting for a body ---- */

static void body_arrives_slowly(void **state)
{
	struct bench *b = *state;
	struct weir_plugin_options o = {.limits = {.exchange_wall_ms = 300}};
	struct weir_exchange *e = NULL;
	struct fake f;
	uint64_t start;

	fake_init(&f);
	str_add(&f.body[0], SLICE("0123456"));
	f.all_arrived = false;
	bench_open(b,
		   FAKE_GUEST("", "",
			      WAITS_FOR_BODY "(call $say (i32.const 2048) (i32.const 7))" FAKE_STOP,
			      ""),
		   &o);
	assert_int_equal(begin(b, &e, &f), WEIR_WAIT_BODY);
	assert_int_equal(weir_exchange_wake_at_ns(e), UINT64_MAX);
	/* The client may take its time: the guest's is not used up by it. */
	start = clock_mono_ns();
	while (clock_mono_ns() < start + 400000000)
		assert_int_equal(go_on(e), WEIR_WAIT_BODY);
	f.arrived_bytes = 3;
	assert_int_equal(go_on(e), WEIR_WAIT_BODY);
	f.arrived_bytes = 7;
	assert_int_equal(go_on(e), WEIR_WAIT_BODY);
	f.all_arrived = true;
	assert_int_equal(go_on(e), WEIR_STOP);
	expect_count_len(b, 0, 1, 7);
	expect_text(b, 1, "0123456");
	weir_exchange_end(&e);
	assert_int_equal(bench_stats(b).idle, 1);
	fake_free(&f);
}

static void client_goes(void **state)
{
	struct bench *b = *state;
	struct weir_exchange *e = NULL;
	struct fake f;

	fake_init(&f);
	f.all_arrived = false;
	bench_open(b, FAKE_GUEST("", "", WAITS_FOR_BODY FAKE_STOP, ""), NULL);
	assert_int_equal(begin(b, &e, &f), WEIR_WAIT_BODY);
	weir_exchange_end(&e);
	assert_null(e);
	assert_int_equal(bench_stats(b).live, 0);
	assert_int_equal(begin(b, &e, &f), WEIR_WAIT_BODY);
	f.read_error = -ECONNRESET;
	assert_int_equal(go_on(e), WEIR_FAILED);
	assert_int_equal(weir_exchange_cause(e), WEIR_CAUSE_BODY);
	assert_non_null(strstr(weir_exchange_error(e)->text,
			       "handle_request: cannot read the request body: Connection reset"));
	weir_exchange_end(&e);
	assert_int_equal(begin(b, &e, &f), WEIR_FAILED);
	weir_exchange_end(&e);
	f.read_error = -EFBIG;
	assert_int_equal(begin(b, &e, &f), WEIR_FAILED);
	assert_int_equal(weir_exchange_cause(e), WEIR_CAUSE_TOO_LARGE);
	weir_exchange_end(&e);
	fake_free(&f);
}

#define CROWD 200

static void many_suspended(void **state)
{
	struct bench *b = *state;
	static struct fake fakes[CROWD];
	struct weir_exchange *exchanges[CROWD] = {NULL};
	unsigned random = 12345, ended = 0;

	bench_open(
		b,
		FAKE_GUEST("", "",
			   "(drop (call $read (i32.const 0) (i32.const 2048) (i32.const 8)))"
			   "(call $write (i32.const 1) (i32.const 2048) (i32.const 8))" FAKE_STOP,
			   ""),
		NULL);
	for (size_t i = 0; i < CROWD; i++) {
		fake_init(&fakes[i]);
		str_format(&fakes[i].body[0], "body%04zu", i);
		fakes[i].all_arrived = false;
		assert_int_equal(begin(b, &exchanges[i], &fakes[i]), WEIR_WAIT_BODY);
	}
	assert_int_equal(bench_stats(b).in_use, CROWD);
	while (ended < CROWD) {
		size_t i;

		random = random * 1664525u + 1013904223u;
		i = (random >> 8) % CROWD;
		if (exchanges[i] == NULL)
			continue;
		if (i % 3 != 0) {
			fakes[i].arrived_bytes = 8;
			assert_int_equal(go_on(exchanges[i]), WEIR_STOP);
			assert_memory_equal(fakes[i].written[1].p, fakes[i].body[0].p, 8);
		}
		weir_exchange_end(&exchanges[i]);
		fake_free(&fakes[i]);
		ended++;
	}
	assert_int_equal(bench_stats(b).destroyed, (CROWD + 2) / 3);
	assert_int_equal(bench_stats(b).idle, CROWD - (CROWD + 2) / 3);
}

/* ---- pools ---- */

static void queue(void **state)
{
	struct bench *b = *state;
	struct weir_plugin_options o = {
		.limits = {.instances = 1, .queue_length = 2, .queue_wait_ms = 60000}};
	struct weir_exchange *e[4] = {NULL};
	struct fake f[4];

	for (size_t i = 0; i < 4; i++) {
		fake_init(&f[i]);
		f[i].all_arrived = i > 0;
	}
	bench_open(b, FAKE_GUEST("", "", WAITS_FOR_BODY FAKE_STOP, ""), &o);
	assert_int_equal(begin(b, &e[0], &f[0]), WEIR_WAIT_BODY);
	assert_int_equal(begin(b, &e[1], &f[1]), WEIR_WAIT_INSTANCE);
	assert_true(weir_exchange_wake_at_ns(e[1]) > clock_mono_ns());
	assert_int_equal(begin(b, &e[2], &f[2]), WEIR_WAIT_INSTANCE);
	assert_int_equal(bench_stats(b).waiting, 2);
	assert_int_equal(begin(b, &e[3], &f[3]), WEIR_FAILED);
	assert_int_equal(weir_exchange_cause(e[3]), WEIR_CAUSE_BUSY);
	assert_int_equal(weir_cause_status(WEIR_CAUSE_BUSY), 503);
	assert_string_equal(weir_exchange_error(e[3])->text,
			    "no instance is free: the queue is full (1 instances per thread)");
	weir_exchange_end(&e[3]);
	assert_int_equal(go_on(e[1]), WEIR_WAIT_INSTANCE);
	/* Killed, the first one leaves its place; the next makes an instance of its own. */
	weir_exchange_end(&e[0]);
	assert_int_equal(f[1].wakes, 1);
	assert_int_equal(f[2].wakes, 0);
	assert_int_equal(bench_stats(b).live, 0);
	assert_int_equal(go_on(e[1]), WEIR_STOP);
	assert_int_equal(f[2].wakes, 1);
	/* A new one does not overtake the one that has been woken. */
	assert_int_equal(begin(b, &e[0], &f[0]), WEIR_WAIT_INSTANCE);
	weir_exchange_end(&e[1]);
	assert_int_equal(go_on(e[2]), WEIR_STOP);
	assert_int_equal(f[0].wakes, 1);
	weir_exchange_end(&e[2]);
	/* Woken, and gone before its turn: the instance is as good as new. */
	weir_exchange_end(&e[0]);
	assert_int_equal(bench_stats(b).idle, 1);
	assert_int_equal(bench_stats(b).created, 2);
	for (size_t i = 0; i < 4; i++)
		fake_free(&f[i]);
}

static void queue_time(void **state)
{
	struct bench *b = *state;
	struct weir_plugin_options o = {.limits = {.instances = 1, .queue_wait_ms = 5}};
	struct weir_exchange *e[3] = {NULL};
	struct fake f[3];

	for (size_t i = 0; i < 3; i++) {
		fake_init(&f[i]);
		f[i].all_arrived = false;
	}
	bench_open(b, FAKE_GUEST("", "", WAITS_FOR_BODY FAKE_STOP, ""), &o);
	for (size_t i = 0; i < 3; i++)
		(void)begin(b, &e[i], &f[i]);
	while (clock_mono_ns() < weir_exchange_wake_at_ns(e[2]))
		;
	assert_true(weir_pool_tick(b->pool, clock_mono_ns()));
	assert_int_equal(f[1].wakes, 1);
	assert_int_equal(go_on(e[1]), WEIR_FAILED);
	assert_int_equal(weir_exchange_cause(e[1]), WEIR_CAUSE_BUSY);
	weir_exchange_end(&e[1]);
	weir_exchange_end(&e[2]);
	weir_exchange_end(&e[0]);
	assert_false(weir_pool_tick(b->pool, clock_mono_ns()));
	for (size_t i = 0; i < 3; i++)
		fake_free(&f[i]);
}

/* Counts the requests that an instance has served. */
#define COUNTER \
	FAKE_GUEST("", "", \
		   "(i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1)))" \
		   "(call $r32 (i32.load (i32.const 16)))" FAKE_NEXT, \
		   "(call $r32 (i32.load (i32.const 16)))")

static void reuse_and_idling(void **state)
{
	struct bench *b = *state;
	struct weir_plugin_options o = {.limits = {.idle_ms = 1000}};
	struct weir_exchange *e[2] = {NULL};
	struct fake f;

	fake_init(&f);
	bench_open(b, COUNTER, &o);
	assert_int_equal(begin(b, &e[0], &f), WEIR_NEXT);
	/* Held for the response: the second request needs another one. */
	assert_int_equal(begin(b, &e[1], &f), WEIR_NEXT);
	assert_int_equal(bench_stats(b).created, 2);
	assert_int_equal(respond(e[0]), WEIR_DONE);
	assert_int_equal(respond(e[1]), WEIR_DONE);
	weir_exchange_end(&e[0]);
	weir_exchange_end(&e[1]);
	/* The last one used comes first. */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(begin(b, &e[0], &f), WEIR_NEXT);
		expect_i32(b, b->line_count - 1, i + 2);
		assert_int_equal(respond(e[0]), WEIR_DONE);
		weir_exchange_end(&e[0]);
	}
	assert_int_equal(bench_stats(b).created, 2);
	assert_true(weir_pool_tick(b->pool, clock_mono_ns()));
	assert_int_equal(bench_stats(b).idle, 2);
	assert_false(weir_pool_tick(b->pool, clock_mono_ns() + 1000000000u));
	assert_int_equal(bench_stats(b).live, 0);
	/* Its guest has not been told the end: not to be used again. */
	assert_int_equal(begin(b, &e[0], &f), WEIR_NEXT);
	weir_exchange_end(&e[0]);
	assert_int_equal(bench_stats(b).live, 0);
	fake_free(&f);
}

static void empty_response_frees_at_once(void **state)
{
	struct bench *b = *state;
	struct weir_exchange *e[2] = {NULL};
	struct fake f;

	fake_init(&f);
	bench_open(b, FAKE_GUEST("", "", FAKE_NEXT, ""), NULL);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(begin(b, &e[i], &f), WEIR_NEXT);
		assert_false(weir_exchange_facts(e[i])->response_wanted);
	}
	assert_int_equal(bench_stats(b).created, 1);
	assert_int_equal(respond(e[0]), WEIR_DONE);
	weir_exchange_end(&e[0]);
	weir_exchange_end(&e[1]);
	assert_int_equal(bench_stats(b).idle, 1);
	fake_free(&f);
}

/* Starts well only while lines of level debug are not wanted. */
#define MOODY(bad) \
	FAKE_GUEST( \
		"", \
		"(func (export \"_initialize\") (if (call $log_enabled (i32.const -1)) (then " bad \
		")))", \
		WAITS_FOR_BODY FAKE_STOP, "")

static void additional_instance_fails(void **state)
{
	struct bench *b = *state;
	const struct weir_plugin_options o = {.init = WEIR_INIT_OWN};
	struct weir_exchange *e[3] = {NULL};
	struct fake f;

	fake_init(&f);
	f.all_arrived = false;
	b->lowest = WEIR_LOG_INFO;
	bench_open(b, MOODY("(call $exit (i32.const 7))"), &o);
	assert_int_equal(begin(b, &e[0], &f), WEIR_WAIT_BODY);
	b->lowest = WEIR_LOG_DEBUG;
	assert_int_equal(begin(b, &e[1], &f), WEIR_FAILED);
	assert_int_equal(weir_exchange_cause(e[1]), WEIR_CAUSE_START);
	assert_non_null(strstr(weir_exchange_error(e[1])->text,
			       "an additional instance cannot start: _initialize: exit code 7"));
	weir_exchange_end(&e[1]);
	/* The others live on, and so does the plugin. */
	b->lowest = WEIR_LOG_INFO;
	assert_int_equal(begin(b, &e[2], &f), WEIR_WAIT_BODY);
	f.all_arrived = true;
	assert_int_equal(go_on(e[0]), WEIR_STOP);
	assert_int_equal(go_on(e[2]), WEIR_STOP);
	weir_exchange_end(&e[0]);
	weir_exchange_end(&e[2]);
	fake_free(&f);
}

static void additional_instance_yields(void **state)
{
	struct bench *b = *state;
	struct weir_plugin_options o = {.limits = {.init_ms = 400}, .init = WEIR_INIT_OWN};
	struct weir_exchange *e[2] = {NULL};
	struct fake f;

	fake_init(&f);
	f.all_arrived = false;
	b->lowest = WEIR_LOG_INFO;
	bench_open(b, MOODY("(loop (br_if 0 (call $log_enabled (i32.const -1))))"), &o);
	assert_int_equal(begin(b, &e[0], &f), WEIR_WAIT_BODY);
	b->lowest = WEIR_LOG_DEBUG;
	assert_int_equal(begin_raw(b, &e[1], &f), WEIR_YIELD);
	/* It gets on when it may, and not only before its first slice is over. */
	b->lowest = WEIR_LOG_INFO;
	assert_int_equal(go_on(e[1]), WEIR_WAIT_BODY);
	weir_exchange_end(&e[1]);
	b->lowest = WEIR_LOG_DEBUG;
	assert_int_equal(begin_patiently(b, &e[1], &f), WEIR_FAILED);
	assert_int_equal(weir_exchange_cause(e[1]), WEIR_CAUSE_START);
	assert_non_null(strstr(weir_exchange_error(e[1])->text, "_initialize: used up its"));
	weir_exchange_end(&e[1]);
	/* Gone in the middle of it. */
	assert_int_equal(begin_raw(b, &e[1], &f), WEIR_YIELD);
	weir_exchange_end(&e[1]);
	assert_int_equal(bench_stats(b).live, 1);
	weir_exchange_end(&e[0]);
	fake_free(&f);
}

/* ---- threads ---- */

#define ROUNDS 2000

static void *serve(void *arg)
{
	struct bench *b = arg;
	const struct weir_pool_events events = {.wake = fake_wake};
	struct weir_plugin_stats stats;
	struct weir_pool *pool;
	struct fake f;
	size_t bad = 0;

	fake_init(&f);
	if (weir_pool_create(&pool, b->plugin, &events) != 0)
		return arg;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct weir_exchange *e = NULL;
		enum weir_step step;

		strcpy(f.method, i % 100 == 99 ? "TRAP" : "GET");
		f.messages[0].count = 0;
		step = weir_exchange_begin(&e, pool, &fake_http, &f);
		if (fake_drive(e, step) != (i % 100 == 99 ? WEIR_FAILED : WEIR_NEXT))
			bad++;
		else if (i % 100 != 99 && fake_drive(e, weir_exchange_response(e, 0)) != WEIR_DONE)
			bad++;
		weir_exchange_end(&e);
		if (i % 64 == 0)
			weir_plugin_stats(b->plugin, &stats);
	}
	weir_pool_destroy(&pool);
	fake_free(&f);
	return bad == 0 ? NULL : arg;
}

static void threads(void **state)
{
	struct bench *b = *state;
	pthread_t t[3];
	struct weir_plugin_stats stats;

	assert_int_equal(
		bench_load(
			b,
			FAKE_GUEST(
				"x-ab", "",
				"(drop (call $get_method (i32.const 512) (i32.const 8)))"
				"(if (i32.eq (i32.load8_u (i32.const 512)) (i32.const 84)) (then "
				"unreachable))"
				"(call $set (i32.const 0) (i32.const 1024) (i32.const 3) "
				"(i32.const "
				"1026) (i32.const 2))" FAKE_NEXT,
				"(drop (call $get_status))"),
			NULL),
		0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, serve, b), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		void *result;

		assert_int_equal(pthread_join(t[i], &result), 0);
		assert_null(result);
	}
	weir_plugin_stats(b->plugin, &stats);
	assert_int_equal(stats.exchanges, ARRAY_LEN(t) * ROUNDS);
	assert_int_equal(stats.failures[WEIR_CAUSE_TRAP], ARRAY_LEN(t) * ROUNDS / 100);
	assert_int_equal(stats.live, 0);
	assert_true(stats.created >= stats.failures[WEIR_CAUSE_TRAP]);
	assert_int_equal(stats.created, stats.destroyed);
}

static void texts(void **state)
{
	(void)state;
	assert_string_equal(weir_cause_text(WEIR_CAUSE_DEADLINE), "deadline");
	assert_string_equal(weir_step_text(WEIR_WAIT_INSTANCE), "wait for instance");
	assert_int_equal(weir_cause_status(WEIR_CAUSE_TRAP), 500);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(faults),
		TEST(memory_limit),
		TEST(endless_loop),
		TEST(endless_response),
		TEST(sleeping),
		TEST(sleeping_too_long),
		TEST(ticker_rests),
		TEST(body_arrives_slowly),
		TEST(client_goes),
		TEST(many_suspended),
		TEST(queue),
		TEST(queue_time),
		TEST(reuse_and_idling),
		TEST(empty_response_frees_at_once),
		TEST(additional_instance_fails),
		TEST(additional_instance_yields),
		TEST(threads),
		cmocka_unit_test(texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
