#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/verify_private.h"
#include "core/clock.h"

#define MIB (1024.0 * 1024.0)
#define NS_PER_MS 1000000u
#define APPLY_MS 10000u
/* A reload still counts as going on that long after the configuration is in effect: old ones end
 * then. */
#define RELOAD_TAIL_MS 250u
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

/** A scenario while it runs. */
struct run {
	struct verify_result *result;
	const struct verify_args *args;
	const struct verify_scenario *scenario;
	struct verify_proxy proxy;
	struct verify_backend *backend;
	struct verify_load *load;
	struct verify_load_counts counts;
	struct verify_latency latency[2];
	struct verify_sample start;
	int64_t base_own_bytes; /* when what is looked for began */
	int64_t base_initialised;
	uint64_t for_ms;
	uint64_t passes;     /* to be done */
	uint64_t pass;       /* done */
	uint64_t missed;     /* were not in effect in time */
	uint64_t applied_ms; /* until those were that were, together */
	uint64_t not_one;    /* initialised another number of instances than one */
	int64_t initialised; /* after the last pass, or at the start */
	bool died;
	bool over_memory;
	bool ready; /* it has been started */
	uint64_t shown_ms;
};

static void progress(struct run *run, const char *what)
{
	struct verify_sample s;
	uint64_t now_ms = clock_mono_ms();

	if (isatty(STDERR_FILENO) == 0 || now_ms < run->shown_ms + 200)
		return;
	run->shown_ms = now_ms;
	s = verify_sampler_last(&run->result->sampler);
	(void)fprintf(stderr, "\r\033[K%-10s %s: %s", run->scenario->name, run->proxy.path, what);
	if (run->passes > 0)
		(void)fprintf(stderr, ", rewrite %llu/%llu", (unsigned long long)run->pass,
			      (unsigned long long)run->passes);
	(void)fprintf(stderr, ", %.0f MiB", (double)s.own_bytes / MIB);
	if (s.initialised >= 0)
		(void)fprintf(stderr, ", %lld instances initialised", (long long)s.initialised);
	if (s.answered > 0)
		(void)fprintf(stderr, ", %lld answers", (long long)s.answered);
	(void)fflush(stderr);
}

/* Whether the scenario may go on. */
static bool goes_on(struct run *run, const char *what)
{
	struct verify_sample s = verify_sampler_last(&run->result->sampler);

	progress(run, what);
	if (!verify_proxy_runs(&run->proxy))
		run->died = true;
	else if (s.own_bytes > 0 && (uint64_t)s.own_bytes > run->args->memory_bytes)
		run->over_memory = true;
	return !run->died && !run->over_memory && !verify_is_stopped();
}

/* Returns false if the scenario ends meanwhile. */
static bool pause_until(struct run *run, uint64_t until_ms, const char *what)
{
	while (goes_on(run, what)) {
		uint64_t now_ms = clock_mono_ms();

		if (now_ms >= until_ms)
			return true;
		verify_sleep_ms(MIN(until_ms - now_ms, (uint64_t)20));
	}
	return false;
}

/* What has come so far is not what is looked for. */
static void begin_to_measure(struct run *run)
{
	struct verify_sample now = verify_sampler_last(&run->result->sampler);

	run->base_own_bytes = now.own_bytes;
	run->base_initialised = run->initialised = now.initialised;
	verify_sampler_begin_peak(&run->result->sampler);
}

/* --- load */

static bool start_load(struct run *run, struct verify_load_plan plan, struct weir_error *e)
{
	plan.port = run->proxy.files.web_port;
	plan.hosts = run->scenario->interval_ms > 0 ? run->scenario->routers : 1;
	plan.field = run->args->own_guest ? "x-ballast: here" : NULL;
	if (verify_load_start(&run->load, &plan, e) < 0)
		return false;
	verify_sampler_watch(&run->result->sampler, run->load);
	return true;
}

static void stop_load(struct run *run)
{
	if (run->load == NULL)
		return;
	verify_sampler_watch(&run->result->sampler, NULL);
	verify_load_stop(&run->load, &run->counts, run->latency, run->result->failure);
}

/* --- rewrites */

/* One more configuration; true when it is in effect, or has had its time, and the scenario goes on.
 */
