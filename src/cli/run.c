#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/api.h"
#include "api/rest.h"
#include "cli/cli.h"
#include "cli/crash.h"
#include "cli/kept.h"
#include "cli/notify.h"
#include "cli/supervised.h"
#include "cli/supervisor.h"
#include "core/clock.h"
#include "core/log.h"
#include "observe/access_log.h"
#include "observe/metrics.h"
#include "observe/process.h"
#include "provider/keeper.h"
#include "provider/plugin_files.h"
#include "provider/provider.h"
#include "proxy/proxy.h"
#include "weir/plugin.h"

#define CONTROL_BUFFER_BYTES ((size_t)16 * 1024 * 1024)

/** The running process, seen from the control thread. */
struct server {
	struct loop control;
	struct static_config *config;
	struct socket_set sockets; /* that this process was started with */
	struct proxy *proxy;
	struct metrics *metrics;       /* NULL: off */
	struct access_log *access_log; /* NULL: off */
	struct api *api;               /* the same */
	struct aggregator *aggregator;
	struct kept kept;      /* of the server before this one; until providers have begun */
	struct keeper *keeper; /* NULL: nobody outlives this process */
	struct rest *rest;     /* NULL: off */
	struct provider *file;
	struct provider *http;
	struct plugin_files *plugin_files; /* NULL: nobody watches them */
	uv_signal_t signals[5];
	size_t signal_count;
	struct timer watchdog;
	bool supervised;
	bool configured; /* a configuration has come, so that there is something to wait for */
	bool asking;     /* perhaps one comes of a first answer that is waited for */
	bool stopping;
	uint64_t stopped_at_ns;
};

static void on_configuration(void *context, struct dynamic_config *config)
{
	struct server *s = context;

	s->configured = true;
	proxy_apply(s->proxy, config);
}

/* Before the first configuration is in effect every request would get 404. */
static void say_ready(void *context)
{
	(void)context;
	notify_send("READY=1");
}

static void on_drained(void *context)
{
	struct server *s = context;

	loop_stop(&s->control);
}

/* Below a supervisor, which counts signals and ends us at a second one, they may come twice: from
 * it, and from who sends them to all processes of a service, or to one that drains already. */
static void stop(struct server *s, int signal_number)
{
	if (s->stopping && (s->supervised || clock_mono_ns() - s->stopped_at_ns < STOP_SIGNALS_NS))
		return;
	if (s->stopping) {
		log_warn("Second signal: ending without waiting for connections");
		_exit(128 + signal_number);
	}
	s->stopping = true;
	s->stopped_at_ns = clock_mono_ns();
	log_info("I have to go...");
	notify_send("STOPPING=1");
	proxy_drain(s->proxy, on_drained, s);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct server *s = handle->data;

	switch (number) {
	case SIGHUP:
		if (s->file != NULL && !s->stopping)
			provider_reload(s->file);
		if (s->http != NULL && !s->stopping)
			provider_reload(s->http);
		/* The plugins' files may have changed, too. */
		proxy_rebuild(s->proxy);
		break;
	case SIGUSR1:
		if (log_reopen() < 0)
			log_error("The log file cannot be opened again");
		access_log_reopen(s->access_log);
		break;
	case SIGUSR2:
		if (!s->supervised)
			log_warn("The program is not upgraded: weir.supervisor.enabled is false");
		break;
	default:
		stop(s, number);
		break;
	}
}

static int watch_signal(struct server *s, int number, struct weir_error *e)
{
	uv_signal_t *handle = &s->signals[s->signal_count];
	int r = uv_signal_init(&s->control.uv, handle);

	if (r == 0) {
		s->signal_count++;
		handle->data = s;
		r = uv_signal_start(handle, on_signal, number);
		uv_unref((uv_handle_t *)handle);
	}
	return r < 0 ? error_set(e, r, "signals: %s", uv_strerror(r)) : 0;
}

/* Descriptors 0 to 2 are never a socket or file of ours, which messages would be written to. */
static void fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		(void)close(fd);
}

