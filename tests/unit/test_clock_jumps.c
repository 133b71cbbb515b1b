/* The wall clock jumps, forwards and backwards, while something is going on: nothing ends early,
 * nothing hangs, and what was limited stays so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "core/clock.h"
#include "observe/access_log.h"
#include "proxy/stats.h"
#include "proxy_peers.h"
#include "proxy_world.h"

#define DAY_S 86400

static _Atomic int64_t jumped_s; /* by how much the wall clock is wrong */

int __real_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);

int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
	int r = __real_clock_gettime(id, t);

	if (r == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		t->tv_sec += (time_t)atomic_load(&jumped_s);
	return r;
}

static struct backend backend;
static uint16_t port;
static const int64_t jumps_s[] = {DAY_S, -DAY_S, 3000 * (int64_t)DAY_S, -3000 * (int64_t)DAY_S, 0};

struct stage {
	struct static_config *config;
	struct loop control;
	struct proxy *proxy;
	struct access_log *log;
	char path[64];
	uint64_t reloads;
};

static void stage_open(struct stage *s)
{
	struct weir_error e = {0};
	char text[1024];
	int fd;

	*s = (struct stage){.path = "/tmp/weir-test-XXXXXX"};
	fd = mkstemp(s->path);
	must(fd >= 0 && close(fd) == 0);
	(void)snprintf(text, sizeof text,
		       "entryPoints:\n"
		       "  web:\n"
		       "    address: \"127.0.0.1:%u\"\n"
		       "    reusePort: true\n"
		       "    transport: {lifeCycle: {graceTimeOut: 100ms}}\n"
		       "accessLog: {filePath: \"%s\", format: json}\n"
		       "serversTransport: {forwardingTimeouts: {responseHeaderTimeout: 300ms}}\n"
		       "weir: {workers: 1}\n",
		       port, s->path);
	s->config = world_static(text);
	must(loop_init(&s->control, 1 << 20) == 0);
	if (proxy_create(&s->proxy, &s->control, s->config, NULL, &e) < 0 ||
	    access_log_create(&s->log, s->proxy, s->config, &e) < 0)
		fail_msg("%s", e.text);
}

/* Returns when it is in effect. Each number is another configuration. */
static void stage_apply(struct stage *s, unsigned number)
{
	struct dynamic_config *config;
	struct proxy_stats stats;
	char text[1024];

	(void)snprintf(text, sizeof text,
		       "http:\n"
		       "  routers:\n"
		       "    plain: {rule: \"PathPrefix(`/`)\", service: s}\n"
		       "    number: {rule: \"Path(`/number-%u`)\", service: s}\n"
		       "    few: {rule: \"Path(`/few`)\", service: s, priority: 99, middlewares: "
		       "[limit]}\n"
		       "  middlewares:\n"
		       "    limit: {rateLimit: {average: 1, period: 1h, burst: 3}}\n"
		       "  services:\n"
		       "    s: {loadBalancer: {servers: [{url: \"http://127.0.0.1:%u\"}]}}\n",
		       number, backend.port);
	config = world_dynamic(text, NULL);
	proxy_apply(s->proxy, config);
	dynamic_destroy(&config);
	s->reloads++;
	for (;;) {
		proxy_stats(s->proxy, &stats);
		if (stats.proxy.reloads == s->reloads)
			return;
		(void)uv_run(&s->control.uv, UV_RUN_ONCE);
	}
}

static void stage_close(struct stage *s)
{
	proxy_destroy(&s->proxy);
	access_log_destroy(&s->log);
	loop_close(&s->control);
	static_config_free(&s->config);
	(void)unlink(s->path);
	atomic_store(&jumped_s, 0);
}

/* What a client thread asks for, and what it gets each time. */
struct question {
	const char *target;
	int status;
	unsigned times;
};

static void ask(void *context)
{
	const struct question *q = context;
	struct wire_reader r = {.fd = wire_connect(port, 0)};

	for (unsigned i = 0; i < q->times; i++)
		wire_must(peers_get(&r, q->target) == q->status);
	(void)close(r.fd);
}

