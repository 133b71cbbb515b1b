#include "proxy/stats.h"

#include "core/sampler.h"
#include "proxy/proxy_private.h"
#include "redis/server.h"

void proxy_stats(const struct proxy *p, struct proxy_stats *stats)
{
	OBJ_CHECK(p, PROXY_MAGIC);
	*stats = (struct proxy_stats){.workers = p->worker_count};
#define X(name, kind, help) counter_add(&stats->proxy.name, counter_get(&p->counters.name));
	PROXY_COUNTERS(X)
#undef X
#define X(name, kind, help) counter_add(&stats->api.name, counter_get(&p->api.name));
	API_COUNTERS(X)
#undef X
	atomic_store(&stats->api.profiling, sampler_is_taken());
	for (size_t i = 0; i < p->worker_count; i++) {
		const struct worker *w = p->workers[i];

#define X(name, kind, help) \
	counter_add(&stats->exchanges.name, counter_get(&w->exchanges.counters.name));
		EXCHANGE_COUNTERS(X)
#undef X
#define X(name, kind, help) \
	counter_add(&stats->buffers.name, counter_get(&w->loop.buffers.counters.name));
		BUFFER_COUNTERS(X)
#undef X
#define X(name, kind, help) \
	counter_add(&stats->pipes.name, counter_get(&w->loop.pipes.counters.name));
		PIPE_COUNTERS(X)
#undef X
		upstream_registry_count(p->world.upstreams, i, &stats->upstreams);
		redis_registry_count(p->world.middlewares.redis, i, &stats->redis);
	}
	if (p->world.series != NULL)
		stats->series = series_losses(p->world.series);
}

size_t proxy_entry_points(const struct proxy *p)
{
	OBJ_CHECK(p, PROXY_MAGIC);
	return p->entry_point_count;
}

slice proxy_entry_point_stats(const struct proxy *p, size_t at, struct h1_server_counters *sum)
{
	OBJ_CHECK(p, PROXY_MAGIC);
	must(at < p->entry_point_count);
	for (size_t i = 0; i < p->worker_count; i++) {
		const struct h1_server_counters *from = &p->workers[i]->entries[at].server.counters;

#define X(name, kind, help) counter_add(&sum->name, counter_get(&from->name));
		H1_SERVER_COUNTERS(X)
#undef X
	}
	return p->entry_points[at].name;
}

struct tls_store *proxy_tls_store(struct proxy *p)
{
	struct tls_store *store;

	OBJ_CHECK(p, PROXY_MAGIC);
	(void)pthread_mutex_lock(&p->store_lock);
	store = p->store != NULL ? tls_store_ref(p->store) : NULL;
	(void)pthread_mutex_unlock(&p->store_lock);
	return store;
}

void proxy_set_store(struct proxy *p, struct tls_store *store)
{
	struct tls_store *old;

	(void)pthread_mutex_lock(&p->store_lock);
	old = p->store;
	p->store = store != NULL ? tls_store_ref(store) : NULL;
	(void)pthread_mutex_unlock(&p->store_lock);
	tls_store_release(&old);
}

struct api_counters *proxy_api_counters(struct proxy *p)
{
	OBJ_CHECK(p, PROXY_MAGIC);
	return &p->api;
}

struct series_registry *proxy_series(const struct proxy *p)
{
	OBJ_CHECK(p, PROXY_MAGIC);
	return p->world.series;
}

struct plugin_registry *proxy_plugins(const struct proxy *p)
{
	OBJ_CHECK(p, PROXY_MAGIC);
	return p->world.middlewares.plugins;
}

struct shared_states *proxy_shared_states(const struct proxy *p)
{
	OBJ_CHECK(p, PROXY_MAGIC);
	return p->world.middlewares.states;
}

const struct compressions *proxy_compressions(const struct proxy *p)
{
	OBJ_CHECK(p, PROXY_MAGIC);
	return &p->compressions;
}
