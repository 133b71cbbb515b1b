#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

/* The process in that file, or 0 with a text printed. */
static long read_pid(slice path)
{
	FILE *f = fopen(path.p, "re");
	char line[32] = "";
	long pid;

	if (f == NULL) {
		(void)fprintf(stderr, "error: %.*s: %s\n", SLICE_ARG(path), strerror(errno));
		return 0;
	}
	if (fgets(line, sizeof line, f) == NULL)
		line[0] = '\0';
	(void)fclose(f);
	pid = strtol(line, NULL, 10);
	if (pid > 0)
		return pid;
	(void)fprintf(stderr, "error: %.*s: found no number of a process\n", SLICE_ARG(path));
	return 0;
}

/* A file that an earlier process has left may by now name one that has nothing to do with us, and
 * that the signal would end. */
static bool is_weir(long pid)
{
	char path[64], name[32] = "";
	FILE *f;

	(void)snprintf(path, sizeof path, "/proc/%ld/comm", pid);
	f = fopen(path, "re");
	if (f == NULL)
		return errno != ENOENT;
	if (fgets(name, sizeof name, f) == NULL)
		name[0] = '\0';
	(void)fclose(f);
	return strncmp(name, "weir", 4) == 0;
}

int cli_upgrade(const struct cli_args *args)
{
	struct static_config *config;
	struct arena arena;
	long pid = 0;
	bool good = false;

	config = cli_load(args, &arena);
	if (config != NULL && config->weir.supervisor.pid_file.n == 0)
		(void)fprintf(stderr, "error: weir.supervisor.pidFile is not set: send SIGUSR2 to "
				      "the process that was started\n");
	else if (config != NULL)
		pid = read_pid(config->weir.supervisor.pid_file);
	if (pid > 0 && !is_weir(pid)) {
		(void)fprintf(stderr, "error: %.*s: process %ld is no running weir\n",
			      SLICE_ARG(config->weir.supervisor.pid_file), pid);
	} else if (pid > 0) {
		good = kill((pid_t)pid, SIGUSR2) == 0;
		if (good)
			(void)printf("Asked process %ld for an upgrade; its log says how it goes\n",
				     pid);
		else
			(void)fprintf(stderr, "error: process %ld: %s\n", pid, strerror(errno));
	}
	static_config_free(&config);
	arena_free(&arena);
	return good ? 0 : 1;
}
