#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/supervised.h"
#include "cli/supervisor_private.h"
#include "core/clock.h"

/* Ours, also after somebody has put another one in its place. */
#define THIS_PROGRAM "/proc/self/exe"

/* The name for a list of processes, `command` unless it is NULL, and our arguments. To be freed;
 * NULL without memory. */
static char **arguments(const struct supervisor *s, const char *name, const char *command)
{
	const char **list = calloc(s->args->count + 3, sizeof *list);
	size_t n = 0;

	if (list == NULL)
		return NULL;
	list[n++] = name;
	if (command != NULL)
		list[n++] = command;
	for (size_t i = 0; i < s->args->count; i++)
		list[n++] = s->args->list[i];
	/* exec's prototype promises less than it does. */
	return (char **)(uintptr_t)list;
}

/* In the child: it ends with the supervisor, and a terminal's signals reach it through that one
 * only. */
static void settle_child(const struct supervisor *s, pid_t parent)
{
	(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	(void)sigprocmask(SIG_SETMASK, &s->before, NULL);
}

static _Noreturn void exec_failed(const char *program)
{
	const char *why = strerror(errno);

	(void)!write(STDERR_FILENO, "weir: ", 6);
	(void)!write(STDERR_FILENO, program, strlen(program));
	(void)!write(STDERR_FILENO, ": ", 2);
	(void)!write(STDERR_FILENO, why, strlen(why));
	(void)!write(STDERR_FILENO, "\n", 1);
	_exit(EXIT_FAILURE);
}

/* The service manager's watchdog waits for us; what the server says to it goes through us. */
static void claim_watchdog(void)
{
	const char *pid = getenv("WATCHDOG_PID");

	if (pid != NULL && strtol(pid, NULL, 10) != (long)getppid())
		(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
}

/* What the next program takes over; the kept files first, while none of them can be in the place of
 * a socket. Returns as `socket_set_export`. */
static int export_all(struct supervisor *s)
{
	int r = kept_export(&s->kept, socket_set_end(&s->sockets));

	return r < 0 ? r : socket_set_export(&s->sockets);
}

static _Noreturn void become_server(struct supervisor *s, char *const *argv, int notice_fd)
{
	struct supervised told = {
		.workers = s->workers, .supervisor = getppid(), .restarts = s->restarts};

	/* First out of the way: it may stand where a socket is to be. */
	told.notice_fd = fcntl(notice_fd, F_DUPFD, socket_set_end(&s->sockets));
	if (told.notice_fd >= 0 && export_all(s) == 0) {
		claim_watchdog();
		if (supervised_export(&told) == 0)
			(void)execv(THIS_PROGRAM, argv);
	}
	exec_failed(THIS_PROGRAM);
}

int supervisor_start_server(struct supervisor *s, struct weir_error *e)
{
	char **argv = arguments(s, "weir: server", NULL);
	int pair[2] = {-1, -1};
	pid_t parent = getpid(), pid = -1;

	if (argv != NULL &&
	    socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0)
		pid = fork();
	if (pid == 0) {
		settle_child(s, parent);
		become_server(s, argv, pair[1]);
	}
	if (pid < 0)
		(void)error_set(e, argv == NULL ? -ENOMEM : -errno, "cannot start the server: %s",
				argv == NULL ? "out of memory" : strerror(errno));
	free(argv);
	if (pair[1] >= 0)
		(void)close(pair[1]);
	if (pid < 0) {
		if (pair[0] >= 0)
			(void)close(pair[0]);
		return e->code;
	}
	s->server = (struct server_process){
		.pid = pid, .notices = pair[0], .since_ns = clock_mono_ns()};
	return 0;
}

int supervisor_start_check(struct supervisor *s, struct weir_error *e)
{
	char **argv = arguments(s, "weir", "check");
	pid_t parent = getpid(), pid = argv != NULL ? fork() : -1;

	if (pid == 0) {
		int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

		settle_child(s, parent);
		(void)dup2(nowhere, STDOUT_FILENO);
		(void)execv(s->program, argv);
		exec_failed(s->program);
	}
	if (pid < 0)
		(void)error_set(e, argv == NULL ? -ENOMEM : -errno, "cannot start the check: %s",
				argv == NULL ? "out of memory" : strerror(errno));
	free(argv);
	if (pid < 0)
		return e->code;
	s->checker = pid;
	return 0;
}

int supervisor_become(struct supervisor *s, struct weir_error *e)
{
	char **argv = arguments(s, "weir", NULL);
	struct kept copies = {0};

	if (argv == NULL || supervised_export_server(s->server.pid) < 0)
		(void)error_set(e, -ENOMEM, "out of memory");
	else if (export_all(s) < 0)
		(void)error_set(e, -EMFILE, "no descriptors are free");
	else if (execv(s->program, argv) < 0)
		(void)error_set(e, -errno, "%s: %s", s->program, strerror(errno));
	socket_set_unexport(&s->sockets);
	/* No child may take itself for an upgraded supervisor. */
	(void)supervised_inherit_server();
	kept_inherit(&copies);
	kept_free(&copies);
	free(argv);
	return e->code;
}
