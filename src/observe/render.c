#include "observe/render_private.h"

#include <errno.h>
#include <stdlib.h>

#include "core/map.h"
#include "http/spool.h"
#include "middleware/plugin_totals.h"
#include "middleware/shared_state.h"
#include "observe/access_log.h"
#include "observe/memory.h"
#include "observe/process.h"
#include "provider/provider.h"
#include "proxy/series_labels.h"
#include "proxy/stats.h"

/* Families of the process's own objects have no labels, others the name of their object. */
struct object {
	slice name;
	const void *numbers;
};

const struct family_group *render_begin(struct rendering *r, enum family_group_id id, size_t i)
{
	const struct family_group *g = &family_groups[id];

	r->family = &g->families[i];
	str_clear(&r->name);
	family_add_name(&r->name, r->family);
	exposition_family(r->out, str_slice(&r->name), r->family->type, r->family->help);
	return g;
}

/* Most are sums that nobody else sees; some are counted by other threads meanwhile. */
static uint64_t number_at(const void *object, size_t offset)
{
	_Static_assert(sizeof(_Atomic uint64_t) == sizeof(uint64_t), "read as plain numbers");
	const char *at = (const char *)object + offset;

	return __atomic_load_n((const uint64_t *)(const void *)at, __ATOMIC_RELAXED);
}

static const uint64_t *plugin_bounds(void)
{
	static _Thread_local uint64_t bounds[WEIR_HISTOGRAM_BUCKETS - 1];

	for (size_t i = 0; i < ARRAY_LEN(bounds); i++)
		bounds[i] = UINT64_C(1) << (WEIR_HISTOGRAM_FIRST_BITS + 2 * i);
	return bounds;
}

static void add_histogram(struct rendering *r, const struct label *labels, size_t count,
			  const struct weir_histogram *h)
{
	const struct exposition_histogram shown = {.bounds_ns = plugin_bounds(),
						   .bound_count = WEIR_HISTOGRAM_BUCKETS - 1,
						   .counts = h->counts,
						   .sum_ns = h->sum_ns};

	exposition_histogram(r->out, str_slice(&r->name), labels, count, &shown);
}

static void add_sample(struct rendering *r, const struct label *labels, size_t count,
		       const void *object)
{
	const struct family *f = r->family;
	slice name = str_slice(&r->name);

	if (f->type == METRIC_HISTOGRAM)
		add_histogram(r, labels, count,
			      (const struct weir_histogram *)((const char *)object + f->offset));
	else if (family_is_time(f))
		exposition_seconds(r->out, name, labels, count, number_at(object, f->offset));
	else
		exposition_number(r->out, name, labels, count, number_at(object, f->offset));
}

/* One object without a name. */
static void add_object(struct rendering *r, enum family_group_id id, const void *object)
{
	for (size_t i = 0; i < family_groups[id].count; i++) {
		(void)render_begin(r, id, i);
		add_sample(r, NULL, 0, object);
	}
}

/* Bodies that are kept: many threads write these numbers. */
static void add_kept(struct rendering *r)
{
	struct spool_counters copy;

#define X(name, kind, help) atomic_init(&copy.name, counter_get(&spool_counters.name));
	SPOOL_COUNTERS(X)
#undef X
	add_object(r, FAMILIES_KEPT, &copy);
}

/* Objects that one label names. */
static void add_objects(struct rendering *r, enum family_group_id id, const char *label,
			const struct object *objects, size_t count)
{
	for (size_t i = 0; count > 0 && i < family_groups[id].count; i++) {
		(void)render_begin(r, id, i);
		for (size_t n = 0; n < count; n++) {
			const struct label labels[] = {{label, objects[n].name}};

			add_sample(r, labels, ARRAY_LEN(labels), objects[n].numbers);
		}
	}
}

