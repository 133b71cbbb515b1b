/*
 * Work off the way of requests: instances that are put back, destroyed and made later, and those
 * that are kept ready.
 */
#include "plugin_fake.h"

#include "plugin/plugin.h"
#include "plugin/pool.h"

#define KIB ((uint64_t)1024)

/* Counts requests in memory, logs the count, and changes so many pages as the target has bytes,
 * times 4. */
static const char counting[] = FAKE_GUEST(
	"", "(func (export \"_start\") (drop (memory.grow (i32.const 255))))",
	"(i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1)))"
	"(call $log (i32.const 1) (i32.const 8) (i32.const 4))"
	"(local.set $n (i32.mul (call $get_uri (i32.const 512) (i32.const 100)) (i32.const 4)))"
	"(loop (i32.store (i32.mul (local.get $n) (i32.const 4096)) (i32.const 1))"
	" (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))" FAKE_NEXT,
	"(drop (i32.const 1))");

/* Traps unless the target is "/". */
static const char trapping[] =
	FAKE_GUEST("", "",
		   "(if (i32.gt_u (call $get_uri (i32.const 512) (i32.const 100)) (i32.const 1))"
		   " (then (unreachable)))" FAKE_NEXT,
		   "(drop (i32.const 1))");

/* Starts well only while lines of level debug are not wanted. */
static const char moody[] = FAKE_GUEST("",
				       "(func (export \"_initialize\") (if (call $log_enabled "
				       "(i32.const -1)) (then (unreachable))))",
				       FAKE_NEXT, "");

struct world {
	struct bench *b;
	struct fake f;
	unsigned asked;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	assert_non_null(w);
	w->b = bench_new();
	w->b->lowest = WEIR_LOG_INFO;
	fake_init(&w->f);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	fake_free(&w->f);
	bench_free(&w->b);
	free(w);
	return 0;
}

static void on_work(void *context, struct weir_pool *pool)
{
	struct world *w = context;

	(void)pool;
	w->asked++;
}

static void open_guest(struct world *w, const char *wat, const struct weir_plugin_options *o)
{
	const struct weir_pool_events events = {
		.wake = fake_wake, .work = on_work, .wake_context = w};

	if (bench_load(w->b, wat, o) != 0)
		fail_msg("%s", w->b->error.text);
	assert_int_equal(weir_pool_create(&w->b->pool, w->b->plugin, &events), 0);
}

static void work(struct world *w)
{
	while (weir_pool_work(w->b->pool))
		;
}

static struct weir_exchange *begin(struct world *w, size_t fours)
{
	struct weir_exchange *e;
	enum weir_step step;

	memset(w->f.target, 'x', sizeof w->f.target);
	w->f.target[0] = '/';
	w->f.target[fours] = '\0';
	step = weir_exchange_begin(&e, w->b->pool, &fake_http, &w->f);
	assert_int_equal(fake_drive(e, step), WEIR_NEXT);
	return e;
}

static void run(struct world *w, size_t fours)
{
	struct weir_exchange *e = begin(w, fours);

	assert_int_equal(fake_drive(e, weir_exchange_response(e, 0)), WEIR_DONE);
	weir_exchange_end(&e);
}

static void expect_stats(struct world *w, uint64_t idle, uint64_t in_use)
{
	struct weir_plugin_stats stats = bench_stats(w->b);

	assert_int_equal(stats.idle, idle);
	assert_int_equal(stats.in_use, in_use);
	assert_int_equal(stats.live, idle + in_use);
}

/* What the guests of all requests counted. */
static void expect_counts(struct world *w, const int32_t *counts, size_t n)
{
	assert_int_equal(w->b->line_count, n);
	for (size_t i = 0; i < n; i++)
		expect_i32(w->b, i, counts[i]);
}

static void put_back_later(void **state)
{
	const struct weir_plugin_options o = {.isolation = WEIR_ISOLATION_RESET};
	struct world *w = *state;

	open_guest(w, counting, &o);
	run(w, 80);
	work(w);
	w->asked = 0;
	run(w, 80);
	assert_int_equal(w->asked, 1);
	expect_stats(w, 0, 1);
	work(w);
	expect_stats(w, 1, 0);
	assert_int_equal(bench_stats(w->b).restores, 2);
	assert_int_equal(bench_stats(w->b).created, 1);
	expect_counts(w, (const int32_t[]){1, 1}, 2);
	assert_false(weir_pool_work(w->b->pool));
	/* Asked anew when there is something again. */
	run(w, 80);
	assert_int_equal(w->asked, 2);
	work(w);
}

