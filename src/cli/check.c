#include <stdio.h>

#include "cli/cli.h"
#include "core/log.h"
#include "provider/provider.h"
#include "proxy/check.h"

static const char out_of_memory[] = "error: out of memory\n";

static void print_effective(const struct static_config *config,
			    const struct dynamic_config *dynamic)
{
	const struct option_dump how = {0};
	struct str text = {0}, shown = {0};

	option_dump(&text, static_options, config, &how);
	if (dynamic != NULL) {
		str_add(&text, SLICE("---\n"));
		dynamic_dump(&text, dynamic, &how);
	}
	tree_add_hidden(&shown, str_slice(&text), tree_add_yaml_string);
	if (!text.failed && !shown.failed)
		(void)fputs(shown.p, stdout);
	str_free(&text);
	str_free(&shown);
}

static void print_problem(void *context, const struct generation_problem *p)
{
	bool *good = context;
	struct str place = {0};

	*good = false;
	if (p->place != NULL) {
		tree_add_place(&place, *p->place);
		str_add(&place, SLICE(": "));
	}
	(void)fprintf(stderr, "error: %s%s %.*s%s%.*s: %s\n",
		      place.p != NULL && !place.failed ? place.p : "", p->kind, SLICE_ARG(p->name),
		      p->entry_point.n > 0 ? " on " : "", SLICE_ARG(p->entry_point), p->why);
	str_free(&place);
}

/* The dynamic configuration as the proxy would take it. Returns false if something in it would not
 * be served. */
static bool check_dynamic(const struct static_config *config, struct dynamic_config *dynamic)
{
	const struct dynamic_part part = {.config = dynamic, .provider = "file"};
	struct dynamic_config *merged = NULL;
	struct config_report report;
	struct weir_error e = {0};
	struct arena arena;
	bool good = true;

	arena_init(&arena, 16384, SIZE_MAX);
	config_report_init(&report, &arena);
	if (dynamic_merge(&part, 1, &report, &merged) < 0 ||
	    proxy_check(config, merged, print_problem, &good, &e) < 0) {
		(void)fprintf(stderr, "error: %s\n", e.code < 0 ? e.text : "out of memory");
		good = false;
	}
	(void)cli_print_report(&report);
	good &= report.errors == 0;
	dynamic_destroy(&merged);
	arena_free(&arena);
	return good;
}

static bool load_dynamic(const struct static_config *config, struct dynamic_config **dynamic)
{
	struct config_report report;
	struct arena arena;
	int r;

	if (config->providers.file == NULL)
		return true;
	arena_init(&arena, 16384, SIZE_MAX);
	config_report_init(&report, &arena);
	r = file_provider_load(config->providers.file, &report, dynamic);
	if ((cli_print_report(&report) == 0 || report.errors == 0) && r != 0)
		(void)fputs(out_of_memory, stderr);
	arena_free(&arena);
	return r == 0;
}

int cli_check(const struct cli_args *args)
{
	struct dynamic_config *dynamic = NULL;
	struct static_config *config;
	struct arena arena;
	bool good = false;

	/* What a start would log is printed here, once. */
	(void)log_configure(&(struct log_options){.level = LOG_PANIC});
	config = cli_load(args, &arena);
	if (config != NULL) {
		good = load_dynamic(config, &dynamic);
		/* Without a dynamic configuration there are still the plugins to look at. */
		if (dynamic == NULL)
			dynamic = dynamic_new(0);
		if (dynamic == NULL)
			(void)fputs(out_of_memory, stderr);
		good &= dynamic != NULL && check_dynamic(config, dynamic);
		if (good)
			print_effective(config, dynamic);
	}
	dynamic_destroy(&dynamic);
	static_config_free(&config);
	arena_free(&arena);
	return good ? 0 : 1;
}
