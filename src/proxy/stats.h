/*
 * What the proxy and its workers have counted. Any thread may ask while the proxy exists; nobody
 * waits for it.
 */
#ifndef PROXY_STATS_H
#define PROXY_STATS_H

#include "http/h1_server.h"
#include "http/upstream.h"
#include "net/tls_certificate.h"
#include "proxy/proxy.h"
#include "proxy/series.h"
#include "redis/client.h"

/* X(NAME, kind, help): counters of the process, written by the control thread only. */
#define PROXY_COUNTERS(X) \
	X(generations_live, GAUGE, "Configurations in use: the current one and those that drain") \
	X(reloads, COUNTER, "Configurations that came into effect") \
	X(reload_failures, COUNTER, "Configurations that could not be built for lack of memory") \
	X(last_reload_seconds, GAUGE, "When the last configuration came into effect, since 1970") \
	X(ocsp_staples, GAUGE, "Certificates that an OCSP answer is shown with") \
	X(ocsp_requests, COUNTER, "Times that a responder was to be asked about a certificate") \
	X(ocsp_failures, COUNTER, "Times that there was no answer which can be shown to clients")

struct proxy_counters {
#define X(name, kind, help) _Atomic uint64_t name;
	PROXY_COUNTERS(X)
#undef X
};

/* X(NAME, kind, help): of the API. */
#define API_COUNTERS(X) \
	X(answered, COUNTER, "Answers of the API") \
	X(failed, COUNTER, "Answers that were too long, or memory short") \
	X(refused, COUNTER, "Requests to the API that found too many waiting or unread") \
	X(render_ns, COUNTER, "Time to write the answers") \
	X(profiling, GAUGE, "CPU profiles that are being taken, or written") \
	X(profiles, COUNTER, "CPU profiles that were taken") \
	X(profiles_refused, COUNTER, "CPU profiles refused, most because one was being taken") \
	X(profile_samples, COUNTER, "Samples in CPU profiles") \
	X(profile_samples_dropped, COUNTER, "Samples beyond the limit of a CPU profile") \
	X(rest_taken, COUNTER, "Configurations that the provider rest took") \
	X(rest_refused, COUNTER, "Configurations that the provider rest refused")

struct api_counters {
#define X(name, kind, help) _Atomic uint64_t name;
	API_COUNTERS(X)
#undef X
};

/** Sums over all workers. */
struct proxy_stats {
	struct proxy_counters proxy;
	struct exchange_counters exchanges;
	struct buffer_counters buffers;
	struct pipe_counters pipes;
	struct client_counters upstreams;
	struct redis_counters redis;
	struct api_counters api;
	uint64_t workers;
	struct series_losses series;
};

/** Each number is exact, the set is not one moment's. */
void proxy_stats(const struct proxy *p, struct proxy_stats *stats);

/** How many entry points there are. */
size_t proxy_entry_points(const struct proxy *p);

/** Adds to `sum` what the workers have counted on entry point number `at`, and returns its name. */
slice proxy_entry_point_stats(const struct proxy *p, size_t at, struct h1_server_counters *sum);

/** The counts of requests; NULL if there are none. */
struct series_registry *proxy_series(const struct proxy *p);

/** The certificates of the current configuration, with a reference for the caller; NULL: none yet.
 */
struct tls_store *proxy_tls_store(struct proxy *p);

/** For the API, which counts here: each number by one thread at a time. */
struct api_counters *proxy_api_counters(struct proxy *p);

struct plugin_registry;

struct shared_states;

struct view;

/** What middlewares keep over requests. */
struct shared_states *proxy_shared_states(const struct proxy *p);

struct compressions;

/** What `compress` has done. */
const struct compressions *proxy_compressions(const struct proxy *p);

/** What became of the current configuration: a reference, or NULL before the first one. */
struct view *proxy_view(struct proxy *p);

/** The plugins. */
struct plugin_registry *proxy_plugins(const struct proxy *p);

#endif
