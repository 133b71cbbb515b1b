#include <errno.h>

#include "config/static.h"
#include "config/static_rows.h"

static const struct option global_rows[] = {
	OPT_NOWHERE("checkNewVersion", BOOL, ACCEPTED, "true",
		    "Look for newer versions; weir never does."),
	OPT_NOWHERE("sendAnonymousUsage", BOOL, ACCEPTED, NULL,
		    "Send statistics; weir never does."),
	OPT_NOWHERE("notAppendXForwardedFor", BOOL, ACCEPTED, NULL,
		    "Without effect in Traefik, too.",
		    .hint = "use entryPoints.<name>.forwardedHeaders.notAppendXForwardedFor"),
	OPT_END,
};

static const struct option forwarding_timeouts_rows[] = {
	OPT_DURATION("dialTimeout", struct servers_transport_config, dial_timeout_ns, "30s",
		     "Longest time to connect to a server; 0: none."),
	OPT_DURATION("responseHeaderTimeout", struct servers_transport_config,
		     response_header_timeout_ns, NULL,
		     "Longest wait for the head of a response after the request; 0: none."),
	OPT_DURATION("idleConnTimeout", struct servers_transport_config, idle_timeout_ns, "90s",
		     "Longest time that an unused connection is kept; 0: no limit."),
	OPT_END,
};

static const struct option spiffe_transport_rows[] = {
	ROW("ids", LIST, NULL),
	ROW("trustDomain", STRING, NULL),
	OPT_END,
};

static const struct option servers_transport_rows[] = {
	OPT_BOOL("insecureSkipVerify", struct servers_transport_config, insecure_skip_verify, NULL,
		 "Accept any certificate of servers."),
	OPT_CONTENTS("rootCAs", struct servers_transport_config, root_cas, NULL,
		     "Authorities that sign servers, each a path or PEM; none: those of the "
		     "system."),
	OPT_INT("maxIdleConnsPerHost", struct servers_transport_config,
		max_idle_connections_per_host, "200",
		"Idle connections kept per server and worker; 0: 2, as Go's default."),
	{.name = "forwardingTimeouts",
	 .type = OPTION_OBJECT,
	 .size = sizeof(struct servers_transport_config),
	 .table = forwarding_timeouts_rows,
	 .doc = "Time limits of connections to servers."},
	OPT_NOWHERE_TABLE("spiffe", POINTER, REFUSED, spiffe_transport_rows, OPTION_ALLOW_EMPTY,
			  "SPIFFE."),
	OPT_END,
};

static const struct option tcp_tls_rows[] = {
	ROW("insecureSkipVerify", BOOL, NULL),
	ROW("rootCAs", LIST, NULL),
	TABLE("spiffe", POINTER, spiffe_transport_rows, OPTION_ALLOW_EMPTY),
	OPT_END,
};

static const struct option tcp_servers_transport_rows[] = {
	ROW("dialKeepAlive", DURATION, "15s"),
	ROW("dialTimeout", DURATION, "30s"),
	ROW("terminationDelay", DURATION, NULL),
	TABLE("tls", POINTER, tcp_tls_rows, OPTION_ALLOW_EMPTY),
	OPT_END,
};

static int check_base_path(const void *value, struct weir_error *error)
{
	slice path = *(const slice *)value;
	bool fine = path.n > 0 && path.p[0] == '/';

	for (size_t i = 0; i < path.n; i++) {
		char c = ascii_lower(path.p[i]);

		fine = fine &&
		       (ascii_digit(c) || (c >= 'a' && c <= 'z') || strchr("/_.:~-", c) != NULL);
	}
	if (fine)
		return 0;
	return error_set(error, -EINVAL,
			 "found \"%.*s\", expected a path of letters, digits and /_.:~-",
			 SLICE_ARG(path));
}

static const struct option api_rows[] = {
	OPT_STRING("basePath", struct api_config, base_path, "/",
		   "Path in front of `/api`; also that of the router for `insecure`.",
		   .check = check_base_path),
	OPT_BOOL("insecure", struct api_config, insecure, NULL,
		 "Serve the API on the entry point `traefik`, to everybody who reaches it. Without "
		 "it only routers to the service `api@internal` lead there."),
	OPT_BOOL("dashboard", struct api_config, dashboard, "true",
		 "weir has no dashboard: where Traefik's would be, 404 says so."),
	OPT_BOOL("debug", struct api_config, debug, NULL, "Also serve what is below `/debug`."),
	OPT_BOOL("disableDashboardAd", struct api_config, disable_dashboard_ad, NULL,
		 "Shown by `/api/version`, for dashboards."),
	OPT_STRING("dashboardName", struct api_config, dashboard_name, NULL,
		   "Shown by `/api/version`, for dashboards."),
	OPT_END,
};

