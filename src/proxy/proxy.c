#include "proxy/proxy.h"

#include <errno.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "http/spool.h"
#include "middleware/plugin_registry.h"
#include "middleware/shared_state.h"
#include "proxy/access.h"
#include "proxy/proxy_private.h"
#include "proxy/staples.h"
#include "redis/server.h"

static size_t count_workers(const struct static_config *config)
{
	return (size_t)MAX(config->weir.workers, 1);
}

static void on_generation_ended(struct message *m)
{
	struct generation *g = container_of(m, struct generation, ended);
	struct proxy *p = container_of(g->world, struct proxy, world);

	OBJ_CHECK(p, PROXY_MAGIC);
	(void)pthread_mutex_lock(&p->view_lock);
	list_remove(&g->link);
	(void)pthread_mutex_unlock(&p->view_lock);
	proxy_end_generation(p, g);
}

/* On the last holder's thread. */
static void released(struct generation *g, void *context)
{
	struct proxy *p = context;

	g->ended.run = on_generation_ended;
	must(loop_post(p->control, &g->ended));
}

static void on_worker_drained(struct message *m)
{
	struct worker *w = container_of(m, struct worker, drained_notice);
	struct proxy *p = w->events->context;

	OBJ_CHECK(p, PROXY_MAGIC);
	if (++p->drained_workers == p->running_workers && p->drained != NULL)
		p->drained(p->drained_context);
}

/* On the worker's thread. */
static void worker_drained(struct worker *w)
{
	struct proxy *p = w->events->context;

	w->drained_notice.run = on_worker_drained;
	must(loop_post(p->control, &w->drained_notice));
}

static int create_workers(struct proxy *p, struct weir_error *e)
{
	size_t count = count_workers(p->config);

	p->workers = calloc(count, sizeof(struct worker *));
	p->loops.loops = calloc(count, sizeof(struct loop *));
	if (p->workers == NULL || p->loops.loops == NULL)
		return error_set(e, -ENOMEM, "workers: out of memory");
	for (size_t i = 0; i < count; i++) {
		int r = worker_create(&p->workers[i], (unsigned)i, p->entry_points,
				      p->entry_point_count, p->config, &p->events);

		p->worker_count += p->workers[i] != NULL;
		if (r < 0)
			return error_set(e, r, "worker %zu: %s", i, strerror(-r));
		p->loops.loops[i] = &p->workers[i]->loop;
		p->loops.count = i + 1;
	}
	return 0;
}

static int start_workers(struct proxy *p, struct weir_error *e)
{
	for (size_t i = 0; i < p->worker_count; i++) {
		int r = worker_start(p->workers[i]);

		if (r < 0)
			return error_set(e, r, "worker %zu: thread: %s", i, strerror(-r));
		p->running_workers++;
	}
	return 0;
}

static const char *effect_of(const struct generation_problem *problem)
{
	if (problem->effect != NULL)
		return problem->effect;
	return problem->kept ? "Middleware goes on as it was: its new configuration does not work"
			     : "Router is disabled";
}

/* The name of the log's field with the name of the thing, as in Traefik where it has one. */
static const char *field_of(const struct generation_problem *problem)
{
	static const char *const names[][2] = {
		{"router", "routerName"},         {"service", "serviceName"},
		{"middleware", "middlewareName"}, {"certificate", "certFile"},
		{"TLS options", "tlsOptions"},    {"servers transport", "serversTransport"},
		{"entry point", "entryPointName"}};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i][0], problem->kind) == 0)
			return names[i][1];
	}
	return problem->kind;
}

static void log_problem(void *context, const struct generation_problem *problem)
{
	const bool on_one = problem->entry_point.n > 0;
	struct str text = {0};

	(void)context;
	if (problem->place != NULL) {
		tree_add_place(&text, *problem->place);
		str_add(&text, SLICE(": "));
	}
	str_add(&text, slice_from(problem->why));
	const struct log_field fields[] = {LOG_STRING("error", text.failed ? problem->why : text.p),
					   LOG_TEXT(field_of(problem), problem->name),
					   LOG_TEXT("entryPointName", problem->entry_point)};

	log_write(LOG_ERROR, fields, ARRAY_LEN(fields) - !on_one, "%s", effect_of(problem));
	str_free(&text);
}

