/*
 * Between the files of the supervisor.
 */
#ifndef CLI_SUPERVISOR_PRIVATE_H
#define CLI_SUPERVISOR_PRIVATE_H

#include <signal.h>

#include "cli/kept.h"
#include "cli/supervisor.h"
#include "net/socket_set.h"
#include "net/unix_socket.h"

/** A server that runs; `pid` is 0 while none does. */
struct server_process {
	pid_t pid;
	int notices; /* what it says, as datagrams; -1: it is not listened to (any more) */
	bool ready;
	uint64_t since_ns; /* that it was started, then that it is ready */
	bool drains;       /* it was told to end */
};

struct supervisor {
	const struct cli_args *args;
	char *program; /* its path: where a newer one is looked for */
	char *pid_file;
	struct socket_set sockets;      /* those of one entry point have its name */
	struct unix_socket_files files; /* that this process has made, also before an upgrade */
	struct kept kept;               /* what the last server has given to the next one */
	size_t workers;
	sigset_t before; /* the signal mask for children */
	int signals;     /* a signalfd */
	struct server_process server;
	struct server_process old; /* serves until `server` is ready; then drains */
	pid_t checker;             /* the newer program, as it looks at the configuration */
	uint64_t start_at_ns;      /* monotonic: when to start a server again; 0: not at all */
	uint64_t back_off_ms;      /* of the last start */
	bool was_ready;
	unsigned long restarts; /* of servers that had died */
	bool owes_reload;       /* a SIGHUP for the server, which does not catch it yet */
	bool stopping;
	int stopped_start; /* 0, or the signal to stop that came while a server started */
	uint64_t stopped_at_ns;
	int ended_by; /* the second signal to stop; 0: none has come */
	bool done;
	int status; /* to end with */
};

/** Starts a server. Returns 0 or a negative errno value with `e` filled in. */
int supervisor_start_server(struct supervisor *s, struct weir_error *e);

/** Starts `weir check` of the program at `s->program` with our arguments. Returns as above. */
int supervisor_start_check(struct supervisor *s, struct weir_error *e);

/** Becomes the program at `s->program`. Returns only if that failed: a negative errno value, and
 * all is as it was. */
int supervisor_become(struct supervisor *s, struct weir_error *e);

#endif
