#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/verify_private.h"
#include "config/option.h"
#include "config/tree.h"
#ifdef VERIFY_GUEST
#include VERIFY_GUEST
#endif

#define ARENA_BLOCK_BYTES ((size_t)16 * 1024)
#define ARENA_MAX_BYTES ((size_t)256 * 1024 * 1024)
#define FILE_MAX_BYTES ((size_t)64 * 1024 * 1024)
#define FOR_MIN_MS 1000u
#define FOR_MAX_MS ((uint64_t)7 * 24 * 3600 * 1000)
#define SETTLE_MS 30000u
#define GUEST_LINE "guest initialised"

static int take_proxy(struct verify_args *a, slice value, struct weir_error *e)
{
	if (a->proxy_count == VERIFY_PROXIES)
		return error_set(e, -E2BIG, "is given too often, expected at most %d times",
				 VERIFY_PROXIES);
	if (access(value.p, X_OK) < 0)
		return error_set(e, -errno, "%s: %s, expected a program", value.p, strerror(errno));
	/* It is started in a directory of its own. */
	a->proxies[a->proxy_count] = realpath(value.p, NULL);
	return a->proxies[a->proxy_count++] != NULL
		       ? 0
		       : error_set(e, -errno, "%s: %s", value.p, strerror(errno));
}

static int take_guest(struct verify_args *a, slice value, struct weir_error *e)
{
	int r = tree_read_file(&a->arena, value.p, FILE_MAX_BYTES, &a->guest, e);

	a->own_guest = false;
	if (r == 0 && !slice_starts(a->guest, slice_of("\0asm", 4)))
		r = error_set(e, -EINVAL, "%s: found another file, expected a WebAssembly module",
			      value.p);
	return r;
}

static int take_config(struct verify_args *a, slice value, struct weir_error *e)
{
	json_error_t at;
	slice text;
	int r = tree_read_file(&a->arena, value.p, FILE_MAX_BYTES, &text, e);

	if (r < 0)
		return r;
	json_decref(a->config);
	a->config_given = true;
	a->config = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &at);
	if (a->config == NULL)
		return error_set(e, -EINVAL, "%s:%d:%d: %s, expected a JSON object", value.p,
				 at.line, at.column, at.text);
	return json_is_object(a->config)
		       ? 0
		       : error_set(e, -EINVAL, "%s: expected a JSON object", value.p);
}

static int take_line(struct verify_args *a, slice value, struct weir_error *e)
{
	a->line = value.p;
	return value.n > 0 ? 0 : error_set(e, -EINVAL, "found nothing, expected a part of a line");
}

static int take_scenario(struct verify_args *a, slice value, struct weir_error *e)
{
	const char *names[VERIFY_SCENARIO_COUNT];
	slice name;

	for (size_t i = 0; i < VERIFY_SCENARIO_COUNT; i++)
		names[i] = verify_scenarios[i].name;
	memset(a->wanted, 0, sizeof a->wanted);
	while (slice_next(&value, ',', &name)) {
		size_t i = 0;
		const char *near;

		while (i < VERIFY_SCENARIO_COUNT && !slice_equal(name, slice_from(names[i])))
			i++;
		if (i < VERIFY_SCENARIO_COUNT) {
			a->wanted[i] = true;
			continue;
		}
		(void)error_set(e, -EINVAL, "found \"%.*s\", expected of ", SLICE_ARG(name));
		for (i = 0; i < VERIFY_SCENARIO_COUNT; i++)
			error_suffix(e, "%s%s", i > 0 ? ", " : "", names[i]);
		near = error_nearest(name, names, VERIFY_SCENARIO_COUNT);
		if (near != NULL)
			error_suffix(e, "; did you mean %s?", near);
		return -EINVAL;
	}
	return 0;
}

