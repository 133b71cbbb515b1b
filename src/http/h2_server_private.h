/*
 * Private to h2_server*.c: a connection, a request on it, and what the parts call of each other.
 *
 *   h2_server.c           connections: begin, life, end
 *   h2_server_request.c   from header lines to an exchange
 *   h2_server_response.c  from the exchange to frames
 *   h2_server_tunnel.c    extended CONNECT and what follows
 */
#ifndef HTTP_H2_SERVER_PRIVATE_H
#define HTTP_H2_SERVER_PRIVATE_H

#include "http/h2_server.h"

/* X(NAME): how far the end is. */
#define H2_LIVES(X) \
	X(SERVING) \
	X(NOTICED) /* the client has been asked to begin no more; the answer to a ping says that \
		      it knows */ \
	X(LEAVING) /* no further stream is taken */

enum h2_life {
#define X(name) H2_##name,
	H2_LIVES(X)
#undef X
};

#define H2_CONNECTION_MAGIC 0x68326363u

struct h2_connection {
	uint32_t magic;
	enum h2_life life;
	struct h1_connection *carrier;
	struct h2_session session;
};

/** One request and its response, in its exchange's arena. */
struct h2_request {
	struct h2_stream stream;
	struct h2_connection *connection;
	struct exchange *x;
	struct timer read_timer;  /* readTimeout: the whole request */
	struct timer write_timer; /* writeTimeout: until the response is sent */
	slice authority, scheme, protocol;
	struct body *early; /* of extended CONNECT: bytes before the tunnel; NULL: it is none */
	slice key;          /* made for it, Sec-WebSocket-Key */
	size_t head_bytes, lines; /* as the limits count them */
	unsigned crumbs;          /* Cookie lines */
	int refusal;              /* 431, 503: a status to refuse with; 0: none */
	bool begun;               /* the head was complete */
	bool continue_owed;       /* the client waits for 100 before it sends its body */
	bool responding;
	bool lingers; /* the stream is over, but the service has not passed on all of it */
};

static inline struct h2_request *h2_request_of(struct h2_stream *stream)
{
	return container_of(stream, struct h2_request, stream);
}

/* h2_server_request.c */

/** `begin` and `field` of h2_session_ops. */
struct h2_stream *h2_request_new(struct h2_session *s, int32_t id);
void h2_request_field(struct h2_stream *stream, slice name, slice value, bool trailer);

/** The head is complete: hands the exchange to the server's handler. */
void h2_request_start(struct h2_request *r);

/** The stream is over, and with it the exchange. */
void h2_request_end(struct h2_request *r, bool failed);

/* h2_server_response.c */

extern const struct exchange_client h2_request_client;

/** Sends the response's head with this status code; what is in `from` follows, as `framing` says.
 * Returns 0 or -ENOMEM. */
int h2_request_submit(struct h2_request *r, int code, struct body *from, enum framing framing);

/** The `ready` of a body that is sent; the consumer is the request. */
void h2_request_on_body(struct body *b, void *consumer);

/** Sends 100 Continue if the client still waits for it. */
void h2_request_continue(struct h2_request *r);

/* h2_server_tunnel.c */

/** The head has a `:protocol` (RFC 8441): DATA is kept for the tunnel from now on. Returns false
 * when memory is short. */
bool h2_tunnel_expect(struct h2_request *r);

/** Makes extended CONNECT the upgrade that HTTP/1.1 has for it. Returns H1_DONE or what is wrong.
 */
enum h1_result h2_tunnel_translate(struct h2_request *r);

/** The response is a 101: sends its head and begins the tunnel, or resets the stream. */
void h2_tunnel_switch(struct h2_request *r);

/** Bytes have passed, either way. The request is a tunnel. */
void h2_tunnel_note_activity(struct h2_request *r);

/** The stream of a request is over. Returns whether the service still has bytes of a tunnel to pass
 * on: then the request ends when it has, which may be within the call. */
bool h2_tunnel_linger(struct h2_request *r);

/** The service has passed bytes of such a request on, or is done. */
void h2_tunnel_go_on(struct h2_request *r);

/** Before the exchange ends. */
void h2_tunnel_free(struct h2_request *r);

/* h2_server.c */

/** The stream is over, and so is the request; it may have been its connection's last one. */
void h2_connection_finish(struct h2_request *r, bool failed);

/** The client is asked to begin no more streams here. Harmless if it was. */
void h2_connection_leave(struct h2_connection *h);

#endif
