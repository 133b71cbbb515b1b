#include "config/static_private.h"
#include "config/static_rows.h"

const struct option client_tls_rows[] = {
	ROW("ca", CONTENT, NULL),
	ROW("cert", CONTENT, NULL),
	ROW_SECRET("key", CONTENT),
	ROW("insecureSkipVerify", BOOL, NULL),
	ROW_REMOVED("caOptional",
		    "removed in Traefik v3, as client authentication is an option of servers"),
	OPT_END,
};

static const struct option docker_rows[] = {
	ROW("exposedByDefault", BOOL, "true"),
	ROW("constraints", STRING, NULL),
	ROW("allowEmptyServices", BOOL, NULL),
	ROW("network", STRING, NULL),
	ROW("useBindPortIP", BOOL, NULL),
	ROW("watch", BOOL, "true"),
	ROW("defaultRule", STRING, "Host(`{{ normalize .Name }}`)"),
	ROW("username", STRING, NULL),
	ROW_SECRET("password", STRING),
	ROW("endpoint", STRING, "unix:///var/run/docker.sock"),
	ROW("httpClientTimeout", DURATION, NULL),
	TABLE("tls", POINTER, client_tls_rows, 0),
	ROW_REMOVED("swarmMode", "removed in Traefik v3, use the swarm provider"),
	OPT_END,
};

static const struct option swarm_rows[] = {
	ROW("exposedByDefault", BOOL, "true"),
	ROW("constraints", STRING, NULL),
	ROW("allowEmptyServices", BOOL, NULL),
	ROW("network", STRING, NULL),
	ROW("useBindPortIP", BOOL, NULL),
	ROW("watch", BOOL, "true"),
	ROW("defaultRule", STRING, "Host(`{{ normalize .Name }}`)"),
	ROW("username", STRING, NULL),
	ROW_SECRET("password", STRING),
	ROW("endpoint", STRING, "unix:///var/run/docker.sock"),
	ROW("httpClientTimeout", DURATION, NULL),
	ROW("refreshSeconds", DURATION, "15s"),
	TABLE("tls", POINTER, client_tls_rows, 0),
	OPT_END,
};

static const struct option kubernetes_ingress_ingress_endpoint_rows[] = {
	ROW("ip", STRING, NULL),
	ROW("hostname", STRING, NULL),
	ROW("publishedService", STRING, NULL),
	OPT_END,
};

static const struct option kubernetes_ingress_rows[] = {
	ROW("endpoint", STRING, NULL),
	ROW_SECRET("token", CONTENT),
	ROW("certAuthFilePath", STRING, NULL),
	ROW("namespaces", LIST, NULL),
	ROW("labelSelector", STRING, NULL),
	ROW("ingressClass", STRING, NULL),
	ROW("reportNodeInternalIPs", BOOL, NULL),
	ROW("throttleDuration", DURATION, NULL),
	ROW("allowEmptyServices", BOOL, NULL),
	ROW("allowExternalNameServices", BOOL, NULL),
	ROW("crossProviderNamespaces", LIST, NULL),
	ROW("disableIngressClassLookup", BOOL, NULL),
	ROW("disableClusterScopeResources", BOOL, NULL),
	ROW("nativeLBByDefault", BOOL, NULL),
	ROW("strictPrefixMatching", BOOL, NULL),
	TABLE("ingressEndpoint", POINTER, kubernetes_ingress_ingress_endpoint_rows, 0),
	OPT_END,
};

static const struct option kubernetes_ingress_nginx_ip_allow_list_strategy_rows[] = {
	ROW("depth", INT, NULL),
	ROW("excludedIPs", LIST, NULL),
	ROW("ipv6Subnet", INT, NULL),
	OPT_END,
};

