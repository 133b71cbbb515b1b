#include <signal.h>
#include <stdio.h>

#include "cli/verify_run_private.h"
#include "core/clock.h"

#define INTERVAL_MS 1000u
/* For a supervisor that starts something else, too. */
#define CHILDREN 16
#define STEP_MS 1u

/* The process that serves: what the started one runs. 0: it does so itself. */
static pid_t server_of(const struct verify_run *run)
{
	pid_t list[CHILDREN];

	return verify_children(run->proxy.pid, list, CHILDREN) > 0 ? list[0] : 0;
}

static bool is_child(const struct verify_run *run, pid_t pid)
{
	pid_t list[CHILDREN];
	size_t count = verify_children(run->proxy.pid, list, CHILDREN);

	for (size_t i = 0; i < count; i++) {
		if (list[i] == pid)
			return true;
	}
	return false;
}

/* True when it answers again, or has had its time, and the scenario goes on. */
static bool await_back(struct verify_run *run, pid_t killed)
{
	uint64_t from_ms = clock_mono_ms(), took_ms;

	while (is_child(run, killed) || !verify_proxy_has(&run->proxy, 0)) {
		if (!verify_run_goes_on(run, "kills"))
			return false;
		if (clock_mono_ms() > from_ms + VERIFY_APPLY_MS) {
			run->not_back++;
			return true;
		}
		verify_sleep_ms(STEP_MS);
	}
	took_ms = clock_mono_ms() - from_ms;
	verify_latency_add(&run->back, took_ms * 1000);
	return true;
}

static bool kill_one(struct verify_run *run)
{
	pid_t server = server_of(run);
	bool good;

	if (server == 0) {
		run->not_back++;
		return verify_run_goes_on(run, "kills");
	}
	verify_sampler_mark(&run->result->sampler, "");
	verify_load_set_kill(run->load, true);
	(void)kill(server, SIGKILL);
	run->kills++;
	good = await_back(run, server);
	verify_load_set_kill(run->load, false);
	return good;
}

static void set_results(struct verify_run *run)
{
	struct verify_result *r = run->result;

	verify_result_set(r, VERIFY_M_KILLS, (double)run->kills);
	verify_result_set(r, VERIFY_M_NOT_BACK, (double)run->not_back);
	if (run->back.count == 0)
		return;
	verify_result_set(r, VERIFY_M_BACK, (double)verify_latency_at(&run->back, 0.5) / 1000);
	verify_result_set(r, VERIFY_M_BACK_MOST, (double)run->back.most_us / 1000);
}

bool verify_run_kills(struct verify_run *run, struct weir_error *e)
{
	const struct verify_load_plan plan = {.connections = 10,
					      .interval_ns = 20 * VERIFY_NS_PER_MS};
	uint64_t until_ms = clock_mono_ms() + run->for_ms;
	bool good;

	if (server_of(run) == 0) {
		(void)snprintf(run->result->unsupported, VERIFY_TEXT,
			       "no process of its own serves that could be killed and started "
			       "again: it has no supervisor");
		return false;
	}
	verify_sampler_mark(&run->result->sampler, "kills and requests");
	good = verify_run_start_load(run, plan, e) &&
	       verify_run_pause(run, clock_mono_ms() + INTERVAL_MS, "requests");
	while (good && clock_mono_ms() < until_ms) {
		uint64_t next_ms = clock_mono_ms() + INTERVAL_MS;

		good = kill_one(run) && verify_run_pause(run, next_ms, "kills");
	}
	set_results(run);
	return good;
}
