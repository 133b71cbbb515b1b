/*
 * Private to client*.c: the connection and what the parts call of each other.
 *
 *   client.c          calls, the pool, ends
 *   client_connect.c  name, addresses, connecting
 *   client_tls.c      the handshake with TLS
 *   client_io.c       sending the request, receiving the response
 *   client_tunnel.c   what follows a 101
 */
#ifndef HTTP_CLIENT_PRIVATE_H
#define HTTP_CLIENT_PRIVATE_H

#include "http/client.h"
#include "http/h1_io.h"
#include "net/dial.h"

/* X(NAME) */
#define CLIENT_CONNECTION_STATES(X) \
	X(RESOLVING)  /* waits for the endpoint's addresses; no socket yet */ \
	X(CONNECTING) /* the socket is connecting */ \
	X(HANDSHAKE)  /* connected; TLS is being agreed on */ \
	X(CALLING)    /* a call is in progress */ \
	X(TUNNEL)     /* the protocol is another one now */ \
	X(SHARED)     /* HTTP/2: the calls are h2_client.c's */ \
	X(IDLE)       /* kept alive */ \
	X(CLOSED)

enum client_connection_state {
#define X(name) CLIENT_##name,
	CLIENT_CONNECTION_STATES(X)
#undef X
};

struct h2_client_connection;

#define CLIENT_CONNECTION_MAGIC 0x636c636fu

/** Owned by its client, in one of its lists until closed. */
struct client_connection {
	uint32_t magic;
	enum client_connection_state state;
	struct client *client;
	struct list link;
	struct transport io;
	struct tls *tls;                 /* owned by `io`; NULL: plain */
	struct h2_client_connection *h2; /* in SHARED */
	bool has_socket;
	struct timer timer; /* connecting, waiting for the head or for 100, idle */
	struct task pump;   /* decodes body bytes that are already here */
	struct h1_receiver in;
	struct h1_sender out;
	struct client_call *call; /* NULL: none */
	uint64_t idle_turn;       /* of the loop, when it became idle */
	uint64_t blind_turn; /* of the loop, when a call was put on it without a look; 0: none */
	bool awaited;        /* being opened; others wait, too, because it may be shared */
	struct dial dial;
	unsigned preference; /* the client's, when `dial` began at the front */
	bool reused;
	bool holds_body;  /* the request's body waits for 100 Continue */
	bool sent;        /* the request is written completely */
	bool send_failed; /* no more can be written; a response may still come */
	bool heard;       /* bytes of a response have come */
	bool received;    /* in TUNNEL: the server's end has come */
};

/* client.c */

/** Closes the connection; its call, if any, must have been taken away. */
void client_connection_close(struct client_connection *c);

/** The call cannot succeed on this connection: repeats it elsewhere if that is safe, else fails it.
 * Closes the connection. */
void client_connection_fail(struct client_connection *c, int code);

/** Puts the call on a connection, or has it wait for one; `failed` may be called within. */
void client_place(struct client *k, struct client_call *call);

/** Opens a connection for the call, for which others wait, too (`awaited`) or not; `failed` may be
 * called within. */
void client_start_on_new(struct client *k, struct client_call *call, bool awaited);

/** From now on it is closed when its time without a call is over. */
void client_connection_wait_idle(struct client_connection *c);

/** Counts connections that become idle (1), or are so no more (-1). */
void client_count_idle(struct client *k, int change);

/** Whether one more connection may be kept without a call. */
bool client_may_idle(const struct client *k);

/** The call, which is on no connection any more, is over without a whole response. */
void client_call_fail(struct client_call *call, int code);

/** Whether what the socket has to say now was there before the call was sent: it is no answer. */
bool client_connection_is_early(const struct client_connection *c);

/** The response is complete: detaches the call, then keeps or closes the connection. */
void client_connection_finish(struct client_connection *c);

/* client_connect.c */

/** Finds the address and connects; ends in `client_connection_connected` or
 * `client_connection_fail`. */
void client_connection_open(struct client_connection *c);

/* client_tls.c */

/** Makes a connected connection one of TLS; then the request is sent, or the call has failed. */
void client_connection_secure(struct client_connection *c);

/** Whether a connection that is open now speaks HTTP/2: by prior knowledge, or by its server's
 * choice. */
bool client_connection_is_h2(const struct client_connection *c);

/** Whether bytes have come that nobody asked for, or the server's end: what the layer keeps for
 * itself, such as tickets, is neither. A connection without a call. */
bool client_connection_has_surplus(struct client_connection *c);

/** Keeps what the server has offered for later handshakes. */
void client_connection_keep_session(struct client_connection *c);

/* client_io.c */

/** Sends the call's request on a connected connection. */
void client_connection_send(struct client_connection *c);

/** The transport's callback once it is connected. */
void client_connection_on_ready(struct transport *t, int events);
/** Decodes body bytes that are buffered already; the connection's deferred task. */
void client_connection_pump(struct task *t);

/** Watches for reading and for writing. */
void client_connection_watch(struct client_connection *c, bool readable, bool writable);

/** The response's body has room: the producer's `want`. */
void client_connection_want(struct body *b, void *producer);

/** Stops what the call has attached to the connection: consumer, producer, timers. */
void client_connection_detach(struct client_connection *c);

/* client_tunnel.c */

/** Whether the server may switch to what its 101 says: exactly what the request asks for, and after
 * all of the request. */
bool client_connection_may_switch(const struct client_connection *c);

/** Its 101 is the call's response: reading stops until `client_tunnel`. */
void client_connection_switch(struct client_connection *c);

/** In TUNNEL: the socket is ready. */
void client_connection_tunnel_ready(struct client_connection *c, int events);

/** In TUNNEL: bytes that have been read already go on. */
void client_connection_tunnel_pump(struct client_connection *c);

#endif