static const struct option kubernetes_ingress_nginx_rows[] = {
	ROW("endpoint", STRING, NULL),
	ROW_SECRET("token", CONTENT),
	ROW("certAuthFilePath", STRING, NULL),
	ROW("throttleDuration", DURATION, NULL),
	ROW("globalAuthURL", STRING, NULL),
	ROW("watchNamespace", STRING, NULL),
	ROW("watchNamespaceSelector", STRING, NULL),
	ROW("ingressClass", STRING, "nginx"),
	ROW("controllerClass", STRING, "k8s.io/ingress-nginx"),
	ROW("watchIngressWithoutClass", BOOL, NULL),
	ROW("ingressClassByName", BOOL, NULL),
	ROW("publishService", STRING, NULL),
	ROW("publishStatusAddress", LIST, NULL),
	ROW("defaultBackendService", STRING, NULL),
	ROW("disableSvcExternalName", BOOL, NULL),
	ROW("httpEntryPoint", STRING, NULL),
	ROW("httpsEntryPoint", STRING, NULL),
	ROW("proxyRequestBuffering", BOOL, NULL),
	ROW("clientBodyBufferSize", INT, "16384"),
	ROW("proxyBodySize", INT, "1048576"),
	ROW("proxyBuffering", BOOL, NULL),
	ROW("proxyBufferSize", INT, "8192"),
	ROW("proxyBuffersNumber", INT, "4"),
	ROW("proxyConnectTimeout", INT, "60"),
	ROW("proxyReadTimeout", INT, "60"),
	ROW("proxySendTimeout", INT, "60"),
	ROW("proxyNextUpstream", STRING, "error timeout"),
	ROW("proxyNextUpstreamTries", INT, "3"),
	ROW("proxyNextUpstreamTimeout", INT, NULL),
	ROW("customHTTPErrors", LIST, NULL),
	ROW("upstreamKeepaliveTimeout", INT, "60"),
	ROW("allowCrossNamespaceResources", BOOL, NULL),
	ROW("globalAllowedResponseHeaders", LIST, NULL),
	ROW("allowSnippetAnnotations", BOOL, NULL),
	ROW("strictValidatePathType", BOOL, "true"),
	TABLE("ipAllowListStrategy", POINTER, kubernetes_ingress_nginx_ip_allow_list_strategy_rows,
	      0),
	OPT_END,
};

static const struct option kubernetes_crd_rows[] = {
	ROW("endpoint", STRING, NULL),
	ROW_SECRET("token", CONTENT),
	ROW("certAuthFilePath", STRING, NULL),
	ROW("namespaces", LIST, NULL),
	ROW("allowCrossNamespace", BOOL, NULL),
	ROW("allowExternalNameServices", BOOL, NULL),
	ROW("crossProviderNamespaces", LIST, NULL),
	ROW("labelSelector", STRING, NULL),
	ROW("ingressClass", STRING, NULL),
	ROW("throttleDuration", DURATION, NULL),
	ROW("allowEmptyServices", BOOL, NULL),
	ROW("nativeLBByDefault", BOOL, NULL),
	ROW("disableClusterScopeResources", BOOL, NULL),
	ROW("defaultTLSResourcesNamespace", STRING, NULL),
	ROW("safeNaming", BOOL, NULL),
	OPT_END,
};

static const struct option kubernetes_gateway_status_address_service_rows[] = {
	ROW("name", STRING, NULL),
	ROW("namespace", STRING, NULL),
	OPT_END,
};

static const struct option kubernetes_gateway_status_address_rows[] = {
	ROW("ip", STRING, NULL),
	ROW("hostname", STRING, NULL),
	TABLE("service", POINTER, kubernetes_gateway_status_address_service_rows, 0),
	OPT_END,
};

static const struct option kubernetes_gateway_gateways_n_rows[] = {
	ROW("name", STRING, NULL),
	ROW("namespace", STRING, NULL),
	OPT_END,
};

static const struct option kubernetes_gateway_rows[] = {
	ROW("endpoint", STRING, NULL),
	ROW_SECRET("token", CONTENT),
	ROW("qps", INT, "50"),
	ROW("burst", INT, "100"),
	ROW("certAuthFilePath", STRING, NULL),
	ROW("namespaces", LIST, NULL),
	ROW("labelSelector", STRING, NULL),
	ROW("throttleDuration", DURATION, NULL),
	ROW("experimentalChannel", BOOL, NULL),
	ROW("nativeLBByDefault", BOOL, NULL),
	ROW("crossProviderNamespaces", LIST, NULL),
	TABLE("statusAddress", POINTER, kubernetes_gateway_status_address_rows, 0),
	TABLE("gateways", ARRAY, kubernetes_gateway_gateways_n_rows, 0),
	OPT_END,
};

