#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/explain.h"
#include "core/log.h"
#include "provider/provider.h"
#include "proxy/check.h"

static const char out_of_memory[] = "error: out of memory\n";

struct check {
	bool explain; /* instead of showing the configuration */
	bool good;    /* all would be served */
	struct str explanation;
};

/* Users and passwords of URLs stay out. */
static void print_hidden(const struct str *text)
{
	struct str shown = {0};

	tree_add_hidden(&shown, str_slice(text), tree_add_yaml_string);
	if (!text->failed && !shown.failed)
		(void)fputs(shown.p != NULL ? shown.p : "", stdout);
	str_free(&shown);
}

static void print_effective(const struct static_config *config,
			    const struct dynamic_config *dynamic)
{
	const struct option_dump how = {0};
	struct str text = {0};

	option_dump(&text, static_options, config, &how);
	if (dynamic != NULL) {
		str_add(&text, SLICE("---\n"));
		dynamic_dump(&text, dynamic, &how);
	}
	print_hidden(&text);
	str_free(&text);
}

static void print_problem(void *context, const struct generation_problem *p)
{
	struct check *c = context;
	struct str place = {0};

	c->good = false;
	if (p->place != NULL) {
		tree_add_place(&place, *p->place);
		str_add(&place, SLICE(": "));
	}
	(void)fprintf(stderr, "error: %s%s %.*s%s%.*s: %s\n",
		      place.p != NULL && !place.failed ? place.p : "", p->kind, SLICE_ARG(p->name),
		      p->entry_point.n > 0 ? " on " : "", SLICE_ARG(p->entry_point), p->why);
	str_free(&place);
}

static void explain(void *context, const struct generation *g)
{
	struct check *c = context;

	if (c->explain)
		explain_generation(&c->explanation, g);
}

/* The dynamic configuration as the proxy would take it. */
static void check_dynamic(struct check *c, const struct static_config *config,
			  struct dynamic_config *dynamic)
{
	const struct dynamic_part part = {.config = dynamic, .provider = "file"};
	struct dynamic_config *merged = NULL;
	struct config_report report;
	struct weir_error e = {0};
	struct arena arena;

	arena_init(&arena, 16384, SIZE_MAX);
	config_report_init(&report, &arena);
	if (dynamic_merge(&part, 1, &report, &merged) < 0 ||
	    proxy_check(config, merged, print_problem, explain, c, &e) < 0) {
		(void)fprintf(stderr, "error: %s\n", e.code < 0 ? e.text : "out of memory");
		c->good = false;
	}
	(void)cli_print_report(&report);
	c->good &= report.errors == 0;
	dynamic_destroy(&merged);
	arena_free(&arena);
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

/* Takes `--explain` out of the arguments; all others are options of weir. */
static void take_explain(const struct cli_args *args, const char **list, struct cli_args *others,
			 bool *found)
{
	*others = (struct cli_args){.list = list, .environment = args->environment};
	for (size_t i = 0; i < args->count; i++) {
		if (strcmp(args->list[i], "--explain") == 0)
			*found = true;
		else
			list[others->count++] = args->list[i];
	}
}

static int check(struct check *c, const struct cli_args *args)
{
	struct dynamic_config *dynamic = NULL;
	struct static_config *config;
	struct arena arena;

	/* What a start would log is printed here, once. */
	(void)log_configure(&(struct log_options){.level = LOG_PANIC});
	config = cli_load(args, &arena);
	if (config != NULL) {
		c->good = load_dynamic(config, &dynamic);
		/* Without a dynamic configuration there are still the plugins to look at. */
		if (dynamic == NULL)
			dynamic = dynamic_new(0);
		if (dynamic == NULL)
			(void)fputs(out_of_memory, stderr);
		else
			check_dynamic(c, config, dynamic);
		c->good &= dynamic != NULL;
		if (c->explain)
			print_hidden(&c->explanation);
		else if (c->good)
			print_effective(config, dynamic);
	}
	dynamic_destroy(&dynamic);
	static_config_free(&config);
	arena_free(&arena);
	return c->good ? 0 : 1;
}

int cli_check(const struct cli_args *args)
{
	struct check c = {.good = false};
	const char **list = calloc(args->count + 1, sizeof *list);
	struct cli_args others;
	int status;

	if (list == NULL) {
		(void)fputs(out_of_memory, stderr);
		return 1;
	}
	take_explain(args, list, &others, &c.explain);
	status = check(&c, &others);
	str_free(&c.explanation);
	free(list);
	return status;
}
