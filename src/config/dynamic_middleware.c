#include "config/dynamic_private.h"

/* The middlewares, in Traefik's names. */

static const struct option add_prefix_rows[] = {
	OPT_STRING("prefix", struct dynamic_add_prefix, prefix, NULL, "Prefix of the path to be."),
	OPT_END,
};

static const struct option strip_prefix_rows[] = {
	OPT_LIST("prefixes", struct dynamic_strip_prefix, prefixes, NULL,
		 "Prefixes; the first that fits is removed."),
	OPT_BOOL("forceSlash", struct dynamic_strip_prefix, force_slash, "false", "Deprecated."),
	OPT_END,
};

static const struct option strip_prefix_regex_rows[] = {
	OPT_LIST("regex", struct dynamic_strip_prefix_regex, regex, NULL,
		 "Expressions; what the first that fits matches is removed."),
	OPT_END,
};

static const struct option replace_path_rows[] = {
	OPT_STRING("path", struct dynamic_replace_path, path, NULL, "The path instead."),
	OPT_END,
};

static const struct option replace_path_regex_rows[] = {
	OPT_STRING("regex", struct dynamic_replace_path_regex, regex, NULL,
		   "Expression for the path."),
	OPT_STRING("replacement", struct dynamic_replace_path_regex, replacement, NULL,
		   "What replaces it."),
	OPT_END,
};

static const struct option chain_rows[] = {
	OPT_LIST("middlewares", struct dynamic_chain, middlewares, NULL, "Middlewares, in order."),
	OPT_END,
};

static const struct option ip_strategy_rows[] = {
	OPT_INT("depth", struct dynamic_ip_strategy, depth, "0",
		"Which address of X-Forwarded-For counts, from the right; 0: the peer."),
	OPT_LIST("excludedIPs", struct dynamic_ip_strategy, excluded_ips, NULL,
		 "Addresses of X-Forwarded-For that are passed over."),
	OPT_INT("ipv6Subnet", struct dynamic_ip_strategy, ipv6_subnet, NULL,
		"Length of the network that stands for an IPv6 address.", .flags = OPTION_OPTIONAL),
	OPT_END,
};

static const struct option ip_white_list_rows[] = {
	OPT_LIST("sourceRange", struct dynamic_ip_list, source_range, NULL,
		 "Addresses and networks that may pass."),
	OPT_POINTER("ipStrategy", struct dynamic_ip_list, ip_strategy, ip_strategy_rows,
		    "Which address counts.", .flags = OPTION_ALLOW_EMPTY),
	OPT_END,
};

static const struct option ip_allow_list_rows[] = {
	OPT_LIST("sourceRange", struct dynamic_ip_list, source_range, NULL,
		 "Addresses and networks that may pass."),
	OPT_POINTER("ipStrategy", struct dynamic_ip_list, ip_strategy, ip_strategy_rows,
		    "Which address counts.", .flags = OPTION_ALLOW_EMPTY),
	OPT_INT("rejectStatusCode", struct dynamic_ip_list, reject_status_code, "403",
		"Status for the others.", .flags = OPTION_SHOWN_SET),
	OPT_END,
};

#define IGNORED(instead) \
	.status = ACCEPTED, .hint = "Traefik does not do anything with it either; use " instead

