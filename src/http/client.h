/*
 * The client side of HTTP: kept-alive connections of one loop to one endpoint, and calls on them,
 * one at a time with HTTP/1.1, many with HTTP/2 (h2_client.c): by prior knowledge, or where a
 * server chooses it, which is then expected of it again. A call is a request with a body that
 * streams in and a response whose body streams out; the proxy's services and sub-requests are built
 * on it.
 */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include "core/counter.h"
#include "http/body.h"
#include "http/h1.h"
#include "net/resolver.h"
#include "net/tls.h"

/** All times: 0 means none. */
struct client_options {
	uint64_t connect_timeout_ms;         /* Traefik forwardingTimeouts.dialTimeout */
	uint64_t response_header_timeout_ms; /* …responseHeaderTimeout */
	uint64_t idle_timeout_ms;            /* …idleConnTimeout */
	size_t idle_max;                     /* maxIdleConnsPerHost, per loop */
	size_t connections_max; /* weir.limits.upstreamConnections, per loop and endpoint */
	uint64_t dns_ttl_ms;    /* weir.limits.dnsCache */
	unsigned keep_alive_s;  /* weir.limits.tcpKeepAlive */
	uint64_t
		continue_timeout_ms; /* wait for 100 before the body is sent anyway; Traefik: 1 s */
	struct h1_limits head;
	uint64_t handshake_timeout_ms; /* weir.limits.upstreamHandshake */
	struct tls_connector *tls;     /* borrowed; NULL: plain connections */
	bool h2;                       /* HTTP/2, by prior knowledge */
	uint64_t hold_max_ms;          /* weir.limits.upstreamHold */
	bool offer_h2;                 /* with `tls`: HTTP/2 if the server chooses it (ALPN) */
	/* With HTTP/2. */
	uint32_t window_bytes;         /* what may wait for the receiver of a response */
	uint64_t read_idle_timeout_ms; /* …readIdleTimeout: silence before a probe; 0: no probes */
	uint64_t ping_timeout_ms;      /* …pingTimeout: for its answer; 0: 15 s, as in Go */
};

/* X(NAME, kind, help): counters of one or more clients of a loop, written by the loop only. */
#define CLIENT_COUNTERS(X) \
	X(calls, COUNTER, "Calls started") \
	X(connections, COUNTER, "Connections opened") \
	X(open, GAUGE, "Connections that are not closed") \
	X(idle, GAUGE, "Connections that are kept alive without a call") \
	X(idle_refused, COUNTER, "Connections that were closed because enough were idle") \
	X(connect_failures, COUNTER, "Connections that could not be opened") \
	X(holds, COUNTER, "Times that a server was left out because it could not be reached") \
	X(passed_over, COUNTER, \
	  "Requests that went to another server than the one whose turn it was, which was left " \
	  "out") \
	X(reused, COUNTER, "Calls on a kept-alive connection") \
	X(waiting, GAUGE, "Calls that wait for a connection that they may share") \
	X(h2_connections, COUNTER, "Connections opened that speak HTTP/2") \
	X(h2_goaways, COUNTER, "HTTP/2 connections whose server wanted no more calls on them") \
	X(h2_lost, COUNTER, "HTTP/2 connections closed because a probe was not answered") \
	X(tls_handshakes, COUNTER, "TLS handshakes completed") \
	X(tls_resumed, COUNTER, "TLS handshakes that took up an earlier session") \
	X(tls_failures, COUNTER, "TLS handshakes that failed") \
	X(retried, COUNTER, "Calls repeated because a kept-alive connection had gone stale") \
	X(refused, COUNTER, "Calls refused at the connection limit") \
	X(bad_responses, COUNTER, "Calls whose response was malformed or too large") \
	X(timeouts, COUNTER, "Calls that ran into a time-out") \
	X(switched, COUNTER, "Calls whose server switched protocols") \
	X(bad_switches, COUNTER, "Calls whose server switched to a protocol nobody had asked for")

struct client_counters {
#define X(name, kind, help) _Atomic uint64_t name;
	CLIENT_COUNTERS(X)
#undef X
};

#define CLIENT_MAGIC 0x636c6965u

/**
 * What all clients of one loop count together, and how many idle connections they may have
 * (weir.limits.idleUpstreamConnections).
 */
struct client_totals {
	size_t idle_max;
	struct client_counters counters;
};

