#include "config/static.h"

#define AT_LEAST(n) .min = (n), .max = INT64_MAX

static const struct option limits_rows[] = {
	OPT_INT("connectionsPerWorker", struct weir_limits_config, connections_per_worker, "16384",
		"Most client connections of one worker, all entry points together.", AT_LEAST(1)),
	OPT_SIZE("bufferMemory", struct weir_limits_config, buffer_bytes_per_worker, "256MiB",
		 "Most memory for buffers of connections in one worker.", AT_LEAST(1 << 20)),
	OPT_SIZE("exchangeMemory", struct weir_limits_config, exchange_bytes, "4MiB",
		 "Most memory that one request and its response take besides their bodies.",
		 AT_LEAST(64 << 10)),
	OPT_SIZE("bodyQueue", struct weir_limits_config, body_queue_bytes, "256KiB",
		 "Bytes of a body that may wait for its receiver before its sender is stopped.",
		 AT_LEAST(16 << 10)),
	OPT_INT("pipes", struct weir_limits_config, pipes_per_worker, "256",
		"Most pipes of one worker (two descriptors each) that long bodies go through from "
		"one connection to another without being copied; beyond, and with 0, they are "
		"copied.",
		.min = 0, .max = 65536),
	OPT_SIZE("keptBodies", struct weir_limits_config, kept_body_bytes, "1GiB",
		 "Most bytes of bodies that middlewares and plugins keep at the same time, in "
		 "memory "
		 "and in files; a request that needs more fails.",
		 AT_LEAST(0)),
	OPT_INT("requestRepetitions", struct weir_limits_config, request_repetitions, "100",
		"How often middlewares (`retry`, `buffering`) may have one request made again, all "
		"together, and how often `errors` may ask for a page instead; then the response "
		"that there is goes on.",
		.min = 0, .max = 65535),
	OPT_INT("headerFields", struct weir_limits_config, header_fields, "1000",
		"Most header fields of a request or response.", AT_LEAST(1)),
	OPT_SIZE("requestTarget", struct weir_limits_config, target_bytes, "64KiB",
		 "Longest request target (path and query).", AT_LEAST(1 << 10)),
	OPT_SIZE("responseHead", struct weir_limits_config, response_head_bytes, "1MiB",
		 "Longest head of a server's response. The one of requests is "
		 "`entryPoints.<name>.http.maxHeaderBytes`.",
		 AT_LEAST(1 << 10)),
	OPT_INT("upstreamConnections", struct weir_limits_config, upstream_connections, "4096",
		"Most connections of one worker to one server.", AT_LEAST(1)),
	OPT_DURATION("upstreamHold", struct weir_limits_config, upstream_hold_ns, "10s",
		     "Longest time that a server which cannot be reached is left out, while others "
		     "of its service can; 0: it keeps its turns."),
	OPT_INT("idleUpstreamConnections", struct weir_limits_config, idle_upstream_connections,
		"1024", "Most idle connections of one worker to all servers together.",
		AT_LEAST(0)),
	OPT_DURATION("dnsCache", struct weir_limits_config, dns_cache_ns, "10s",
		     "How long the addresses of a server's name are kept.", AT_LEAST(0)),
	OPT_DURATION("tcpKeepAlive", struct weir_limits_config, tcp_keep_alive_ns, "30s",
		     "Ask the other end of a TCP connection, a client or a server, whether it is "
		     "still there when nothing has come from it for so long, and as long after "
		     "each question (in whole seconds); nine without an answer end the "
		     "connection. 0: never.",
		     .min = 0, .max = 32767000000000),
	OPT_DURATION("stallTimeout", struct weir_limits_config, stall_timeout_ns, "60s",
		     "Close a connection whose client takes no byte of its response for so long; "
		     "0: never.",
		     AT_LEAST(0)),
	OPT_DURATION("tunnelIdle", struct weir_limits_config, tunnel_idle_ns, "0s",
		     "Close a tunnel (a connection whose protocol was switched, such as WebSocket) "
		     "through which no byte has come either way for so long; 0: never, as in "
		     "Traefik.",
		     AT_LEAST(0)),
	OPT_DURATION("tunnelHalfClosed", struct weir_limits_config, tunnel_half_closed_ns, "10m",
		     "The same for a tunnel of which one side has ended; 0: as `tunnelIdle`.",
		     AT_LEAST(0)),
	OPT_INT("acceptBurst", struct weir_limits_config, accept_burst, "64",
		"Connections that a worker accepts before it looks after the others.", .min = 1,
		.max = 65536),
	OPT_INT("handshakeBurst", struct weir_limits_config, handshake_burst, "8",
		"Steps of TLS handshakes that a worker makes on one entry point before it looks "
		"after the others; 0: any number.",
		.min = 0, .max = 65536),
	OPT_DURATION("upstreamHandshake", struct weir_limits_config, upstream_handshake_ns, "10s",
		     "Longest time for the TLS handshake with a server; 0: none.", AT_LEAST(0)),
	OPT_INT("http2ControlFrames", struct weir_limits_config, http2_control_frames, "1000",
		"Most HTTP/2 frames that cost work and carry nothing (resets, pings, settings, "
		"priorities, empty data, malformed requests, fields of a head that is too long) of "
		"one connection at once, and a tenth of it each second; it is closed beyond. 0: "
		"any number.",
		.min = 0, .max = 1 << 30),
	OPT_INT("serversPerService", struct weir_limits_config, servers_per_service, "4096",
		"Most servers of one service; one with more is not used.", .min = 1, .max = 65535),
	OPT_SIZE("usersFile", struct weir_limits_config, users_file_bytes, "64MiB",
		 "Longest `usersFile` of a `basicAuth` or `digestAuth`; one with a longer file is "
		 "not "
		 "used.",
		 AT_LEAST(1)),
	OPT_INT("passwordChecks", struct weir_limits_config, password_checks, "64",
		"Most passwords that one `basicAuth` checks at the same time; further requests "
		"whose password is not known yet get 503.",
		.min = 1, .max = 65535),
	OPT_INT("digestNonces", struct weir_limits_config, digest_nonces, "1100",
		"Most nonces that one `digestAuth` keeps; the one that was not used for the "
		"longest time goes.",
		.min = 1, .max = 1 << 20),
	OPT_INT("rateLimitSources", struct weir_limits_config, rate_limit_sources, "65536",
		"Most sources that one `rateLimit` knows; the one that was not seen for the "
		"longest time is forgotten.",
		.min = 1, .max = 1 << 24),
	OPT_INT("redisQueries", struct weir_limits_config, redis_queries, "4096",
		"Most queries to one Redis that are sent or wait on each worker; requests that "
		"would need more get 500.",
		.min = 1, .max = 1 << 20),
	OPT_INT("authRequests", struct weir_limits_config, auth_requests, "4096",
		"Most requests for which one `forwardAuth` asks at the same time; further ones get "
		"503.",
		.min = 1, .max = 1 << 24),
	OPT_SIZE("authBody", struct weir_limits_config, auth_body_bytes, "64MiB",
		 "Longest body of a request, and of an answer, that `forwardAuth` keeps, if its "
		 "own options do not say less; longer ones get 401.",
		 AT_LEAST(1)),
	OPT_INT("middlewaresPerRouter", struct weir_limits_config, middlewares_per_router, "256",
		"Most middlewares of one router, those of its entry point, its service and nested "
		"chains included; one with more is not used.",
		.min = 1, .max = 65535),
	OPT_SIZE(
		"configurationMemory", struct weir_limits_config, generation_bytes, "1GiB",
		"Most memory for routers and services of one dynamic configuration; one that needs "
		"more is not taken.",
		AT_LEAST(1 << 20)),
	OPT_SIZE("apiAnswer", struct weir_limits_config, api_bytes, "64MiB",
		 "Longest answer of the API; a longer one is refused with 500. While answers that "
		 "clients have not read yet take more than this, further ones are refused with "
		 "503.",
		 AT_LEAST(64 << 10)),
	OPT_DURATION("profileDuration", struct weir_limits_config, profile_ns, "60s",
		     "Longest CPU profile that `/debug/pprof/profile` takes.", .min = 1000000000,
		     .max = 3600000000000),
	OPT_INT("profileSamples", struct weir_limits_config, profile_samples, "20000",
		"Most samples of one CPU profile; further ones are counted as dropped. Each takes "
		"400 bytes while the profile is taken.",
		.min = 1, .max = 1000000),
	OPT_SIZE("restBody", struct weir_limits_config, rest_bytes, "16MiB",
		 "Longest configuration that the provider `rest` takes; a longer one is refused "
		 "with 413.",
		 .min = 1 << 10, .max = 1 << 30),
	OPT_SIZE("restBodies", struct weir_limits_config, rest_held_bytes, "64MiB",
		 "Most bytes of configurations that are on their way to the provider `rest` at the "
		 "same time, and of answers that their clients have not taken yet; one that needs "
		 "more is refused with 503. One alone always has room.",
		 .min = 1 << 10, .max = 1 << 30),
	OPT_INT("headerLabelSeries", struct weir_limits_config, header_label_series, "1000",
		"Most series of one entry point, router or service on each worker that "
		"`headerLabels` can make; requests beyond are counted with the value `other`.",
		.min = 1, .max = 1 << 20),
	OPT_SIZE("metricsText", struct weir_limits_config, metrics_bytes, "64MiB",
		 "Longest answer at `/metrics`; a longer one is refused with 500. While answers "
		 "that clients have not read yet take more than this, further ones are refused "
		 "with 503.",
		 AT_LEAST(64 << 10)),
	OPT_INT("compressions", struct weir_limits_config, compressions, "1024",
		"Most responses that `compress` works on at the same time, in all workers "
		"together; further ones are sent as they are.",
		.min = 0, .max = 1 << 24),
	OPT_SIZE("compressWindow", struct weir_limits_config, compress_window_bytes, "64KiB",
		 "How far back a compressed response may refer, at most 32 KiB with gzip. A "
		 "response takes about ten times as much memory.",
		 .min = 1 << 10, .max = 4 << 20),
	OPT_SIZE("accessLogQueue", struct weir_limits_config, access_log_bytes, "1MiB",
		 "Lines of the access log that wait in one worker to be written; further ones are "
		 "lost and counted.",
		 .min = 64 << 10, .max = 1 << 30),
	OPT_END,
};