static const struct option headers_rows[] = {
	OPT_PAIRS("customRequestHeaders", struct dynamic_headers, custom_request_headers,
		  "Headers to set in requests; an empty value removes."),
	OPT_PAIRS("customResponseHeaders", struct dynamic_headers, custom_response_headers,
		  "Headers to set in responses; an empty value removes."),
	OPT_BOOL("accessControlAllowCredentials", struct dynamic_headers,
		 access_control_allow_credentials, "false", "CORS."),
	OPT_LIST("accessControlAllowHeaders", struct dynamic_headers, access_control_allow_headers,
		 NULL, "CORS."),
	OPT_LIST("accessControlAllowMethods", struct dynamic_headers, access_control_allow_methods,
		 NULL, "CORS."),
	OPT_LIST("accessControlAllowOriginList", struct dynamic_headers,
		 access_control_allow_origin_list, NULL, "CORS."),
	OPT_LIST("accessControlAllowOriginListRegex", struct dynamic_headers,
		 access_control_allow_origin_list_regex, NULL, "CORS."),
	OPT_LIST("accessControlExposeHeaders", struct dynamic_headers,
		 access_control_expose_headers, NULL, "CORS."),
	OPT_INT("accessControlMaxAge", struct dynamic_headers, access_control_max_age, NULL,
		"CORS; seconds.", .flags = OPTION_OPTIONAL),
	OPT_BOOL("addVaryHeader", struct dynamic_headers, add_vary_header, "false",
		 "Add Vary where CORS headers depend on the origin."),
	OPT_LIST("allowedHosts", struct dynamic_headers, allowed_hosts, NULL,
		 "Hosts that are served."),
	OPT_LIST("hostsProxyHeaders", struct dynamic_headers, hosts_proxy_headers, NULL,
		 "Headers that may hold the host."),
	OPT_PAIRS("sslProxyHeaders", struct dynamic_headers, ssl_proxy_headers,
		  "Headers that say that the request came by TLS."),
	OPT_INT("stsSeconds", struct dynamic_headers, sts_seconds, NULL,
		"Strict-Transport-Security; 0: none.", .flags = OPTION_OPTIONAL),
	OPT_BOOL("stsIncludeSubdomains", struct dynamic_headers, sts_include_subdomains, "false",
		 "Strict-Transport-Security."),
	OPT_BOOL("stsPreload", struct dynamic_headers, sts_preload, "false",
		 "Strict-Transport-Security."),
	OPT_BOOL("forceSTSHeader", struct dynamic_headers, force_sts_header, "false",
		 "Strict-Transport-Security without TLS too."),
	OPT_BOOL("frameDeny", struct dynamic_headers, frame_deny, "false", "X-Frame-Options."),
	OPT_STRING("customFrameOptionsValue", struct dynamic_headers, custom_frame_options_value,
		   NULL, "X-Frame-Options."),
	OPT_BOOL("contentTypeNosniff", struct dynamic_headers, content_type_nosniff, "false",
		 "X-Content-Type-Options."),
	OPT_BOOL("browserXssFilter", struct dynamic_headers, browser_xss_filter, "false",
		 "X-XSS-Protection."),
	OPT_STRING("customBrowserXSSValue", struct dynamic_headers, custom_browser_xss_value, NULL,
		   "X-XSS-Protection."),
	OPT_STRING("contentSecurityPolicy", struct dynamic_headers, content_security_policy, NULL,
		   "Content-Security-Policy."),
	OPT_STRING("contentSecurityPolicyReportOnly", struct dynamic_headers,
		   content_security_policy_report_only, NULL,
		   "Content-Security-Policy-Report-Only."),
	OPT_STRING("publicKey", struct dynamic_headers, public_key, NULL, "Public-Key-Pins."),
	OPT_STRING("referrerPolicy", struct dynamic_headers, referrer_policy, NULL,
		   "Referrer-Policy."),
	OPT_STRING("permissionsPolicy", struct dynamic_headers, permissions_policy, NULL,
		   "Permissions-Policy."),
	OPT_BOOL("isDevelopment", struct dynamic_headers, is_development, "false",
		 "Leave the security headers out."),
	OPT_STRING("featurePolicy", struct dynamic_headers, feature_policy, NULL, "Deprecated.",
		   IGNORED("permissionsPolicy")),
	OPT_BOOL("sslRedirect", struct dynamic_headers, ssl_redirect, "false", "Deprecated.",
		 IGNORED("redirectScheme")),
	OPT_BOOL("sslTemporaryRedirect", struct dynamic_headers, ssl_temporary_redirect, "false",
		 "Deprecated.", IGNORED("redirectScheme")),
	OPT_STRING("sslHost", struct dynamic_headers, ssl_host, NULL, "Deprecated.",
		   IGNORED("redirectRegex")),
	OPT_BOOL("sslForceHost", struct dynamic_headers, ssl_force_host, "false", "Deprecated.",
		 IGNORED("redirectRegex")),
	OPT_END,
};

