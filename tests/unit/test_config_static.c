#include "config_case.h"
#include "config_static_keys.h"

#include <errno.h>
#include <sys/stat.h>

#include "config/source.h"

#define ARGS_MAX 12

/* What one start was given, and what came of it. */
struct start {
	const char *file; /* text of a YAML file, or NULL */
	const char *args[ARGS_MAX];
	const char *environment[ARGS_MAX];
};

struct fixture {
	struct config_case c;
	struct static_config *config;
	char directory[32];
	char path[64];
	char report[8192];
	int result;
};

static void replace(char *text, const char *what, const char *with)
{
	size_t n = strlen(what), m = strlen(with);

	for (char *at = text; (at = strstr(at, what)) != NULL; at += m) {
		memmove(at + m, at + n, strlen(at + n) + 1);
		memcpy(at, with, m);
	}
}

static void begin(struct fixture *f)
{
	*f = (struct fixture){.directory = "/tmp/weir-test-XXXXXX"};
	case_begin(&f->c);
	assert_non_null(mkdtemp(f->directory));
}

static void end(struct fixture *f)
{
	if (f->path[0] != '\0')
		assert_int_equal(unlink(f->path), 0);
	assert_int_equal(rmdir(f->directory), 0);
	static_config_free(&f->config);
	case_end(&f->c);
}

static void write_file(struct fixture *f, const char *name, const char *text)
{
	FILE *file;

	(void)snprintf(f->path, sizeof f->path, "%s/%s", f->directory, name);
	file = fopen(f->path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void run(struct fixture *f, const struct start *s)
{
	const char *args[ARGS_MAX + 1];
	char flag[128];
	size_t count = 0;

	if (s->file != NULL) {
		write_file(f, "t.yml", s->file);
		(void)snprintf(flag, sizeof flag, "--configfile=%s", f->path);
		args[count++] = flag;
	}
	for (size_t i = 0; i < ARGS_MAX && s->args[i] != NULL; i++)
		args[count++] = s->args[i];
	f->result = static_load(&f->config, count, args, s->environment, &f->c.report);
	(void)snprintf(f->report, sizeof f->report, "%s", case_report(&f->c));
	if (s->file != NULL)
		replace(f->report, f->path, "F");
	assert_int_equal(f->result == 0, f->config != NULL);
	assert_int_equal(f->result == 0, f->c.report.errors == 0);
}

/* The level of the log tells which source was used. */
static const struct {
	struct start start;
	const char *level;
	const char *source; /* NULL: not looked at */
} sources[] = {
	{{.args = {NULL}}, "ERROR", "defaults"},
	{{.file = "log: {level: DEBUG}\n"}, "DEBUG", NULL},
	{{.file = "log: {level: DEBUG}\n", .args = {"--log.level=INFO"}}, "DEBUG", NULL},
	{{.file = "log: {level: DEBUG}\n", .environment = {"TRAEFIK_LOG_LEVEL=INFO"}},
	 "DEBUG",
	 NULL},
	{{.file = "log: {format: json}\n", .args = {"--log.level=INFO"}}, "ERROR", NULL},
	{{.args = {"--log.level=INFO"}}, "INFO", "flags"},
	{{.args = {"--log.level=INFO"}, .environment = {"TRAEFIK_LOG_LEVEL=WARN"}},
	 "INFO",
	 "flags"},
	{{.args = {"--ping"}, .environment = {"TRAEFIK_LOG_LEVEL=WARN"}}, "ERROR", "flags"},
	{{.environment = {"TRAEFIK_LOG_LEVEL=WARN"}}, "WARN", "environment"},
	{{.args = {"--weir.workers=1"}, .environment = {"TRAEFIK_LOG_LEVEL=WARN"}},
	 "WARN",
	 "environment"},
	{{.environment = {"TRAEFIK_FOO=1", "LOG_LEVEL=INFO"}}, "ERROR", "defaults"},
};

static void sources_exclude_each_other(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		struct fixture f;

		begin(&f);
		run(&f, &sources[i].start);
		assert_int_equal(f.result, 0);
		assert_string_equal(f.config->log.level_name.p, sources[i].level);
		if (sources[i].source != NULL)
			assert_string_equal(f.config->source.p, sources[i].source);
		end(&f);
	}
}

static void files_are_found_where_traefik_looks(void **state)
{
	static const char *const names[] = {"traefik.toml", "traefik.yaml", "traefik.yml"};
	static const char *const texts[] = {"[log]\nlevel = 'DEBUG'\n", "log: {level: DEBUG}\n",
					    "log: {level: DEBUG}\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct fixture f;
		struct start s = {.file = NULL};
		char variable[64];

		begin(&f);
		write_file(&f, names[i], texts[i]);
		(void)snprintf(variable, sizeof variable, "XDG_CONFIG_HOME=%s", f.directory);
		s.environment[0] = variable;
		run(&f, &s);
		assert_int_equal(f.result, 0);
		assert_int_equal(f.config->log.level, LOG_DEBUG);
		assert_string_equal(f.config->file.p, f.path);
		end(&f);
	}
}

static const struct {
	struct start start;
	int64_t workers;
} own[] = {
	{{.args = {NULL}}, 0},
	{{.file = "weir: {workers: 1}\nlog: {level: INFO}\n"}, 1},
	{{.file = "weir: {workers: 1}\nlog: {level: INFO}\n", .environment = {"WEIR_WORKERS=2"}},
	 2},
	{{.file = "weir: {workers: 1}\nlog: {level: INFO}\n",
	  .environment = {"WEIR_WORKERS=2"},
	  .args = {"--Weir.workers=3"}},
	 3},
	{{.environment = {"WEIR_WORKERS=2", "TRAEFIK_LOG_LEVEL=INFO"}}, 2},
	{{.environment = {"WEIR_WORKERS=2"}, .args = {"--log.level=INFO"}}, 2},
	{{.environment = {"WEIR_PORT=tcp://1.2.3.4", "WEIR_SERVICE_HOST=x"}}, 0},
	{{.args = {"--weir.workers", "4", "--log.level=INFO"}}, 4},
};

static void own_options_lie_over_all_sources(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		struct fixture f;

		begin(&f);
		run(&f, &own[i].start);
		assert_string_equal(f.report, "");
		assert_int_equal(f.config->weir.workers, own[i].workers);
		end(&f);
	}
}

