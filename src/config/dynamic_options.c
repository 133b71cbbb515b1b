#include "config/dynamic_private.h"

/* Every key below `http` but the middlewares, in Traefik's names. */

#define LATER(text) .status = REFUSED, .hint = (text)
#define HARMLESS(text) .status = ACCEPTED, .hint = (text)

static const struct option domain_rows[] = {
	OPT_STRING("main", struct dynamic_domain, main, NULL, "Main name of the certificate."),
	OPT_LIST("sans", struct dynamic_domain, sans, NULL, "Its other names."),
	OPT_END,
};

const struct option dynamic_router_tls_options[] = {
	OPT_STRING("options", struct dynamic_router_tls, options, NULL,
		   "Name of the TLS options; empty: `default`."),
	OPT_STRING("certResolver", struct dynamic_router_tls, cert_resolver, NULL,
		   "Resolver that gets certificates for the router's hosts.",
		   HARMLESS("weir gets no certificates; it uses those of tls.certificates")),
	OPT_ARRAY("domains", struct dynamic_router_tls, domains, struct dynamic_domain, domain_rows,
		  "Names to get certificates for instead of those in the rule.",
		  HARMLESS("weir gets no certificates; it uses those of tls.certificates")),
	OPT_END,
};

static const struct option observability_rows[] = {
	OPT_TRISTATE("accessLogs", struct dynamic_observability, access_logs, NULL,
		     "Whether requests go to the access log; absent: as the entry point says."),
	OPT_TRISTATE("metrics", struct dynamic_observability, metrics, NULL,
		     "Whether requests are counted; absent: as the entry point says."),
	OPT_TRISTATE("tracing", struct dynamic_observability, tracing, NULL,
		     "Whether requests are traced; absent: as the entry point says.",
		     HARMLESS("weir does not trace requests")),
	OPT_STRING("traceVerbosity", struct dynamic_observability, trace_verbosity, NULL,
		   "`minimal` or `detailed`.", HARMLESS("weir does not trace requests")),
	OPT_END,
};

const struct option dynamic_router_options[] = {
	OPT_LIST("entryPoints", struct dynamic_router, entry_points, NULL,
		 "Entry points that the router listens on; empty: the default ones."),
	OPT_LIST("middlewares", struct dynamic_router, middlewares, NULL,
		 "Middlewares that a request passes before the service, in order."),
	OPT_STRING("service", struct dynamic_router, service, NULL, "Where requests go.",
		   .flags = OPTION_AS_WRITTEN),
	OPT_STRING("rule", struct dynamic_router, rule, NULL, "Which requests the router takes."),
	OPT_LIST("parentRefs", struct dynamic_router, parent_refs, NULL,
		 "Routers that hand their requests to this one.",
		 LATER("routers in layers are not served yet")),
	OPT_STRING("ruleSyntax", struct dynamic_router, rule_syntax, NULL,
		   "`v3` or `v2`; deprecated."),
	OPT_INT("priority", struct dynamic_router, priority, "0",
		"The larger one wins; 0: the length of the rule in bytes."),
	OPT_POINTER("tls", struct dynamic_router, tls, dynamic_router_tls_options,
		    "Take TLS connections, and no others.", .flags = OPTION_ALLOW_EMPTY),
	OPT_POINTER("observability", struct dynamic_router, observability, observability_rows,
		    "What of the requests is recorded."),
	OPT_END,
};

static const struct option cookie_rows[] = {
	OPT_STRING("name", struct dynamic_cookie, name, NULL,
		   "Name; empty: `_` and five digits of a hash of the service's name."),
	OPT_BOOL("secure", struct dynamic_cookie, secure, "false", "Only over TLS."),
	OPT_BOOL("httpOnly", struct dynamic_cookie, http_only, "false", "Not for scripts."),
	OPT_STRING("sameSite", struct dynamic_cookie, same_site, NULL,
		   "`none`, `lax` or `strict`."),
	OPT_INT("maxAge", struct dynamic_cookie, max_age, "0",
		"Seconds; 0: until the browser closes."),
	OPT_STRING("path", struct dynamic_cookie, path, "/", "Path.", .flags = OPTION_SHOWN),
	OPT_STRING("domain", struct dynamic_cookie, domain, NULL, "Domain."),
	OPT_END,
};

