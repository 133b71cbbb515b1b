#include "cli/plugin_measure.h"

#include <errno.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/error.h"
#include "plugin/plugin.h"
#include "plugin/pool.h"

#define ROUNDS 5
#define ROUND_NS 20000000u
#define ROUND_MAX 10000u

/* Nanoseconds per call, of the best round; 0 after a call that failed. */
static uint64_t best(bool (*run)(struct plugin_session *s), struct plugin_session *s)
{
	uint64_t least = UINT64_MAX;

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t from = clock_thread_cpu_ns(), until = clock_mono_ns() + ROUND_NS;
		uint64_t n = 0;

		do {
			if (!run(s))
				return 0;
			n++;
		} while (n < ROUND_MAX && clock_mono_ns() < until);
		least = MIN(least, (clock_thread_cpu_ns() - from) / n);
	}
	return least;
}

static bool make_and_end(struct plugin_session *s)
{
	struct weir_plugin *p = s->plugin;
	uint64_t bytes = charge_estimate(p);
	struct instance *i = NULL;
	enum run run;

	if (!budget_take(&p->budget, bytes))
		return false;
	if (instance_create(&i, p, s->pool->seat, &s->pool->counters, bytes, NULL) < 0) {
		budget_give(&p->budget, bytes);
		return false;
	}
	while ((run = instance_start(i)) != RUN_DONE && run != RUN_FAILED)
		;
	instance_destroy(&i);
	return run == RUN_DONE;
}

/* The one that serves all requests. */
static struct instance *idle_instance(const struct plugin_session *s)
{
	return list_empty(&s->pool->idle) ? NULL
					  : container_of(s->pool->idle.next, struct instance, link);
}

static bool put_back(struct plugin_session *s)
{
	struct instance *i = idle_instance(s);

	return i != NULL && snapshot_restore(s->plugin->snapshot, i, false);
}

/** What an instance holds. */
struct state {
	size_t bytes;
	uint8_t *memory;
	size_t global_count;
	wasmtime_val_t *globals;
};

static void free_state(struct state *s)
{
	free(s->memory);
	free(s->globals);
	*s = (struct state){0};
}

static bool keep_state(struct state *s, struct instance *i)
{
	struct guest_memory memory;

	if (!instance_memory(i, NULL, &memory))
		return false;
	s->bytes = memory.size_bytes;
	s->global_count = i->globals != NULL ? i->plugin->module->global_count : 0;
	s->memory = malloc(s->bytes + 1);
	s->globals = calloc(s->global_count + 1, sizeof *s->globals);
	if (s->memory == NULL || s->globals == NULL)
		return false;
	if (s->bytes > 0)
		memcpy(s->memory, memory.base, s->bytes);
	for (size_t n = 0; n < s->global_count; n++)
		wasmtime_global_get(i->context, &i->globals[n], &s->globals[n]);
	return true;
}

static bool same_state(const struct state *a, const struct state *b)
{
	if (a->bytes != b->bytes || a->global_count != b->global_count ||
	    (a->bytes > 0 && memcmp(a->memory, b->memory, a->bytes) != 0))
		return false;
	for (size_t n = 0; n < a->global_count; n++) {
		if (!snapshot_same_value(&a->globals[n], &b->globals[n]))
			return false;
	}
	return true;
}

static int failed(const struct plugin_exchange *x, struct weir_error *error)
{
	return error_set(error, -EIO, "%s: %s", weir_cause_text(x->cause), x->error.text);
}

/* The stack differs after the first request; who keeps nothing leaves the same behind each time
 * from then on. */
static int find_state(struct plugin_costs *costs, struct plugin_session *s,
		      struct plugin_exchange *x, const struct plugin_request *request,
		      struct weir_error *error)
{
	struct state states[2] = {{.bytes = 0}, {.bytes = 0}};
	int r = 0;

	for (size_t n = 0; r == 0 && n < ARRAY_LEN(states); n++) {
		if (!plugin_exchange_run(x, s->pool, NULL, request))
			r = failed(x, error);
		else if (idle_instance(s) == NULL || !keep_state(&states[n], idle_instance(s)))
			r = error_set(error, -ENOMEM, "not enough memory to compare the guest's");
	}
	costs->keeps_state = r == 0 && !same_state(&states[0], &states[1]);
	free_state(&states[0]);
	free_state(&states[1]);
	return r;
}

int plugin_measure_costs(struct plugin_costs *costs, struct plugin_session *s,
			 const struct plugin_request *request, struct weir_error *error)
{
	struct plugin_exchange x;
	int r;

	*costs = (struct plugin_costs){.cloned = s->plugin->snapshot != NULL};
	s->quiet = true;
	plugin_exchange_init(&x, weir_plugin_facts(s->plugin)->limits.body_bytes);
	costs->make_ns = best(make_and_end, s);
	r = plugin_exchange_run(&x, s->pool, NULL, request) ? 0 : failed(&x, error);
	costs->changed_bytes = x.facts.changed_bytes;
	if (r == 0)
		r = find_state(costs, s, &x, request, error);
	if (r == 0 && costs->cloned)
		costs->restore_ns = best(put_back, s);
	plugin_exchange_free(&x);
	s->quiet = false;
	return r;
}

static bool is_over(const struct plugin_rate *rate, uint64_t for_ns, uint64_t count,
		    uint64_t start_ns)
{
	return count > 0 ? rate->exchanges >= count : clock_mono_ns() - start_ns >= for_ns;
}

/* Calls within one slice are measured by the wall clock, which goes on when others have the CPU: of
 * the thread's CPU time the guest had the same share as of the wall's. */
static uint64_t guest_share(const struct plugin_rate *rate, uint64_t guest_ns, bool yielded)
{
	double share = (double)rate->cpu_ns / (double)MAX(rate->wall_ns, (uint64_t)1);

	if (!yielded && share < 1)
		guest_ns = (uint64_t)((double)guest_ns * share);
	return MIN(guest_ns, rate->cpu_ns);
}

int plugin_measure_rate(struct plugin_rate *rate, struct plugin_session *s,
			const struct plugin_requests *requests, uint64_t for_ns, uint64_t count,
			struct weir_error *error)
{
	struct weir_plugin_stats before, after;
	uint64_t start_ns, start_cpu_ns;
	struct plugin_exchange x;
	bool good = true;

	*rate = (struct plugin_rate){0};
	s->quiet = true;
	/* A look at the memory after each exchange would be part of the costs. */
	s->host->options.measure = false;
	plugin_exchange_init(&x, weir_plugin_facts(s->plugin)->limits.body_bytes);
	/* The first makes an instance. */
	good = plugin_exchange_run(&x, s->pool, NULL, &requests->list[0]);
	weir_plugin_stats(s->plugin, &before);
	start_ns = clock_mono_ns();
	start_cpu_ns = clock_thread_cpu_ns();
	while (good && !is_over(rate, for_ns, count, start_ns)) {
		good = plugin_exchange_run(&x, s->pool, NULL,
					   &requests->list[rate->exchanges % requests->count]);
		rate->exchanges++;
	}
	rate->cpu_ns = clock_thread_cpu_ns() - start_cpu_ns;
	rate->wall_ns = clock_mono_ns() - start_ns;
	weir_plugin_stats(s->plugin, &after);
	rate->guest_cpu_ns =
		guest_share(rate, after.cpu_ns - before.cpu_ns, after.yields > before.yields);
	rate->restored_bytes = after.restored_bytes - before.restored_bytes;
	s->host->options.measure = true;
	s->quiet = false;
	plugin_exchange_free(&x);
	return good ? 0 : failed(&x, error);
}
