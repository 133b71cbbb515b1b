#include "middleware/plugin_registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/map.h"
#include "middleware/plugin_private.h"
#include "middleware/plugin_registry_private.h"
#include "middleware/plugin_settings.h"

/* Memory is to be back within a second of an instance's idle timeout, the allocator's part, too. */
#define TICK_MS 250u

static enum log_level level_of(enum weir_log_level level)
{
	switch (level) {
	case WEIR_LOG_DEBUG:
		return LOG_DEBUG;
	case WEIR_LOG_INFO:
		return LOG_INFO;
	case WEIR_LOG_WARN:
		return LOG_WARN;
	case WEIR_LOG_ERROR:
		break;
	}
	return LOG_ERROR;
}

static void on_guest_line(void *context, const struct weir_log_line *line)
{
	const struct log_field fields[] = {LOG_TEXT("middlewareType", SLICE("wasm")),
					   LOG_TEXT("plugin", line->plugin)};

	(void)context;
	/* The host speaks about itself. */
	log_write(level_of(line->level), fields, line->plugin.n > 0 ? ARRAY_LEN(fields) : 1, "%.*s",
		  SLICE_ARG(line->text));
}

static bool is_level_enabled(void *context, enum weir_log_level level)
{
	(void)context;
	return log_enabled(level_of(level));
}

