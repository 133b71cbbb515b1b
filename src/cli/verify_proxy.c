#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/verify_private.h"
#include "core/clock.h"

#define FIRST_PORT 10240u
#define LAST_PORT 32000u
#define PORT_ATTEMPTS 1000
#define START_ATTEMPTS 5
#define READY_MS 60000u
#define STOP_MS 10000u
#define ANSWER_MS 5000
#define PAGE_MAX_BYTES ((size_t)16 * 1024 * 1024)
#define LINE_MAX_BYTES ((size_t)64 * 1024)
#define TAIL_BYTES 200
#define CHILDREN 256

/* Below the ports that the system gives to clients, so that none of them takes it meanwhile. */
static uint16_t free_port(void)
{
	for (int i = 0; i < PORT_ATTEMPTS; i++) {
		struct sockaddr_in at = {.sin_family = AF_INET,
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		uint32_t number = 0;
		bool is_free;
		int fd;

		if (getrandom(&number, sizeof number, 0) < 0)
			number = (uint32_t)clock_mono_ns();
		number = FIRST_PORT + number % (LAST_PORT - FIRST_PORT);
		at.sin_port = htons((uint16_t)number);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		is_free = fd >= 0 && bind(fd, (const struct sockaddr *)&at, sizeof at) == 0;
		if (fd >= 0)
			(void)close(fd);
		if (is_free)
			return (uint16_t)number;
	}
	return 0;
}

/* --- one request at a time */

static int connect_to(uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct timeval timeout = {.tv_sec = ANSWER_MS / 1000};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
	if (connect(fd, (const struct sockaddr *)&to, sizeof to) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

/* The whole answer until the connection ends; false if there is none. */
static bool ask(uint16_t port, const char *host, const char *target, struct str *answer)
{
	char request[256];
	int fd = connect_to(port);
	int n = snprintf(request, sizeof request,
			 "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", target, host);
	bool good = fd >= 0 && send(fd, request, (size_t)n, MSG_NOSIGNAL) == n;

	answer->limit = PAGE_MAX_BYTES;
	while (good) {
		char *p = str_reserve(answer, 16384);
		ssize_t got = p == NULL ? -1 : recv(fd, p, 16384, 0);

		if (got == 0)
			break;
		good = got > 0;
		if (good)
			str_commit(answer, (size_t)got);
	}
	if (fd >= 0)
		(void)close(fd);
	return good && answer->n > 0;
}

bool verify_proxy_has(struct verify_proxy *p, uint64_t pass)
{
	struct str answer = {0};
	char host[64];
	bool good;

	verify_pass_host(host, pass);
	good = ask(p->files.web_port, host, "/pass", &answer) &&
	       slice_starts(str_slice(&answer), SLICE("HTTP/1.1 200")) &&
	       slice_ends(str_slice(&answer), SLICE(VERIFY_BODY));
	str_free(&answer);
	return good;
}

/* --- instances */

/* The sum of a family's samples; -1 if there is none. */
static int64_t sum_of(slice page, const char *name)
{
	size_t length = strlen(name);
	double sum = 0;
	bool any = false;
	slice line;

	while (slice_next(&page, '\n', &line)) {
		size_t space = line.n;

		if (!slice_starts(line, slice_of(name, length)) || line.n == length ||
		    (line.p[length] != '{' && line.p[length] != ' '))
			continue;
		while (space > 0 && line.p[space - 1] != ' ')
			space--;
		sum += strtod(line.p + space, NULL);
		any = true;
	}
	return any ? (int64_t)sum : -1;
}

static bool read_metrics(struct verify_proxy *p, struct verify_instances *i)
{
	struct str page = {0};
	bool good = ask(p->files.metrics_port, "localhost", "/metrics", &page);

	if (good) {
		i->initialised = sum_of(str_slice(&page), "weir_plugin_created_total");
		i->live = sum_of(str_slice(&page), "weir_plugin_live");
		i->generations = sum_of(str_slice(&page), "weir_config_generations_live");
	}
	str_free(&page);
	return good && i->initialised >= 0;
}

/* Whole lines only; what is left waits for more. */
static void count_lines(struct verify_proxy *p)
{
	const char *wanted = p->files.args->line;
	slice rest, line;

	for (;;) {
		char *to = str_reserve(&p->rest, 16384);
		ssize_t n = to == NULL ? -1 : read(p->output, to, 16384);

		if (n <= 0)
			return;
		str_commit(&p->rest, (size_t)n);
		rest = str_slice(&p->rest);
		while (slice_find(rest, '\n') < rest.n && slice_next(&rest, '\n', &line))
			p->lines += slice_search(line, slice_from(wanted)) < line.n;
		memmove(p->rest.p, rest.p, rest.n);
		p->rest.n = rest.n < LINE_MAX_BYTES ? rest.n : 0;
	}
}

void verify_proxy_instances(struct verify_proxy *p, struct verify_instances *instances)
{
	*instances = (struct verify_instances){-1, -1, -1};
	if (p->has_metrics) {
		(void)read_metrics(p, instances);
		return;
	}
	(void)pthread_mutex_lock(&p->lock);
	count_lines(p);
	/* Not even one: this guest says nothing, or something else. */
	instances->initialised = p->lines > 0 ? (int64_t)p->lines : -1;
	(void)pthread_mutex_unlock(&p->lock);
}

off_t verify_proxy_printed(const struct verify_proxy *p)
{
	struct stat st;

	return fstat(p->output, &st) == 0 ? st.st_size : 0;
}

bool verify_proxy_find_line(struct verify_proxy *p, off_t from, const char *word,
			    char line[VERIFY_TEXT])
{
	off_t end = verify_proxy_printed(p);
	size_t room = (size_t)MIN(MAX(end - from, 0), (off_t)PAGE_MAX_BYTES);
	struct str text = {0};
	char *to = str_reserve(&text, room + 1);
	ssize_t n = to == NULL ? -1 : pread(p->output, to, room, from);
	bool found = false;
	slice rest, one;

	str_commit(&text, n > 0 ? (size_t)n : 0);
	rest = str_slice(&text);
	while (!found && slice_find(rest, '\n') < rest.n && slice_next(&rest, '\n', &one)) {
		found = slice_search(one, slice_from(word)) < one.n;
		if (found)
			(void)snprintf(line, VERIFY_TEXT, "%.*s",
				       (int)MIN(one.n, (size_t)VERIFY_TEXT - 1), one.p);
	}
	str_free(&text);
	return found;
}

/* --- the process */

static void exec_in(const struct verify_proxy *p, int output, pid_t parent)
{
	sigset_t none;

	/* Dies with us, and gets no signals of our terminal. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	(void)setpgid(0, 0);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir(p->files.directory) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
	    dup2(output, STDERR_FILENO) < 0)
		_exit(127);
	(void)execl(p->path, p->path, "--configFile=traefik.yml", (char *)NULL);
	dprintf(STDERR_FILENO, "cannot be started: %s\n", strerror(errno));
	_exit(127);
}

static int spawn(struct verify_proxy *p, struct weir_error *e)
{
	char path[256];
	pid_t parent = getpid();
	int output;

	(void)snprintf(path, sizeof path, "%s/output.log", p->files.directory);
	output = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	p->output = open(path, O_RDONLY | O_CLOEXEC);
	if (output < 0 || p->output < 0)
		return error_set(e, -errno, "%s: %s", path, strerror(errno));
	p->pid = fork();
	if (p->pid == 0)
		exec_in(p, output, parent);
	(void)close(output);
	if (p->pid < 0) {
		p->pid = 0;
		return error_set(e, -errno, "cannot start a process: %s", strerror(errno));
	}
	return 0;
}

bool verify_proxy_runs(struct verify_proxy *p)
{
	if (p->pid > 0 && waitpid(p->pid, NULL, WNOHANG) == p->pid) {
		(void)kill(-p->pid, SIGKILL);
		p->pid = 0;
	}
	return p->pid > 0;
}

/* The end of what it has printed, on one line. */
static void add_tail(struct verify_proxy *p, struct weir_error *e)
{
	char tail[TAIL_BYTES + 1];
	off_t end = p->output < 0 ? 0 : lseek(p->output, 0, SEEK_END);
	ssize_t n = end <= 0 ? 0 : pread(p->output, tail, TAIL_BYTES, MAX(end - TAIL_BYTES, 0));

	if (n <= 0)
		return;
	while (n > 0 && tail[n - 1] == '\n')
		n--;
	tail[n] = '\0';
	for (char *c = tail; *c != '\0'; c++) {
		if (*c == '\n')
			*c = ' ';
	}
	error_suffix(e, "; it printed: %s", tail);
}

static bool port_was_taken(struct verify_proxy *p)
{
	char text[8192];
	ssize_t n = pread(p->output, text, sizeof text, 0);

	return n > 0 &&
	       slice_search(slice_of(text, (size_t)n), SLICE("address already in use")) < (size_t)n;
}

static int wait_ready(struct verify_proxy *p, struct weir_error *e)
{
	uint64_t until_ms = clock_mono_ms() + READY_MS;

	while (!verify_proxy_has(p, 0)) {
		if (!verify_proxy_runs(p)) {
			(void)error_set(e, -ECHILD, "%s ended before it answered", p->path);
			add_tail(p, e);
			return -ECHILD;
		}
		if (verify_is_stopped())
			return error_set(e, -EINTR, "interrupted");
		if (clock_mono_ms() > until_ms) {
			(void)error_set(e, -ETIMEDOUT, "%s did not answer within 60 s", p->path);
			add_tail(p, e);
			return -ETIMEDOUT;
		}
		verify_sleep_ms(20);
	}
	return 0;
}

static int start_once(struct verify_proxy *p, struct weir_error *e)
{
	int r;

	p->files.web_port = free_port();
	p->files.metrics_port = free_port();
	if (p->files.web_port == 0 || p->files.metrics_port == 0)
		return error_set(e, -EADDRINUSE, "no port is free on 127.0.0.1");
	r = verify_files_make(&p->files, e);
	if (r == 0)
		r = spawn(p, e);
	return r < 0 ? r : wait_ready(p, e);
}

int verify_proxy_start(struct verify_proxy *p, const char *path, const struct verify_args *args,
		       const struct verify_scenario *scenario, uint16_t backend_port,
		       struct weir_error *e)
{
	struct verify_instances instances = {-1, -1, -1};
	int r = 0;

	for (int attempt = 0; attempt < START_ATTEMPTS; attempt++) {
		*p = (struct verify_proxy){.path = path,
					   .output = -1,
					   .files = {.args = args,
						     .scenario = scenario,
						     .backend_port = backend_port}};
		(void)pthread_mutex_init(&p->lock, NULL);
		r = start_once(p, e);
		if (r != -ECHILD || !port_was_taken(p) || attempt + 1 == START_ATTEMPTS)
			break;
		verify_proxy_stop(p);
	}
	p->has_metrics = r == 0 && read_metrics(p, &instances);
	return r;
}

/* Processes that the proxy has left become our children. */
static void kill_children(void)
{
	pid_t list[CHILDREN];
	size_t count = verify_children(getpid(), list, CHILDREN);

	for (size_t i = 0; i < count; i++)
		(void)kill(list[i], SIGKILL);
}

void verify_proxy_stop(struct verify_proxy *p)
{
	uint64_t until_ms = clock_mono_ms() + STOP_MS;

	if (p->pid > 0)
		(void)kill(p->pid, SIGTERM);
	while (verify_proxy_runs(p) && clock_mono_ms() < until_ms)
		(void)poll(NULL, 0, 5);
	if (p->pid > 0) {
		(void)kill(-p->pid, SIGKILL);
		(void)waitpid(p->pid, NULL, 0);
		p->pid = 0;
	}
	do {
		kill_children();
	} while (waitpid(-1, NULL, 0) > 0);
	if (p->output >= 0)
		(void)close(p->output);
	p->output = -1;
	str_free(&p->rest);
	(void)pthread_mutex_destroy(&p->lock);
	verify_files_remove(&p->files);
}