/* As many descriptors as the system allows: two per proxied connection are needed. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void feed_watchdog(struct timer *t)
{
	struct server *s = container_of(t, struct server, watchdog);

	notify_send("WATCHDOG=1");
	loop_arm(&s->control, t, notify_watchdog_ms(), feed_watchdog);
}

static void on_plugin_files(void *context)
{
	struct server *s = context;

	proxy_rebuild(s->proxy);
}

static int watch_plugins(struct server *s, struct weir_error *e)
{
	if (!s->config->weir.plugins.watch || s->config->experimental.local_plugins.count == 0)
		return 0;
	return plugin_files_create(&s->plugin_files, &s->control.uv, s->config, on_plugin_files, s,
				   e);
}

/* Nothing is in effect but what weir serves itself: /ping, /metrics, /api. */
static void serve_unconfigured(struct server *s)
{
	struct dynamic_config *none;

	if (s->configured || s->asking)
		return;
	none = dynamic_new(0);
	if (none != NULL)
		proxy_apply(s->proxy, none);
	else
		proxy_accept(s->proxy);
	dynamic_destroy(&none);
}

static void on_asked(void *context)
{
	struct server *s = context;

	s->asking = false;
	serve_unconfigured(s);
}

static int start_http_provider(struct server *s, struct weir_error *e)
{
	s->asking = true;
	return http_provider_create(&s->http, s->aggregator, &s->control, s->config->providers.http,
				    on_asked, s, e);
}

static void on_accepted(void *context, const char *provider, struct dynamic_config *config)
{
	struct server *s = context;

	keeper_take(s->keeper, provider, config);
}

static int start_keeper(struct server *s, struct weir_error *e)
{
	size_t bytes_max = (size_t)s->config->weir.supervisor.keep_bytes_max;
	int r;

	if (!s->supervised || bytes_max == 0)
		return 0;
	r = keeper_create(&s->keeper, bytes_max, kept_send, e);
	if (r == 0)
		aggregator_on_accepted(s->aggregator, on_accepted, s);
	return r;
}

/* What was put has no other source; the others are asked first. */
static int start_rest(struct server *s, struct weir_error *e)
{
	int r = rest_create(&s->rest, s->proxy, s->config, &s->control, s->aggregator, e);

	if (r < 0)
		return r;
	kept_offer(&s->kept, s->aggregator, "rest");
	(void)aggregator_use_kept(s->aggregator, "rest");
	return 0;
}

static int start_providers(struct server *s, struct weir_error *e)
{
	int r = aggregator_create(&s->aggregator, &s->control.uv, s->config->providers.throttle_ns,
				  on_configuration, s, e);

	if (r == 0)
		r = start_keeper(s, e);

	proxy_on_ready(s->proxy, say_ready, s);
	if (r == 0 && s->config->providers.rest != NULL)
		r = start_rest(s, e);
	for (enum provider_id id = 0; r == 0 && id < PROVIDER_COUNT; id++)
		kept_offer(&s->kept, s->aggregator, provider_name(id));
	kept_free(&s->kept);
	if (r == 0 && s->config->providers.file != NULL)
		r = file_provider_create(&s->file, s->aggregator, s->config->providers.file, e);
	if (r == 0 && s->config->providers.http != NULL)
		r = start_http_provider(s, e);
	if (r == 0)
		r = watch_plugins(s, e);
	return r;
}

/* As Traefik: a log that cannot be opened is no reason not to serve. */
static void start_access_log(struct server *s)
{
	struct weir_error e = {0};

	if (s->config->access_log != NULL &&
	    access_log_create(&s->access_log, s->proxy, s->config, &e) < 0)
		log_warn_with((LOG_CAUSE(&e)), "Unable to create access logger");
}

/* A reload that comes too early waits; until there is something to end, SIGTERM ends the process.
 */
static int start(struct server *s, struct weir_error *e)
{
	int r = watch_signal(s, SIGHUP, e);

	if (r == 0)
		r = watch_signal(s, SIGUSR1, e);
	if (r == 0)
		r = watch_signal(s, SIGUSR2, e);
	if (r == 0)
		r = cli_configure_log(&s->config->log, e);
	if (r == 0)
		r = proxy_create(&s->proxy, &s->control, s->config, &s->sockets, e);
	if (r == 0)
		start_access_log(s);
	if (r == 0 && static_prometheus(s->config) != NULL)
		r = metrics_create(&s->metrics, s->proxy, s->access_log, s->config, e);
	if (r == 0 && s->config->api != NULL)
		r = api_create(&s->api, s->proxy, s->config, e);
	if (r == 0)
		r = start_providers(s, e);
	if (r == 0)
		r = watch_signal(s, SIGTERM, e);
	if (r == 0)
		r = watch_signal(s, SIGINT, e);
	if (r < 0)
		return r;
	log_info_with((LOG_INTEGER("workers", s->config->weir.workers),
		       LOG_TEXT("configuration", s->config->source)),
		      "weir version %s is running", WEIR_VERSION);
	serve_unconfigured(s);
	if (notify_watchdog_ms() > 0)
		feed_watchdog(&s->watchdog);
	return 0;
}