static const struct option knative_public_service_rows[] = {
	ROW("name", STRING, NULL),
	ROW("namespace", STRING, NULL),
	OPT_END,
};

static const struct option knative_private_service_rows[] = {
	ROW("name", STRING, NULL),
	ROW("namespace", STRING, NULL),
	OPT_END,
};

static const struct option knative_rows[] = {
	ROW("endpoint", STRING, NULL),
	ROW_SECRET("token", STRING),
	ROW("certAuthFilePath", STRING, NULL),
	ROW("namespaces", LIST, NULL),
	ROW("labelSelector", STRING, NULL),
	ROW("publicEntrypoints", LIST, NULL),
	ROW("privateEntrypoints", LIST, NULL),
	ROW("throttleDuration", DURATION, NULL),
	TABLE("publicService", POINTER, knative_public_service_rows, 0),
	TABLE("privateService", POINTER, knative_private_service_rows, 0),
	OPT_END,
};

static const struct option rest_rows[] = {
	OPT_BOOL("insecure", struct rest_provider_config, insecure, NULL,
		 "Take configurations on the entry point `traefik` from everybody who reaches it. "
		 "Without it only routers to the service `rest@internal` lead there."),
	OPT_END,
};

static const struct option consul_catalog_endpoint_http_auth_rows[] = {
	ROW("username", STRING, NULL),
	ROW_SECRET("password", STRING),
	OPT_END,
};

static const struct option consul_catalog_endpoint_rows[] = {
	ROW("address", STRING, NULL),
	ROW("scheme", STRING, NULL),
	ROW("datacenter", STRING, NULL),
	ROW_SECRET("token", STRING),
	ROW("endpointWaitTime", DURATION, NULL),
	TABLE("httpAuth", POINTER, consul_catalog_endpoint_http_auth_rows, 0),
	TABLE("tls", POINTER, client_tls_rows, 0),
	OPT_END,
};

static const struct option consul_catalog_rows[] = {
	ROW("constraints", STRING, NULL),
	ROW("prefix", STRING, "traefik"),
	ROW("refreshInterval", DURATION, "15s"),
	ROW("requireConsistent", BOOL, NULL),
	ROW("stale", BOOL, NULL),
	ROW("cache", BOOL, NULL),
	ROW("exposedByDefault", BOOL, "true"),
	ROW("defaultRule", STRING, "Host(`{{ normalize .Name }}`)"),
	ROW("connectAware", BOOL, NULL),
	ROW("connectByDefault", BOOL, NULL),
	ROW("serviceName", STRING, "traefik"),
	ROW("watch", BOOL, NULL),
	ROW("strictChecks", LIST, "passing,warning"),
	ROW("namespaces", LIST, NULL),
	TABLE("endpoint", POINTER, consul_catalog_endpoint_rows, 0),
	ROW_REMOVED("namespace", "removed in Traefik v3, use namespaces"),
	OPT_END,
};

static const struct option nomad_endpoint_rows[] = {
	ROW("address", STRING, "http://127.0.0.1:4646"),
	ROW("region", STRING, NULL),
	ROW_SECRET("token", STRING),
	ROW("endpointWaitTime", DURATION, NULL),
	TABLE("tls", POINTER, client_tls_rows, 0),
	OPT_END,
};

static const struct option nomad_rows[] = {
	ROW("defaultRule", STRING, "Host(`{{ normalize .Name }}`)"),
	ROW("constraints", STRING, NULL),
	ROW("prefix", STRING, "traefik"),
	ROW("stale", BOOL, NULL),
	ROW("exposedByDefault", BOOL, "true"),
	ROW("refreshInterval", DURATION, "15s"),
	ROW("allowEmptyServices", BOOL, NULL),
	ROW("watch", BOOL, NULL),
	ROW("throttleDuration", DURATION, NULL),
	ROW("namespaces", LIST, NULL),
	TABLE("endpoint", POINTER, nomad_endpoint_rows, 0),
	ROW_REMOVED("namespace", "removed in Traefik v3, use namespaces"),
	OPT_END,
};

