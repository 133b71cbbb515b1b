/*
 * The memory budget: what instances change is never more than that; who finds no room waits.
 */
#include "plugin_fake.h"

#include <pthread.h>

#include "plugin/plugin.h"
#include "plugin/pool.h"

#define MIB ((uint64_t)1 << 20)

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

/* Changes so many pages as the target's length in bytes says, times 16. */
static const char dirtier[] = FAKE_GUEST(
	"", "(func (export \"_start\") (drop (memory.grow (i32.const 1023))))",
	"(local.set $n (i32.mul (call $get_uri (i32.const 512) (i32.const 100)) (i32.const 16)))"
	"(loop (i32.store (i32.mul (local.get $n) (i32.const 4096)) (i32.const 1))"
	" (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))" FAKE_NEXT,
	"(drop (i32.const 1))");

/* Reads as many instead. */
static const char reader[] = FAKE_GUEST(
	"", "(func (export \"_start\") (drop (memory.grow (i32.const 1023))))",
	"(local.set $n (i32.mul (call $get_uri (i32.const 512) (i32.const 100)) (i32.const 16)))"
	"(loop (drop (i32.load (i32.mul (local.get $n) (i32.const 4096))))"
	" (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))" FAKE_NEXT,
	"(drop (i32.const 1))");

static enum weir_step begin(struct weir_exchange **e, struct weir_pool *pool, struct fake *f)
{
	enum weir_step step = weir_exchange_begin(e, pool, &fake_http, f);

	return fake_drive(*e, step);
}

static void set_pages(struct fake *f, size_t sixteens)
{
	memset(f->target, 'x', sizeof f->target);
	f->target[0] = '/';
	f->target[sixteens] = '\0';
}

static uint64_t private_bytes(struct weir_exchange *e)
{
	struct guest_memory m;
	int64_t bytes;

	if (e == NULL || e->instance == NULL)
		return 0;
	assert_true(instance_memory(e->instance, NULL, &m));
	bytes = restore_private_bytes(&e->instance->plugin->host->restorer, m.base, m.size_bytes);
	assert_true(bytes >= 0);
	return (uint64_t)bytes;
}

static uint64_t private_sum(struct weir_exchange **e, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += private_bytes(e[i]);
	return sum;
}

static void finish(struct weir_exchange **e)
{
	assert_int_equal(fake_drive(*e, weir_exchange_response(*e, 0)), WEIR_DONE);
	weir_exchange_end(e);
}

static void sleep_ms(long ms)
{
	const struct timespec t = {.tv_nsec = ms * 1000000};

	(void)nanosleep(&t, NULL);
}

/* Steps all that wait until none of them can go on; returns how many are in NEXT. */
static size_t step_all(struct weir_exchange **e, enum weir_step *step, size_t count)
{
	size_t next = 0;

	for (size_t i = 0; i < count; i++) {
		if (e[i] == NULL)
			continue;
		if (step[i] == WEIR_WAIT_INSTANCE &&
		    clock_mono_ns() >= weir_exchange_wake_at_ns(e[i]))
			step[i] = fake_drive(e[i], weir_exchange_step(e[i]));
		next += step[i] == WEIR_NEXT;
	}
	return next;
}

/* The image has a page for each that anybody has read, and these count. */
static void pages_that_were_only_read_count(void **state)
{
	struct weir_plugin_options o = {.isolation = WEIR_ISOLATION_REUSE};
	struct bench *b = *state;
	struct weir_exchange *e;
	uint64_t before;
	struct fake f;

	fake_init(&f);
	bench_open(b, reader, &o);
	(void)weir_pool_tick(b->pool, clock_mono_ns());
	before = weir_host_memory_used(b->host);
	set_pages(&f, 32); /* 2 MiB */
	assert_int_equal(begin(&e, b->pool, &f), WEIR_NEXT);
	finish(&e);
	(void)weir_pool_tick(b->pool, clock_mono_ns());
	assert_in_range(weir_host_memory_used(b->host), before + 2 * MIB - 65536,
			before + 2 * MIB + 65536);
}

#define CROWD 120

