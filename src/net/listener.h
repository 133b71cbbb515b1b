/*
 * Listening sockets: made once by the control thread, then served by one loop each.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <sys/socket.h>

#include "net/address.h"
#include "net/transport.h"

/** Connections that may wait to be accepted, if the system allows as many. */
#define LISTENER_BACKLOG 4096

/**
 * Opens `count` listening TCP sockets on one address (no host, `0.0.0.0` or `::`: all addresses,
 * IPv6 and IPv4, as in Traefik; of a name's addresses the first of IPv4, if there is any), which
 * share its connections (SO_REUSEPORT). Unless `shared`, fails with -EADDRINUSE if anybody else
 * listens there, after a moment's patience: a process that was just killed may still be on its
 * way out. A port of 0 takes a free one. Returns 0, or a negative errno value with no socket
 * open and `e` filled in.
 */
int listener_bind(const struct listen_address *address, bool shared, int *fds, size_t count,
		  struct weir_error *e);

/** What connections take over from a listening TCP socket, also one that somebody else has made:
 * small responses must not wait for acknowledgements. Returns 0 or a negative errno value. */
int listener_set_options(int fd);

#define LISTENER_MAGIC 0x6c697374u

struct listener;

/**
 * A new connection: the callee owns `fd`, which does not block. Returns false to have accepting
 * paused (until `listener_resume`), for example at a connection limit.
 */
typedef bool listener_accept_fn(struct listener *, int fd, const struct sockaddr_storage *peer);

/** Embedded in its owner; one loop. Lifetime: `listener_start` … `listener_stop` … callback. */
struct listener {
	uint32_t magic;
	struct loop *loop;
	struct transport socket;
	listener_accept_fn *accept;
	unsigned burst; /* connections taken per turn of the loop */
	bool paused;
	struct timer retry; /* after the process has run out of descriptors or memory */
	void (*stopped)(struct listener *);
	_Atomic uint64_t *exhausted; /* counts how often that happened */
	uint64_t report_ms;          /* when the log may say so again */
};

/** Takes over `fd` on success. `exhausted` counts connections that could not be taken. Returns 0 or
 * a negative errno value. */
int listener_start(struct listener *l, struct loop *loop, int fd, unsigned burst,
		   listener_accept_fn *accept, _Atomic uint64_t *exhausted);

/** Takes no connection until `listener_resume`. Right after the start. */
void listener_pause(struct listener *l);

/** Takes connections again after `accept` or `listener_pause` has paused the listener. Harmless
 * otherwise. */
void listener_resume(struct listener *l);

/** For `accept`, when there is no memory for the connection: closes it and says so. Returns true.
 */
bool listener_turn_away(struct listener *l, int fd);

/** Accepts what waits in the backlog unless paused, then closes the socket; `stopped` runs later.
 */
void listener_stop(struct listener *l, void (*stopped)(struct listener *));

#endif