static void finish(struct server *s)
{
	if (s->file != NULL)
		provider_destroy(&s->file);
	if (s->http != NULL)
		provider_destroy(&s->http);
	plugin_files_destroy(&s->plugin_files);
	rest_stop(s->rest);
	aggregator_destroy(&s->aggregator);
	keeper_destroy(&s->keeper);
	metrics_stop(s->metrics);
	api_stop(s->api);
	proxy_destroy(&s->proxy);
	metrics_destroy(&s->metrics);
	access_log_destroy(&s->access_log);
	api_destroy(&s->api);
	rest_destroy(&s->rest);
	loop_disarm(&s->control, &s->watchdog);
	for (size_t i = 0; i < s->signal_count; i++)
		uv_close((uv_handle_t *)&s->signals[i], NULL);
	loop_close(&s->control);
}

static int serve(struct server *s)
{
	struct weir_error e = {0};
	int r = loop_init(&s->control, CONTROL_BUFFER_BYTES);

	if (r < 0) {
		(void)fprintf(stderr, "weir: control loop: %s\n", uv_strerror(r));
		return r;
	}
	r = start(s, &e);
	if (r < 0)
		(void)fprintf(stderr, "weir: %s\n", e.text);
	else
		loop_run(&s->control);
	finish(s);
	return r;
}

/* What the supervisor or the service manager has opened, then what they did not. */
static int serve_on_inherited(struct server *s)
{
	int r;

	if (socket_set_inherit(&s->sockets) < 0) {
		(void)fputs("weir: out of memory\n", stderr);
		return -ENOMEM;
	}
	r = serve(s);
	socket_set_free(&s->sockets);
	return r;
}

/* `told` is NULL without a supervisor. */
static int run_server(const struct cli_args *args, const struct supervised *told)
{
	static struct server s;
	struct arena arena;
	int r = -EINVAL;

	if (told != NULL) {
		/* Else it would be that of the link to the program. */
		(void)prctl(PR_SET_NAME, "weir");
		notify_through(told->notice_fd);
		process_set_restarts(told->restarts);
		kept_inherit(&s.kept);
	}
	s.supervised = told != NULL;
	crash_report_install();
	s.config = cli_load(args, &arena);
	if (s.config != NULL) {
		if (told != NULL)
			s.config->weir.workers = (int64_t)told->workers;
		else if (s.config->weir.workers <= 0)
			s.config->weir.workers = (int64_t)cli_cpu_quota();
		r = serve_on_inherited(&s);
	}
	static_config_free(&s.config);
	arena_free(&arena);
	return r < 0 ? 1 : 0;
}

/* As the process that was started. */
static int run_first(const struct cli_args *args)
{
	struct static_config *config;
	struct arena arena;
	bool enabled = true;
	int status = 1;

	config = cli_load_quietly(args, &arena);
	if (config != NULL) {
		enabled = config->weir.supervisor.enabled;
		if (config->weir.workers <= 0)
			config->weir.workers = (int64_t)cli_cpu_quota();
	}
	if (enabled && (config != NULL || supervised_has_server()))
		status = supervise(args, &config);
	static_config_free(&config);
	arena_free(&arena);
	return enabled ? status : run_server(args, NULL);
}

int cli_run(const struct cli_args *args)
{
	struct supervised told;

	(void)signal(SIGPIPE, SIG_IGN);
	/* A guest that writes past RLIMIT_FSIZE gets an error instead of ending the process. */
	(void)signal(SIGXFSZ, SIG_IGN);
	fill_standard_descriptors();
	raise_descriptor_limit();
	if (supervised_inherit(&told))
		return run_server(args, &told);
	return run_first(args);
}