static bool rewrite(struct run *run, struct weir_error *e)
{
	uint64_t from_ms, until_ms = clock_mono_ms() + APPLY_MS;

	verify_sampler_mark(&run->result->sampler, "");
	if (run->load != NULL)
		verify_load_set_reload(run->load, true);
	if (verify_files_rewrite(&run->proxy.files, run->pass + 1, e) < 0)
		return false;
	run->pass++;
	from_ms = clock_mono_ms();
	while (!verify_proxy_has(&run->proxy, run->pass)) {
		if (!goes_on(run, "rewrites"))
			return false;
		if (clock_mono_ms() > until_ms) {
			run->missed++;
			return true;
		}
		verify_sleep_ms(10);
	}
	run->applied_ms += clock_mono_ms() - from_ms;
	return true;
}

static void count_initialised(struct run *run)
{
	struct verify_instances now;

	verify_proxy_instances(&run->proxy, &now);
	if (now.initialised < 0)
		return;
	run->not_one += now.initialised != run->initialised + 1;
	run->initialised = now.initialised;
}

static bool rewrites(struct run *run, struct weir_error *e)
{
	uint64_t last_ms = clock_mono_ms() + 4 * run->for_ms + APPLY_MS;

	run->passes = MAX(run->for_ms / run->scenario->interval_ms, (uint64_t)1);
	while (run->pass < run->passes && clock_mono_ms() < last_ms) {
		uint64_t next_ms = clock_mono_ms() + run->scenario->interval_ms;

		if (!rewrite(run, e))
			return false;
		count_initialised(run);
		if (!pause_until(run, MIN(next_ms, clock_mono_ms() + RELOAD_TAIL_MS), "rewrites"))
			return false;
		if (run->load != NULL)
			verify_load_set_reload(run->load, false);
		if (!pause_until(run, next_ms, "rewrites"))
			return false;
	}
	return true;
}

/* --- what is done in each */

static bool burst_of(struct run *run, size_t clients, struct weir_error *e)
{
	uint64_t until_ms = clock_mono_ms() + run->for_ms / 2;
	char text[48];

	(void)snprintf(text, sizeof text, "%zu clients", clients);
	verify_sampler_mark(&run->result->sampler, text);
	if (!start_load(run,
			(struct verify_load_plan){.connections = clients, .count = BURST_REQUESTS},
			e))
		return false;
	while (!verify_load_is_done(run->load) && clock_mono_ms() < until_ms) {
		if (!goes_on(run, text))
			break;
		verify_sleep_ms(10);
	}
	stop_load(run);
	return goes_on(run, text);
}

static bool run_burst(struct run *run, struct weir_error *e)
{
	return burst_of(run, 100, e) && burst_of(run, 1000, e);
}

static bool run_sequential(struct run *run, struct weir_error *e)
{
	verify_sampler_mark(&run->result->sampler, "one client");
	return start_load(
		       run,
		       (struct verify_load_plan){.connections = 1, .interval_ns = 10 * NS_PER_MS},
		       e) &&
	       pause_until(run, clock_mono_ms() + run->for_ms, "one client");
}

static bool run_rewrites(struct run *run, struct weir_error *e)
{
	verify_sampler_mark(&run->result->sampler, "rewrites");
	return rewrites(run, e);
}

/* `from` is how things were before the first rewrite. */
static bool run_traffic_from(struct run *run, struct weir_error *e, struct verify_sample *from)
{
	const struct verify_load_plan plan = {.connections = 10, .interval_ns = 20 * NS_PER_MS};

	verify_sampler_mark(&run->result->sampler, "rewrites and requests");
	if (!start_load(run, plan, e) ||
	    !pause_until(run, clock_mono_ms() + MIN(run->for_ms / 4, (uint64_t)5000), "requests"))
		return false;
	*from = verify_sampler_last(&run->result->sampler);
	return rewrites(run, e);
}

static bool run_traffic(struct run *run, struct weir_error *e)
{
	struct verify_sample from;

	return run_traffic_from(run, e, &from);
}