static void add_failures(struct rendering *r, const struct plugin_totals *totals, size_t count)
{
	if (count > 0)
		(void)render_begin(r, FAMILIES_FAILURES, 0);
	for (size_t i = 0; i < count; i++) {
		for (int cause = WEIR_CAUSE_NONE + 1; cause < WEIR_CAUSE_COUNT; cause++) {
			const char *text = weir_cause_text((enum weir_cause)cause);
			const struct label labels[] = {{"cause", slice_from(text)},
						       {"plugin", totals[i].alias}};

			exposition_number(r->out, str_slice(&r->name), labels, ARRAY_LEN(labels),
					  totals[i].stats.failures[cause]);
		}
	}
}

static int add_plugins(struct rendering *r, struct plugin_registry *registry)
{
	size_t count = plugin_totals_count(registry);
	struct plugin_totals *totals = calloc(count + 1, sizeof *totals);
	struct object *objects = calloc(count + 1, sizeof *objects);
	struct weir_host_stats host;
	int result =
		totals != NULL && objects != NULL ? plugin_totals_read(registry, totals) : -ENOMEM;

	weir_host_stats(plugin_registry_host(registry), &host);
	add_object(r, FAMILIES_HOST, &host);
	for (size_t i = 0; result == 0 && i < count; i++)
		objects[i] = (struct object){totals[i].alias, &totals[i]};
	if (result == 0) {
		add_objects(r, FAMILIES_PLUGINS, "plugin", objects, count);
		add_failures(r, totals, count);
	}
	free(objects);
	free(totals);
	return result;
}

/* Of states with the same name, which two generations may have for a moment, the sums. */
struct middleware_sums {
	struct arena arena;
	struct map by_name; /* to struct shared_state_counters */
	bool failed;
};

static struct shared_state_counters *sums_of(struct middleware_sums *m, slice name)
{
	struct shared_state_counters *sums = map_get(&m->by_name, name);
	slice copy;

	if (sums != NULL)
		return sums;
	copy = arena_copy(&m->arena, name);
	sums = ARENA_NEW(&m->arena, struct shared_state_counters);
	if (copy.p == NULL || sums == NULL || map_put(&m->by_name, copy, sums) < 0)
		return NULL;
	return sums;
}

static void on_state(void *context, const struct shared_state *s)
{
	struct middleware_sums *m = context;
	struct shared_state_counters *sums = sums_of(m, s->name);

	m->failed |= sums == NULL;
	if (sums == NULL)
		return;
#define X(name, kind, help) counter_add(&sums->name, counter_get(&s->counters.name));
	SHARED_STATE_COUNTERS(X)
#undef X
}

static int add_middlewares(struct rendering *r, struct shared_states *states)
{
	struct middleware_sums m = {.failed = false};
	struct object *objects;
	size_t count = 0;

	arena_init(&m.arena, 4096, SIZE_MAX);
	shared_states_visit(states, on_state, &m);
	objects = calloc(m.by_name.count + 1, sizeof *objects);
	for (struct map_entry *e = NULL; objects != NULL && (e = map_next(&m.by_name, e)) != NULL;)
		objects[count++] = (struct object){e->key, e->value};
	if (objects != NULL)
		add_objects(r, FAMILIES_MIDDLEWARES, "middleware", objects, count);
	m.failed |= objects == NULL;
	free(objects);
	map_free(&m.by_name);
	arena_free(&m.arena);
	return m.failed ? -ENOMEM : 0;
}

static void add_providers(struct rendering *r)
{
	struct object objects[PROVIDER_COUNT];

	for (size_t i = 0; i < PROVIDER_COUNT; i++)
		objects[i] = (struct object){slice_from(provider_name((enum provider_id)i)),
					     &provider_counters[i]};
	add_objects(r, FAMILIES_PROVIDERS, "provider", objects, PROVIDER_COUNT);
}

