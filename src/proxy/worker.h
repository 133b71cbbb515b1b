/*
 * A worker: one thread, one loop, its own listeners and connections. Talks to the control thread by
 * messages only, and none of them needs memory when it is sent.
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
	struct timer grace; /* until the listener closes, then until connections are closed */
	bool started;
	bool stopped;
};

/** What workers tell the control thread. Called on the worker's thread; hand over by message. */
struct worker_events {
	/** After `worker_drain` or `worker_abort`: no connection and no exchange is left. Once. */
	void (*drained)(struct worker *);
	/** Nobody holds this generation any more. Once for each generation. */
	void (*released)(struct generation *, void *context);
	void *context;
};

#define WORKER_MAGIC 0x776f726bu

/**
 * Owned by the control thread: `worker_create`, `worker_start`, `worker_drain` or `worker_abort`,
 * `drained`, `worker_stop`, `worker_destroy`.
 */
struct worker {
	uint32_t magic;
	unsigned index;
	pthread_t thread;
	bool running;
	const struct worker_events *events;

	/* The thread's own while it runs. */
	struct loop loop;
	struct exchange_pool exchanges;
	struct h1_room room; /* of connections, for all entries */
	struct worker_entry *entries;
	size_t entry_count;
	struct generation *generation; /* the current one, held; NULL before the first */
	size_t old_pins;               /* exchanges that hold an older one */
	struct timer old_look;         /* while there are any */
	struct task prepare;           /* while middlewares of the generation are to be prepared */
	size_t prepared;               /* of them */
	uint64_t drain_timeout_ms;     /* weir.generations.drainTimeout; 0: none */
	uint64_t generations_max;      /* weir.generations.max */
	bool draining;
	struct timer drain_poll; /* waits for exchanges that outlive their connections */

	/* Each is sent at most once. */
	struct message accept_order, withdrawal, drain_order, abort_order, stop_order;
	struct message drained_notice; /* for `events->drained` to send */
};

/**
 * Takes over the sockets number `index` of the entry points. Returns 0, or a negative errno value;
 * `*worker` is then NULL or for `worker_destroy`.
 */
int worker_create(struct worker **worker, unsigned index, struct entry_point *entry_points,
		  size_t count, const struct static_config *config,
		  const struct worker_events *events);

/** Starts the thread. Returns 0 or a negative errno value. */
int worker_start(struct worker *w);

/** Accepts connections although there is no generation, which the first one brings about else.
 * Once.
 */
void worker_accept(struct worker *w);

/** The worker uses `g`, which counts it among its holders, from its next request on. */
void worker_publish(struct worker *w, struct generation *g);

/** From its next request on the worker has no generation. Once, after the last `worker_publish`. */
void worker_withdraw(struct worker *w);

/** Stops accepting and ends connections within the entry points' grace times. Once. */
void worker_drain(struct worker *w);

/** Ends all connections at once, also in the middle of a drain. Once. */
void worker_abort(struct worker *w);

/** Ends the thread, after `drained`, and waits for it. Nothing happens if it does not run. */
void worker_stop(struct worker *w);

/** The thread does not run. NULL is allowed in `*worker`. */
void worker_destroy(struct worker **worker);

#endif
