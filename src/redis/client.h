/*
 * One loop's part of a Redis server: a few connections on which queries are pipelined. Queries wait
 * while a connection is being opened, are bounded in number and time, and fail at once while the
 * server cannot be reached.
 */
#ifndef REDIS_CLIENT_H
#define REDIS_CLIENT_H

#include "core/counter.h"
#include "core/error.h"
#include "net/loop.h"
#include "net/tls_connector.h"
#include "redis/codec.h"

/* X(NAME, kind, help): counters of one loop. */
#define REDIS_COUNTERS(X) \
	X(connections, COUNTER, "Connections to Redis that were opened and accepted") \
	X(open, GAUGE, "Connections to Redis, those that are being opened included") \
	X(connect_failures, COUNTER, "Connections that could not be opened, or were refused") \
	X(lost, COUNTER, "Connections that ended while queries were in progress") \
	X(queries, COUNTER, "Queries to Redis") \
	X(waiting, GAUGE, "Queries that wait for a connection") \
	X(in_flight, GAUGE, "Queries that were sent and have no answer yet") \
	X(repeated, COUNTER, "Queries that were sent again because their connection was lost") \
	X(timeouts, COUNTER, "Queries that had no answer in time") \
	X(errors, COUNTER, "Answers of Redis that are errors") \
	X(failed, COUNTER, "Queries without an answer") \
	X(refused, COUNTER, "Of these, those that came when too many were in progress")

struct redis_counters {
#define X(name, kind, help) _Atomic uint64_t name;
	REDIS_COUNTERS(X)
#undef X
};

/** How to reach a server. Texts are borrowed. */
struct redis_options {
	slice host; /* a name or an address without brackets, or the path of a socket */
	uint16_t port;
	slice username; /* empty: the default user */
	slice password; /* and no user name: nobody logs in */
	int64_t db;
	struct tls_connector *tls; /* NULL: plain */
	/* On each loop. */
	size_t connections_max;
	size_t idle_min; /* connections that are kept open */
	size_t queries_max;
	uint64_t dial_timeout_ms; /* until a connection can be used */
	uint64_t read_timeout_ms; /* for the answer to a query */
	uint64_t write_timeout_ms;
	unsigned keep_alive_s; /* weir.limits.tcpKeepAlive */
};

struct redis_client;
struct redis_connection;

/** One command. Embedded, zeroed; the caller fills in the first part and keeps it until `done` or
 * `redis_query_cancel`. */
struct redis_query {
	slice command; /* as of `redis_command` */
	bool asking;   /* the server is asked although it does not have the key's slot yet */
	/** Once, unless cancelled: `code` is 0 with a reply, which is borrowed and may be an error,
	 * or a negative errno value. */
	void (*done)(struct redis_query *, int code, const struct redisReply *reply);

	/* Its own. */
	struct redis_client *client; /* NULL: not in progress */
	struct redis_connection *connection;
	struct list link;
	struct timer timer;
	bool waits;
	bool repeated;
};

/** `options` and `counters` outlive the client. Returns 0 or -ENOMEM. Connects to nobody yet. */
int redis_client_create(struct redis_client **client, struct loop *loop,
			const struct redis_options *options, struct redis_counters *counters);

/** No query may be in progress. `counters` are used until the loop has closed the connections. */
void redis_client_destroy(struct redis_client **client);

/** Opens the connections that are to be there before there is a query. */
void redis_client_prepare(struct redis_client *k);

/** Sends the query; `done` may be called within. What fails with its connection is sent once more,
 * so that the server may have seen it twice. */
void redis_query_start(struct redis_query *q, struct redis_client *k);

/** `done` will not be called. Harmless if the query is not in progress. */
void redis_query_cancel(struct redis_query *q);

#endif