static int add_entry_points(struct rendering *r, const struct proxy *p)
{
	size_t count = proxy_entry_points(p);
	struct h1_server_counters *sums = calloc(count + 1, sizeof *sums);
	struct object *objects = calloc(count + 1, sizeof *objects);

	if (sums != NULL && objects != NULL) {
		for (size_t i = 0; i < count; i++)
			objects[i] =
				(struct object){proxy_entry_point_stats(p, i, &sums[i]), &sums[i]};
		add_objects(r, FAMILIES_ENTRY_POINTS, "entrypoint", objects, count);
		(void)render_begin(r, FAMILIES_CONNECTIONS, 0);
		for (size_t i = 0; i < count; i++) {
			const struct label labels[] = {{"entrypoint", objects[i].name},
						       {"protocol", SLICE("TCP")}};

			add_sample(r, labels, ARRAY_LEN(labels), &sums[i]);
		}
	}
	free(objects);
	free(sums);
	return sums != NULL && objects != NULL ? 0 : -ENOMEM;
}

/* The families of requests, one pass over the objects for each, so that a family is in one piece.
 */
struct requests {
	struct rendering *r;
	const struct series_shape *shape;
	enum series_kind kind;
	enum request_family member;
};

/* In the order of the alphabet, as Traefik has them. */
static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct label *)a)->name, ((const struct label *)b)->name);
}

static size_t request_labels(struct label *labels, const struct series_group *g,
			     struct series_key key, char *code)
{
	size_t n = 0;

	(void)snprintf(code, 8, "%u", key.code);
	labels[n++] = (struct label){"code", slice_from(code)};
	if (g->kind == SERIES_ENTRY_POINT)
		labels[n++] = (struct label){"entrypoint", g->name};
	labels[n++] = (struct label){"method", series_method_text((enum method)key.method)};
	labels[n++] = (struct label){"protocol",
				     series_protocol_text((enum series_protocol)key.protocol)};
	if (g->kind == SERIES_ROUTER)
		labels[n++] = (struct label){"router", g->name};
	if (g->kind != SERIES_ENTRY_POINT)
		labels[n++] =
			(struct label){"service", g->kind == SERIES_ROUTER ? g->service : g->name};
	return n;
}

static void add_request(const struct requests *q, const struct series_group *g,
			const struct series_sum *s)
{
	const struct exposition_histogram h = {.bounds_ns = q->shape->bounds_ns,
					       .bound_count = q->shape->bound_count,
					       .counts = s->buckets,
					       .sum_ns = s->totals.duration_ns};
	slice name = str_slice(&q->r->name);
	struct label labels[5];
	char code[8];
	size_t n = request_labels(labels, g, s->key, code);

	switch (q->member) {
	case REQUESTS_TOTAL:
		exposition_number(q->r->out, name, labels, n, s->requests);
		break;
	case REQUESTS_DURATION:
		exposition_histogram(q->r->out, name, labels, n, &h);
		break;
	case REQUESTS_BYTES:
		exposition_number(q->r->out, name, labels, n, s->totals.request_bytes);
		break;
	default:
		exposition_number(q->r->out, name, labels, n, s->totals.response_bytes);
	}
}

static void on_labelled(void *context, const struct series_group *g, struct series_key key,
			slice values, uint64_t requests)
{
	const struct requests *q = context;
	struct label labels[5 + HEADER_LABELS_MAX];
	char code[8];
	size_t n;

	if (g->kind != q->kind)
		return;
	n = request_labels(labels, g, key, code);
	for (size_t i = 0; i < q->shape->header_count; i++)
		labels[n++] =
			(struct label){q->shape->headers[i].label, series_next_value(&values)};
	qsort(labels, n, sizeof labels[0], by_name);
	exposition_number(q->r->out, str_slice(&q->r->name), labels, n, requests);
}

static void on_group(void *context, const struct series_group *g, const struct series_sum *sums,
		     size_t count)
{
	const struct requests *q = context;

	for (size_t i = 0; g->kind == q->kind && i < count; i++)
		add_request(q, g, &sums[i]);
}

static int add_requests(struct rendering *r, struct series_registry *series, enum series_kind kind,
			enum family_group_id id)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < REQUEST_FAMILY_COUNT; i++) {
		struct requests q = {.r = r,
				     .shape = series_registry_shape(series),
				     .kind = kind,
				     .member = (enum request_family)i};

		(void)render_begin(r, id, i);
		if (i == REQUESTS_TOTAL && q.shape->header_count > 0)
			result = series_visit_labelled(series, on_labelled, &q);
		else
			result = series_visit(series, on_group, &q);
	}
	return result;
}

