/*
 * The program's commands. Each returns the process's exit status.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "config/source.h"
#include "config/static.h"

/** Signals to stop that come within this time of the first are one with it: `timeout`, for example,
 * signals its child and then the child's group. */
#define STOP_SIGNALS_NS UINT64_C(100000000)

/** The arguments of a command: what follows its name. */
struct cli_args {
	size_t count;
	const char *const *list;
	const char *const *environment;
};

/** `weir [flags]`: serves until SIGTERM or SIGINT. */
int cli_run(const struct cli_args *args);

/** `weir check [flags]`: says what is wrong with both configurations, or prints the effective one;
 * with --explain, what a request goes through. */
int cli_check(const struct cli_args *args);

/** `weir healthcheck [flags]`: asks the ping entry point of the running process; 0 if it answers
 * 200. */
int cli_healthcheck(const struct cli_args *args);

/** `weir upgrade [flags]`: has the running process replaced by the program that now has its name.
 */
int cli_upgrade(const struct cli_args *args);

/** `weir plugin COMMAND FILE [options]`: looks at plugins, runs and measures them. */
int cli_plugin(const struct cli_args *args);

/** `weir verify [options]`: runs proxies through what makes proxies lose memory, and judges them.
 */
int cli_verify(const struct cli_args *args);

/** `weir version [--json]`: prints versions of weir and of what is built in, and how memory of
 * plugins is put back on this system. */
int cli_version(const struct cli_args *args);

/** `weir help`, `weir --help`: prints commands and flags. */
int cli_help(const struct cli_args *args);

/** `weir compile-module`, which this program starts to compile a plugin: see `weir_compiler_main`.
 */
#define CLI_COMPILER "compile-module"
int cli_compiler(const struct cli_args *args);

/**
 * Decides where compiled plugins are kept and who compiles them: this program, in another process.
 * `cli_load` does so. A cache that has no place is none.
 */
void cli_place_compiler(struct weir_plugins_config *c, struct arena *arena);

/**
 * Loads the static configuration; errors and warnings are printed to standard error. Returns NULL
 * after an error. `arena` is initialised here and freed by the caller after the configuration.
 */
struct static_config *cli_load(const struct cli_args *args, struct arena *arena);

/** The same, but warnings are left to somebody else to print. */
struct static_config *cli_load_quietly(const struct cli_args *args, struct arena *arena);

/** From here on the log is as configured. Returns 0 or a negative errno value with `e` filled in.
 */
int cli_configure_log(const struct log_config *c, struct weir_error *e);

/** Prints what there is to report to standard error. Returns the bytes printed: 0 also when there
 * was no memory for them. */
size_t cli_print_report(const struct config_report *report);

/** Workers for a configuration that does not say how many: the CPU quota of the cgroup or the
 * affinity mask, whichever is less. */
size_t cli_cpu_quota(void);

#endif