static int read_duration(uint64_t *ms, slice value, uint64_t least_ms, struct weir_error *e)
{
	int64_t ns;

	if (option_parse_duration(value, &ns) < 0 || ns < 0 || (uint64_t)ns / 1000000 < least_ms ||
	    (uint64_t)ns / 1000000 > FOR_MAX_MS)
		return error_set(e, -EINVAL,
				 "found \"%.*s\", expected a duration from %llus to a week, such "
				 "as 30s or 10m",
				 SLICE_ARG(value), (unsigned long long)least_ms / 1000);
	*ms = (uint64_t)ns / 1000000;
	return 0;
}

static int take_for(struct verify_args *a, slice value, struct weir_error *e)
{
	return read_duration(&a->for_ms, value, FOR_MIN_MS, e);
}

static int take_settle(struct verify_args *a, slice value, struct weir_error *e)
{
	return read_duration(&a->settle_ms, value, 0, e);
}

static int take_memory(struct verify_args *a, slice value, struct weir_error *e)
{
	int64_t bytes;

	if (option_parse_size(value, &bytes) < 0 || bytes < 1)
		return error_set(e, -EINVAL, "found \"%.*s\", expected a size such as 4GiB",
				 SLICE_ARG(value));
	a->memory_bytes = (uint64_t)bytes;
	return 0;
}

static int take_report(struct verify_args *a, slice value, struct weir_error *e)
{
	a->report = value.p;
	return value.n > 0 ? 0 : error_set(e, -EINVAL, "found nothing, expected a directory");
}

static const struct {
	const char *name;
	const char *value;
	int (*take)(struct verify_args *a, slice value, struct weir_error *e);
	const char *doc;
} rows[] = {
	{"proxy", "PATH", take_proxy,
	 "A program that takes --configFile=FILE, such as traefik; may be repeated, up to\n"
	 "                        8 times (this weir)."},
	{"guest", "FILE", take_guest,
	 "The plugin: an http-wasm module (one that is built in, with 20 MiB of memory)."},
	{"config", "FILE", take_config, "The plugin's configuration, a JSON object."},
	{"line", "TEXT", take_line,
	 "What the plugin logs when an instance initialises itself (" GUEST_LINE ")."},
	{"scenario", "NAME,...", take_scenario, "Which to run, of those below (all but soak)."},
	{"for", "DURATION", take_for,
	 "How long each of them lasts, settling not included (see below)."},
	{"settle", "DURATION", take_settle,
	 "How long memory may take to come back after it (30s)."},
	{"memory", "SIZE", take_memory,
	 "A proxy that needs more is stopped, and has failed (half of what is available)."},
	{"report", "DIR", take_report, "Write report.json and report.html there."},
	{"help", NULL, NULL, "Print this."},
};

static int refuse(slice name, struct weir_error *e)
{
	const char *names[ARRAY_LEN(rows)], *near;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		names[i] = rows[i].name;
	(void)error_set(e, -EINVAL, "--%.*s: unknown option", SLICE_ARG(name));
	near = error_nearest(name, names, ARRAY_LEN(rows));
	if (near != NULL)
		error_suffix(e, ", did you mean --%s?", near);
	return -EINVAL;
}

/* `--name value` or `--name=value`. */
static int read_option(struct verify_args *a, const struct cli_args *args, size_t *at,
		       struct weir_error *e)
{
	slice option = slice_from(args->list[(*at)++]), rest, name;
	size_t i = 0;
	int r;

	if (!slice_starts(option, SLICE("--")))
		return error_set(e, -EINVAL, "found \"%.*s\", expected an option",
				 SLICE_ARG(option));
	rest = slice_from_at(option, 2);
	name = slice_first(rest, slice_find(rest, '='));
	while (i < ARRAY_LEN(rows) && !slice_equal_nocase(name, slice_from(rows[i].name)))
		i++;
	if (i == ARRAY_LEN(rows))
		return refuse(name, e);
	if (rows[i].take == NULL) {
		a->help = true;
		return 0;
	}
	if (name.n == rest.n && *at == args->count)
		return error_set(e, -EINVAL, "--%s: found nothing, expected %s", rows[i].name,
				 rows[i].value);
	r = rows[i].take(a,
			 name.n < rest.n ? slice_from_at(rest, name.n + 1)
					 : slice_from(args->list[(*at)++]),
			 e);
	if (r < 0)
		error_prefix(e, "--%s: ", rows[i].name);
	return r;
}

