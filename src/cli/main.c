#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/base.h"

static const struct {
	const char *name;
	int (*run)(const struct cli_args *args);
} commands[] = {
	{"check", cli_check},     {"healthcheck", cli_healthcheck}, {"plugin", cli_plugin},
	{"upgrade", cli_upgrade}, {"verify", cli_verify},           {"version", cli_version},
	{"help", cli_help},       {CLI_COMPILER, cli_compiler},
};

int main(int argc, char **argv)
{
	struct cli_args args = {.count = argc > 0 ? (size_t)argc - 1 : 0,
				.list = (const char *const *)(argv + 1),
				.environment = (const char *const *)environ};

	if (args.count > 0 && args.list[0][0] != '-') {
		const char *name = args.list[0];

		args.list++;
		args.count--;
		for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
			if (strcmp(commands[i].name, name) == 0)
				return commands[i].run(&args);
		}
		(void)fprintf(stderr,
			      "weir: unknown command \"%s\", expected check, healthcheck, plugin, "
			      "upgrade, verify, "
			      "version, help or flags\n",
			      name);
		return 1;
	}
	if (source_wants_help(args.count, args.list))
		return cli_help(&args);
	return cli_run(&args);
}
