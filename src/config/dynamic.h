/*
 * Dynamic configuration as plain values: routers, services, middlewares, transports and what TLS
 * needs, as one provider wrote them, or as all providers together. One thread at a time; immutable
 * once handed on.
 */
#ifndef CONFIG_DYNAMIC_H
#define CONFIG_DYNAMIC_H

#include "config/dynamic_middleware.h"
#include "config/option.h"

/** SHA-256 over the values (not the notation): equal for files that differ in order, comments,
 * format or defaults. */
struct dynamic_hash {
	unsigned char bytes[32];
};

/** The first member of every named object. */
struct dynamic_object {
	slice name;     /* "r1" as a provider says it; "r1@file" after a merge with providers */
	slice provider; /* "file", or empty before that merge */
	slice disabled; /* why it must not be used, in words for people; empty: it is usable */
	slice cause;    /* the same in Traefik's words, where `disabled` says more */
	struct tree_place place;      /* where it was written */
	const struct tree_node *node; /* as it was written; NULL: it is implied */
	struct dynamic_hash hash;
};

struct dynamic_domain {
	slice main;
	struct option_list sans;
};

struct dynamic_router_tls {
	slice options;
	slice cert_resolver;
	struct option_array domains; /* struct dynamic_domain */
};

struct dynamic_observability {
	enum option_tristate access_logs;
	enum option_tristate metrics;
	enum option_tristate tracing;
	slice trace_verbosity;
};

/** References are as written before the merge with providers ("auth", "auth@file"), qualified after
 * it. */
struct dynamic_router {
	struct dynamic_object object;
	struct option_list entry_points; /* empty: the default ones */
	struct option_list middlewares;  /* in order */
	slice service;
	slice rule;
	struct option_list parent_refs;
	slice rule_syntax;              /* "", "v2" or "v3" */
	int64_t priority;               /* 0: the length of the rule */
	struct dynamic_router_tls *tls; /* NULL: plain HTTP only */
	struct dynamic_observability *observability;
};

struct dynamic_cookie {
	slice name;
	bool secure;
	bool http_only;
	slice same_site;
	int64_t max_age;
	slice path;
	slice domain;
};

struct dynamic_sticky {
	struct dynamic_cookie *cookie;
};

struct dynamic_server {
	slice url;
	int64_t weight; /* 0: never selected */
	bool preserve_path;
};

struct dynamic_health_check {
	slice scheme;
	slice mode;
	slice path;
	slice method;
	int64_t status;
	int64_t port;
	int64_t interval_ns;
	int64_t unhealthy_interval_ns; /* OPTION_NOT_GIVEN: as `interval_ns` */
	int64_t timeout_ns;
	slice hostname;
	bool follow_redirects;
	struct option_pairs headers;
};

struct dynamic_passive_health_check {
	int64_t failure_window_ns;
	int64_t max_failed_attempts;
};

struct dynamic_response_forwarding {
	int64_t flush_interval_ns;
};

struct dynamic_load_balancer {
	struct dynamic_sticky *sticky;
	struct option_array servers; /* struct dynamic_server */
	slice strategy;
	struct dynamic_health_check *health_check;
	struct dynamic_passive_health_check *passive_health_check;
	bool pass_host_header;
	struct dynamic_response_forwarding response_forwarding;
	slice servers_transport; /* empty: the default one; qualified as references of routers are
				  */
};

struct dynamic_weighted_service {
	slice name;
	int64_t weight;
	int64_t percent; /* of a mirror */
};

struct dynamic_no_options {
	bool unused;
};

struct dynamic_weighted {
	struct option_array services; /* struct dynamic_weighted_service */
	struct dynamic_sticky *sticky;
	struct dynamic_no_options *health_check;
};

struct dynamic_mirroring {
	slice service;
	bool mirror_body;
	int64_t max_body_size_bytes; /* -1: no limit */
	struct option_array mirrors; /* struct dynamic_weighted_service */
	struct dynamic_no_options *health_check;
};

struct dynamic_failover_errors {
	int64_t max_request_body_bytes; /* -1: no limit */
	struct option_list status;
};

struct dynamic_failover {
	slice service;
	slice fallback;
	struct dynamic_no_options *health_check;
	struct dynamic_failover_errors *errors;
};

/** Exactly one kind is not NULL, unless the service is disabled. */
struct dynamic_service {
	struct dynamic_object object;
	struct option_list middlewares;
	struct dynamic_load_balancer *load_balancer;
	struct dynamic_weighted *weighted;
	struct dynamic_weighted *highest_random_weight; /* without `sticky` */
	struct dynamic_mirroring *mirroring;
	struct dynamic_failover *failover;
};

/** Exactly one type is given (a structure that is not NULL, or `plugin_alias`), unless the
 * middleware is disabled. */
