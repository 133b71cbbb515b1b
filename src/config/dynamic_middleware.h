/*
 * The options of the middlewares, one structure per type, as they are written; what a member means
 * is in the table
 * (`dynamic_middleware_options`). Durations are nanoseconds, sizes bytes.
 */
#ifndef CONFIG_DYNAMIC_MIDDLEWARE_H
#define CONFIG_DYNAMIC_MIDDLEWARE_H

#include "config/option.h"

/* X(MEMBER, name in files, structure): every type but `plugin`, which is free-form. */
#define DYNAMIC_MIDDLEWARES(X) \
	X(add_prefix, "addPrefix", dynamic_add_prefix) \
	X(strip_prefix, "stripPrefix", dynamic_strip_prefix) \
	X(strip_prefix_regex, "stripPrefixRegex", dynamic_strip_prefix_regex) \
	X(replace_path, "replacePath", dynamic_replace_path) \
	X(replace_path_regex, "replacePathRegex", dynamic_replace_path_regex) \
	X(chain, "chain", dynamic_chain) \
	X(ip_white_list, "ipWhiteList", dynamic_ip_list) \
	X(ip_allow_list, "ipAllowList", dynamic_ip_list) \
	X(headers, "headers", dynamic_headers) \
	X(encoded_characters, "encodedCharacters", dynamic_encoded_characters) \
	X(errors, "errors", dynamic_errors) \
	X(rate_limit, "rateLimit", dynamic_rate_limit) \
	X(redirect_regex, "redirectRegex", dynamic_redirect_regex) \
	X(redirect_scheme, "redirectScheme", dynamic_redirect_scheme) \
	X(basic_auth, "basicAuth", dynamic_auth) \
	X(digest_auth, "digestAuth", dynamic_auth) \
	X(forward_auth, "forwardAuth", dynamic_forward_auth) \
	X(in_flight_req, "inFlightReq", dynamic_in_flight) \
	X(buffering, "buffering", dynamic_buffering) \
	X(circuit_breaker, "circuitBreaker", dynamic_circuit_breaker) \
	X(compress, "compress", dynamic_compress) \
	X(pass_tls_client_cert, "passTLSClientCert", dynamic_pass_client_cert) \
	X(retry, "retry", dynamic_retry) \
	X(content_type, "contentType", dynamic_content_type) \
	X(grpc_web, "grpcWeb", dynamic_grpc_web)

struct dynamic_add_prefix {
	slice prefix;
};

struct dynamic_strip_prefix {
	struct option_list prefixes;
	bool force_slash;
};

struct dynamic_strip_prefix_regex {
	struct option_list regex;
};

struct dynamic_replace_path {
	slice path;
};

struct dynamic_replace_path_regex {
	slice regex;
	slice replacement;
};

struct dynamic_chain {
	struct option_list middlewares; /* qualified as references of routers are */
};

struct dynamic_ip_strategy {
	int64_t depth;
	struct option_list excluded_ips;
	int64_t ipv6_subnet; /* OPTION_NOT_GIVEN: none */
};

struct dynamic_ip_list {
	struct option_list source_range;
	struct dynamic_ip_strategy *ip_strategy;
	int64_t reject_status_code;
};

struct dynamic_headers {
	struct option_pairs custom_request_headers;
	struct option_pairs custom_response_headers;
	bool access_control_allow_credentials;
	struct option_list access_control_allow_headers;
	struct option_list access_control_allow_methods;
	struct option_list access_control_allow_origin_list;
	struct option_list access_control_allow_origin_list_regex;
	struct option_list access_control_expose_headers;
	int64_t access_control_max_age; /* seconds, or OPTION_NOT_GIVEN */
	bool add_vary_header;
	struct option_list allowed_hosts;
	struct option_list hosts_proxy_headers;
	struct option_pairs ssl_proxy_headers;
	int64_t sts_seconds; /* or OPTION_NOT_GIVEN */
	bool sts_include_subdomains;
	bool sts_preload;
	bool force_sts_header;
	bool frame_deny;
	slice custom_frame_options_value;
	bool content_type_nosniff;
	bool browser_xss_filter;
	slice custom_browser_xss_value;
	slice content_security_policy;
	slice content_security_policy_report_only;
	slice public_key;
	slice referrer_policy;
	slice permissions_policy;
	bool is_development;
	slice feature_policy;
	bool ssl_redirect;
	bool ssl_temporary_redirect;
	slice ssl_host;
	bool ssl_force_host;
};

