#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/clock.h"
#include "proxy/stats.h"
#include "proxy_peers.h"
#include "proxy_world.h"

static struct backend backend;
static uint16_t port;

/* Which thread of weir cannot be made, counted from 1; 0: all can. */
static unsigned threads, no_thread;
static void (*before_no_thread)(void);

int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *x);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *x);

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *x)
{
	if (no_thread > 0 && ++threads == no_thread) {
		no_thread = 0;
		if (before_no_thread != NULL)
			before_no_thread();
		return EAGAIN;
	}
	return __real_pthread_create(t, a, run, x);
}

static unsigned open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	(void)closedir(d);
	return n;
}

static struct static_config *config_with(const char *more)
{
	char text[1024];

	(void)snprintf(text, sizeof text,
		       "entryPoints:\n"
		       "  web:\n"
		       "    address: \"127.0.0.1:%u\"\n"
		       "    reusePort: true\n"
		       "    transport: {lifeCycle: {graceTimeOut: 100ms}}\n"
		       "%s"
		       "weir: {workers: 2}\n",
		       port, more);
	return world_static(text);
}

/* As the aggregator hands it on: not merged. */
static struct dynamic_config *gather(struct dynamic_config *config)
{
	const struct dynamic_part part = {config, "file"};
	struct dynamic_config *gathered;

	must(dynamic_gather(&part, 1, &gathered) == 0);
	return gathered;
}

static struct dynamic_config *parse(const char *text)
{
	struct dynamic_config *config;
	struct config_report report;
	struct arena arena;

	arena_init(&arena, 4096, 1 << 24);
	config_report_init(&report, &arena);
	must(dynamic_parse(slice_from(text), TREE_YAML, "test.yml", NULL, &report, &config) == 0);
	arena_free(&arena);
	return config;
}

static struct dynamic_config *sites(unsigned routers)
{
	struct dynamic_config *config, *gathered;
	struct str text = {0};

	str_format(&text,
		   "http:\n"
		   "  services:\n"
		   "    s: {loadBalancer: {servers: [{url: \"http://127.0.0.1:%u\"}]}}\n"
		   "  routers:\n",
		   backend.port);
	for (unsigned i = 0; i < routers; i++)
		str_format(&text,
			   "    r%u: {rule: \"HostRegexp(`^a%u`) || Path(`/%u`)\", service: s}\n",
			   i, i, i);
	must(!text.failed);
	config = parse(text.p);
	gathered = gather(config);
	dynamic_destroy(&config);
	str_free(&text);
	return gathered;
}

struct stage {
	struct static_config *config;
	struct loop control;
	struct proxy *proxy;
	bool drained;
};

static void stage_open(struct stage *s)
{
	struct weir_error e = {0};

	*s = (struct stage){.config = config_with("ping: {entryPoint: web}\n")};
	must(loop_init(&s->control, 1 << 20) == 0);
	if (proxy_create(&s->proxy, &s->control, s->config, NULL, &e) < 0)
		fail_msg("%s", e.text);
}

static void stage_apply(struct stage *s, unsigned routers)
{
	struct dynamic_config *config = sites(routers);

	proxy_apply(s->proxy, config);
	dynamic_destroy(&config);
}

static void stage_wait_ready(struct stage *s)
{
	while (!proxy_is_ready(s->proxy))
		(void)uv_run(&s->control.uv, UV_RUN_ONCE);
}

static void on_drained(void *context)
{
	((struct stage *)context)->drained = true;
}

static void stage_drain(struct stage *s)
{
	proxy_drain(s->proxy, on_drained, s);
	while (!s->drained)
		(void)uv_run(&s->control.uv, UV_RUN_ONCE);
}

static void stage_close(struct stage *s)
{
	proxy_destroy(&s->proxy);
	assert_null(s->proxy);
	loop_close(&s->control);
	static_config_free(&s->config);
}

/* A peer of the control loop: asks until the answer is as expected. */
struct question {
	const char *target;
	int status;
};

