/*
 * Plugins that fail nearly always are left alone for a while, and so is the start of instances that
 * do not start.
 */
#include "plugin_fake.h"

#include "plugin/circuit.h"
#include "plugin/guard.h"
#include "plugin/plugin.h"

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

/* ---- the circuit alone, with a clock of our own ---- */

#define S UINT64_C(1000000000)

static const struct circuit_limits limits = {
	.failures = 5, .window_ns = 10 * S, .wait_ns = S, .wait_max_ns = 5 * S};

/* Of `tried` attempts the last `failed` fail; returns whether the circuit opens, with the last one.
 */
static bool attempts(struct circuit *c, uint64_t *count, unsigned tried, unsigned failed,
		     uint64_t now)
{
	bool opens = false;

	*count += tried - failed;
	for (unsigned i = 0; i < failed; i++) {
		assert_false(opens);
		opens = circuit_note_failure(c, ++*count, now);
	}
	return opens;
}

static void opens_after_failures(void **state)
{
	struct circuit c;
	uint64_t count = 0;

	(void)state;
	circuit_init(&c, &limits);
	assert_false(attempts(&c, &count, 4, 4, S));
	assert_int_equal(circuit_ask(&c, S), CIRCUIT_PASS);
	assert_true(attempts(&c, &count, 1, 1, 2 * S));
	assert_int_equal(circuit_ask(&c, 2 * S), CIRCUIT_REFUSE);
	assert_int_equal(c.opened, 1);
	/* What was under way changes nothing. */
	assert_false(attempts(&c, &count, 20, 20, 2 * S));
	assert_int_equal(c.opened, 1);
}

static void successes_keep_it_closed(void **state)
{
	struct circuit c;
	uint64_t count = 1000;

	(void)state;
	circuit_init(&c, &limits);
	/* Every second one, every third one, three of four: for ever. */
	for (unsigned share = 2; share < 5; share++) {
		for (unsigned i = 0; i < 1000; i++)
			assert_false(attempts(&c, &count, share, 1, S));
	}
	circuit_init(&c, &limits);
	for (unsigned i = 0; i < 1000; i++)
		assert_false(attempts(&c, &count, 4, 3, S));
	/* Nineteen of twenty do open it. */
	for (unsigned i = 0; !circuit_note_failure(&c, ++count, 12 * S); i++)
		assert_true(i < 20);
}

static void old_failures_do_not_count(void **state)
{
	struct circuit c;
	uint64_t count = 0;

	(void)state;
	circuit_init(&c, &limits);
	for (uint64_t now = S; now < 1000 * S; now += 3 * S)
		assert_false(attempts(&c, &count, 1, 1, now));
	assert_false(attempts(&c, &count, 4, 4, 2000 * S));
	assert_false(attempts(&c, &count, 4, 4, 2011 * S));
	assert_true(attempts(&c, &count, 1, 1, 2020 * S));
}

static void waits_grow(void **state)
{
	static const uint64_t waits[] = {1, 2, 4, 5, 5};
	struct circuit c;
	uint64_t count = 0, now = 100 * S;

	(void)state;
	circuit_init(&c, &limits);
	assert_true(attempts(&c, &count, 5, 5, now));
	for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
		assert_int_equal(circuit_ask(&c, now + waits[i] * S - 1), CIRCUIT_REFUSE);
		now += waits[i] * S;
		assert_int_equal(circuit_ask(&c, now), CIRCUIT_TRY);
		/* One at a time. */
		assert_int_equal(circuit_ask(&c, now), CIRCUIT_REFUSE);
		if (i < ARRAY_LEN(waits) - 1)
			assert_false(circuit_end_trial(&c, false, now));
	}
	/* A trial of which nothing is heard. */
	now += 5 * S;
	assert_int_equal(circuit_ask(&c, now), CIRCUIT_TRY);
	assert_true(circuit_end_trial(&c, true, now));
	assert_false(circuit_end_trial(&c, true, now));
	assert_int_equal(circuit_ask(&c, now), CIRCUIT_PASS);
	/* Soon after it goes on where it was; later it begins anew. */
	assert_true(attempts(&c, &count, 5, 5, now + S));
	assert_int_equal(c.retry_at_ns, now + S + 5 * S);
	now += 6 * S;
	assert_int_equal(circuit_ask(&c, now), CIRCUIT_TRY);
	assert_true(circuit_end_trial(&c, true, now));
	assert_true(attempts(&c, &count, 5, 5, now + 20 * S));
	assert_int_equal(c.retry_at_ns, now + 20 * S + S);
	assert_int_equal(c.opened, 3);
}

