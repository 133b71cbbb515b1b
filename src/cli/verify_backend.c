#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/verify_private.h"
#include "core/clock.h"

/* Connections at once, with room for those of 1,000 clients twice over. */
#define CONNECTIONS 2100
#define HEAD_BYTES 4096
#define TURN_MS 50
#define EVENT_MS 1000u

static const char answer[] =
	"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\n" VERIFY_BODY;
static const char stream[] =
	"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
	"Transfer-Encoding: chunked\r\n\r\n";
static const char event[] = "e\r\ndata: verify\n\n\r\n";
_Static_assert(sizeof VERIFY_BODY == 12 + 1, "Content-Length of the answer");

struct connection {
	bool streams;
	size_t n;
	char head[HEAD_BYTES];
};

struct verify_backend {
	pthread_t thread;
	uint16_t port;
	_Atomic bool stop;
	size_t count;
	uint64_t next_event_ms;
	struct pollfd polls[CONNECTIONS + 1]; /* the first listens */
	struct connection *connections[CONNECTIONS + 1];
};

/* What does not fit into the socket's buffer belongs to a peer that does not read. */
static bool send_all(int fd, const char *bytes, size_t n)
{
	return send(fd, bytes, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static void close_at(struct verify_backend *b, size_t i)
{
	(void)close(b->polls[i].fd);
	free(b->connections[i]);
	b->count--;
	b->polls[i] = b->polls[b->count];
	b->connections[i] = b->connections[b->count];
}

static void accept_all(struct verify_backend *b)
{
	while (b->count <= CONNECTIONS) {
		int fd = accept4(b->polls[0].fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
		struct connection *c = fd < 0 ? NULL : calloc(1, sizeof *c);

		if (c == NULL) {
			if (fd >= 0)
				(void)close(fd);
			return;
		}
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		b->polls[b->count] = (struct pollfd){.fd = fd, .events = POLLIN};
		b->connections[b->count++] = c;
	}
}

/* Requests have no bodies. */
static bool answer_all(struct connection *c, int fd)
{
	for (;;) {
		slice all = slice_of(c->head, c->n);
		size_t end = slice_search(all, SLICE("\r\n\r\n"));
		bool good;

		if (end == c->n)
			return c->n < HEAD_BYTES;
		c->streams = slice_search(slice_first(all, end), SLICE("text/event-stream")) < end;
		good = c->streams ? send_all(fd, stream, sizeof stream - 1)
				  : send_all(fd, answer, sizeof answer - 1);
		if (!good)
			return false;
		c->n -= end + 4;
		memmove(c->head, c->head + end + 4, c->n);
	}
}

static bool read_from(struct connection *c, int fd)
{
	ssize_t n = recv(fd, c->head + c->n, HEAD_BYTES - c->n, 0);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	c->n += (size_t)n;
	return n > 0 && answer_all(c, fd);
}

static void send_events(struct verify_backend *b)
{
	uint64_t now_ms = clock_mono_ms();

	if (now_ms < b->next_event_ms)
		return;
	b->next_event_ms = now_ms + EVENT_MS;
	for (size_t i = b->count; i-- > 1;) {
		if (b->connections[i]->streams &&
		    !send_all(b->polls[i].fd, event, sizeof event - 1))
			close_at(b, i);
	}
}

static void *serve(void *context)
{
	struct verify_backend *b = context;

	while (!atomic_load(&b->stop)) {
		if (poll(b->polls, b->count, TURN_MS) > 0) {
			for (size_t i = b->count; i-- > 1;) {
				if (b->polls[i].revents != 0 &&
				    !read_from(b->connections[i], b->polls[i].fd))
					close_at(b, i);
			}
			if (b->polls[0].revents != 0)
				accept_all(b);
		}
		send_events(b);
	}
	return NULL;
}

static int listen_on(struct verify_backend *b)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	b->polls[0] = (struct pollfd){.fd = fd, .events = POLLIN};
	b->count = 1;
	if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof at) < 0 ||
	    listen(fd, SOMAXCONN) < 0 || getsockname(fd, (struct sockaddr *)&at, &n) < 0)
		return -errno;
	b->port = ntohs(at.sin_port);
	return 0;
}

int verify_backend_start(struct verify_backend **backend, struct weir_error *e)
{
	struct verify_backend *b = calloc(1, sizeof *b);
	int r = b == NULL ? -ENOMEM : listen_on(b);

	if (r == 0)
		r = -pthread_create(&b->thread, NULL, serve, b);
	if (r == 0) {
		*backend = b;
		return 0;
	}
	if (b != NULL && b->polls[0].fd >= 0)
		(void)close(b->polls[0].fd);
	free(b);
	return error_set(e, r, "the server behind the proxy: %s", strerror(-r));
}

uint16_t verify_backend_port(const struct verify_backend *backend)
{
	return backend->port;
}

void verify_backend_stop(struct verify_backend **backend)
{
	struct verify_backend *b = *backend;

	if (b == NULL)
		return;
	*backend = NULL;
	atomic_store(&b->stop, true);
	(void)pthread_join(b->thread, NULL);
	for (size_t i = b->count; i-- > 0;) {
		(void)close(b->polls[i].fd);
		free(b->connections[i]);
	}
	free(b);
}