static const struct option encoded_characters_rows[] = {
	OPT_BOOL("allowEncodedSlash", struct dynamic_encoded_characters, slash, "false",
		 "Allow %2F."),
	OPT_BOOL("allowEncodedBackSlash", struct dynamic_encoded_characters, back_slash, "false",
		 "Allow %5C."),
	OPT_BOOL("allowEncodedNullCharacter", struct dynamic_encoded_characters, null_character,
		 "false", "Allow %00."),
	OPT_BOOL("allowEncodedSemicolon", struct dynamic_encoded_characters, semicolon, "false",
		 "Allow %3B."),
	OPT_BOOL("allowEncodedPercent", struct dynamic_encoded_characters, percent, "false",
		 "Allow %25."),
	OPT_BOOL("allowEncodedQuestionMark", struct dynamic_encoded_characters, question_mark,
		 "false", "Allow %3F."),
	OPT_BOOL("allowEncodedHash", struct dynamic_encoded_characters, hash, "false",
		 "Allow %23."),
	OPT_END,
};

static const struct option errors_rows[] = {
	OPT_LIST("status", struct dynamic_errors, status, NULL, "Statuses that are replaced."),
	OPT_INT_PAIRS("statusRewrites", struct dynamic_errors, status_rewrites,
		      "Statuses to answer with instead."),
	OPT_STRING("service", struct dynamic_errors, service, NULL, "Service that gives the page.",
		   .flags = OPTION_AS_WRITTEN),
	OPT_STRING("query", struct dynamic_errors, query, NULL, "Path of the page."),
	OPT_LIST("errorRequestHeaders", struct dynamic_errors, error_request_headers, NULL,
		 "Headers of the request to pass on."),
	OPT_END,
};

static const struct option source_criterion_rows[] = {
	OPT_POINTER("ipStrategy", struct dynamic_source_criterion, ip_strategy, ip_strategy_rows,
		    "By address."),
	OPT_STRING("requestHeaderName", struct dynamic_source_criterion, request_header_name, NULL,
		   "By a header."),
	OPT_BOOL("requestHost", struct dynamic_source_criterion, request_host, "false", "By host."),
	OPT_END,
};

static const struct option redis_tls_rows[] = {
	OPT_CONTENT("ca", struct dynamic_client_tls, ca, NULL,
		    "Authorities; none: those of the system."),
	OPT_CONTENT("cert", struct dynamic_client_tls, cert, NULL, "Certificate to show."),
	OPT_CONTENT("key", struct dynamic_client_tls, key, NULL, "Its key.",
		    .flags = OPTION_SECRET),
	OPT_BOOL("insecureSkipVerify", struct dynamic_client_tls, insecure_skip_verify, "false",
		 "Accept any certificate."),
	OPT_END,
};

static const struct option redis_rows[] = {
	OPT_LIST("endpoints", struct dynamic_redis, endpoints, "localhost:6379",
		 "Address of the server, host:port, or the path of its socket; several: of a Redis "
		 "Cluster."),
	OPT_STRING("username", struct dynamic_redis, username, NULL, "User."),
	OPT_STRING("password", struct dynamic_redis, password, NULL, "Password.",
		   .flags = OPTION_SECRET),
	OPT_INT("db", struct dynamic_redis, db, "0", "Number of the database."),
	OPT_INT("poolSize", struct dynamic_redis, pool_size, "0",
		"Connections at most, of all workers together but one for each at least; 0: 10 for "
		"each."),
	OPT_INT("minIdleConns", struct dynamic_redis, min_idle_conns, "0",
		"Connections that are kept open, of all workers together."),
	OPT_INT("maxActiveConns", struct dynamic_redis, max_active_conns, "0",
		"A further limit, as poolSize; 0: none."),
	OPT_DURATION("readTimeout", struct dynamic_redis, read_timeout_ns, "3s",
		     "Time for an answer."),
	OPT_DURATION("writeTimeout", struct dynamic_redis, write_timeout_ns, "3s",
		     "Time in which a connection that takes nothing must take something."),
	OPT_DURATION("dialTimeout", struct dynamic_redis, dial_timeout_ns, "5s",
		     "Time to connect and to log in, and to wait for that."),
	OPT_POINTER("tls", struct dynamic_redis, tls, redis_tls_rows, "TLS."),
	OPT_END,
};

