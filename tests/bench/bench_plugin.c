/*
 * What plugin instances cost: to make, to put back, per exchange, and in memory.
 *
 *   bench_plugin GUEST.wasm [CONFIG [LIVE]]
 *
 * Times are the best of several rounds. Memory is what the process has for itself (private), its
 * share of what it has in common with others (PSS) and, to show how much that one misleads, RSS,
 * which counts a page of an image once per instance that has touched it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/clock.h"
#include "plugin/plugin.h"
#include "plugin/pool.h"

#define ROUNDS 9
#define ROUND_NS 50000000.0

struct bench {
	struct weir_host *host;
	struct weir_plugin *plugin;
	struct weir_pool *pool;
	slice wasm;
	slice config;
};

/* ---- an embedder that does next to nothing ---- */

static slice some_text(void *x)
{
	(void)x;
	return SLICE("/");
}

static int take_text(void *x, slice text)
{
	(void)x;
	(void)text;
	return 0;
}

static bool no_field(void *x, enum weir_message m, size_t *cursor, struct weir_field *field)
{
	(void)x;
	(void)m;
	(void)cursor;
	(void)field;
	return false;
}

static int take_field(void *x, enum weir_message m, slice name, slice value)
{
	(void)x;
	(void)m;
	(void)name;
	(void)value;
	return 0;
}

static int drop_field(void *x, enum weir_message m, slice name)
{
	(void)x;
	(void)m;
	(void)name;
	return 0;
}

static unsigned status(void *x)
{
	(void)x;
	return 200;
}

static int take_status(void *x, unsigned value)
{
	(void)x;
	(void)value;
	return 0;
}

static int no_body(void *x, enum weir_message m, uint64_t offset, void *buf, size_t limit,
		   size_t *got, bool *eof)
{
	(void)x;
	(void)m;
	(void)offset;
	(void)buf;
	(void)limit;
	*got = 0;
	*eof = true;
	return 0;
}

static int take_body(void *x, enum weir_message m, slice bytes, bool first)
{
	(void)x;
	(void)m;
	(void)bytes;
	(void)first;
	return 0;
}

static const struct weir_http http = {
	.method = some_text,
	.set_method = take_text,
	.target = some_text,
	.set_target = take_text,
	.version = some_text,
	.source = some_text,
	.authority = some_text,
	.field_next = no_field,
	.field_set = take_field,
	.field_add = take_field,
	.field_remove = drop_field,
	.status = status,
	.set_status = take_status,
	.read_body = no_body,
	.write_body = take_body,
};

/* ---- measuring ---- */

static double now_ns(void)
{
	return (double)clock_mono_ns();
}

/* Nanoseconds per call, best round. */
static double best(void (*run)(struct bench *), struct bench *b)
{
	double least = 1e18;

	for (int round = 0; round < ROUNDS; round++) {
		double start = now_ns(), end;
		unsigned n = 0;

		do {
			run(b);
			n++;
			end = now_ns();
		} while (end - start < ROUND_NS);
		least = MIN(least, (end - start) / n);
	}
	return least;
}

static long rollup_kib(const char *key)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	char line[256];
	long kib = 0, at;

	must(f != NULL);
	while (fgets(line, sizeof line, f) != NULL) {
		if (slice_starts(slice_from(line), slice_from(key)) &&
		    sscanf(line + strlen(key), ": %ld", &at) == 1)
			kib += at;
	}
	(void)fclose(f);
	return kib;
}

struct memory {
	long private_kib;
	long pss_kib;
	long rss_kib;
};

static struct memory memory_now(void)
{
	return (struct memory){rollup_kib("Private_Dirty"), rollup_kib("Pss"), rollup_kib("Rss")};
}

static void tell_memory(const char *when, struct memory from)
{
	struct memory m = memory_now();

	printf("  %-38s private %+8.1f MiB, PSS %+8.1f, RSS %+8.1f\n", when,
	       (double)(m.private_kib - from.private_kib) / 1024,
	       (double)(m.pss_kib - from.pss_kib) / 1024,
	       (double)(m.rss_kib - from.rss_kib) / 1024);
}

static void open_plugin(struct bench *b, enum weir_isolation isolation, enum weir_init init)
{
	const struct weir_pool_events events = {0};
	struct weir_plugin_options o = {
		.name = "bench",
		.wasm = b->wasm,
		.config = b->config,
		.isolation = isolation,
		.init = init,
		.limits = {.instances = 100000},
	};
	struct weir_error error;

	if (weir_plugin_create(&b->plugin, b->host, &o, &error) < 0) {
		(void)fprintf(stderr, "%s\n", error.text);
		exit(1);
	}
	must(weir_pool_create(&b->pool, b->plugin, &events) == 0);
}

static void close_plugin(struct bench *b)
{
	weir_pool_destroy(&b->pool);
	weir_plugin_unref(&b->plugin);
}

static struct weir_exchange *begin(struct bench *b)
{
	struct weir_exchange *e;
	enum weir_step step = weir_exchange_begin(&e, b->pool, &http, NULL);

	while (step == WEIR_YIELD)
		step = weir_exchange_step(e);
	must(step == WEIR_NEXT || step == WEIR_STOP);
	return e;
}