struct dynamic_middleware {
	struct dynamic_object object;
	slice type; /* "addPrefix", "plugin", ...; empty if there is none or more than one */
#define X(member, name, structure) struct structure *member;
	DYNAMIC_MIDDLEWARES(X)
#undef X
	struct option_map plugin;              /* as written: alias to node */
	slice plugin_alias;                    /* empty: not a plugin */
	const struct tree_node *plugin_config; /* for `dynamic_plugin_json` */
};

struct dynamic_key_pair {
	struct option_content cert_file;
	struct option_content key_file;
};

struct dynamic_peer_san {
	slice type;
	slice value;
};

struct dynamic_spiffe {
	struct option_list ids;
	slice trust_domain;
};

struct dynamic_forwarding_timeouts {
	int64_t dial_ns; /* 0: none, as for all of these */
	int64_t response_header_ns;
	int64_t idle_conn_ns;
	int64_t read_idle_ns;
	int64_t ping_ns;
};

struct dynamic_servers_transport {
	struct dynamic_object object;
	slice server_name;
	bool insecure_skip_verify;
	struct option_contents root_cas;
	struct option_array certificates; /* struct dynamic_key_pair */
	struct option_list cipher_suites;
	slice min_version;
	slice max_version;
	int64_t max_idle_conns_per_host; /* 0: 2, as Go has it */
	struct dynamic_forwarding_timeouts forwarding_timeouts;
	bool disable_http2;
	slice peer_cert_uri;
	struct option_array peer_cert_sans; /* struct dynamic_peer_san */
	struct dynamic_spiffe *spiffe;
};

/** An element of tls.certificates. */
struct dynamic_certificate {
	struct dynamic_key_pair pair;
	struct option_list stores; /* empty: the default one */
};

struct dynamic_client_auth {
	struct option_contents ca_files;
	slice client_auth_type;
};

/** tls.options.<name>; the name "default" gets no provider. */
struct dynamic_tls_options {
	struct dynamic_object object;
	slice min_version;
	slice max_version;
	struct option_list cipher_suites;
	struct option_list curve_preferences;
	struct dynamic_client_auth client_auth;
	bool sni_strict;
	struct option_list alpn_protocols;
	bool disable_session_tickets;
};

/** tls.stores.<name>; the same holds for its name. */
struct dynamic_tls_store {
	struct dynamic_object object;
	struct dynamic_key_pair *default_certificate;
};

#define DYNAMIC_CONFIG_MAGIC 0x64796e63u

/** One of the configurations that a merge is made of. */
struct dynamic_part {
	struct dynamic_config *config;
	const char *provider; /* names and references become "name@provider"; NULL: they stay */
};

/**
 * All arrays are sorted by name (bytes). Shared by reference counting: any thread may take and drop
 * references, one thread at a time may change it.
 */
struct dynamic_config {
	uint32_t magic;
	_Atomic uint32_t references; /* whoever drops a merge last drops its parts */
	struct arena arena;          /* owns what its own decoding made */
	struct dynamic_part *parts;  /* referenced: what a merge is made of, or will be */
	size_t part_count;

	struct dynamic_router **routers;
	size_t router_count;
	struct dynamic_service **services;
	size_t service_count;
	struct dynamic_middleware **middlewares;
	size_t middleware_count;
	struct dynamic_servers_transport **servers_transports;
	size_t servers_transport_count;
	struct dynamic_tls_options **tls_options;
	size_t tls_option_count;
	struct dynamic_tls_store **tls_stores;
	size_t tls_store_count;
	struct option_array
		certificates; /* struct dynamic_certificate, in the order of the files */

	struct dynamic_hash hash; /* of everything */
	bool gathered; /* of parts that have not been merged: there is nothing in it yet */
	bool settled;  /* the proxy's: its own routers are there, references are followed */
};

/** The root table: every key of Traefik's dynamic configuration, for documentation and checks. */
extern const struct option dynamic_options[];

/** The rows of one router and of one service. */
extern const struct option dynamic_router_options[];
extern const struct option dynamic_service_options[];

/** An empty configuration with one reference whose arena may take `memory_bytes_max` (0: 256 MiB);
 * NULL when memory is short. */
struct dynamic_config *dynamic_new(size_t memory_bytes_max);

/** One more reference, dropped by `dynamic_destroy`. Returns `config`. */
struct dynamic_config *dynamic_ref(struct dynamic_config *config);

/** Drops a reference and nulls the pointer; the last one frees it. NULL is allowed. */
void dynamic_destroy(struct dynamic_config **config);

/**
 * Fills in a new configuration from `root`, which lives in its arena (or longer). Unknown root keys
 * are passed over, as in Traefik; unknown nested keys and wrong types are errors in `report`: then
 * a negative errno value is returned and `config` is of no use. What is wrong only with one router,
 * service, middleware or transport goes to its `disabled` and is a warning. Whether references lead
 * somewhere is not looked at (`dynamic_link`).
 */
int dynamic_decode(struct dynamic_config *config, const struct tree_node *root,
		   struct config_report *report);