static void fill_world(struct proxy *p)
{
	p->world.problem = log_problem;
	p->world.config = p->config;
	p->compressions.max = (uint64_t)p->config->weir.limits.compressions;
	p->compressions.window_bytes = (size_t)p->config->weir.limits.compress_window_bytes;
	p->world.middlewares.compressions = &p->compressions;
	p->world.entry_points = p->entry_points;
	p->world.entry_point_count = p->entry_point_count;
	p->world.workers = p->worker_count;
	p->world.cancelled = &p->give_up;
	noop_service_init(&p->noop);
	p->world.internals[INTERNAL_NOOP] = &p->noop;
	if (p->config->ping != NULL) {
		ping_service_init(&p->ping, &p->terminating,
				  (int)p->config->ping->terminating_status);
		p->world.internals[INTERNAL_PING] = &p->ping.service;
	}
}

/* Without `metrics.prometheus` nothing is counted. */
static int prepare_series(struct proxy *p, struct weir_error *e)
{
	const struct series_shape *shape = &p->shape;
	int r = series_shape_init(&p->shape, p->config);

	if (r < 0 || static_prometheus(p->config) == NULL)
		return r < 0 ? error_set(e, r, "metrics: out of memory") : 0;
	r = series_registry_create(&p->world.series, shape, count_workers(p->config));
	for (size_t i = 0; r == 0 && i < p->entry_point_count; i++) {
		struct entry_point *ep = &p->entry_points[i];

		if (shape->entry_points || shape->routers || shape->services)
			ep->shape = shape;
		if (shape->entry_points)
			r = series_get(&ep->series, p->world.series, SERIES_ENTRY_POINT, ep->name,
				       (slice){NULL, 0});
	}
	return r < 0 ? error_set(e, r, "metrics: out of memory") : 0;
}

static void free_series(struct proxy *p)
{
	for (size_t i = 0; i < p->entry_point_count; i++)
		series_release(&p->entry_points[i].series);
	series_registry_destroy(&p->world.series);
	series_shape_free(&p->shape);
}

static int listen_all(struct proxy *p, struct socket_set *inherited, struct weir_error *e)
{
	size_t workers = count_workers(p->config);
	int r = entry_points_listen(p->entry_points, p->entry_point_count, workers, inherited, e);

	entry_points_note_files(p->entry_points, p->entry_point_count, workers, &p->socket_files);
	return r;
}

int proxy_create(struct proxy **proxy, struct loop *control, const struct static_config *config,
		 struct socket_set *inherited, struct weir_error *e)
{
	const struct weir_limits_config *limits = &config->weir.limits;
	struct proxy *p = calloc(1, sizeof *p);
	int r;

	if (p == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	p->magic = PROXY_MAGIC;
	p->control = control;
	p->config = config;
	p->next_number = 1;
	spool_set_limit((uint64_t)limits->kept_body_bytes);
	must(pthread_mutex_init(&p->store_lock, NULL) == 0);
	must(pthread_mutex_init(&p->view_lock, NULL) == 0);
	list_init(&p->generations);
	p->events = (struct worker_events){worker_drained, released, p};
	r = entry_points_create(&p->entry_points, &p->entry_point_count, config, e);
	if (r == 0)
		r = listen_all(p, inherited, e);
	if (r == 0 && (rule_registry_create(&p->world.rules) < 0 ||
		       turn_registry_create(&p->world.turns) < 0))
		r = error_set(e, -ENOMEM, "routers: out of memory");
	if (r == 0)
		r = prepare_series(p, e);
	if (r == 0)
		r = create_workers(p, e);
	if (r == 0 && upstream_registry_create(&p->world.upstreams, &p->loops,
					       (size_t)limits->idle_upstream_connections) < 0)
		r = error_set(e, -ENOMEM, "upstreams: out of memory");
	if (r == 0 && redis_registry_create(&p->world.middlewares.redis, &p->loops) < 0)
		r = error_set(e, -ENOMEM, "redis: out of memory");
	if (r == 0) {
		p->world.middlewares.states = shared_states_create();
		if (p->world.middlewares.states == NULL)
			r = error_set(e, -ENOMEM, "middlewares: out of memory");
	}
	if (r == 0)
		r = plugin_registry_create(&p->world.middlewares.plugins, config, &p->loops, e);
	if (r == 0)
		r = generation_world_open_tls(&p->world, e);
	if (r == 0 && config->ocsp != NULL)
		r = staples_create(&p->staples, control, config->ocsp, &p->counters, e);
	if (r == 0) {
		fill_world(p);
		r = start_workers(p, e);
	}
	if (r < 0) {
		proxy_destroy(&p);
		return r;
	}
	*proxy = p;
	return 0;
}

void proxy_accept(struct proxy *p)
{
	OBJ_CHECK(p, PROXY_MAGIC);
	for (size_t i = 0; i < p->worker_count; i++)
		worker_accept(p->workers[i]);
}

static void start_build(struct proxy *p);

/* Names and references, over all providers. */
static int settle(const struct proxy *p, struct dynamic_config *config)
{
	struct config_report report;
	struct arena arena;
	int r;

	arena_init(&arena, 4096, (size_t)1 << 20);
	config_report_init(&report, &arena);
	r = dynamic_merge_gathered(config, &report);
	for (size_t i = 0; i < report.count; i++)
		log_warn("%.*s", SLICE_ARG(report.messages[i].text));
	arena_free(&arena);
	return r < 0 ? r : internal_settle(config, p->config);
}

static void *run_build(void *context)
{
	struct proxy *p = context;
	int r = settle(p, p->build_config);

	if (r == 0) {
		plugin_registry_refresh(p->world.middlewares.plugins);
		r = generation_build(&p->built, &p->world, p->build_config, p->current,
				     p->next_number);
	}
	p->build_result = r;
	must(loop_post(p->control, &p->built_message));
	return NULL;
}

static void put_view(struct proxy *p, struct view *v)
{
	struct view *old;

	(void)pthread_mutex_lock(&p->view_lock);
	old = p->view;
	p->view = v;
	(void)pthread_mutex_unlock(&p->view_lock);
	view_release(&old);
}

struct view *proxy_view(struct proxy *p)
{
	struct view *v;