static const struct option rate_limit_rows[] = {
	OPT_INT("average", struct dynamic_rate_limit, average, "0",
		"Requests per period; 0: no limit."),
	OPT_DURATION("period", struct dynamic_rate_limit, period_ns, "1s", "The period."),
	OPT_INT("burst", struct dynamic_rate_limit, burst, "1", "Requests at once."),
	OPT_POINTER("sourceCriterion", struct dynamic_rate_limit, source_criterion,
		    source_criterion_rows, "What counts as one client."),
	OPT_POINTER("redis", struct dynamic_rate_limit, redis, redis_rows,
		    "Keeps the counts in Redis, for all proxies together."),
	OPT_END,
};

static const struct option redirect_regex_rows[] = {
	OPT_STRING("regex", struct dynamic_redirect_regex, regex, NULL, "Expression for the URL."),
	OPT_STRING("replacement", struct dynamic_redirect_regex, replacement, NULL,
		   "The URL instead."),
	OPT_BOOL("permanent", struct dynamic_redirect_regex, permanent, "false",
		 "301 instead of 302."),
	OPT_END,
};

static const struct option redirect_scheme_rows[] = {
	OPT_STRING("scheme", struct dynamic_redirect_scheme, scheme, NULL, "The scheme instead."),
	OPT_STRING("port", struct dynamic_redirect_scheme, port, NULL, "The port instead."),
	OPT_BOOL("permanent", struct dynamic_redirect_scheme, permanent, "false",
		 "301 instead of 302."),
	OPT_END,
};

static const struct option auth_rows[] = {
	OPT_LIST("users", struct dynamic_auth, users, NULL, "name:hash", .flags = OPTION_SECRET),
	OPT_STRING("usersFile", struct dynamic_auth, users_file, NULL,
		   "File with one of them a line."),
	OPT_STRING("realm", struct dynamic_auth, realm, "traefik", "Realm.",
		   .flags = OPTION_SHOWN_SET),
	OPT_BOOL("removeHeader", struct dynamic_auth, remove_header, "false",
		 "Remove Authorization."),
	OPT_STRING("headerField", struct dynamic_auth, header_field, NULL,
		   "Header that gets the user's name."),
	OPT_END,
};

static const struct option forward_tls_rows[] = {
	OPT_CONTENT("ca", struct dynamic_client_tls, ca, NULL, "Authority."),
	OPT_CONTENT("cert", struct dynamic_client_tls, cert, NULL, "Certificate."),
	OPT_CONTENT("key", struct dynamic_client_tls, key, NULL, "Key.", .flags = OPTION_SECRET),
	OPT_BOOL("insecureSkipVerify", struct dynamic_client_tls, insecure_skip_verify, "false",
		 "Accept any certificate."),
	OPT_BOOL("caOptional", struct dynamic_client_tls, ca_optional, "false", "Deprecated."),
	OPT_END,
};

