#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "core/clock.h"
#include "proxy/worker.h"
#include "proxy_peers.h"
#include "proxy_world.h"

#define WORKERS 2
#define PUBLISHES 1000
#define CLIENTS 3

/* Two workers on one entry point, steered by the test instead of a proxy. */
struct crew {
	struct static_config *config;
	struct entry_point *points;
	struct worker *workers[WORKERS];
	struct loop *list[WORKERS];
	struct loop_group group;
	struct worker_events events;
	struct generation_world built_for;
	struct backend backend;
	uint16_t port;
	int reserved;
	_Atomic bool cancelled;
	_Atomic unsigned released, drained;
	struct generation *_Atomic ended[PUBLISHES + 2]; /* by number, for the test to destroy */
};

static void on_drained(struct worker *w)
{
	struct crew *c = w->events->context;

	atomic_fetch_add(&c->drained, 1);
}

static void on_released(struct generation *g, void *context)
{
	struct crew *c = context;

	wire_must(atomic_exchange(&c->ended[g->number], g) == NULL);
	atomic_fetch_add(&c->released, 1);
}

static void on_problem(void *context, const struct generation_problem *p)
{
	(void)context;
	fail_msg("%.*s: %s", SLICE_ARG(p->name), p->why);
}

static void crew_open(struct crew *c)
{
	struct weir_error e = {0};
	char text[512];

	*c = (struct crew){.events = {on_drained, on_released, c}};
	backend_start(&c->backend);
	c->reserved = peers_reserve(&c->port);
	(void)snprintf(text, sizeof text,
		       "entryPoints:\n"
		       "  web: {address: \"127.0.0.1:%u\", reusePort: true, transport: {lifeCycle: "
		       "{graceTimeOut: 100ms}}}\n",
		       c->port);
	c->config = world_static(text);
	c->built_for = (struct generation_world){.config = c->config,
						 .workers = WORKERS,
						 .cancelled = &c->cancelled,
						 .problem = on_problem};
	must(entry_points_create(&c->points, &c->built_for.entry_point_count, c->config, &e) == 0);
	must(entry_points_listen(c->points, 1, WORKERS, NULL, &e) == 0);
	c->built_for.entry_points = c->points;
	for (unsigned i = 0; i < WORKERS; i++) {
		must(worker_create(&c->workers[i], i, c->points, 1, c->config, &c->events) == 0);
		c->list[i] = &c->workers[i]->loop;
	}
	c->group = (struct loop_group){c->list, WORKERS};
	must(upstream_registry_create(&c->built_for.upstreams, &c->group, 100) == 0);
	must(redis_registry_create(&c->built_for.middlewares.redis, &c->group) == 0);
	must(plugin_registry_create(&c->built_for.middlewares.plugins, c->config, &c->group, &e) ==
	     0);
	for (unsigned i = 0; i < WORKERS; i++)
		must(worker_start(c->workers[i]) == 0);
}

static void crew_wait(_Atomic unsigned *n, unsigned value)
{
	const struct timespec pause = {.tv_nsec = 200000};

	for (unsigned i = 0; atomic_load(n) < value; i++) {
		wire_must(i < 5 * WIRE_PATIENCE_MS);
		(void)nanosleep(&pause, NULL);
	}
	wire_must(atomic_load(n) == value);
}

static struct generation *crew_build(struct crew *c, uint64_t number)
{
	struct dynamic_config *config;
	struct generation *g;
	char text[512];

	(void)snprintf(text, sizeof text,
		       "http:\n"
		       "  routers:\n"
		       "    a: {rule: \"PathPrefix(`/`)\", service: s}\n"
		       "  services:\n"
		       "    s: {loadBalancer: {servers: [{url: \"http://127.0.0.1:%u\"}]}}\n",
		       c->backend.port);
	config = world_dynamic(text, c->config);
	must(generation_build(&g, &c->built_for, config, NULL, number) == 0);
	dynamic_destroy(&config);
	return g;
}

static void crew_publish(struct crew *c, struct generation *old, struct generation *g)
{
	generation_set_state(g, GENERATION_READY, GENERATION_CURRENT);
	atomic_store(&g->holders, WORKERS);
	if (old != NULL)
		generation_set_state(old, GENERATION_CURRENT, GENERATION_DRAINING);
	for (unsigned i = 0; i < WORKERS; i++)
		worker_publish(c->workers[i], g);
}

static void crew_sweep(struct crew *c)
{
	for (size_t i = 0; i < ARRAY_LEN(c->ended); i++) {
		struct generation *g = atomic_exchange(&c->ended[i], NULL);

		if (g != NULL)
			generation_destroy(&g);
	}
}

