/*
 * Private to proxy.c, stats.c and census.c.
 */
#ifndef PROXY_PROXY_PRIVATE_H
#define PROXY_PROXY_PRIVATE_H

#include "middleware/compress_stage.h"
#include "proxy/proxy.h"
#include "proxy/stats.h"
#include "proxy/worker.h"

#define PROXY_MAGIC 0x70726f78u

struct proxy {
	uint32_t magic;
	struct loop *control;
	const struct static_config *config;
	struct entry_point *entry_points;
	size_t entry_point_count;
	struct unix_socket_files socket_files;
	struct worker **workers;
	size_t worker_count;
	size_t running_workers;
	size_t drained_workers;
	struct loop_group loops;
	struct worker_events events;
	struct generation_world world;
	struct compressions compressions;
	struct ping_service ping;
	struct service noop;
	_Atomic bool terminating; /* read by ping on the workers */

	struct generation *current;
	pthread_mutex_t store_lock;
	struct staples *staples; /* NULL: OCSP is off */
	struct tls_store *store; /* one reference, under the lock, which other threads take, too */
	pthread_mutex_t view_lock; /* guards the next two, and the states of those in the list */
	struct view *view;         /* of the current generation; one reference */
	struct list generations;   /* in use, the oldest first */
	struct series_shape shape;
	struct proxy_counters counters;
	struct api_counters api;
	uint64_t next_number;

	/* One build at a time, in a thread of its own. */
	pthread_t builder;
	bool has_builder; /* else the build ran on the control thread */
	struct message built_message;
	bool building;
	_Atomic bool give_up; /* read by the build */
	bool gave_up;         /* the last build did: the next one may not */
	struct dynamic_config *build_config;
	struct generation *built;
	int build_result;
	struct dynamic_config *waiting; /* the newest configuration that came meanwhile */

	bool draining; /* no new configuration is taken */
	void (*ready)(void *context);
	void *ready_context;
	proxy_drained_fn *drained;
	void *drained_context;
};

/** Destroys a generation that nobody holds any more, and counts it when that is done. Control
 * thread. */
void proxy_end_generation(struct proxy *p, struct generation *g);

/** The certificates that others are told of; NULL: none. */
void proxy_set_store(struct proxy *p, struct tls_store *store);

#endif
