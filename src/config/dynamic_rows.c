#include "config/dynamic_private.h"

/* The sections tcp and udp: checked, but kept nowhere until they are served. */

static const struct option domain_rows[] = {
	ROW("main", STRING, NULL),
	ROW("sans", LIST, NULL),
	OPT_END,
};

static const struct option tcp_router_tls_rows[] = {
	ROW("passthrough", BOOL, NULL),
	ROW("options", STRING, NULL),
	ROW("certResolver", STRING, NULL),
	TABLE("domains", ARRAY, domain_rows, 0),
	OPT_END,
};

static const struct option tcp_router_rows[] = {
	ROW("entryPoints", LIST, NULL),
	ROW("middlewares", LIST, NULL),
	ROW("service", STRING, NULL),
	ROW("rule", STRING, NULL),
	ROW("ruleSyntax", STRING, NULL),
	ROW("priority", INT, "0"),
	TABLE("tls", OBJECT, tcp_router_tls_rows, OPTION_ALLOW_EMPTY),
	OPT_END,
};

static const struct option tcp_server_rows[] = {
	ROW("address", STRING, NULL),
	ROW("tls", BOOL, NULL),
	OPT_END,
};

static const struct option proxy_protocol_rows[] = {
	ROW("version", INT, "2"),
	OPT_END,
};

static const struct option tcp_health_check_rows[] = {
	ROW("port", INT, NULL),
	ROW("send", STRING, NULL),
	ROW("expect", STRING, NULL),
	ROW("interval", DURATION, "30s"),
	ROW("unhealthyInterval", DURATION, NULL),
	ROW("timeout", DURATION, "5s"),
	OPT_END,
};

static const struct option tcp_load_balancer_rows[] = {
	TABLE("servers", ARRAY, tcp_server_rows, 0),
	ROW("serversTransport", STRING, NULL),
	ROW("terminationDelay", INT, NULL),
	TABLE("proxyProtocol", OBJECT, proxy_protocol_rows, OPTION_ALLOW_EMPTY),
	TABLE("healthCheck", OBJECT, tcp_health_check_rows, OPTION_ALLOW_EMPTY),
	OPT_END,
};

static const struct option weighted_service_rows[] = {
	ROW("name", STRING, NULL),
	ROW("weight", INT, "1"),
	OPT_END,
};

static const struct option no_rows[] = {
	OPT_END,
};

static const struct option tcp_weighted_rows[] = {
	TABLE("services", ARRAY, weighted_service_rows, 0),
	TABLE("healthCheck", OBJECT, no_rows, OPTION_ALLOW_EMPTY),
	OPT_END,
};

static const struct option tcp_service_rows[] = {
	TABLE("loadBalancer", OBJECT, tcp_load_balancer_rows, 0),
	TABLE("weighted", OBJECT, tcp_weighted_rows, 0),
	OPT_END,
};

static const struct option in_flight_conn_rows[] = {
	ROW("amount", INT, NULL),
	OPT_END,
};

static const struct option ip_list_rows[] = {
	ROW("sourceRange", LIST, NULL),
	OPT_END,
};

static const struct option tcp_middleware_rows[] = {
	TABLE("inFlightConn", OBJECT, in_flight_conn_rows, 0),
	TABLE("ipWhiteList", OBJECT, ip_list_rows, 0),
	TABLE("ipAllowList", OBJECT, ip_list_rows, 0),
	OPT_END,
};

static const struct option key_pair_rows[] = {
	ROW("certFile", CONTENT, NULL),
	ROW("keyFile", CONTENT, NULL),
	OPT_END,
};

static const struct option peer_san_rows[] = {
	ROW("type", STRING, NULL),
	ROW("value", STRING, NULL),
	OPT_END,
};

static const struct option spiffe_rows[] = {
	ROW("ids", LIST, NULL),
	ROW("trustDomain", STRING, NULL),
	OPT_END,
};

static const struct option tcp_transport_tls_rows[] = {
	ROW("serverName", STRING, NULL),
	ROW("insecureSkipVerify", BOOL, NULL),
	ROW("rootCAs", LIST, NULL),
	ROW("peerCertURI", STRING, NULL),
	TABLE("certificates", ARRAY, key_pair_rows, 0),
	TABLE("peerCertSANs", ARRAY, peer_san_rows, 0),
	TABLE("spiffe", OBJECT, spiffe_rows, OPTION_ALLOW_EMPTY),
	OPT_END,
};

static const struct option tcp_transport_rows[] = {
	ROW("dialKeepAlive", DURATION, "15s"),
	ROW("dialTimeout", DURATION, "30s"),
	ROW("terminationDelay", DURATION, "100ms"),
	TABLE("proxyProtocol", OBJECT, proxy_protocol_rows, OPTION_ALLOW_EMPTY),
	TABLE("tls", OBJECT, tcp_transport_tls_rows, OPTION_ALLOW_EMPTY),
	OPT_END,
};

const struct option dynamic_tcp_options[] = {
	TABLE("routers", MAP, tcp_router_rows, 0),
	TABLE("services", MAP, tcp_service_rows, 0),
	TABLE("middlewares", MAP, tcp_middleware_rows, 0),
	TABLE("serversTransports", MAP, tcp_transport_rows, 0),
	OPT_END,
};

static const struct option udp_router_rows[] = {
	ROW("entryPoints", LIST, NULL),
	ROW("service", STRING, NULL),
	OPT_END,
};

static const struct option udp_server_rows[] = {
	ROW("address", STRING, NULL),
	OPT_END,
};

static const struct option udp_load_balancer_rows[] = {
	TABLE("servers", ARRAY, udp_server_rows, 0),
	OPT_END,
};

static const struct option udp_weighted_rows[] = {
	TABLE("services", ARRAY, weighted_service_rows, 0),
	OPT_END,
};

static const struct option udp_service_rows[] = {
	TABLE("loadBalancer", OBJECT, udp_load_balancer_rows, 0),
	TABLE("weighted", OBJECT, udp_weighted_rows, 0),
	OPT_END,
};

const struct option dynamic_udp_options[] = {
	TABLE("routers", MAP, udp_router_rows, 0),
	TABLE("services", MAP, udp_service_rows, 0),
	OPT_END,
};
