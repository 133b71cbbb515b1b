/*
 * What stands on both sides of a proxy under test: a server in a thread of its own, and requests
 * from blocking clients.
 */
#ifndef UNIT_PROXY_PEERS_H
#define UNIT_PROXY_PEERS_H

#include <poll.h>
#include <stdatomic.h>

#include "wire.h"

#define PEERS_MAX 64

/*
 * Answers every GET: /never not at all, /slow with a head and less of the body than it says, all
 * others with "ok".
 */
struct backend {
	uint16_t port;
	int listening;
	struct pollfd fds[PEERS_MAX]; /* the first one listens */
	size_t count;
	_Atomic bool stopping;
	_Atomic unsigned requests; /* that have come */
	pthread_t thread;
};

static inline void backend_close(struct backend *b, size_t i)
{
	(void)close(b->fds[i].fd);
	b->fds[i] = b->fds[--b->count];
}

static inline void backend_answer(int fd, const char *head)
{
	if (strncmp(head, "GET /never", 10) == 0)
		return;
	if (strncmp(head, "GET /slow", 9) == 0)
		(void)wire_send_bytes(fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", 41);
	else
		(void)wire_send_bytes(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 40);
}

/* Heads come whole: weir sends them with one call. */
static inline void backend_serve(struct backend *b, size_t i)
{
	char head[4096];
	ssize_t n = recv(b->fds[i].fd, head, sizeof head - 1, 0);

	if (n <= 0) {
		backend_close(b, i);
		return;
	}
	head[n] = '\0';
	atomic_fetch_add(&b->requests, 1);
	backend_answer(b->fds[i].fd, head);
}

static inline void *backend_run(void *context)
{
	struct backend *b = context;

	while (!atomic_load(&b->stopping)) {
		wire_must(poll(b->fds, b->count, WIRE_PATIENCE_MS) >= 0);
		for (size_t i = b->count; i-- > 1;) {
			if (b->fds[i].revents != 0)
				backend_serve(b, i);
		}
		if (b->fds[0].revents != 0 && !atomic_load(&b->stopping)) {
			wire_must(b->count < PEERS_MAX);
			b->fds[b->count++] =
				(struct pollfd){.fd = wire_accept(b->fds[0].fd), .events = POLLIN};
		}
	}
	while (b->count > 0)
		backend_close(b, b->count - 1);
	return NULL;
}

static inline void backend_start(struct backend *b)
{
	*b = (struct backend){.count = 1};
	b->listening = wire_listen(&b->port, 0);
	b->fds[0] = (struct pollfd){.fd = b->listening, .events = POLLIN};
	wire_must(pthread_create(&b->thread, NULL, backend_run, b) == 0);
}

static inline void backend_stop(struct backend *b)
{
	atomic_store(&b->stopping, true);
	/* Wakes the thread. */
	(void)shutdown(b->listening, SHUT_RDWR);
	wire_must(pthread_join(b->thread, NULL) == 0);
}

/* A port for an entry point with `reusePort`; nobody else gets it while the result is open. */
static inline int peers_reserve(uint16_t *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	wire_must(fd >= 0);
	wire_must(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0);
	wire_must(bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
	wire_must(getsockname(fd, (struct sockaddr *)&at, &size) == 0);
	*port = ntohs(at.sin_port);
	return fd;
}

/* The status of the next response, whose body is read too, or 0 if the connection ended. */
static inline int peers_answer(struct wire_reader *r)
{
	char head[4096];
	int status;

	if (!wire_read_head(r, head, sizeof head))
		return 0;
	wire_must(sscanf(head, "HTTP/1.1 %d", &status) == 1);
	wire_must(wire_read_body(r, head, false).whole);
	return status;
}

/* One GET on a connection that is kept. Returns as `peers_answer`. */
static inline int peers_get(struct wire_reader *r, const char *target)
{
	char request[256];

	(void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a.test\r\n\r\n", target);
	return wire_send_bytes(r->fd, request, strlen(request)) ? peers_answer(r) : 0;
}

#endif
