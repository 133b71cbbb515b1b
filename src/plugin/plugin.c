#include "plugin/plugin.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "plugin/limits.h"
#include "plugin/mapping.h"
#include "plugin/output.h"
#include "plugin/pool.h"
#include "plugin/rewrite.h"
#include "plugin/version.h"

#define TEXTS_MAX_BYTES ((size_t)64 * 1024 * 1024)
#define TEXTS_BLOCK_BYTES ((size_t)4096)

static const char *keep_text(struct weir_plugin *p, const char *text)
{
	return arena_copy(&p->arena, slice_from(text)).p;
}

static const char *name_of(const struct weir_plugin_options *o)
{
	return o->name != NULL ? o->name : "plugin";
}

static bool keep_envs(struct weir_plugin *p, const struct weir_plugin_options *o)
{
	p->env_count = o->env_count;
	p->envs = ARENA_ARRAY(&p->arena, const char *, o->env_count + 1);
	for (size_t i = 0; p->envs != NULL && i < o->env_count; i++) {
		p->envs[i] = keep_text(p, o->envs[i]);
		if (p->envs[i] == NULL)
			return false;
	}
	return p->envs != NULL;
}

static bool keep_mounts(struct weir_plugin *p, const struct weir_plugin_options *o)
{
	p->mount_count = o->mount_count;
	p->mounts = ARENA_ARRAY(&p->arena, struct wasi_mount, o->mount_count + 1);
	for (size_t i = 0; p->mounts != NULL && i < o->mount_count; i++) {
		p->mounts[i] = (struct wasi_mount){
			.host_path = keep_text(p, o->mounts[i].host_path),
			.guest_path = keep_text(p, o->mounts[i].guest_path),
			.read_only = o->mounts[i].read_only,
		};
		if (p->mounts[i].host_path == NULL || p->mounts[i].guest_path == NULL)
			return false;
	}
	return p->mounts != NULL;
}

static bool keep_options(struct weir_plugin *p, const struct weir_plugin_options *o)
{
	p->facts.limits = o->limits;
	limits_fill(&p->facts.limits, &p->host->options.limits);
	p->budget.limit = p->facts.limits.total_bytes;
	p->facts.limits.instances_min =
		MIN(p->facts.limits.instances_min, p->facts.limits.instances);
	guard_init(p);
	p->facts.isolation = o->isolation;
	p->facts.init = o->init;
	p->facts.name = keep_text(p, name_of(o));
	p->config = arena_copy(&p->arena, o->config);
	return p->facts.name != NULL && p->config.p != NULL && keep_envs(p, o) && keep_mounts(p, o);
}

static struct weir_plugin *make(struct weir_host *host, const struct weir_plugin_options *o)
{
	struct weir_plugin *p = calloc(1, sizeof *p);

	if (p == NULL)
		return NULL;
	p->magic = PLUGIN_MAGIC;
	p->references = 1;
	p->host = host;
	arena_init(&p->arena, TEXTS_BLOCK_BYTES, TEXTS_MAX_BYTES);
	must(pthread_mutex_init(&p->lock, NULL) == 0);
	list_init(&p->pools);
	budget_init(&p->budget, UINT64_MAX, &host->budget);
	budget_init(&p->files, UINT64_MAX, &host->files);
	(void)atomic_fetch_add(&host->plugins, 1);
	if (!keep_options(p, o))
		weir_plugin_unref(&p);
	return p;
}

static void destroy(struct weir_plugin *p)
{
	struct instance *spare = atomic_exchange(&p->spare, NULL);

	if (spare != NULL)
		instance_destroy(&spare);
	/* This thread may never make an instance again: the control thread of a proxy, say. */
	mapping_trim();
	must(list_empty(&p->pools));
	must(atomic_load(&p->created) == atomic_load(&p->destroyed));
	snapshot_destroy(&p->snapshot);
	budget_give(&p->budget, p->image_bytes);
	must(atomic_load(&p->budget.used) == 0);
	must(atomic_load(&p->files.used) == 0);
	if (p->module != NULL)
		module_unref(&p->module);
	(void)atomic_fetch_sub(&p->host->plugins, 1);
	arena_free(&p->arena);
	(void)pthread_mutex_destroy(&p->lock);
	p->magic = 0;
	free(p);
}

static int take_module(struct weir_plugin *p, slice wasm, struct weir_error *error)
{
	int r = module_get(&p->module, &p->host->modules, wasm, error);

	if (r < 0)
		return r;
	p->facts.hash = p->module->hash;
	p->facts.response_empty = p->module->facts.response_empty;
	if (p->module->memory_min_bytes > p->facts.limits.memory_bytes)
		return error_set(error, -E2BIG,
				 "needs %llu bytes of memory at once, expected at most %llu",
				 (unsigned long long)p->module->memory_min_bytes,
				 (unsigned long long)p->facts.limits.memory_bytes);
	return 0;
}