static const struct option forward_auth_rows[] = {
	OPT_STRING("address", struct dynamic_forward_auth, address, NULL,
		   "URL of the service that decides."),
	OPT_TRISTATE("trustForwardHeader", struct dynamic_forward_auth, trust_forward_header, NULL,
		     "Pass X-Forwarded headers on."),
	OPT_LIST("authResponseHeaders", struct dynamic_forward_auth, auth_response_headers, NULL,
		 "Headers of its answer to copy to the request."),
	OPT_STRING("authResponseHeadersRegex", struct dynamic_forward_auth,
		   auth_response_headers_regex, NULL, "The same by expression."),
	OPT_LIST("authRequestHeaders", struct dynamic_forward_auth, auth_request_headers, NULL,
		 "Headers of the request that it gets; empty: all."),
	OPT_INT("maxResponseBodySize", struct dynamic_forward_auth, max_response_body_size_bytes,
		"-1", "Largest body of its answer.", .flags = OPTION_SHOWN | OPTION_SHOWN_SET),
	OPT_LIST("addAuthCookiesToResponse", struct dynamic_forward_auth,
		 add_auth_cookies_to_response, NULL,
		 "Cookies of its answer to copy to the response."),
	OPT_STRING("headerField", struct dynamic_forward_auth, header_field, NULL,
		   "Header that gets the user's name."),
	OPT_BOOL("forwardBody", struct dynamic_forward_auth, forward_body, "false",
		 "Send it the body."),
	OPT_INT("maxBodySize", struct dynamic_forward_auth, max_body_size_bytes, "-1",
		"Largest body that it gets.", .flags = OPTION_SHOWN),
	OPT_BOOL("preserveLocationHeader", struct dynamic_forward_auth, preserve_location_header,
		 "false", "Leave its Location as it is."),
	OPT_BOOL("preserveRequestMethod", struct dynamic_forward_auth, preserve_request_method,
		 "false", "Ask with the method of the request."),
	OPT_STRING("authSigninURL", struct dynamic_forward_auth, auth_signin_url, NULL,
		   "Where to send a client that gets 401."),
	OPT_POINTER("tls", struct dynamic_forward_auth, tls, forward_tls_rows, "TLS."),
	OPT_END,
};

static const struct option in_flight_rows[] = {
	OPT_INT("amount", struct dynamic_in_flight, amount, "0", "Requests at the same time."),
	OPT_POINTER("sourceCriterion", struct dynamic_in_flight, source_criterion,
		    source_criterion_rows, "What counts as one client."),
	OPT_END,
};

static const struct option buffering_rows[] = {
	OPT_INT("maxRequestBodyBytes", struct dynamic_buffering, max_request_body_bytes, "0",
		"Largest body of a request; 0: any."),
	OPT_INT("memRequestBodyBytes", struct dynamic_buffering, mem_request_body_bytes, "1048576",
		"How much of it stays in memory.", .flags = OPTION_SHOWN_SET),
	OPT_INT("maxResponseBodyBytes", struct dynamic_buffering, max_response_body_bytes, "0",
		"Largest body of a response; 0: any."),
	OPT_INT("memResponseBodyBytes", struct dynamic_buffering, mem_response_body_bytes,
		"1048576", "How much of it stays in memory.", .flags = OPTION_SHOWN_SET),
	OPT_STRING("retryExpression", struct dynamic_buffering, retry_expression, NULL,
		   "When to try again."),
	OPT_END,
};

static const struct option circuit_breaker_rows[] = {
	OPT_STRING("expression", struct dynamic_circuit_breaker, expression, NULL,
		   "When it trips."),
	OPT_DURATION("checkPeriod", struct dynamic_circuit_breaker, check_period_ns, "100ms",
		     "How often that is looked at."),
	OPT_DURATION("fallbackDuration", struct dynamic_circuit_breaker, fallback_duration_ns,
		     "10s", "How long it stays open."),
	OPT_DURATION("recoveryDuration", struct dynamic_circuit_breaker, recovery_duration_ns,
		     "10s", "How long it takes to close."),
	OPT_INT("responseCode", struct dynamic_circuit_breaker, response_code, "503",
		"Status while it is open."),
	OPT_END,
};

static const struct option compress_rows[] = {
	OPT_LIST("excludedContentTypes", struct dynamic_compress, excluded_content_types, NULL,
		 "Types of responses, and of requests, to leave alone."),
	OPT_LIST("includedContentTypes", struct dynamic_compress, included_content_types, NULL,
		 "Types of responses to compress; not together with `excludedContentTypes`."),
	OPT_INT("minResponseBodyBytes", struct dynamic_compress, min_response_body_bytes, "1024",
		"Shortest body to compress, where its length is known.", .flags = OPTION_SHOWN_SET),
	OPT_LIST("encodings", struct dynamic_compress, encodings, "gzip,br,zstd",
		 "`gzip`, `br`, `zstd`: what is offered, the best first."),
	OPT_STRING("defaultEncoding", struct dynamic_compress, default_encoding, NULL,
		   "For clients that send no Accept-Encoding, or take any; empty: none, or the "
		   "first."),
	OPT_END,
};

