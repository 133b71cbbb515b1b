#include <stdio.h>
#include <unistd.h>

#include "cli/verify_run_private.h"
#include "core/clock.h"

static void progress(struct verify_run *run, const char *what)
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
	(void)fprintf(stderr, ", %.0f MiB", (double)s.own_bytes / VERIFY_MIB);
	if (s.initialised >= 0)
		(void)fprintf(stderr, ", %lld instances initialised", (long long)s.initialised);
	if (s.answered > 0)
		(void)fprintf(stderr, ", %lld answers", (long long)s.answered);
	(void)fflush(stderr);
}

bool verify_run_goes_on(struct verify_run *run, const char *what)
{
	struct verify_sample s = verify_sampler_last(&run->result->sampler);

	progress(run, what);
	if (!verify_proxy_runs(&run->proxy))
		run->died = true;
	else if (s.own_bytes > 0 && (uint64_t)s.own_bytes > run->args->memory_bytes)
		run->over_memory = true;
	return !run->died && !run->over_memory && !verify_is_stopped();
}

bool verify_run_pause(struct verify_run *run, uint64_t until_ms, const char *what)
{
	while (verify_run_goes_on(run, what)) {
		uint64_t now_ms = clock_mono_ms();

		if (now_ms >= until_ms)
			return true;
		verify_sleep_ms(MIN(until_ms - now_ms, (uint64_t)20));
	}
	return false;
}

void verify_run_begin(struct verify_run *run)
{
	struct verify_sample now = verify_sampler_last(&run->result->sampler);

	run->base_own_bytes = now.own_bytes;
	run->base_initialised = run->initialised = now.initialised;
	verify_sampler_begin_peak(&run->result->sampler);
}

bool verify_run_start_load(struct verify_run *run, struct verify_load_plan plan,
			   struct weir_error *e)
{
	plan.port = run->proxy.files.web_port;
	plan.hosts = run->scenario->interval_ms > 0 ? run->scenario->routers : 1;
	plan.field = run->args->own_guest ? "x-ballast: here" : NULL;
	if (verify_load_start(&run->load, &plan, e) < 0)
		return false;
	verify_sampler_watch(&run->result->sampler, run->load);
	return true;
}

void verify_run_stop_load(struct verify_run *run)
{
	if (run->load == NULL)
		return;
	verify_sampler_watch(&run->result->sampler, NULL);
	verify_load_stop(&run->load, &run->counts, run->latency, run->result->failure);
}