static void sleep_until(uint64_t mono_ns)
{
	struct timespec t = {.tv_sec = (time_t)(mono_ns / 1000000000u),
			     .tv_nsec = (long)(mono_ns % 1000000000u)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* What the guest said is often the only hint at what it dislikes about its configuration. */
static int explain_start(struct instance *i, struct weir_error *error)
{
	slice said;
	int code = i->fault.cause == WEIR_CAUSE_DEADLINE ? -ETIMEDOUT
		   : i->fault.cause == WEIR_CAUSE_MEMORY || i->fault.cause == WEIR_CAUSE_BUSY
			   ? -ENOMEM
			   : -ENOEXEC;

	wasi_flush(i->wasi);
	said = str_slice(&i->start_output);
	while (said.n > 0 && said.p[said.n - 1] == '\n')
		said.n--;
	for (size_t n = 0; n < said.n; n++) {
		if (i->start_output.p[n] == '\n')
			i->start_output.p[n] = '|';
	}
	return error_set(error, code, "error instantiating guest: %s%s%.*s%s", i->fault.text,
			 said.n > 0 ? "; the guest said: \"" : "", SLICE_ARG(said),
			 said.n > 0 ? "\"" : "");
}

/* What the module does not allow, whatever the options say. */
static void settle_options(struct weir_plugin *p)
{
	struct weir_plugin_facts *f = &p->facts;

	f->init_reason = rewrite_obstacle_text(p->module->obstacles);
	if (f->init_reason != NULL)
		f->init = WEIR_INIT_OWN;
	if (f->init == WEIR_INIT_OWN && f->isolation == WEIR_ISOLATION_RESET)
		f->isolation = WEIR_ISOLATION_FRESH;
}

static void tell_options(const struct weir_plugin *p, enum weir_isolation wanted)
{
	const struct weir_plugin_facts *f = &p->facts;

	if (f->init_reason != NULL)
		output_note(p, WEIR_LOG_INFO, "each instance initialises itself: the plugin %s%s",
			    f->init_reason,
			    wanted != f->isolation ? "; instead of being reset it is made anew for "
						     "each request"
						   : "");
	if (f->init == WEIR_INIT_SHARED && f->init_drew_entropy)
		output_note(p, WEIR_LOG_INFO,
			    "the plugin drew random numbers while it initialised: its instances "
			    "share what it made of them (init \"own\" avoids that)");
	if (f->init == WEIR_INIT_SHARED && f->init_open_files > 0)
		output_note(p, WEIR_LOG_INFO,
			    "the plugin keeps %u files open that it opened while it initialised: "
			    "its instances share them, with offsets of their own",
			    f->init_open_files);
}

static int refuse_budget(struct weir_error *error, uint64_t bytes)
{
	return error_set(error, -ENOMEM, "the plugins' memory budget has no room for %llu bytes",
			 (unsigned long long)bytes);
}

/* The first instance has been initialised: what comes after it? */
static int keep_state(struct weir_plugin *p, struct instance *i, struct weir_error *error)
{
	struct weir_plugin_facts *f = &p->facts;
	int r;

	f->init_drew_entropy = wasi_drew_entropy(i->wasi);
	f->init_open_files = (uint32_t)wasi_open_files(i->wasi);
	if (f->init == WEIR_INIT_OWN)
		return 0;
	r = snapshot_take(&p->snapshot, i, error);
	if (r < 0)
		return r;
	f->image_bytes = image_stored_bytes(p->snapshot->image);
	charge_settle(i);
	if (!pool_make_room(p, f->image_bytes))
		return refuse_budget(error, f->image_bytes);
	p->image_bytes = f->image_bytes;
	return 0;
}

static int start(struct weir_plugin *p, struct ticker_seat *seat, struct weir_error *error)
{
	struct instance *i = NULL;
	enum run run;
	uint64_t bytes = charge_estimate(p);
	int r;

	if (!pool_make_room(p, bytes))
		return refuse_budget(error, bytes);
	r = instance_create(&i, p, seat, &p->counters, bytes, error);
	if (r < 0) {
		budget_give(&p->budget, bytes);
		return r;
	}
	while ((run = instance_start(i)) != RUN_DONE && run != RUN_FAILED) {
		if (run == RUN_SLEEP)
			sleep_until(instance_wake_at_ns(i));
	}
	r = run == RUN_DONE ? keep_state(p, i, error) : explain_start(i, error);
	if (r == 0)
		atomic_store(&p->spare, i);
	else
		instance_destroy(&i);
	return r;
}

static int load(struct weir_plugin *p, slice wasm, struct weir_error *error)
{
	struct ticker_seat *seat;
	int r = take_module(p, wasm, error);

	if (r < 0)
		return r;
	settle_options(p);
	seat = ticker_seat_take(p->host->ticker);
	if (seat == NULL)
		return error_set(error, -ENOMEM, "not enough memory");
	r = start(p, seat, error);
	ticker_seat_give(&seat);
	return r;
}

/* Values that a later header may know. */
static int check_options(const struct weir_plugin_options *o, struct weir_error *error)
{
	int r = VERSION_CHECK_RESERVED(o, "weir_plugin_options", error);

	if (r == 0)
		r = VERSION_CHECK_RESERVED(&o->limits, "weir_limits", error);
	if (r == 0 && o->isolation > WEIR_ISOLATION_FRESH)
		r = error_set(error, -EINVAL, "unknown isolation %u, expected at most %u",
			      (unsigned)o->isolation, (unsigned)WEIR_ISOLATION_FRESH);
	if (r == 0 && o->init > WEIR_INIT_OWN)
		r = error_set(error, -EINVAL, "unknown init %u, expected at most %u",
			      (unsigned)o->init, (unsigned)WEIR_INIT_OWN);
	return r;
}

int weir_plugin_create(struct weir_plugin **plugin, struct weir_host *host,
		       const struct weir_plugin_options *options, struct weir_error *error)
{
	struct weir_plugin *p;
	int r;

	OBJ_CHECK(host, HOST_MAGIC);
	*plugin = NULL;
	r = check_options(options, error);
	if (r < 0) {
		error_prefix(error, "plugin \"%s\": ", name_of(options));
		return r;
	}
	p = make(host, options);
	if (p == NULL)
		return error_set(error, -ENOMEM, "plugin \"%s\": not enough memory",
				 name_of(options));
	r = load(p, options->wasm, error);
	if (r == 0)
		tell_options(p, options->isolation);
	if (r < 0) {
		error_prefix(error, "plugin \"%s\": ", p->facts.name);
		if (error != NULL)
			output_flatten(error->text);
		weir_plugin_unref(&p);
		return r;
	}
	*plugin = p;
	return 0;
}

struct weir_plugin *weir_plugin_ref(struct weir_plugin *p)
{
	OBJ_CHECK(p, PLUGIN_MAGIC);
	must(atomic_fetch_add(&p->references, 1) > 0);
	return p;
}

void weir_plugin_unref(struct weir_plugin **plugin)
{
	struct weir_plugin *p;
	uint32_t before;

	if (*plugin == NULL)
		return;
	OBJ_TAKE(p, plugin, PLUGIN_MAGIC);
	before = atomic_fetch_sub(&p->references, 1);
	must(before > 0);
	if (before == 1)
		destroy(p);
}

const struct weir_plugin_facts *weir_plugin_facts(const struct weir_plugin *p)
{
	OBJ_CHECK(p, PLUGIN_MAGIC);
	return &p->facts;
}

void weir_plugin_stats(const struct weir_plugin *plugin, struct weir_plugin_stats *stats)
{
	struct weir_plugin *p = (struct weir_plugin *)(uintptr_t)plugin;

	OBJ_CHECK(p, PLUGIN_MAGIC);
	*stats = (struct weir_plugin_stats){0};
	(void)pthread_mutex_lock(&p->lock);
	counters_sum(stats, &p->counters);
	LIST_FOR_EACH (at, &p->pools)
		counters_sum(stats, &container_of(at, struct weir_pool, link)->counters);
	(void)pthread_mutex_unlock(&p->lock);
	stats->reserved_bytes = atomic_load(&p->budget.used);
	stats->budget_refusals = atomic_load(&p->budget.refusals);
	stats->open_files = atomic_load(&p->files.used);
	stats->open_file_refusals = atomic_load(&p->files.refusals);
	stats->circuit_open = !circuit_closed(&p->guard.calls);
	stats->circuit_opened = counter_get(&p->guard.calls.opened);
	stats->starts_stopped = !circuit_closed(&p->guard.starts);
	stats->starts_stopped_count = counter_get(&p->guard.starts.opened);
	stats->destroyed = atomic_load(&p->destroyed);
	stats->created = atomic_load(&p->created);
	stats->live = stats->created - stats->destroyed;
}