/* With whatever connections there are. `generations` were published in all. */
static void crew_close(struct crew *c, struct generation *current, unsigned generations,
		       void (*end)(struct worker *))
{
	for (unsigned i = 0; i < WORKERS; i++)
		end(c->workers[i]);
	crew_wait(&c->drained, WORKERS);
	if (current != NULL)
		generation_set_state(current, GENERATION_CURRENT, GENERATION_DRAINING);
	for (unsigned i = 0; i < WORKERS; i++)
		worker_withdraw(c->workers[i]);
	crew_wait(&c->released, generations);
	crew_sweep(c);
	for (unsigned i = 0; i < WORKERS; i++)
		worker_stop(c->workers[i]);
	for (unsigned i = 0; i < WORKERS; i++)
		worker_destroy(&c->workers[i]);
	plugin_registry_destroy(&c->built_for.middlewares.plugins);
	upstream_registry_destroy(&c->built_for.upstreams);
	redis_registry_destroy(&c->built_for.middlewares.redis);
	entry_points_destroy(&c->points, 1, WORKERS);
	static_config_free(&c->config);
	backend_stop(&c->backend);
	(void)close(c->reserved);
}

struct asker {
	const struct crew *crew;
	_Atomic bool enough;
	_Atomic unsigned answers;
	pthread_t thread;
};

static void *ask(void *context)
{
	struct asker *a = context;

	while (!atomic_load(&a->enough)) {
		struct wire_reader r = {.fd = wire_connect(a->crew->port, 0)};

		for (unsigned i = 0; i < 50 && !atomic_load(&a->enough); i++) {
			wire_must(peers_get(&r, "/") == 200);
			atomic_fetch_add(&a->answers, 1);
		}
		(void)close(r.fd);
	}
	return NULL;
}

/* Every request is answered, every generation ends once, and only after its last request. */
static void a_thousand_publishes_while_requests_run(void **state)
{
	struct generation *g = NULL;
	struct asker askers[CLIENTS];
	static struct crew c;

	(void)state;
	crew_open(&c);
	for (uint64_t number = 1; number <= PUBLISHES; number++) {
		struct generation *next = crew_build(&c, number);

		crew_publish(&c, g, next);
		g = next;
		if (number == 1) {
			/* Until now the answer was 404, perhaps. */
			struct wire_reader r = {.fd = wire_connect(c.port, 0)};

			while (peers_get(&r, "/") != 200)
				;
			(void)close(r.fd);
			crew_wait(&c.released, 0);
		}
		for (unsigned i = 0; number == 2 && i < CLIENTS; i++) {
			askers[i] = (struct asker){.crew = &c};
			must(pthread_create(&askers[i].thread, NULL, ask, &askers[i]) == 0);
		}
		crew_sweep(&c);
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		crew_sweep(&c);
		while (atomic_load(&askers[i].answers) == 0)
			(void)sched_yield();
		atomic_store(&askers[i].enough, true);
		must(pthread_join(askers[i].thread, NULL) == 0);
	}
	crew_wait(&c.released, PUBLISHES - 1);
	crew_close(&c, g, PUBLISHES, worker_drain);
}

/* The CPU time that the worker had used when the message came to it. */
struct probe {
	struct message message;
	uint64_t cpu_ns;
	_Atomic unsigned *arrived;
};

static void read_cpu(struct message *m)
{
	struct probe *p = container_of(m, struct probe, message);

	p->cpu_ns = clock_thread_cpu_ns();
	atomic_fetch_add(p->arrived, 1);
}

static uint64_t worker_cpu_ns(struct worker *w)
{
	_Atomic unsigned arrived = 0;
	struct probe p = {.message = {.run = read_cpu}, .arrived = &arrived};

	must(loop_post(&w->loop, &p.message));
	crew_wait(&arrived, 1);
	return p.cpu_ns;
}

static struct generation *crew_build_many(struct crew *c, uint64_t number, unsigned routers)
{
	struct dynamic_config *config;
	struct generation *g;
	struct str text = {0};

	str_add(&text, SLICE("http:\n  routers:\n"));
	for (unsigned i = 0; i < routers; i++)
		str_format(&text,
			   "    r%u: {rule: \"Path(`/%u`)\", service: s, middlewares: [m%u]}\n", i,
			   i, i);
	str_add(&text, SLICE("  middlewares:\n"));
	for (unsigned i = 0; i < routers; i++)
		str_format(&text, "    m%u: {addPrefix: {prefix: /p}}\n", i);
	str_format(&text,
		   "  services:\n"
		   "    s: {loadBalancer: {servers: [{url: \"http://127.0.0.1:%u\"}]}}\n",
		   c->backend.port);
	must(!text.failed);
	config = world_dynamic(text.p, c->config);
	must(generation_build(&g, &c->built_for, config, NULL, number) == 0);
	dynamic_destroy(&config);
	str_free(&text);
	return g;
}