/* Who needs an instance now does not wait for the work, and does not make another one. */
static void put_back_when_needed(void **state)
{
	const struct weir_plugin_options o = {.isolation = WEIR_ISOLATION_RESET};
	struct world *w = *state;

	open_guest(w, counting, &o);
	for (size_t i = 0; i < 50; i++)
		run(w, 80);
	assert_int_equal(bench_stats(w->b).created, 1);
	for (size_t i = 0; i < 50; i++)
		expect_i32(w->b, i, 1);
	work(w);
	expect_stats(w, 1, 0);
}

static void destroyed_later(void **state)
{
	const struct weir_plugin_options o = {.isolation = WEIR_ISOLATION_FRESH};
	struct world *w = *state;

	open_guest(w, counting, &o);
	for (size_t i = 0; i < 50; i++) {
		run(w, 80);
		assert_true(bench_stats(w->b).live <= 2);
		expect_i32(w->b, i, 1);
	}
	expect_stats(w, 0, 1);
	work(w);
	expect_stats(w, 0, 0);
}

/* What takes a microsecond is not put off. */
static void small_ones_at_once(void **state)
{
	static const enum weir_isolation isolations[] = {WEIR_ISOLATION_RESET,
							 WEIR_ISOLATION_REUSE};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(isolations); i++) {
		const struct weir_plugin_options o = {.isolation = isolations[i]};

		open_guest(w, trapping, &o);
		for (size_t n = 0; n < 10; n++)
			run(w, 1);
		assert_int_equal(w->asked, 0);
		expect_stats(w, 1, 0);
		bench_close_plugin(w->b);
	}
}

/* Who waits for an instance gets it as soon as there is one. */
static void the_queue_comes_first(void **state)
{
	const struct weir_plugin_options o = {.isolation = WEIR_ISOLATION_FRESH,
					      .limits = {.instances = 1, .queue_wait_ms = 60000}};
	struct world *w = *state;
	struct weir_exchange *first, *second;

	open_guest(w, counting, &o);
	first = begin(w, 80);
	assert_int_equal(weir_exchange_begin(&second, w->b->pool, &fake_http, &w->f),
			 WEIR_WAIT_INSTANCE);
	assert_int_equal(fake_drive(first, weir_exchange_response(first, 0)), WEIR_DONE);
	assert_int_equal(w->f.wakes, 1);
	assert_int_equal(fake_drive(second, weir_exchange_step(second)), WEIR_NEXT);
	weir_exchange_end(&first);
	weir_exchange_end(&second);
}

/* Memory of instances that wait to be destroyed is there for others. */
static void budget_includes_what_is_put_off(void **state)
{
	const struct weir_plugin_options o = {.isolation = WEIR_ISOLATION_FRESH};
	struct world *w = *state;
	struct weir_exchange *e[8];

	w->b->options.memory_bytes = 20 * 1024 * KIB;
	open_guest(w, counting, &o);
	for (size_t round = 0; round < 20; round++) {
		for (size_t i = 0; i < ARRAY_LEN(e); i++)
			e[i] = begin(w, 80);
		for (size_t i = 0; i < ARRAY_LEN(e); i++) {
			assert_int_equal(fake_drive(e[i], weir_exchange_response(e[i], 0)),
					 WEIR_DONE);
			weir_exchange_end(&e[i]);
		}
		assert_true(weir_host_memory_used(w->b->host) <= 20 * 1024 * KIB);
	}
	assert_int_equal(bench_stats(w->b).failures[WEIR_CAUSE_BUSY], 0);
	work(w);
	expect_stats(w, 0, 0);
	assert_int_equal(bench_stats(w->b).reserved_bytes,
			 weir_plugin_facts(w->b->plugin)->image_bytes);
}

/* ---- kept ready ---- */