static const struct option sticky_rows[] = {
	OPT_POINTER("cookie", struct dynamic_sticky, cookie, cookie_rows,
		    "The cookie that names the server.", .flags = OPTION_ALLOW_EMPTY),
	OPT_END,
};

static const struct option server_rows[] = {
	OPT_STRING("url", struct dynamic_server, url, NULL,
		   "Scheme, host and port; the path is ignored unless `preservePath` is set. Or "
		   "`unix:///path` of a socket."),
	OPT_INT("weight", struct dynamic_server, weight, "1", "Share of the requests; 0: none.",
		.flags = OPTION_SHOWN | OPTION_SHOWN_SET),
	OPT_BOOL("preservePath", struct dynamic_server, preserve_path, "false",
		 "Put the path of the URL in front of the request's."),
	OPT_END,
};

static const struct option health_check_rows[] = {
	OPT_STRING("scheme", struct dynamic_health_check, scheme, NULL,
		   "Scheme, if it differs from the server's."),
	OPT_STRING("mode", struct dynamic_health_check, mode, "http", "`http` or `grpc`."),
	OPT_STRING("path", struct dynamic_health_check, path, NULL, "Path to ask for."),
	OPT_STRING("method", struct dynamic_health_check, method, "GET", "Method to ask with."),
	OPT_INT("status", struct dynamic_health_check, status, "0",
		"Expected status; 0: 200 to 399."),
	OPT_INT("port", struct dynamic_health_check, port, "0", "Port; 0: the server's."),
	OPT_DURATION("interval", struct dynamic_health_check, interval_ns, "30s",
		     "Time between two probes."),
	OPT_DURATION("unhealthyInterval", struct dynamic_health_check, unhealthy_interval_ns, NULL,
		     "The same for a server that is down; absent: `interval`.",
		     .flags = OPTION_OPTIONAL),
	OPT_DURATION("timeout", struct dynamic_health_check, timeout_ns, "5s",
		     "Time that a probe may take."),
	OPT_STRING("hostname", struct dynamic_health_check, hostname, NULL, "Host of the probe."),
	OPT_BOOL("followRedirects", struct dynamic_health_check, follow_redirects, "true",
		 "Follow redirections.", .flags = OPTION_SHOWN),
	OPT_PAIRS("headers", struct dynamic_health_check, headers, "Headers of the probe.",
		  .flags = OPTION_SECRET),
	OPT_END,
};

static const struct option passive_health_check_rows[] = {
	OPT_DURATION("failureWindow", struct dynamic_passive_health_check, failure_window_ns, "10s",
		     "Time in which failures count, and for which a server is left out."),
	OPT_INT("maxFailedAttempts", struct dynamic_passive_health_check, max_failed_attempts, "1",
		"Failures that take a server out."),
	OPT_END,
};

static const struct option response_forwarding_rows[] = {
	OPT_DURATION("flushInterval", struct dynamic_response_forwarding, flush_interval_ns,
		     "100ms", "Longest time that bytes of a response are held back.",
		     HARMLESS("weir never holds bytes of a response back")),
	OPT_END,
};