static void expect(struct stage *s, const char *target, int status, unsigned times)
{
	struct question q = {target, status, times};

	wire_run(&s->control, ask, &q);
}

static void reloads(void **state)
{
	struct proxy_stats stats;
	struct stage s;

	(void)state;
	stage_open(&s);
	stage_apply(&s, 100);
	for (unsigned i = 0; i < ARRAY_LEN(jumps_s); i++) {
		uint64_t before_s;

		atomic_store(&jumped_s, jumps_s[i]);
		before_s = clock_wall_ns() / 1000000000u;
		stage_apply(&s, i);
		expect(&s, "/", 200, 2);
		proxy_stats(s.proxy, &stats);
		assert_in_range(stats.proxy.last_reload_seconds, before_s, before_s + 3600);
	}
	stage_close(&s);
}

/* Neither is a limit forgotten nor does it last for ever. */
static void rates(void **state)
{
	struct stage s;

	(void)state;
	stage_open(&s);
	stage_apply(&s, 0);
	expect(&s, "/few", 200, 3);
	for (unsigned i = 0; i < ARRAY_LEN(jumps_s); i++) {
		atomic_store(&jumped_s, jumps_s[i]);
		expect(&s, "/few", 429, 2);
		stage_apply(&s, i + 1);
		expect(&s, "/few", 429, 1);
	}
	stage_close(&s);
}

/* The time-out of a server that does not answer, with the clock going to and fro meanwhile. */
static void wait_for_nothing(void *context)
{
	const uint64_t from_ns = clock_mono_ns();
	struct wire_reader r = {.fd = wire_connect(port, 0)};

	(void)context;
	wire_send(r.fd, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
	for (size_t i = 0; clock_mono_ns() - from_ns < 100000000u; i++)
		atomic_store(&jumped_s, jumps_s[i % ARRAY_LEN(jumps_s)]);
	wire_must(peers_answer(&r) == 504);
	wire_must(clock_mono_ns() - from_ns >= 290000000u);
	(void)close(r.fd);
}

static void time_outs(void **state)
{
	struct stage s;

	(void)state;
	stage_open(&s);
	stage_apply(&s, 0);
	wire_run(&s.control, wait_for_nothing, NULL);
	expect(&s, "/", 200, 1);
	stage_close(&s);
}

/* A request that began before the jump. */
static void jump_within(void *jump)
{
	struct wire_reader r = {.fd = wire_connect(port, 0)};
	unsigned before = atomic_load(&backend.requests);

	wire_send(r.fd, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
	while (atomic_load(&backend.requests) == before)
		(void)usleep(1000);
	atomic_store(&jumped_s, *(const int64_t *)jump);
	wire_must(peers_answer(&r) == 504);
	(void)close(r.fd);
}

/* Durations are those of a clock that does not jump; each request has its line. */
static void access_lines(void **state)
{
	char line[4096];
	unsigned lines = 0;
	struct stage s;
	FILE *f;

	(void)state;
	stage_open(&s);
	f = fopen(s.path, "r");
	assert_non_null(f);
	stage_apply(&s, 0);
	for (unsigned i = 0; i < ARRAY_LEN(jumps_s); i++) {
		int64_t jump = jumps_s[i];

		wire_run(&s.control, jump_within, &jump);
	}
	stage_close(&s);
	while (fgets(line, sizeof line, f) != NULL) {
		const char *duration = strstr(line, "\"Duration\":");
		long long ns;

		assert_non_null(duration);
		ns = strtoll(duration + strlen("\"Duration\":"), NULL, 10);
		if (ns < 290000000 || ns > 600000000000)
			fail_msg("a request took %lld ns: %s", ns, line);
		lines++;
	}
	(void)fclose(f);
	assert_int_equal(lines, ARRAY_LEN(jumps_s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reloads),
		cmocka_unit_test(rates),
		cmocka_unit_test(time_outs),
		cmocka_unit_test(access_lines),
	};
	int reserved, failed;

	backend_start(&backend);
	reserved = peers_reserve(&port);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)close(reserved);
	backend_stop(&backend);
	return failed;
}