static void tick(struct world *w, uint64_t later_ns)
{
	assert_true(weir_pool_tick(w->b->pool, clock_mono_ns() + later_ns));
	work(w);
}

static void kept_ready(void **state)
{
	const struct weir_plugin_options o = {.limits = {.instances_min = 3}};
	struct weir_exchange *e[5];
	struct world *w = *state;

	open_guest(w, trapping, &o);
	assert_int_equal(w->asked, 1);
	work(w);
	expect_stats(w, 3, 0);
	for (size_t i = 0; i < ARRAY_LEN(e); i++)
		e[i] = begin(w, 1);
	expect_stats(w, 0, 5);
	for (size_t i = 0; i < ARRAY_LEN(e); i++) {
		assert_int_equal(fake_drive(e[i], weir_exchange_response(e[i], 0)), WEIR_DONE);
		weir_exchange_end(&e[i]);
	}
	expect_stats(w, 5, 0);
	/* Past the idle timeout. */
	tick(w, UINT64_C(3600) * 1000000000);
	expect_stats(w, 3, 0);
	tick(w, UINT64_C(7200) * 1000000000);
	expect_stats(w, 3, 0);
	assert_int_equal(bench_stats(w->b).created, 5);
	/* One that fails is replaced, off the way of requests. */
	(void)snprintf(w->f.target, sizeof w->f.target, "/trap");
	assert_int_equal(weir_exchange_begin(&e[0], w->b->pool, &fake_http, &w->f), WEIR_FAILED);
	weir_exchange_end(&e[0]);
	expect_stats(w, 2, 0);
	tick(w, 0);
	expect_stats(w, 3, 0);
}

/* Instances that initialised themselves have nothing to give back: the work was endless. */
static void idle_ones_of_their_own(void **state)
{
	const struct weir_plugin_options o = {.limits = {.instances_min = 2},
					      .init = WEIR_INIT_OWN};
	struct world *w = *state;

	open_guest(w, trapping, &o);
	work(w);
	expect_stats(w, 2, 0);
	/* Past half of the idle timeout, and past all of it. */
	tick(w, UINT64_C(6) * 1000000000);
	tick(w, UINT64_C(3600) * 1000000000);
	expect_stats(w, 2, 0);
	assert_int_equal(bench_stats(w->b).created, 2);
}

static void no_more_than_allowed(void **state)
{
	const struct weir_plugin_options o = {.limits = {.instances_min = 30, .instances = 2}};
	struct world *w = *state;

	open_guest(w, trapping, &o);
	work(w);
	expect_stats(w, 2, 0);
}

/* Without the callback the ticks see to it. */
static void kept_ready_by_ticks(void **state)
{
	const struct weir_plugin_options o = {.limits = {.instances_min = 2}};
	struct world *w = *state;

	bench_open(w->b, trapping, &o);
	expect_stats(w, 1, 0);
	assert_true(weir_pool_tick(w->b->pool, clock_mono_ns()));
	expect_stats(w, 2, 0);
}

/* They are made of memory that nobody needs. */
static void not_when_memory_is_short(void **state)
{
	const struct weir_plugin_options o = {
		.limits = {.instances_min = 100, .total_bytes = 400 * KIB}};
	struct world *w = *state;
	uint64_t created, refusals;

	open_guest(w, trapping, &o);
	work(w);
	assert_in_range(bench_stats(w->b).live, 1, 20);
	created = bench_stats(w->b).created;
	refusals = bench_stats(w->b).budget_refusals;
	for (size_t i = 0; i < 10; i++)
		tick(w, 0);
	assert_int_equal(bench_stats(w->b).created, created);
	assert_int_equal(bench_stats(w->b).budget_refusals, refusals);
	assert_true(bench_stats(w->b).reserved_bytes <= 400 * KIB);
}

