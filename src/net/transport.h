/*
 * A stream socket on a loop: readiness, reading and writing without blocking. A layer such as TLS
 * (net/tls.h) takes the same place through `ops`.
 */
#ifndef NET_TRANSPORT_H
#define NET_TRANSPORT_H

#include <sys/types.h>
#include <sys/uio.h>

#include "net/loop.h"

enum transport_events { TRANSPORT_READABLE = 1, TRANSPORT_WRITABLE = 2, TRANSPORT_HUNG_UP = 4 };

struct transport;

/** What a layer above the socket replaces. All return bytes, 0 at the peer's end of data (reads
 * only), -EAGAIN, or another negative errno. */
struct transport_ops {
	ssize_t (*read)(struct transport *, void *to, size_t n);
	ssize_t (*writev)(struct transport *, const struct iovec *v, int count);
	void (*reading)(struct transport *);  /* from now on it is watched for reading */
	void (*shutdown)(struct transport *); /* before FIN */
	void (*close)(struct transport *);    /* frees the layer, before the socket is closed */
};

#define TRANSPORT_MAGIC 0x74726e73u

/** Embedded in a connection. Lifetime: `transport_open` … `transport_close` … its callback, in
 * which the owner frees it. */
struct transport {
	uint32_t magic;
	int fd;
	int watched; /* transport_events that are being polled for */
	bool closing;
	bool reset; /* the close will be abortive */
	struct loop *loop;
	const struct transport_ops *ops; /* NULL: the bare socket */
	void *layer;                     /* of `ops` */
	void (*on_ready)(struct transport *, int events);
	void (*on_closed)(struct transport *);
	uv_poll_t poll;
};

/**
 * Takes over a connected or connecting non-blocking stream socket. Nothing is watched yet. Returns
 * 0 or a negative errno value; on failure the descriptor stays the caller's.
 */
int transport_open(struct transport *t, struct loop *loop, int fd,
		   void (*on_ready)(struct transport *, int events));

/**
 * The other end of a TCP socket is asked whether it is still there, when nothing has come from it
 * for so long, and as long after each question; after nine without an answer the connection fails.
 * 0: never. For a listening socket: what it accepts inherits that.
 */
void transport_keep_alive(int fd, unsigned seconds);

/** What has befallen the socket: 0, or a negative errno value, which is then forgotten. */
int transport_socket_error(const struct transport *t);

/** Sets what `on_ready` is called for; costs a system call only when it changes. */
void transport_watch(struct transport *t, int events);

static inline ssize_t transport_read(struct transport *t, void *to, size_t n);
static inline ssize_t transport_writev(struct transport *t, const struct iovec *v, int count);

/** Nothing is called after this but `on_closed`, from a later turn of the loop. */
void transport_close(struct transport *t, void (*on_closed)(struct transport *));

/** Announces the end of our data (FIN); reading goes on. */
void transport_shutdown(struct transport *t);

/** Makes the close an abortive one (RST), so that the peer cannot take a cut-off message for a
 * whole one. */
void transport_reset_on_close(struct transport *t);

/* inline definitions */
ssize_t transport_socket_read(struct transport *t, void *to, size_t n);
ssize_t transport_socket_writev(struct transport *t, const struct iovec *v, int count);

static inline ssize_t transport_read(struct transport *t, void *to, size_t n)
{
	return t->ops == NULL ? transport_socket_read(t, to, n) : t->ops->read(t, to, n);
}

static inline ssize_t transport_writev(struct transport *t, const struct iovec *v, int count)
{
	return t->ops == NULL ? transport_socket_writev(t, v, count) : t->ops->writev(t, v, count);
}

#endif
