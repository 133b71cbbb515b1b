#include <stdio.h>
#include <sys/utsname.h>
#include <uv.h>
#include <wasmtime.h>

#include "cli/cli.h"
#include "weir/plugin.h"

int cli_version(const struct cli_args *args)
{
	struct utsname system;

	(void)args;
	(void)printf("Version:      %s\n", WEIR_VERSION);
	(void)printf("Engine:       Wasmtime %s\n", WASMTIME_VERSION);
	(void)printf("Loop:         libuv %s\n", uv_version_string());
	if (uname(&system) == 0)
		(void)printf("OS/Arch:      %s %s/%s\n", system.sysname, system.release,
			     system.machine);
	return 0;
}

int cli_help(const struct cli_args *args)
{
	struct str text = {0};

	(void)args;
	str_add(&text, SLICE("weir: an HTTP edge proxy that reads Traefik's configuration and runs "
			     "its WebAssembly plugins\n\n"
			     "Usage:\n"
			     "  weir [flags]              serve until SIGTERM; SIGHUP reads the "
			     "dynamic files again\n"
			     "  weir check [flags]        validate both configurations and print "
			     "the effective ones\n"
			     "  weir healthcheck [flags]  ask the ping entry point of the running "
			     "process\n"
			     "  weir upgrade [flags]      have the running process replaced by the "
			     "program that now has its name\n"
			     "  weir version\n\n"
			     "A configuration file (--configFile), else flags, else TRAEFIK_ "
			     "variables give the static\n"
			     "configuration; options below weir lie on top: file, WEIR_ variables, "
			     "--weir flags.\n\n"
			     "Flags:\n"));
	source_add_help(&text);
	if (!text.failed)
		(void)fputs(text.p, stdout);
	str_free(&text);
	return 0;
}