static void crowd_shares_the_budget(void **state)
{
	struct weir_plugin_options o = {.limits = {.queue_wait_ms = 60000}};
	struct weir_exchange *e[CROWD];
	enum weir_step step[CROWD];
	struct bench *b = *state;
	size_t served = 0;
	struct fake f;

	fake_init(&f);
	b->options.memory_bytes = 80 * MIB;
	bench_open(b, dirtier, &o);
	set_pages(&f, 16); /* 1 MiB each */
	for (size_t i = 0; i < CROWD; i++) {
		step[i] = begin(&e[i], b->pool, &f);
		assert_true(step[i] == WEIR_NEXT || step[i] == WEIR_WAIT_INSTANCE);
		assert_true(weir_host_memory_used(b->host) <= 80 * MIB);
	}
	assert_in_range(step_all(e, step, CROWD), 30, 80);
	assert_true(private_sum(e, CROWD) <= 80 * MIB);
	while (served < CROWD) {
		for (size_t i = 0; i < CROWD; i++) {
			if (e[i] == NULL || step[i] != WEIR_NEXT)
				continue;
			finish(&e[i]);
			served++;
			break;
		}
		(void)step_all(e, step, CROWD);
		assert_true(weir_host_memory_used(b->host) <= 80 * MIB);
		if (served % 20 == 0)
			assert_true(private_sum(e, CROWD) <= 80 * MIB);
	}
	for (size_t i = 0; i < WEIR_CAUSE_COUNT; i++)
		assert_int_equal(bench_stats(b).failures[i], 0);
	(void)weir_pool_tick(b->pool, UINT64_MAX);
	assert_int_equal(bench_stats(b).live, 0);
	/* The image, with those of its pages that were holes before they were written to. */
	assert_in_range(bench_stats(b).reserved_bytes,
			weir_plugin_facts(b->plugin)->image_bytes + MIB,
			weir_plugin_facts(b->plugin)->image_bytes + MIB + 65536);
	fake_free(&f);
}

static void wait_ends(void **state)
{
	struct weir_plugin_options o = {.limits = {.queue_wait_ms = 30, .total_bytes = 68 * MIB}};
	struct weir_exchange *e[2] = {NULL};
	struct bench *b = *state;
	enum weir_step step;
	struct fake f;

	fake_init(&f);
	bench_open(b, dirtier, &o);
	set_pages(&f, 90);
	assert_int_equal(begin(&e[0], b->pool, &f), WEIR_NEXT);
	/* A second one may need as much as the first one took, again and again. */
	for (size_t i = 0; i < 12 && bench_stats(b).failures[WEIR_CAUSE_BUSY] == 0; i++) {
		struct weir_exchange **more = calloc(20, sizeof *more);

		assert_non_null(more);
		for (size_t n = 0; n < 20; n++) {
			step = weir_exchange_begin(&more[n], b->pool, &fake_http, &f);
			while (step == WEIR_YIELD || step == WEIR_WAIT_INSTANCE) {
				if (step == WEIR_WAIT_INSTANCE)
					sleep_ms(1);
				step = weir_exchange_step(more[n]);
			}
			assert_true(bench_stats(b).reserved_bytes <= 68 * MIB);
			assert_true(step == WEIR_NEXT || step == WEIR_FAILED);
			if (step == WEIR_FAILED)
				assert_int_equal(weir_exchange_cause(more[n]), WEIR_CAUSE_BUSY);
		}
		for (size_t n = 0; n < 20; n++)
			weir_exchange_end(&more[n]);
		free(more);
	}
	assert_true(bench_stats(b).failures[WEIR_CAUSE_BUSY] > 0);
	finish(&e[0]);
	fake_free(&f);
}

/* A guest that changes more and more is stopped when there is no more, in the middle of it. */
static void one_takes_all(void **state)
{
	static const char hog[] =
		FAKE_GUEST("", "",
			   "(drop (memory.grow (i32.const 4000)))"
			   "(loop (local.set $n (i32.add (local.get $n) (i32.const 4096)))"
			   " (i32.store (local.get $n) (i32.const 1))"
			   " (br_if 0 (i32.lt_u (local.get $n) (i32.const 262000000))))" FAKE_NEXT,
			   "");
	struct bench *b = *state;
	struct weir_exchange *e;
	struct fake f;

	fake_init(&f);
	b->options.memory_bytes = 20 * MIB;
	bench_open(b, hog, NULL);
	assert_int_equal(begin(&e, b->pool, &f), WEIR_FAILED);
	assert_int_equal(weir_exchange_cause(e), WEIR_CAUSE_BUSY);
	assert_non_null(strstr(weir_exchange_error(e)->text, "memory budget is used up"));
	assert_int_equal(bench_stats(b).live, 0);
	assert_true(weir_host_memory_used(b->host) <= MIB);
	weir_exchange_end(&e);
	fake_free(&f);
}

