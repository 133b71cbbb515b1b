#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "plugin/engine.h"
#include "plugin/limits.h"
#include "plugin/plugin.h"
#include "plugin/version.h"

/* For values of later headers than this library's. */
#define UNKNOWN "unknown"

#define SLICE_US_DEFAULT 2000u
#define MODULE_BYTES_DEFAULT ((uint64_t)64 * 1024 * 1024)
#define COMPILE_MS_DEFAULT 300000u
#define COMPILE_BYTES_DEFAULT ((uint64_t)1024 * 1024 * 1024)
#define COMPILE_JOBS_DEFAULT 2u
#define CACHE_BYTES_DEFAULT ((uint64_t)512 * 1024 * 1024)

void limits_fill(struct weir_limits *limits, const struct weir_limits *defaults)
{
#define X(name, value) \
	if (limits->name == 0) \
		limits->name = defaults != NULL ? defaults->name : (value);
	LIMITS(X)
#undef X
}

/* Without options the defaults are meant. */
static int check_options(const struct weir_host_options *o, struct weir_error *error)
{
	int r = 0;

	if (o != NULL)
		r = VERSION_CHECK_RESERVED(o, "weir_host_options", error);
	if (o != NULL && r == 0)
		r = VERSION_CHECK_RESERVED(&o->limits, "weir_limits", error);
	return r;
}

static uint64_t default_open_files(void)
{
	struct rlimit limit = {.rlim_cur = 1024};

	(void)getrlimit(RLIMIT_NOFILE, &limit);
	return MAX(limit.rlim_cur / 4, (rlim_t)1);
}

static void fill_options(struct weir_host_options *to, const struct weir_host_options *from)
{
	if (from != NULL)
		*to = *from;
	limits_fill(&to->limits, NULL);
	if (to->slice_us == 0)
		to->slice_us = SLICE_US_DEFAULT;
	if (to->memory_bytes == 0)
		to->memory_bytes = budget_default_bytes();
	if (to->module_bytes == 0)
		to->module_bytes = MODULE_BYTES_DEFAULT;
	if (to->compile_ms == 0)
		to->compile_ms = COMPILE_MS_DEFAULT;
	if (to->compile_memory_bytes == 0)
		to->compile_memory_bytes = COMPILE_BYTES_DEFAULT;
	if (to->compile_jobs == 0)
		to->compile_jobs = COMPILE_JOBS_DEFAULT;
	if (to->cache_bytes == 0)
		to->cache_bytes = CACHE_BYTES_DEFAULT;
	if (to->open_files == 0)
		to->open_files = default_open_files();
}

int weir_host_create(struct weir_host **host, const struct weir_host_options *options,
		     struct weir_error *error)
{
	struct weir_host *h;
	int r = check_options(options, error);

	*host = NULL;
	if (r < 0)
		return r;
	h = calloc(1, sizeof *h);
	if (h == NULL)
		return error_set(error, -ENOMEM, "not enough memory for the plugin host");
	h->magic = HOST_MAGIC;
	fill_options(&h->options, options);
	r = restorer_open(&h->restorer, h->options.restore, error);
	if (r < 0) {
		free(h);
		return r;
	}
	h->engine = engine_create();
	r = ticker_create(&h->ticker, h->engine, (uint64_t)h->options.slice_us * 1000u, error);
	if (r < 0) {
		restorer_close(&h->restorer);
		wasm_engine_delete(h->engine);
		free(h);
		return r;
	}
	budget_init(&h->budget, h->options.memory_bytes, NULL);
	budget_init(&h->files, h->options.open_files, NULL);
	code_source_init(&h->code, h->engine, &h->options);
	module_store_init(&h->modules, h->engine, &h->code, h->options.module_bytes, &h->budget);
	*host = h;
	return 0;
}

void weir_host_cancel(struct weir_host *host)
{
	OBJ_CHECK(host, HOST_MAGIC);
	atomic_store(&host->code.compiler.cancelled, true);
}

