#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/timer.h"

#define TIMERS 5000

/*
 * Time as the loop sees it: the system's, and what the test has skipped. The definition takes the
 * place of the C library's for all of the process.
 */
static _Atomic uint64_t skipped_ms;

int clock_gettime(clockid_t id, struct timespec *t)
{
	uint64_t ms = atomic_load(&skipped_ms);
	long r = syscall(SYS_clock_gettime, id, t);

	if (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE) {
		t->tv_sec += (time_t)(ms / 1000);
		t->tv_nsec += (long)(ms % 1000) * 1000000;
		if (t->tv_nsec >= 1000000000) {
			t->tv_nsec -= 1000000000;
			t->tv_sec++;
		}
	}
	return (int)r;
}

static uv_loop_t loop;
static struct timers timers;

struct probe {
	struct timer timer;
	unsigned fired;
	uint64_t due_ms, fired_ms;
	uint64_t again_ms; /* arm anew within the call */
	struct probe *victim, *helped;
};

static unsigned fired_total;
static struct probe *last_fired;

static void fire(struct timer *t)
{
	struct probe *p = container_of(t, struct probe, timer);

	assert_false(timer_armed(t));
	p->fired++;
	p->fired_ms = uv_now(&loop);
	fired_total++;
	last_fired = p;
	if (p->again_ms > 0)
		timer_arm(&timers, t, p->again_ms, fire);
	if (p->victim != NULL)
		timer_disarm(&timers, &p->victim->timer);
	if (p->helped != NULL)
		timer_arm(&timers, &p->helped->timer, 32, fire);
}

static void arm(struct probe *p, uint64_t after_ms)
{
	p->due_ms = uv_now(&loop) + after_ms;
	timer_arm(&timers, &p->timer, after_ms, fire);
}

static void advance(uint64_t ms)
{
	atomic_fetch_add(&skipped_ms, ms);
	(void)uv_run(&loop, UV_RUN_NOWAIT);
}

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	timers_init(&timers, &loop);
	fired_total = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	timers_close(&timers);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	return 0;
}

static void fires_once_and_not_early(void **state)
{
	struct probe p = {0};

	(void)state;
	arm(&p, 1000);
	assert_true(timer_armed(&p.timer));
	advance(900);
	assert_int_equal(p.fired, 0);
	advance(100 + 2 * TIMER_TICK_MS);
	assert_int_equal(p.fired, 1);
	assert_true(p.fired_ms >= p.due_ms);
	advance(100000);
	assert_int_equal(p.fired, 1);
	assert_int_equal(timers.armed, 0);
}

static void zero_disarms(void **state)
{
	struct probe p = {0};

	(void)state;
	arm(&p, 100);
	arm(&p, 0);
	assert_false(timer_armed(&p.timer));
	advance(1000);
	assert_int_equal(p.fired, 0);
}

/* The same slot, other rounds of the wheel. */
static void rounds_are_told_apart(void **state)
{
	const uint64_t round_ms = (uint64_t)TIMER_TICK_MS * TIMER_SLOTS;
	struct probe p[4] = {{.fired = 0}};

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		arm(&p[i], 500 + i * round_ms);
	for (unsigned i = 0; i < 4; i++) {
		advance(500 + 2 * TIMER_TICK_MS);
		assert_int_equal(fired_total, i + 1);
		assert_ptr_equal(last_fired, &p[i]);
		advance(round_ms - 500 - 2 * TIMER_TICK_MS);
	}
}

static void a_long_time_out_wakes_by_itself(void **state)
{
	struct probe p = {0};

	(void)state;
	arm(&p, 180000);
	for (unsigned s = 0; s < 179; s++)
		advance(1000);
	assert_int_equal(p.fired, 0);
	advance(1100);
	assert_int_equal(p.fired, 1);
}

