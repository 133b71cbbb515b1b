/*
 * The supervisor: the process that was started. It holds the listening sockets, runs the server as
 * its child, starts it again when it dies, and replaces it by a newer program. Whatever may crash
 * is in the child; meanwhile new connections wait in the kernel's queue.
 *
 *   SIGTERM, SIGINT  the server drains, and both end; a second one ends at once
 *   SIGHUP, SIGUSR1  are passed on to the server
 *   SIGUSR2          the program that now lies under its name checks the configuration, takes the
 *                    place of the supervisor (which keeps its process number) and starts a server;
 *                    when that is ready, the old one drains
 */
#ifndef CLI_SUPERVISOR_H
#define CLI_SUPERVISOR_H

#include "cli/cli.h"
#include "config/static.h"

/**
 * Runs until the server has ended for good, which at the first start includes that it never became
 * ready. `*config`, whose worker count is settled, is freed meanwhile; it may be NULL where
 * `supervised_has_server`, which then goes on with the server that there is. Returns the exit
 * status.
 */
int supervise(const struct cli_args *args, struct static_config **config);

#endif
