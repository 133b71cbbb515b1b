/*
 * Inside of an exchange, for the files of this folder.
 */
#ifndef PLUGIN_EXCHANGE_H
#define PLUGIN_EXCHANGE_H

#include "plugin/instance.h"

/* X(NAME, text) */
#define EXCHANGE_STATES(X) \
	X(QUEUED, "queued")     /* waits for an instance */ \
	X(GRANTED, "granted")   /* woken: has an instance, or the right to make one */ \
	X(STARTING, "starting") /* its new instance initialises */ \
	X(REQUEST, "request")   /* in handle_request */ \
	X(NEXT, "next")         /* the guest said so */ \
	X(RESPONSE, "response") /* in handle_response */ \
	X(OVER, "over")         /* stopped or done; the instance has gone back */ \
	X(FAILED, "failed")

enum exchange_state {
#define X(name, text) EXCHANGE_##name,
	EXCHANGE_STATES(X)
#undef X
};

/** What the guest did to a body in the current phase. */
struct body_account {
	uint64_t read_bytes;
	uint64_t written_bytes;
	bool eof;
	bool written;
};

#define EXCHANGE_MAGIC 0x65786368u

struct weir_exchange {
	uint32_t magic;
	enum exchange_state state;
	struct weir_pool *pool;
	struct instance *instance;
	const struct weir_http *http;
	void *x;
	struct list link;  /* in the pool's queue */
	bool slot;         /* it has the right to make an instance */
	bool trial;        /* it shows whether the plugin works again, */
	bool start_trial;  /* or its instances start */
	bool after;        /* in handle_response */
	bool frozen;       /* the response is beyond changes */
	uint32_t features; /* as the guest sees them */
	uint32_t context;  /* the guest's, from handle_request to handle_response */
	struct body_account body[2];
	uint64_t wake_at_ns;
	uint64_t queued_since_ns; /* 0: does not wait for an instance */
	uint64_t queue_end_ns;    /* of the longest wait for one */
	uint64_t wall_left_ns;
	uint64_t body_wait_since_ns; /* 0: does not wait for a body */
	uint64_t private_bytes;      /* of the instance when it began, if measured */
	uint64_t retry_ms;           /* 0: nothing is known of another attempt */
	struct weir_exchange_facts facts;
	enum weir_cause cause;
	struct weir_error error; /* last: not cleared */
};

/** A queued exchange gets an instance, or if NULL the right to make one. */
void exchange_grant(struct weir_exchange *e, struct instance *i);

#endif