/* Idle instances of any plugin go before anybody waits. */
static void idle_ones_go_first(void **state)
{
	struct bench *b = *state;
	struct weir_plugin *first;
	struct weir_pool *first_pool;
	struct weir_exchange *e[16];
	struct weir_plugin_stats stats;
	struct fake f;

	fake_init(&f);
	b->options.memory_bytes = 32 * MIB;
	bench_open(b, dirtier, NULL);
	set_pages(&f, 16);
	for (size_t i = 0; i < ARRAY_LEN(e); i++)
		assert_int_equal(begin(&e[i], b->pool, &f), WEIR_NEXT);
	for (size_t i = 0; i < ARRAY_LEN(e); i++)
		finish(&e[i]);
	assert_int_equal(bench_stats(b).idle, ARRAY_LEN(e));
	first = b->plugin;
	first_pool = b->pool;
	bench_open(b, dirtier, &(struct weir_plugin_options){.config = SLICE("other")});
	for (size_t i = 0; i < ARRAY_LEN(e); i++)
		assert_int_equal(begin(&e[i], b->pool, &f), WEIR_NEXT);
	for (size_t i = 0; i < ARRAY_LEN(e); i++)
		finish(&e[i]);
	weir_plugin_stats(first, &stats);
	assert_true(stats.idle < ARRAY_LEN(e));
	weir_pool_destroy(&first_pool);
	weir_plugin_unref(&first);
	fake_free(&f);
}

static void *use_other_thread(void *arg)
{
	struct bench *b = arg;
	const struct weir_pool_events events = {.wake = fake_wake};
	struct weir_exchange *e[40];
	struct weir_pool *pool;
	size_t next = 0, waited = 0;
	struct fake f;

	fake_init(&f);
	set_pages(&f, 16);
	if (weir_pool_create(&pool, b->plugin, &events) != 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(e); i++) {
		enum weir_step step = begin(&e[i], pool, &f);

		next += step == WEIR_NEXT;
		waited += step == WEIR_WAIT_INSTANCE;
	}
	for (size_t i = 0; i < ARRAY_LEN(e); i++)
		weir_exchange_end(&e[i]);
	weir_pool_destroy(&pool);
	fake_free(&f);
	return next > 0 && waited > 0 ? b : NULL;
}

/* Another thread's idle instances are its own to give up: at its next tick. */
static void other_threads_yield(void **state)
{
	struct bench *b = *state;
	struct weir_exchange *e[20];
	pthread_t thread;
	void *result;
	struct fake f;

	fake_init(&f);
	b->options.memory_bytes = 85 * MIB;
	bench_open(b, dirtier, NULL);
	set_pages(&f, 32);
	for (size_t i = 0; i < ARRAY_LEN(e); i++)
		assert_int_equal(begin(&e[i], b->pool, &f), WEIR_NEXT);
	for (size_t i = 0; i < ARRAY_LEN(e); i++)
		finish(&e[i]);
	assert_int_equal(pthread_create(&thread, NULL, use_other_thread, b), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, b);
	assert_int_equal(bench_stats(b).idle, ARRAY_LEN(e));
	(void)weir_pool_tick(b->pool, clock_mono_ns());
	assert_int_equal(bench_stats(b).idle, 0);
	fake_free(&f);
}

