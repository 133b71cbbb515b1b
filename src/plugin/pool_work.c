#include "core/clock.h"
#include "plugin/mapping.h"
#include "plugin/output.h"
#include "plugin/pool.h"

/* The longest that one turn takes, but for its last piece. */
#define TURN_NS 200000u

/* Larger scratch space than this is given back when it is not in use. */
#define SCRATCH_KEEP_BYTES ((size_t)64 * 1024)

/* After an instance that was to be kept ready did not start. */
#define WARM_AGAIN_NS 1000000000u

/* Beyond what an instance takes at first: those that requests make come before those kept ready. */
#define WARM_SPARE 4u

static bool is_due(const struct weir_pool *p, const struct instance *i, uint64_t after_ns)
{
	return p->tick_ns != 0 && add_ns(i->idle_since_ns, after_ns) <= p->tick_ns;
}

static struct instance *last_idle(struct weir_pool *p)
{
	return list_empty(&p->idle) ? NULL : container_of(p->idle.prev, struct instance, link);
}

/* The one that idled longest is at the end. Memory that others lack is more urgent than instances
 * that are kept ready. */
static bool trim_one(struct weir_pool *p)
{
	const struct weir_limits *l = &p->plugin->facts.limits;
	struct instance *i = last_idle(p);
	bool surplus = p->slots > l->instances_min;

	if (i == NULL)
		p->yielding = 0;
	if (i == NULL || (p->yielding == 0 && !(surplus && is_due(p, i, ms_to_ns(l->idle_ms)))))
		return false;
	p->yielding -= p->yielding > 0;
	pool_destroy_idle(p, i);
	return true;
}

/* Halfway to their end idle instances give back what they have for themselves. */
static bool rest_one(struct weir_pool *p)
{
	uint64_t rest_ns = ms_to_ns(p->plugin->facts.limits.idle_ms) / 2;

	/* What initialised itself has nothing to go back to. */
	if (p->plugin->snapshot == NULL)
		return false;
	for (struct list *at = p->idle.prev; at != &p->idle; at = at->prev) {
		struct instance *i = container_of(at, struct instance, link);

		if (!is_due(p, i, rest_ns))
			return false;
		if (i->rested)
			continue;
		if (!instance_rest(i))
			pool_destroy_idle(p, i);
		return true;
	}
	return false;
}

static bool wants_warm(const struct weir_pool *p)
{
	return p->slots < p->plugin->facts.limits.instances_min && list_empty(&p->queue) &&
	       clock_mono_ns() >= p->warm_again_ns;
}

static void fail_warming(struct weir_pool *p, const char *why)
{
	p->warm_again_ns = clock_mono_ns() + WARM_AGAIN_NS;
	output_note(p->plugin, WEIR_LOG_ERROR, "an instance to keep ready cannot start: %s", why);
	if (p->warming == NULL || p->warming->fault.cause != WEIR_CAUSE_BUSY)
		guard_note_failure(p->plugin, GUARD_STARTS, p->warm_trial, why);
	if (p->warming != NULL)
		instance_destroy(&p->warming);
	pool_put_slot(p);
}

static bool begin_warming(struct weir_pool *p)
{
	struct weir_plugin *plugin = p->plugin;
	uint64_t bytes = charge_estimate(plugin);
	struct weir_error error;
	enum circuit_answer answer;

	if (!wants_warm(p) || !budget_has_room(&plugin->budget, WARM_SPARE * bytes))
		return false;
	answer = guard_ask(plugin, GUARD_STARTS);
	if (answer == CIRCUIT_REFUSE || !budget_take(&plugin->budget, bytes))
		return false;
	p->warm_trial = answer == CIRCUIT_TRY;
	p->slots++;
	if (instance_create(&p->warming, plugin, p->seat, &p->counters, bytes, &error) == 0)
		return true;
	budget_give(&plugin->budget, bytes);
	fail_warming(p, error.text);
	return false;
}

static bool end_warming(struct weir_pool *p)
{
	if (p->warm_trial)
		guard_note_success(p->plugin, GUARD_STARTS);
	p->warming->idle_since_ns = clock_mono_ns();
	pool_put(p, &p->warming);
	return true;
}

/* One slice of the start of an instance that is to be kept ready. */
static bool warm_one(struct weir_pool *p)
{
	struct instance *i = p->warming;

	if (i == NULL)
		return begin_warming(p);
	switch (instance_start(i)) {
	case RUN_DONE:
		return end_warming(p);
	case RUN_FAILED:
		fail_warming(p, i->fault.text);
		return false;
	case RUN_SLEEP:
		/* The next tick sees to it. */
		return false;
	default:
		return true;
	}
}

/* The most urgent piece. False: there is none. */
static bool work_once(struct weir_pool *p)
{
	return pool_settle_used(p) || trim_one(p) || rest_one(p) || warm_one(p);
}

/* False: all is done. */
static bool work_until(struct weir_pool *p, uint64_t end_ns)
{
	while (work_once(p)) {
		if (end_ns != UINT64_MAX && clock_mono_ns() >= end_ns)
			return true;
	}
	/* The reservations and stacks of those that have gone. */
	if (p->tick_ns != 0 && p->slots == 0)
		mapping_trim();
	p->tick_ns = 0;
	return false;
}

bool weir_pool_work(struct weir_pool *p)
{
	pool_check(p);
	/* What asks while it works is done within it. */
	p->work_asked = true;
	p->work_asked = work_until(p, clock_mono_ns() + TURN_NS);
	return p->work_asked;
}

/* They stay in the queue until their next step, so the callback may come more than once. */
static void wake_overdue(struct weir_pool *p, uint64_t now_ns)
{
	LIST_FOR_EACH (at, &p->queue) {
		struct weir_exchange *e = container_of(at, struct weir_exchange, link);

		if (e->wake_at_ns <= now_ns)
			pool_wake(p, e);
	}
}

/* Pages of the image that were holes are there once a guest has read them. Where the budget has no
 * room for them, idle instances go, and the next tick tries again. */
static void recount_image(struct weir_plugin *p)
{
	uint64_t bytes;

	if (p->snapshot == NULL)
		return;
	(void)pthread_mutex_lock(&p->lock);
	bytes = image_stored_bytes(p->snapshot->image);
	if (bytes > p->image_bytes && budget_take(&p->budget, bytes - p->image_bytes))
		p->image_bytes = bytes;
	(void)pthread_mutex_unlock(&p->lock);
}

bool weir_pool_tick(struct weir_pool *p, uint64_t now_ns)
{
	pool_check(p);
	p->tick_ns = now_ns;
	pool_note_refusals(p);
	if (p->events.work == NULL)
		(void)work_until(p, UINT64_MAX);
	else
		pool_ask_work(p);
	recount_image(p->plugin);
	wake_overdue(p, now_ns);
	if (p->scratch.capacity > SCRATCH_KEEP_BYTES)
		str_free(&p->scratch);
	/* Also those in use: they will be idle, without a call that would start the ticks again. */
	return p->slots > 0 || !list_empty(&p->queue) || p->plugin->facts.limits.instances_min > 0;
}