static const struct option ping_rows[] = {
	OPT_STRING("entryPoint", struct ping_config, entry_point, "traefik",
		   "Entry point that answers `/ping`."),
	OPT_BOOL("manualRouting", struct ping_config, manual_routing, NULL,
		 "Answer only where a router names the service `ping@internal`."),
	OPT_INT("terminatingStatusCode", struct ping_config, terminating_status, "503",
		"Status of the answer after SIGTERM.", .min = 100, .max = 999),
	OPT_END,
};

static const struct option log_rows[] = {
	OPT_STRING("level", struct log_config, level_name, "ERROR",
		   "Least level that is logged: `TRACE`, `DEBUG`, `INFO`, `WARN`, `ERROR`, `FATAL` "
		   "or `PANIC`."),
	OPT_STRING("format", struct log_config, format_name, "common", "`common` or `json`."),
	OPT_BOOL("noColor", struct log_config, no_color, NULL,
		 "No colours in the format `common`."),
	OPT_STRING("filePath", struct log_config, file_path, NULL,
		   "File instead of standard output.", .flags = OPTION_PATH),
	OPT_INT("maxSize", struct log_config, max_size, NULL,
		"Size in MB at which the file is moved aside; 0: 100.", .min = 0, .max = 1 << 30),
	OPT_INT("maxAge", struct log_config, max_age, NULL,
		"Days that files moved aside are kept; 0: for ever.", .min = 0, .max = 1 << 20),
	OPT_INT("maxBackups", struct log_config, max_backups, NULL,
		"Files moved aside that are kept; 0: all.", .min = 0, .max = 1 << 20),
	OPT_NOWHERE("compress", BOOL, ACCEPTED, NULL, "Compress files moved aside.",
		    .hint = "weir leaves them as they are"),
	OPT_NOWHERE_TABLE("otlp", POINTER, ACCEPTED, log_otlp_rows, OPTION_ALLOW_EMPTY,
			  "OpenTelemetry."),
	OPT_END,
};

static const struct option host_resolver_rows[] = {
	OPT_NOWHERE("cnameFlattening", BOOL, REFUSED, NULL,
		    "Match rules against the canonical name of the host, too."),
	ROW("resolvConfig", STRING, "/etc/resolv.conf"),
	ROW("resolvDepth", INT, "5"),
	OPT_END,
};

static const struct option remote_settings_rows[] = {
	ROW("envs", LIST, NULL),
	ROW("mounts", LIST, NULL),
	ROW("useUnsafe", BOOL, NULL),
	OPT_END,
};

static const struct option remote_plugin_rows[] = {
	ROW("moduleName", STRING, NULL),
	ROW("version", STRING, NULL),
	ROW("hash", STRING, NULL),
	TABLE("settings", POINTER, remote_settings_rows, 0),
	OPT_END,
};

static const struct option settings_rows[] = {
	OPT_LIST("envs", struct local_plugin_config, envs, NULL,
		 "Names of environment variables that the plugin gets."),
	OPT_LIST("mounts", struct local_plugin_config, mounts, NULL,
		 "Directories that the plugin gets: `host:guest`, or `host:guest:ro`."),
	OPT_BOOL("useUnsafe", struct local_plugin_config, use_unsafe, NULL,
		 "For Go source plugins; without effect on WebAssembly."),
	OPT_END,
};

static const struct option local_plugin_rows[] = {
	OPT_STRING("moduleName", struct local_plugin_config, module_name, NULL,
		   "The plugin lies in `plugins-local/src/<moduleName>/`."),
	{.name = "settings",
	 .type = OPTION_OBJECT,
	 .size = sizeof(struct local_plugin_config),
	 .table = settings_rows,
	 .doc = "What the plugin may use."},
	OPT_END,
};

static const struct option fast_proxy_rows[] = {
	ROW("debug", BOOL, NULL),
	OPT_END,
};

static const struct option experimental_rows[] = {
	{.name = "plugins",
	 .type = OPTION_MAP,
	 .status = REFUSED,
	 .flags = OPTION_NOWHERE,
	 .table = remote_plugin_rows,
	 .doc = "Plugins of the catalogue.",
	 .hint = "weir downloads nothing: put the plugin into plugins-local/src/<moduleName>/ and "
		 "declare it under "
		 "experimental.localPlugins"},
	OPT_MAP("localPlugins", struct experimental_config, local_plugins,
		struct local_plugin_config, local_plugin_rows,
		"WebAssembly plugins on this machine, by the name that middlewares use."),
	OPT_BOOL("abortOnPluginFailure", struct experimental_config, abort_on_plugin_failure, NULL,
		 "Do not start if a plugin cannot be loaded."),
	OPT_NOWHERE("otlplogs", BOOL, ACCEPTED, NULL, "OpenTelemetry for logs."),
	OPT_NOWHERE("knative", BOOL, ACCEPTED, NULL, "The Knative provider."),
	OPT_NOWHERE("kubernetesIngressNGINX", BOOL, ACCEPTED, NULL,
		    "Not needed since Traefik v3.6.2."),
	OPT_NOWHERE("kubernetesGateway", BOOL, ACCEPTED, NULL, "Not needed since Traefik v3.1."),
	OPT_NOWHERE_TABLE("fastProxy", POINTER, ACCEPTED, fast_proxy_rows, OPTION_ALLOW_EMPTY,
			  "Traefik's other HTTP client.", .hint = "weir has one HTTP client"),
	ROW_REMOVED("http3", "removed in Traefik v3, HTTP/3 is an option of entry points"),
	OPT_END,
};