static void plugins_inherit_limits(void **state)
{
	struct start s = {.file = "weir:\n  plugins:\n    defaults: {memory: 1MiB, queue: 5}\n"
				  "    perPlugin: {waf: {queue: 6}}\n",
			  .environment = {"WEIR_PLUGINS_PERPLUGIN_GEO_IDLETIMEOUT=1s"},
			  .args = {"--weir.plugins.perPlugin.waf.logLines=7"}};
	const struct weir_plugin_config *waf, *geo, *other;
	struct fixture f;

	(void)state;
	begin(&f);
	run(&f, &s);
	assert_int_equal(f.result, 0);
	waf = static_plugin_limits(f.config, "waf");
	geo = static_plugin_limits(f.config, "GEO");
	other = static_plugin_limits(f.config, "other");
	assert_int_equal(waf->memory_bytes, 1 << 20);
	assert_int_equal(waf->queue_length, 6);
	assert_int_equal(waf->log_lines_per_exchange, 7);
	assert_int_equal(geo->idle_timeout_ns, 1000000000);
	assert_int_equal(geo->queue_length, 5);
	assert_int_equal(other->log_lines_per_exchange, 100);
	assert_int_equal(other->memory_bytes, 1 << 20);
	end(&f);
}

#define WEB "--entryPoints.web.address=:8000"

