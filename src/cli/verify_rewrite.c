#include <stdio.h>
#include <stdlib.h>

#include "cli/verify_run_private.h"
#include "core/clock.h"

/* A reload still counts as going on that long after the configuration is in effect: old ones end
 * then. */
#define RELOAD_TAIL_MS 250u
#define TURN_MS 10u
/* One of so many is a broken file. */
#define BREAK_EACH 3u
/* Parsers that notice a break later, or count from 0, are right enough. */
#define LINES_OFF 2u
#define DYNAMIC_FILE "dynamic.yml"

static enum verify_break break_of(const struct verify_run *run, uint64_t pass)
{
	if (run->result->scenario != VERIFY_BROKEN || pass % BREAK_EACH != 1)
		return VERIFY_B_NONE;
	return (enum verify_break)(pass / BREAK_EACH % VERIFY_BREAK_COUNT);
}

/* Puts the next configuration there. */
static bool publish(struct verify_run *run, enum verify_break how, size_t *line,
		    struct weir_error *e)
{
	if (verify_files_write(&run->proxy.files, run->pass + 1, how, line, e) < 0)
		return false;
	if (run->load != NULL) {
		verify_load_set_reload(run->load, true);
		(void)verify_load_window_us(run->load);
	}
	verify_sampler_mark(&run->result->sampler, "");
	run->pass++;
	return verify_files_publish(&run->proxy.files, e) == 0;
}

/* True when the new configuration is in effect, or has had its time, and the scenario goes on. */
static bool await(struct verify_run *run)
{
	uint64_t from_ms = clock_mono_ms(), until_ms = from_ms + VERIFY_APPLY_MS;

	while (!verify_proxy_has(&run->proxy, run->pass)) {
		if (!verify_run_goes_on(run, "rewrites"))
			return false;
		if (clock_mono_ms() > until_ms) {
			run->missed++;
			return true;
		}
		verify_sleep_ms(TURN_MS);
	}
	run->good_pass = run->pass;
	run->applied_ms += clock_mono_ms() - from_ms;
	return true;
}

/* --- broken files */

/* "dynamic.yml:6:7: …, expected true or false", "dynamic.yml: yaml: line 6: did not find expected
 * …", "dynamic.yml:6:7: …, did you mean …?" */
static bool is_clear(const char *text, size_t line)
{
	const char *at = strstr(text, DYNAMIC_FILE), *word;
	unsigned long found;

	if (at == NULL)
		return false;
	at += sizeof DYNAMIC_FILE - 1;
	word = strstr(at, "line ");
	found = strtoul(*at == ':' && at[1] != ' ' ? at + 1
			: word != NULL             ? word + 5
						   : "",
			NULL, 10);
	return found > 0 && found + LINES_OFF >= line && found <= line + LINES_OFF &&
	       (strstr(at, "expected") != NULL || strstr(at, "did you mean") != NULL);
}

static void take_message(struct verify_run *run, enum verify_break how, size_t line,
			 const char *text)
{
	char *said = run->result->said[how];

	run->not_clear += !is_clear(text, line);
	if (said[0] == '\0')
		(void)snprintf(said, VERIFY_TEXT, "%s", text);
}

/* True when the broken file was seen, or has had its time, and the scenario goes on. */
static bool await_message(struct verify_run *run, enum verify_break how, size_t line, off_t from)
{
	uint64_t until_ms = clock_mono_ms() + VERIFY_APPLY_MS;
	char text[VERIFY_TEXT];

	while (!verify_proxy_find_line(&run->proxy, from, DYNAMIC_FILE, text)) {
		if (!verify_run_goes_on(run, "a broken file"))
			return false;
		if (clock_mono_ms() > until_ms) {
			run->not_told++;
			return true;
		}
		verify_sleep_ms(TURN_MS);
	}
	take_message(run, how, line, text);
	return true;
}

/* The last good one must be in effect still, and nothing of the broken one. */
static bool break_one(struct verify_run *run, enum verify_break how, struct weir_error *e)
{
	off_t from = verify_proxy_printed(&run->proxy);
	size_t line = 0;

	if (!publish(run, how, &line, e) || !await_message(run, how, line, from))
		return false;
	run->broken++;
	run->not_kept += !verify_proxy_has(&run->proxy, run->good_pass) ||
			 verify_proxy_has(&run->proxy, run->pass);
	return true;
}

/* --- passes */

static void count_initialised(struct verify_run *run)
{
	struct verify_instances now;

	verify_proxy_instances(&run->proxy, &now);
	if (now.initialised < 0)
		return;
	run->not_one += now.initialised != run->initialised + 1;
	run->initialised = now.initialised;
}

static void end_window(struct verify_run *run, bool reload)
{
	if (run->load == NULL)
		return;
	verify_delays_add(&run->delays, reload, verify_load_window_us(run->load));
	verify_load_set_reload(run->load, false);
}

/* Where windows are compared, asks as often as while a rewrite is waited for. */
static bool be_quiet(struct verify_run *run, uint64_t until_ms)
{
	if (!run->scenario->steady)
		return verify_run_pause(run, until_ms, "rewrites");
	while (verify_run_goes_on(run, "rewrites")) {
		if (clock_mono_ms() >= until_ms)
			return true;
		(void)verify_proxy_has(&run->proxy, run->pass);
		verify_sleep_ms(TURN_MS);
	}
	return false;
}

/* The first half of the interval has the reload and the second has not, so that what is seen in
 * both can be compared; without that, the reload's is as short as it can be. */
static bool pass(struct verify_run *run, struct weir_error *e)
{
	uint64_t interval_ms = run->scenario->interval_ms, from_ms = clock_mono_ms();
	uint64_t half_ms = run->scenario->steady ? interval_ms / 2 : 0;
	enum verify_break how = break_of(run, run->pass + 1);

	if (how != VERIFY_B_NONE ? !break_one(run, how, e)
				 : !publish(run, how, NULL, e) || !await(run))
		return false;
	count_initialised(run);
	if (!verify_run_pause(run,
			      MAX(MIN(from_ms + interval_ms, clock_mono_ms() + RELOAD_TAIL_MS),
				  from_ms + half_ms),
			      "rewrites"))
		return false;
	end_window(run, true);
	if (!be_quiet(run, MAX(from_ms + interval_ms, clock_mono_ms() + half_ms)))
		return false;
	end_window(run, false);
	return true;
}

bool verify_run_rewrites(struct verify_run *run, struct weir_error *e)
{
	uint64_t last_ms = clock_mono_ms() + 4 * run->for_ms + VERIFY_APPLY_MS;

	run->passes = MAX(run->for_ms / run->scenario->interval_ms, (uint64_t)1);
	while (run->pass < run->passes && clock_mono_ms() < last_ms) {
		if (!pass(run, e))
			return false;
	}
	return true;
}
