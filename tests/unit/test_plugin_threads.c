/*
 * One plugin, a pool on each of two threads, a hundred thousand exchanges: most of them go well,
 * others trap, spin past their slice, or end while their guest waits.
 */
#include "plugin_fake.h"

#include <pthread.h>

#define THREADS 2
#define ROUNDS 50000u
#define SPIN_EVERY 1000u
#define TRAP_EVERY 100u
#define CANCEL_EVERY 64u

/* The first letter of the method says what to do. */
static const char moody_guest[] = FAKE_GUEST(
	"x-ab", "",
	"(drop (call $get_method (i32.const 512) (i32.const 8)))"
	"(if (i32.eq (i32.load8_u (i32.const 512)) (i32.const 84)) (then unreachable))" /* T */
	"(if (i32.eq (i32.load8_u (i32.const 512)) (i32.const 83)) (then"               /* S */
	" (loop (br_if 0 (i32.ne (local.tee $n (i32.add (local.get $n) (i32.const 1)))"
	"  (i32.const 30000000))))))"
	"(if (i32.eq (i32.load8_u (i32.const 512)) (i32.const 87)) (then" /* W */
	" (drop (call $read (i32.const 0) (i32.const 600) (i32.const 10)))))"
	"(call $set (i32.const 0) (i32.const 1024) (i32.const 3) (i32.const 1026) (i32.const "
	"2))" FAKE_NEXT,
	"(drop (call $get_status))");

/** One thread's account. */
struct account {
	struct bench *bench;
	unsigned long done, trapped, cancelled, spun, wrong;
};

static const char *method_of(unsigned round)
{
	if (round % TRAP_EVERY == 1)
		return "TRAP";
	if (round % CANCEL_EVERY == 2)
		return "WAIT";
	return round % SPIN_EVERY == 3 ? "SPIN" : "GET";
}

static void serve_one(struct account *a, struct weir_pool *pool, struct fake *f, unsigned round)
{
	struct weir_exchange *e;
	enum weir_step step;

	strcpy(f->method, method_of(round));
	f->messages[WEIR_REQUEST].count = 0;
	step = weir_exchange_begin(&e, pool, &fake_http, f);
	if (step == WEIR_YIELD)
		a->spun += f->method[0] == 'S';
	step = fake_drive(e, step);
	if (step == WEIR_WAIT_BODY && f->method[0] == 'W')
		a->cancelled++;
	else if (step == WEIR_FAILED && f->method[0] == 'T')
		a->trapped++;
	else if (step == WEIR_NEXT && fake_drive(e, weir_exchange_response(e, 0)) == WEIR_DONE)
		a->done++;
	else
		a->wrong++;
	weir_exchange_end(&e);
}

static void *serve(void *arg)
{
	const struct weir_pool_events events = {.wake = fake_wake};
	struct account *a = arg;
	struct weir_plugin_stats stats;
	struct weir_pool *pool;
	struct fake f;

	fake_init(&f);
	f.all_arrived = false;
	if (weir_pool_create(&pool, a->bench->plugin, &events) != 0) {
		a->wrong++;
		return NULL;
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		serve_one(a, pool, &f, round);
		if (round % 512 == 0) {
			weir_plugin_stats(a->bench->plugin, &stats);
			(void)weir_pool_tick(pool, clock_mono_ns());
		}
	}
	weir_pool_destroy(&pool);
	fake_free(&f);
	return NULL;
}

static uint64_t histogram_count(const struct weir_histogram *h)
{
	uint64_t n = 0;

	for (size_t i = 0; i < WEIR_HISTOGRAM_BUCKETS; i++)
		n += h->counts[i];
	return n;
}

static void counters_balance(void **state)
{
	struct bench *b = bench_new();
	struct account a[THREADS] = {{.bench = b}, {.bench = b}}, all = {0};
	struct weir_plugin_stats stats;
	pthread_t t[THREADS];

	(void)state;
	assert_int_equal(bench_load(b, moody_guest, NULL), 0);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, serve, &a[i]), 0);
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		all.done += a[i].done;
		all.trapped += a[i].trapped;
		all.cancelled += a[i].cancelled;
		all.spun += a[i].spun;
		all.wrong += a[i].wrong;
	}
	weir_plugin_stats(b->plugin, &stats);
	assert_int_equal(all.wrong, 0);
	assert_true(all.trapped >= THREADS * (ROUNDS / TRAP_EVERY) && all.cancelled > 1000);
	assert_true(all.spun > 0 && stats.yields >= all.spun);
	assert_int_equal(stats.exchanges, THREADS * ROUNDS);
	assert_int_equal(stats.exchanges, all.done + all.trapped + all.cancelled);
	assert_int_equal(stats.failures[WEIR_CAUSE_TRAP], all.trapped);
	/* The first instance, and one for each that was lost, unless it was a pool's last. */
	assert_in_range(stats.created, all.trapped + all.cancelled,
			all.trapped + all.cancelled + 2);
	assert_int_equal(stats.created, stats.destroyed);
	assert_int_equal(stats.idle + stats.in_use + stats.waiting, 0);
	assert_int_equal(stats.private_bytes + stats.linear_bytes, 0);
	assert_int_equal(histogram_count(&stats.init), 1);
	assert_int_equal(histogram_count(&stats.clone), stats.created - 1);
	assert_true(histogram_count(&stats.call) >= all.done + all.trapped);
	bench_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(counters_balance)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
