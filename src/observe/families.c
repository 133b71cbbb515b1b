#include "observe/families.h"

#include "http/h1_server.h"
#include "http/spool.h"
#include "middleware/compress_stage.h"
#include "middleware/plugin_totals.h"
#include "middleware/shared_state.h"
#include "observe/line_writer.h"
#include "observe/memory.h"
#include "provider/provider.h"
#include "proxy/stats.h"

#define METRIC(stem_, kind, help_, object, member) \
	{ \
		.stem = (stem_), .type = METRIC_##kind, .help = (help_), \
		.offset = offsetof(object, member) \
	}

static const struct family proxy_families[] = {
#define X(name, kind, help) \
	METRIC("weir_config_" #name, kind, help, struct proxy_stats, proxy.name),
	PROXY_COUNTERS(X)
#undef X
		METRIC("weir_workers", GAUGE, "Worker threads", struct proxy_stats, workers),
	METRIC("weir_series_refused", COUNTER,
	       "Requests that are missing in traefik_* because an object has too many series",
	       struct proxy_stats, series.refused),
	METRIC("weir_series_other", COUNTER,
	       "Requests that are counted under \"other\" because an object has too many series "
	       "with "
	       "labels of headers",
	       struct proxy_stats, series.other),
};

static const struct family exchange_families[] = {
#define X(name, kind, help) \
	METRIC("weir_exchanges_" #name, kind, help, struct exchange_counters, name),
	EXCHANGE_COUNTERS(X)
#undef X
};

static const struct family buffer_families[] = {
#define X(name, kind, help) METRIC("weir_buffers_" #name, kind, help, struct buffer_counters, name),
	BUFFER_COUNTERS(X)
#undef X
};

static const struct family pipe_families[] = {
#define X(name, kind, help) METRIC("weir_pipes_" #name, kind, help, struct pipe_counters, name),
	PIPE_COUNTERS(X)
#undef X
};

static const struct family kept_families[] = {
#define X(name, kind, help) \
	METRIC("weir_kept_bodies_" #name, kind, help, struct spool_counters, name),
	SPOOL_COUNTERS(X)
#undef X
};

static const struct family upstream_families[] = {
#define X(name, kind, help) \
	METRIC("weir_upstream_" #name, kind, help, struct client_counters, name),
	CLIENT_COUNTERS(X)
#undef X
};

static const struct family redis_families[] = {
#define X(name, kind, help) METRIC("weir_redis_" #name, kind, help, struct redis_counters, name),
	REDIS_COUNTERS(X)
#undef X
};

static const struct family entry_point_families[] = {
#define X(name, kind, help) \
	METRIC("weir_entrypoint_" #name, kind, help, struct h1_server_counters, name),
	H1_SERVER_COUNTERS(X)
#undef X
};

#define HOST(name, kind, help) \
	METRIC("weir_plugins_" #name, kind, help, struct weir_host_stats, name)

static const struct family host_families[] = {
	HOST(memory_bytes, GAUGE, "Memory budget of all plugins together"),
	HOST(memory_used_bytes, GAUGE, "What of the budget is reserved"),
	HOST(memory_refusals, COUNTER, "Reservations that the budget had no room for"),
	HOST(modules, GAUGE, "Compiled modules that are held"),
	HOST(compiling, GAUGE, "Modules that are compiled, or wait for a compiler"),
	HOST(compiled, COUNTER, "Modules compiled without an error"),
	HOST(compile_failures, COUNTER, "Modules that do not compile, and compilers that failed"),
	HOST(compile_ns, COUNTER, "Time of all compilations"),
	HOST(cache_hits, COUNTER, "Modules that came from the cache"),
	HOST(cache_misses, COUNTER, "Modules that the cache did not have"),
	HOST(cache_corrupt, COUNTER, "Files of the cache that were damaged, or not ours"),
	HOST(cache_write_failures, COUNTER, "Modules that could not be stored in the cache"),
	HOST(cache_evicted, COUNTER, "Files of the cache removed to make room"),
	HOST(open_files_max, GAUGE, "Most descriptors of all plugins together"),
	HOST(open_files, GAUGE, "Descriptors that plugins hold"),
	HOST(open_file_refusals, COUNTER, "Descriptors that all plugins together had no room for"),
};

#define PLUGIN(name, kind, help) \
	METRIC("weir_plugin_" #name, kind, help, struct plugin_totals, name)

static const struct family plugin_families[] = {
	PLUGIN(configurations, GAUGE, "Configurations of the plugin that are in use, or drain"),
	PLUGIN(passed, COUNTER,
	       "Requests and responses that went on without the plugin, which failed"),
	PLUGIN(image_bytes, GAUGE, "Memory as initialised, which all instances share"),
#define X(name, kind, help) \
	METRIC("weir_plugin_" #name, kind, help, struct plugin_totals, stats.name),
	PLUGIN_COUNTERS(X)
#undef X
#define X(name, help) \
	METRIC("weir_plugin_" #name, HISTOGRAM, help, struct plugin_totals, stats.name),
		PLUGIN_HISTOGRAMS(X)
#undef X
};

static const struct family failure_families[] = {
	METRIC("weir_plugin_failures", COUNTER, "Exchanges that failed in the plugin",
	       struct plugin_totals, stats.failures),
};

static const struct family middleware_families[] = {
#define X(name, kind, help) \
	METRIC("weir_middleware_" #name, kind, help, struct shared_state_counters, name),
	SHARED_STATE_COUNTERS(X)
#undef X
};

static const struct family provider_families[] = {
#define X(name, kind, help) \
	METRIC("weir_provider_" #name, kind, help, struct provider_counters, name),
	PROVIDER_COUNTERS(X)
#undef X
};

static const struct family scrape_families[] = {
	METRIC("weir_scrapes_answered", COUNTER, "Answers at /metrics", struct scrape_numbers,
	       answered),
	METRIC("weir_scrapes_shared", COUNTER, "Those that got the same text as another one",
	       struct scrape_numbers, shared),
	METRIC("weir_scrapes_failed", COUNTER,
	       "Scrapes without an answer: it was too long, memory short, or too many waiting or "
	       "unread",
	       struct scrape_numbers, failed),
	METRIC("weir_scrapes_render_ns", COUNTER, "Time to write the texts", struct scrape_numbers,
	       render_ns),
	METRIC("weir_scrapes_last_bytes", GAUGE, "Length of the last text", struct scrape_numbers,
	       bytes),
};

static const struct family compression_families[] = {
#define X(name, kind, help) METRIC("weir_compress_" #name, kind, help, struct compressions, name),
	COMPRESSION_COUNTERS(X)
#undef X
};

static const struct family access_log_families[] = {
#define X(name, kind, help) \
	METRIC("weir_access_log_" #name, kind, help, struct line_writer_counters, name),
	LINE_WRITER_COUNTERS(X)
#undef X
};

static const struct family api_families[] = {
#define X(name, kind, help) METRIC("weir_api_" #name, kind, help, struct api_counters, name),
	API_COUNTERS(X)
#undef X
};

#define PROCESS(stem, kind, help, member) \
	METRIC("process_" stem, kind, help, struct process_numbers, member)

static const struct family process_families[] = {
	PROCESS("cpu_ns", COUNTER, "CPU time of the process", cpu_ns),
	PROCESS("resident_memory_bytes", GAUGE, "Memory that is resident", resident_bytes),
	PROCESS("virtual_memory_bytes", GAUGE, "Address space in use", virtual_bytes),
	PROCESS("open_fds", GAUGE, "Open descriptors", open_fds),
	PROCESS("max_fds", GAUGE, "Most descriptors that may be open", max_fds),
	PROCESS("start_time_ns", GAUGE, "When the process started, since 1970", start_ns),
	METRIC("weir_server_restarts", COUNTER,
	       "Servers that died and were started again by the supervisor", struct process_numbers,
	       restarts),
	METRIC("weir_kept_configuration_bytes", GAUGE,
	       "Length of the last good configurations that the supervisor keeps",
	       struct process_numbers, kept_bytes),
	METRIC("weir_kept_configuration_failures", COUNTER,
	       "Configurations that were not kept: longer than weir.supervisor.keepConfiguration, "
	       "or "
	       "memory was short",
	       struct process_numbers, kept_failures),
};

static const struct family memory_families[] = {
#define X(name, kind, json, help) \
	METRIC("weir_memory_" #name, kind, help, struct memory_numbers, name),
	MEMORY_NUMBERS(X)
#undef X
};

static const struct family connection_families[] = {
	METRIC("traefik_open_connections", GAUGE, "Open connections", struct h1_server_counters,
	       open),
};

static const struct family reload_families[] = {
	METRIC("traefik_config_reloads", COUNTER, "Configurations that came into effect",
	       struct proxy_stats, proxy.reloads),
	METRIC("traefik_config_last_reload_success", GAUGE,
	       "When the last configuration came into effect, in seconds since 1970",
	       struct proxy_stats, proxy.last_reload_seconds),
};

#define REQUESTS(object) \
	{ \
		[REQUESTS_TOTAL] = {"traefik_" object "_requests", METRIC_COUNTER, "Requests", 0}, \
		[REQUESTS_DURATION] = {"traefik_" object "_request_duration", METRIC_HISTOGRAM, \
				       "Time from the request's head to the response's end", 0}, \
		[REQUESTS_BYTES] = {"traefik_" object "_requests_bytes", METRIC_COUNTER, \
				    "Bytes of the bodies of requests", 0}, \
		[RESPONSES_BYTES] = {"traefik_" object "_responses_bytes", METRIC_COUNTER, \
				     "Bytes of the bodies of responses", 0}, \
	}

static const struct family entry_point_requests[REQUEST_FAMILY_COUNT] = REQUESTS("entrypoint");
static const struct family router_requests[REQUEST_FAMILY_COUNT] = REQUESTS("router");
static const struct family service_requests[REQUEST_FAMILY_COUNT] = REQUESTS("service");

#define REQUESTS_TLS(object) \
	{ \
		{"traefik_" object "_requests_tls", METRIC_COUNTER, "Requests over TLS", 0}, \
	}

static const struct family entry_point_requests_tls[] = REQUESTS_TLS("entrypoint");
static const struct family router_requests_tls[] = REQUESTS_TLS("router");
static const struct family service_requests_tls[] = REQUESTS_TLS("service");

static const struct family certificate_families[] = {
	{"traefik_tls_certs_not_after", METRIC_GAUGE,
	 "When the certificate expires, in seconds since 1970", 0},
};

/* Of groups of series, which have no such member. */
static const struct family service_retries[] = {
	{.stem = "traefik_service_retries",
	 .type = METRIC_COUNTER,
	 .help = "Requests that a middleware had made again"},
};

#define GROUP(families_, labels_, doc_) \
	{ \
		.labels = (labels_), .doc = (doc_), .families = (families_), \
		.count = ARRAY_LEN(families_) \
	}

const struct family_group family_groups[FAMILY_GROUP_COUNT] = {
	[FAMILIES_PROXY] = GROUP(proxy_families, "", "The process"),
	[FAMILIES_EXCHANGES] =
		GROUP(exchange_families, "", "Requests with their responses, all entry points"),
	[FAMILIES_BUFFERS] = GROUP(buffer_families, "", "Buffers of connections"),
	[FAMILIES_PIPES] = GROUP(pipe_families, "", "Long bodies that are not copied"),
	[FAMILIES_KEPT] = GROUP(kept_families, "",
				"Bodies that middlewares and plugins keep until they are complete"),
	[FAMILIES_UPSTREAMS] = GROUP(upstream_families, "", "Connections to servers"),
	[FAMILIES_REDIS] = GROUP(redis_families, "", "Redis, for `rateLimit`"),
	[FAMILIES_ENTRY_POINTS] =
		GROUP(entry_point_families, "entrypoint", "Connections of clients"),
	[FAMILIES_HOST] = GROUP(host_families, "", "All plugins together"),
	[FAMILIES_PLUGINS] = GROUP(plugin_families, "plugin", "One plugin"),
	[FAMILIES_FAILURES] = GROUP(failure_families, "cause, plugin", "Failures of one plugin"),
	[FAMILIES_MIDDLEWARES] =
		GROUP(middleware_families, "middleware", "A middleware with state over requests"),
	[FAMILIES_PROVIDERS] =
		GROUP(provider_families, "provider", "Where configurations come from"),
	[FAMILIES_COMPRESSIONS] =
		GROUP(compression_families, "", "All `compress` middlewares together"),
	[FAMILIES_SCRAPES] = GROUP(scrape_families, "", "Scrapes"),
	[FAMILIES_ACCESS_LOG] = GROUP(access_log_families, "", "The access log, if there is one"),
	[FAMILIES_API] = GROUP(api_families, "", "The API"),
	[FAMILIES_PROCESS] = GROUP(process_families, "", "As in all programs"),
	[FAMILIES_MEMORY] =
		GROUP(memory_families, "", "Memory of the allocator and of the control group"),
	[FAMILIES_CONNECTIONS] =
		GROUP(connection_families, "entrypoint, protocol", "As in Traefik: connections"),
	[FAMILIES_RELOADS] = GROUP(reload_families, "", "As in Traefik: configurations"),
	[FAMILIES_ENTRY_POINT_REQUESTS] =
		GROUP(entry_point_requests, "code, entrypoint, method, protocol",
		      "As in Traefik: requests by entry point (`addEntryPointsLabels`)"),
	[FAMILIES_ROUTER_REQUESTS] =
		GROUP(router_requests, "code, method, protocol, router, service",
		      "As in Traefik: requests by router (`addRoutersLabels`)"),
	[FAMILIES_SERVICE_RETRIES] =
		GROUP(service_retries, "service",
		      "As in Traefik: requests that were made again (`addServicesLabels`)"),
	[FAMILIES_SERVICE_REQUESTS] =
		GROUP(service_requests, "code, method, protocol, service",
		      "As in Traefik: requests by service (`addServicesLabels`)"),
	[FAMILIES_ENTRY_POINT_REQUESTS_TLS] =
		GROUP(entry_point_requests_tls, "entrypoint, tls_cipher, tls_version",
		      "As in Traefik: requests over TLS by entry point"),
	[FAMILIES_ROUTER_REQUESTS_TLS] =
		GROUP(router_requests_tls, "router, service, tls_cipher, tls_version",
		      "As in Traefik: requests over TLS by router"),
	[FAMILIES_SERVICE_REQUESTS_TLS] =
		GROUP(service_requests_tls, "service, tls_cipher, tls_version",
		      "As in Traefik: requests over TLS by service"),
	[FAMILIES_CERTIFICATES] = GROUP(certificate_families, "cn, sans, serial",
					"As in Traefik: certificates of the configuration"),
};

#define NS SLICE("_ns")

bool family_is_time(const struct family *f)
{
	return f->type == METRIC_HISTOGRAM || slice_ends(slice_from(f->stem), NS);
}

void family_add_name(struct str *out, const struct family *f)
{
	slice stem = slice_from(f->stem);

	if (slice_ends(stem, NS))
		stem.n -= NS.n;
	str_add(out, stem);
	if (family_is_time(f))
		str_add(out, SLICE("_seconds"));
	if (f->type == METRIC_COUNTER)
		str_add(out, SLICE("_total"));
}

static void add_group(struct str *out, const struct family_group *g)
{
	const char *labels = g->labels;

	str_format(out, "\n## %s\n\n%s%s%s| metric | type | meaning |\n|---|---|---|\n", g->doc,
		   *labels != '\0' ? "Labels: " : "", labels, *labels != '\0' ? ".\n\n" : "");
	for (size_t i = 0; i < g->count; i++) {
		const struct family *f = &g->families[i];

		str_add(out, SLICE("| `"));
		family_add_name(out, f);
		str_format(out, "` | %s | %s. |\n", metric_type_text(f->type), f->help);
	}
}

void family_add_reference(struct str *out)
{
	str_add(out, SLICE("# Metrics\n\n<!-- Made by scripts/gen-reference from the tables of "
			   "metrics. -->\n\nAll of them, with their labels. "
			   "[metrics.md](../metrics.md) says how to get them and what they mean "
			   "together.\n"));
	for (size_t i = 0; i < FAMILY_GROUP_COUNT; i++)
		add_group(out, &family_groups[i]);
}