/** `tree_parse` and `dynamic_decode` in one; `*config` is NULL unless 0 is returned. `limits` may
 * be NULL. */
int dynamic_parse(slice text, enum tree_format format, const char *source,
		  const struct tree_limits *limits, struct config_report *report,
		  struct dynamic_config **config);

/**
 * One configuration out of several, which it holds references to. Of objects with the same name and
 * kind the first one wins and `report` gets a warning in Traefik's words. Returns 0 or -ENOMEM.
 */
int dynamic_merge(const struct dynamic_part *parts, size_t count, struct config_report *report,
		  struct dynamic_config **merged);

/**
 * What `dynamic_merge_gathered` will merge, with references to it: cheap however much there is.
 * `provider` of the parts lives as long as the configuration. Returns 0 or -ENOMEM.
 */
int dynamic_gather(const struct dynamic_part *parts, size_t count,
		   struct dynamic_config **gathered);

/** Makes a merged configuration of a gathered one; another one stays as it is. Any thread, as long
 * as nobody else looks at it. Returns 0, or -ENOMEM with nothing of use in it. */
int dynamic_merge_gathered(struct dynamic_config *config, struct config_report *report);

/** Adds routers, or middlewares, which live as long as the configuration. Return 0 or -ENOMEM. */
int dynamic_add_routers(struct dynamic_config *config, struct dynamic_router *const *routers,
			size_t count);
int dynamic_add_middlewares(struct dynamic_config *config,
			    struct dynamic_middleware *const *middlewares, size_t count);

struct static_config;

/**
 * Gives routers of a merged configuration what their entry points add (middlewares, what is
 * observed) and names the default entry points where there are none. A router on several entry
 * points becomes, for each that adds something, a router of its own, "web-r1@file", as in Traefik.
 * Before `dynamic_link`. Returns 0 or -ENOMEM.
 */
int dynamic_apply_models(struct dynamic_config *config, const struct static_config *settings);

/**
 * Follows all references of a merged configuration: a router, service or chain that names something
 * missing or disabled becomes disabled itself, with Traefik's text. `internal` lists services that
 * exist without being configured
 * ("ping@internal"). Returns 0 or -ENOMEM. The builder may disable more objects for reasons of its
 * own.
 */
int dynamic_link(struct dynamic_config *config, const slice *internal, size_t count);

/**
 * Reads the files of certificates, keys and authorities that a configuration which was just decoded
 * names, so that what they say belongs to its values and hashes. Calls `file` (NULL: nobody) with
 * the name of each, whether it is there or not: one that cannot be read stays unread, which is an
 * error for who needs it. Blocks. Returns 0 or -ENOMEM.
 */
int dynamic_read_files(struct dynamic_config *config, void (*file)(void *context, const char *path),
		       void *context);

/**
 * Appends all of a provider's configuration, with what is in the files that it names, so that
 * `dynamic_restore` can make an equal one of it. Any thread. Returns 0, or -EFBIG when it is longer
 * than the limit of `out`, or memory is short.
 */
int dynamic_keep(struct dynamic_config *config, struct str *out);

/** The configuration that `text` was made of. `source` stands for it in messages. Returns 0 or a
 * negative errno value; errors are in `report` if the text can be read at all. */
int dynamic_restore(slice text, const char *source, struct config_report *report,
		    struct dynamic_config **config);

/** "a@file" for "a" of an object with that name ("r@file"): how what it refers to is called. `p` is
 * NULL when the arena is full. */
slice dynamic_qualify_as(struct arena *arena, slice name, slice object);

/** The object of exactly that name, or NULL. */
struct dynamic_router *dynamic_router_find(const struct dynamic_config *config, slice name);
struct dynamic_service *dynamic_service_find(const struct dynamic_config *config, slice name);
struct dynamic_middleware *dynamic_middleware_find(const struct dynamic_config *config, slice name);
struct dynamic_servers_transport *
dynamic_servers_transport_find(const struct dynamic_config *config, slice name);
struct dynamic_tls_options *dynamic_tls_options_find(const struct dynamic_config *config,
						     slice name);
struct dynamic_tls_store *dynamic_tls_store_find(const struct dynamic_config *config, slice name);

/** Whether two objects or configurations have the same values. */
bool dynamic_hash_equal(const struct dynamic_hash *a, const struct dynamic_hash *b);

/** Whether there is no object at all: such a message of a provider is skipped. */
bool dynamic_is_empty(const struct dynamic_config *config);

/** Appends the configuration as YAML that decodes to the same values. */
void dynamic_dump(struct str *out, const struct dynamic_config *config,
		  const struct option_dump *how);

/**
 * Appends the configuration of a plugin as a guest gets it: keys sorted, no white space, Go's
 * escapes. `stringify`: with the types that Traefik's file provider gives it, where scalars have
 * become strings.
 */
void dynamic_plugin_json(const struct tree_node *node, bool stringify, struct str *out);

#endif
