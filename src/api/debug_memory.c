#include <stdlib.h>

#include "api/api_private.h"
#include "core/clock.h"
#include "http/spool.h"
#include "middleware/plugin_registry.h"
#include "observe/memory.h"
#include "observe/page.h"
#include "proxy/census.h"
#include MEMORY_PAGE

/* Who has the memory. */

static void begin(struct str *out, const char *key, char bracket)
{
	str_format(out, "\"%s\":%c", key, bracket);
}

/* Each member ends in a comma; here goes the last one. */
static void end(struct str *out, char bracket)
{
	if (out->n > 0 && out->p[out->n - 1] == ',')
		out->n--;
	str_add_char(out, bracket);
	str_add_char(out, ',');
}

static void number(struct str *out, const char *key, uint64_t value)
{
	str_format(out, "\"%s\":%llu,", key, (unsigned long long)value);
}

static void seconds(struct str *out, const char *key, uint64_t ns)
{
	str_format(out, "\"%s\":%.3f,", key, (double)ns / 1e9);
}

static void truth(struct str *out, const char *key, bool value)
{
	str_format(out, "\"%s\":%s,", key, value ? "true" : "false");
}

static void text(struct str *out, const char *key, slice value)
{
	str_format(out, "\"%s\":", key);
	tree_add_json_string(out, value);
	str_add_char(out, ',');
}

static void add_pins(struct str *out, const struct census *c, const struct census_generation *g)
{
	uint64_t sum = 0;

	begin(out, "requestsByWorker", '[');
	for (size_t i = 0; i < c->worker_count; i++) {
		str_format(out, "%llu,", (unsigned long long)g->pins[i]);
		sum += g->pins[i];
	}
	end(out, ']');
	number(out, "requests", sum);
	if (g->router.p == NULL)
		return;
	begin(out, "oldestRequest", '{');
	text(out, "router", g->router);
	text(out, "client", g->client);
	text(out, "phase", slice_from(g->phase));
	end(out, '}');
}

static void add_generations(struct str *out, const struct census *c)
{
	begin(out, "generations", '[');
	for (size_t i = 0; i < c->generation_count; i++) {
		const struct census_generation *g = &c->generations[i];

		str_add_char(out, '{');
		number(out, "number", g->number);
		text(out, "state", g->current ? SLICE("current") : SLICE("draining"));
		seconds(out, "ageSeconds", g->age_ns);
		number(out, "arenaBytes", g->arena_bytes);
		number(out, "configurationBytes", g->config_bytes);
		number(out, "routers", g->routers);
		number(out, "services", g->services);
		number(out, "middlewares", g->middlewares);
		number(out, "heldByWorkers", g->holders);
		add_pins(out, c, g);
		end(out, '}');
	}
	end(out, ']');
}

static void add_workers(struct str *out, const struct census *c)
{
	begin(out, "workers", '[');
	for (size_t i = 0; i < c->worker_count; i++) {
		str_add_char(out, '{');
		number(out, "worker", i);
#define X(name, member) number(out, name, c->workers[i].member);
		CENSUS_WORKER(X)
#undef X
		end(out, '}');
	}
	end(out, ']');
}

static void add_upstreams(struct str *out, const struct census *c)
{
	begin(out, "upstreams", '[');
	for (size_t i = 0; i < c->upstream_count; i++) {
		const struct upstream_look *u = &c->upstreams[i];

		str_add_char(out, '{');
		text(out, "host", u->host);
		number(out, "port", u->port);
		truth(out, "tls", u->tls);
		text(out, "protocol", u->h2 ? SLICE("HTTP/2") : SLICE("HTTP/1.1"));
#define X(name, kind, help) number(out, #name, u->name);
		UPSTREAM_NUMBERS(X)
#undef X
		end(out, '}');
	}
	end(out, ']');
}

static void add_use(struct str *out, const struct plugin_use_look *u)
{
	const struct weir_plugin_facts *facts = weir_plugin_facts(u->plugin);
	struct weir_plugin_stats stats;

	weir_plugin_stats(u->plugin, &stats);
	str_add_char(out, '{');
	text(out, "plugin", u->alias);
	text(out, "content", slice_from(u->content));
	seconds(out, "ageSeconds", u->age_ns);
	text(out, "state", u->references > 0 ? SLICE("in use") : SLICE("draining"));
	number(out, "middlewares", u->references);
	number(out, "imageBytes", facts->image_bytes);
	number(out, "instances", stats.live);
	number(out, "idle", stats.idle);
	number(out, "busy", stats.in_use);
	number(out, "waitingRequests", stats.waiting);
	number(out, "privateBytes", stats.private_bytes);
	number(out, "linearBytes", stats.linear_bytes);
	number(out, "reservedBytes", stats.reserved_bytes);
	number(out, "openFiles", stats.open_files);
	text(out, "isolation", slice_from(weir_isolation_text(facts->isolation)));
	end(out, '}');
}