static const struct option ecs_rows[] = {
	ROW("constraints", STRING, NULL),
	ROW("exposedByDefault", BOOL, "true"),
	ROW("refreshSeconds", INT, "15"),
	ROW("defaultRule", STRING, "Host(`{{ normalize .Name }}`)"),
	ROW("clusters", LIST, "default"),
	ROW("autoDiscoverClusters", BOOL, NULL),
	ROW("healthyTasksOnly", BOOL, NULL),
	ROW("ecsAnywhere", BOOL, NULL),
	ROW("region", STRING, NULL),
	ROW("accessKeyID", STRING, NULL),
	ROW_SECRET("secretAccessKey", STRING),
	OPT_END,
};

static const struct option consul_rows[] = {
	ROW("rootKey", STRING, "traefik"),
	ROW("endpoints", LIST, "127.0.0.1:8500"),
	ROW_SECRET("token", STRING),
	ROW("namespaces", LIST, NULL),
	TABLE("tls", POINTER, client_tls_rows, 0),
	ROW_REMOVED("namespace", "removed in Traefik v3, use namespaces"),
	OPT_END,
};

static const struct option etcd_rows[] = {
	ROW("rootKey", STRING, "traefik"),
	ROW("endpoints", LIST, "127.0.0.1:2379"),
	ROW("username", STRING, NULL),
	ROW_SECRET("password", STRING),
	TABLE("tls", POINTER, client_tls_rows, 0),
	OPT_END,
};

static const struct option zoo_keeper_rows[] = {
	ROW("rootKey", STRING, "traefik"),
	ROW("endpoints", LIST, "127.0.0.1:2181"),
	ROW("username", STRING, NULL),
	ROW_SECRET("password", STRING),
	OPT_END,
};

static const struct option redis_sentinel_rows[] = {
	ROW("masterName", STRING, NULL),
	ROW("username", STRING, NULL),
	ROW_SECRET("password", STRING),
	ROW("latencyStrategy", BOOL, NULL),
	ROW("randomStrategy", BOOL, NULL),
	ROW("replicaStrategy", BOOL, NULL),
	ROW("useDisconnectedReplicas", BOOL, NULL),
	OPT_END,
};

static const struct option redis_rows[] = {
	ROW("rootKey", STRING, "traefik"),
	ROW("endpoints", LIST, "127.0.0.1:6379"),
	ROW("username", STRING, NULL),
	ROW_SECRET("password", STRING),
	ROW("db", INT, NULL),
	TABLE("sentinel", POINTER, redis_sentinel_rows, 0),
	TABLE("tls", POINTER, client_tls_rows, 0),
	OPT_END,
};

static const struct option http_tls_rows[] = {
	OPT_CONTENT("ca", struct dynamic_client_tls, ca, NULL,
		    "Authorities that the server's certificate may be signed by."),
	OPT_CONTENT("cert", struct dynamic_client_tls, cert, NULL,
		    "Certificate that is shown to the server."),
	OPT_CONTENT("key", struct dynamic_client_tls, key, NULL, "Its key.",
		    .flags = OPTION_SECRET),
	OPT_BOOL("insecureSkipVerify", struct dynamic_client_tls, insecure_skip_verify, NULL,
		 "Accept any certificate."),
	ROW_REMOVED("caOptional",
		    "removed in Traefik v3, as client authentication is an option of servers"),
	OPT_END,
};

static const struct option http_rows[] = {
	OPT_STRING("endpoint", struct http_provider_config, endpoint, NULL,
		   "URL that is asked for the configuration."),
	OPT_DURATION("pollInterval", struct http_provider_config, poll_interval_ns, "5s",
		     "Time between an answer and the next request.", .min = 1000000,
		     .max = INT64_MAX),
	OPT_DURATION("pollTimeout", struct http_provider_config, poll_timeout_ns, "5s",
		     "Most time until an answer is complete, redirects included; 0: any. "
		     "Connecting may take 30s "
		     "of it, a TLS handshake 10s.",
		     .min = 0, .max = INT64_MAX),
	OPT_PAIRS("headers", struct http_provider_config, headers,
		  "Header fields of the request; `Host` replaces that of the URL.",
		  .flags = OPTION_SECRET),
	OPT_INT("maxResponseBodySize", struct http_provider_config, body_bytes_max, "-1",
		"Longest answer in bytes; 0 or less: as long as a file may be."),
	OPT_POINTER("tls", struct http_provider_config, tls, http_tls_rows,
		    "How the server is trusted."),
	OPT_END,
};