static void ask(void *context)
{
	const struct question *q = context;
	struct wire_reader r = {.fd = wire_connect(port, 0)};

	for (unsigned tries = 0; peers_get(&r, q->target) != q->status; tries++)
		wire_must(tries < 1000000);
	(void)close(r.fd);
}

static void expect(struct stage *s, const char *target, int status)
{
	struct question q = {target, status};

	wire_run(&s->control, ask, &q);
}

static void configurations_are_taken_one_after_the_other(void **state)
{
	struct stage s;

	(void)state;
	stage_open(&s);
	assert_false(proxy_is_ready(s.proxy));
	proxy_accept(s.proxy);
	expect(&s, "/0", 404);
	stage_apply(&s, 1);
	stage_wait_ready(&s);
	expect(&s, "/0", 200);
	expect(&s, "/1", 404);
	expect(&s, "/ping", 200);
	/* Those in the middle may be skipped, the last one may not. */
	for (unsigned n = 1; n <= 20; n++)
		stage_apply(&s, n);
	expect(&s, "/19", 200);
	stage_apply(&s, 0);
	expect(&s, "/0", 404);
	stage_drain(&s);
	stage_close(&s);
}

static bool is_settled(const struct stage *s, uint64_t reloads)
{
	struct proxy_stats stats;

	proxy_stats(s->proxy, &stats);
	return stats.proxy.reloads == reloads && stats.proxy.generations_live == 1;
}

static void stage_wait_settled(struct stage *s, uint64_t reloads)
{
	while (!is_settled(s, reloads))
		(void)uv_run(&s->control.uv, UV_RUN_ONCE);
}

/* What merging, linking and freeing alone would cost a thread. */
static uint64_t settling_cpu_ns(const struct stage *s, unsigned routers)
{
	struct dynamic_config *config = sites(routers);
	uint64_t from_ns = clock_thread_cpu_ns();
	struct config_report report;
	struct arena arena;

	arena_init(&arena, 4096, 1 << 20);
	config_report_init(&report, &arena);
	must(dynamic_merge_gathered(config, &report) == 0);
	must(internal_settle(config, s->config) == 0);
	dynamic_destroy(&config);
	arena_free(&arena);
	return clock_thread_cpu_ns() - from_ns;
}

/* Signals, timers and providers wait for the control thread. */
static void many_routers_are_not_the_control_threads_work(void **state)
{
	enum { ROUTERS = 3000 };
	struct dynamic_config *second = sites(ROUTERS + 1);
	uint64_t reload_ns;
	struct stage s;

	(void)state;
	stage_open(&s);
	stage_apply(&s, ROUTERS);
	stage_wait_settled(&s, 1);
	reload_ns = clock_thread_cpu_ns();
	proxy_apply(s.proxy, second);
	stage_wait_settled(&s, 2);
	reload_ns = clock_thread_cpu_ns() - reload_ns;
	assert_in_range(reload_ns, 1, settling_cpu_ns(&s, ROUTERS) / 2);
	dynamic_destroy(&second);
	stage_drain(&s);
	stage_close(&s);
}

/* Clients who come before the first configuration are served by it. */
static void clients_wait_for_the_first_configuration(void **state)
{
	struct wire_reader early;
	struct stage s;

	(void)state;
	stage_open(&s);
	early = (struct wire_reader){.fd = wire_connect(port, 0)};
	wire_send(early.fd, "GET /0 HTTP/1.1\r\nHost: a\r\n\r\n");
	stage_apply(&s, 1);
	stage_wait_ready(&s);
	assert_int_equal(peers_answer(&early), 200);
	(void)close(early.fd);
	stage_drain(&s);
	stage_close(&s);
}

