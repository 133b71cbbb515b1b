/*
 * A circuit breaker without its middleware: what it has seen, in which state it is, and whom it
 * lets pass. As vulcand/oxy, which Traefik uses:
 *
 *   closed      all pass; the condition is looked at once in a check period, when a request ends
 *   open        nobody passes for the fallback duration; what was seen is forgotten
 *   recovering  a share passes that grows to one half over the recovery duration, after which it is
 *               closed; if the condition comes true again, it is open
 */
#ifndef MIDDLEWARE_BREAKER_H
#define MIDDLEWARE_BREAKER_H

#include "middleware/latency_window.h"
#include "middleware/predicate.h"

/* X(NAME) */
#define BREAKER_STATES(X) X(CLOSED) X(OPEN) X(RECOVERING)

enum breaker_state {
#define X(name) BREAKER_##name,
	BREAKER_STATES(X)
#undef X
};

/** In nanoseconds. */
struct breaker_times {
	uint64_t check_ns;
	uint64_t fallback_ns;
	uint64_t recovery_ns;
};

#define BREAKER_SECONDS 10
#define BREAKER_STATUSES 1000

/** The answers of one second. */
struct breaker_second {
	uint64_t second; /* 0: none */
	uint32_t total;
	uint32_t network_errors;
	uint32_t *statuses; /* BREAKER_STATUSES of them; NULL if the condition asks for none */
};

/** Zeroed, then `breaker_init` … `breaker_free`. One thread at a time, except where noted. */
struct breaker {
	struct predicate *condition;
	struct breaker_times times;
	_Atomic int state; /* enum breaker_state; any thread may look */
	uint64_t until_ns; /* of OPEN and RECOVERING */
	uint64_t recovering_since_ns;
	uint64_t allowed, denied; /* while recovering */
	uint64_t next_check_ns;
	struct breaker_second seconds[BREAKER_SECONDS];
	uint32_t *statuses;                 /* what the seconds point into; NULL as there */
	struct latency_window *times_taken; /* NULL if the condition asks for none */
	uint64_t now_ns;                    /* while the condition is looked at */
};

/** Makes a closed one. Returns 0, or a negative errno value with `e` filled in: the condition is
 * none (see `predicate_compile`), or -ENOMEM; `breaker_free` is due in any case. */
int breaker_init(struct breaker *b, slice condition, const struct breaker_times *times,
		 struct weir_error *e);

/** Frees what `breaker_init` has made, or had until it failed. */
void breaker_free(struct breaker *b);

/** Whether a request may pass now; while it recovers, this is counted. */
bool breaker_passes(struct breaker *b, uint64_t now_ns);

/** Whether all pass and nothing need be asked or counted. Any thread. */
bool breaker_is_closed(const struct breaker *b);

/** A request that has passed is over. Returns whether the breaker has opened thereby. */
bool breaker_record(struct breaker *b, int status, uint64_t latency_ns, uint64_t now_ns);

#endif
