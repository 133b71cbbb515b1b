#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/verify_private.h"
#include "core/clock.h"

#define ANSWER_BYTES 8192
#define TIMEOUT_NS 10000000000u
#define TURN_MS 20
#define NS_PER_MS 1000000u

enum state { IDLE, CONNECTING, WAITING, STREAMING, ENDED };

struct client {
	enum state state;
	int fd;
	uint64_t next_ns; /* IDLE: when its next request is due */
	uint64_t from_ns; /* the request's time began; STREAMING: of the last event */
	uint64_t sent_ns; /* the request was, or its connection is opened since then */
	size_t n;
	char answer[ANSWER_BYTES];
};

struct verify_load {
	struct verify_load_plan plan;
	pthread_t thread;
	_Atomic bool stop, done, reload;
	_Atomic uint64_t answered, failed, held, refused, broken;
	_Atomic uint64_t kill_from_ns, kill_to_ns; /* of the last kill's window */
	pthread_mutex_t lock;
	struct verify_latency recent, all[2]; /* under the lock; not, and during a reload */
	uint64_t most_us;                     /* under the lock; since the window began */
	char failure[VERIFY_TEXT];            /* of the thread until it has ended */
	uint64_t begun;
	size_t next_host;
	struct client *clients;
	struct pollfd *polls;
};

static void drop(struct client *c)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
}

/* Its next request is due at once, or at its next time; one that fails waits a moment. */
static void rest(struct verify_load *l, struct client *c, uint64_t pause_ns)
{
	c->state = l->plan.count > 0 && l->begun >= l->plan.count ? ENDED : IDLE;
	c->next_ns = MAX(c->next_ns + l->plan.interval_ns,
			 pause_ns > 0 ? clock_mono_ns() + pause_ns : 0);
	c->n = 0;
	if (c->state == ENDED)
		drop(c);
}

static void fail(struct verify_load *l, struct client *c, const char *format, ...)
	PRINTF_LIKE(3, 4);
static void fail(struct verify_load *l, struct client *c, const char *format, ...)
{
	va_list arguments;

	atomic_fetch_add(&l->failed, 1);
	if (c->state == STREAMING)
		atomic_fetch_sub(&l->held, 1);
	if (l->failure[0] == '\0') {
		va_start(arguments, format);
		(void)vsnprintf(l->failure, sizeof l->failure, format, arguments);
		va_end(arguments);
	}
	drop(c);
	rest(l, c, 10 * (uint64_t)NS_PER_MS);
	if (l->plan.hold)
		c->state = ENDED;
}

/* Of what a killed process was working on nobody can expect an answer. */
static bool was_killed(const struct verify_load *l, const struct client *c)
{
	uint64_t from_ns = atomic_load(&l->kill_from_ns);

	return from_ns > 0 && c->sent_ns <= atomic_load(&l->kill_to_ns) &&
	       clock_mono_ns() >= from_ns;
}

/* The connection has ended in the middle. */
static void fail_broken(struct verify_load *l, struct client *c, const char *how)
{
	if (!was_killed(l, c)) {
		fail(l, c, "%s", how);
		return;
	}
	atomic_fetch_add(&l->broken, 1);
	drop(c);
	rest(l, c, 0);
}

static void fail_connect(struct verify_load *l, struct client *c, int error)
{
	if (error == ECONNREFUSED)
		atomic_fetch_add(&l->refused, 1);
	fail(l, c, "cannot connect: %s", strerror(error));
}

static void answered(struct verify_load *l, struct client *c)
{
	uint64_t us = (clock_mono_ns() - c->from_ns) / 1000;

	(void)pthread_mutex_lock(&l->lock);
	verify_latency_add(&l->recent, us);
	verify_latency_add(&l->all[atomic_load(&l->reload)], us);
	l->most_us = MAX(l->most_us, us);
	(void)pthread_mutex_unlock(&l->lock);
	atomic_fetch_add(&l->answered, 1);
	rest(l, c, 0);
}

static void send_request(struct verify_load *l, struct client *c)
{
	char request[256], host[64];
	int n;

	verify_host(host, l->next_host);
	l->next_host = (l->next_host + 1) % l->plan.hosts;
	n = snprintf(request, sizeof request, "GET /verify HTTP/1.1\r\nHost: %s\r\n%s\r\n", host,
		     l->plan.hold ? "Accept: text/event-stream\r\n" : "");
	c->state = WAITING;
	if (send(c->fd, request, (size_t)n, MSG_NOSIGNAL) != n)
		fail_broken(l, c, "a connection broke before its request was sent");
}