static void those_that_do_not_start(void **state)
{
	const struct weir_plugin_options o = {.limits = {.instances_min = 2, .start_failures = 3},
					      .init = WEIR_INIT_OWN};
	struct world *w = *state;

	open_guest(w, moody, &o);
	w->b->lowest = WEIR_LOG_DEBUG;
	/* Once a second, until the circuit opens. */
	for (size_t i = 0; i < 10; i++)
		tick(w, 0);
	assert_int_equal(bench_stats(w->b).created, 2);
	for (size_t i = 0; i < 10; i++) {
		w->b->pool->warm_again_ns = 0;
		tick(w, 0);
	}
	assert_int_equal(bench_stats(w->b).created, 4);
	assert_int_equal(bench_stats(w->b).starts_stopped, 1);
	expect_stats(w, 1, 0);
	w->b->lowest = WEIR_LOG_INFO;
	atomic_store(&w->b->plugin->guard.starts.retry_at_ns, 0);
	w->b->pool->warm_again_ns = 0;
	tick(w, 0);
	expect_stats(w, 2, 0);
	assert_int_equal(bench_stats(w->b).starts_stopped, 0);
}

static void destroyed_in_the_middle(void **state)
{
	static const char slow[] = FAKE_GUEST("",
					      "(func (export \"_initialize\") (loop (br_if 0 (call "
					      "$log_enabled (i32.const -1)))))",
					      FAKE_NEXT, "");
	const struct weir_plugin_options o = {.limits = {.instances_min = 2},
					      .init = WEIR_INIT_OWN};
	struct world *w = *state;

	open_guest(w, slow, &o);
	w->b->lowest = WEIR_LOG_DEBUG;
	while (w->b->pool->warming == NULL || !w->b->pool->warming->call.yielded)
		assert_true(weir_pool_work(w->b->pool));
	expect_stats(w, 1, 1);
	/* Requests do not depend on it. */
	run(w, 1);
}

/* ---- large ones ---- */

static uint64_t private_bytes(struct world *w)
{
	struct instance *i = container_of(w->b->pool->idle.next, struct instance, link);
	struct guest_memory m;
	int64_t bytes;

	assert_true(instance_memory(i, NULL, &m));
	bytes = restore_private_bytes(&w->b->host->restorer, m.base, m.size_bytes);
	assert_true(bytes >= 0);
	return (uint64_t)bytes;
}

static void large_ones_are_put_back(void **state)
{
	static const enum weir_isolation isolations[] = {WEIR_ISOLATION_REUSE,
							 WEIR_ISOLATION_RESET};
	static const int32_t counts[][4] = {{1, 2, 3, 1}, {1, 1, 1, 1}};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(isolations); i++) {
		const struct weir_plugin_options o = {.isolation = isolations[i],
						      .limits = {.private_bytes = 512 * KIB}};

		bench_open(w->b, counting, &o);
		run(w, 5);
		run(w, 10);
		assert_in_range(private_bytes(w), 1, 512 * KIB);
		run(w, 80); /* 1280 KiB */
		assert_int_equal(private_bytes(w), 0);
		run(w, 1);
		expect_counts(w, counts[i], 4);
		assert_int_equal(bench_stats(w->b).created, 1);
		bench_close_plugin(w->b);
	}
}

/* ---- what cannot be interrupted ---- */

static void late_slices(void **state)
{
	/* 32768 page faults in one instruction: longer than 1 ms on any machine. */
	static const char copying[] = FAKE_GUEST(
		"", "(func (export \"_start\") (drop (memory.grow (i32.const 2047))))",
		"(memory.copy (i32.const 67108864) (i32.const 0) (i32.const 67108864))"
		"(memory.fill (i32.const 0) (i32.const 1) (i32.const 134217728))" FAKE_NEXT,
		"");
	struct world *w = *state;

	w->b->options.slice_us = 200;
	bench_open(w->b, copying, NULL);
	run(w, 1);
	assert_true(bench_stats(w->b).late_slices >= 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(put_back_later),
		TEST(put_back_when_needed),
		TEST(destroyed_later),
		TEST(small_ones_at_once),
		TEST(the_queue_comes_first),
		TEST(budget_includes_what_is_put_off),
		TEST(kept_ready),
		TEST(idle_ones_of_their_own),
		TEST(no_more_than_allowed),
		TEST(kept_ready_by_ticks),
		TEST(not_when_memory_is_short),
		TEST(those_that_do_not_start),
		TEST(destroyed_in_the_middle),
		TEST(large_ones_are_put_back),
		TEST(late_slices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