/** What the endpoint chose last, when it had the choice. */
enum client_speaks {
	CLIENT_SPEAKS_UNKNOWN,
	CLIENT_SPEAKS_HTTP1,
	CLIENT_SPEAKS_HTTP2,
};

/** One per endpoint and loop. Lifetime: `client_create` … `client_destroy`. */
struct client {
	uint32_t magic;
	struct loop *loop;
	struct client_totals *totals; /* NULL: none */
	struct client_options options;
	char *host; /* without brackets; or the path of a Unix socket */
	uint16_t port;
	bool numeric;
	struct list idle; /* the most recently used first */
	struct list busy;
	struct list resolving; /* connections that wait for the address */
	enum client_speaks speaks;
	struct list shared;  /* open connections with HTTP/2 */
	struct list waiting; /* calls, for the connection that is being opened and may be shared */
	bool opening;        /* one is, or its server has not said yet how many calls it takes */
	struct task place;   /* the calls that wait */
	size_t idle_count, connection_count;
	size_t closing_count; /* of the connections: closed, but not yet freed by the loop */
	struct resolved addresses;
	uint64_t addresses_until_ms;
	uint64_t report_ms; /* when the log may say again that the system lacks something */
	struct sockaddr_storage preferred; /* it answered when others did not; of no family: none */
	unsigned preference;               /* counts how often that has changed */
	struct lookup *lookup;
	SSL_SESSION *session;             /* to take up; NULL: none */
	struct weir_error *refusal;       /* NULL; else the owner's: gets why a handshake failed */
	bool destroyed;                   /* freed when the last connection has closed */
	struct client_counters *counters; /* those of `totals`, or its own */
	struct client_counters own_counters;
};

/** `totals` outlives the client and its connections; NULL: none. It takes a reference of
 * `options->tls`. Returns 0 or -ENOMEM. */
int client_create(struct client **client, struct loop *loop, slice host, uint16_t port,
		  const struct client_options *options, struct client_totals *totals);

/** No call may be in progress. Closes the idle connections. */
void client_destroy(struct client **client);

#define CALL_MAGIC 0x63616c6cu

struct client_connection;
struct h2_call;

/**
 * One request and its response. The caller owns it and all it points to, until `complete` is set or
 * `client_cancel` was called. Callbacks run on the loop, never within `client_start`'s caller
 * unless stated.
 */
struct client_call {
	uint32_t magic;
	/* From the caller. */
	const struct request
		*request; /* method, version and fields; framing says how the body goes out */
	slice target;     /* of the request line */
	struct body *request_body;
	struct arena *arena; /* for the response's head */
	struct response *response;
	struct body *response_body; /* initialised, without producer */
	struct fields *response_trailers;
	/** The final head is in `response`; body bytes may be in `response_body` already. May
	 * cancel the call, free it if `complete`. After a 101 to the protocol that the request
	 * asked for nothing is read or written before `client_tunnel`. */
	void (*responded)(struct client_call *);
	/** A 1xx response, which is the receiver's to change. NULL: ignored. */
	void (*informed)(struct client_call *, struct response *);
	/** No response could be had: negative errno (-ETIMEDOUT, -ECONNREFUSED, -ECONNRESET,
	 * -EPROTO, -EKEYREJECTED for a server that is not believed, -EBUSY, -ENOMEM …). The call
	 * is over. */
	void (*failed)(struct client_call *, int code);
	/** After `responded`: the call is over; the body has been ended or aborted, its consumer is
	 * told next. Not called if `complete` was set before `responded`. */
	void (*done)(struct client_call *);
	/* The client's. */
	struct client *client;
	struct client_connection *connection;
	bool complete; /* the client is done with it */
	bool head_received;
	bool retried;
	bool spared;        /* a connection that it waited for could not be opened */
	bool sent;          /* bytes of the request may have arrived at the server */
	struct h2_call *h2; /* with HTTP/2; NULL: not on a connection yet */
	struct list link;   /* among those that wait */
};

/** Takes a connection and sends the request. `failed` may be called within. */
void client_start(struct client *k, struct client_call *call);

/**
 * After 101: the connection carries the bytes of `up` to the server and its bytes to `down`, both
 * initialised. A side's end is passed on while the other one goes on; `done` is called when both
 * have ended, or nothing can be sent any more, and then the consumer of `down` is told.
 */
void client_tunnel(struct client_call *call, struct body *up, struct body *down);

/** Lets go: its connection is closed; a tunnel's is reset. Not after `complete`. */
void client_cancel(struct client_call *call);

#endif