static void finish(struct weir_exchange *e)
{
	if (weir_exchange_facts(e)->response_wanted) {
		enum weir_step step = weir_exchange_response(e, 0);

		while (step == WEIR_YIELD)
			step = weir_exchange_step(e);
		must(step == WEIR_DONE);
	}
	weir_exchange_end(&e);
}

static void exchange(struct bench *b)
{
	finish(begin(b));
}

static void make_and_end(struct bench *b)
{
	struct instance *i = NULL;
	uint64_t bytes = charge_estimate(b->plugin);
	int r;

	must(budget_take(&b->plugin->budget, bytes));
	r = instance_create(&i, b->plugin, b->pool->seat, &b->pool->counters, bytes, NULL);

	must(r == 0);
	while (instance_start(i) != RUN_DONE)
		;
	instance_destroy(&i);
}

static void put_back(struct bench *b)
{
	bool done =
		snapshot_restore(b->plugin->snapshot,
				 container_of(b->pool->idle.next, struct instance, link), false);

	must(done);
}

static void bench_times(struct bench *b)
{
	double fresh, reset, reuse, own;

	open_plugin(b, WEIR_ISOLATION_REUSE, WEIR_INIT_OWN);
	own = best(make_and_end, b);
	close_plugin(b);
	open_plugin(b, WEIR_ISOLATION_REUSE, WEIR_INIT_SHARED);
	printf("  new instance, initialised by itself  %10.2f us\n", own / 1000);
	if (b->plugin->snapshot == NULL) {
		printf("  %s\n", b->plugin->facts.init_reason);
		close_plugin(b);
		return;
	}
	printf("  new instance, cloned                 %10.2f us\n", best(make_and_end, b) / 1000);
	reuse = best(exchange, b);
	printf("  put back after its requests          %10.2f us\n", best(put_back, b) / 1000);
	close_plugin(b);
	open_plugin(b, WEIR_ISOLATION_RESET, WEIR_INIT_SHARED);
	reset = best(exchange, b);
	printf("  pages put back per request           %10.1f\n",
	       (double)b->pool->counters.restored_bytes /
		       (double)MAX(b->pool->counters.restores, (uint64_t)1) / 4096);
	close_plugin(b);
	open_plugin(b, WEIR_ISOLATION_FRESH, WEIR_INIT_SHARED);
	fresh = best(exchange, b);
	close_plugin(b);
	printf("  exchange: reuse %.2f us, reset %.2f us, fresh %.2f us\n", reuse / 1000,
	       reset / 1000, fresh / 1000);
}

static void bench_memory(struct bench *b, size_t live)
{
	struct weir_exchange **e = calloc(live, sizeof *e);
	struct memory before;
	double start;

	must(e != NULL);
	open_plugin(b, WEIR_ISOLATION_REUSE, WEIR_INIT_SHARED);
	exchange(b);
	before = memory_now();
	printf("  image %.1f MiB\n", (double)b->plugin->facts.image_bytes / 1048576);
	start = now_ns();
	for (size_t i = 0; i < live; i++)
		e[i] = begin(b);
	start = (now_ns() - start) / (double)live;
	printf("  %zu exchanges at once, begun in %.2f us each; live instances: %u\n", live,
	       start / 1000, b->pool->slots);
	tell_memory("while they wait for the upstream", before);
	for (size_t i = 0; i < live; i++)
		finish(e[i]);
	tell_memory("when all are idle", before);
	(void)weir_pool_tick(b->pool, UINT64_MAX);
	tell_memory("after the idle timeout", before);
	close_plugin(b);
	free(e);
}

static slice read_file(const char *path)
{
	struct str s = {0};
	FILE *f = fopen(path, "rb");
	char block[65536];
	size_t n;

	if (f == NULL) {
		perror(path);
		exit(1);
	}
	while ((n = fread(block, 1, sizeof block, f)) > 0)
		str_add(&s, slice_of(block, n));
	(void)fclose(f);
	must(!s.failed);
	return str_slice(&s);
}

int main(int argc, char **argv)
{
	const struct weir_host_options options = {0};
	struct weir_module *module = NULL;
	struct bench b = {.config = SLICE("{}")};
	size_t live = argc > 3 ? strtoul(argv[3], NULL, 10) : 1000;
	double start = now_ns();

	if (argc < 2) {
		(void)fprintf(stderr, "usage: bench_plugin GUEST.wasm [CONFIG [LIVE]]\n");
		return 2;
	}
	b.wasm = read_file(argv[1]);
	if (argc > 2)
		b.config = slice_from(argv[2]);
	must(weir_host_create(&b.host, &options, NULL) == 0);
	must(weir_module_load(&module, b.host, b.wasm, NULL) == 0);
	printf("%s %.*s, put back by %s, compiled in %.0f ms\n", argv[1], SLICE_ARG(b.config),
	       weir_restore_text(weir_host_restore(b.host)), (now_ns() - start) / 1e6);
	bench_times(&b);
	if (live > 0)
		bench_memory(&b, live);
	weir_module_release(&module);
	weir_host_destroy(&b.host);
	free((void *)(uintptr_t)b.wasm.p);
	return 0;
}
