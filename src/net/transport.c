#include "net/transport.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

/* Copying so much costs less than what the kernel needs for a list of pieces. */
#define JOINED_BYTES 2048u

void transport_keep_alive(int fd, unsigned seconds)
{
	const int on = seconds > 0, period = (int)seconds, probes = 9;

	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	if (seconds == 0)
		return;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &period, sizeof period);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &period, sizeof period);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

int transport_socket_error(const struct transport *t)
{
	int problem = 0;
	socklen_t size = sizeof problem;

	if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &problem, &size) < 0)
		problem = errno;
	return -problem;
}

static void start_polling(struct transport *t);

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct transport *t = container_of(poll, struct transport, poll);
	int ready = 0;

	OBJ_CHECK(t, TRANSPORT_MAGIC);
	t->loop->told++;
	if (status < 0) {
		/* libuv stops polling at an error, which the reads and writes that follow must
		 * find: there may be data before it. */
		ready = t->watched & (TRANSPORT_READABLE | TRANSPORT_WRITABLE);
		start_polling(t);
	}
	if (events & UV_READABLE)
		ready |= TRANSPORT_READABLE;
	if (events & UV_WRITABLE)
		ready |= TRANSPORT_WRITABLE;
	if (events & UV_DISCONNECT)
		ready |= TRANSPORT_HUNG_UP;
	if (ready != 0)
		t->on_ready(t, ready);
}

int transport_open(struct transport *t, struct loop *loop, int fd,
		   void (*on_ready)(struct transport *, int events))
{
	int r;

	*t = (struct transport){.fd = fd, .loop = loop, .on_ready = on_ready};
	r = uv_poll_init_socket(&loop->uv, &t->poll, fd);
	if (r < 0)
		return r;
	t->magic = TRANSPORT_MAGIC;
	return 0;
}

static void start_polling(struct transport *t)
{
	int wanted = 0;

	if (t->watched & TRANSPORT_READABLE)
		wanted |= UV_READABLE;
	if (t->watched & TRANSPORT_WRITABLE)
		wanted |= UV_WRITABLE;
	if (t->watched & TRANSPORT_HUNG_UP)
		wanted |= UV_DISCONNECT;
	if (wanted == 0)
		(void)uv_poll_stop(&t->poll);
	else
		must(uv_poll_start(&t->poll, wanted, on_poll) == 0);
}

void transport_watch(struct transport *t, int events)
{
	OBJ_CHECK(t, TRANSPORT_MAGIC);
	if (events == t->watched || t->closing)
		return;
	t->watched = events;
	start_polling(t);
	if (t->ops != NULL && (events & TRANSPORT_READABLE))
		t->ops->reading(t);
}

ssize_t transport_socket_read(struct transport *t, void *to, size_t n)
{
	ssize_t r;

	do {
		r = recv(t->fd, to, n, 0);
	} while (r < 0 && errno == EINTR);
	return r >= 0 ? r : errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

/* Puts all pieces into one if they are small. Returns its size, or 0. */
static size_t join_pieces(char to[JOINED_BYTES], const struct iovec *v, int count)
{
	size_t n = 0;

	for (int i = 0; i < count; i++) {
		if (v[i].iov_len > JOINED_BYTES - n)
			return 0;
		memcpy(to + n, v[i].iov_base, v[i].iov_len);
		n += v[i].iov_len;
	}
	return n;
}

ssize_t transport_socket_writev(struct transport *t, const struct iovec *v, int count)
{
	struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)v, .msg_iovlen = (size_t)count};
	char joined[JOINED_BYTES];
	struct iovec one = {joined, count > 1 ? join_pieces(joined, v, count) : 0};
	ssize_t r;

	if (one.iov_len > 0) {
		v = &one;
		count = 1;
	}
	do {
		r = count == 1 ? send(t->fd, v->iov_base, v->iov_len, MSG_NOSIGNAL)
			       : sendmsg(t->fd, &m, MSG_NOSIGNAL);
	} while (r < 0 && errno == EINTR);
	return r >= 0 ? r : errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

static void on_poll_closed(uv_handle_t *handle)
{
	struct transport *t = container_of(handle, struct transport, poll);

	OBJ_CHECK(t, TRANSPORT_MAGIC);
	t->magic = 0;
	t->on_closed(t);
}

void transport_close(struct transport *t, void (*on_closed)(struct transport *))
{
	OBJ_CHECK(t, TRANSPORT_MAGIC);
	must(!t->closing);
	t->closing = true;
	t->on_closed = on_closed;
	if (t->ops != NULL)
		t->ops->close(t);
	(void)uv_poll_stop(&t->poll);
	uv_close((uv_handle_t *)&t->poll, on_poll_closed);
	(void)close(t->fd);
	t->fd = -1;
}

void transport_shutdown(struct transport *t)
{
	OBJ_CHECK(t, TRANSPORT_MAGIC);
	if (t->ops != NULL)
		t->ops->shutdown(t);
	(void)shutdown(t->fd, SHUT_WR);
}

void transport_reset_on_close(struct transport *t)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	OBJ_CHECK(t, TRANSPORT_MAGIC);
	t->reset = true;
	(void)setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}