/* Dumps of what differs from the defaults, or reports if they begin with "error" or "warning". */
static const struct {
	struct start start;
	const char *dump;
	const char *report;
} cases[] = {
	/* flags */
	{{.args = {WEB, "-ping", "--log.level", "INFO"}},
	 "entryPoints:\n  web:\n    address: \":8000\"\n  traefik:\n    address: \":8080\"\nping: "
	 "{}\n"
	 "log:\n  level: INFO\n",
	 ""},
	{{.args = {"--entryPoints.Web.address=:1", "--ENTRYPOINTS.web.asDefault",
		   "--entrypoints.WEB.http.middlewares=a,b",
		   "--entrypoints.web.http.middlewares=c"}},
	 "entryPoints:\n  Web:\n    address: \":1\"\n    asDefault: true\n    http:\n"
	 "      middlewares: [a, b, c]\n",
	 ""},
	{{.args = {WEB, "--providers.providersThrottleDuration=5",
		   "--providers.providersThrottleDuration=7"}},
	 "entryPoints:\n  web:\n    address: \":8000\"\nproviders:\n  providersThrottleDuration: "
	 "7s\n",
	 ""},
	{{.args = {WEB, "--ping=false", "--ping.entryPoint=web"}},
	 "entryPoints:\n  web:\n    address: \":8000\"\n",
	 ""},
	{{.args = {WEB, "--ping=TRUE", "--ping.entryPoint=web"}},
	 "entryPoints:\n  web:\n    address: \":8000\"\nping:\n  entryPoint: web\n",
	 ""},
	{{.args = {WEB, "--", "--nope"}},
	 "entryPoints:\n  web:\n    address: \":8000\"\n",
	 "warning: --nope: found this argument, expected a flag; it and what follows is ignored, "
	 "as in "
	 "Traefik\n"},
	{{.args = {WEB, "--log.noColor", "true", "--ping"}},
	 "entryPoints:\n  web:\n    address: \":8000\"\nlog:\n  noColor: true\n",
	 "warning: true: found this argument, expected a flag; it and what follows is ignored, as "
	 "in "
	 "Traefik\n"},
	{{.args = {"--qqqq.x=1"}},
	 NULL,
	 "error: flag --qqqq.x: qqqq: unknown option, expected global, "
	 "serversTransport, tcpServersTransport, entryPoints, providers, api, metrics, ping, log, "
	 "accessLog, tracing, hostResolver, ...\n"},
	{{.args = {"--entrypoint.x.address=:1"}},
	 NULL,
	 "error: flag --entrypoint.x.address: entrypoint: unknown option, did you mean "
	 "\"entryPoints\"?\n"},
	{{.args = {WEB, "--entryPoints.web.adress=:1"}},
	 NULL,
	 "error: flag --entryPoints.web.adress: entryPoints.web.adress: unknown option, did you "
	 "mean "
	 "\"address\"?\n"},
	{{.args = {"--=x", "---y", "--log.level"}},
	 NULL,
	 "error: --=x: found this flag, expected --name=value\nerror: ---y: found this flag, "
	 "expected "
	 "--name=value\nerror: --log.level: found no argument, expected --log.level=value\n"},
	{{.args = {"--ping..x=1"}},
	 NULL,
	 "error: flag --ping..x: found \"ping..x\", expected names with dots between them, or "
	 "name[0]\n"},
	{{.args = {"--ping.terminatingStatusCode=x"}},
	 NULL,
	 "error: flag --ping.terminatingStatusCode: found \"x\", expected an integer\n"},
	/* environment */
	{{.environment = {"TRAEFIK_ENTRYPOINTS_Web_ADDRESS=:1",
			  "TRAEFIK_ENTRYPOINTS_WEB_HTTP_MIDDLEWARES=a, b", "TRAEFIK_PING=true",
			  "TRAEFIK_PING_ENTRYPOINT=web"}},
	 "entryPoints:\n  web:\n    address: \":1\"\n    http:\n      middlewares: [a, b]\nping:\n"
	 "  entryPoint: web\n",
	 ""},
	{{.environment = {"TRAEFIK_LOGX=1"}},
	 NULL,
	 "error: variable TRAEFIK_LOGX: logx: unknown option, did you mean \"log\"?\n"},
	{{.environment = {"TRAEFIK_LOG_LEVEL_X=1"}},
	 NULL,
	 "error: variable TRAEFIK_LOG_LEVEL_X: log.level: found an object, expected a string\n"},
	{{.environment = {"traefik_log_level=DEBUG", "TRAEFIK_log_level=DEBUG",
			  "TRAEFIK_CONFIGFILE=x"}},
	 "entryPoints:\n  http:\n    address: \":80\"\n",
	 "warning: variable TRAEFIK_log_level: unknown option is ignored; did you mean "
	 "TRAEFIK_LOG_LEVEL?\nwarning: variable: TRAEFIK_CONFIGFILE has no effect, as in Traefik; "
	 "use --configFile\n"},
	/* files */
	{{.file = ""},
	 NULL,
	 "error: F: found no configuration, expected options such as entryPoints\n"},
	{{.file = "http: {}\nx-common: 1\n"},
	 NULL,
	 "error: F: found no root key of the static configuration, expected one such as "
	 "entryPoints\n"},
	{{.file = "http: {}\nx-common: 1\nlog: {level: INFO}\n"},
	 "entryPoints:\n  http:\n    address: \":80\"\nlog:\n  level: INFO\n",
	 ""},
	{{.file = "entrypoint: {}\nping: {}\n"},
	 "entryPoints:\n  http:\n    address: \":80\"\n  traefik:\n    address: \":8080\"\nping: "
	 "{}\n",
	 "warning: F:1:1: entrypoint: unknown root key is ignored, as in Traefik; did you mean "
	 "\"entryPoints\"?\n"},
	{{.file = "ping: {}\n", .args = {"--api"}},
	 "entryPoints:\n  http:\n    address: \":80\"\n  traefik:\n    address: \":8080\"\nping: "
	 "{}\n",
	 "warning: flag --api: flags are ignored, as in Traefik, because there is a configuration "
	 "file "
	 "(F)\n"},
	{{.file = "entryPoints:\n  web:\n    adress: x\n"},
	 NULL,
	 "error: F:3:5: entryPoints.web.adress: unknown option, did you mean \"address\"?\n"
	 "error: F:3:5: entryPoints.web: found no address, expected [host]:port or "
	 "unix:///path\n"},
	/* Unix sockets */
	{{.file = "entryPoints:\n  web:\n    address: unix:///run/web.sock\n"},
	 "entryPoints:\n  web:\n    address: \"unix:///run/web.sock\"\n    unixSocket: {}\n",
	 ""},
	{{.file = "entryPoints:\n  web:\n    address: unix:///a\n    unixSocket: {mode: "
		  "\"0980\"}\n"},
	 NULL,
	 "error: F:4:24: entryPoints.web.unixSocket.mode: found \"0980\", expected octal digits of "
	 "at most 0777, such as 0660\n"},
	{{.file = "entryPoints:\n  web:\n    address: \":70000\"\n"}, /* said "expected" twice */
	 NULL,
	 "error: F:3:14: entryPoints.web.address: address :70000: invalid port \"70000\", expected "
	 "0 "
	 "to 65535; an address is [host]:port[/tcp] or unix:///path\n"},
	/* 0660 without quotes is 432 to YAML, and was mode 0432 */
	{{.file = "entryPoints:\n  web:\n    address: unix:///a\n    unixSocket: {mode: 0660}\n"},
	 NULL,
	 "error: F:4:24: entryPoints.web.unixSocket.mode: found the number 432, expected digits in "
	 "quotes, such as \"0660\"\n"},
	{{.args = {"--entryPoints.web.address=unix:///a",
		   "--entryPoints.web.unixSocket.mode=0600"}},
	 "entryPoints:\n  web:\n    address: \"unix:///a\"\n    unixSocket:\n      mode: "
	 "\"0600\"\n",
	 ""},
	{{.file = "entryPoints:\n  web:\n    address: unix:/run/web.sock\n"},
	 NULL,
	 "error: F:3:14: entryPoints.web.address: found \"unix:/run/web.sock\", expected "
	 "unix:///path of a socket, of at most 107 bytes\n"},
	{{.file = "entryPoints:\n  web:\n    address: \":80\"\n    unixSocket: {}\n"},
	 NULL,
	 "error: F:4:17: entryPoints.web.unixSocket: found address \":80\", expected "
	 "unix:///path\n"},
	{{.file = "entryPoints:\n  a:\n    address: unix:///a\n  b:\n    address: \":80\"\n    "
		  "http: {redirections: {entryPoint: {to: a}}}\n"},
	 NULL,
	 "error: F:5:5: entryPoints.b: http.redirections.entryPoint.to: found \"a\", which is a "
	 "Unix socket, expected an entry point that has a port\n"},
	{{.file = "entryPoints:\n  web:\n    address: unix:///a\n    reusePort: true\n    "
		  "proxyProtocol: {trustedIPs: [10.0.0.1]}\n"},
	 "entryPoints:\n  web:\n    address: \"unix:///a\"\n    unixSocket: {}\n    reusePort: "
	 "true\n    "
	 "proxyProtocol:\n      trustedIPs: [\"10.0.0.1\"]\n",
	 "warning: F:3:5: entryPoints.web.reusePort has no effect on a Unix socket\n"
	 "warning: F:3:5: entryPoints.web.proxyProtocol.trustedIPs holds no client of a Unix "
	 "socket, which has no address; insecure trusts all that may connect\n"},
	{{.file = "entryPoints: {}\n"},
	 NULL,
	 "error: F:1:14: entryPoints: found an empty object, expected at least one option in it\n"},
	/* implied entry points */
	{{.args = {"--entryPoints.traefik.address=:1"}},
	 "entryPoints:\n  traefik:\n    address: \":1\"\n",
	 ""},
	{{.args = {WEB, "--ping.manualRouting"}},
	 "entryPoints:\n  web:\n    address: \":8000\"\nping:\n  manualRouting: true\n",
	 ""},
	{{.args = {WEB, "--api.insecure"}},
	 "entryPoints:\n  web:\n    address: \":8000\"\n  traefik:\n    address: \":8080\"\napi:\n "
	 " insecure: true\n",
	 "warning: flag --api.insecure: api.dashboard: weir has no dashboard, only the API that it "
	 "would use; false says that none is expected\n"},
	{{.args = {WEB, "--metrics.prometheus.entryPoint=web"}},
	 "entryPoints:\n  web:\n    address: \":8000\"\nmetrics:\n  prometheus:\n    entryPoint: "
	 "web\n",
	 ""},
	{{.args = {WEB, "--metrics.prometheus"}},
	 "entryPoints:\n  web:\n    address: \":8000\"\n  traefik:\n    address: \":8080\"\n"
	 "metrics:\n  prometheus: {}\n",
	 ""},
	{{.args = {WEB, "--metrics.prometheus.manualRouting"}},
	 "entryPoints:\n  web:\n    address: \":8000\"\nmetrics:\n  prometheus:\n    "
	 "manualRouting: true\n",
	 ""},
	{{.args = {WEB, "--metrics.prometheus.entryPoint=nope"}},
	 "entryPoints:\n  web:\n    address: \":8000\"\nmetrics:\n  prometheus:\n    entryPoint: "
	 "nope\n",
	 "warning: flag --metrics.prometheus.entryPoint: metrics.prometheus.entryPoint: found "
	 "\"nope\", expected the name of an entry point; nothing answers scrapes\n"},
	{{.args = {WEB, "--ping.entryPoint=nope"}},
	 "entryPoints:\n  web:\n    address: \":8000\"\nping:\n  entryPoint: nope\n",
	 "warning: flag --ping.entryPoint: ping.entryPoint: found \"nope\", expected the name of "
	 "an "
	 "entry point; nothing answers pings\n"},
	/* checks */
	{{.args = {WEB, "--log.level=FOO", "--log.format=xml"}},
	 "entryPoints:\n  web:\n    address: \":8000\"\nlog:\n  level: FOO\n  format: xml\n",
	 "warning: flag --log.level: log.level: found \"FOO\", expected TRACE, DEBUG, INFO, WARN, "
	 "ERROR, FATAL or PANIC; ERROR is used\nwarning: flag --log.format: log.format: found "
	 "\"xml\", expected common or json; common is used\n"},
	{{.args = {WEB, "--entryPoints.web.http.aliasHeadersStrategy=keep",
		   "--entryPoints.web.http.underscoreHeadersStrategy=delete"}},
	 NULL,
	 "error: flag --entryPoints.web.address: entryPoints.web: found different values of "
	 "http.aliasHeadersStrategy and http.underscoreHeadersStrategy, expected one of them\n"},
	{{.args = {WEB, "--entryPoints.web.http.aliasHeadersStrategy=Keep"}},
	 NULL,
	 "error: flag --entryPoints.web.http.aliasHeadersStrategy: found \"Keep\", expected one of "
	 "keep, delete, reject\n"},
	{{.args = {WEB,
		   "--entryPoints.web.forwardedHeaders.trustedIPs=10.0.0.0/8,::1,10.0.0.0/33"}},
	 NULL,
	 "error: flag --entryPoints.web.forwardedHeaders.trustedIPs: found \"10.0.0.0/33\", "
	 "expected "
	 "an address such as 10.0.0.1 or a network such as 10.0.0.0/8\n"},
	{{.file = "providers: {file: {watch: false}, precedence: [file, nope]}\n"},
	 NULL,
	 "error: F:1:19: providers.file: found neither filename nor directory, expected one of "
	 "them\n"
	 "error: F:1:47: providers.precedence: found \"nope\", expected the name of a provider\n"},
	{{.file = "api: {basePath: x}\nocsp: {responderOverrides: {a: ''}}\n"
		  "log: {otlp: {grpc: {insecure: true, tls: {ca: x}}}}\n"},
	 NULL,
	 "error: F:1:17: api.basePath: found \"x\", expected a path of letters, digits and /_.:~-\n"
	 "warning: F:3:13: log.otlp: accepted without effect\n"
	 "warning: F:1:6: api.dashboard: weir has no dashboard, only the API that it would use; "
	 "false says that none is expected\n"
	 "error: F:3:13: log.otlp: found OpenTelemetry logs, expected experimental.otlplogs with "
	 "them\n"
	 "error: F:3:20: log.otlp.grpc: found insecure and tls, expected one of them\n"
	 "error: F:2:32: ocsp.responderOverrides.a: found nothing, expected the URL of a "
	 "responder\n"},
	/* statuses */
	{{.file = "global: {checkNewVersion: false, sendAnonymousUsage: false}\naccessLog: {}\n"},
	 "entryPoints:\n  http:\n    address: \":80\"\naccessLog: {}\n",
	 ""},
	{{.file = "global: {checkNewVersion: true, sendAnonymousUsage: true}\n"},
	 "entryPoints:\n  http:\n    address: \":80\"\n",
	 "warning: F:1:53: global.sendAnonymousUsage: accepted without effect\n"},
	{{.file = "entryPoints:\n  a: {address: ':1', udp: {timeout: 5s}}\n"
		  "  b: {address: ':2', udp: {timeout: 6s}}\n"},
	 "entryPoints:\n  a:\n    address: \":1\"\n  b:\n    address: \":2\"\n",
	 "warning: F:2:27: entryPoints.a.udp: accepted without effect\n"},
	{{.file = "entryPoints:\n  a: {address: ':1', http: {redirections: {entryPoint: {to: "
		  "b}}}}\n"
		  "  c: {address: ':3', http: {redirections: {entryPoint: {to: ':x'}}}}\n"},
	 NULL,
	 "error: F:2:6: entryPoints.a: http.redirections.entryPoint.to: found \"b\", expected "
	 "the name of an entry point or \":port\"\n"
	 "error: F:3:6: entryPoints.c: http.redirections.entryPoint.to: found \":x\", expected "
	 "the name of an entry point or \":port\"\n"},
	{{.file = "entryPoints:\n  a:\n    address: ':1'\n    proxyProtocol: {}\n"
		  "    http3: {}\n"},
	 NULL,
	 "error: F:5:12: entryPoints.a.http3: not supported by weir\n"
	 "error: F:3:5: entryPoints.a: proxyProtocol: found neither trustedIPs nor insecure, "
	 "expected one of them\n"},
	{{.file = "providers: {docker: {}}\n"},
	 NULL,
	 "error: F:1:21: providers.docker: not supported by weir; use the file provider "
	 "(providers.file)\n"},
	{{.file = "experimental: {plugins: {a: {moduleName: m, version: v1}}}\n"},
	 NULL,
	 "error: F:1:25: experimental.plugins: not supported by weir; weir downloads nothing: put "
	 "the "
	 "plugin into plugins-local/src/<moduleName>/ and declare it under "
	 "experimental.localPlugins\n"},
	{{.file = "pilot: {token: x}\nproviders: {marathon: {}}\ntracing: {jaeger: {}}\n"
		  "experimental: {http3: true}\n"},
	 NULL,
	 "error: F:1:8: pilot: Traefik Pilot was removed in Traefik v3\n"
	 "error: F:2:23: providers.marathon: the Marathon provider was removed in Traefik v3\n"
	 "warning: F:3:10: tracing: accepted without effect\n"
	 "error: F:3:19: tracing.jaeger: this tracing back-end was removed in Traefik v3, use "
	 "tracing.otlp\n"
	 "error: F:4:23: experimental.http3: removed in Traefik v3, HTTP/3 is an option of entry "
	 "points\n"},
	{{.file = "core: {defaultRuleSyntax: v3}\n"},
	 "entryPoints:\n  http:\n    address: \":80\"\ncore:\n  defaultRuleSyntax: v3\n  "
	 "strictTLSOptions: false\n",
	 ""},
	{{.file = "core: {defaultRuleSyntax: v2}\n"},
	 "entryPoints:\n  http:\n    address: \":80\"\ncore:\n  defaultRuleSyntax: v2\n",
	 ""},
	{{.file = "core: {defaultRuleSyntax: v9}\n"},
	 NULL,
	 "error: F:1:27: core.defaultRuleSyntax: found \"v9\", expected v3 or v2\n"},
	{{.file = "entryPoints: {dns: {address: \":53/udp\"}, web: {address: \":80\"}}\n"},
	 "entryPoints:\n  web:\n    address: \":80\"\n",
	 "warning: F:1:20: entryPoints.dns: accepted without effect; UDP is not served yet\n"},
	{{.file = "weir: {limits: {acceptBurst: 0}, plugins: {default: {}}}\n"},
	 NULL,
	 "error: F:1:30: weir.limits.acceptBurst: found 0, expected 1 to 65536\n"
	 "error: F:1:44: weir.plugins.default: unknown option, did you mean \"defaults\"?\n"},
};

