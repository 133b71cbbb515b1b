/*
 * Who has a key: the one server, or one of a Redis Cluster. Which of them is learned from what they
 * answer ("MOVED"), slot by slot; a slot that is being moved has two ("ASK").
 */
#ifndef REDIS_CLUSTER_H
#define REDIS_CLUSTER_H

#include "redis/server.h"

/** Servers of a cluster that are known at the same time, at most. One that was learned and has no
 * slot any more makes room for another one. */
#define REDIS_NODES_MAX 256

/** Any thread. Servers that are returned are references of the caller's. */
struct redis_cluster;

/**
 * One address (of `redis_options_set_address`) is a server by itself, several are some of a
 * cluster. `options` (without address) are copied. Returns 0, or a negative errno value with `e`
 * filled in.
 */
int redis_cluster_create(struct redis_cluster **cluster, struct redis_registry *registry,
			 const struct redis_options *options, const slice *addresses, size_t count,
			 struct weir_error *e);

/** As `redis_server_release` for all servers. NULL is allowed in `*cluster`. */
void redis_cluster_destroy(struct redis_cluster **cluster);

/** The slot of a key, 0 to 16383, as Redis Cluster's specification has it. */
unsigned redis_slot(slice key);

/** The server that is believed to have the key, or the one to ask who has. */
struct redis_server *redis_cluster_find(struct redis_cluster *c, slice key);

/**
 * The server of an answer "MOVED slot address", which is remembered, or of "ASK slot address",
 * which holds for this query only, and as one that is `asking`; NULL if it is neither, if this is
 * no cluster, if there are too many servers or memory is short.
 */
struct redis_server *redis_cluster_redirected(struct redis_cluster *c, slice answer, bool *asking);

/** `failed` does not answer: another one to ask for the key; NULL if there is no other. */
struct redis_server *redis_cluster_instead(struct redis_cluster *c, slice key,
					   const struct redis_server *failed);

/** Calls `visit` for the servers that were configured. */
void redis_cluster_visit(struct redis_cluster *c,
			 void (*visit)(void *context, struct redis_server *server), void *context);

#endif
