#include "plugin/guard.h"

#include "core/clock.h"
#include "plugin/output.h"
#include "plugin/plugin.h"
#include "plugin/pool.h"

void guard_init(struct weir_plugin *p)
{
	const struct weir_limits *l = &p->facts.limits;
	struct circuit_limits limits = {
		.failures = l->circuit_failures,
		.window_ns = ms_to_ns(l->circuit_window_ms),
		.wait_ns = ms_to_ns(l->circuit_wait_ms),
		.wait_max_ns = ms_to_ns(MAX(l->circuit_wait_max_ms, l->circuit_wait_ms)),
	};

	circuit_init(&p->guard.calls, &limits);
	limits.failures = l->start_failures;
	circuit_init(&p->guard.starts, &limits);
}

static struct circuit *circuit_of(struct weir_plugin *p, enum guarded what)
{
	return what == GUARD_CALLS ? &p->guard.calls : &p->guard.starts;
}

enum circuit_answer guard_ask(struct weir_plugin *p, enum guarded what)
{
	struct circuit *c = circuit_of(p, what);
	enum circuit_answer answer;

	if (LIKELY(circuit_closed(c)))
		return CIRCUIT_PASS;
	(void)pthread_mutex_lock(&p->lock);
	answer = circuit_ask(c, clock_mono_ns());
	(void)pthread_mutex_unlock(&p->lock);
	return answer;
}

bool guard_counts(enum weir_cause cause)
{
	return cause == WEIR_CAUSE_TRAP || cause == WEIR_CAUSE_ABI || cause == WEIR_CAUSE_EXIT ||
	       cause == WEIR_CAUSE_DEADLINE || cause == WEIR_CAUSE_MEMORY;
}

/* Under the plugin's lock. */
static uint64_t attempts(struct weir_plugin *p, enum guarded what)
{
	uint64_t sum = counter_get(&p->counters.exchanges);

	if (what == GUARD_STARTS)
		return atomic_load(&p->created);
	LIST_FOR_EACH (at, &p->pools)
		sum += counter_get(&container_of(at, struct weir_pool, link)->counters.exchanges);
	return sum;
}

static void tell_opened(const struct weir_plugin *p, enum guarded what, uint32_t failures,
			uint64_t tried, const char *why)
{
	output_note(p, WEIR_LOG_ERROR,
		    what == GUARD_CALLS ? "the circuit opens: %u of the last %llu requests failed; "
					  "others are refused for %llu ms; the last failure: %s"
					: "instances do not start: %u of the last %llu failed; no "
					  "other is tried for %llu ms; the last failure: %s",
		    failures, (unsigned long long)tried,
		    (unsigned long long)guard_retry_ms(p, what), why);
}

void guard_note_failure(struct weir_plugin *p, enum guarded what, bool trial, const char *why)
{
	struct circuit *c = circuit_of(p, what);
	bool opens = false;
	uint32_t failures;
	uint64_t tried;

	(void)pthread_mutex_lock(&p->lock);
	if (trial)
		(void)circuit_end_trial(c, false, clock_mono_ns());
	else
		opens = circuit_note_failure(c, attempts(p, what), clock_mono_ns());
	failures = c->window_failures;
	tried = attempts(p, what) - c->window_attempts;
	(void)pthread_mutex_unlock(&p->lock);
	if (opens)
		tell_opened(p, what, failures, tried, why);
}

void guard_note_success(struct weir_plugin *p, enum guarded what)
{
	bool closes;

	(void)pthread_mutex_lock(&p->lock);
	closes = circuit_end_trial(circuit_of(p, what), true, clock_mono_ns());
	(void)pthread_mutex_unlock(&p->lock);
	if (closes)
		output_note(p, WEIR_LOG_WARN, "%s",
			    what == GUARD_CALLS ? "the circuit closes: a request has succeeded"
						: "instances start again");
}

uint64_t guard_retry_ms(const struct weir_plugin *p, enum guarded what)
{
	const struct circuit *c = what == GUARD_CALLS ? &p->guard.calls : &p->guard.starts;
	uint64_t at = atomic_load_explicit(&c->retry_at_ns, memory_order_relaxed);
	uint64_t now = clock_mono_ns();

	return at > now ? (at - now) / 1000000u + 1 : 1;
}