static const char *const isolations[] = {
#define X(name, text) [WEIR_ISOLATION_##name] = text,
	WEIR_ISOLATIONS(X)
#undef X
};

static const char *const inits[] = {
#define X(name, text) [WEIR_INIT_##name] = text,
	WEIR_INITS(X)
#undef X
};

static const char *const restores[] = {
#define X(name, text) [WEIR_RESTORE_##name] = text,
	WEIR_RESTORES(X)
#undef X
};

static const char *const failures[] = {
#define X(name, text) [PLUGIN_FAILURE_##name] = text,
	PLUGIN_FAILURES(X)
#undef X
};

static const struct option_names restore_names = {restores, ARRAY_LEN(restores)};
static const struct option_names isolation_names = {isolations, ARRAY_LEN(isolations)};
static const struct option_names init_names = {inits, ARRAY_LEN(inits)};
static const struct option_names failure_names = {failures, ARRAY_LEN(failures)};

const struct option weir_plugin_options[] = {
	OPT_SIZE("memory", struct weir_plugin_config, memory_bytes, "256MiB",
		 "Most linear memory of one instance.", .min = 64 << 10, .max = INT64_C(4) << 30),
	OPT_DURATION("callCPU", struct weir_plugin_config, call_cpu_ns, "1s",
		     "Most CPU time of one call into the plugin.", AT_LEAST(1000000)),
	OPT_DURATION("exchangeTime", struct weir_plugin_config, exchange_wall_ns, "30s",
		     "Most time that the plugin takes for one request and its response, waits for "
		     "bodies not counted; 0: any.",
		     AT_LEAST(0)),
	OPT_DURATION("initTime", struct weir_plugin_config, init_ns, "30s",
		     "Most time to make and initialise one instance.", AT_LEAST(1000000)),
	OPT_INT("instances", struct weir_plugin_config, max_instances_per_worker, "256",
		"Most instances in one worker.", .min = 1, .max = UINT32_MAX),
	OPT_INT("queue", struct weir_plugin_config, queue_length, "1024",
		"Most requests that wait for an instance in one worker.", .min = 1,
		.max = UINT32_MAX),
	OPT_DURATION("queueTimeout", struct weir_plugin_config, queue_timeout_ns, "2s",
		     "Longest wait for an instance; then the request gets 503.", AT_LEAST(1000000)),
	OPT_DURATION("idleTimeout", struct weir_plugin_config, idle_timeout_ns, "10s",
		     "Destroy an instance that was not used for so long.", AT_LEAST(1000000)),
	OPT_INT("logLines", struct weir_plugin_config, log_lines_per_exchange, "100",
		"Most lines that the plugin logs for one request.", .min = 1, .max = UINT32_MAX),
	OPT_SIZE("bodyBuffer", struct weir_plugin_config, body_buffer_bytes, "64MiB",
		 "Most bytes of a body that are kept for the plugin.", AT_LEAST(1)),
	OPT_SIZE("textSize", struct weir_plugin_config, text_bytes, "1MiB",
		 "Longest method, URI, header name or value that the plugin may pass.",
		 AT_LEAST(1)),
	OPT_INT("tables", struct weir_plugin_config, tables, "8", "Most tables of one instance.",
		.min = 1, .max = UINT32_MAX),
	OPT_INT("tableElements", struct weir_plugin_config, table_elements, "1000000",
		"Most elements of one table.", .min = 1, .max = UINT32_MAX),
	OPT_BOOL("stringifyConfig", struct weir_plugin_config, stringify_config, "true",
		 "Give numbers and booleans of the plugin's configuration as strings, as Traefik "
		 "does."),
	OPT_ENUM("isolation", struct weir_plugin_config, isolation, isolation_names, "reuse",
		 "How long what the plugin keeps in its memory lives. `reuse`: as long as the "
		 "instance, which serves one request after the other, as in Traefik. `reset`: for "
		 "one request; then the instance is put back to how it was initialised. `fresh`: "
		 "the same, by a new instance for each request."),
	OPT_ENUM(
		"init", struct weir_plugin_config, init, init_names, "shared",
		"`shared`: the plugin is initialised once, and its instances begin as copies of "
		"that, seeds of random numbers included. `own`: each instance initialises itself."),
	OPT_SIZE(
		"memoryBudget", struct weir_plugin_config, total_bytes, "0",
		"Most memory of all instances of the plugin: what they were initialised with once, "
		"and what each has changed; 0: any, within `weir.plugins.memoryBudget`.",
		AT_LEAST(0)),
	OPT_INT("maxRequests", struct weir_plugin_config, max_requests, "0",
		"Requests after which an instance under `reuse` is put back to how it was "
		"initialised; 0: any number.",
		.min = 0, .max = UINT32_MAX),
	OPT_DURATION("maxAge", struct weir_plugin_config, max_age_ns, "0s",
		     "Age at which the same happens; 0: any.", AT_LEAST(0)),
	OPT_ENUM("failure", struct weir_plugin_config, failure, failure_names, "closed",
		 "What becomes of a request whose plugin failed. `closed`: it ends with an error. "
		 "`open`: it goes on as if the middleware were not there."),
	OPT_INT("circuitFailures", struct weir_plugin_config, circuit_failures, "50",
		"Requests that the plugin has to fail within `circuitWindow`, and nine of ten of "
		"all, for its circuit to open: requests are then refused with 503 until a trial "
		"succeeds; 0: never.",
		.min = 0, .max = UINT32_MAX - 1),
	OPT_INT("startFailures", struct weir_plugin_config, start_failures, "5",
		"The same for further instances that do not start.", .min = 0,
		.max = UINT32_MAX - 1),
	OPT_DURATION("circuitWindow", struct weir_plugin_config, circuit_window_ns, "60s",
		     "The time within which failures are counted.", AT_LEAST(1000000)),
	OPT_DURATION("circuitWait", struct weir_plugin_config, circuit_wait_ns, "1s",
		     "Time from the opening of a circuit to the first trial; it doubles with each "
		     "trial that fails.",
		     AT_LEAST(1000000)),
	OPT_DURATION("circuitMaxWait", struct weir_plugin_config, circuit_wait_max_ns, "30s",
		     "Longest time between two trials.", AT_LEAST(1000000)),
	OPT_SIZE(
		"maxPrivateMemory", struct weir_plugin_config, private_bytes, "0",
		"Memory that an instance has changed for itself, after which it is put back to how "
		"it was initialised when its request is done; 0: any.",
		AT_LEAST(0)),
	OPT_INT("minInstances", struct weir_plugin_config, min_instances_per_worker, "0",
		"Instances that are kept ready in each worker, also when they are idle, as long as "
		"the memory budget has room.",
		.min = 0, .max = UINT32_MAX),
	OPT_INT("openFiles", struct weir_plugin_config, open_files, "64",
		"Most files and directories that one instance opens and holds at a time, mounts "
		"not counted.",
		.min = 1, .max = UINT32_MAX),
	OPT_END,
};

