/*
 * The server side of the connections of one entry point on one loop: accepts, parses HTTP/1, hands
 * exchanges to a handler, sends responses, keeps connections alive, drains. Connections that turn
 * out to be HTTP/2 are handed to h2_server.c.
 */
#ifndef HTTP_H1_SERVER_H
#define HTTP_H1_SERVER_H

#include "core/counter.h"
#include "http/exchange.h"
#include "http/h1_io.h"
#include "http/h2_session.h"
#include "net/listener.h"
#include "net/tls.h"

/**
 * Connections of all servers of one loop, and how many there may be
 * (weir.limits.connectionsPerWorker). At the limit each server takes one more before it notices.
 * Lifetime: `h1_room_init`; outlives the servers.
 */
struct h1_room {
	size_t count, max;
	struct list waiting; /* servers that do not accept because there is no room */
};

/** Room for `max` connections, at least one. */
void h1_room_init(struct h1_room *room, size_t max);

/** All times: 0 means none. */
struct h1_server_options {
	struct h1_limits head;
	uint64_t read_timeout_ms; /* Traefik transport.respondingTimeouts.readTimeout: a whole
				     request */
	uint64_t
		write_timeout_ms; /* …writeTimeout: from the request's head to the response's end */
	uint64_t idle_timeout_ms;  /* …idleTimeout: between requests */
	unsigned keep_alive_s;     /* weir.limits.tcpKeepAlive */
	uint64_t stall_timeout_ms; /* weir.limits.stallTimeout: a client that takes no bytes of its
				      response */
	uint64_t tunnel_idle_ms;   /* weir.limits.tunnelIdle: no byte either way */
	uint64_t tunnel_half_ms; /* weir.limits.tunnelHalfClosed: the same, after one side's end */
	uint64_t keep_alive_max_ms;       /* transport.keepAliveMaxTime */
	uint64_t keep_alive_max_requests; /* transport.keepAliveMaxRequests; 0: any number */
	bool proxy_header; /* Traefik proxyProtocol: connections may begin with such a header */
	const struct address_set *proxy_trusted; /* whose is believed; NULL: anybody's */
	size_t connections_max;                  /* of this server */
	struct h1_room *room;                    /* that it shares; NULL: none */
	unsigned accept_burst;
	unsigned handshake_burst; /* steps of TLS handshakes per turn of the loop; 0: any number */
	struct h2_options h2;     /* without streams there is no HTTP/2 */
};

/* X(NAME, kind, help): counters of one server, written by its loop only. */
#define H1_SERVER_COUNTERS(X) \
	X(connections, COUNTER, "Connections accepted") \
	X(open, GAUGE, "Connections that are not closed") \
	X(requests, COUNTER, "Requests whose head was complete") \
	X(bad_requests, COUNTER, "Requests refused for their syntax or size") \
	X(heads_too_large, COUNTER, "Requests refused at the limits of heads") \
	X(targets_too_long, COUNTER, "Requests refused at the limit of targets") \
	X(read_timeouts, COUNTER, "Connections closed by the read timeout") \
	X(write_timeouts, COUNTER, "Connections closed by the write timeout") \
	X(idle_timeouts, COUNTER, "Connections closed by the idle timeout") \
	X(stalled, COUNTER, "Connections closed because the client took no bytes") \
	X(aborted, COUNTER, "Exchanges whose client went away") \
	X(h2_connections, COUNTER, "Connections that speak HTTP/2") \
	X(h2_resets, COUNTER, "Streams that the client reset") \
	X(h2_refused, COUNTER, "Streams refused for their syntax, or because memory was short") \
	X(h2_floods, COUNTER, "HTTP/2 connections closed at the limit of control frames") \
	X(accept_paused, COUNTER, "Times that accepting was paused at a connection limit") \
	X(accept_exhausted, COUNTER, \
	  "Times that no connection could be accepted for lack of descriptors or memory") \
	X(tunnels, COUNTER, "Connections that became tunnels: their protocol was switched") \
	X(tunnels_open, GAUGE, "Tunnels that are not closed") \
	X(tunnel_timeouts, COUNTER, "Tunnels closed because no byte came for too long") \
	X(proxy_headers, COUNTER, "Headers of the PROXY protocol") \
	X(bad_proxy_headers, COUNTER, "Connections closed because such a header was malformed") \
	X(tls_handshakes, COUNTER, "TLS handshakes completed") \
	X(tls_resumed, COUNTER, "TLS handshakes that took up an earlier session") \
	X(tls_failures, COUNTER, "TLS handshakes that failed") \
	X(tls_timeouts, COUNTER, "TLS handshakes ended by the read timeout") \
	X(tls_deferred, COUNTER, "Times that a TLS handshake had to wait for the loop's next turn")

struct h1_server_counters {
#define X(name, kind, help) _Atomic uint64_t name;
	H1_SERVER_COUNTERS(X)
#undef X
};

#define H1_SERVER_MAGIC 0x68317372u

struct h1_server;

/** Takes a new exchange (phase NEW, request filled in): calls `exchange_start` or
 * `exchange_refuse`, now or later. */
typedef void h1_server_handle_fn(struct h1_server *, struct exchange *);

/** Embedded in its owner. One loop. Lifetime: `h1_server_start` … `h1_server_stop` … `stopped`. */
struct h1_server {
	uint32_t magic;
	struct loop *loop;
	struct exchange_pool *exchanges;
	struct h1_server_options options;
	h1_server_handle_fn *handle;
	/** What new TLS connections get, borrowed; it may return NULL: they are closed. Set after
	 * the start; NULL: there is no TLS. */
	struct tls_acceptor *(*acceptor)(struct h1_server *);
	uint64_t handshake_turn; /* of the loop, in which `handshakes` took place */
	unsigned handshakes;
	void *owner;
	struct listener listener;
	bool listening;
	bool draining;
	struct list waiting; /* in the room's list */
	struct list connections;
	size_t connection_count;
	void (*stopped)(struct h1_server *);
	struct h1_server_counters counters;
};

/** Serves the listening socket `fd`, which it owns on success. Returns 0 or a negative errno value.
 */
int h1_server_start(struct h1_server *s, struct loop *loop, struct exchange_pool *exchanges, int fd,
		    const struct h1_server_options *options, h1_server_handle_fn *handle,
		    void *owner);

/** Stops accepting and closes idle connections; others end after their exchange. `stopped` is
 * called once none is left. */
void h1_server_drain(struct h1_server *s, void (*stopped)(struct h1_server *));

/** After `h1_server_drain`: closes the remaining connections at once. */
void h1_server_abort(struct h1_server *s);

#endif
