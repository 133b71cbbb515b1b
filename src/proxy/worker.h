/*
 * A worker: one thread, one loop, its own listeners and connections. Talks to the control thread by messages only.
 */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include "http/h1_server.h"
#include "proxy/generation.h"

struct worker;

/** One entry point on one worker. */
struct worker_entry {
	struct worker *worker;
	const struct entry_point *entry_point;
	struct h1_server server;
	struct timer grace; /* while draining: until the listener closes, then until connections are closed */
	bool started;
	bool stopped;
};

/** What workers tell the control thread. Called on the worker's thread; hand over by message. */
struct worker_events {
	void (*drained)(struct worker *);               /* after `worker_drain`: no connection and no exchange is left */
	void (*released)(struct generation *, void *context); /* nobody holds this generation any more */
	void *context;
};

#define WORKER_MAGIC 0x776f726bu

/** Owned by the control thread: `worker_create`, `worker_start`, …, `worker_stop`, `worker_destroy`. */
struct worker {
	uint32_t magic;
	unsigned index;
	pthread_t thread;
	bool running;
	struct loop loop;
	const struct worker_events *events;
	struct exchange_pool exchanges;
	struct worker_entry *entries;
	size_t entry_count;
	struct generation *generation; /* the current one, held; NULL before the first */
	bool draining;
	struct timer drain_poll; /* waits for exchanges that outlive their connections */
};

/** Takes over the sockets number `index` of the entry points. Returns 0 or a negative errno value. */
int worker_create(struct worker **worker, unsigned index, struct entry_point *entry_points, size_t count,
		  const struct static_config *config, const struct worker_events *events);

/** Starts the thread. Returns 0 or a negative errno value. */
int worker_start(struct worker *w);

/** The worker uses `g` (which counts it among its holders; NULL: none) from its next request on. Any thread, before `worker_stop`. Returns 0 or -ENOMEM. */
int worker_publish(struct worker *w, struct generation *g);

/** Stops accepting and ends connections within the entry points' grace times; then `drained` is called. */
int worker_drain(struct worker *w);

/** Ends the thread, after `drained`, and waits for it. */
void worker_stop(struct worker *w);

/** The thread does not run. */
void worker_destroy(struct worker **worker);

#endif
