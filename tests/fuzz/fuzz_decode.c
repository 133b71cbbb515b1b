/*
 * The static configuration from a file, or from flags and variables: what is accepted dumps to what
 * is accepted again and says the same; what is not is reported.
 */
#include <stdlib.h>

#include "config/source.h"

#define ARGS_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_load_again(const struct static_config *c, bool defaults)
{
	struct option_dump how = {.defaults = defaults, .secrets = true};
	struct str first = {0}, second = {0};
	struct config_report report;
	struct static_config *again;
	struct arena arena;

	arena_init(&arena, 4096, 16 << 20);
	config_report_init(&report, &arena);
	option_dump(&first, static_options, c, &how);
	must(static_load_text(&again, str_slice(&first), TREE_YAML, "dump", &report) == 0);
	option_dump(&second, static_options, again, &how);
	must(slice_equal(str_slice(&first), str_slice(&second)));
	static_config_free(&again);
	str_free(&first);
	str_free(&second);
	arena_free(&arena);
}

/* Arguments and variables are lines; a file of that name would be read, so no --configFile. */
static int load_lines(struct static_config **config, char *text, struct config_report *report)
{
	const char *args[ARGS_MAX], *variables[ARGS_MAX + 1] = {"HOME=/nonexistent"};
	size_t arg_count = 0, variable_count = 1;

	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		bool flag = line[0] == '-';

		if (strcasestr(line, "configfile") != NULL)
			continue;
		if (flag && arg_count < ARGS_MAX)
			args[arg_count++] = line;
		else if (!flag && variable_count < ARGS_MAX)
			variables[variable_count++] = line;
	}
	variables[variable_count] = NULL;
	return static_load(config, arg_count, args, variables, report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct static_config *config = NULL;
	struct config_report report;
	struct arena arena;
	char *text;
	int r;

	if (size < 1)
		return 0;
	text = slice_dup(slice_of((const char *)data + 1, size - 1));
	must(text != NULL);
	arena_init(&arena, 4096, 16 << 20);
	config_report_init(&report, &arena);
	if (data[0] % 4 == 0)
		r = load_lines(&config, text, &report);
	else
		r = static_load_text(&config, slice_of(text, size - 1),
				     data[0] % 4 == 1 ? TREE_TOML : TREE_YAML, "f", &report);
	must((r == 0) == (config != NULL) && (r == 0) == (report.errors == 0));
	if (config != NULL) {
		must_load_again(config, false);
		must_load_again(config, true);
	}
	static_config_free(&config);
	arena_free(&arena);
	free(text);
	return 0;
}