const struct option weir_plugins_options[] = {
	OPT_STRING("directory", struct weir_plugins_config, directory, "./plugins-local",
		   "Where local plugins lie, as `src/<moduleName>/`.", .flags = OPTION_PATH),
	OPT_BOOL("watch", struct weir_plugins_config, watch, "true",
		 "Take plugins' files into use when they change."),
	OPT_SIZE("binarySize", struct weir_plugins_config, binary_bytes, "64MiB",
		 "Largest WebAssembly module of a plugin.", AT_LEAST(8)),
	OPT_SIZE("memoryBudget", struct weir_plugins_config, memory_budget_bytes, "0",
		 "Most memory of all plugins together: what they were initialised with once, and "
		 "what each instance has changed. When it is used up, idle instances go, then "
		 "requests wait up to `queueTimeout`, then they get 503. 0: half of the memory of "
		 "the cgroup or the machine.",
		 AT_LEAST(0)),
	OPT_ENUM(
		"restore", struct weir_plugins_config, restore, restore_names, "auto",
		"How the memory of instances is put back. `scan`: ask the kernel for changed pages "
		"(Linux 6.7). `pagemap`: read the entries of all pages. `drop`: drop all pages. "
		"`auto`: the first of them that works."),
	OPT_BOOL("selfCheck", struct weir_plugins_config, self_check, "false",
		 "Compare every instance that was put back with what it should be, and end the "
		 "process where they differ. Slow."),
	OPT_STRING(
		"cacheDirectory", struct weir_plugins_config, cache_directory, "auto",
		"Where compiled plugins are kept for the next start; only weir's own user may be "
		"allowed to write there. `auto`: `plugins` in $CACHE_DIRECTORY, which systemd "
		"sets, else `weir/plugins` in $XDG_CACHE_HOME or ~/.cache. `none`: nowhere."),
	OPT_SIZE("cacheSize", struct weir_plugins_config, cache_bytes, "512MiB",
		 "Most bytes of compiled plugins that are kept; those that were not used for the "
		 "longest time go.",
		 AT_LEAST(1 << 20)),
	OPT_DURATION("compileTimeout", struct weir_plugins_config, compile_timeout_ns, "5m",
		     "Most time to compile a plugin, which a process of its own does; 0: any.",
		     AT_LEAST(0)),
	OPT_SIZE("compileMemory", struct weir_plugins_config, compile_bytes, "1GiB",
		 "Most memory of that process; 0: any.", AT_LEAST(0)),
	OPT_INT("openFiles", struct weir_plugins_config, open_files, "0",
		"Most descriptors of all plugins together: mounts, files that they open, and one "
		"more for each open directory that they list. 0: a quarter of those that the "
		"process may have.",
		.min = 0, .max = UINT32_MAX),
	OPT_OBJECT("defaults", struct weir_plugins_config, defaults, weir_plugin_options,
		   "Limits of all plugins."),
	OPT_MAP("perPlugin", struct weir_plugins_config, per_plugin, struct weir_plugin_config,
		weir_plugin_options,
		"Limits of single plugins, by their name in `experimental.localPlugins`; what is "
		"absent is as in `defaults`."),
	OPT_END,
};

