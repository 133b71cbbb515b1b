#include "plugin/circuit.h"

#include "core/base.h"

void circuit_init(struct circuit *c, const struct circuit_limits *limits)
{
	*c = (struct circuit){.limits = *limits};
}

static uint64_t later(uint64_t now_ns, uint64_t ns)
{
	return now_ns > UINT64_MAX - ns ? UINT64_MAX : now_ns + ns;
}

static void plan_trial(struct circuit *c, uint64_t now_ns)
{
	atomic_store_explicit(&c->retry_at_ns, later(now_ns, c->wait_ns), memory_order_relaxed);
}

static void lengthen_wait(struct circuit *c)
{
	const struct circuit_limits *l = &c->limits;

	c->wait_ns = c->wait_ns == 0                   ? l->wait_ns
		     : c->wait_ns > l->wait_max_ns / 2 ? l->wait_max_ns
						       : c->wait_ns * 2;
}

static void open_it(struct circuit *c, uint64_t now_ns)
{
	/* One that opens again soon after goes on where it was. */
	if (now_ns - c->closed_at_ns > c->limits.window_ns)
		c->wait_ns = 0;
	lengthen_wait(c);
	plan_trial(c, now_ns);
	(void)atomic_fetch_add_explicit(&c->opened, 1, memory_order_relaxed);
	atomic_store_explicit(&c->open, true, memory_order_relaxed);
}

enum circuit_answer circuit_ask(struct circuit *c, uint64_t now_ns)
{
	if (circuit_closed(c))
		return CIRCUIT_PASS;
	if (now_ns < atomic_load_explicit(&c->retry_at_ns, memory_order_relaxed))
		return CIRCUIT_REFUSE;
	plan_trial(c, now_ns);
	return CIRCUIT_TRY;
}

static bool too_many(const struct circuit *c, uint64_t attempts)
{
	uint64_t tried = attempts - c->window_attempts;

	return c->window_failures >= c->limits.failures &&
	       c->window_failures * UINT64_C(100) >= tried * CIRCUIT_FAILING_PERCENT;
}

bool circuit_note_failure(struct circuit *c, uint64_t attempts, uint64_t now_ns)
{
	if (!circuit_closed(c) || c->limits.failures == UINT32_MAX)
		return false;
	if (c->window_failures == 0 || now_ns - c->window_began_ns > c->limits.window_ns) {
		c->window_began_ns = now_ns;
		c->window_attempts = attempts - 1;
		c->window_failures = 0;
	}
	c->window_failures++;
	if (!too_many(c, attempts))
		return false;
	open_it(c, now_ns);
	return true;
}

bool circuit_end_trial(struct circuit *c, bool success, uint64_t now_ns)
{
	if (circuit_closed(c))
		return false;
	if (!success) {
		lengthen_wait(c);
		plan_trial(c, now_ns);
		return false;
	}
	c->closed_at_ns = now_ns;
	c->window_failures = 0;
	atomic_store_explicit(&c->open, false, memory_order_relaxed);
	return true;
}