int plugin_registry_create(struct plugin_registry **registry, const struct static_config *config,
			   const struct loop_group *loops, struct weir_error *e)
{
	struct weir_host_options options = plugin_host_options(&config->weir.plugins);
	struct plugin_registry *r = calloc(1, sizeof *r);
	int result;

	if (r == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	r->magic = REGISTRY_MAGIC;
	r->config = config;
	r->loops = loops;
	arena_init(&r->arena, 16384, SIZE_MAX);
	must(pthread_mutex_init(&r->lock, NULL) == 0);
	options.log = on_guest_line;
	options.log_enabled = is_level_enabled;
	list_init(&r->all);
	result = weir_host_create(&r->host, &options, e);
	if (result == 0)
		result = plugin_sources_load(r, e);
	if (result < 0) {
		plugin_registry_destroy(&r);
		return result;
	}
	*registry = r;
	return 0;
}

const struct weir_host *plugin_registry_host(const struct plugin_registry *r)
{
	OBJ_CHECK(r, REGISTRY_MAGIC);
	return r->host;
}

void plugin_registry_cancel(struct plugin_registry *r)
{
	OBJ_CHECK(r, REGISTRY_MAGIC);
	weir_host_cancel(r->host);
}

void plugin_registry_refresh(struct plugin_registry *r)
{
	OBJ_CHECK(r, REGISTRY_MAGIC);
	plugin_sources_refresh(r);
}

void plugin_registry_destroy(struct plugin_registry **registry)
{
	struct plugin_registry *r;

	if (*registry == NULL)
		return;
	OBJ_TAKE(r, registry, REGISTRY_MAGIC);
	must(r->live == 0 && r->uses.count == 0);
	map_free(&r->uses);
	plugin_sources_free(r);
	weir_host_destroy(&r->host);
	arena_free(&r->arena);
	(void)pthread_mutex_destroy(&r->lock);
	r->magic = 0;
	free(r);
}

static const struct plugin_source *find_source(const struct plugin_registry *r, slice alias)
{
	for (size_t i = 0; i < r->source_count; i++) {
		if (slice_equal(r->sources[i].alias, alias))
			return &r->sources[i];
	}
	return NULL;
}

void plugin_registry_visit_broken(const struct plugin_registry *r,
				  void (*visit)(void *context, slice alias, const char *why),
				  void *context)
{
	OBJ_CHECK(r, REGISTRY_MAGIC);
	for (size_t i = 0; i < r->source_count; i++) {
		if (r->sources[i].reason != NULL)
			visit(context, r->sources[i].alias, r->sources[i].reason);
	}
}

bool plugin_registry_stringifies(const struct plugin_registry *r, slice alias)
{
	const struct plugin_source *s = find_source(r, alias);

	return s == NULL || s->limits->stringify_config;
}

static void free_part(void *memory)
{
	struct plugin_part *part = memory;

	loop_disarm(part->loop, &part->tick);
	loop_cancel(part->loop, &part->work);
	weir_pool_destroy(&part->pool);
	free(part);
}

static void free_use(struct plugin_use *u)
{
	weir_plugin_unref(&u->plugin);
	u->magic = 0;
	free(u->key);
	free(u);
}

static int create_use(struct plugin_use **use, struct plugin_registry *r,
		      const struct plugin_source *s, slice json, struct weir_error *e)
{
	const struct weir_plugin_options options = {
		.name = s->alias.p,
		.wasm = s->content->wasm,
		.config = json,
		.envs = s->envs,
		.env_count = s->env_count,
		.mounts = s->mounts,
		.mount_count = s->mount_count,
		.limits = plugin_limits(s->limits),
		.isolation = s->limits->isolation,
		.init = s->limits->init,
	};
	struct plugin_use *u = calloc(1, sizeof *u);
	int result;

	if (u == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	u->registry = r;
	u->alias = s->alias;
	u->fails_open = s->limits->failure == PLUGIN_FAILURE_OPEN;
	u->source = (size_t)(s - r->sources);
	result = weir_plugin_create(&u->plugin, r->host, &options, e);
	if (result < 0) {
		free(u);
		/* A guest may be what wants too much memory. */
		return result == -ENOMEM ? -ENOEXEC : result;
	}
	if (per_loop_init(&u->pools, r->loops, free_part) < 0) {
		free_use(u);
		return error_set(e, -ENOMEM, "out of memory");
	}
	u->magic = PLUGIN_USE_MAGIC;
	*use = u;
	return 0;
}

static struct plugin_use *find_use(struct plugin_registry *r, const char *key)
{
	struct plugin_use *u;

	(void)pthread_mutex_lock(&r->lock);
	u = map_get(&r->uses, slice_from(key));
	if (u != NULL) {
		u->references++;
		u->wanted = ++r->wanted;
	}
	(void)pthread_mutex_unlock(&r->lock);
	return u;
}

/* "marker 9f86d0... {"json":"of the configuration"}"; to be freed. */
static char *make_key(const struct plugin_source *s, slice json)
{
	struct str key = {0};

	str_format(&key, "%.*s %s %.*s", SLICE_ARG(s->alias), s->content->hash, SLICE_ARG(json));
	return str_take(&key);
}

/* Whether two keys differ in what the plugin's file held only. They have the same alias. */
static bool same_but_for_content(slice key, slice other, slice alias)
{
	const size_t head = alias.n + 1, both = head + SHA256_HEX;

	return key.n > both && other.n > both &&
	       slice_equal(slice_first(key, head), slice_first(other, head)) &&
	       slice_equal(slice_from_at(key, both), slice_from_at(other, both));
}

/* The same plugin with the same configuration and an older file, which still serves; or NULL. Of
 * several the one that a configuration wanted last: the others are in use by requests only. */
static struct plugin_use *find_older(struct plugin_registry *r, const char *key, slice alias)
{
	struct plugin_use *found = NULL;

	(void)pthread_mutex_lock(&r->lock);
	for (struct map_entry *at = NULL; (at = map_next(&r->uses, at)) != NULL;) {
		struct plugin_use *u = at->value;

		if (same_but_for_content(at->key, slice_from(key), alias) &&
		    (found == NULL || u->wanted > found->wanted))
			found = u;
	}
	if (found != NULL)
		found->references++;
	(void)pthread_mutex_unlock(&r->lock);
	return found;
}

/* Takes over `key`, and after an error the use. */
static int add_use(struct plugin_registry *r, struct plugin_use *u, char *key)
{
	int result;

	u->key = key;
	u->references = 1;
	u->made_ns = clock_mono_ns();
	(void)pthread_mutex_lock(&r->lock);
	u->wanted = ++r->wanted;
	result = map_put(&r->uses, slice_from(key), u);
	r->live += result == 0;
	if (result == 0)
		list_append(&r->all, &u->link);
	(void)pthread_mutex_unlock(&r->lock);
	if (result < 0) {
		per_loop_discard(&u->pools);
		free_use(u);
	}
	return result;
}

/* Under a key that nobody has yet. Takes over `key`. */
static int make_use(struct plugin_use **use, struct plugin_registry *r,
		    const struct plugin_source *s, slice json, char *key, struct weir_error *e)
{
	/* Without the lock, which workers take too: there is one builder at a time. */
	int result = create_use(use, r, s, json, e);

	if (result == 0) {
		if (add_use(r, *use, key) == 0)
			return 0;
		*use = NULL;
		return error_set(e, -ENOMEM, "out of memory");
	}
	/* What the plugin host says begins with the plugin already. */
	if (!slice_starts(slice_from(e->text), SLICE("plugin ")))
		error_prefix(e, "plugin %.*s: ", SLICE_ARG(s->alias));
	if (result != -ENOMEM)
		*use = find_older(r, key, s->alias);
	free(key);
	if (*use == NULL)
		return result;
	log_error_with((LOG_TEXT("plugin", s->alias), LOG_CAUSE(e)),
		       "Plugin goes on as it was: its new file does not work");
	return 0;
}

int plugin_use_get(struct plugin_use **use, struct plugin_registry *r, slice alias, slice json,
		   struct weir_error *e)
{
	const struct plugin_source *s;
	char *key;

	OBJ_CHECK(r, REGISTRY_MAGIC);
	*use = NULL;
	s = find_source(r, alias);
	if (s == NULL)
		return error_set(e, -ENOENT, "unknown plugin type: %.*s", SLICE_ARG(alias));
	if (s->reason != NULL)
		return error_set(e, -EINVAL, "plugin %.*s: %s", SLICE_ARG(alias), s->reason);
	key = make_key(s, json);
	if (key == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	*use = find_use(r, key);
	if (*use == NULL)
		return make_use(use, r, s, json, key, e);
	free(key);
	return 0;
}

static void on_parts_released(struct per_loop *p)
{
	struct plugin_use *u = container_of(p, struct plugin_use, pools);
	struct plugin_registry *r = u->registry;

	OBJ_CHECK(u, PLUGIN_USE_MAGIC);
	(void)pthread_mutex_lock(&r->lock);
	list_remove(&u->link);
	plugin_totals_keep(u);
	free_use(u);
	r->live--;
	(void)pthread_mutex_unlock(&r->lock);
}

struct plugin_use *plugin_use_ref(struct plugin_use *u)
{
	OBJ_CHECK(u, PLUGIN_USE_MAGIC);
	(void)pthread_mutex_lock(&u->registry->lock);
	u->references++;
	(void)pthread_mutex_unlock(&u->registry->lock);
	return u;
}

void plugin_use_release(struct plugin_use **use)
{
	struct plugin_registry *r;
	struct plugin_use *u;
	bool last;

	if (*use == NULL)
		return;
	OBJ_TAKE(u, use, PLUGIN_USE_MAGIC);
	r = u->registry;
	(void)pthread_mutex_lock(&r->lock);
	must(u->references > 0);
	last = --u->references == 0;
	if (last)
		(void)map_remove(&r->uses, slice_from(u->key));
	(void)pthread_mutex_unlock(&r->lock);
	if (last)
		per_loop_release(&u->pools, on_parts_released);
}

static void on_tick(struct timer *t)
{
	struct plugin_part *part = container_of(t, struct plugin_part, tick);

	if (weir_pool_tick(part->pool, clock_mono_ns()))
		loop_arm(part->loop, t, TICK_MS, on_tick);
}

void plugin_part_busy(struct plugin_part *part)
{
	if (!timer_armed(&part->tick))
		loop_arm(part->loop, &part->tick, TICK_MS, on_tick);
}

static void on_pool_work(void *context, struct weir_pool *pool)
{
	struct plugin_part *part = context;

	(void)pool;
	loop_defer(part->loop, &part->work);
}

static void run_work(struct task *t)
{
	struct plugin_part *part = container_of(t, struct plugin_part, work);

	if (weir_pool_work(part->pool))
		loop_defer(part->loop, t);
}

void plugin_use_note_passed(struct plugin_use *u)
{
	struct plugin_source *s = &u->registry->sources[u->source];

	(void)atomic_fetch_add_explicit(&s->passed, 1, memory_order_relaxed);
}

void plugin_use_prepare(struct plugin_use *u, struct loop *loop)
{
	struct plugin_part *part;

	if (weir_plugin_facts(u->plugin)->limits.instances_min == 0)
		return;
	part = plugin_use_part(u, loop);
	if (part != NULL)
		plugin_part_busy(part);
}

struct plugin_part *plugin_use_part(struct plugin_use *u, struct loop *loop)
{
	struct weir_pool_events events = {.wake = plugin_wake, .work = on_pool_work};
	struct plugin_part *part;
	void **place;

	OBJ_CHECK(u, PLUGIN_USE_MAGIC);
	place = per_loop_part(&u->pools, loop);
	if (*place != NULL)
		return *place;
	part = calloc(1, sizeof *part);
	if (part == NULL)
		return NULL;
	part->loop = loop;
	part->work.run = run_work;
	events.wake_context = part;
	if (weir_pool_create(&part->pool, u->plugin, &events) < 0) {
		free(part);
		return NULL;
	}
	*place = part;
	return part;
}