static const struct option generations_rows[] = {
	OPT_DURATION("drainTimeout", struct weir_generations_config, drain_timeout_ns, "10m",
		     "How long requests may hold a dynamic configuration that was replaced; then "
		     "they are ended. One whose response is on its way or that has become a "
		     "tunnel holds none; 0: any time.",
		     AT_LEAST(0)),
	OPT_INT("max", struct weir_generations_config, max, "16",
		"Most dynamic configurations in use, the current one included: requests are ended "
		"that have held an older one for five seconds after it was replaced.",
		.min = 2, .max = 1 << 20),
	OPT_END,
};

static const struct option supervisor_rows[] = {
	OPT_BOOL("enabled", struct weir_supervisor_config, enabled, "true",
		 "Serve in a child process that is started again if it dies; the first process "
		 "keeps "
		 "the listening sockets."),
	OPT_SIZE("keepConfiguration", struct weir_supervisor_config, keep_bytes_max, "64MiB",
		 "Most bytes of a provider's last good configuration, which the first process "
		 "keeps in "
		 "memory for a server that is started again and finds a broken one; 0: none is "
		 "kept.",
		 .min = 0, .max = (int64_t)1 << 32),
	OPT_STRING(
		"pidFile", struct weir_supervisor_config, pid_file, "",
		"File for the number of the process that takes signals; `weir upgrade` reads it."),
	OPT_END,
};

const struct option weir_options[] = {
	OPT_INT("workers", struct weir_config, workers, "0",
		"Threads that serve connections; 0: as many as the CPU quota of the cgroup allows.",
		.min = 0, .max = 1024),
	OPT_OBJECT("supervisor", struct weir_config, supervisor, supervisor_rows,
		   "The process that restarts and upgrades the server."),
	OPT_OBJECT("limits", struct weir_config, limits, limits_rows,
		   "What one process holds at most."),
	OPT_OBJECT("generations", struct weir_config, generations, generations_rows,
		   "Dynamic configurations that requests still use after a reload."),
	OPT_OBJECT("plugins", struct weir_config, plugins, weir_plugins_options,
		   "WebAssembly plugins."),
	OPT_END,
};
