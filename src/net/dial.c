#include "net/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

/* Pauses between two looks at the full queue of a Unix socket. */
#define QUEUE_PAUSE_MIN_MS 5u
#define QUEUE_PAUSE_MAX_MS 100u

void dial_begin(struct dial *d, const struct loop *loop, uint64_t timeout_ms)
{
	*d = (struct dial){.error = -EHOSTUNREACH,
			   .until_ms =
				   timeout_ms > 0 ? loop_now_ms(loop) + timeout_ms : UINT64_MAX};
}

uint64_t dial_left_ms(const struct dial *d, const struct loop *loop)
{
	uint64_t now = loop_now_ms(loop);

	if (d->until_ms == UINT64_MAX)
		return 0;
	return now < d->until_ms ? d->until_ms - now : 1;
}

static int open_connecting(const struct sockaddr_storage *to, unsigned keep_alive_s)
{
	int fd = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		return -errno;
	if (to->ss_family != AF_UNIX) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		transport_keep_alive(fd, keep_alive_s);
	}
	if (connect(fd, (const struct sockaddr *)to, sockaddr_size(to)) < 0 &&
	    errno != EINPROGRESS) {
		int r = -errno;

		(void)close(fd);
		return r;
	}
	return fd;
}

/* Returns 0, or a negative errno value with no socket open. */
static int connect_to(const struct sockaddr_storage *to, struct loop *loop, unsigned keep_alive_s,
		      struct transport *t, void (*on_ready)(struct transport *, int events))
{
	int fd = open_connecting(to, keep_alive_s), r;

	if (fd < 0)
		return fd;
	r = transport_open(t, loop, fd, on_ready);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	transport_watch(t, TRANSPORT_WRITABLE);
	return 0;
}

/* A server that accepts slowly: with TCP the kernel would try again. */
static uint64_t queue_pause_ms(struct dial *d)
{
	d->pause_ms = MIN(MAX(2 * d->pause_ms, QUEUE_PAUSE_MIN_MS), QUEUE_PAUSE_MAX_MS);
	return d->pause_ms;
}

enum dial_step dial_next(struct dial *d, struct loop *loop, const struct resolved *to,
			 unsigned keep_alive_s, struct transport *t,
			 void (*on_ready)(struct transport *, int events), uint64_t *wait_ms)
{
	while (d->next < to->count) {
		const struct sockaddr_storage *address = &to->addresses[d->next];
		uint64_t left = d->until_ms - MIN(loop_now_ms(loop), d->until_ms);
		int r;

		if (left == 0) {
			d->error = -ETIMEDOUT;
			return DIAL_FAILED;
		}
		r = connect_to(address, loop, keep_alive_s, t, on_ready);
		if (r == -EAGAIN && address->ss_family == AF_UNIX) {
			*wait_ms = MIN(left, queue_pause_ms(d));
			return DIAL_WAITING;
		}
		d->next++;
		d->pause_ms = 0;
		if (r == 0) {
			*wait_ms = d->next < to->count ? MIN(left, DIAL_PATIENCE_MS)
						       : dial_left_ms(d, loop);
			return DIAL_CONNECTING;
		}
		d->error = r;
	}
	return DIAL_FAILED;
}