static const struct option distinguished_subject_rows[] = {
	OPT_BOOL("country", struct dynamic_distinguished_name, country, "false", "C."),
	OPT_BOOL("province", struct dynamic_distinguished_name, province, "false", "ST."),
	OPT_BOOL("locality", struct dynamic_distinguished_name, locality, "false", "L."),
	OPT_BOOL("organization", struct dynamic_distinguished_name, organization, "false", "O."),
	OPT_BOOL("organizationalUnit", struct dynamic_distinguished_name, organizational_unit,
		 "false", "OU."),
	OPT_BOOL("commonName", struct dynamic_distinguished_name, common_name, "false", "CN."),
	OPT_BOOL("serialNumber", struct dynamic_distinguished_name, serial_number, "false", "SN."),
	OPT_BOOL("domainComponent", struct dynamic_distinguished_name, domain_component, "false",
		 "DC."),
	OPT_END,
};

static const struct option distinguished_issuer_rows[] = {
	OPT_BOOL("country", struct dynamic_distinguished_name, country, "false", "C."),
	OPT_BOOL("province", struct dynamic_distinguished_name, province, "false", "ST."),
	OPT_BOOL("locality", struct dynamic_distinguished_name, locality, "false", "L."),
	OPT_BOOL("organization", struct dynamic_distinguished_name, organization, "false", "O."),
	OPT_BOOL("commonName", struct dynamic_distinguished_name, common_name, "false", "CN."),
	OPT_BOOL("serialNumber", struct dynamic_distinguished_name, serial_number, "false", "SN."),
	OPT_BOOL("domainComponent", struct dynamic_distinguished_name, domain_component, "false",
		 "DC."),
	OPT_END,
};

static const struct option client_cert_info_rows[] = {
	OPT_BOOL("notAfter", struct dynamic_client_cert_info, not_after, "false",
		 "End of validity."),
	OPT_BOOL("notBefore", struct dynamic_client_cert_info, not_before, "false",
		 "Start of validity."),
	OPT_BOOL("sans", struct dynamic_client_cert_info, sans, "false", "Other names."),
	OPT_BOOL("serialNumber", struct dynamic_client_cert_info, serial_number, "false",
		 "Serial number."),
	OPT_POINTER("subject", struct dynamic_client_cert_info, subject, distinguished_subject_rows,
		    "Parts of the subject."),
	OPT_POINTER("issuer", struct dynamic_client_cert_info, issuer, distinguished_issuer_rows,
		    "Parts of the issuer."),
	OPT_END,
};

static const struct option pass_client_cert_rows[] = {
	OPT_BOOL("pem", struct dynamic_pass_client_cert, pem, "false", "The certificate itself."),
	OPT_POINTER("info", struct dynamic_pass_client_cert, info, client_cert_info_rows,
		    "Parts of it."),
	OPT_END,
};

static const struct option retry_rows[] = {
	OPT_INT("attempts", struct dynamic_retry, attempts, "0",
		"Attempts, the first one included."),
	OPT_DURATION("timeout", struct dynamic_retry, timeout_ns, "0s",
		     "Time for all of them; 0: no limit."),
	OPT_DURATION("initialInterval", struct dynamic_retry, initial_interval_ns, "0s",
		     "Pause before the second one."),
	OPT_INT("maxRequestBodyBytes", struct dynamic_retry, max_request_body_bytes, "2097152",
		"Largest body that is kept."),
	OPT_LIST("status", struct dynamic_retry, status, NULL, "Statuses that are tried again."),
	OPT_BOOL("disableRetryOnNetworkError", struct dynamic_retry, disable_retry_on_network_error,
		 "false", "Only for statuses."),
	OPT_BOOL("retryNonIdempotentMethod", struct dynamic_retry, retry_non_idempotent_method,
		 "false", "Also POST and the like."),
	OPT_END,
};

