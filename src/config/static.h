/*
 * The static configuration as plain values: what Traefik reads once at start, plus weir's own
 * options. Immutable after loading.
 */
#ifndef CONFIG_STATIC_H
#define CONFIG_STATIC_H

#include "config/dynamic_middleware.h"
#include "config/option.h"
#include "core/log.h"
#include "weir/plugin.h"

/** entryPoints.<name>.http.aliasHeadersStrategy (or its older name underscoreHeadersStrategy). */
enum alias_headers {
	ALIAS_HEADERS_UNSET,
	ALIAS_HEADERS_KEEP,
	ALIAS_HEADERS_DELETE,
	ALIAS_HEADERS_REJECT
};

struct transport_config {
	int64_t request_accept_grace_ns;
	int64_t grace_ns;
	int64_t read_timeout_ns; /* 0: none; also for the two below */
	int64_t write_timeout_ns;
	int64_t idle_timeout_ns;
	int64_t keep_alive_max_ns;       /* 0: no limit */
	int64_t keep_alive_max_requests; /* 0: no limit */
};

/** entryPoints.<name>.proxyProtocol */
struct proxy_protocol_config {
	bool insecure;
	struct option_list trusted_ips;
};

/** entryPoints.<name>.unixSocket, of weir */
struct unix_socket_config {
	slice mode;
	slice user;
	slice group;
};

struct forwarded_headers_config {
	bool insecure;
	struct option_list trusted_ips; /* addresses and CIDR ranges */
	struct option_list connection;
	bool not_append_x_forwarded_for;
	bool add_x_forwarded_scheme_headers;
};

struct encoded_characters_config {
	bool allow_slash;
	bool allow_back_slash;
	bool allow_null;
	bool allow_semicolon;
	bool allow_percent;
	bool allow_question_mark;
	bool allow_hash;
};

struct entry_point_tls_config {
	slice options;
};

/** entryPoints.<name>.http.redirections.entryPoint */
struct redirection_config {
	slice to; /* name of an entry point, or ":port" */
	slice scheme;
	bool permanent;
	int64_t priority;
};

struct redirections_config {
	struct redirection_config *entry_point; /* NULL: none */
};

struct entry_point_http_config {
	struct option_list middlewares;
	bool encode_query_semicolons;
	bool sanitize_path;
	int64_t max_header_bytes;
	struct encoded_characters_config encoded_characters;
	struct redirections_config redirections;
	struct entry_point_tls_config *tls; /* NULL: routers are plain unless they say else */
	enum alias_headers alias_headers;   /* settled from the two below: never UNSET */
	enum alias_headers alias_strategy;
	enum alias_headers underscore_strategy;
};

/** entryPoints.<name>.observability: what holds for routers that say nothing themselves. */
struct observability_config {
	bool access_logs;
	bool metrics;
};

struct http2_config {
	int64_t max_concurrent_streams;
	int64_t decoder_table_bytes;
	int64_t encoder_table_bytes;
};

/** entryPoints.<name>; `address` is "[host]:port[/tcp]" or "unix:///path", checked for syntax
 * only. */
struct entry_point_config {
	slice name;
	slice address;
	bool acme_bypass;
	bool reuse_port;
	bool as_default;
	struct transport_config transport;
	struct forwarded_headers_config forwarded_headers;
	struct proxy_protocol_config *proxy_protocol; /* NULL: none */
	struct entry_point_http_config http;
	struct observability_config observability;
	struct http2_config http2;
	struct unix_socket_config *unix_socket; /* NULL: the address is none of a Unix socket */
};

struct file_provider_config {
	slice directory;
	slice filename;
	bool watch;
	bool debug_log_generated_template;
};

/** providers.http */
struct http_provider_config {
	slice endpoint;
	int64_t poll_interval_ns;
	int64_t poll_timeout_ns; /* of one attempt; 0: none */
	struct option_pairs headers;
	int64_t body_bytes_max;         /* 0 or less: what every configuration may have */
	struct dynamic_client_tls *tls; /* NULL: defaults */
};

struct rest_provider_config {
	bool insecure;
};

struct providers_config {
	int64_t throttle_ns;
	struct option_list precedence;
	struct file_provider_config *file; /* NULL: no file provider */
	struct http_provider_config *http; /* NULL: no http provider */
	struct rest_provider_config *rest; /* NULL: no rest provider */
};

struct log_config {
	enum log_level level; /* settled from the two names below */
	enum log_format format;
	slice level_name;
	slice format_name;
	bool no_color;
	slice file_path;     /* empty: standard output */
	int64_t max_size;    /* MB; 0: 100 */
	int64_t max_age;     /* days; 0: any */
	int64_t max_backups; /* 0: any number */
};

enum access_log_format { ACCESS_LOG_COMMON, ACCESS_LOG_GENERIC, ACCESS_LOG_JSON };

