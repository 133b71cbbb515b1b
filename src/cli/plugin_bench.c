#include <stdio.h>

#include "cli/plugin_measure.h"

#define FOR_NS_DEFAULT INT64_C(1000000000)

static const enum weir_isolation isolations[] = {
#define X(name, text) WEIR_ISOLATION_##name,
	WEIR_ISOLATIONS(X)
#undef X
};

/** What one isolation cost. */
struct result {
	enum weir_isolation wanted;
	enum weir_isolation isolation; /* in force */
	struct plugin_rate rate;
};

/** All that was measured. */
struct results {
	struct plugin_session *session;
	uint64_t init_ns;
	uint64_t image_bytes;
	struct plugin_costs costs;
	struct result list[ARRAY_LEN(isolations)];
	size_t count;
};

static double per_exchange(const struct plugin_rate *r, uint64_t total)
{
	return (double)total / (double)MAX(r->exchanges, (uint64_t)1);
}

static double host_ns(const struct plugin_rate *r)
{
	return per_exchange(r, r->cpu_ns - r->guest_cpu_ns);
}

static double per_second(const struct plugin_rate *r)
{
	return (double)r->exchanges * 1e9 / (double)MAX(r->wall_ns, (uint64_t)1);
}

static json_t *result_json(const struct result *from)
{
	const struct plugin_rate *r = &from->rate;
	json_t *object = json_object();

	json_put(object, "isolation", json_string(weir_isolation_text(from->wanted)));
	json_put(object, "inForce", json_string(weir_isolation_text(from->isolation)));
	json_put(object, "exchanges", json_count(r->exchanges));
	json_put(object, "perSecond", json_real(per_second(r)));
	json_put(object, "cpuNs", json_real(per_exchange(r, r->cpu_ns)));
	json_put(object, "guestNs", json_real(per_exchange(r, r->guest_cpu_ns)));
	json_put(object, "hostNs", json_real(host_ns(r)));
	json_put(object, "restoredBytes", json_real(per_exchange(r, r->restored_bytes)));
	return object;
}

static int print_json(const struct results *results)
{
	const struct plugin_session *s = results->session;
	json_t *object = json_object(), *list = json_array();

	for (size_t i = 0; i < results->count; i++)
		json_append(list, result_json(&results->list[i]));
	json_put(object, "file", json_slice(slice_from(s->args->path)));
	json_put(object, "restoredBy", json_string(weir_restore_text(weir_host_restore(s->host))));
	json_put(object, "compileNs", json_count(s->compile_ns));
	json_put(object, "initNs", json_count(results->init_ns));
	json_put(object, "imageBytes", json_count(results->image_bytes));
	json_put(object, "makeNs", json_count(results->costs.make_ns));
	json_put(object, "cloned", json_boolean(results->costs.cloned));
	json_put(object, "restoreNs",
		 results->costs.restore_ns > 0 ? json_count(results->costs.restore_ns)
					       : json_null());
	json_put(object, "changedBytes", json_count(results->costs.changed_bytes));
	json_put(object, "isolations", list);
	return json_finish(object) == 0 ? 0 : 1;
}

static int print_text(const struct results *results)
{
	const struct plugin_session *s = results->session;
	const struct plugin_costs *c = &results->costs;

	(void)printf("%s\n  compiled in %.1f ms, initialised in %.3f ms, image %llu bytes\n",
		     s->args->path, (double)s->compile_ns / 1e6, (double)results->init_ns / 1e6,
		     (unsigned long long)results->image_bytes);
	(void)printf("  new instance %.2f us, %s", (double)c->make_ns / 1000,
		     c->cloned ? "a copy" : "which initialises itself");
	if (c->restore_ns > 0)
		(void)printf("; put back %.2f us, by %s", (double)c->restore_ns / 1000,
			     weir_restore_text(weir_host_restore(s->host)));
	(void)printf("; a request changes %llu bytes\n\n", (unsigned long long)c->changed_bytes);
	(void)printf("  %-10s %10s %12s %10s %10s %10s %12s\n", "isolation", "exchanges",
		     "per second", "CPU ns", "guest ns", "host ns", "put back");
	for (size_t i = 0; i < results->count; i++) {
		const struct result *from = &results->list[i];
		const struct plugin_rate *r = &from->rate;

		(void)printf("  %-10s %10llu %12.0f %10.0f %10.0f %10.0f %6.0f bytes%s%s\n",
			     weir_isolation_text(from->wanted), (unsigned long long)r->exchanges,
			     per_second(r), per_exchange(r, r->cpu_ns),
			     per_exchange(r, r->guest_cpu_ns), host_ns(r),
			     per_exchange(r, r->restored_bytes),
			     from->isolation != from->wanted ? ", as " : "",
			     from->isolation != from->wanted ? weir_isolation_text(from->isolation)
							     : "");
	}
	return 0;
}

static int bench_isolation(struct results *results, enum weir_isolation isolation,
			   const struct plugin_requests *requests, struct weir_error *error)
{
	struct plugin_session *s = results->session;
	const struct plugin_args *a = s->args;
	uint64_t for_ns = (uint64_t)(a->for_ns > 0 ? a->for_ns : FOR_NS_DEFAULT);
	struct result *to = &results->list[results->count];
	int r = plugin_session_start(s, isolation, a->plugins.defaults.init, error);

	if (r < 0)
		return r;
	to->wanted = isolation;
	to->isolation = weir_plugin_facts(s->plugin)->isolation;
	r = plugin_measure_rate(&to->rate, s, requests, for_ns, a->count, error);
	results->count += r == 0;
	return r;
}

static int bench_costs(struct results *results, const struct plugin_requests *requests,
		       struct weir_error *error)
{
	struct plugin_session *s = results->session;
	int r = plugin_session_start(s, WEIR_ISOLATION_REUSE, s->args->plugins.defaults.init,
				     error);

	if (r < 0)
		return r;
	results->init_ns = s->init_ns;
	results->image_bytes = weir_plugin_facts(s->plugin)->image_bytes;
	return plugin_measure_costs(&results->costs, s, &requests->list[0], error);
}

int plugin_bench(struct plugin_args *a)
{
	struct plugin_session s;
	struct results results = {.session = &s};
	struct plugin_requests requests = {.list = NULL};
	struct weir_error error = {0};
	int r = plugin_session_open(&s, a, &error), status;

	if (r == 0)
		r = plugin_requests_read(&requests, a, &error);
	if (r == 0)
		r = bench_costs(&results, &requests, &error);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(isolations); i++) {
		if (!a->isolation_given || isolations[i] == a->plugins.defaults.isolation)
			r = bench_isolation(&results, isolations[i], &requests, &error);
	}
	status = r < 0     ? plugin_complain(a, &error)
		 : a->json ? print_json(&results)
			   : print_text(&results);
	plugin_session_close(&s);
	return status;
}
