#include "cli/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/notify.h"
#include "cli/supervised.h"
#include "cli/supervisor_private.h"
#include "core/clock.h"
#include "core/log.h"
#include "proxy/entry_point.h"

/* A server that was ready for so long is started again at once; the others after a pause that
 * doubles. */
#define STEADY_MS 500u
#define BACK_OFF_FIRST_MS 50u
#define BACK_OFF_MAX_MS 10000u
#define NOTICE_BYTES 1024u

static void send_signal(const struct server_process *p, int number)
{
	if (p->pid > 0)
		(void)kill(p->pid, number);
}

static void forget(struct server_process *p)
{
	if (p->notices >= 0)
		(void)close(p->notices);
	*p = (struct server_process){.notices = -1};
}

static void plan_start(struct supervisor *s, bool steady)
{
	if (steady)
		s->back_off_ms = 0;
	else
		s->back_off_ms = MIN(MAX(s->back_off_ms * 2, BACK_OFF_FIRST_MS), BACK_OFF_MAX_MS);
	s->start_at_ns = MAX(clock_mono_ns() + s->back_off_ms * 1000000u, 1);
}

static void start_server(struct supervisor *s)
{
	struct weir_error e = {0};

	s->start_at_ns = 0;
	if (supervisor_start_server(s, &e) == 0)
		return;
	log_error_with((LOG_CAUSE(&e)), "The server cannot be started");
	plan_start(s, false);
}

static void end_at_once(struct supervisor *s, int number)
{
	log_warn("Second signal: ending without waiting for connections");
	s->ended_by = number;
	send_signal(&s->server, SIGKILL);
	send_signal(&s->old, SIGKILL);
}

static void stop(struct supervisor *s, int number)
{
	if (s->stopping) {
		if (clock_mono_ns() - s->stopped_at_ns >= STOP_SIGNALS_NS)
			end_at_once(s, number);
		return;
	}
	s->stopping = true;
	s->stopped_at_ns = clock_mono_ns();
	s->start_at_ns = 0;
	s->stopped_start = s->server.ready ? 0 : number;
	/* What comes from now on is refused, or for another process. */
	socket_set_free(&s->sockets);
	send_signal(&s->server, number);
	send_signal(&s->old, number);
	if (s->server.pid == 0 && s->old.pid == 0) {
		s->status = EXIT_SUCCESS;
		s->done = true;
	}
}

static void upgrade(struct supervisor *s)
{
	struct weir_error e = {0};

	if (s->stopping)
		return;
	if (s->checker > 0 || s->old.pid > 0 || !s->server.ready) {
		log_warn("The program is not upgraded: %s",
			 s->checker > 0   ? "an upgrade is in progress"
			 : s->old.pid > 0 ? "the server of the last upgrade still drains"
					  : "the server is not ready yet");
		return;
	}
	log_info_with((LOG_STRING("program", s->program)), "Upgrading");
	if (supervisor_start_check(s, &e) < 0)
		log_error_with((LOG_CAUSE(&e)), "The program is not upgraded");
}

static void on_signal(struct supervisor *s, int number)
{
	switch (number) {
	case SIGTERM:
	case SIGINT:
		stop(s, number);
		break;
	case SIGUSR1:
		if (log_reopen() < 0)
			log_error("The log file cannot be opened again");
		/* One that is not ready may not catch it yet, and opens the new file anyway. */
		if (s->server.ready)
			send_signal(&s->server, number);
		send_signal(&s->old, number);
		break;
	case SIGUSR2:
		upgrade(s);
		break;
	default:
		s->owes_reload = !s->server.ready;
		if (s->server.ready)
			send_signal(&s->server, number);
		break;
	}
}

/* The newer program has approved of the configuration, or not. */
static void on_check_ended(struct supervisor *s, int status)
{
	struct weir_error e = {0};

	s->checker = 0;
	if (s->stopping || !s->server.ready)
		return;
	if (status != 0) {
		log_error("The program is not upgraded: its check of the configuration failed; "
			  "what is wrong went to standard error");
		return;
	}
	/* Returns only after an error. */
	(void)supervisor_become(s, &e);
	log_error_with((LOG_CAUSE(&e)), "The program is not upgraded");
}

static void describe_end(int status, char text[64])
{
	if (WIFSIGNALED(status))
		(void)snprintf(text, 64, "signal %d (%s)", WTERMSIG(status),
			       strsignal(WTERMSIG(status)));
	else
		(void)snprintf(text, 64, "exit status %d", WEXITSTATUS(status));
}