struct dynamic_encoded_characters {
	bool slash;
	bool back_slash;
	bool null_character;
	bool semicolon;
	bool percent;
	bool question_mark;
	bool hash;
};

struct dynamic_errors {
	struct option_list status;
	struct option_int_pairs status_rewrites;
	slice service; /* qualified as references of routers are */
	slice query;
	struct option_list error_request_headers;
};

struct dynamic_source_criterion {
	struct dynamic_ip_strategy *ip_strategy;
	slice request_header_name;
	bool request_host;
};

struct dynamic_client_tls {
	struct option_content ca;
	struct option_content cert;
	struct option_content key;
	bool insecure_skip_verify;
	bool ca_optional;
};

struct dynamic_redis {
	struct option_list endpoints;
	slice username;
	slice password;
	int64_t db;
	int64_t pool_size;
	int64_t min_idle_conns;
	int64_t max_active_conns;
	int64_t read_timeout_ns;
	int64_t write_timeout_ns;
	int64_t dial_timeout_ns;
	struct dynamic_client_tls *tls;
};

struct dynamic_rate_limit {
	int64_t average;
	int64_t period_ns;
	int64_t burst;
	struct dynamic_source_criterion *source_criterion;
	struct dynamic_redis *redis;
};

struct dynamic_redirect_regex {
	slice regex;
	slice replacement;
	bool permanent;
};

struct dynamic_redirect_scheme {
	slice scheme;
	slice port;
	bool permanent;
};

/** basicAuth and digestAuth. */
struct dynamic_auth {
	struct option_list users;
	slice users_file;
	slice realm;
	bool remove_header;
	slice header_field;
};

struct dynamic_forward_auth {
	slice address;
	enum option_tristate trust_forward_header;
	struct option_list auth_response_headers;
	slice auth_response_headers_regex;
	struct option_list auth_request_headers;
	int64_t max_response_body_size_bytes; /* -1: no limit */
	struct option_list add_auth_cookies_to_response;
	slice header_field;
	bool forward_body;
	int64_t max_body_size_bytes; /* -1: no limit */
	bool preserve_location_header;
	bool preserve_request_method;
	slice auth_signin_url;
	struct dynamic_client_tls *tls;
};

struct dynamic_in_flight {
	int64_t amount;
	struct dynamic_source_criterion *source_criterion;
};

struct dynamic_buffering {
	int64_t max_request_body_bytes;
	int64_t mem_request_body_bytes;
	int64_t max_response_body_bytes;
	int64_t mem_response_body_bytes;
	slice retry_expression;
};

struct dynamic_circuit_breaker {
	slice expression;
	int64_t check_period_ns;
	int64_t fallback_duration_ns;
	int64_t recovery_duration_ns;
	int64_t response_code;
};

struct dynamic_compress {
	struct option_list excluded_content_types;
	struct option_list included_content_types;
	int64_t min_response_body_bytes;
	struct option_list encodings;
	slice default_encoding;
};

/** Which parts of a subject or an issuer are passed on. */
struct dynamic_distinguished_name {
	bool country;
	bool province;
	bool locality;
	bool organization;
	bool organizational_unit; /* of a subject */
	bool common_name;
	bool serial_number;
	bool domain_component;
};

struct dynamic_client_cert_info {
	bool not_after;
	bool not_before;
	bool sans;
	bool serial_number;
	struct dynamic_distinguished_name *subject;
	struct dynamic_distinguished_name *issuer;
};

struct dynamic_pass_client_cert {
	bool pem;
	struct dynamic_client_cert_info *info;
};

struct dynamic_retry {
	int64_t attempts;
	int64_t timeout_ns;
	int64_t initial_interval_ns;
	int64_t max_request_body_bytes;
	struct option_list status;
	bool disable_retry_on_network_error;
	bool retry_non_idempotent_method;
};

struct dynamic_content_type {
	enum option_tristate auto_detect;
};

struct dynamic_grpc_web {
	struct option_list allow_origins;
};

/** The rows of all types, `plugin` included; a part of `dynamic_options`. */
extern const struct option dynamic_middleware_options[];

#endif
