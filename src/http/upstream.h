/*
 * Upstream endpoints: one object per address and connection settings, whatever services name it, so
 * that a new configuration finds the kept-alive connections of the old one.
 */
#ifndef HTTP_UPSTREAM_H
#define HTTP_UPSTREAM_H

#include "core/error.h"
#include "http/client.h"
#include "net/per_loop.h"

/** All endpoints in use. Any thread. */
struct upstream_registry;

/**
 * `idle_max` bounds the idle connections of each loop, all endpoints together. `loops` outlive the
 * registry. Returns 0 or -ENOMEM.
 */
int upstream_registry_create(struct upstream_registry **registry, const struct loop_group *loops,
			     size_t idle_max);

/** Adds what the clients of loop number `loop` have counted. Any thread. */
void upstream_registry_count(const struct upstream_registry *registry, size_t loop,
			     struct client_counters *sum);

/** All endpoints must have been released. */
void upstream_registry_destroy(struct upstream_registry **registry);

/** Shared by reference counting; the references are the generations', and those
 * of exchanges that have outlived theirs. */
struct upstream;

/** The endpoint with this address (`host` is a name, an address or the path of a Unix socket) and
 * these options, equal settings of TLS included: found, or made. The caller gets a reference.
 * Returns 0 or -ENOMEM. */
int upstream_get(struct upstream **upstream, struct upstream_registry *registry, slice host,
		 uint16_t port, const struct client_options *options);

/**
 * All endpoints that anybody refers to now, with a reference on each, in an array for the caller to
 * free. NULL when memory is short. Any thread.
 */
struct upstream **upstream_registry_hold(struct upstream_registry *registry, size_t *count);

/* X(NAME, kind, help): connections to one endpoint. */
#define UPSTREAM_NUMBERS(X) \
	X(open, GAUGE, "Connections that are not closed") \
	X(idle, GAUGE, "Those that are kept alive without a call") \
	X(closing, GAUGE, "Those that have been closed, and take memory for a moment")

/** An endpoint as others see it. */
struct upstream_look {
	slice host; /* without brackets; lives as long as a reference */
	uint16_t port;
	bool tls;
	bool h2;
#define X(name, kind, help) uint64_t name;
	UPSTREAM_NUMBERS(X)
#undef X
};

/** What the endpoint is. Any thread. */
struct upstream_look upstream_look(const struct upstream *upstream);

/** Adds this loop's connections to the numbers. The loop's thread. */
void upstream_look_add(struct upstream *upstream, const struct loop *loop,
		       struct upstream_look *look);

/** One more reference. Any thread. */
struct upstream *upstream_ref(struct upstream *upstream);

/** Drops the reference and nulls the pointer. NULL is allowed. */
void upstream_release(struct upstream **upstream);

/** Whether to send a request elsewhere, if there is somewhere else: the endpoint could not be
 * reached lately. The loop's thread. */
bool upstream_is_held(struct upstream *upstream, const struct loop *loop);

/** Tells what became of a request: `code` is the client's, 0 if the endpoint has answered. `sent`:
 * bytes may have arrived. Returns for how many milliseconds the endpoint is left out from now on,
 * 0 if nothing changes, -1 if it was left out and is back. The loop's thread. */
int64_t upstream_note(struct upstream *upstream, const struct loop *loop, int code, bool sent);

/** Counts a request that went elsewhere. The loop's thread. */
void upstream_count_passed_over(struct upstream *upstream, const struct loop *loop);

/** The endpoint's client on this loop, made on first use; NULL when memory is short. The loop's
 * thread. */
struct client *upstream_client(struct upstream *upstream, struct loop *loop);

#endif
