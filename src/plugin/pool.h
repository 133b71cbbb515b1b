/*
 * Inside of a pool: who has which instance, and who waits.
 */
#ifndef PLUGIN_POOL_H
#define PLUGIN_POOL_H

#include "plugin/exchange.h"
#include "plugin/plugin.h"

#define POOL_MAGIC 0x706f6f6cu

/** One place in the sorted list of field names. */
struct pool_name {
	uint32_t at;
	uint32_t n;
};

struct weir_pool {
	uint32_t magic;
	struct weir_plugin *plugin;
	struct ticker_seat *seat;
	pthread_t thread;
	struct weir_pool_events events;
	struct list idle;  /* the last one used first */
	struct list used;  /* to be put back or destroyed, the last one used first */
	struct list queue; /* the first one to come first */
	uint32_t slots;    /* instances, and rights to make one */
	uint32_t queued;
	uint32_t exchanges; /* that have not ended */
	struct list link;   /* in the plugin's list, under its lock */
	struct list beside; /* in the list of the thread's pools */
	uint64_t refusals;  /* of the host's budget, when it was last asked */
	bool work_asked;    /* `weir_pool_work` is going to be called */
	uint32_t yielding;  /* idle ones whose memory somebody lacks */
	uint64_t tick_ns;   /* of the last tick, until what it made due is done; 0: nothing is */
	struct instance *warming; /* starts without an exchange */
	bool warm_trial;          /* it shows whether instances start again */
	uint64_t warm_again_ns;   /* not before, since the last one did not start */
	struct counters counters;
	struct str scratch; /* for host functions: texts, field names */
	struct pool_name *names;
	size_t names_capacity;
};

/** All of these check that they run on the pool's thread. */
void pool_check(const struct weir_pool *p);

/** An idle instance, or NULL; puts one back where one waits for that. */
struct instance *pool_take(struct weir_pool *p);

/** The right to make an instance, if there is one left. */
bool pool_take_slot(struct weir_pool *p);

/** Gives back an idle instance: to the first in the queue, if any. */
void pool_put(struct weir_pool *p, struct instance **i);

/** Gives back an instance whose exchange is over, which is put back or destroyed now or later. */
void pool_put_used(struct weir_pool *p, struct instance **i);

/** Gives back the right to an instance that does not exist (any more): to the first in the queue.
 */
void pool_put_slot(struct weir_pool *p);

/** The same where there is no memory for an instance: those in the queue would find none either. */
void pool_drop_slot(struct weir_pool *p);

/**
 * Takes so much of the plugin's budget, for which idle instances of the thread's pools may have to
 * go, and those of other threads soon. Needs no pool.
 */
bool pool_make_room(struct weir_plugin *plugin, uint64_t bytes);

/** Tells the embedder that a queued exchange may go on. */
void pool_wake(struct weir_pool *p, struct weir_exchange *e);

/** To the end, or `again` to the front, where there is always room. False if the queue is full. */
bool pool_enqueue(struct weir_pool *p, struct weir_exchange *e, bool again);
void pool_dequeue(struct weir_pool *p, struct weir_exchange *e);

/** Puts back or destroys one of the used ones, if there are any. */
bool pool_settle_used(struct weir_pool *p);

/** Has `weir_pool_work` called. */
void pool_ask_work(struct weir_pool *p);

/** Looks whether somebody has found no memory since the last look. */
void pool_note_refusals(struct weir_pool *p);

/** An idle instance goes. */
void pool_destroy_idle(struct weir_pool *p, struct instance *i);

#endif
