/*
 * Counts of requests by status, method and protocol, for what Traefik calls entry points, routers
 * and services. Each worker counts in cells of its own; whoever reads adds them up.
 */
#ifndef PROXY_SERIES_H
#define PROXY_SERIES_H

#include "config/static.h"
#include "core/counter.h"
#include "http/message.h"

/* X(NAME, label). The values of Traefik's label `protocol`. */
#define SERIES_PROTOCOLS(X) \
	X(HTTP, "http") \
	X(WEBSOCKET, "websocket") \
	X(SSE, "sse") \
	X(GRPC, "grpc") \
	X(GRPC_WEB, "grpc-web")

enum series_protocol {
#define X(name, text) SERIES_##name,
	SERIES_PROTOCOLS(X)
#undef X
};

/** What tells one series of an object from the others. `code` is a status, or gRPC's. */
struct series_key {
	uint16_t code;
	uint8_t method;   /* enum method */
	uint8_t protocol; /* enum series_protocol */
};

/** Texts of the labels. Any thread. */
slice series_method_text(enum method m);
slice series_protocol_text(enum series_protocol p);

/** The protocol that the request's fields speak of, as Traefik reads them. */
enum series_protocol series_protocol_of(const struct request *q);

/** The code of a response: its status, 499 if there was none; with gRPC its grpc-status. */
uint16_t series_code_of(enum series_protocol protocol, const struct response *r);

/** Bounds of the histograms, and what is counted at all. Immutable. */
struct series_shape {
	bool entry_points, routers, services;
	bool internals; /* also requests for internal services */
	size_t bound_count;
	uint64_t *bounds_ns;
	/* Labels of headers: those of series_labels.h. */
	size_t header_count;
	struct series_header *headers;
	size_t labelled_max; /* series with them, of one object on one worker */
	char *other_text;
	slice other; /* the values of those beyond */
};

/** From `metrics.prometheus`, all off without it. Returns 0 or -ENOMEM. */
int series_shape_init(struct series_shape *shape, const struct static_config *config);

/** Frees what the shape owns. */
void series_shape_free(struct series_shape *shape);

#define SERIES_TLS_MAX 32u

/** Requests over TLS of one version and with one cipher suite, whose names are static. */
struct series_tls {
	const char *version, *cipher;
	_Atomic uint64_t requests;
};

/** Those of one object on one worker. */
struct series_tls_list {
	_Atomic uint32_t count;
	struct series_tls items[SERIES_TLS_MAX];
};

#define SERIES_LISTS 8u

struct series_cell;
struct series_header;
struct series_labelled;

/** One object on one worker. Written by the worker only. */
struct series {
	struct series_cell *_Atomic lists[SERIES_LISTS]; /* newest first; nothing is ever removed */
	struct series_tls_list *_Atomic tls;             /* NULL: no request has come over TLS */
	struct series_labelled *_Atomic labelled; /* NULL: none are counted, or there was none */
	struct series_cell *last;
	uint32_t count;
	_Atomic uint64_t retries; /* requests that came to a service once more */
	_Atomic uint64_t refused; /* requests that found no cell left, or no memory for one */
	_Atomic uint64_t other;   /* requests whose labels of headers found none */
};

/** One request that is over. */
struct series_request {
	uint64_t request_bytes;
	uint64_t response_bytes;
	uint64_t duration_ns;
};

/** Counts one request. The worker's thread. */
void series_add(struct series *s, const struct series_shape *shape, struct series_key key,
		const struct series_request *request);

/** Counts one request over TLS. The worker's thread. */
void series_add_tls(struct series *s, const char *version, const char *cipher);

#define SERIES_GROUP_MAGIC 0x73657267u

enum series_kind { SERIES_ENTRY_POINT, SERIES_ROUTER, SERIES_SERVICE };

/** One object with a part on every worker. Shared by reference counting. */
struct series_group {
	uint32_t magic;
	enum series_kind kind;
	unsigned references; /* under the registry's lock */
	struct series_registry *registry;
	char *key;
	slice name;    /* of the entry point, router or service */
	slice service; /* of a router */
	struct series *workers;
};

struct series_registry;

/** An empty registry for that many workers; `shape` outlives it. Returns 0 or -ENOMEM. */
int series_registry_create(struct series_registry **registry, const struct series_shape *shape,
			   size_t workers);

/** All groups must have been released. NULL is allowed in `*registry`. */
void series_registry_destroy(struct series_registry **registry);

/** What is counted. Any thread. */
const struct series_shape *series_registry_shape(const struct series_registry *registry);

/**
 * The group of that object: found, so that counts go on over a new configuration, or made.
 * `service` is empty but for routers. The caller gets a reference. Returns 0 or -ENOMEM. Any
 * thread.
 */
int series_get(struct series_group **group, struct series_registry *registry, enum series_kind kind,
	       slice name, slice service);

/** How many requests have come to the service once more, because a middleware had them made again.
 * Any thread. */
uint64_t series_retries(const struct series_group *group);

/** One more reference. NULL is allowed, and returned. Any thread. */
struct series_group *series_ref(struct series_group *group);

/** Drops the reference and nulls the pointer. NULL is allowed. Any thread. */
void series_release(struct series_group **group);

/** Sums over all workers of one object and one key. */
struct series_sum {
	struct series_key key;
	uint64_t requests;
	struct series_request totals;
	uint64_t *buckets; /* `bound_count` of the shape and one more, not cumulative */
};

/**
 * Calls `visit` for every group there is, in the order in which they were made, with its sums in
 * the order of their keys; the lock is not held meanwhile. Returns 0 or -ENOMEM. Any thread.
 */
int series_visit(struct series_registry *registry,
		 void (*visit)(void *context, const struct series_group *group,
			       const struct series_sum *sums, size_t count),
		 void *context);

/** The same for requests over TLS: calls `visit` for each version and cipher suite. */
int series_visit_tls(struct series_registry *registry,
		     void (*visit)(void *context, const struct series_group *group,
				   const struct series_tls *sum),
		     void *context);

/** Requests that are missing because an object had too many series. */
struct series_losses {
	uint64_t refused; /* altogether */
	uint64_t other;   /* under the values of their headers */
};

/** Any thread. */
struct series_losses series_losses(struct series_registry *registry);

#endif