static uint64_t available_bytes(void)
{
	static const char name[] = "MemAvailable:";
	FILE *file = fopen("/proc/meminfo", "re");
	uint64_t kib = 0;
	char line[128];

	while (file != NULL && kib == 0 && fgets(line, sizeof line, file) != NULL) {
		if (strncmp(line, name, sizeof name - 1) == 0)
			kib = strtoull(line + sizeof name - 1, NULL, 10);
	}
	if (file != NULL)
		(void)fclose(file);
	return (kib > 0 ? kib : 1024 * 1024) * 1024;
}

static void set_defaults(struct verify_args *a)
{
	*a = (struct verify_args){
		.line = GUEST_LINE, .settle_ms = SETTLE_MS, .memory_bytes = available_bytes() / 2};
	arena_init(&a->arena, ARENA_BLOCK_BYTES, ARENA_MAX_BYTES);
	a->config = json_object();
	for (size_t i = 0; i < VERIFY_SCENARIO_COUNT; i++)
		a->wanted[i] = i != VERIFY_SOAK;
#ifdef VERIFY_GUEST
	a->guest = slice_of((const char *)verify_guest, sizeof verify_guest);
	a->own_guest = true;
#endif
}

int verify_args_read(struct verify_args *a, const struct cli_args *args, struct weir_error *e)
{
	int r = 0;

	set_defaults(a);
	for (size_t at = 0; r == 0 && at < args->count;)
		r = read_option(a, args, &at, e);
	if (r == 0 && a->config == NULL)
		r = error_set(e, -ENOMEM, "out of memory");
	if (r == 0 && a->proxy_count == 0)
		r = take_proxy(a, SLICE("/proc/self/exe"), e);
	if (r == 0 && a->guest.n == 0)
		r = error_set(e, -EINVAL,
			      "--guest: found nothing, expected a module: this weir was built "
			      "without one");
	return r;
}

void verify_args_free(struct verify_args *a)
{
	for (size_t i = 0; i < a->proxy_count; i++)
		free((void *)(uintptr_t)a->proxies[i]);
	json_decref(a->config);
	arena_free(&a->arena);
}

static void add_limits(struct str *out, enum verify_scenario_id scenario)
{
	str_format(out, "              fails beyond:");
	for (size_t i = 0; i < verify_limit_count; i++) {
		const struct verify_limit *l = &verify_limits[i];

		if (verify_limit_applies(l, scenario) &&
		    l->scenarios != (1u << VERIFY_SCENARIO_COUNT) - 1)
			str_format(out, " %s %g;", verify_measures[l->measure].name, l->most);
	}
	str_add_char(out, '\n');
}

void verify_args_help(struct str *out)
{
	str_add(out, SLICE("Usage: weir verify [options]\n\nRuns proxies through what makes "
			   "proxies with plugins lose memory, "
			   "and fails if one does.\n\nOptions:\n"));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char left[64];

		(void)snprintf(left, sizeof left, "--%s %s", rows[i].name,
			       rows[i].value != NULL ? rows[i].value : "");
		str_format(out, "  %-20s  %s\n", left, rows[i].doc);
	}
	str_add(out, SLICE("\nScenarios:\n"));
	for (size_t i = 0; i < VERIFY_SCENARIO_COUNT; i++) {
		str_format(out, "  %-10s  %s (%llus)\n", verify_scenarios[i].name,
			   verify_scenarios[i].doc,
			   (unsigned long long)verify_scenarios[i].for_ms / 1000);
		add_limits(out, (enum verify_scenario_id)i);
	}
	str_add(out, SLICE("\nMeasures:\n"));
	for (size_t i = 0; i < VERIFY_MEASURE_COUNT; i++)
		str_format(out, "  %-16s  %s\n", verify_measures[i].name, verify_measures[i].doc);
}
