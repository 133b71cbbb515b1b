/*
 * What an access log wants to know of one request, noted while it is served. Who writes it down is
 * a sink, which the proxy does not know otherwise.
 */
#ifndef PROXY_ACCESS_H
#define PROXY_ACCESS_H

#include <stdatomic.h>

#include "http/exchange.h"

struct access_record;
struct entry_point;
struct route;

/** Where records go. Embedded in its owner; immutable but for the count. */
struct access_sink {
	/** A request is over. On its loop, before the exchange is freed. */
	void (*write)(struct access_sink *, struct exchange *, const struct access_record *);
	bool internals;         /* also requests for internal services */
	bool fields;            /* header fields are wanted as they were */
	_Atomic uint64_t count; /* requests noted since the start */
};

/** What the service was asked and said. */
struct access_origin {
	slice service; /* `p` is NULL: no server was asked */
	slice host;    /* of the server's URL, with its port */
	slice url;
	uint64_t begun_ns;
	uint64_t duration_ns;
	uint64_t bytes; /* of the response's body */
	int status;     /* 0: no response yet */
	bool complete;  /* the response came to its end, or the proxy made one up */
};

/** In the exchange's arena; slices live as long as the exchange. */
struct access_record {
	uint64_t number;
	uint64_t begun_wall_ns; /* since 1970 */
	uint64_t begun_ns;
	uint64_t duration_ns; /* once it is over */
	/* As they were before any middleware; `path` is escaped as in Go's URL.String. */
	slice method, path, query, authority, forwarded_for;
	bool has_query;
	enum http_version version;
	const struct entry_point *entry_point;
	slice router; /* `p` is NULL: none was found */
	struct access_origin origin;
	int status;           /* 0: no response was begun */
	unsigned repetitions; /* how often a middleware had the request made again */
	uint64_t request_bytes;
	uint64_t response_bytes;
	/* With `fields` of the sink: without what is of one hop only. */
	struct fields request_fields;
	struct fields response_fields;
};

/** Begins a record if the route, or without one (NULL) the entry point, wants it. The entry point
 * has a sink. Without memory there is no record. */
void access_begin(struct exchange *x, const struct entry_point *p, const struct route *route);

/* All below: nothing happens without a record. */

/** The exchange is over: the record goes to the sink. */
void access_end(struct exchange *x);

/** The request is complete but for what the proxy adds for the next hop. */
void access_keep_request(struct exchange *x);

/** The generation goes before the exchange: keeps copies of names. Returns 0 or -ENOMEM. */
int access_detach(struct exchange *x);

/** There will be no line for this exchange. */
void access_drop(struct exchange *x);

struct server;

/** A server is asked; `service` and `s` live as long as the exchange, or are its generation's. */
void access_origin_begin(struct exchange *x, slice service, const struct server *s);

/** It has answered. */
void access_origin_status(struct exchange *x, int status);

/** The service is done, or given up: `b` is the body of its response. */
void access_origin_end(struct exchange *x, const struct body *b);

/** No answer could be had: the proxy makes one up, whose body is the status text. */
void access_origin_failed(struct exchange *x, int status);

#endif
