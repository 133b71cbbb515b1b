#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/cgroup.h"
#include "core/log.h"

#define ARENA_BLOCK_BYTES ((size_t)16 * 1024)

static struct static_config *load(const struct cli_args *args, struct arena *arena, bool quiet)
{
	struct static_config *config = NULL;
	struct config_report report;

	arena_init(arena, ARENA_BLOCK_BYTES, SIZE_MAX);
	config_report_init(&report, arena);
	(void)static_load(&config, args->count, args->list, args->environment, &report);
	if (quiet && config != NULL)
		return config;
	if ((cli_print_report(&report) == 0 || report.errors == 0) && config == NULL)
		(void)fputs("error: out of memory\n", stderr);
	if (config != NULL)
		cli_place_compiler(&config->weir.plugins, arena);
	return config;
}

struct static_config *cli_load(const struct cli_args *args, struct arena *arena)
{
	return load(args, arena, false);
}

struct static_config *cli_load_quietly(const struct cli_args *args, struct arena *arena)
{
	return load(args, arena, true);
}

int cli_configure_log(const struct log_config *c, struct weir_error *e)
{
	const struct log_options options = {
		.level = c->level,
		.format = c->format,
		.color = c->file_path.n == 0 && !c->no_color && isatty(STDOUT_FILENO),
		.file_path = c->file_path.n > 0 ? c->file_path.p : NULL,
		.rotate_bytes = (uint64_t)(c->max_size > 0 ? c->max_size : 100) << 20,
		.backups_max = (unsigned)c->max_backups,
		.backup_age_s = (uint64_t)c->max_age * 86400,
	};
	int r = log_configure(&options);

	return r < 0 ? error_set(e, r, "log.filePath: %s: %s", c->file_path.p, strerror(-r)) : 0;
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

size_t cli_cpu_quota(void)
{
	cpu_set_t allowed;
	size_t quota = cgroup_cpus(&cgroup_system), cpus = 1;

	if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
		cpus = (size_t)CPU_COUNT(&allowed);
	if (quota > 0 && quota < cpus)
		return quota;
	return cpus > 0 ? cpus : 1;
}