static void may_be_off(void **state)
{
	const struct circuit_limits never = {.failures = UINT32_MAX};
	struct circuit c;

	(void)state;
	circuit_init(&c, &never);
	for (uint64_t i = 1; i < 1000; i++)
		assert_false(circuit_note_failure(&c, i, S));
}

/* ---- with guests ---- */

/* Fails when the target is longer than "/good": in handle_request, or with "/evil-later" after. */
static const char fickle[] =
	FAKE_GUEST("", "",
		   "(local.set $n (call $get_uri (i32.const 512) (i32.const 100)))"
		   "(if (i32.eq (local.get $n) (i32.const 9)) (then (unreachable)))" FAKE_NEXT,
		   "(if (i32.eq (call $get_uri (i32.const 512) (i32.const 100)) (i32.const 11))"
		   " (then (unreachable)))");

static void target(struct fake *f, const char *text)
{
	(void)snprintf(f->target, sizeof f->target, "%s", text);
}

/* The cause of the exchange's failure, if any. */
static enum weir_cause run(struct bench *b, struct fake *f, uint64_t *retry_ms)
{
	struct weir_exchange *e;
	enum weir_step step = weir_exchange_begin(&e, b->pool, &fake_http, f);
	enum weir_cause cause;

	step = fake_drive(e, step);
	if (step == WEIR_NEXT)
		step = fake_drive(e, weir_exchange_response(e, 0));
	assert_true(step == WEIR_DONE || step == WEIR_FAILED);
	cause = weir_exchange_cause(e);
	*retry_ms = weir_exchange_retry_ms(e);
	weir_exchange_end(&e);
	return cause;
}

static size_t lines_with(const struct bench *b, const char *text)
{
	size_t n = 0;

	for (size_t i = 0; i < b->line_count; i++)
		n += memmem(b->lines[i].text, b->lines[i].n, text, strlen(text)) != NULL;
	return n;
}

/* When the wait is over. */
static enum weir_cause run_trial(struct bench *b, struct fake *f)
{
	uint64_t retry_ms;

	atomic_store(&b->plugin->guard.calls.retry_at_ns, clock_mono_ns());
	atomic_store(&b->plugin->guard.starts.retry_at_ns, clock_mono_ns());
	return run(b, f, &retry_ms);
}

static void plugin_opens_and_closes(void **state)
{
	const struct weir_plugin_options o = {.limits = {.circuit_failures = 6,
							 .circuit_wait_ms = 100000,
							 .circuit_wait_max_ms = 150000}};
	struct bench *b = *state;
	struct weir_plugin_stats stats;
	uint64_t retry_ms;
	struct fake f;

	fake_init(&f);
	bench_open(b, fickle, &o);
	/* In either phase. */
	for (unsigned i = 0; i < 6; i++) {
		target(&f, i % 2 == 0 ? "/evil-now" : "/evil-later");
		assert_int_equal(run(b, &f, &retry_ms), WEIR_CAUSE_TRAP);
		assert_int_equal(retry_ms, 0);
	}
	assert_int_equal(lines_with(b, "the circuit opens: 6 of the last 6 requests failed"), 1);
	assert_int_equal(lines_with(b, "unreachable"), 1);
	stats = bench_stats(b);
	assert_int_equal(stats.circuit_open, 1);
	target(&f, "/good");
	assert_int_equal(run(b, &f, &retry_ms), WEIR_CAUSE_CIRCUIT);
	assert_in_range(retry_ms, 1, 100000);
	assert_int_equal(bench_stats(b).created, stats.created);
	target(&f, "/evil-later");
	assert_int_equal(run_trial(b, &f), WEIR_CAUSE_TRAP);
	assert_int_equal(run(b, &f, &retry_ms), WEIR_CAUSE_CIRCUIT);
	assert_in_range(retry_ms, 100001, 150000);
	target(&f, "/good");
	assert_int_equal(run_trial(b, &f), WEIR_CAUSE_NONE);
	assert_int_equal(run(b, &f, &retry_ms), WEIR_CAUSE_NONE);
	stats = bench_stats(b);
	assert_int_equal(stats.circuit_open, 0);
	assert_int_equal(stats.circuit_opened, 1);
	assert_true(stats.failures[WEIR_CAUSE_CIRCUIT] >= 2);
	assert_int_equal(lines_with(b, "the circuit opens"), 1);
	assert_int_equal(lines_with(b, "the circuit closes"), 1);
	fake_free(&f);
}

