/*
 * Connecting to one of a host's addresses, one after the other: each but the last has a moment to
 * answer, and a Unix socket whose queue is full is tried again, as the kernel does with TCP. Timers
 * and transports are the caller's.
 */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include "net/resolver.h"
#include "net/transport.h"

/** How long an address may take while there are others; the kernel has asked it twice then. */
#define DIAL_PATIENCE_MS 3000u

/** X(NAME) */
#define DIAL_STEPS(X) \
	X(CONNECTING) /* the transport is open and on its way; its time may come to an end */ \
	X(WAITING)    /* nothing is open; to be called again */ \
	X(FAILED)     /* no address is left, or no time; `error` says why */

enum dial_step {
#define X(name) DIAL_##name,
	DIAL_STEPS(X)
#undef X
};

/** Embedded in a connection. Plain value. */
struct dial {
	size_t next;       /* the address that is tried next */
	int error;         /* why the last one failed; the caller says so once it was connecting */
	uint64_t until_ms; /* of the loop's clock */
	uint64_t pause_ms; /* before the next look at a full queue; 0: none was full */
};

/** The time for all of it begins, the lookup of the name included; 0: no end. */
void dial_begin(struct dial *d, const struct loop *loop, uint64_t timeout_ms);

/** What is left of it, at least 1; 0: there is no end. */
uint64_t dial_left_ms(const struct dial *d, const struct loop *loop);

/**
 * Begins to connect `t`, which is not open, to the next of the addresses; `on_ready` is called when
 * that has succeeded or failed (`transport_socket_error`). After `*wait_ms` (0: never) the caller
 * gives up the one that is CONNECTING, or goes on WAITING. `keep_alive_s` as of
 * `transport_keep_alive`.
 */
enum dial_step dial_next(struct dial *d, struct loop *loop, const struct resolved *to,
			 unsigned keep_alive_s, struct transport *t,
			 void (*on_ready)(struct transport *, int events), uint64_t *wait_ms);

#endif