static int check_rule_syntax(const void *value, struct weir_error *error)
{
	slice text = *(const slice *)value;

	if (slice_equal(text, SLICE("v3")) || slice_equal(text, SLICE("v2")))
		return 0;
	return error_set(error, -EINVAL, "found \"%.*s\", expected v3 or v2",
			 SLICE_ARG(slice_first(text, 100)));
}

static const struct option core_rows[] = {
	OPT_STRING("defaultRuleSyntax", struct core_config, default_rule_syntax, "v3",
		   "Syntax of rules whose router has no `ruleSyntax`: `v3` or `v2`; deprecated.",
		   .check = check_rule_syntax),
	OPT_BOOL("strictTLSOptions", struct core_config, strict_tls_options, "false",
		 "Disable routers of one host that want different TLS options, instead of giving "
		 "them the default ones."),
	OPT_END,
};

static const struct option spiffe_rows[] = {
	ROW("workloadAPIAddr", STRING, NULL),
	OPT_END,
};

static const struct option ocsp_rows[] = {
	OPT_PAIRS("responderOverrides", struct ocsp_config, responder_overrides,
		  "Responders to ask instead of those that certificates name: `URL: URL`."),
	OPT_END,
};

const struct option static_options[] = {
	OPT_NOWHERE_TABLE("global", OBJECT, IMPLEMENTED, global_rows, 0, "The process."),
	OPT_OBJECT("serversTransport", struct static_config, servers_transport,
		   servers_transport_rows, "Connections to servers."),
	OPT_NOWHERE_TABLE("tcpServersTransport", OBJECT, ACCEPTED, tcp_servers_transport_rows, 0,
			  "Connections of TCP routers to servers."),
	OPT_MAP("entryPoints", struct static_config, entry_points, struct entry_point_config,
		entry_point_rows, "Where weir listens. Without any: one named `http` on `:80`."),
	OPT_OBJECT("providers", struct static_config, providers, providers_rows,
		   "Where the dynamic configuration comes from."),
	OPT_POINTER("api", struct static_config, api, api_rows,
		    "The configuration and its state as JSON, below `/api`.",
		    .flags = OPTION_ALLOW_EMPTY),
	OPT_POINTER("metrics", struct static_config, metrics, metrics_rows,
		    "Numbers about what weir does."),
	OPT_POINTER("ping", struct static_config, ping, ping_rows,
		    "An answer at `/ping` for health checks.", .flags = OPTION_ALLOW_EMPTY),
	OPT_OBJECT("log", struct static_config, log, log_rows, "The log of the process.",
		   .flags = OPTION_ALLOW_EMPTY),
	OPT_POINTER("accessLog", struct static_config, access_log, access_log_rows,
		    "One line per request.", .flags = OPTION_ALLOW_EMPTY),
	OPT_NOWHERE_TABLE("tracing", POINTER, ACCEPTED, tracing_rows, OPTION_ALLOW_EMPTY,
			  "Tracing."),
	OPT_NOWHERE_TABLE("hostResolver", OBJECT, IMPLEMENTED, host_resolver_rows,
			  OPTION_ALLOW_EMPTY, "Canonical names of hosts."),
	OPT_NOWHERE_TABLE("certificatesResolvers", MAP, REFUSED, certificates_resolver_rows, 0,
			  "Certificates from ACME.",
			  .hint = "weir gets no certificates; name files in tls.certificates"),
	OPT_OBJECT("experimental", struct static_config, experimental, experimental_rows,
		   "Plugins and experiments."),
	OPT_POINTER("core", struct static_config, core, core_rows, "Rules and TLS options."),
	OPT_NOWHERE_TABLE("spiffe", POINTER, REFUSED, spiffe_rows, 0, "SPIFFE."),
	OPT_POINTER("ocsp", struct static_config, ocsp, ocsp_rows,
		    "Show clients, with each certificate, that it has not been revoked (OCSP "
		    "stapling).",
		    .flags = OPTION_ALLOW_EMPTY),
	OPT_OBJECT("weir", struct static_config, weir, weir_options,
		   "weir's own options; Traefik ignores this key.", .flags = OPTION_ALLOW_EMPTY),
	ROW_REMOVED("pilot", "Traefik Pilot was removed in Traefik v3"),
	OPT_END,
};
