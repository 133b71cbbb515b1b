/*
 * What stands around the proxies in a benchmark, as cheap as it can be, so that the proxies are
 * what is measured:
 *
 *   bench_ends origin PORT              an origin server: /128, /10k, /1m and /echo
 *   bench_ends relay PORT UPSTREAM      passes bytes between each client and a connection of its
 * own to the upstream and looks at none: the floor under what proxies cost
 *
 * One thread, loopback, HTTP/1.1 without bodies of requests, one request at a time on a connection.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define BUFFER_BYTES 65536
#define BODY_BYTES_MAX (1 << 20)

struct end;
typedef void end_fn(struct end *, uint32_t events);

/* One connection, or the listening socket. */
struct end {
	int fd;
	end_fn *handle;
	struct end *other; /* relay: the connection on the other side */
	bool waits;        /* for room to write in: what is in `head`, then in `body` */
	bool closed;
	struct iovec head, body;
	size_t filled;
	char buffer[BUFFER_BYTES];
};

static int epoll;
static const char *mode;
static in_port_t upstream_port;
static char body[BODY_BYTES_MAX];
/* Connections that were closed in this turn, whose events may still be in hand. */
static struct end *closed[2 * EVENTS_MAX];
static size_t closed_count;

static const char *const echoed[] = {
	"x-forwarded-for",    "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto",
	"x-forwarded-server", "x-real-ip",        "x-guest"};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void watch(struct end *e, uint32_t events, int operation)
{
	struct epoll_event event = {.events = events, .data.ptr = e};

	if (epoll_ctl(epoll, operation, e->fd, &event) < 0)
		die("epoll_ctl");
}

static struct end *add(int fd, end_fn *handle)
{
	struct end *e = calloc(1, sizeof *e);
	int on = 1;

	if (e == NULL)
		die("calloc");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	e->fd = fd;
	e->handle = handle;
	watch(e, EPOLLIN, EPOLL_CTL_ADD);
	return e;
}

static void drop(struct end *e)
{
	if (e == NULL || e->closed)
		return;
	e->closed = true;
	(void)close(e->fd);
	closed[closed_count++] = e;
	drop(e->other);
}

static void advance(struct iovec *v, size_t *n)
{
	size_t part = v->iov_len < *n ? v->iov_len : *n;

	v->iov_base = (char *)v->iov_base + part;
	v->iov_len -= part;
	*n -= part;
}