/* What one changed router costs. */
static bool run_scale(struct run *run, struct weir_error *e)
{
	struct verify_result *r = run->result;
	struct verify_sample from, to;
	bool good = run_traffic_from(run, e, &from);

	good = good && pause_until(run, clock_mono_ms() + 2 * VERIFY_SAMPLE_MS, "rewrites");
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

static bool run_longlived(struct run *run, struct weir_error *e)
{
	const struct verify_load_plan plan = {.connections = STREAMS, .hold = true};
	uint64_t until_ms = clock_mono_ms() + APPLY_MS;
	struct verify_load_counts counts = {0};
	bool good;

	verify_sampler_mark(&run->result->sampler, "streams open");
	good = start_load(run, plan, e);
	while (good && counts.held < STREAMS && counts.held + counts.failed < STREAMS &&
	       clock_mono_ms() < until_ms) {
		good = pause_until(run, clock_mono_ms() + 50, "streams open");
		verify_load_count(run->load, &counts);
	}
	if (good && pause_until(run, clock_mono_ms() + 2 * VERIFY_SAMPLE_MS, "streams open"))
		begin_to_measure(run);
	verify_sampler_mark(&run->result->sampler, "rewrites");
	good = good && rewrites(run, e);
	if (run->load != NULL) {
		verify_load_count(run->load, &counts);
		verify_result_set(run->result, VERIFY_M_LOST, (double)(STREAMS - counts.held));
	}
	return good;
}

static bool run_soak(struct run *run, struct weir_error *e)
{
	const struct verify_load_plan plan = {.connections = 2, .interval_ns = 40 * NS_PER_MS};

	verify_sampler_mark(&run->result->sampler, "rewrites and requests");
	return start_load(run, plan, e) && rewrites(run, e);
}

static bool (*const actions[VERIFY_SCENARIO_COUNT])(struct run *run, struct weir_error *e) = {
	[VERIFY_BURST] = run_burst,     [VERIFY_SEQUENTIAL] = run_sequential,
	[VERIFY_CHURN] = run_rewrites,  [VERIFY_CHANGE] = run_rewrites,
	[VERIFY_TRAFFIC] = run_traffic, [VERIFY_LONGLIVED] = run_longlived,
	[VERIFY_SOAK] = run_soak,       [VERIFY_SCALE100] = run_scale,
	[VERIFY_SCALE1000] = run_scale, [VERIFY_SCALE10000] = run_scale,
};

/* --- before and after */

/* Until memory stands still for two samples. */
static void wait_steady(struct run *run)
{
	uint64_t until_ms = clock_mono_ms() + STEADY_MS;
	struct verify_sample before = {0}, now = {0};
	unsigned still = 0;

	while (still < 3 && pause_until(run, clock_mono_ms() + VERIFY_SAMPLE_MS, "starting") &&
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
	begin_to_measure(run);
}

static void measure(struct run *run)
{
	struct verify_result *r = run->result;
	struct verify_sample last = verify_sampler_last(&r->sampler);
	int64_t peak, generations;

	verify_sampler_peak(&r->sampler, &peak, &generations);
	verify_result_set(r, VERIFY_M_DIED, run->died);
	verify_result_set(r, VERIFY_M_OVER_MEMORY, run->over_memory);
	verify_result_set(r, VERIFY_M_PEAK, (double)(peak - run->base_own_bytes) / MIB);
	verify_result_set(r, VERIFY_M_LEFT, (double)(last.own_bytes - run->start.own_bytes) / MIB);
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
static void settle(struct run *run)
{
	uint64_t until_ms = clock_mono_ms() + run->args->settle_ms;
	bool back = false;

	verify_sampler_mark(&run->result->sampler, "end of load");
	while (!back && clock_mono_ms() < until_ms &&
	       pause_until(run, clock_mono_ms() + VERIFY_SAMPLE_MS, "settling")) {
		measure(run);
		back = verify_judge(run->result) == VERIFY_GOOD;
	}
	/* The next sample has seen all that came before. */
	(void)pause_until(run, clock_mono_ms() + 2 * VERIFY_SAMPLE_MS, "settling");
}

static void measure_work(struct run *run)
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
	}
	if (l[0].count > 0)
		verify_result_set(r, VERIFY_M_P99, quiet_ms);
	if (l[1].count > 0)
		verify_result_set(r, VERIFY_M_P99_RELOAD, reload_ms);
	if (l[0].count < P99_ANSWERS || l[1].count < P99_ANSWERS || quiet_ms <= 0)
		return;
	verify_result_set(r, VERIFY_M_P99_RATIO, reload_ms / quiet_ms);
	if (run->scenario->steady)
		verify_result_set(r, VERIFY_M_P99_MORE, reload_ms - quiet_ms);
}

static void act(struct run *run, struct weir_error *e)
{
	struct verify_result *r = run->result;

	wait_steady(run);
	if (run->start.own_bytes == 0) {
		(void)error_set(e, -ENOENT, "the memory of %s cannot be read from /proc",
				run->proxy.path);
		return;
	}
	(void)actions[r->scenario](run, e);
	stop_load(run);
	measure_work(run);
	if (r->scenario == VERIFY_SOAK)
		verify_result_set(r, VERIFY_M_SLOPE, verify_sampler_slope(&r->sampler) / MIB);
	settle(run);
	measure(run);
}

void verify_scenario_run(struct verify_result *r, const struct verify_args *args)
{
	struct run run = {.result = r, .args = args, .scenario = &verify_scenarios[r->scenario]};
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