static void starts_give_the_expected_configuration(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fixture f;

		begin(&f);
		run(&f, &cases[i].start);
		assert_string_equal(f.report, cases[i].report);
		assert_int_equal(f.config != NULL, cases[i].dump != NULL);
		if (f.config != NULL) {
			str_clear(&f.c.out);
			option_dump(&f.c.out, static_options, f.config, &(struct option_dump){0});
			assert_string_equal(f.c.out.p, cases[i].dump);
		}
		end(&f);
	}
}

static void addresses_are_checked(void **state)
{
	static const char *const wrong[] = {"",   "80",       "127.0.0.1", ":99999",
					    ":x", ":80/sctp", "[::1:80",   "::1:80"};
	static const char *const right[] = {":0",           ":80",     "127.0.0.1:80",
					    "[::1]:80/tcp", ":80/udp", "localhost:80"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong) + ARRAY_LEN(right); i++) {
		bool bad = i < ARRAY_LEN(wrong);
		struct start s = {.file = NULL};
		struct fixture f;
		char flag[64];

		begin(&f);
		(void)snprintf(flag, sizeof flag, "--entryPoints.web.address=%s",
			       bad ? wrong[i] : right[i - ARRAY_LEN(wrong)]);
		s.args[0] = flag;
		run(&f, &s);
		assert_int_equal(f.config == NULL, bad);
		end(&f);
	}
}