/* Sends what is in hand. False: the connection is gone. */
static bool flush(struct end *e)
{
	struct iovec parts[] = {e->head, e->body};
	struct msghdr m = {.msg_iov = parts, .msg_iovlen = e->body.iov_len > 0 ? 2 : 1};
	ssize_t sent = sendmsg(e->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	size_t n = sent > 0 ? (size_t)sent : 0;
	bool waits;

	if (sent < 0 && errno != EAGAIN)
		return false;
	advance(&e->head, &n);
	advance(&e->body, &n);
	waits = e->head.iov_len + e->body.iov_len > 0;
	if (waits != e->waits) {
		e->waits = waits;
		watch(e, waits ? EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
	}
	return true;
}

/* The value of a field in the head, up to its line end. */
static size_t field(const char *head, const char *name, const char **value)
{
	for (const char *line = strstr(head, "\r\n"); line != NULL;
	     line = strstr(line + 2, "\r\n")) {
		size_t n = strlen(name);

		if (strncasecmp(line + 2, name, n) != 0 || line[2 + n] != ':')
			continue;
		*value = line + 3 + n + (line[3 + n] == ' ');
		return strcspn(*value, "\r");
	}
	*value = "";
	return 0;
}

static size_t echo(const char *head, char *text, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < sizeof echoed / sizeof echoed[0]; i++) {
		const char *value;
		int length = (int)field(head, echoed[i], &value);
		int written = snprintf(text + n, size - n, "%s=%.*s\n", echoed[i], length, value);

		n += written > 0 ? (size_t)written : 0;
	}
	return n;
}

/* The response to the head in the buffer, which it replaces. */
static void respond(struct end *e)
{
	static const struct {
		const char *target;
		size_t bytes;
	} bodies[] = {{"GET /128 ", 128}, {"GET /10k ", 10240}, {"GET /1m ", BODY_BYTES_MAX}};
	static char echo_text[BUFFER_BYTES];
	int n;

	e->body = (struct iovec){echo_text, 0};
	for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
		if (strncmp(e->buffer, bodies[i].target, strlen(bodies[i].target)) == 0)
			e->body = (struct iovec){body, bodies[i].bytes};
	if (e->body.iov_len == 0)
		e->body.iov_len = echo(e->buffer, echo_text, sizeof echo_text);
	n = snprintf(e->buffer, sizeof e->buffer,
		     "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
		     "Content-Type: text/plain\r\nContent-Length: %zu\r\n"
		     "Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\nConnection: keep-alive\r\n"
		     "ETag: \"0-%zx\"\r\nAccept-Ranges: bytes\r\n\r\n",
		     e->body.iov_len, e->body.iov_len);
	e->head = (struct iovec){e->buffer, (size_t)n};
}

static void serve(struct end *e, uint32_t events)
{
	ssize_t n;

	if (e->waits) {
		if (!flush(e))
			drop(e);
		return;
	}
	(void)events;
	n = recv(e->fd, e->buffer + e->filled, sizeof e->buffer - 1 - e->filled, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		drop(e);
		return;
	}
	e->filled += (size_t)n;
	e->buffer[e->filled] = '\0';
	if (strstr(e->buffer, "\r\n\r\n") == NULL)
		return;
	e->filled = 0;
	respond(e);
	if (!flush(e))
		drop(e);
}

/* Passes on what has come; while the other side has no room nothing more is read here. */
static void pass_on(struct end *e, uint32_t events)
{
	ssize_t n;

	if (e->waits) {
		if (!flush(e))
			drop(e);
		else if (!e->waits)
			watch(e->other, e->other->waits ? EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
		return;
	}
	(void)events;
	n = recv(e->fd, e->buffer, sizeof e->buffer, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		drop(e);
		return;
	}
	e->other->head = (struct iovec){e->buffer, (size_t)n};
	if (!flush(e->other))
		drop(e);
	else if (e->other->waits)
		watch(e, 0, EPOLL_CTL_MOD);
}

static int new_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

static struct sockaddr_in loopback(in_port_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void on_client(struct end *listener, uint32_t events)
{
	int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
	struct sockaddr_in address = loopback(upstream_port);
	struct end *e;

	(void)events;
	if (fd < 0)
		return;
	if (strcmp(mode, "origin") == 0) {
		(void)add(fd, serve);
		return;
	}
	e = add(fd, pass_on);
	e->other = add(new_socket(), pass_on);
	e->other->other = e;
	if (connect(e->other->fd, (struct sockaddr *)&address, sizeof address) < 0)
		drop(e);
}

static void listen_on(in_port_t port)
{
	struct sockaddr_in address = loopback(port);
	int fd = new_socket(), on = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 4096) < 0)
		die("listen");
	(void)add(fd, on_client);
}

static void turn(void)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(epoll, events, EVENTS_MAX, -1);

	for (int i = 0; i < n; i++) {
		struct end *e = events[i].data.ptr;

		if (!e->closed)
			e->handle(e, events[i].events);
	}
	while (closed_count > 0)
		free(closed[--closed_count]);
}

int main(int argc, char **argv)
{
	if (argc < 3 ||
	    (strcmp(argv[1], "origin") != 0 && (strcmp(argv[1], "relay") != 0 || argc < 4))) {
		fprintf(stderr, "usage: %s origin PORT | relay PORT UPSTREAM\n", argv[0]);
		return 2;
	}
	mode = argv[1];
	upstream_port = (in_port_t)(argc > 3 ? atoi(argv[3]) : 0);
	memset(body, 'x', sizeof body);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0)
		die("epoll_create1");
	listen_on((in_port_t)atoi(argv[2]));
	for (;;)
		turn();
}