/* Taking and leaving a generation is no work that grows with its routers: no request is delayed by
 * more than 2 ms. */
static void many_routers_are_not_a_workers_work(void **state)
{
	enum { ROUTERS = 10000, LIMIT_NS = 2000000 };
	struct generation *first, *second;
	uint64_t before_ns[WORKERS];
	static struct crew c;

	(void)state;
	crew_open(&c);
	first = crew_build_many(&c, 1, ROUTERS);
	assert_int_equal(first->middleware_count, ROUTERS);
	assert_int_equal(first->prepared_count, 0);
	crew_publish(&c, NULL, first);
	second = crew_build_many(&c, 2, ROUTERS);
	for (size_t i = 0; i < WORKERS; i++)
		before_ns[i] = worker_cpu_ns(c.workers[i]);
	crew_publish(&c, first, second);
	crew_wait(&c.released, 1);
	for (size_t i = 0; i < WORKERS; i++)
		assert_in_range(worker_cpu_ns(c.workers[i]) - before_ns[i], 0, LIMIT_NS);
	crew_close(&c, second, 2, worker_drain);
}

/* The generation of a request that waits stays, those after it go. */
static void a_request_holds_its_generation(void **state)
{
	static const char never[] = "GET /never HTTP/1.1\r\nHost: a.test\r\n\r\n";
	struct generation *first, *second, *third;
	struct wire_reader r;
	static struct crew c;

	(void)state;
	crew_open(&c);
	first = crew_build(&c, 1);
	crew_publish(&c, NULL, first);
	r = (struct wire_reader){.fd = wire_connect(c.port, 0)};
	while (peers_get(&r, "/") != 200)
		;
	wire_send(r.fd, never);
	crew_wait(&c.backend.requests, 2);
	second = crew_build(&c, 2);
	crew_publish(&c, first, second);
	third = crew_build(&c, 3);
	crew_publish(&c, second, third);
	crew_wait(&c.released, 1);
	assert_ptr_equal(atomic_load(&c.ended[2]), second);
	wire_reset(r.fd);
	crew_wait(&c.released, 2);
	assert_ptr_equal(atomic_load(&c.ended[1]), first);
	crew_close(&c, third, 3, worker_drain);
}

/* Connections in every state. */
struct states {
	int idle, head, body, waiting, sending;
};

static struct states open_states(const struct crew *c)
{
	struct states s;
	char head[4096];
	struct wire_reader r = {.fd = wire_connect(c->port, 0)};

	while (peers_get(&r, "/") != 200)
		;
	s.idle = r.fd;
	s.head = wire_connect(c->port, 0);
	wire_send(s.head, "GET /half HTTP/1.1\r\nHos");
	s.body = wire_connect(c->port, 0);
	wire_send(s.body, "POST /never HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
	s.waiting = wire_connect(c->port, 0);
	wire_send(s.waiting, "GET /never HTTP/1.1\r\nHost: a.test\r\n\r\n");
	r = (struct wire_reader){.fd = wire_connect(c->port, 0)};
	wire_send(r.fd, "GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
	wire_must(wire_read_head(&r, head, sizeof head));
	s.sending = r.fd;
	return s;
}

static void close_states(const struct states *s)
{
	const int fds[] = {s->idle, s->head, s->body, s->waiting, s->sending};

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		char rest[4096];

		while (recv(fds[i], rest, sizeof rest, 0) > 0)
			;
		(void)close(fds[i]);
	}
}

static void end_in_every_state(void (*end)(struct worker *))
{
	struct generation *g;
	struct states s;
	static struct crew c;

	crew_open(&c);
	g = crew_build(&c, 1);
	crew_publish(&c, NULL, g);
	s = open_states(&c);
	crew_close(&c, g, 1, end);
	close_states(&s);
}

static void drain_then_abort(struct worker *w)
{
	worker_drain(w);
	worker_abort(w);
}

static void workers_end_with_connections_in_every_state(void **state)
{
	(void)state;
	end_in_every_state(worker_drain);
	end_in_every_state(worker_abort);
	end_in_every_state(drain_then_abort);
}

static void workers_end_without_a_generation(void **state)
{
	static struct crew c;

	(void)state;
	crew_open(&c);
	crew_close(&c, NULL, 0, worker_abort);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thousand_publishes_while_requests_run),
		cmocka_unit_test(a_request_holds_its_generation),
		cmocka_unit_test(many_routers_are_not_a_workers_work),
		cmocka_unit_test(workers_end_with_connections_in_every_state),
		cmocka_unit_test(workers_end_without_a_generation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