static void a_missing_file_is_an_error(void **state)
{
	struct start s = {.args = {"--configFile=/nowhere/traefik.yml", "--ping"}};
	struct fixture f;

	(void)state;
	begin(&f);
	run(&f, &s);
	assert_int_equal(f.result < 0, 1);
	assert_string_equal(f.report, "error: /nowhere/traefik.yml: No such file or directory\n");
	end(&f);
}

static void labels_of_headers_are_checked(void **state)
{
	static const char *const rows[][2] = {
		{"tenant=X-Tenant", NULL},
		{"_T9=X-Tenant", NULL},
		{"code=X", "found label \"code\", expected letters, digits and _"},
		{"a-b=X", "found label \"a-b\""},
		{"__x=X", "found label \"__x\""},
		{"9x=X", "found label \"9x\""},
		{"x=", "label \"x\": found nothing, expected the name of a header"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct start s = {.args = {WEB, NULL}};
		struct fixture f;
		char flag[96];

		begin(&f);
		(void)snprintf(flag, sizeof flag, "--metrics.prometheus.headerLabels.%s",
			       rows[i][0]);
		s.args[1] = flag;
		run(&f, &s);
		assert_int_equal(f.config == NULL, rows[i][1] != NULL);
		if (rows[i][1] != NULL)
			assert_non_null(strstr(f.report, rows[i][1]));
		end(&f);
	}
}

static void default_entry_points_are_settled(void **state)
{
	static const struct {
		const char *file;
		const char *names;
	} rows[] = {
		{"log: {}\n", "http"},
		{"entryPoints: {b: {address: ':1'}, a: {address: ':2'}}\n", "a b"},
		{"ping: {}\nentryPoints: {b: {address: ':1'}}\n", "b"},
		{"entryPoints: {b: {address: ':1', asDefault: true}, a: {address: ':2'}}\n", "b"},
		{"entryPoints: {b: {address: ':1'}, traefik: {address: ':2', asDefault: true}}\n",
		 ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct start s = {.file = rows[i].file};
		struct fixture f;
		struct str names = {0};

		begin(&f);
		run(&f, &s);
		assert_int_equal(f.result, 0);
		str_add(&names, SLICE(""));
		for (size_t k = 0; k < f.config->default_entry_points.count; k++)
			str_format(&names, "%s%s", k > 0 ? " " : "",
				   f.config->default_entry_points.items[k].p);
		assert_true(slice_equal(str_slice(&names), slice_from(rows[i].names)));
		str_free(&names);
		end(&f);
	}
}

static void values_are_settled(void **state)
{
	struct start s = {
		.file = "entryPoints:\n  web:\n    address: ':1'\n"
			"    transport: {respondingTimeouts: {readTimeout: -1}}\n"
			"    http: {maxHeaderBytes: 0, underscoreHeadersStrategy: reject}\n"
			"log: {level: debug, format: json}\n"};
	const struct entry_point_config *web;
	struct fixture f;

	(void)state;
	begin(&f);
	run(&f, &s);
	assert_int_equal(f.result, 0);
	web = static_entry_point(f.config, SLICE("web"));
	assert_int_equal(web->transport.read_timeout_ns, 0);
	assert_int_equal(web->transport.idle_timeout_ns, 180000000000);
	assert_int_equal(web->http.max_header_bytes, 1048576);
	assert_int_equal(web->http.alias_headers, ALIAS_HEADERS_REJECT);
	assert_true(web->http.encoded_characters.allow_hash);
	assert_string_equal(web->name.p, "web");
	assert_int_equal(f.config->log.level, LOG_DEBUG);
	assert_int_equal(f.config->log.format, LOG_JSON);
	assert_int_equal(f.config->servers_transport.dial_timeout_ns, 30000000000);
	assert_int_equal(f.config->servers_transport.max_idle_connections_per_host, 200);
	assert_int_equal(f.config->providers.throttle_ns, 2000000000);
	assert_null(f.config->ping);
	end(&f);
}

static void a_dump_loads_as_the_same_configuration(void **state)
{
	static const char text[] =
		"entryPoints:\n  web:\n    address: ':1'\n    reusePort: true\n    transport:\n"
		"      lifeCycle: {graceTimeOut: 1m}\n      keepAliveMaxRequests: 5\n"
		"    forwardedHeaders: {trustedIPs: [10.0.0.0/8]}\n"
		"    http: {middlewares: [a@file], encodedCharacters: {allowEncodedHash: false}}\n"
		"providers: {file: {directory: /d}}\nping: {entryPoint: web}\n"
		"experimental: {localPlugins: {A: {moduleName: m, settings: {envs: [X], mounts: "
		"['/a:/b:ro']}}}}\n"
		"weir: {workers: 3, plugins: {defaults: {queue: 1}, perPlugin: {A: {memory: "
		"2MiB}}}}\n";

	(void)state;
	for (int defaults = 0; defaults < 2; defaults++) {
		struct option_dump how = {.defaults = defaults != 0};
		struct start s = {.file = text};
		struct str first = {0}, second = {0};
		struct static_config *again;
		struct fixture f;

		begin(&f);
		run(&f, &s);
		assert_string_equal(f.report, "");
		option_dump(&first, static_options, f.config, &how);
		assert_int_equal(
			static_load_text(&again, str_slice(&first), TREE_YAML, "dump", &f.c.report),
			0);
		option_dump(&second, static_options, again, &how);
		assert_string_equal(first.p, second.p);
		str_free(&first);
		str_free(&second);
		static_config_free(&again);
		end(&f);
	}
}

struct search {
	const char *path;
	const struct option *row;
};

static bool find_path(const char *path, const struct option *row, enum option_status status,
		      void *user)
{
	struct search *search = user;

	(void)status;
	if (strcmp(path, search->path) != 0)
		return true;
	search->row = row;
	return false;
}

static bool same_default(const char *expected, const char *initial)
{
	const char *found = initial != NULL ? initial : "";

	if (strcmp(found, "") == 0)
		return strcmp(expected, "") == 0 || strcmp(expected, "0") == 0 ||
		       strcmp(expected, "false") == 0;
	return strcmp(expected, found) == 0;
}

static void the_table_has_every_key_of_traefik(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(static_keys); i++) {
		struct search search = {static_keys[i].path, NULL};
		const char *type;

		option_visit(static_options, "", find_path, &search);
		if (search.row == NULL)
			fail_msg("%s is missing", static_keys[i].path);
		type = option_type_name(search.row->type);
		if (strcmp(static_keys[i].type, "object") == 0)
			assert_true(search.row->flags & OPTION_ALLOW_EMPTY);
		else if (search.row->type != OPTION_ENUM && strcmp(type, static_keys[i].type) != 0)
			fail_msg("%s: found type %s, expected %s", static_keys[i].path, type,
				 static_keys[i].type);
		if (!same_default(static_keys[i].initial, search.row->initial))
			fail_msg("%s: found default %s, expected %s", static_keys[i].path,
				 search.row->initial, static_keys[i].initial);
	}
}

/* Every default is readable, also of rows that are kept nowhere. */
static bool give_default(const char *path, const struct option *row, enum option_status status,
			 void *user)
{
	struct str text = {0};
	struct static_config *config;
	struct config_case c;

	(void)user;
	(void)status;
	if (row->initial == NULL || row->table != NULL || row->initial[0] == '\0' ||
	    strstr(path, "[n]") != NULL || strstr(path, "address") != NULL)
		return true;
	case_begin(&c);
	str_format(&text, "--%s=%s", path, row->initial);
	for (char *at; (at = strstr(text.p, "<name>")) != NULL;)
		memmove(at + 1, at + 6, strlen(at + 6) + 1), *at = 'x';
	(void)static_load(&config, 1, (const char *const[]){text.p}, NULL, &c.report);
	assert_null(strstr(case_report(&c), "expected a"));
	static_config_free(&config);
	str_free(&text);
	case_end(&c);
	return true;
}

static void every_default_is_a_value(void **state)
{
	(void)state;
	option_visit(static_options, "", give_default, NULL);
}

static void help_is_asked_for_in_any_place(void **state)
{
	(void)state;
	assert_true(source_wants_help(2, (const char *const[]){"--ping", "-h"}));
	assert_true(source_wants_help(1, (const char *const[]){"--help"}));
	assert_false(source_wants_help(1, (const char *const[]){"--helpx"}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sources_exclude_each_other),
		cmocka_unit_test(files_are_found_where_traefik_looks),
		cmocka_unit_test(own_options_lie_over_all_sources),
		cmocka_unit_test(plugins_inherit_limits),
		cmocka_unit_test(starts_give_the_expected_configuration),
		cmocka_unit_test(addresses_are_checked),
		cmocka_unit_test(a_missing_file_is_an_error),
		cmocka_unit_test(labels_of_headers_are_checked),
		cmocka_unit_test(default_entry_points_are_settled),
		cmocka_unit_test(values_are_settled),
		cmocka_unit_test(a_dump_loads_as_the_same_configuration),
		cmocka_unit_test(the_table_has_every_key_of_traefik),
		cmocka_unit_test(every_default_is_a_value),
		cmocka_unit_test(help_is_asked_for_in_any_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