static const struct option file_rows[] = {
	OPT_STRING("directory", struct file_provider_config, directory, NULL,
		   "Directory whose files (`.yaml`, `.yml`, `.toml`, also in sub-directories) are "
		   "read. It comes before "
		   "`filename`, if both are given.",
		   .flags = OPTION_PATH),
	OPT_BOOL("watch", struct file_provider_config, watch, "true",
		 "Read again when something changes."),
	OPT_STRING("filename", struct file_provider_config, filename, NULL, "File that is read.",
		   .flags = OPTION_PATH),
	OPT_BOOL("debugLogGeneratedTemplate", struct file_provider_config,
		 debug_log_generated_template, NULL,
		 "Log the text that the template of the file made, at level DEBUG."),
	OPT_END,
};

/* In the order that Traefik documents. */
#define PROVIDER_NAMES \
	"kubernetesgateway,kubernetescrd,kubernetes,kubernetesingressnginx,swarm,docker,file," \
	"redis,knative,consul," \
	"consulcatalog,nomad,etcd,ecs,http,zookeeper,rest"

bool static_is_provider(slice name)
{
	slice names = SLICE(PROVIDER_NAMES), known;

	if (slice_equal_nocase(slice_first(name, 7), SLICE("plugin-")))
		return true;
	while (slice_next(&names, ',', &known))
		if (slice_equal_nocase(name, known))
			return true;
	return false;
}

#define PROVIDER(key, rows) \
	OPT_NOWHERE_TABLE(key, POINTER, REFUSED, rows, OPTION_ALLOW_EMPTY, NULL, \
			  .hint = "use the file provider (providers.file)")

const struct option providers_rows[] = {
	OPT_DURATION("providersThrottleDuration", struct providers_config, throttle_ns, "2s",
		     "Wait so long after a change for more changes before they are applied."),
	OPT_LIST("precedence", struct providers_config, precedence, PROVIDER_NAMES,
		 "Order of providers among routers of equal priority, the strongest first."),
	OPT_POINTER("file", struct providers_config, file, file_rows,
		    "Dynamic configuration from files."),
	PROVIDER("docker", docker_rows),
	PROVIDER("swarm", swarm_rows),
	PROVIDER("kubernetesIngress", kubernetes_ingress_rows),
	PROVIDER("kubernetesIngressNGINX", kubernetes_ingress_nginx_rows),
	PROVIDER("kubernetesCRD", kubernetes_crd_rows),
	PROVIDER("kubernetesGateway", kubernetes_gateway_rows),
	PROVIDER("knative", knative_rows),
	OPT_POINTER("rest", struct providers_config, rest, rest_rows,
		    "Dynamic configuration by `PUT /api/providers/rest`.",
		    .flags = OPTION_ALLOW_EMPTY),
	PROVIDER("consulCatalog", consul_catalog_rows),
	PROVIDER("nomad", nomad_rows),
	PROVIDER("ecs", ecs_rows),
	PROVIDER("consul", consul_rows),
	PROVIDER("etcd", etcd_rows),
	PROVIDER("zooKeeper", zoo_keeper_rows),
	PROVIDER("redis", redis_rows),
	OPT_POINTER("http", struct providers_config, http, http_rows,
		    "Dynamic configuration from a server that is polled.",
		    .flags = OPTION_ALLOW_EMPTY),
	{.name = "plugin",
	 .type = OPTION_FREE_MAP,
	 .status = REFUSED,
	 .flags = OPTION_NOWHERE,
	 .hint = "provider plugins are Go source code, which only Traefik can run"},
	ROW_REMOVED("marathon", "the Marathon provider was removed in Traefik v3"),
	ROW_REMOVED("rancher", "the Rancher provider was removed in Traefik v3"),
	OPT_END,
};