static void too_small_budgets(void **state)
{
	struct bench *b = *state;

	b->options.memory_bytes = 40 * 1024;
	assert_int_equal(bench_load(b, dirtier, NULL), -ENOMEM);
	assert_non_null(strstr(b->error.text, "memory budget has no room for"));
	assert_int_equal(weir_host_memory_used(b->host), 0);
	weir_host_destroy(&b->host);
	b->options.memory_bytes = 200 * 1024;
	assert_int_equal(
		bench_load(
			b,
			FAKE_GUEST("",
				   "(func (export \"_start\") (local $n i32) (drop (memory.grow "
				   "(i32.const 100))) (loop (i32.store (local.get $n) (i32.const "
				   "1)) (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) "
				   "(i32.const 4096))) (i32.const 6000000)))))",
				   FAKE_NEXT, ""),
			NULL),
		-ENOMEM);
	assert_non_null(strstr(b->error.text, "memory budget"));
	assert_int_equal(weir_host_memory_used(b->host), 0);
}

/* A guest with so many globals, to be freed. */
static char *with_globals(size_t count)
{
	static const char mark[] = "(;globals;)", global[] = "(global (mut i64) (i64.const 1))";
	static const char guest[] =
		FAKE_GUEST("", "(;globals;)", FAKE_NEXT, "(drop (i32.const 1))");
	const char *at = strstr(guest, mark);
	char *text = malloc(sizeof guest + count * (sizeof global - 1)), *to = text;

	assert_non_null(at);
	assert_non_null(text);
	memcpy(to, guest, (size_t)(at - guest));
	to += at - guest;
	for (size_t i = 0; i < count; i++) {
		memcpy(to, global, sizeof global - 1);
		to += sizeof global - 1;
	}
	memcpy(to, at, sizeof guest - (size_t)(at - guest));
	return text;
}

/* Which lie outside of its memory. */
static void globals_count(void **state)
{
	struct weir_plugin_options o = {.limits = {.queue_wait_ms = 60000}};
	struct weir_exchange *e[20];
	enum weir_step step[20];
	struct bench *b = *state;
	char *guest = with_globals(100000);
	struct fake f;

	fake_init(&f);
	b->options.memory_bytes = 16 * MIB;
	bench_open(b, guest, &o);
	for (size_t i = 0; i < ARRAY_LEN(e); i++)
		step[i] = begin(&e[i], b->pool, &f);
	/* 1.6 MB each. */
	assert_in_range(step_all(e, step, ARRAY_LEN(e)), 2, 10);
	for (size_t i = 0; i < ARRAY_LEN(e); i++)
		weir_exchange_end(&e[i]);
	fake_free(&f);
	free(guest);
}

static void changing_tables_count(void **state)
{
	static const char filler[] = FAKE_GUEST(
		"", "(table $t 500000 500000 funcref)",
		"(table.fill $t (i32.const 0) (ref.null func) (i32.const 500000))" FAKE_NEXT,
		"(drop (i32.const 1))");
	struct weir_plugin_options o = {.limits = {.queue_wait_ms = 60000}};
	struct weir_exchange *e[20];
	enum weir_step step[20];
	struct bench *b = *state;
	struct fake f;

	fake_init(&f);
	b->options.memory_bytes = 32 * MIB;
	bench_open(b, filler, &o);
	for (size_t i = 0; i < ARRAY_LEN(e); i++)
		step[i] = begin(&e[i], b->pool, &f);
	/* 4 MB each. */
	assert_in_range(step_all(e, step, ARRAY_LEN(e)), 2, 8);
	for (size_t i = 0; i < ARRAY_LEN(e); i++)
		weir_exchange_end(&e[i]);
	fake_free(&f);
}

static void budgets(void **state)
{
	struct budget above, b;

	(void)state;
	budget_init(&above, 100, NULL);
	budget_init(&b, UINT64_MAX, &above);
	assert_true(budget_take(&b, 60));
	assert_false(budget_take(&b, 41));
	assert_int_equal(b.used, 60);
	assert_int_equal(above.used, 60);
	assert_int_equal(above.refusals, 1);
	assert_true(budget_take(&b, 40));
	budget_give(&b, 100);
	assert_false(budget_take(&b, UINT64_MAX));
	assert_int_equal(b.used + above.used, 0);
	assert_true(budget_default_bytes() > MIB);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(budgets),     TEST(pages_that_were_only_read_count),
		TEST(crowd_shares_the_budget), TEST(wait_ends),
		TEST(one_takes_all),           TEST(idle_ones_go_first),
		TEST(other_threads_yield),     TEST(too_small_budgets),
		TEST(globals_count),           TEST(changing_tables_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
