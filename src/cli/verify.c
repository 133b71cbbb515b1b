#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "cli/verify_private.h"

static _Atomic bool stopped;

static void on_signal(int number)
{
	(void)number;
	atomic_store(&stopped, true);
}

bool verify_is_stopped(void)
{
	return atomic_load(&stopped);
}

void verify_sleep_ms(uint64_t ms)
{
	if (!verify_is_stopped())
		(void)poll(NULL, 0, (int)MIN(ms, (uint64_t)1000));
}

/* What the proxies leave is ours to end; 1,000 clients need descriptors. */
static void prepare(void)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct rlimit files;

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGHUP, &action, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* What matters of the numbers, in the order of the table. */
static void add_numbers(struct str *out, const struct verify_result *r)
{
	bool any = false;

	for (size_t i = 0; i < VERIFY_MEASURE_COUNT; i++) {
		if (!r->known[i] || i == VERIFY_M_DIED || i == VERIFY_M_OVER_MEMORY)
			continue;
		str_format(out, "%s%s ", any ? ", " : "", verify_measures[i].name);
		verify_add_value(out, (enum verify_measure)i, r->values[i]);
		any = true;
	}
}

static void add_breaches(struct str *out, const struct verify_result *r)
{
	for (size_t i = 0; i < verify_limit_count; i++) {
		const struct verify_limit *l = &verify_limits[i];

		if (!verify_limit_applies(l, r->scenario) || verify_judge_limit(r, l) != VERIFY_BAD)
			continue;
		str_format(out, "     %s: ", verify_measures[l->measure].doc);
		verify_add_value(out, l->measure, r->values[l->measure]);
		str_add(out, SLICE(", expected at most "));
		verify_add_value(out, l->measure, l->most);
		str_add_char(out, '\n');
	}
	if (r->note[0] != '\0')
		str_format(out, "     %s\n", r->note);
	if (r->failure[0] != '\0')
		str_format(out, "     the first request that failed: %s\n", r->failure);
}

static void print_result(const struct verify_result *r)
{
	static const char *const marks[] = {
		[VERIFY_GOOD] = "ok  ", [VERIFY_BAD] = "FAIL", [VERIFY_UNKNOWN] = "-   "};
	struct str line = {0};

	str_format(&line, "%s %-10s %s: ", marks[verify_judge(r)],
		   verify_scenarios[r->scenario].name, r->proxy);
	if (r->error.text[0] != '\0') {
		str_format(&line, "%s\n", r->error.text);
	} else if (r->unsupported[0] != '\0') {
		str_format(&line, "not supported: %s\n", r->unsupported);
	} else {
		add_numbers(&line, r);
		str_add_char(&line, '\n');
		add_breaches(&line, r);
	}
	if (!line.failed)
		(void)fputs(line.p, stdout);
	(void)fflush(stdout);
	str_free(&line);
}

/* Scenario by scenario, each with all proxies; returns the exit status. */
static int run_all(struct verify_report *report)
{
	const struct verify_args *a = report->args;
	int status = 0;

	for (size_t s = 0; s < VERIFY_SCENARIO_COUNT; s++) {
		for (size_t p = 0; a->wanted[s] && p < a->proxy_count && !verify_is_stopped();
		     p++) {
			struct verify_result *r = &report->results[report->count++];

			r->scenario = (enum verify_scenario_id)s;
			r->proxy = a->proxies[p];
			verify_scenario_run(r, a);
			print_result(r);
			if (verify_judge(r) == VERIFY_BAD)
				status = 1;
		}
	}
	return verify_is_stopped() ? 1 : status;
}

static int run(struct verify_args *a)
{
	struct verify_report report = {.args = a};
	struct weir_error e = {0};
	int status;

	report.results = calloc(a->proxy_count * VERIFY_SCENARIO_COUNT, sizeof *report.results);
	if (report.results == NULL) {
		(void)fputs("weir: verify: out of memory\n", stderr);
		return 1;
	}
	prepare();
	status = run_all(&report);
	if (a->report != NULL && verify_report_write(&report, &e) < 0) {
		(void)fprintf(stderr, "weir: verify: --report: %s\n", e.text);
		status = 1;
	}
	for (size_t i = 0; i < report.count; i++) {
		if (report.results[i].sampled)
			verify_sampler_free(&report.results[i].sampler);
	}
	free(report.results);
	return status;
}

static int help(void)
{
	struct str text = {0};
	bool good;

	verify_args_help(&text);
	good = !text.failed && fputs(text.p, stdout) >= 0;
	str_free(&text);
	return good ? 0 : 1;
}

int cli_verify(const struct cli_args *args)
{
	struct weir_error error = {0};
	struct verify_args a;
	int status = 1;

	if (verify_args_read(&a, args, &error) < 0)
		(void)fprintf(stderr, "weir: verify: %s\n", error.text);
	else
		status = a.help ? help() : run(&a);
	verify_args_free(&a);
	return status;
}