/* What comes after the drain has begun is not served. */
static void a_drain_ends_the_taking_of_configurations(void **state)
{
	struct stage s;

	(void)state;
	stage_open(&s);
	stage_apply(&s, 1);
	stage_wait_ready(&s);
	proxy_drain(s.proxy, on_drained, &s);
	stage_apply(&s, 2);
	while (!s.drained)
		(void)uv_run(&s.control.uv, UV_RUN_ONCE);
	stage_apply(&s, 3);
	stage_close(&s);
}

/* A build in progress and one that waits for it. */
static void it_ends_during_a_build(void **state)
{
	struct stage s;

	(void)state;
	stage_open(&s);
	stage_apply(&s, 500);
	stage_apply(&s, 1);
	stage_drain(&s);
	stage_close(&s);

	stage_open(&s);
	stage_apply(&s, 500);
	stage_apply(&s, 1);
	stage_close(&s);
}

/* As when a provider cannot start: nobody asks for a drain, clients are there already. */
static void it_ends_without_a_drain(void **state)
{
	struct wire_reader idle;
	struct stage s;
	int half;

	(void)state;
	stage_open(&s);
	stage_apply(&s, 1);
	stage_wait_ready(&s);
	idle = (struct wire_reader){.fd = wire_connect(port, 0)};
	while (peers_get(&idle, "/0") != 200)
		;
	half = wire_connect(port, 0);
	wire_send(half, "GET /never HTTP/1.1\r\nHo");
	stage_close(&s);
	(void)close(idle.fd);
	(void)close(half);
}

#define CLIENTS 16

static int clients[CLIENTS];

/* They wait in the kernel's queue: nobody is served before there is a configuration. */
static void connect_clients(void)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		clients[i] = wire_connect(port, 0);
		wire_send(clients[i], "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
	}
}

static void close_clients(void)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		if (clients[i] > 0)
			(void)close(clients[i]);
		clients[i] = 0;
	}
}

static void expect_failed_start(const char *more, const char *text)
{
	struct static_config *config = config_with(more);
	struct weir_error e = {0};
	struct proxy *p = NULL;
	struct loop control;
	unsigned before;

	must(loop_init(&control, 1 << 20) == 0);
	before = open_descriptors();
	threads = 0;
	assert_true(proxy_create(&p, &control, config, NULL, &e) < 0);
	assert_null(p);
	if (strstr(e.text, text) == NULL)
		fail_msg("%s", e.text);
	close_clients();
	/* Fewer, if one was still being closed before. */
	assert_in_range(open_descriptors(), 0, before);
	loop_close(&control);
	static_config_free(&config);
}

static void a_failed_start_leaves_nothing(void **state)
{
	static const char *const steps[] = {"plugin host", "worker 0: thread", "worker 1: thread"};
	char taken[256];
	uint16_t other;
	int listening = wire_listen(&other, 0);

	(void)state;
	(void)snprintf(taken, sizeof taken, "  taken: {address: \"127.0.0.1:%u\"}\n", other);
	expect_failed_start(taken, "address already in use");
	(void)close(listening);
	expect_failed_start("experimental:\n"
			    "  abortOnPluginFailure: true\n"
			    "  localPlugins: {p: {moduleName: example.test/none}}\n",
			    "example.test/none");
	for (unsigned i = 0; i < ARRAY_LEN(steps); i++) {
		no_thread = i + 1;
		before_no_thread = i == 2 ? connect_clients : NULL;
		expect_failed_start("", steps[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(configurations_are_taken_one_after_the_other),
		cmocka_unit_test(clients_wait_for_the_first_configuration),
		cmocka_unit_test(many_routers_are_not_the_control_threads_work),
		cmocka_unit_test(a_drain_ends_the_taking_of_configurations),
		cmocka_unit_test(it_ends_during_a_build),
		cmocka_unit_test(it_ends_without_a_drain),
		cmocka_unit_test(a_failed_start_leaves_nothing),
	};
	int reserved, failed;

	backend_start(&backend);
	reserved = peers_reserve(&port);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)close(reserved);
	backend_stop(&backend);
	return failed;
}