static void open_connection(struct verify_load *l, struct client *c)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(l->plan.port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int on = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	c->state = CONNECTING;
	if (c->fd < 0 ||
	    (connect(c->fd, (const struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS))
		fail_connect(l, c, errno);
	else
		(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void begin(struct verify_load *l, struct client *c, uint64_t now_ns)
{
	if (l->plan.count > 0 && l->begun >= l->plan.count) {
		rest(l, c, 0);
		return;
	}
	l->begun++;
	/* One that is late counts from when it was due: waiting is part of its time. */
	c->from_ns = l->plan.interval_ns > 0 && c->next_ns > 0 ? c->next_ns : now_ns;
	c->sent_ns = now_ns;
	if (c->next_ns == 0)
		c->next_ns = now_ns;
	if (c->fd < 0)
		open_connection(l, c);
	else
		send_request(l, c);
}

static void connected(struct verify_load *l, struct client *c)
{
	int error = 0;
	socklen_t n = sizeof error;

	(void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n);
	if (error != 0)
		fail_connect(l, c, error);
	else
		send_request(l, c);
}

static bool has_line(slice head, slice line)
{
	slice part;

	while (slice_next(&head, '\n', &part)) {
		if (part.n > 0 && part.p[part.n - 1] == '\r')
			part.n--;
		if (slice_equal_nocase(part, line))
			return true;
	}
	return false;
}

static bool is_right_head(struct verify_load *l, struct client *c, slice head)
{
	slice line = slice_first(head, slice_find(head, '\r'));

	if (!slice_starts(head, SLICE("HTTP/1.1 200")))
		fail(l, c, "found \"%.*s\", expected status 200", (int)MIN(line.n, (size_t)100),
		     line.p);
	else if (l->plan.field != NULL && !has_line(head, slice_from(l->plan.field)))
		fail(l, c, "the answer has no \"%s\": the plugin did not see it", l->plan.field);
	else
		return true;
	return false;
}

/* The backend's answers have a length, and bodies are all the same. */
static void check_answer(struct verify_load *l, struct client *c)
{
	slice all = slice_of(c->answer, c->n), body;
	size_t end = slice_search(all, SLICE("\r\n\r\n"));

	if (end == all.n) {
		if (c->n == ANSWER_BYTES)
			fail(l, c, "the head of an answer has more than %d bytes", ANSWER_BYTES);
		return;
	}
	if (!is_right_head(l, c, slice_first(all, end + 2)))
		return;
	if (l->plan.hold) {
		c->state = STREAMING;
		c->from_ns = clock_mono_ns();
		c->n = 0;
		atomic_fetch_add(&l->held, 1);
		atomic_fetch_add(&l->answered, 1);
		return;
	}
	body = slice_from_at(all, end + 4);
	if (!has_line(slice_first(all, end + 2), SLICE("content-length: 12")))
		fail(l, c, "the answer has not the Content-Length that the server behind sent");
	else if (body.n >= sizeof VERIFY_BODY - 1 && !slice_equal(body, SLICE(VERIFY_BODY)))
		fail(l, c, "the body of an answer is not what the server behind sent");
	else if (body.n == sizeof VERIFY_BODY - 1)
		answered(l, c);
}

static void readable(struct verify_load *l, struct client *c)
{
	ssize_t n = recv(c->fd, c->answer + c->n, ANSWER_BYTES - c->n, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		if (c->state == IDLE) /* between requests: it may */
			drop(c);
		else
			fail_broken(l, c,
				    n < 0 ? "a connection broke"
					  : "a connection ended without an answer");
	} else if (c->state == STREAMING) {
		c->from_ns = clock_mono_ns();
	} else if (c->state == IDLE) {
		fail(l, c, "bytes came that nobody asked for");
	} else {
		c->n += (size_t)n;
		check_answer(l, c);
	}
}

static void turn(struct verify_load *l, struct client *c, short events)
{
	uint64_t now_ns = clock_mono_ns();

	if (events != 0 && c->state == CONNECTING)
		connected(l, c);
	else if (events != 0 && c->fd >= 0)
		readable(l, c);
	if (c->state == IDLE && c->next_ns <= now_ns)
		begin(l, c, now_ns);
	else if (c->state != IDLE && c->state != ENDED && now_ns > c->from_ns + TIMEOUT_NS)
		fail(l, c,
		     c->state == STREAMING ? "no event came for 10 s"
					   : "no answer came within 10 s");
}

/* Until when nothing is due; to the nanosecond, because a probe that is late has waited. */
static struct timespec patience(const struct verify_load *l)
{
	uint64_t now_ns = clock_mono_ns(), least_ns = (uint64_t)TURN_MS * NS_PER_MS;

	for (size_t i = 0; i < l->plan.connections; i++) {
		const struct client *c = &l->clients[i];

		if (c->state == IDLE)
			least_ns = MIN(least_ns, c->next_ns > now_ns ? c->next_ns - now_ns : 0);
	}
	return (struct timespec){.tv_nsec = (long)least_ns};
}

static bool set_polls(struct verify_load *l)
{
	bool any = false;

	for (size_t i = 0; i < l->plan.connections; i++) {
		const struct client *c = &l->clients[i];

		any |= c->state != ENDED;
		l->polls[i] = (struct pollfd){.fd = c->fd,
					      .events = c->state == CONNECTING ? POLLOUT : POLLIN};
	}
	return any;
}

static void *drive(void *context)
{
	struct verify_load *l = context;

	while (!atomic_load(&l->stop) && set_polls(l)) {
		const struct timespec until = patience(l);
		int n = ppoll(l->polls, l->plan.connections, &until, NULL);

		for (size_t i = 0; i < l->plan.connections; i++)
			turn(l, &l->clients[i], n > 0 ? l->polls[i].revents : 0);
	}
	atomic_store(&l->done, true);
	return NULL;
}

static void destroy(struct verify_load *l)
{
	for (size_t i = 0; l->clients != NULL && i < l->plan.connections; i++)
		drop(&l->clients[i]);
	(void)pthread_mutex_destroy(&l->lock);
	free(l->clients);
	free(l->polls);
	free(l);
}

int verify_load_start(struct verify_load **load, const struct verify_load_plan *plan,
		      struct weir_error *e)
{
	struct verify_load *l = calloc(1, sizeof *l);
	uint64_t now_ns = clock_mono_ns();
	int r;

	if (l == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	l->plan = *plan;
	(void)pthread_mutex_init(&l->lock, NULL);
	l->clients = calloc(plan->connections, sizeof *l->clients);
	l->polls = calloc(plan->connections, sizeof *l->polls);
	for (size_t i = 0; l->clients != NULL && i < plan->connections; i++) {
		l->clients[i].fd = -1;
		/* Spread over the interval. */
		if (plan->interval_ns > 0)
			l->clients[i].next_ns = now_ns + plan->interval_ns * i / plan->connections;
	}
	r = l->clients == NULL || l->polls == NULL ? -ENOMEM
						   : -pthread_create(&l->thread, NULL, drive, l);
	if (r < 0) {
		destroy(l);
		return error_set(e, r, "the clients: %s", strerror(-r));
	}
	*load = l;
	return 0;
}

bool verify_load_is_done(const struct verify_load *load)
{
	return atomic_load(&load->done);
}

void verify_load_count(const struct verify_load *load, struct verify_load_counts *counts)
{
	counts->answered = atomic_load(&load->answered);
	counts->failed = atomic_load(&load->failed);
	counts->held = atomic_load(&load->held);
	counts->refused = atomic_load(&load->refused);
	counts->broken = atomic_load(&load->broken);
}

void verify_load_set_reload(struct verify_load *load, bool reload)
{
	atomic_store(&load->reload, reload);
}

void verify_load_set_kill(struct verify_load *load, bool killed)
{
	uint64_t now_ns = clock_mono_ns();

	if (killed)
		atomic_store(&load->kill_from_ns, now_ns);
	atomic_store(&load->kill_to_ns, killed ? UINT64_MAX : now_ns);
}

static void add(struct verify_latency *to, const struct verify_latency *from)
{
	to->count += from->count;
	to->most_us = MAX(to->most_us, from->most_us);
	for (size_t i = 0; i < VERIFY_LATENCY_CELLS; i++)
		to->cells[i] += from->cells[i];
}

void verify_load_take(struct verify_load *load, struct verify_latency *l)
{
	(void)pthread_mutex_lock(&load->lock);
	add(l, &load->recent);
	load->recent = (struct verify_latency){0};
	(void)pthread_mutex_unlock(&load->lock);
}

uint64_t verify_load_window_us(struct verify_load *load)
{
	uint64_t most_us;

	(void)pthread_mutex_lock(&load->lock);
	most_us = load->most_us;
	load->most_us = 0;
	(void)pthread_mutex_unlock(&load->lock);
	return most_us;
}

void verify_load_stop(struct verify_load **load, struct verify_load_counts *total,
		      struct verify_latency all[2], char failure[VERIFY_TEXT])
{
	struct verify_load *l = *load;
	struct verify_load_counts counts;

	if (l == NULL)
		return;
	*load = NULL;
	atomic_store(&l->stop, true);
	(void)pthread_join(l->thread, NULL);
	verify_load_count(l, &counts);
	total->answered += counts.answered;
	total->failed += counts.failed;
	total->held = counts.held;
	total->refused += counts.refused;
	total->broken += counts.broken;
	add(&all[0], &l->all[0]);
	add(&all[1], &l->all[1]);
	if (failure[0] == '\0')
		memcpy(failure, l->failure, VERIFY_TEXT);
	destroy(l);
}
