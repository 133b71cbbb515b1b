/*
 * What a middleware knows over many requests: shared by all workers, and found again by the next
 * generation where the middleware has the same name and the same options.
 */
#ifndef MIDDLEWARE_SHARED_STATE_H
#define MIDDLEWARE_SHARED_STATE_H

#include <pthread.h>

#include "core/counter.h"
#include "middleware/registry.h"

/* X(NAME, kind, help): counters of one state, written under its lock. */
#define SHARED_STATE_COUNTERS(X) \
	X(refused, COUNTER, \
	  "Requests that were over a limit, that another server refused, or that came while the " \
	  "breaker was open") \
	X(delayed, COUNTER, "Requests that waited for their turn") \
	X(sources, GAUGE, "Sources that are known") \
	X(evicted, COUNTER, \
	  "Sources, or nonces that were given out, that were forgotten because there were too " \
	  "many") \
	X(opened, COUNTER, "Times that the breaker opened") \
	X(open, GAUGE, "Breakers that were not closed when somebody last came") \
	X(asked, COUNTER, "Requests for which another server was asked") \
	X(asking, GAUGE, "Of these, those that wait for the answer") \
	X(failed, COUNTER, "Of these, those without an answer that could be used")

struct shared_state_counters {
#define X(name, kind, help) _Atomic uint64_t name;
	SHARED_STATE_COUNTERS(X)
#undef X
};

struct shared_state;

struct shared_state_class {
	const char *type; /* as in the configuration */
	size_t bytes;     /* of the structure whose first member is the state */

	/** Fills in what follows the state; borrows nothing from `config`, which may go earlier.
	 * Returns 0 or a negative errno value with `e` filled in; `free` is called then, too. */
	int (*init)(struct shared_state *, const struct dynamic_middleware *config,
		    const struct middleware_world *world, struct weir_error *e);

	/** Frees what `init` has made, or had until it failed: all else is zero. */
	void (*free)(struct shared_state *);
};

/** For classes that have counters only. */
int shared_state_init_nothing(struct shared_state *, const struct dynamic_middleware *config,
			      const struct middleware_world *world, struct weir_error *e);
void shared_state_free_nothing(struct shared_state *);

#define SHARED_STATE_MAGIC 0x73686172u

/** First member of every state; `shared_state_get` … `shared_state_release`. */
struct shared_state {
	uint32_t magic;
	unsigned references; /* under the registry's lock */
	struct shared_states *registry;
	const struct shared_state_class *class;
	slice name; /* of the middleware; part of the key */
	slice key;  /* owned */
	struct shared_state_counters counters;
	pthread_mutex_t lock; /* the middleware's own, for what follows the state */
};

/** The states of the process. NULL when memory is short. */
struct shared_states *shared_states_create(void);

/** All states must have been released. NULL is allowed in `*states`. */
void shared_states_destroy(struct shared_states **states);

/**
 * The state of the middleware that `config` describes: found, or made. The caller gets a reference.
 * Returns 0 or a negative errno value with `e` filled in and `*state` NULL. Any thread.
 */
int shared_state_get(struct shared_state **state, const struct shared_state_class *class,
		     const struct dynamic_middleware *config, const struct middleware_world *world,
		     struct weir_error *e);

/** One more reference. Any thread. */
struct shared_state *shared_state_ref(struct shared_state *state);

/** Drops the reference and nulls the pointer; the last one frees. NULL is allowed. Any thread. */
void shared_state_release(struct shared_state **state);

/** Calls `visit` for every state, under the registry's lock: nothing may be got or released. Any
 * thread. */
void shared_states_visit(struct shared_states *states,
			 void (*visit)(void *context, const struct shared_state *state),
			 void *context);

static inline void shared_state_lock(struct shared_state *s)
{
	must(pthread_mutex_lock(&s->lock) == 0);
}

static inline void shared_state_unlock(struct shared_state *s)
{
	must(pthread_mutex_unlock(&s->lock) == 0);
}

#endif
