#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/verify_run_private.h"
#include "core/clock.h"

#define STEADY_MS 10000u
#define STEADY_BYTES (1 << 20)
/* Fewer answers say nothing about one in a hundred. */
#define P99_ANSWERS 2000u
#define BURST_REQUESTS 10000u
#define STREAMS 200u

const struct verify_scenario verify_scenarios[VERIFY_SCENARIO_COUNT] = {
#define X(id, name, for_ms, interval_ms, routers, own, steady, doc) \
	[VERIFY_##id] = {#name, for_ms, interval_ms, routers, own, steady, doc},
	VERIFY_SCENARIOS(X)
#undef X
};

/* --- what is done in each */

static bool burst_of(struct verify_run *run, size_t clients, struct weir_error *e)
{
	uint64_t until_ms = clock_mono_ms() + run->for_ms / 2;
	char text[48];

	(void)snprintf(text, sizeof text, "%zu clients", clients);
	verify_sampler_mark(&run->result->sampler, text);
	if (!verify_run_start_load(
		    run, (struct verify_load_plan){.connections = clients, .count = BURST_REQUESTS},
		    e))
		return false;
	while (!verify_load_is_done(run->load) && clock_mono_ms() < until_ms) {
		if (!verify_run_goes_on(run, text))
			break;
		verify_sleep_ms(10);
	}
	verify_run_stop_load(run);
	return verify_run_goes_on(run, text);
}

static bool run_burst(struct verify_run *run, struct weir_error *e)
{
	return burst_of(run, 100, e) && burst_of(run, 1000, e);
}

static bool run_sequential(struct verify_run *run, struct weir_error *e)
{
	verify_sampler_mark(&run->result->sampler, "one client");
	return verify_run_start_load(
		       run,
		       (struct verify_load_plan){.connections = 1,
						 .interval_ns = 10 * VERIFY_NS_PER_MS},
		       e) &&
	       verify_run_pause(run, clock_mono_ms() + run->for_ms, "one client");
}

static bool run_rewrites(struct verify_run *run, struct weir_error *e)
{
	verify_sampler_mark(&run->result->sampler, "rewrites");
	return verify_run_rewrites(run, e);
}

/* `from` is how things were before the first rewrite. */
static bool run_traffic_from(struct verify_run *run, struct weir_error *e,
			     struct verify_sample *from)
{
	const struct verify_load_plan plan = {.connections = 10,
					      .interval_ns = 20 * VERIFY_NS_PER_MS};

	verify_sampler_mark(&run->result->sampler, "rewrites and requests");
	if (!verify_run_start_load(run, plan, e) ||
	    !verify_run_pause(run, clock_mono_ms() + MIN(run->for_ms / 4, (uint64_t)5000),
			      "requests"))
		return false;
	*from = verify_sampler_last(&run->result->sampler);
	return verify_run_rewrites(run, e);
}

static bool run_traffic(struct verify_run *run, struct weir_error *e)
{
	struct verify_sample from;

	return run_traffic_from(run, e, &from);
}

static bool run_broken(struct verify_run *run, struct weir_error *e)
{
	struct verify_result *r = run->result;
	struct verify_sample from;
	bool good = run_traffic_from(run, e, &from);

	verify_result_set(r, VERIFY_M_BROKEN, (double)run->broken);
	verify_result_set(r, VERIFY_M_NOT_KEPT, (double)run->not_kept);
	verify_result_set(r, VERIFY_M_NOT_TOLD, (double)run->not_told);
	verify_result_set(r, VERIFY_M_NOT_CLEAR, (double)run->not_clear);
	return good;
}

/* What one changed router costs. */
static bool run_scale(struct verify_run *run, struct weir_error *e)
{
	struct verify_result *r = run->result;
	struct verify_sample from, to;
	bool good = run_traffic_from(run, e, &from);

	good = good && verify_run_pause(run, clock_mono_ms() + 2 * VERIFY_SAMPLE_MS, "rewrites");
	to = verify_sampler_last(&r->sampler);
	if (!good || run->pass == run->missed)
		return good;
	verify_result_set(r, VERIFY_M_APPLIED,
			  (double)run->applied_ms / (double)(run->pass - run->missed));
	verify_result_set(r, VERIFY_M_CPU, (double)(to.cpu_ms - from.cpu_ms) / (double)run->pass);
	if (r->has_metrics && from.control_us > 0)
		verify_result_set(r, VERIFY_M_CONTROL,
				  (double)(to.control_us - from.control_us) / 1000 /
					  (double)run->pass);
	return true;
}

static bool run_longlived(struct verify_run *run, struct weir_error *e)
{
	const struct verify_load_plan plan = {.connections = STREAMS, .hold = true};
	uint64_t until_ms = clock_mono_ms() + VERIFY_APPLY_MS;
	struct verify_load_counts counts = {0};
	bool good;

	verify_sampler_mark(&run->result->sampler, "streams open");
	good = verify_run_start_load(run, plan, e);
	while (good && counts.held < STREAMS && counts.held + counts.failed < STREAMS &&
	       clock_mono_ms() < until_ms) {
		good = verify_run_pause(run, clock_mono_ms() + 50, "streams open");
		verify_load_count(run->load, &counts);
	}
	if (good && verify_run_pause(run, clock_mono_ms() + 2 * VERIFY_SAMPLE_MS, "streams open"))
		verify_run_begin(run);
	verify_sampler_mark(&run->result->sampler, "rewrites");
	good = good && verify_run_rewrites(run, e);
	if (run->load != NULL) {
		verify_load_count(run->load, &counts);
		verify_result_set(run->result, VERIFY_M_LOST, (double)(STREAMS - counts.held));
	}
	return good;
}

static bool run_soak(struct verify_run *run, struct weir_error *e)
{
	const struct verify_load_plan plan = {.connections = 2,
					      .interval_ns = 40 * VERIFY_NS_PER_MS};

	verify_sampler_mark(&run->result->sampler, "rewrites and requests");
	return verify_run_start_load(run, plan, e) && verify_run_rewrites(run, e);
}

static bool (*const actions[VERIFY_SCENARIO_COUNT])(struct verify_run *run,
						    struct weir_error *e) = {
	[VERIFY_BURST] = run_burst,     [VERIFY_SEQUENTIAL] = run_sequential,
	[VERIFY_CHURN] = run_rewrites,  [VERIFY_CHANGE] = run_rewrites,
	[VERIFY_BROKEN] = run_broken,   [VERIFY_KILL] = verify_run_kills,
	[VERIFY_TRAFFIC] = run_traffic, [VERIFY_LONGLIVED] = run_longlived,
	[VERIFY_SOAK] = run_soak,       [VERIFY_SCALE100] = run_scale,
	[VERIFY_SCALE1000] = run_scale, [VERIFY_SCALE10000] = run_scale,
};

/* --- before and after */

/* Until memory stands still for two samples. */
static void wait_steady(struct verify_run *run)
{
	uint64_t until_ms = clock_mono_ms() + STEADY_MS;
	struct verify_sample before = {0}, now = {0};
	unsigned still = 0;

	while (still < 3 && verify_run_pause(run, clock_mono_ms() + VERIFY_SAMPLE_MS, "starting") &&
	       clock_mono_ms() < until_ms) {
		now = verify_sampler_last(&run->result->sampler);
		still = now.at_ms != before.at_ms &&
					llabs(now.own_bytes - before.own_bytes) < STEADY_BYTES
				? still + 1
				: 0;
		before = now;
	}
	run->start = verify_sampler_last(&run->result->sampler);
	run->result->start_own_bytes = run->start.own_bytes;
	verify_run_begin(run);
}

static void measure(struct verify_run *run)
{
	struct verify_result *r = run->result;
	struct verify_sample last = verify_sampler_last(&r->sampler);
	int64_t peak, generations;

	verify_sampler_peak(&r->sampler, &peak, &generations);
	verify_result_set(r, VERIFY_M_DIED, run->died);
	verify_result_set(r, VERIFY_M_OVER_MEMORY, run->over_memory);
	verify_result_set(r, VERIFY_M_PEAK, (double)(peak - run->base_own_bytes) / VERIFY_MIB);
	verify_result_set(r, VERIFY_M_LEFT,
			  (double)(last.own_bytes - run->start.own_bytes) / VERIFY_MIB);
	verify_result_set(r, VERIFY_M_DESCRIPTORS,
			  (double)(last.descriptors - run->start.descriptors));
	if (last.initialised >= 0 && run->base_initialised >= 0)
		verify_result_set(r, VERIFY_M_INITIALISED,
				  (double)(last.initialised - run->base_initialised));
	if (last.live >= 0 && run->start.live >= 0)
		verify_result_set(r, VERIFY_M_LIVE_LEFT, (double)(last.live - run->start.live));
	if (generations >= 0)
		verify_result_set(r, VERIFY_M_GENERATIONS, (double)generations);
}

/* Memory and instances have the time of --settle to come back. */
static void settle(struct verify_run *run)
{
	uint64_t until_ms = clock_mono_ms() + run->args->settle_ms;
	bool back = false;

	verify_sampler_mark(&run->result->sampler, "end of load");
	while (!back && clock_mono_ms() < until_ms &&
	       verify_run_pause(run, clock_mono_ms() + VERIFY_SAMPLE_MS, "settling")) {
		measure(run);
		back = verify_judge(run->result) == VERIFY_GOOD;
	}
	/* The next sample has seen all that came before. */
	(void)verify_run_pause(run, clock_mono_ms() + 2 * VERIFY_SAMPLE_MS, "settling");
}

static void measure_work(struct verify_run *run)
{
	struct verify_result *r = run->result;
	const struct verify_latency *l = run->latency;
	double quiet_ms = (double)verify_latency_at(&l[0], 0.99) / 1000;
	double reload_ms = (double)verify_latency_at(&l[1], 0.99) / 1000;

	if (run->passes > 0) {
		verify_result_set(r, VERIFY_M_REWRITES, (double)run->pass);
		verify_result_set(r, VERIFY_M_NOT_APPLIED, (double)run->missed);
	}
	if (run->passes > 0 && run->scenario->own && run->start.initialised >= 0)
		verify_result_set(r, VERIFY_M_NOT_ONE, (double)run->not_one);
	if (run->counts.answered + run->counts.failed > 0) {
		verify_result_set(r, VERIFY_M_REQUESTS, (double)run->counts.answered);
		verify_result_set(r, VERIFY_M_FAILED, (double)run->counts.failed);
		verify_result_set(r, VERIFY_M_REFUSED, (double)run->counts.refused);
	}
	if (run->kills > 0)
		verify_result_set(r, VERIFY_M_CUT, (double)run->counts.broken);
	if (l[0].count > 0)
		verify_result_set(r, VERIFY_M_P99, quiet_ms);
	if (l[1].count > 0)
		verify_result_set(r, VERIFY_M_P99_RELOAD, reload_ms);
	if (l[0].count < P99_ANSWERS || l[1].count < P99_ANSWERS || quiet_ms <= 0)
		return;
	verify_result_set(r, VERIFY_M_P99_RATIO, reload_ms / quiet_ms);
}

/* What a reload adds to the time of the slowest request. It is known where the limit is passed by
 * more than the machine's noise, and where that is below the limit. */
static void measure_delay(struct verify_run *run)
{
	struct verify_result *r = run->result;
	struct verify_delay d = verify_delays_sum(&run->delays);
	double more_ms = d.reload_ms - d.quiet_ms;
	double most_ms = verify_most(r->scenario, VERIFY_M_DELAY_MORE);

	if (!run->scenario->steady || !d.known)
		return;
	verify_result_set(r, VERIFY_M_DELAY_QUIET, d.quiet_ms);
	verify_result_set(r, VERIFY_M_DELAY_RELOAD, d.reload_ms);
	if (more_ms - d.doubt_ms > most_ms || (more_ms <= most_ms && d.doubt_ms <= most_ms))
		verify_result_set(r, VERIFY_M_DELAY_MORE, more_ms);
	else
		(void)snprintf(r->note, sizeof r->note,
			       "the machine is too noisy to tell how long a reload delays "
			       "requests: %.1f ms, give or take %.1f",
			       more_ms, d.doubt_ms);
}

static void act(struct verify_run *run, struct weir_error *e)
{
	struct verify_result *r = run->result;

	wait_steady(run);
	if (run->start.own_bytes == 0) {
		(void)error_set(e, -ENOENT, "the memory of %s cannot be read from /proc",
				run->proxy.path);
		return;
	}
	(void)actions[r->scenario](run, e);
	verify_run_stop_load(run);
	if (r->unsupported[0] != '\0')
		return;
	measure_work(run);
	measure_delay(run);
	if (r->scenario == VERIFY_SOAK)
		verify_result_set(r, VERIFY_M_SLOPE,
				  verify_sampler_slope(&r->sampler) / VERIFY_MIB);
	settle(run);
	measure(run);
}

void verify_scenario_run(struct verify_result *r, const struct verify_args *args)
{
	struct verify_run run = {
		.result = r, .args = args, .scenario = &verify_scenarios[r->scenario]};
	uint64_t from_ms = clock_mono_ms();
	struct weir_error e = {0};

	run.for_ms = args->for_ms > 0 ? args->for_ms : run.scenario->for_ms;
	if (verify_backend_start(&run.backend, &e) == 0) {
		run.ready = verify_proxy_start(&run.proxy, r->proxy, args, run.scenario,
					       verify_backend_port(run.backend), &e) == 0;
		r->sampled = run.ready && verify_sampler_start(&r->sampler, &run.proxy, &e) == 0;
		r->has_metrics = run.proxy.has_metrics;
		if (r->sampled) {
			act(&run, &e);
			verify_sampler_stop(&r->sampler);
		}
		verify_proxy_stop(&run.proxy);
	}
	verify_backend_stop(&run.backend);
	if (isatty(STDERR_FILENO) != 0)
		(void)fputs("\r\033[K", stderr);
	if (e.text[0] == '\0' && verify_is_stopped())
		(void)error_set(&e, -EINTR, "interrupted");
	r->error = e;
	r->seconds = (double)(clock_mono_ms() - from_ms) / 1000;
}
