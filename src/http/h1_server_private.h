/*
 * Private to h1_server*.c: the connection and what its halves call of each other.
 */
#ifndef HTTP_H1_SERVER_PRIVATE_H
#define HTTP_H1_SERVER_PRIVATE_H

#include "http/h1_server.h"

/* X(NAME): what a connection is doing. */
#define H1_CONNECTION_STATES(X) \
	X(HANDSHAKE) /* TLS, before anything else */ \
	X(IDLE)      /* between requests; no byte of the next one is here */ \
	X(HEAD)      /* some bytes of a head */ \
	X(BUSY)      /* an exchange is in progress */ \
	X(HTTP2)     /* the rest is h2_server.c's */ \
	X(TUNNEL)    /* the protocol is another one now */ \
	X(DRAIN)     /* answered; the rest of the request's body is thrown away */ \
	X(LINGER)    /* our side is closed; waiting for the client to close, so that it reads the \
			response */ \
	X(CLOSED)

enum h1_connection_state {
#define X(name) H1_##name,
	H1_CONNECTION_STATES(X)
#undef X
};

#define H1_CONNECTION_MAGIC 0x68316363u

/** Longest "[address]:port". */
#define PEER_TEXT_MAX 56

/** Owned by its server's list until closed; freed when the transport has closed. */
struct h1_connection {
	uint32_t magic;
	enum h1_connection_state state;
	struct h1_server *server;
	struct list link;
	struct transport io;
	struct tls *tls;          /* owned by `io`; NULL: plain */
	struct timer timer;       /* the time-out of the state: idle, read, linger */
	struct timer write_timer; /* writeTimeout, or a client that takes nothing */
	struct h2_connection *h2; /* in HTTP2 */
	struct task pump;         /* decodes body bytes that are already here */
	struct h1_receiver in;
	struct h1_sender out;
	struct exchange *x;
	uint64_t born_ms;
	uint64_t requests;
	uint64_t drain_bytes; /* in DRAIN: of the body, still to come */
	bool keep_alive;
	bool body_done;     /* the request's body is complete, or has failed */
	bool continue_owed; /* the client waits for 100 before it sends its body */
	bool responding;    /* the final head is made */
	bool in_head;       /* the read time-out runs since the first bytes of the head */
	bool running;       /* `h1_connection_run` is on the stack */
	bool announced;     /* no header of the PROXY protocol comes any more */
	bool shut;          /* in TUNNEL: our end has been sent */
	struct address address;
	uint8_t peer_n, peer_host_at, peer_host_n;
	char peer[PEER_TEXT_MAX];
};

/** What the connection's timer does: it is closed and counted. */
void h1_connection_head_timed_out(struct timer *t);
void h1_connection_idle_timed_out(struct timer *t);

/** Parses what is buffered, as far as the state allows; called after a state change to IDLE and
 * after reads. */
void h1_connection_run(struct h1_connection *c);

/** Writes down who the client is: "192.0.2.1:1234" or "[2001:db8::1]:1234"; an IPv4 client of a
 * dual-stack socket is shown as IPv4. */
void h1_connection_format_peer(struct h1_connection *c, const struct sockaddr_storage *peer);

/** Tells an exchange whom its request is from, and over what. Returns 0 or -ENOMEM. */
int h1_connection_name_client(const struct h1_connection *c, struct exchange *x);

/** What has been read may be a header of the PROXY protocol, which is taken. Returns whether there
 * are bytes behind it; the connection may be closed. Asked before the first request only. */
bool h1_connection_is_announced(struct h1_connection *c);

/** Waits for the first request: the connection is IDLE. */
void h1_connection_open(struct h1_connection *c);

/** Whether what has been read is the beginning of TLS. Asked before the first request only. */
bool h1_connection_begins_tls(const struct h1_connection *c);

/** The connection goes on with TLS, or is closed. */
void h1_connection_begin_tls(struct h1_connection *c);

/** Goes on with the handshake; then the connection is opened, or lingers. */
void h1_connection_handshake(struct h1_connection *c);

/** Closes now; an exchange in progress fails. With `reset` the peer cannot mistake what it got for
 * a whole message. */
void h1_connection_close(struct h1_connection *c, bool reset);

/** Ends our side and waits, within bounds, for the client to close. */
void h1_connection_linger(struct h1_connection *c);

/** Watches for reading, and for writing if `writable`. */
void h1_connection_watch(struct h1_connection *c, bool readable, bool writable);

/** Writes what there is of the response; the exchange may be over afterwards. */
void h1_connection_flush(struct h1_connection *c);

/** After a response: next request, the rest of the body, or the end. */
void h1_connection_next(struct h1_connection *c);

/** Sends a complete error response without an exchange and lingers. */
void h1_connection_reject(struct h1_connection *c, int status);

/** The fields that describe this hop go; what the client learns of the body's length is up to the
 * next two. */
void h1_drop_hop_fields(struct exchange *x, enum framing framing);

/** How the client learns where the response's body ends (RFC 9112 section 6). */
enum framing h1_client_framing(const struct exchange *x);

/** Whether the head has the length of the body, or 0 of one that is missing. */
bool h1_says_length(const struct exchange *x, enum framing framing);
bool h1_says_empty(const struct exchange *x, enum framing framing);

/** Sends 100 Continue if the client still waits for it. */
void h1_connection_continue(struct h1_connection *c);

/** How long a tunnel may be silent: a side that has ended and a silent one are not waited for as
 * long as two that are silent. 0: for ever. */
uint64_t h1_tunnel_patience_ms(const struct h1_server_options *o, const struct tunnel *t);

/** The response is a 101: sends it and begins the tunnel, or closes. */
void h1_connection_switch(struct h1_connection *c);

/** In TUNNEL: writes what there is; the connection may be closed afterwards. */
void h1_connection_tunnel_flush(struct h1_connection *c);

/** In TUNNEL: reads once; the connection may be closed afterwards. */
void h1_connection_tunnel_read(struct h1_connection *c);

/** In TUNNEL: bytes that have been read already go on. */
void h1_connection_tunnel_pump(struct h1_connection *c);

extern const struct exchange_client h1_connection_client;

/** A connection was accepted. Returns whether there is room for another one; if not, accepting goes
 * on by itself once there is. */
bool h1_server_count_opened(struct h1_server *s);

/** A connection is gone. */
void h1_server_count_closed(struct h1_server *s);

#endif
