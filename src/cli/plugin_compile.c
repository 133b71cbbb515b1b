#include <errno.h>
#include <stdio.h>

#include "cli/plugin_cli.h"
#include "core/error.h"

/** What became of one module. */
struct compiled {
	struct weir_host_stats stats;
	uint64_t ns;
	struct weir_error error; /* code 0: it is in the cache */
};

/* What the library has to say about a cache that it cannot use. */
static slice why_not(const struct plugin_session *s)
{
	for (size_t i = 0; i < s->line_count; i++) {
		if (s->lines[i].source == WEIR_LOG_HOST && s->lines[i].level == WEIR_LOG_WARN)
			return s->lines[i].text;
	}
	return SLICE("the cache cannot be used");
}

static int compile(struct plugin_session *s, struct plugin_args *a, struct compiled *c)
{
	const struct weir_host_stats *stats = &c->stats;
	int r = plugin_session_open(s, a, &c->error);

	if (r == 0)
		r = plugin_session_compile(s, &c->error);
	if (r < 0)
		return r;
	c->ns = s->compile_ns;
	weir_host_stats(s->host, &c->stats);
	if (stats->cache_hits + stats->cache_misses == 0 || stats->cache_write_failures > 0)
		return error_set(&c->error, -EIO, "%.*s", SLICE_ARG(why_not(s)));
	return 0;
}

static json_t *compiled_json(const struct plugin_args *a, const struct compiled *c)
{
	bool failed = c->error.code < 0;
	json_t *object = json_object();

	json_put(object, "file", json_slice(slice_from(a->path)));
	json_put(object, "error", failed ? json_slice(slice_from(c->error.text)) : json_null());
	json_put(object, "found", json_boolean(c->stats.cache_hits > 0));
	json_put(object, "compileNs", json_count(c->ns));
	return object;
}

static void tell(const struct plugin_args *a, const struct compiled *c)
{
	if (c->error.code < 0)
		(void)plugin_complain(a, &c->error);
	else if (c->stats.cache_hits > 0)
		(void)printf("%s: was there\n", a->path);
	else
		(void)printf("%s: compiled in %.0f ms\n", a->path, (double)c->ns / 1e6);
}

/* Returns how many failed. */
static size_t compile_all(struct plugin_args *a, json_t *list)
{
	size_t failed = 0;

	for (size_t i = 0; i < a->path_count; i++) {
		struct compiled c = {.error = {0}};
		struct plugin_session s;

		a->path = a->paths[i];
		failed += compile(&s, a, &c) < 0;
		if (list != NULL)
			json_append(list, compiled_json(a, &c));
		else
			tell(a, &c);
		plugin_session_close(&s);
	}
	return failed;
}

int plugin_compile(struct plugin_args *a)
{
	json_t *object, *list;
	size_t failed;

	if (a->plugins.cache_path == NULL) {
		(void)fprintf(stderr, "weir: plugin compile: there is no cache directory, expected "
				      "--cache DIR\n");
		return 1;
	}
	if (!a->json)
		return compile_all(a, NULL) > 0;
	object = json_object();
	list = json_array();
	failed = compile_all(a, list);
	json_put(object, "cache", json_slice(slice_from(a->plugins.cache_path)));
	json_put(object, "modules", list);
	json_put(object, "failed", json_count(failed));
	return json_finish(object) < 0 || failed > 0;
}