static void on_service(void *context, const struct series_group *g, const struct series_sum *sums,
		       size_t count)
{
	const struct rendering *r = context;
	uint64_t retries = series_retries(g);
	const struct label labels[] = {{"service", g->name}};

	(void)sums;
	(void)count;
	if (g->kind == SERIES_SERVICE && retries > 0)
		exposition_number(r->out, str_slice(&r->name), labels, ARRAY_LEN(labels), retries);
}

static int add_retries(struct rendering *r, struct series_registry *series)
{
	(void)render_begin(r, FAMILIES_SERVICE_RETRIES, 0);
	return series_visit(series, on_service, r);
}

static int add_all_requests(struct rendering *r, struct series_registry *series)
{
	const struct series_shape *shape = series_registry_shape(series);
	int result = 0;

	if (shape->entry_points)
		result = add_requests(r, series, SERIES_ENTRY_POINT, FAMILIES_ENTRY_POINT_REQUESTS);
	if (result == 0 && shape->routers)
		result = add_requests(r, series, SERIES_ROUTER, FAMILIES_ROUTER_REQUESTS);
	if (result == 0 && shape->services)
		result = add_requests(r, series, SERIES_SERVICE, FAMILIES_SERVICE_REQUESTS);
	if (result == 0 && shape->services)
		result = add_retries(r, series);
	return result;
}

static void add_access_log(struct rendering *r, const struct access_log *log)
{
	struct line_writer_counters sums = {0};

	access_log_counters(log, &sums);
	add_object(r, FAMILIES_ACCESS_LOG, &sums);
}

static int add_certificates(struct rendering *r, struct proxy *p)
{
	struct tls_store *store = proxy_tls_store(p);
	int result = render_certificates(r, store);

	tls_store_release(&store);
	return result;
}

int metrics_render(struct str *out, struct proxy *p, const struct access_log *log,
		   const struct scrape_numbers *scrapes)
{
	struct rendering r = {.out = out};
	struct process_numbers process;
	struct memory_numbers memory;
	struct proxy_stats stats;
	int result;

	proxy_stats(p, &stats);
	process_read(&process);
	memory_read(&memory);
	add_object(&r, FAMILIES_PROXY, &stats);
	add_object(&r, FAMILIES_RELOADS, &stats);
	add_object(&r, FAMILIES_EXCHANGES, &stats.exchanges);
	add_object(&r, FAMILIES_BUFFERS, &stats.buffers);
	add_object(&r, FAMILIES_PIPES, &stats.pipes);
	add_kept(&r);
	add_object(&r, FAMILIES_UPSTREAMS, &stats.upstreams);
	add_object(&r, FAMILIES_REDIS, &stats.redis);
	add_object(&r, FAMILIES_COMPRESSIONS, proxy_compressions(p));
	add_object(&r, FAMILIES_SCRAPES, scrapes);
	if (log != NULL)
		add_access_log(&r, log);
	add_object(&r, FAMILIES_API, &stats.api);
	add_object(&r, FAMILIES_PROCESS, &process);
	add_object(&r, FAMILIES_MEMORY, &memory);
	add_providers(&r);
	result = add_entry_points(&r, p);
	if (result == 0)
		result = add_plugins(&r, proxy_plugins(p));
	if (result == 0)
		result = add_middlewares(&r, proxy_shared_states(p));
	if (result == 0 && proxy_series(p) != NULL)
		result = add_all_requests(&r, proxy_series(p));
	if (result == 0 && proxy_series(p) != NULL)
		result = render_tls_requests(&r, proxy_series(p));
	if (result == 0)
		result = add_certificates(&r, p);
	if (r.name.failed || out->failed)
		result = -ENOMEM;
	str_free(&r.name);
	return result;
}