	OBJ_CHECK(p, PROXY_MAGIC);
	(void)pthread_mutex_lock(&p->view_lock);
	v = p->view != NULL ? view_ref(p->view) : NULL;
	(void)pthread_mutex_unlock(&p->view_lock);
	return v;
}

/* Others look at states and at the list. */
static void replace_current(struct proxy *p, struct generation *g, struct generation *old)
{
	(void)pthread_mutex_lock(&p->view_lock);
	if (g != NULL) {
		generation_set_state(g, GENERATION_READY, GENERATION_CURRENT);
		g->published_ns = clock_mono_ns();
		list_append(&p->generations, &g->link);
	}
	if (old != NULL)
		generation_set_state(old, GENERATION_CURRENT, GENERATION_DRAINING);
	(void)pthread_mutex_unlock(&p->view_lock);
}

static void publish(struct proxy *p, struct generation *g)
{
	struct generation *old = p->current;

	atomic_store(&g->holders, p->worker_count);
	replace_current(p, g, old);
	p->current = g;
	proxy_set_store(p, g->tls.store);
	if (p->staples != NULL && g->tls.store != NULL)
		staples_use(p->staples, g->tls.store);
	put_view(p, view_ref(g->view));
	counter_add(&p->counters.generations_live, 1);
	counter_add(&p->counters.reloads, 1);
	atomic_store(&p->counters.last_reload_seconds, clock_wall_ns() / 1000000000u);
	for (size_t i = 0; i < p->worker_count; i++)
		worker_publish(p->workers[i], g);
	if (old == NULL && p->ready != NULL)
		p->ready(p->ready_context);
}

static void take_built(struct proxy *p)
{
	struct generation *g = p->built;

	p->built = NULL;
	if (p->build_result == 0) {
		p->next_number++;
		if (p->draining)
			generation_destroy(&g);
		else
			publish(p, g);
	} else if (p->build_result != -ECANCELED) {
		must(p->build_result == -ENOMEM);
		counter_add(&p->counters.reload_failures, 1);
		log_error("The configuration could not be built: out of memory, or more than "
			  "weir.limits.configurationMemory (%lld bytes) is needed; the last one "
			  "keeps serving",
			  (long long)p->config->weir.limits.generation_bytes);
	}
}

static void on_built(struct message *m)
{
	struct proxy *p = container_of(m, struct proxy, built_message);

	OBJ_CHECK(p, PROXY_MAGIC);
	if (p->has_builder)
		must(pthread_join(p->builder, NULL) == 0);
	p->building = false;
	p->gave_up = p->build_result == -ECANCELED;
	dynamic_destroy(&p->build_config);
	take_built(p);
	if (p->waiting != NULL && !p->draining) {
		p->build_config = p->waiting;
		p->waiting = NULL;
		start_build(p);
	}
}

static void start_build(struct proxy *p)
{
	p->building = true;
	atomic_store(&p->give_up, false);
	p->built_message.run = on_built;
	/* A thread of its own: libuv's may all be waiting for name servers. Without one, reloads
	 * stall signals. */
	p->has_builder = pthread_create(&p->builder, NULL, run_build, p) == 0;
	if (!p->has_builder)
		(void)run_build(p);
}

void proxy_apply(struct proxy *p, struct dynamic_config *config)
{
	OBJ_CHECK(p, PROXY_MAGIC);
	if (p->draining)
		return;
	if (p->building) {
		dynamic_destroy(&p->waiting);
		p->waiting = dynamic_ref(config);
		/* Nobody needs what is being built; but if changes never end, one must be finished
		 * now and then. */
		if (!p->gave_up)
			atomic_store(&p->give_up, true);
		return;
	}
	p->build_config = dynamic_ref(config);
	start_build(p);
}

void proxy_set_internal(struct proxy *p, enum internal_service which, struct service *service)
{
	OBJ_CHECK(p, PROXY_MAGIC);
	OBJ_CHECK(service, SERVICE_MAGIC);
	must(p->current == NULL && !p->building && p->world.internals[which] == NULL);
	p->world.internals[which] = service;
}

void proxy_set_access(struct proxy *p, struct access_sink *sink)
{
	OBJ_CHECK(p, PROXY_MAGIC);
	must(p->current == NULL && !p->building);
	p->world.log_internals = sink->internals;
	for (size_t i = 0; i < p->entry_point_count; i++)
		p->entry_points[i].access = sink;
}

void proxy_rebuild(struct proxy *p)
{
	OBJ_CHECK(p, PROXY_MAGIC);
	if (p->draining || p->waiting != NULL)
		return;
	if (p->building)
		p->waiting = dynamic_ref(p->build_config);
	else if (p->current != NULL)
		proxy_apply(p, p->current->config);
}

bool proxy_is_ready(const struct proxy *p)
{
	OBJ_CHECK(p, PROXY_MAGIC);
	return p->current != NULL;
}

void proxy_on_ready(struct proxy *p, void (*ready)(void *context), void *context)
{
	OBJ_CHECK(p, PROXY_MAGIC);
	p->ready = ready;
	p->ready_context = context;
}

/* A plugin that is being compiled would be waited for. */
static void cancel_build(struct proxy *p)
{
	atomic_store(&p->terminating, true);
	atomic_store(&p->give_up, true);
	if (p->world.middlewares.plugins != NULL)
		plugin_registry_cancel(p->world.middlewares.plugins);
}

void proxy_drain(struct proxy *p, proxy_drained_fn *drained, void *context)
{
	OBJ_CHECK(p, PROXY_MAGIC);
	must(!p->draining);
	p->draining = true;
	p->drained = drained;
	p->drained_context = context;
	cancel_build(p);
	for (size_t i = 0; i < p->worker_count; i++)
		worker_drain(p->workers[i]);
}

/* Connections may be left when the start failed after the workers had begun to accept. */
static void end_connections(struct proxy *p)
{
	p->drained = NULL;
	if (p->drained_workers == p->running_workers)
		return;
	for (size_t i = 0; i < p->running_workers; i++)
		worker_abort(p->workers[i]);
	while (p->drained_workers < p->running_workers)
		(void)uv_run(&p->control->uv, UV_RUN_ONCE);
}

/* Takes the current generation from the workers, and waits until all and a build in progress are
 * gone. */
static void end_generations(struct proxy *p)
{
	/* A build looks at the current one. */
	while (p->building)
		(void)uv_run(&p->control->uv, UV_RUN_ONCE);
	if (p->current != NULL) {
		replace_current(p, NULL, p->current);
		for (size_t i = 0; i < p->worker_count; i++)
			worker_withdraw(p->workers[i]);
		p->current = NULL;
	}
	while (counter_get(&p->counters.generations_live) > 0)
		(void)uv_run(&p->control->uv, UV_RUN_ONCE);
	dynamic_destroy(&p->waiting);
}

void proxy_destroy(struct proxy **proxy)
{
	struct proxy *p;

	if (*proxy == NULL)
		return;
	OBJ_TAKE(p, proxy, PROXY_MAGIC);
	p->draining = true;
	cancel_build(p);
	staples_destroy(&p->staples);
	end_connections(p);
	end_generations(p);
	for (size_t i = 0; i < p->worker_count; i++)
		worker_stop(p->workers[i]);
	for (size_t i = 0; i < p->worker_count; i++)
		worker_destroy(&p->workers[i]);
	plugin_registry_destroy(&p->world.middlewares.plugins);
	shared_states_destroy(&p->world.middlewares.states);
	upstream_registry_destroy(&p->world.upstreams);
	redis_registry_destroy(&p->world.middlewares.redis);
	rule_registry_destroy(&p->world.rules);
	turn_registry_destroy(&p->world.turns);
	proxy_set_store(p, NULL);
	(void)pthread_mutex_destroy(&p->store_lock);
	generation_world_close_tls(&p->world);
	free_series(p);
	put_view(p, NULL);
	(void)pthread_mutex_destroy(&p->view_lock);
	entry_points_destroy(&p->entry_points, p->entry_point_count, count_workers(p->config));
	unix_socket_files_remove(&p->socket_files);
	free(p->workers);
	free(p->loops.loops);
	p->magic = 0;
	free(p);
}