void weir_host_destroy(struct weir_host **host)
{
	struct weir_host *h;

	if (*host == NULL)
		return;
	OBJ_TAKE(h, host, HOST_MAGIC);
	must(atomic_load(&h->plugins) == 0);
	ticker_destroy(&h->ticker);
	module_store_free(&h->modules);
	code_source_free(&h->code);
	must(atomic_load(&h->budget.used) == 0);
	must(atomic_load(&h->files.used) == 0);
	wasm_engine_delete(h->engine);
	restorer_close(&h->restorer);
	h->magic = 0;
	free(h);
}

const char *weir_cause_text(enum weir_cause cause)
{
	static const char *const texts[] = {
#define X(name, text, status) [WEIR_CAUSE_##name] = text,
		WEIR_CAUSES(X)
#undef X
	};

	return (size_t)cause < ARRAY_LEN(texts) ? texts[cause] : UNKNOWN;
}

unsigned weir_cause_status(enum weir_cause cause)
{
	static const unsigned short statuses[] = {
#define X(name, text, status) [WEIR_CAUSE_##name] = status,
		WEIR_CAUSES(X)
#undef X
	};

	return (size_t)cause < ARRAY_LEN(statuses) ? statuses[cause] : 500;
}

const char *weir_step_text(enum weir_step step)
{
	static const char *const texts[] = {
#define X(name, text) [WEIR_##name] = text,
		WEIR_STEPS(X)
#undef X
	};

	return (size_t)step < ARRAY_LEN(texts) ? texts[step] : UNKNOWN;
}

uint64_t weir_host_memory_used(const struct weir_host *host)
{
	OBJ_CHECK(host, HOST_MAGIC);
	return atomic_load_explicit(&host->budget.used, memory_order_relaxed);
}

void weir_host_stats(const struct weir_host *host, struct weir_host_stats *stats)
{
	struct weir_host *h = (struct weir_host *)(uintptr_t)host;

	OBJ_CHECK(host, HOST_MAGIC);
	*stats = (struct weir_host_stats){
		.modules = module_store_count(&h->modules),
#define X(name) .name = atomic_load_explicit(&host->code.name, memory_order_relaxed),
		CODE_COUNTERS(X)
#undef X
			.memory_bytes = host->budget.limit,
		.memory_used_bytes = weir_host_memory_used(host),
		.memory_refusals =
			atomic_load_explicit(&host->budget.refusals, memory_order_relaxed),
		.open_files_max = host->files.limit,
		.open_files = atomic_load_explicit(&host->files.used, memory_order_relaxed),
		.open_file_refusals =
			atomic_load_explicit(&host->files.refusals, memory_order_relaxed),
	};
}

void weir_host_visit_code(const struct weir_host *host,
			  void (*visit)(void *context, const char *hash, struct weir_slice image),
			  void *context)
{
	struct weir_host *h = (struct weir_host *)(uintptr_t)host;

	OBJ_CHECK(host, HOST_MAGIC);
	module_store_visit(&h->modules, visit, context);
}

enum weir_restore weir_host_restore(const struct weir_host *host)
{
	OBJ_CHECK(host, HOST_MAGIC);
	return host->restorer.method;
}

const char *weir_isolation_text(enum weir_isolation isolation)
{
	static const char *const texts[] = {
#define X(name, text) [WEIR_ISOLATION_##name] = text,
		WEIR_ISOLATIONS(X)
#undef X
	};

	return (size_t)isolation < ARRAY_LEN(texts) ? texts[isolation] : UNKNOWN;
}

const char *weir_init_text(enum weir_init init)
{
	static const char *const texts[] = {
#define X(name, text) [WEIR_INIT_##name] = text,
		WEIR_INITS(X)
#undef X
	};

	return (size_t)init < ARRAY_LEN(texts) ? texts[init] : UNKNOWN;
}

const char *weir_restore_text(enum weir_restore restore)
{
	static const char *const texts[] = {
#define X(name, text) [WEIR_RESTORE_##name] = text,
		WEIR_RESTORES(X)
#undef X
	};

	return (size_t)restore < ARRAY_LEN(texts) ? texts[restore] : UNKNOWN;
}
