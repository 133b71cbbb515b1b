/*
 * For tests of the data path: blocking peers in threads around one loop that runs in the test's own
 * thread. What goes wrong in a peer ends the process, since cmocka's assertions belong to the
 * test's thread. Signals, as the alarms of a fuzzer, do not end what waits.
 */
#ifndef UNIT_WIRE_H
#define UNIT_WIRE_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/str.h"
#include "net/loop.h"

#define WIRE_PATIENCE_MS 20000

#define wire_must(cond) ((cond) ? (void)0 : wire_broken(#cond, __FILE__, __LINE__))

_Noreturn static inline void wire_broken(const char *what, const char *file, int line)
{
	(void)fprintf(stderr, "%s:%d: peer: %s does not hold\n", file, line, what);
	abort();
}

#define WIRE_QUEUE 4

/* A Unix socket that listens, and those that wait in its queue, which is full. */
struct wire_queue {
	struct sockaddr_un at;
	int fd, waiting[WIRE_QUEUE];
};

static inline void wire_queue_fill(struct wire_queue *q)
{
	const struct sockaddr *at = (const struct sockaddr *)&q->at;

	*q = (struct wire_queue){.at.sun_family = AF_UNIX};
	(void)snprintf(q->at.sun_path, sizeof q->at.sun_path, "/tmp/weir-queue-%d", (int)getpid());
	(void)unlink(q->at.sun_path);
	q->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	wire_must(bind(q->fd, at, sizeof q->at) == 0 && listen(q->fd, 0) == 0);
	for (size_t i = 0; i < WIRE_QUEUE; i++) {
		q->waiting[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		wire_must(connect(q->waiting[i], at, sizeof q->at) == 0 || i > 0);
	}
	wire_must(errno == EAGAIN);
}

/* Everybody leaves; `fd` stays the caller's. */
static inline void wire_queue_empty(struct wire_queue *q)
{
	struct pollfd in = {.fd = q->fd, .events = POLLIN};

	for (size_t i = 0; i < WIRE_QUEUE; i++)
		(void)close(q->waiting[i]);
	while (poll(&in, 1, 0) == 1)
		(void)close(accept(q->fd, NULL, NULL));
}

/* A listening socket on a free port. With `room`, connections get small buffers. */
static inline int wire_listen(uint16_t *port, int room)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	wire_must(fd >= 0);
	if (room > 0) {
		wire_must(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room) == 0);
		wire_must(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0);
	}
	wire_must(bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
	wire_must(listen(fd, 128) == 0);
	wire_must(getsockname(fd, (struct sockaddr *)&at, &size) == 0);
	*port = ntohs(at.sin_port);
	return fd;
}

static inline int wire_connect(uint16_t port, int room)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				 .sin_port = htons(port)};
	struct timeval patience = {.tv_sec = WIRE_PATIENCE_MS / 1000};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	wire_must(fd >= 0);
	if (room > 0) {
		wire_must(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room) == 0);
		wire_must(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0);
	}
	wire_must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 ||
		  errno == EOPNOTSUPP);
	wire_must(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
	/* Interrupted, Linux goes on in the background; the next call waits for that. */
	wire_must(TEMP_FAILURE_RETRY(connect(fd, (struct sockaddr *)&to, sizeof to)) == 0);
	return fd;
}

static inline int wire_accept(int listening)
{
	struct timeval patience = {.tv_sec = WIRE_PATIENCE_MS / 1000};
	struct pollfd ready = {.fd = listening, .events = POLLIN};
	int fd, on = 1;

	wire_must(TEMP_FAILURE_RETRY(poll(&ready, 1, WIRE_PATIENCE_MS)) == 1);
	fd = (int)TEMP_FAILURE_RETRY(accept4(listening, NULL, NULL, SOCK_CLOEXEC));
	wire_must(fd >= 0);
	wire_must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 ||
		  errno == EOPNOTSUPP);
	wire_must(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
	return fd;
}

/* Returns false if the other side is gone. */
static inline bool wire_send_bytes(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = TEMP_FAILURE_RETRY(send(fd, p, n, MSG_NOSIGNAL));

		if (sent < 0)
			return false;
		p += sent;
		n -= (size_t)sent;
	}
	return true;
}

static inline void wire_send(int fd, const char *text)
{
	wire_must(wire_send_bytes(fd, text, strlen(text)));
}

/* Each byte in a segment of its own. */
static inline void wire_send_slowly(int fd, const char *text)
{
	for (; *text != '\0'; text++)
		wire_must(wire_send_bytes(fd, text, 1));
}

static inline void wire_reset(int fd)
{
	struct linger now = {.l_onoff = 1};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	(void)close(fd);
}

/* What one byte of a generated body is, so that order and content can be checked without keeping
 * it. */
static inline char wire_byte(size_t at)
{
	return (char)('a' + (at * 31 + at / 251) % 26);
}

static inline bool wire_send_pattern(int fd, size_t from, size_t n)
{
	char block[16384];

	while (n > 0) {
		size_t part = n < sizeof block ? n : sizeof block;

		for (size_t i = 0; i < part; i++)
			block[i] = wire_byte(from + i);
		if (!wire_send_bytes(fd, block, part))
			return false;
		from += part;
		n -= part;
	}
	return true;
}

