/*
 * The buckets of `rateLimit` in Redis, under Traefik's keys and by its rules, so that replicas of
 * either share one limit.
 */
#ifndef MIDDLEWARE_RATE_REDIS_H
#define MIDDLEWARE_RATE_REDIS_H

#include "middleware/rate_buckets.h"
#include "middleware/registry.h"
#include "redis/client.h"

struct rate_redis;

/** One request's question. Zeroed; `rate_redis_ask` … `rate_question_stop`. */
struct rate_question {
	struct redis_query query;
	struct rate_redis *redis;
	struct loop *loop;
	struct arena *arena;
	slice key;
	struct redis_server *server; /* that is asked: a reference, until it is answered */
	unsigned moves;              /* times that another one was asked instead */
	bool with_script;            /* its text was sent along */
	int answer;                  /* an `enum rate_answer`, or a negative errno value */
	uint64_t wait_ns;            /* as of `rate_buckets_take` */
	void (*answered)(struct rate_question *); /* from the caller */
	void *context;
};

/** Of a middleware with the option `redis`, which `config` keeps. Returns 0 or a negative errno
 * value with `e` filled in. Reads files. */
int rate_redis_create(struct rate_redis **r, const struct dynamic_middleware *config,
		      const struct middleware_world *world, const struct rate_terms *terms,
		      struct weir_error *e);

/** No question may be in progress. NULL is allowed in `*r`. */
void rate_redis_destroy(struct rate_redis **r);

/** Opens the connections that are to be there. The loop's thread. */
void rate_redis_prepare(struct rate_redis *r, struct loop *loop);

/** Asks for a token of this source; `answered` may be called within. What is sent is kept in
 * `arena`. */
void rate_redis_ask(struct rate_redis *r, struct rate_question *q, struct loop *loop,
		    struct arena *arena, slice source);

/** `answered` will not be called. Harmless if it was. */
void rate_question_stop(struct rate_question *q);

#endif
