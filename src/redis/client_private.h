/*
 * Private to client*.c: the connection, and what the parts call of each other.
 *
 *   client.c          queries, the choice of a connection, ends
 *   client_connect.c  name, addresses, TLS, logging in
 *   client_io.c       sending queries, receiving replies
 */
#ifndef REDIS_CLIENT_PRIVATE_H
#define REDIS_CLIENT_PRIVATE_H

#include "core/str.h"
#include "net/dial.h"
#include "redis/client.h"

/* Queries in flight on one connection, at most. */
#define REDIS_PIPELINE_MAX 128u
/* The last one may need two replies. */
#define REDIS_PLACES (REDIS_PIPELINE_MAX + 1)

#define REDIS_CLIENT_MAGIC 0x72646b6cu

/** Lives until its last connection is closed. */
struct redis_client {
	uint32_t magic;
	struct loop *loop;
	const struct redis_options *options; /* NULL once it is destroyed */
	struct redis_counters *counters;
	struct list connections; /* that are not closed */
	size_t count;            /* of these */
	size_t opening;          /* of these, not READY */
	size_t closing;          /* not in the list any more */
	struct list waiting;     /* queries, the oldest first */
	size_t in_progress;      /* queries */
	uint64_t backoff_ms;
	uint64_t backoff_until_ms; /* nobody connects before */
	int last_code;             /* why the last connection failed */
	struct timer keep_timer;   /* for connections that are to be kept open */
};

/* X(NAME) */
#define REDIS_CONNECTION_STATES(X) \
	X(RESOLVING)  /* no socket yet */ \
	X(CONNECTING) /* the socket is connecting */ \
	X(HANDSHAKE)  /* connected; TLS is being agreed on */ \
	X(GREETING)   /* the server is told who we are */ \
	X(READY) \
	X(CLOSED)

enum redis_connection_state {
#define X(name) REDIS_##name,
	REDIS_CONNECTION_STATES(X)
#undef X
};

#define REDIS_CONNECTION_MAGIC 0x7264636eu

/** Owned by its client, in its list until closed. */
struct redis_connection {
	uint32_t magic;
	enum redis_connection_state state;
	struct redis_client *client;
	struct list link;
	struct lookup *lookup;
	struct resolved addresses;
	struct dial dial;
	struct transport io;
	bool has_socket;
	struct tls *tls;    /* owned by `io`; NULL: plain */
	struct timer timer; /* until READY; then of a write that is refused, or of idling */
	struct task flush;
	redisReader *reader;
	size_t unanswered_bytes; /* read since the last complete reply */
	struct str out;
	size_t out_at;      /* what of it was written */
	unsigned greetings; /* replies to come before it is READY */
	bool proved;        /* it has answered a query */
	/* A ring: queries whose replies are to come; NULL: cancelled. */
	struct redis_query *slots[REDIS_PLACES];
	unsigned first, in_flight;
};

/* client.c */

/** A connection without socket, in the client's list. NULL when memory is short. */
struct redis_connection *redis_connection_new(struct redis_client *k);

/** Closes the connection; its queries must have been taken away. It may be freed at once. */
void redis_connection_close(struct redis_connection *c);

/** The connection cannot be used (any more): closes it, and sends its queries again or fails them.
 * `why` (NULL: `code` says it all) is for the log. */
void redis_connection_fail(struct redis_connection *c, int code, const char *why);

/** The connection is READY. */
void redis_connection_is_ready(struct redis_connection *c);

/** The reply to the query that was sent first, which may be cancelled. */
void redis_connection_answered(struct redis_connection *c, const struct redisReply *reply);

/** There is room on some connection: waiting queries go. */
void redis_client_send_waiting(struct redis_client *k);

/* client_connect.c */

/** Opens one more connection; may fail it, and all waiting queries, within. */
void redis_client_connect(struct redis_client *k);

/* client_io.c */

/** Whether one more query can be put on it. */
bool redis_connection_has_room(const struct redis_connection *c);

/** Puts the query behind the others; it is written in this turn of the loop. */
void redis_connection_send(struct redis_connection *c, struct redis_query *q);

/** Writes what is in `out`, now or when the socket takes it. */
void redis_connection_flush(struct task *t);

/** The transport's callback once it is connected, with TLS if it is to have it. */
void redis_connection_on_ready(struct transport *t, int events);

/** Arms the timer after which a connection without queries is closed. */
void redis_connection_idle(struct redis_connection *c);

#endif