/** accessLog.filters: a line is written if one of them says so, or if there are none. */
struct access_log_filters_config {
	struct option_list status_codes; /* "200" or "300-302" */
	bool retry_attempts;
	int64_t min_duration_ns; /* 0: none */
};

/** accessLog.fields.headers. */
struct access_log_headers_config {
	slice default_mode;
	struct option_pairs names;
};

struct access_log_query_config {
	slice default_mode;
};

struct access_log_fields_config {
	slice default_mode;
	struct option_pairs names;
	struct access_log_headers_config headers;
	struct access_log_query_config query;
};

struct access_log_config {
	slice file_path;               /* empty: standard output */
	enum access_log_format format; /* settled from the next one */
	slice format_name;
	int64_t buffering_size;
	bool add_internals;
	struct access_log_filters_config filters;
	struct access_log_fields_config fields;
};

struct api_config {
	slice base_path;
	bool insecure;
	bool dashboard;
	bool debug;
	bool disable_dashboard_ad;
	slice dashboard_name;
};

struct ping_config {
	slice entry_point;
	bool manual_routing;
	int64_t terminating_status;
};

#define HEADER_LABELS_MAX 16

/** metrics.prometheus */
struct prometheus_config {
	struct option_floats buckets; /* seconds, ascending */
	bool add_entry_points_labels;
	bool add_routers_labels;
	bool add_services_labels;
	slice entry_point;
	bool manual_routing;
	struct option_pairs header_labels; /* field by label, in the order of the labels */
};

struct metrics_config {
	bool add_internals;
	struct prometheus_config *prometheus; /* NULL: off */
};

/** serversTransport: the transport named default@internal. */
struct servers_transport_config {
	int64_t max_idle_connections_per_host;
	int64_t dial_timeout_ns;
	int64_t response_header_timeout_ns;
	int64_t idle_timeout_ns;
	bool insecure_skip_verify;
	struct option_contents root_cas;
};

/** experimental.localPlugins.<alias>. */
struct local_plugin_config {
	slice module_name;
	struct option_list envs;   /* names of variables that the guest gets */
	struct option_list mounts; /* "host:guest[:ro]" */
	bool use_unsafe;
};

struct experimental_config {
	struct option_map local_plugins; /* of struct local_plugin_config */
	bool abort_on_plugin_failure;
};

/** weir.limits: what one process holds at most. */
struct weir_limits_config {
	int64_t connections_per_worker;
	int64_t buffer_bytes_per_worker;
	int64_t header_fields;
	int64_t target_bytes;
	int64_t response_head_bytes;
	int64_t exchange_bytes;            /* of one request and its response, without bodies */
	int64_t request_repetitions;       /* of one request, by all its middlewares */
	int64_t kept_body_bytes;           /* of the process */
	int64_t body_queue_bytes;          /* between sender and receiver of one body */
	int64_t upstream_connections;      /* per worker and server */
	int64_t pipes_per_worker;          /* 0: none */
	int64_t upstream_hold_ns;          /* 0: never */
	int64_t idle_upstream_connections; /* per worker, all servers together */
	int64_t dns_cache_ns;
	int64_t tcp_keep_alive_ns;     /* 0: none */
	int64_t stall_timeout_ns;      /* 0: none */
	int64_t tunnel_idle_ns;        /* 0: none */
	int64_t tunnel_half_closed_ns; /* 0: none */
	int64_t accept_burst;
	int64_t handshake_burst;
	int64_t upstream_handshake_ns;
	int64_t http2_control_frames; /* at once on one connection; 0: any number */
	int64_t servers_per_service;
	int64_t middlewares_per_router;
	int64_t users_file_bytes; /* of one usersFile */
	int64_t password_checks;
	int64_t digest_nonces;
	int64_t rate_limit_sources;
	int64_t redis_queries; /* on each worker, to one server */
	int64_t auth_requests; /* per forwardAuth */
	int64_t auth_body_bytes;
	int64_t generation_bytes;    /* of what one dynamic configuration becomes */
	int64_t metrics_bytes;       /* of one answer to a scrape */
	int64_t header_label_series; /* of one object on one worker */
	int64_t compressions;        /* responses at the same time, all workers together */
	int64_t compress_window_bytes;
	int64_t access_log_bytes; /* of lines that wait to be written, per worker */
	int64_t api_bytes;        /* of one answer of the API */
	int64_t rest_bytes;       /* of one configuration for the rest provider */
	int64_t rest_held_bytes;  /* of all bodies that are on their way */
	int64_t profile_ns;       /* longest CPU profile */
	int64_t profile_samples;  /* of one CPU profile */
};

/**
 * What becomes of a request whose plugin failed. X(NAME, text)
 *
 *   CLOSED  it ends with an error
 *   OPEN    it goes on without the plugin
 */
#define PLUGIN_FAILURES(X) \
	X(CLOSED, "closed") \
	X(OPEN, "open")

