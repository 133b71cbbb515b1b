/*
 * Redis servers: one object per address and settings, whoever names it, so that a new configuration
 * finds the connections of the old one.
 */
#ifndef REDIS_SERVER_H
#define REDIS_SERVER_H

#include "net/per_loop.h"
#include "redis/client.h"

/** All servers in use. Any thread. */
struct redis_registry;

/** `loops` outlive the registry. Returns 0 or -ENOMEM. */
int redis_registry_create(struct redis_registry **registry, const struct loop_group *loops);

/** Adds what the clients of loop number `loop` have counted. Any thread. */
void redis_registry_count(const struct redis_registry *registry, size_t loop,
			  struct redis_counters *sum);

/** Worker loops; 0 where a configuration is only checked. */
size_t redis_registry_loops(const struct redis_registry *registry);

/** All servers must have been released, and the loops closed. NULL is allowed in `*registry`. */
void redis_registry_destroy(struct redis_registry **registry);

/** Shared by reference counting. */
struct redis_server;

/**
 * Fills in host and port of `options` from `host:port` (as Go splits it) or the path of a socket,
 * borrowed from `address`. Returns 0, or -EINVAL with `e` filled in.
 */
int redis_options_set_address(struct redis_options *options, slice address, struct weir_error *e);

/** The server with these options, equal settings of TLS included: found, or made of copies. The
 * caller gets a reference. Returns 0 or -ENOMEM. */
int redis_server_get(struct redis_server **server, struct redis_registry *registry,
		     const struct redis_options *options);

/** One more reference. Returns `s`. Any thread. */
struct redis_server *redis_server_ref(struct redis_server *s);

/** Drops the reference and nulls the pointer; no query may be in progress on behalf of the last
 * one. NULL is allowed. Any thread. */
void redis_server_release(struct redis_server **server);

/** The client on this loop, made on first use; NULL when memory is short. The loop's thread. */
struct redis_client *redis_server_client(struct redis_server *server, struct loop *loop);

#endif