static const struct option load_balancer_rows[] = {
	OPT_POINTER("sticky", struct dynamic_load_balancer, sticky, sticky_rows,
		    "Keep a client with its server.", .flags = OPTION_ALLOW_EMPTY,
		    LATER("clients would move between the servers")),
	OPT_ARRAY("servers", struct dynamic_load_balancer, servers, struct dynamic_server,
		  server_rows, "The servers."),
	OPT_STRING("strategy", struct dynamic_load_balancer, strategy, "wrr",
		   "`wrr`: by weight, in turn."),
	OPT_POINTER("healthCheck", struct dynamic_load_balancer, health_check, health_check_rows,
		    "Ask the servers regularly whether they are well.",
		    HARMLESS("all servers count as healthy")),
	OPT_POINTER("passiveHealthCheck", struct dynamic_load_balancer, passive_health_check,
		    passive_health_check_rows, "Leave servers out that failed.",
		    HARMLESS("all servers count as healthy")),
	OPT_BOOL("passHostHeader", struct dynamic_load_balancer, pass_host_header, "true",
		 "Send the client's Host header on; otherwise the server's address.",
		 .flags = OPTION_SHOWN),
	OPT_OBJECT("responseForwarding", struct dynamic_load_balancer, response_forwarding,
		   response_forwarding_rows, "How responses are passed on."),
	OPT_STRING("serversTransport", struct dynamic_load_balancer, servers_transport, NULL,
		   "Name of the transport; empty: the default one."),
	OPT_END,
};

static const struct option no_rows[] = {
	OPT_END,
};

#define CHILD_HEALTH(structure) \
	OPT_POINTER("healthCheck", struct structure, health_check, no_rows, \
		    "Pass the state of the children on to the parents.", \
		    .flags = OPTION_ALLOW_EMPTY)

static const struct option weighted_service_rows[] = {
	OPT_STRING("name", struct dynamic_weighted_service, name, NULL, "Name of the service.",
		   .flags = OPTION_AS_WRITTEN),
	OPT_INT("weight", struct dynamic_weighted_service, weight, "1", "Share of the requests.",
		.flags = OPTION_SHOWN),
	OPT_END,
};

static const struct option weighted_rows[] = {
	OPT_ARRAY("services", struct dynamic_weighted, services, struct dynamic_weighted_service,
		  weighted_service_rows, "The services."),
	OPT_POINTER("sticky", struct dynamic_weighted, sticky, sticky_rows,
		    "Keep a client with its service.", .flags = OPTION_ALLOW_EMPTY),
	CHILD_HEALTH(dynamic_weighted),
	OPT_END,
};

static const struct option highest_random_weight_rows[] = {
	OPT_ARRAY("services", struct dynamic_weighted, services, struct dynamic_weighted_service,
		  weighted_service_rows, "The services."),
	CHILD_HEALTH(dynamic_weighted),
	OPT_END,
};

static const struct option mirror_rows[] = {
	OPT_STRING("name", struct dynamic_weighted_service, name, NULL, "Name of the service.",
		   .flags = OPTION_AS_WRITTEN),
	OPT_INT("percent", struct dynamic_weighted_service, percent, "0",
		"Share of the requests that are copied to it."),
	OPT_END,
};

static const struct option mirroring_rows[] = {
	OPT_STRING("service", struct dynamic_mirroring, service, NULL, "Service that answers.",
		   .flags = OPTION_AS_WRITTEN),
	OPT_BOOL("mirrorBody", struct dynamic_mirroring, mirror_body, "true",
		 "Copy the bodies too.", .flags = OPTION_SHOWN),
	OPT_INT("maxBodySize", struct dynamic_mirroring, max_body_size_bytes, "-1",
		"Largest body that is copied, in bytes; -1: any.", .flags = OPTION_SHOWN),
	OPT_ARRAY("mirrors", struct dynamic_mirroring, mirrors, struct dynamic_weighted_service,
		  mirror_rows, "Services that get copies."),
	CHILD_HEALTH(dynamic_mirroring),
	OPT_END,
};

static const struct option failover_errors_rows[] = {
	OPT_INT("maxRequestBodyBytes", struct dynamic_failover_errors, max_request_body_bytes, "-1",
		"Largest body that is kept for the fallback; -1: any.", .flags = OPTION_SHOWN),
	OPT_LIST("status", struct dynamic_failover_errors, status, NULL,
		 "Statuses that the fallback's answer replaces."),
	OPT_END,
};