enum plugin_failure {
#define X(name, text) PLUGIN_FAILURE_##name,
	PLUGIN_FAILURES(X)
#undef X
};

/** weir.plugins.defaults and weir.plugins.perPlugin.<alias>. */
struct weir_plugin_config {
	int64_t memory_bytes;
	int64_t call_cpu_ns;
	int64_t exchange_wall_ns; /* 0: none */
	int64_t init_ns;
	int64_t max_instances_per_worker;
	int64_t queue_length;
	int64_t queue_timeout_ns;
	int64_t idle_timeout_ns;
	int64_t log_lines_per_exchange;
	int64_t body_buffer_bytes;
	int64_t text_bytes;
	int64_t tables;         /* of one instance */
	int64_t table_elements; /* of one table */
	bool stringify_config;  /* scalars become strings, as in Traefik */
	enum weir_isolation isolation;
	enum weir_init init;
	int64_t total_bytes;  /* 0: any */
	int64_t max_requests; /* 0: any */
	int64_t max_age_ns;   /* 0: any */
	enum plugin_failure failure;
	int64_t circuit_failures; /* 0: never */
	int64_t start_failures;   /* 0: never */
	int64_t circuit_window_ns;
	int64_t circuit_wait_ns;
	int64_t circuit_wait_max_ns;
	int64_t private_bytes;            /* 0: any */
	int64_t min_instances_per_worker; /* kept ready */
	int64_t open_files;               /* of one instance */
};

struct weir_plugins_config {
	slice directory; /* where plugins-local lies */
	bool watch;
	int64_t binary_bytes;
	int64_t memory_budget_bytes; /* 0: half of what there is */
	enum weir_restore restore;
	bool self_check;
	slice cache_directory; /* "auto" and "none" are not paths */
	int64_t cache_bytes;
	int64_t compile_timeout_ns; /* 0: any */
	int64_t compile_bytes;      /* 0: any */
	int64_t open_files;         /* of all plugins; 0: a quarter of what there is */
	struct weir_plugin_config defaults;
	struct option_map per_plugin; /* of struct weir_plugin_config, complete */

	/* No options: what the program adds before it makes plugins. */
	const char *cache_path;      /* NULL: no cache */
	const char *const *compiler; /* as in struct weir_host_options */
};

struct weir_supervisor_config {
	bool enabled;
	int64_t keep_bytes_max; /* of one provider's configuration; 0: none is kept */
	slice pid_file;         /* empty: none */
};

/** weir.generations: dynamic configurations that were replaced while requests still use them. */
struct weir_generations_config {
	int64_t drain_timeout_ns; /* 0: none */
	int64_t max;              /* the current one included */
};

/** Root key `weir`. */
struct weir_config {
	int64_t workers; /* 0: the CPU quota of the cgroup */
	struct weir_supervisor_config supervisor;
	struct weir_limits_config limits;
	struct weir_generations_config generations;
	struct weir_plugins_config plugins;
};

/** The entry point that is made when something internal needs it. */
#define STATIC_INTERNAL_ENTRY_POINT SLICE("traefik")

#define STATIC_CONFIG_MAGIC 0x73746174u

/** ocsp */
struct ocsp_config {
	struct option_pairs responder_overrides;
};

/** core */
struct core_config {
	slice default_rule_syntax; /* of routers that name none */
	bool strict_tls_options;
};

struct static_config {
	uint32_t magic;
	struct arena arena;
	slice source;                   /* path of the file, "flags", "environment" or "defaults" */
	slice file;                     /* path of the file, or empty */
	struct option_map entry_points; /* of struct entry_point_config, implied ones included */
	struct option_list default_entry_points;
	struct providers_config providers;
	struct log_config log;
	struct ping_config *ping;             /* NULL: off */
	struct metrics_config *metrics;       /* NULL: off */
	struct access_log_config *access_log; /* NULL: off */
	struct api_config *api;               /* NULL: off */
	struct servers_transport_config servers_transport;
	struct experimental_config experimental;
	struct core_config *core; /* NULL: the defaults */
	struct ocsp_config *ocsp; /* NULL: off */
	struct weir_config weir;
};

/** All keys of Traefik's static configuration, and `weir`. */
extern const struct option static_options[];

/** The rows below `weir`, below `weir.plugins`, and those of one plugin. */
extern const struct option weir_options[];
extern const struct option weir_plugins_options[];
extern const struct option weir_plugin_options[];

/** The limits of the plugin with that alias: its own, or the defaults. */
const struct weir_plugin_config *static_plugin_limits(const struct static_config *c,
						      const char *alias);

/** `metrics.prometheus`, or NULL if it is off. */
const struct prometheus_config *static_prometheus(const struct static_config *c);

/** The entry point of exactly that name, or NULL. */
struct entry_point_config *static_entry_point(const struct static_config *c, slice name);

/** With everything that it points to; NULL is allowed. */
void static_config_free(struct static_config **c);

#endif
