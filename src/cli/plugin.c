#include <stdio.h>

#include "cli/plugin_cli.h"
#include "core/log.h"

static const struct {
	const char *name;
	unsigned bit;
	int (*run)(struct plugin_args *args);
	const char *doc;
} commands[] = {
	{"inspect", PLUGIN_INSPECT, plugin_inspect,
	 "Say what a module wants and offers, whether it starts, what its instances cost\n"
	 "            on this machine, and which isolation suits it."},
	{"run", PLUGIN_RUN, plugin_run,
	 "Feed requests to a plugin and say what it does with them. Fails if the plugin\n"
	 "            fails at one of them."},
	{"bench", PLUGIN_BENCH, plugin_bench,
	 "Measure what an exchange costs under each isolation, in one thread."},
	{"compile", PLUGIN_COMPILE, plugin_compile,
	 "Compile modules into the cache, so that the next start of weir finds them there."},
};

static void add_usage(struct str *out)
{
	str_add(out, SLICE("Usage: weir plugin COMMAND FILE [options]\n\nCommands:\n"));
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		str_format(out, "  %-9s %s\n", commands[i].name, commands[i].doc);
	str_add(out, SLICE("\n`weir plugin COMMAND --help` prints the command's options.\n"));
}

static int print(struct str *text, FILE *to)
{
	bool good = !text->failed;

	if (good)
		(void)fwrite(text->p, 1, text->n, to);
	str_free(text);
	return good ? 0 : 1;
}

static int help(size_t command)
{
	struct str text = {0};

	str_format(&text, "Usage: weir plugin %s FILE%s [options]\n\n%s\n\nOptions:\n",
		   commands[command].name, commands[command].bit == PLUGIN_COMPILE ? "..." : "",
		   commands[command].doc);
	plugin_args_help(&text, commands[command].bit);
	return print(&text, stdout);
}

static int run(size_t command, const struct cli_args *rest)
{
	struct weir_error error = {0};
	struct plugin_args args;
	int status;

	/* What guests say is printed by the commands. */
	(void)log_configure(&(struct log_options){.level = LOG_PANIC});
	if (plugin_args_read(&args, commands[command].bit, rest, &error) < 0) {
		(void)fprintf(stderr, "weir: plugin %s: %s\n", commands[command].name, error.text);
		status = 1;
	} else if (args.help) {
		status = help(command);
	} else {
		cli_place_compiler(&args.plugins, &args.arena);
		status = commands[command].run(&args);
	}
	plugin_args_free(&args);
	return status;
}

int cli_plugin(const struct cli_args *args)
{
	const char *name = args->count > 0 ? args->list[0] : "";
	struct str usage = {0};

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return run(i, &(struct cli_args){args->count - 1, args->list + 1,
							 args->environment});
	}
	add_usage(&usage);
	if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return print(&usage, stdout);
	if (name[0] != '\0')
		(void)fprintf(stderr, "weir: plugin: unknown command \"%s\"\n", name);
	(void)print(&usage, stderr);
	return 1;
}
