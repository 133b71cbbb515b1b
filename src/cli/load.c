#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"

#define ARENA_BLOCK_BYTES ((size_t)16 * 1024)

struct static_config *cli_load(const struct cli_args *args, struct arena *arena)
{
	struct static_config *config = NULL;
	struct config_report report;

	arena_init(arena, ARENA_BLOCK_BYTES, SIZE_MAX);
	config_report_init(&report, arena);
	(void)static_load(&config, args->count, args->list, args->environment, &report);
	if ((cli_print_report(&report) == 0 || report.errors == 0) && config == NULL)
		(void)fputs("error: out of memory\n", stderr);
	if (config != NULL)
		cli_place_compiler(&config->weir.plugins, arena);
	return config;
}

size_t cli_print_report(const struct config_report *report)
{
	struct str text = {0};
	size_t printed = 0;

	config_report_add(&text, report);
	if (text.n > 0 && !text.failed) {
		(void)fputs(text.p, stderr);
		printed = text.n;
	}
	str_free(&text);
	return printed;
}

/* "max 100000" or "150000 100000": microseconds per period (Linux, cgroup-v2, cpu.max). */
static size_t cgroup_quota(void)
{
	FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
	char line[64] = "", *rest;
	unsigned long quota, period;

	if (f == NULL)
		return 0;
	if (fgets(line, sizeof line, f) == NULL)
		line[0] = '\0';
	(void)fclose(f);
	/* "max" is no number: its end is its beginning, and both are 0. */
	quota = strtoul(line, &rest, 10);
	period = strtoul(rest, NULL, 10);
	return period > 0 ? (size_t)((quota + period - 1) / period) : 0;
}

size_t cli_cpu_quota(void)
{
	cpu_set_t allowed;
	size_t quota = cgroup_quota(), cpus = 1;

	if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
		cpus = (size_t)CPU_COUNT(&allowed);
	if (quota > 0 && quota < cpus)
		return quota;
	return cpus > 0 ? cpus : 1;
}