static void some_traps_do_not_matter(void **state)
{
	const struct weir_plugin_options o = {.limits = {.circuit_failures = 5}};
	struct bench *b = *state;
	uint64_t retry_ms;
	struct fake f;

	fake_init(&f);
	bench_open(b, fickle, &o);
	for (unsigned i = 0; i < 400; i++) {
		/* Three of four fail. */
		target(&f, i % 4 == 0 ? "/good" : "/evil-now");
		assert_int_equal(run(b, &f, &retry_ms),
				 i % 4 == 0 ? WEIR_CAUSE_NONE : WEIR_CAUSE_TRAP);
	}
	assert_int_equal(bench_stats(b).circuit_opened, 0);
	fake_free(&f);
}

/* Who waits too long, or sends too much, says nothing about the plugin. */
static void what_counts(void **state)
{
	(void)state;
	assert_true(guard_counts(WEIR_CAUSE_TRAP) && guard_counts(WEIR_CAUSE_DEADLINE));
	assert_false(guard_counts(WEIR_CAUSE_BUSY) || guard_counts(WEIR_CAUSE_TOO_LARGE) ||
		     guard_counts(WEIR_CAUSE_BODY) || guard_counts(WEIR_CAUSE_CIRCUIT) ||
		     guard_counts(WEIR_CAUSE_EMBEDDER));
	assert_int_equal(weir_cause_status(WEIR_CAUSE_CIRCUIT), 503);
}

/* Starts well only while lines of level debug are not wanted. */
static const char moody[] = FAKE_GUEST("",
				       "(func (export \"_initialize\") (if (call $log_enabled "
				       "(i32.const -1)) (then (unreachable))))",
				       FAKE_NEXT, "(drop (i32.const 1))");

static void starts_are_not_repeated_for_ever(void **state)
{
	const struct weir_plugin_options o = {
		.limits = {.start_failures = 3, .circuit_wait_ms = 100000, .queue_wait_ms = 60000},
		.init = WEIR_INIT_OWN};
	struct bench *b = *state;
	struct weir_exchange *held;
	struct weir_plugin_stats stats;
	uint64_t retry_ms;
	struct fake f;

	fake_init(&f);
	b->lowest = WEIR_LOG_INFO;
	bench_open(b, moody, &o);
	assert_int_equal(weir_exchange_begin(&held, b->pool, &fake_http, &f), WEIR_NEXT);
	b->lowest = WEIR_LOG_DEBUG;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(run(b, &f, &retry_ms), WEIR_CAUSE_START);
	stats = bench_stats(b);
	assert_int_equal(stats.starts_stopped, 1);
	assert_int_equal(lines_with(b, "instances do not start: 3 of the last 3 failed"), 1);
	/* The one that there is goes on serving; others wait for it. */
	{
		struct weir_exchange *e;

		assert_int_equal(weir_exchange_begin(&e, b->pool, &fake_http, &f),
				 WEIR_WAIT_INSTANCE);
		assert_int_equal(fake_drive(held, weir_exchange_response(held, 0)), WEIR_DONE);
		weir_exchange_end(&held);
		assert_int_equal(fake_drive(e, weir_exchange_step(e)), WEIR_NEXT);
		held = e;
	}
	assert_int_equal(bench_stats(b).created, stats.created);
	weir_exchange_end(&held);
	/* It had to go: now there is none. */
	assert_int_equal(bench_stats(b).live, 0);
	assert_int_equal(run_trial(b, &f), WEIR_CAUSE_START);
	assert_int_equal(run(b, &f, &retry_ms), WEIR_CAUSE_CIRCUIT);
	b->lowest = WEIR_LOG_INFO;
	assert_int_equal(run_trial(b, &f), WEIR_CAUSE_NONE);
	assert_int_equal(bench_stats(b).starts_stopped, 0);
	assert_int_equal(bench_stats(b).starts_stopped_count, 1);
	assert_int_equal(bench_stats(b).circuit_opened, 0);
	assert_int_equal(lines_with(b, "instances start again"), 1);
	fake_free(&f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_after_failures),
		cmocka_unit_test(successes_keep_it_closed),
		cmocka_unit_test(old_failures_do_not_count),
		cmocka_unit_test(waits_grow),
		cmocka_unit_test(may_be_off),
		cmocka_unit_test(what_counts),
		TEST(plugin_opens_and_closes),
		TEST(some_traps_do_not_matter),
		TEST(starts_are_not_repeated_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