static const struct option failover_rows[] = {
	OPT_STRING("service", struct dynamic_failover, service, NULL, "Service that answers.",
		   .flags = OPTION_AS_WRITTEN),
	OPT_STRING("fallback", struct dynamic_failover, fallback, NULL,
		   "Service that answers while the first one is down.", .flags = OPTION_AS_WRITTEN),
	CHILD_HEALTH(dynamic_failover),
	OPT_POINTER("errors", struct dynamic_failover, errors, failover_errors_rows,
		    "Fall back on certain statuses."),
	OPT_END,
};

const struct option dynamic_service_options[] = {
	OPT_LIST("middlewares", struct dynamic_service, middlewares, NULL,
		 "Middlewares in front of the service, whichever router leads to it.",
		 .flags = OPTION_AS_WRITTEN),
	OPT_POINTER("loadBalancer", struct dynamic_service, load_balancer, load_balancer_rows,
		    "Servers that share the requests."),
	OPT_POINTER("weighted", struct dynamic_service, weighted, weighted_rows,
		    "Services that share the requests.", LATER("weighted services come later")),
	OPT_POINTER("highestRandomWeight", struct dynamic_service, highest_random_weight,
		    highest_random_weight_rows, "Services that share the clients.",
		    LATER("services that share clients come later")),
	OPT_POINTER("mirroring", struct dynamic_service, mirroring, mirroring_rows,
		    "A service, and others that get copies of its requests.",
		    LATER("mirroring comes later")),
	OPT_POINTER("failover", struct dynamic_service, failover, failover_rows,
		    "A service, and another one for when it is down.",
		    LATER("failover comes later")),
	OPT_END,
};

static const struct option forwarding_timeouts_rows[] = {
	OPT_DURATION("dialTimeout", struct dynamic_forwarding_timeouts, dial_ns, "30s",
		     "Time to connect; 0: no limit."),
	OPT_DURATION("responseHeaderTimeout", struct dynamic_forwarding_timeouts,
		     response_header_ns, "0s",
		     "Time from the end of the request to the head of the response; 0: no limit."),
	OPT_DURATION("idleConnTimeout", struct dynamic_forwarding_timeouts, idle_conn_ns, "90s",
		     "Time that an idle connection is kept; 0: no limit."),
	OPT_DURATION("readIdleTimeout", struct dynamic_forwarding_timeouts, read_idle_ns, "0s",
		     "Silence after which an HTTP/2 connection is probed; 0: never."),
	OPT_DURATION("pingTimeout", struct dynamic_forwarding_timeouts, ping_ns, "15s",
		     "Time that such a probe may take; 0: 15s."),
	OPT_END,
};

static const struct option peer_san_rows[] = {
	OPT_STRING("type", struct dynamic_peer_san, type, NULL, "`URI` or `DNSName`."),
	OPT_STRING("value", struct dynamic_peer_san, value, NULL, "The name."),
	OPT_END,
};

static const struct option spiffe_rows[] = {
	OPT_LIST("ids", struct dynamic_spiffe, ids, NULL, "Identities that are accepted."),
	OPT_STRING("trustDomain", struct dynamic_spiffe, trust_domain, NULL,
		   "Domain whose identities are accepted."),
	OPT_END,
};