static int exit_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void on_server_died(struct supervisor *s, int status)
{
	bool steady = s->server.ready &&
		      clock_mono_ns() - s->server.since_ns >= STEADY_MS * UINT64_C(1000000);
	char how[64];

	describe_end(status, how);
	forget(&s->server);
	if (s->old.pid > 0 && !s->old.drains) {
		log_error_with((LOG_STRING("cause", how)),
			       "The upgraded server died before it was ready; the old one goes on");
		s->server = s->old;
		s->old = (struct server_process){.notices = -1};
		return;
	}
	s->restarts++;
	plan_start(s, steady);
	log_error_with((LOG_STRING("cause", how), LOG_INTEGER("pauseMs", s->back_off_ms)),
		       "The server died; it is started again");
}

static void on_server_ended(struct supervisor *s, int status)
{
	if (s->stopping || !s->was_ready) {
		/* A new server that does not catch the signal yet is no failure: it serves nobody,
		 * and after an upgrade the old one is what ends in order. */
		bool stopped = WIFSIGNALED(status) && WTERMSIG(status) == s->stopped_start;

		s->status = stopped ? EXIT_SUCCESS : exit_status(status);
		forget(&s->server);
		if (!s->stopping && WIFSIGNALED(status))
			log_error("The server died while it started: signal %d", WTERMSIG(status));
		s->done = s->old.pid == 0;
		return;
	}
	on_server_died(s, status);
}

/* Also children that are not ours: as the first process of a container we get all orphans. */
static void reap(struct supervisor *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == s->checker) {
			on_check_ended(s, status);
		} else if (pid == s->server.pid) {
			on_server_ended(s, status);
		} else if (pid == s->old.pid) {
			forget(&s->old);
			if (s->server.pid == 0 && s->stopping)
				s->done = true;
		}
	}
}

static void take_signals(struct supervisor *s)
{
	struct signalfd_siginfo info;

	while (!s->done && read(s->signals, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGCHLD)
			reap(s);
		else
			on_signal(s, (int)info.ssi_signo);
	}
}

static void on_ready(struct supervisor *s)
{
	if (s->server.ready)
		return;
	s->server.ready = true;
	s->server.since_ns = clock_mono_ns();
	s->was_ready = true;
	if (s->owes_reload)
		send_signal(&s->server, SIGHUP);
	s->owes_reload = false;
	/* A server that is started again while the old one drains gets ready, too. */
	if (s->old.pid > 0 && !s->old.drains) {
		log_info("The upgraded server is ready; the old one drains");
		send_signal(&s->old, SIGTERM);
		s->old.drains = true;
	}
}

/* `*fd`: what came with it, or -1. */
static ssize_t receive_notice(int from, char text[NOTICE_BYTES], int *fd)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec part = {.iov_base = text, .iov_len = NOTICE_BYTES};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 /* Room for one descriptor: with the padding there would be
				  * some for a second one, which would stay open. */
				 .msg_controllen = CMSG_LEN(sizeof(int))};
	ssize_t n = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *head = n < 0 ? NULL : CMSG_FIRSTHDR(&message);

	*fd = -1;
	if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(head), sizeof *fd);
	return n;
}

/* What the server says goes on to the service manager. */
static void take_notices(struct supervisor *s)
{
	char text[NOTICE_BYTES + 1];
	ssize_t n;
	int fd;

	while ((n = receive_notice(s->server.notices, text, &fd)) > 0) {
		text[n] = '\0';
		if (kept_take(&s->kept, text, fd))
			continue;
		if (strcmp(text, "READY=1") == 0)
			on_ready(s);
		notify_send(text);
	}
}

static int until_start_ms(const struct supervisor *s)
{
	uint64_t now = clock_mono_ns();

	if (s->start_at_ns == 0)
		return -1;
	return s->start_at_ns <= now ? 0 : (int)((s->start_at_ns - now) / 1000000u) + 1;
}

static void run(struct supervisor *s)
{
	while (!s->done) {
		struct pollfd watched[] = {{.fd = s->signals, .events = POLLIN},
					   {.fd = s->server.notices, .events = POLLIN}};

		(void)poll(watched, 2, until_start_ms(s));
		/* First what it said, then that it has ended. */
		if (s->server.notices >= 0)
			take_notices(s);
		take_signals(s);
		if (!s->done && until_start_ms(s) == 0)
			start_server(s);
	}
}

/* Moves the sockets of all entry points that have any into the set. */
static int keep_sockets(struct supervisor *s, struct entry_point *points, size_t count)
{
	int r = 0;

	for (size_t i = 0; i < count && points[i].fds != NULL; i++) {
		for (size_t w = 0; w < s->workers; w++) {
			if (points[i].fds[w] < 0)
				continue;
			r = socket_set_add(&s->sockets, points[i].name, points[i].fds[w]);
			if (r < 0)
				return r;
			points[i].fds[w] = -1;
		}
	}
	return 0;
}