/* The loop was held up for longer than a round. */
static void a_late_loop_misses_nothing(void **state)
{
	struct probe p[3] = {{.fired = 0}};

	(void)state;
	arm(&p[0], 10);
	arm(&p[1], 20000);
	arm(&p[2], 100000);
	advance(90000);
	assert_int_equal(p[0].fired + p[1].fired, 2);
	assert_int_equal(p[2].fired, 0);
	advance(11000);
	assert_int_equal(p[2].fired, 1);
}

/* Nothing was armed for hours; then a short one. */
static void works_after_a_pause(void **state)
{
	struct probe p = {0};

	(void)state;
	advance(7200000);
	arm(&p, 50);
	advance(20);
	assert_int_equal(p.fired, 0);
	advance(100);
	assert_int_equal(p.fired, 1);
}

static void callbacks_may_change_everything(void **state)
{
	struct probe a = {.again_ms = 100}, b = {.fired = 0}, c = {.fired = 0};

	(void)state;
	/* a and b are due in the same tick: a's call takes b out of it and arms c. */
	a.victim = &b;
	a.helped = &c;
	arm(&a, 100);
	arm(&b, 100);
	advance(100 + 2 * TIMER_TICK_MS);
	assert_int_equal(a.fired, 1);
	assert_int_equal(b.fired, 0);
	assert_true(timer_armed(&c.timer));
	advance(64);
	assert_int_equal(c.fired, 1);
	a.victim = a.helped = NULL;
	for (unsigned i = 0; i < 10; i++)
		advance(200);
	assert_int_equal(a.fired, 11);
	timer_disarm(&timers, &a.timer);
}

static void an_earlier_one_moves_the_alarm(void **state)
{
	struct probe late = {0}, early = {0};

	(void)state;
	arm(&late, 10000);
	advance(10);
	arm(&early, 100);
	advance(150);
	assert_int_equal(early.fired, 1);
	assert_int_equal(late.fired, 0);
	arm(&late, 100);
	advance(150);
	assert_int_equal(late.fired, 1);
}

static void a_later_one_armed_in_a_call_delays_none(void **state)
{
	struct probe first = {.again_ms = 5000}, second = {0};

	(void)state;
	arm(&first, 50);
	arm(&second, 200);
	advance(70);
	assert_int_equal(first.fired, 1);
	advance(200);
	assert_int_equal(second.fired, 1);
	timer_disarm(&timers, &first.timer);
}

/* Against a list of what is due, over 200 simulated seconds of arming, disarming and firing. */
static void many_behave_like_the_model(void **state)
{
	struct probe *p = calloc(TIMERS, sizeof *p);
	uint64_t seed = 1;

	(void)state;
	assert_non_null(p);
	for (unsigned step = 0; step < 2000; step++) {
		uint64_t before = uv_now(&loop);

		for (unsigned i = 0; i < 20; i++) {
			struct probe *one;

			seed = seed * 6364136223846793005u + 1442695040888963407u;
			one = &p[(seed >> 33) % TIMERS];
			one->fired = 0;
			if (seed >> 63)
				arm(one, 1 + (seed >> 20) % 60000);
			else
				timer_disarm(&timers, &one->timer);
		}
		advance(100);
		for (unsigned i = 0; i < TIMERS; i++) {
			if (timer_armed(&p[i].timer))
				assert_true(p[i].due_ms + TIMER_TICK_MS >
					    uv_now(&loop) - TIMER_TICK_MS);
			else if (p[i].fired > 0 && p[i].fired_ms > before)
				assert_true(p[i].fired_ms >= p[i].due_ms && p[i].fired == 1);
		}
	}
	for (unsigned i = 0; i < TIMERS; i++)
		timer_disarm(&timers, &p[i].timer);
	assert_int_equal(timers.armed, 0);
	free(p);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(fires_once_and_not_early),
		TEST(zero_disarms),
		TEST(rounds_are_told_apart),
		TEST(a_long_time_out_wakes_by_itself),
		TEST(a_late_loop_misses_nothing),
		TEST(works_after_a_pause),
		TEST(callbacks_may_change_everything),
		TEST(an_earlier_one_moves_the_alarm),
		TEST(a_later_one_armed_in_a_call_delays_none),
		TEST(many_behave_like_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