static void add_uses(struct str *out, struct plugin_registry *registry)
{
	size_t count;
	struct plugin_use_look *uses = plugin_uses_hold(registry, &count);

	out->failed |= uses == NULL;
	begin(out, "plugins", '[');
	for (size_t i = 0; i < count; i++)
		add_use(out, &uses[i]);
	end(out, ']');
	plugin_uses_release(&uses, count);
}

static void add_module(void *context, const char *hash, slice image)
{
	struct str *out = context;

	str_add_char(out, '{');
	text(out, "content", slice_from(hash));
	number(out, "codeBytes", image.n);
	end(out, '}');
}

static void add_host(struct str *out, const struct weir_host *host)
{
	struct weir_host_stats stats;

	weir_host_stats(host, &stats);
	begin(out, "pluginModules", '[');
	weir_host_visit_code(host, add_module, out);
	end(out, ']');
	begin(out, "pluginBudget", '{');
	number(out, "limitBytes", stats.memory_bytes);
	number(out, "reservedBytes", stats.memory_used_bytes);
	number(out, "refusals", stats.memory_refusals);
	end(out, '}');
}

static void add_bodies(struct str *out, const struct proxy *p)
{
	struct proxy_stats stats;

	proxy_stats(p, &stats);
	begin(out, "buffers", '{');
	number(out, "liveBytes", counter_get(&stats.buffers.live_bytes));
	number(out, "refused", counter_get(&stats.buffers.refused));
	end(out, '}');
	begin(out, "keptBodies", '{');
#define X(name, kind, help) number(out, #name, counter_get(&spool_counters.name));
	SPOOL_COUNTERS(X)
#undef X
	end(out, '}');
}

static void add_memory(struct str *out)
{
	struct memory_process process;
	struct memory_numbers m;

	memory_read(&m);
	begin(out, "allocator", '{');
	text(out, "name", slice_from(m.allocator));
#define X(name, kind, json, help) number(out, json, m.name);
	MEMORY_ALLOCATOR(X)
	end(out, '}');
	begin(out, "cgroup", '{');
	MEMORY_CGROUP(X)
#undef X
	end(out, '}');
	begin(out, "process", '{');
	if (memory_process_read(&process, "/proc/self/smaps_rollup")) {
#define X(name, json, file) number(out, json, process.name);
		MEMORY_PROCESS(X)
#undef X
	}
	end(out, '}');
}

static void add_all(struct api_call *c, struct str *out, const struct census *census)
{
	struct proxy *p = c->api->proxy;

	str_add_char(out, '{');
	text(out, "version", SLICE(WEIR_VERSION));
	seconds(out, "uptimeSeconds", clock_wall_ns() - c->api->started_ns);
	number(out, "liveGenerations", census->generation_count);
	add_generations(out, census);
	add_uses(out, proxy_plugins(p));
	add_host(out, plugin_registry_host(proxy_plugins(p)));
	add_upstreams(out, census);
	add_workers(out, census);
	add_bodies(out, p);
	add_memory(out);
	end(out, '}');
	out->n--;
}

/* Browsers name HTML first; nobody else asks for it. */
static bool wants_page(const struct api_call *c)
{
	return slice_search(c->accept, SLICE("text/html")) < c->accept.n;
}

void api_show_memory(struct api_call *c)
{
	slice page = slice_of((const char *)memory_page, sizeof memory_page);
	struct str json = {.limit = c->out->limit};
	struct census census;

	if (proxy_census(&census, c->api->proxy, &c->arena) < 0) {
		c->out->failed = true;
		return;
	}
	add_all(c, &json, &census);
	api_begin_json(c);
	if (wants_page(c)) {
		c->answer->content_type = "text/html; charset=utf-8";
		page_add(c->out, page, SLICE("@MEMORY@"), str_slice(&json));
	} else {
		str_add(c->out, str_slice(&json));
		str_add_char(c->out, '\n');
	}
	c->out->failed |= json.failed;
	str_free(&json);
}