/* Sockets for all entry points, of which some may be there; those of none are closed. */
static int open_sockets(struct supervisor *s, const struct static_config *config,
			struct weir_error *e)
{
	struct entry_point *points = NULL;
	size_t count = 0;
	int r = entry_points_create(&points, &count, config, e);

	if (r < 0)
		return r;
	r = entry_points_listen(points, count, s->workers, &s->sockets, e);
	if (r == 0)
		socket_set_free(&s->sockets);
	entry_points_note_files(points, count, s->workers, &s->files);
	if (keep_sockets(s, points, count) < 0 && r == 0)
		r = error_set(e, -ENOMEM, "out of memory");
	entry_points_destroy(&points, count, s->workers);
	return r;
}

static int write_pid_file(struct supervisor *s, slice path, struct weir_error *e)
{
	FILE *f;
	int r;

	if (path.n == 0)
		return 0;
	s->pid_file = strndup(path.p, path.n);
	f = s->pid_file != NULL ? fopen(s->pid_file, "we") : NULL;
	if (f == NULL)
		return error_set(e, -errno, "weir.supervisor.pidFile: %.*s: %s", SLICE_ARG(path),
				 strerror(errno));
	r = fprintf(f, "%ld\n", (long)getpid());
	if (fclose(f) != 0 || r < 0)
		return error_set(e, -EIO, "weir.supervisor.pidFile: %s: cannot be written",
				 s->pid_file);
	return 0;
}

/* From here on signals are events, whatever the one who started us did with them. */
static int listen_to_signals(struct supervisor *s, struct weir_error *e)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};
	sigset_t ours;

	(void)sigemptyset(&ours);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		(void)sigaddset(&ours, numbers[i]);
		(void)signal(numbers[i], SIG_DFL);
	}
	(void)sigprocmask(SIG_BLOCK, &ours, &s->before);
	/* The supervisor before this one has blocked them, too. */
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		(void)sigdelset(&s->before, numbers[i]);
	s->signals = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals >= 0 ? 0 : error_set(e, -errno, "signals: %s", strerror(errno));
}

static int find_program(struct supervisor *s, struct weir_error *e)
{
	s->program = realpath("/proc/self/exe", NULL);
	return s->program != NULL ? 0 : error_set(e, -errno, "/proc/self/exe: %s", strerror(errno));
}

static int prepare(struct supervisor *s, const struct static_config *config, struct weir_error *e)
{
	int r;

	if (config == NULL)
		return error_set(e, -EINVAL, "the configuration cannot be read");
	s->workers = (size_t)config->weir.workers;
	r = cli_configure_log(&config->log, e);
	if (r == 0)
		r = find_program(s, e);
	if (r == 0)
		r = open_sockets(s, config, e);
	if (r == 0)
		r = write_pid_file(s, config->weir.supervisor.pid_file, e);
	if (r == 0)
		r = supervisor_start_server(s, e);
	return r;
}

/* After an upgrade there is a server already, which is kept if there can be no other. */
static int begin(struct supervisor *s, const struct static_config *config)
{
	struct weir_error e = {0};
	pid_t old = supervised_inherit_server();
	int r = listen_to_signals(s, &e);

	if (old > 0) {
		s->old = (struct server_process){
			.pid = old, .notices = -1, .ready = true, .since_ns = clock_mono_ns()};
		s->was_ready = true;
	}
	kept_inherit(&s->kept);
	if (r == 0 && socket_set_inherit(&s->sockets) < 0)
		r = error_set(&e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < s->sockets.count; i++)
		unix_socket_files_add(&s->files, s->sockets.list[i].fd);
	if (r == 0)
		r = prepare(s, config, &e);
	if (r == 0)
		return 0;
	(void)fprintf(stderr, "weir: %s\n", e.text);
	if (old == 0)
		return r;
	log_error_with((LOG_CAUSE(&e)),
		       "The upgraded server cannot be started; the old one goes on");
	s->server = s->old;
	s->old = (struct server_process){.notices = -1};
	return 0;
}

int supervise(const struct cli_args *args, struct static_config **config)
{
	struct supervisor s = {.args = args,
			       .signals = -1,
			       .status = 1,
			       .server = {.notices = -1},
			       .old = {.notices = -1}};
	bool begun = begin(&s, *config) == 0;

	static_config_free(config);
	if (begun)
		run(&s);
	if (s.pid_file != NULL)
		(void)unlink(s.pid_file);
	forget(&s.server);
	socket_set_free(&s.sockets);
	kept_free(&s.kept);
	unix_socket_files_remove(&s.files);
	if (s.signals >= 0)
		(void)close(s.signals);
	free(s.pid_file);
	free(s.program);
	return s.ended_by != 0 ? 128 + s.ended_by : s.status;
}
