#include "plugin/code.h"

#include <errno.h>
#include <unistd.h>

#include "core/clock.h"
#include "plugin/engine.h"
#include "plugin/output.h"

/* So much of a module's hash tells it from others. */
#define SHORT_HASH "%.12s"

void code_source_init(struct code_source *s, wasm_engine_t *engine,
		      const struct weir_host_options *options)
{
	struct weir_error error;

	*s = (struct code_source){.engine = engine, .options = options};
	s->compiler = (struct compiler){.argv = options->compiler,
					.timeout_ms = options->compile_ms,
					.memory_bytes = options->compile_memory_bytes,
					.jobs_max = options->compile_jobs};
	compiler_init(&s->compiler);
	s->cache.directory = -1;
	if (!artefact_fingerprint(&s->fingerprint, engine)) {
		output_host(options, WEIR_LOG_WARN,
			    "the engine cannot serialise modules: they are "
			    "compiled in this process, and not kept");
		s->compiler.argv = NULL;
		return;
	}
	if (options->cache_directory != NULL &&
	    cache_open(&s->cache, options->cache_directory, options->cache_bytes, &error) < 0)
		output_host(options, WEIR_LOG_WARN, "compiled modules are not kept: %s",
			    error.text);
}

void code_source_free(struct code_source *s)
{
	cache_close(&s->cache);
	compiler_free(&s->compiler);
}

static void count(_Atomic uint64_t *counter, uint64_t n)
{
	(void)atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* Once: what is wrong with one file of a cache is usually wrong with all. */
static void warn_once(const struct code_source *s, _Atomic bool *warned, const char *what,
		      const struct weir_error *error)
{
	if (!atomic_exchange(warned, true))
		output_host(s->options, WEIR_LOG_WARN, "%s: %s; this is said once only", what,
			    error->text);
}

static bool load(wasmtime_module_t **module, struct code_source *s, const struct artefact_key *key)
{
	struct weir_error error;
	int fd = -1;
	enum cache_find found = cache_get(&s->cache, key, &fd, &error);

	if (found == CACHE_HIT) {
		if (artefact_load(module, s->engine, fd, &error) < 0)
			found = CACHE_CORRUPT;
		(void)close(fd);
	}
	if (found == CACHE_CORRUPT) {
		count(&s->cache_corrupt, 1);
		warn_once(s, &s->warned_corrupt,
			  "a compiled module of the cache is of no use and will be made anew",
			  &error);
	}
	count(found == CACHE_HIT ? &s->cache_hits : &s->cache_misses, 1);
	return found == CACHE_HIT;
}

static void store(struct code_source *s, const struct artefact_key *key, int fd)
{
	struct weir_error error;
	uint64_t evicted;

	if (cache_put(&s->cache, key, fd, &evicted, &error) < 0) {
		count(&s->cache_write_failures, 1);
		warn_once(s, &s->warned_write, "a compiled module cannot be kept in the cache",
			  &error);
	}
	count(&s->cache_evicted, evicted);
}

static int compile_outside(wasmtime_module_t **module, struct code_source *s, slice original,
			   slice rewritten, const struct artefact_key *key,
			   struct weir_error *error)
{
	int fd = compiler_run(&s->compiler, original, rewritten, key, error);
	int r;

	if (fd < 0)
		return fd;
	r = artefact_load(module, s->engine, fd, error);
	if (r == 0)
		store(s, key, fd);
	else
		error_prefix(error, "the compiler's result ");
	(void)close(fd);
	return r;
}

static int compile_here(wasmtime_module_t **module, struct code_source *s, slice original,
			slice rewritten, const struct artefact_key *key, struct weir_error *error)
{
	int r = engine_compile(module, s->engine, original, rewritten, error), fd;

	if (r < 0 || s->cache.directory < 0)
		return r;
	fd = artefact_create();
	if (fd >= 0 && artefact_write(fd, *module, key) == 0)
		store(s, key, fd);
	if (fd >= 0)
		(void)close(fd);
	return 0;
}

static int compile(wasmtime_module_t **module, struct code_source *s, slice original,
		   slice rewritten, const struct artefact_key *key, struct weir_error *error)
{
	uint64_t began_ns = clock_mono_ns();
	int r;

	count(&s->compiling, 1);
	r = (s->compiler.argv != NULL ? compile_outside : compile_here)(module, s, original,
									rewritten, key, error);
	count(&s->compile_ns, clock_mono_ns() - began_ns);
	count(r == 0 ? &s->compiled : &s->compile_failures, 1);
	(void)atomic_fetch_sub(&s->compiling, 1);
	return r;
}

int code_get(wasmtime_module_t **module, struct code_source *s, slice original,
	     const char hash[SHA256_HEX], slice rewritten, struct weir_error *error)
{
	uint64_t began_ns = clock_mono_ns();
	struct artefact_key key;
	int r;

	artefact_key(&key, &s->fingerprint, hash, rewritten);
	if (s->cache.directory >= 0 && load(module, s, &key)) {
		output_host(s->options, WEIR_LOG_DEBUG,
			    "module " SHORT_HASH " taken from the cache", hash);
		return 0;
	}
	r = compile(module, s, original, rewritten, &key, error);
	if (r == 0)
		output_host(s->options, WEIR_LOG_DEBUG, "module " SHORT_HASH " compiled in %llu ms",
			    hash, (unsigned long long)((clock_mono_ns() - began_ns) / 1000000));
	return r;
}