static const struct option content_type_rows[] = {
	OPT_TRISTATE("autoDetect", struct dynamic_content_type, auto_detect, NULL,
		     "Deprecated: `false` turns the middleware off."),
	OPT_END,
};

static const struct option grpc_web_rows[] = {
	OPT_LIST("allowOrigins", struct dynamic_grpc_web, allow_origins, NULL, "Origins."),
	OPT_END,
};

#define TYPE(key, member, rows, flags_, text) \
	OPT_POINTER(key, struct dynamic_middleware, member, rows, text, .flags = (flags_))
#define LATER(key, member, rows, flags_, text) \
	OPT_POINTER(key, struct dynamic_middleware, member, rows, text, .flags = (flags_), \
		    .status = REFUSED, .hint = "this type of middleware is not available yet")

const struct option dynamic_middleware_options[] = {
	TYPE("addPrefix", add_prefix, add_prefix_rows, 0, "Put something in front of the path."),
	TYPE("stripPrefix", strip_prefix, strip_prefix_rows, 0, "Remove the start of the path."),
	TYPE("stripPrefixRegex", strip_prefix_regex, strip_prefix_regex_rows, 0,
	     "Remove the start of the path by expression."),
	TYPE("replacePath", replace_path, replace_path_rows, 0, "Replace the path."),
	TYPE("replacePathRegex", replace_path_regex, replace_path_regex_rows, 0,
	     "Replace the path by expression."),
	TYPE("chain", chain, chain_rows, 0, "Several middlewares under one name."),
	TYPE("ipWhiteList", ip_white_list, ip_white_list_rows, 0,
	     "Deprecated name of ipAllowList."),
	TYPE("ipAllowList", ip_allow_list, ip_allow_list_rows, 0, "Let only some clients pass."),
	TYPE("headers", headers, headers_rows, 0, "Change headers."),
	TYPE("encodedCharacters", encoded_characters, encoded_characters_rows, 0,
	     "Which encoded characters a path may hold."),
	TYPE("errors", errors, errors_rows, 0, "Replace error pages."),
	TYPE("rateLimit", rate_limit, rate_limit_rows, 0, "Limit the rate of requests."),
	TYPE("redirectRegex", redirect_regex, redirect_regex_rows, 0, "Redirect by expression."),
	TYPE("redirectScheme", redirect_scheme, redirect_scheme_rows, 0,
	     "Redirect to another scheme."),
	TYPE("basicAuth", basic_auth, auth_rows, 0, "Ask for a password."),
	TYPE("digestAuth", digest_auth, auth_rows, 0, "Ask for a password, by digest."),
	TYPE("forwardAuth", forward_auth, forward_auth_rows, 0, "Let another service decide."),
	TYPE("inFlightReq", in_flight_req, in_flight_rows, 0,
	     "Limit the requests at the same time."),
	TYPE("buffering", buffering, buffering_rows, 0, "Keep bodies until they are complete."),
	TYPE("circuitBreaker", circuit_breaker, circuit_breaker_rows, 0,
	     "Give a failing service a rest."),
	TYPE("compress", compress, compress_rows, OPTION_ALLOW_EMPTY, "Compress responses."),
	TYPE("passTLSClientCert", pass_tls_client_cert, pass_client_cert_rows, 0,
	     "Pass the client certificate on."),
	TYPE("retry", retry, retry_rows, 0, "Try again."),
	TYPE("contentType", content_type, content_type_rows, OPTION_ALLOW_EMPTY,
	     "Guess a missing Content-Type."),
	LATER("grpcWeb", grpc_web, grpc_web_rows, 0, "Translate gRPC-Web."),
	OPT_FREE_MAP("plugin", struct dynamic_middleware, plugin,
		     "A plugin, by its alias of the static configuration, with its own options."),
	OPT_END,
};