/* Reads a connection's bytes with one block of look-ahead. */
struct wire_reader {
	int fd;
	size_t at, n;
	char block[16384];
};

/* The next byte, or -1 at the end, -2 if the connection was reset. */
static inline int wire_get(struct wire_reader *r)
{
	if (r->at == r->n) {
		ssize_t got = TEMP_FAILURE_RETRY(recv(r->fd, r->block, sizeof r->block, 0));

		wire_must(got >= 0 || errno == ECONNRESET);
		if (got <= 0)
			return got == 0 ? -1 : -2;
		r->at = 0;
		r->n = (size_t)got;
	}
	return (unsigned char)r->block[r->at++];
}

/* A head up to and with its empty line. Returns false if the connection ends first. */
static inline bool wire_read_head(struct wire_reader *r, char *to, size_t room)
{
	size_t n = 0;

	for (;;) {
		int c = wire_get(r);

		if (c < 0) {
			to[n] = '\0';
			return false;
		}
		wire_must(n + 1 < room);
		to[n++] = (char)c;
		to[n] = '\0';
		if (n >= 4 && memcmp(to + n - 4, "\r\n\r\n", 4) == 0)
			return true;
	}
}

static inline const char *wire_field(const char *head, const char *name)
{
	const char *at = strcasestr(head, name);

	return at != NULL ? at + strlen(name) : NULL;
}

struct wire_body {
	size_t n;
	bool whole;   /* ended as its framing says */
	bool matches; /* the pattern of `wire_byte` */
	char start[256];
};

static inline void wire_take(struct wire_body *b, int c)
{
	b->matches = b->matches && (char)c == wire_byte(b->n);
	if (b->n + 1 < sizeof b->start)
		b->start[b->n] = (char)c;
	b->n++;
}

static inline bool wire_read_line(struct wire_reader *r, char *to, size_t room)
{
	size_t n = 0;
	int c;

	while ((c = wire_get(r)) >= 0) {
		wire_must(n + 1 < room);
		to[n++] = (char)c;
		to[n] = '\0';
		if (c == '\n')
			return true;
	}
	return false;
}

static inline void wire_read_chunks(struct wire_reader *r, struct wire_body *b)
{
	char line[1024];

	for (;;) {
		size_t left;

		if (!wire_read_line(r, line, sizeof line))
			return;
		left = strtoul(line, NULL, 16);
		for (size_t i = 0; i < left; i++) {
			int c = wire_get(r);

			if (c < 0)
				return;
			wire_take(b, c);
		}
		if (left == 0)
			break;
		if (!wire_read_line(r, line, sizeof line))
			return;
		wire_must(strcmp(line, "\r\n") == 0);
	}
	while (wire_read_line(r, line, sizeof line)) {
		if (strcmp(line, "\r\n") == 0) {
			b->whole = true;
			return;
		}
	}
}

/* The body that follows a head, request or response (of a method that allows one). */
static inline struct wire_body wire_read_body(struct wire_reader *r, const char *head,
					      bool to_the_end)
{
	struct wire_body b = {.matches = true};
	const char *length = wire_field(head, "\r\nContent-Length: ");
	int c;

	if (wire_field(head, "\r\nTransfer-Encoding: chunked") != NULL) {
		wire_read_chunks(r, &b);
	} else if (length != NULL) {
		size_t n = strtoul(length, NULL, 10);

		while (b.n < n && (c = wire_get(r)) >= 0)
			wire_take(&b, c);
		b.whole = b.n == n;
	} else if (to_the_end) {
		while ((c = wire_get(r)) >= 0)
			wire_take(&b, c);
		b.whole = c == -1;
	} else {
		b.whole = true;
	}
	return b;
}

/* A peer: runs beside the loop, which stops when the peer is done. */
struct wire_peer {
	struct loop *loop;
	void (*run)(void *);
	void *context;
	struct message done;
	pthread_t thread;
	size_t *running;
};

static inline void wire_peer_done(struct message *m)
{
	struct wire_peer *p = container_of(m, struct wire_peer, done);

	if (--*p->running == 0)
		loop_stop(p->loop);
}

static inline void *wire_peer_main(void *peer)
{
	struct wire_peer *p = peer;

	p->run(p->context);
	wire_must(loop_post(p->loop, &p->done));
	return NULL;
}

/* Runs the loop until all peers have returned. */
static inline void wire_run_all(struct loop *loop, struct wire_peer *peers, size_t count)
{
	size_t running = count;

	for (size_t i = 0; i < count; i++) {
		peers[i].loop = loop;
		peers[i].running = &running;
		peers[i].done.run = wire_peer_done;
		wire_must(pthread_create(&peers[i].thread, NULL, wire_peer_main, &peers[i]) == 0);
	}
	loop_run(loop);
	for (size_t i = 0; i < count; i++)
		wire_must(pthread_join(peers[i].thread, NULL) == 0);
}

static inline void wire_run(struct loop *loop, void (*run)(void *), void *context)
{
	struct wire_peer peer = {.run = run, .context = context};

	wire_run_all(loop, &peer, 1);
}

#endif
