/*
 * What holds memory at this moment: generations and what pins them, requests, buffers, connections
 * to servers. Each worker counts its own on its own loop, so that requests share nothing with
 * whoever asks.
 */
#ifndef PROXY_CENSUS_H
#define PROXY_CENSUS_H

#include "http/upstream.h"
#include "proxy/proxy.h"

/** One generation that is in use. */
struct census_generation {
	uint64_t number;
	bool current; /* else it drains */
	uint64_t age_ns;
	uint64_t arena_bytes;  /* of what was built */
	uint64_t config_bytes; /* of what it was built of, and what became of it */
	uint64_t routers, services, middlewares;
	uint64_t holders; /* workers that have not let go */
	uint64_t *pins;   /* requests that hold it, for each worker */
	/* The request that has held it longest, if it was among those looked at: of the first
	 * worker that has one. */
	slice router; /* `p` is NULL: none */
	slice client;
	const char *phase;
};

/* X(name in JSON, member): numbers of one worker. */
#define CENSUS_WORKER(X) \
	X("requests", requests) \
	X("requestArenaBytes", arena_bytes) \
	X("idleRequests", idle_requests) \
	X("bufferBytes", buffer_bytes) \
	X("idleBuffers", idle_buffers) \
	X("lookedAt", looked_at)

struct census_worker {
	uint64_t requests;      /* in progress */
	uint64_t arena_bytes;   /* of those looked at */
	uint64_t idle_requests; /* kept to be used again */
	uint64_t buffer_bytes;  /* idle ones included */
	uint64_t idle_buffers;
	uint64_t looked_at; /* requests; at most CENSUS_LOOK_MAX, the oldest ones */
};

/** A look at one request takes 100 ns or so: no request waits for half a millisecond. */
#define CENSUS_LOOK_MAX 4096u

/** All of it is in the arena that the caller gave. */
struct census {
	struct census_generation *generations; /* the oldest first */
	size_t generation_count;
	struct census_worker *workers;
	size_t worker_count;
	struct upstream_look *upstreams;
	size_t upstream_count;
};

/**
 * Asks all workers, one after the other, and waits for them. `arena` gets the answer. Returns 0 or
 * -ENOMEM. From a thread that no loop waits for, while the workers run.
 */
int proxy_census(struct census *census, struct proxy *proxy, struct arena *arena);

#endif