const struct option dynamic_servers_transport_options[] = {
	OPT_STRING("serverName", struct dynamic_servers_transport, server_name, NULL,
		   "Name that is asked for and that the server's certificate must have; empty: "
		   "that of the URL."),
	OPT_BOOL("insecureSkipVerify", struct dynamic_servers_transport, insecure_skip_verify,
		 "false", "Accept any certificate."),
	OPT_CONTENTS(
		"rootCAs", struct dynamic_servers_transport, root_cas, NULL,
		"Authorities that sign servers, each a path or PEM; none: those of the system."),
	OPT_ARRAY("certificates", struct dynamic_servers_transport, certificates,
		  struct dynamic_key_pair, dynamic_key_pair_options,
		  "Certificates to show to servers."),
	OPT_LIST("cipherSuites", struct dynamic_servers_transport, cipher_suites, NULL,
		 "Cipher suites, by their IANA names."),
	OPT_STRING("minVersion", struct dynamic_servers_transport, min_version, NULL,
		   "Lowest version of TLS."),
	OPT_STRING("maxVersion", struct dynamic_servers_transport, max_version, NULL,
		   "Highest version of TLS."),
	OPT_INT("maxIdleConnsPerHost", struct dynamic_servers_transport, max_idle_conns_per_host,
		"0", "Idle connections that are kept for one server; 0: 2."),
	OPT_OBJECT("forwardingTimeouts", struct dynamic_servers_transport, forwarding_timeouts,
		   forwarding_timeouts_rows, "Time limits."),
	OPT_BOOL("disableHTTP2", struct dynamic_servers_transport, disable_http2, "false",
		 "Do not offer HTTP/2 to https servers."),
	OPT_STRING("peerCertURI", struct dynamic_servers_transport, peer_cert_uri, NULL,
		   "URI that the server's certificate must have; deprecated."),
	OPT_ARRAY("peerCertSANs", struct dynamic_servers_transport, peer_cert_sans,
		  struct dynamic_peer_san, peer_san_rows,
		  "Names of which the server's certificate must have one."),
	OPT_POINTER("spiffe", struct dynamic_servers_transport, spiffe, spiffe_rows,
		    "Accept servers by their SPIFFE identity.", .flags = OPTION_ALLOW_EMPTY,
		    LATER("SPIFFE comes later")),
	OPT_END,
};

static const struct option model_domain_rows[] = {
	ROW("main", STRING, NULL),
	ROW("sans", LIST, NULL),
	OPT_END,
};

static const struct option model_tls_rows[] = {
	ROW("options", STRING, NULL),
	ROW("certResolver", STRING, NULL),
	TABLE("domains", ARRAY, model_domain_rows, 0),
	OPT_END,
};

static const struct option model_observability_rows[] = {
	ROW("accessLogs", BOOL, NULL),
	ROW("metrics", BOOL, NULL),
	ROW("tracing", BOOL, NULL),
	ROW("traceVerbosity", STRING, NULL),
	OPT_END,
};

static const struct option model_rows[] = {
	ROW("middlewares", LIST, NULL),
	TABLE("tls", OBJECT, model_tls_rows, OPTION_ALLOW_EMPTY),
	TABLE("observability", OBJECT, model_observability_rows, 0),
	OPT_END,
};

static const struct option http_rows[] = {
	OPT_MAP("routers", struct dynamic_http, routers, struct dynamic_router,
		dynamic_router_options, "Which requests go where."),
	OPT_MAP("services", struct dynamic_http, services, struct dynamic_service,
		dynamic_service_options, "Where requests can go."),
	OPT_MAP("middlewares", struct dynamic_http, middlewares, struct dynamic_middleware,
		dynamic_middleware_options, "What happens to requests on their way."),
	OPT_NOWHERE_TABLE("models", MAP, ACCEPTED, model_rows, 0,
			  "What entry points add to routers.",
			  .hint = "models come from the entry points alone"),
	OPT_MAP("serversTransports", struct dynamic_http, servers_transports,
		struct dynamic_servers_transport, dynamic_servers_transport_options,
		"How servers are reached."),
	OPT_END,
};

const struct option dynamic_options[] = {
	OPT_OBJECT("http", struct dynamic_root, http, http_rows, "HTTP."),
	OPT_NOWHERE_TABLE("tcp", OBJECT, ACCEPTED, dynamic_tcp_options, 0, "TCP.",
			  .hint = "TCP is not served yet"),
	OPT_NOWHERE_TABLE("udp", OBJECT, ACCEPTED, dynamic_udp_options, 0, "UDP.",
			  .hint = "UDP is not served yet"),
	OPT_OBJECT("tls", struct dynamic_root, tls, dynamic_tls_rows,
		   "Certificates and TLS options."),
	OPT_END,
};
