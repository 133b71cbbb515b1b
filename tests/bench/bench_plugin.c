/*
 * What plugin instances cost: to make, to put back, per exchange, and in memory.
 *
 *   bench_plugin [--json] [--quick] GUEST.wasm [CONFIG [LIVE]]
 *
 * Times are medians over rounds: CPU time of the process, its ticker included. How an exchange's
 * time divides between guest and host is elapsed time, of the quickest round. Memory is the
 * process's share (PSS) and what it has for itself; RSS, which counts a page of an image once per
 * instance that has touched it, would mislead.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/clock.h"
#include "plugin/plugin.h"
#include "plugin/pool.h"

#define ROUNDS 5
#define ROUND_NS 60000000.0
#define QUICK_ROUND_NS 10000000.0

struct bench {
	struct weir_host *host;
	struct weir_plugin *plugin;
	struct weir_pool *pool;
	slice wasm;
	slice config;
	double round_ns;
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

/* ---- results ---- */

static struct {
	bool json;
	bool some;
} output;

/* `key` for programs, `text` for people. */
static void tell(const char *key, const char *text, double value, const char *unit)
{
	if (output.json)
		printf("%s\n \"%s\": %.6g", output.some ? "," : "{", key, value);
	else
		printf("  %-42s %12.2f %s\n", text, value, unit);
	output.some = true;
}

static void tell_end(void)
{
	if (output.json)
		printf("\n}\n");
}

/* ---- measuring ---- */

static double cpu_now_ns(void)
{
	struct timespec t;

	must(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double now_ns(void)
{
	return (double)clock_mono_ns();
}

/* Microseconds per call, and how many calls it took to know. */
struct cost {
	double cpu_us;
	double wall_us;
	double guest_us; /* in the guest, by the host's books */
};

static double guest_now_ns(const struct bench *b)
{
	return (double)b->pool->counters.cpu_ns;
}

static struct cost one_round(void (*run)(struct bench *), struct bench *b, unsigned calls)
{
	double cpu = cpu_now_ns(), wall = now_ns(), guest = guest_now_ns(b), n = 1000.0 * calls;

	for (unsigned i = 0; i < calls; i++)
		run(b);
	return (struct cost){(cpu_now_ns() - cpu) / n, (now_ns() - wall) / n,
			     (guest_now_ns(b) - guest) / n};
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* CPU time of the median round, the rest of the quickest. */
static struct cost summary(const struct cost *costs)
{
	struct cost least = costs[0];
	double cpu[ROUNDS];

	for (size_t i = 0; i < ROUNDS; i++) {
		cpu[i] = costs[i].cpu_us;
		if (costs[i].wall_us < least.wall_us)
			least = costs[i];
	}
	qsort(cpu, ROUNDS, sizeof *cpu, compare);
	least.cpu_us = cpu[ROUNDS / 2];
	return least;
}

static struct cost measure(void (*run)(struct bench *), struct bench *b)
{
	struct cost costs[ROUNDS];
	unsigned calls = 1;

	/* As many calls as fill a round. */
	for (double us = 0; us * 1000 * calls < b->round_ns / 2; calls *= 2)
		us = one_round(run, b, calls).wall_us;
	for (size_t i = 0; i < ROUNDS; i++)
		costs[i] = one_round(run, b, calls);
	return summary(costs);
}

static double rollup_bytes(const char *key)
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
	return (double)kib * 1024;
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

/* ---- what is measured ---- */

static double restored_pages(const struct bench *b)
{
	const struct counters *c = &b->pool->counters;

	return (double)c->restored_bytes / (double)MAX(c->restores, (uint64_t)1) /
	       (double)image_page_bytes();
}

static void bench_own(struct bench *b)
{
	open_plugin(b, WEIR_ISOLATION_REUSE, WEIR_INIT_OWN);
	tell("own_us", "new instance, initialised by itself", measure(make_and_end, b).cpu_us,
	     "us");
	close_plugin(b);
}

static void bench_reuse(struct bench *b)
{
	struct cost c;

	open_plugin(b, WEIR_ISOLATION_REUSE, WEIR_INIT_SHARED);
	tell("clone_us", "new instance, cloned", measure(make_and_end, b).cpu_us, "us");
	c = measure(exchange, b);
	tell("reuse_us", "exchange, reuse", c.cpu_us, "us");
	tell("reuse_guest_us", "  of it in the guest, elapsed", c.guest_us, "us");
	tell("reuse_host_us", "  of it in the host, elapsed", c.wall_us - c.guest_us, "us");
	put_back(b);
	tell("restore_us", "put back after such exchanges", measure(put_back, b).cpu_us, "us");
	close_plugin(b);
}

static void bench_reset(struct bench *b)
{
	struct cost c;

	open_plugin(b, WEIR_ISOLATION_RESET, WEIR_INIT_SHARED);
	c = measure(exchange, b);
	tell("reset_us", "exchange, reset", c.cpu_us, "us");
	tell("reset_guest_us", "  of it in the guest, elapsed", c.guest_us, "us");
	tell("reset_host_us", "  of it in the host, elapsed", c.wall_us - c.guest_us, "us");
	tell("reset_pages", "  pages put back", restored_pages(b), "");
	close_plugin(b);
	open_plugin(b, WEIR_ISOLATION_FRESH, WEIR_INIT_SHARED);
	tell("fresh_us", "exchange, fresh", measure(exchange, b).cpu_us, "us");
	close_plugin(b);
}

static void bench_memory(struct bench *b, size_t live)
{
	struct weir_exchange **e = calloc(live, sizeof *e);
	double before, start;

	must(e != NULL);
	open_plugin(b, WEIR_ISOLATION_REUSE, WEIR_INIT_SHARED);
	exchange(b);
	tell("image_bytes", "image", (double)b->plugin->facts.image_bytes, "bytes");
	before = rollup_bytes("Pss");
	start = cpu_now_ns();
	for (size_t i = 0; i < live; i++)
		e[i] = begin(b);
	tell("begin_us", "exchange begun in a new instance",
	     (cpu_now_ns() - start) / (double)live / 1000, "us");
	tell("live", "instances", b->pool->slots, "");
	tell("live_bytes", "PSS grew by, while they wait", rollup_bytes("Pss") - before, "bytes");
	for (size_t i = 0; i < live; i++)
		finish(e[i]);
	tell("idle_bytes", "PSS, when all are idle", rollup_bytes("Pss") - before, "bytes");
	(void)weir_pool_tick(b->pool, UINT64_MAX);
	tell("after_bytes", "PSS, after the idle timeout", rollup_bytes("Pss") - before, "bytes");
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

static int usage(void)
{
	(void)fprintf(stderr,
		      "usage: bench_plugin [--json] [--quick] GUEST.wasm [CONFIG [LIVE]]\n");
	return 2;
}

static void run(struct bench *b, const char *path, size_t live)
{
	struct weir_module *module = NULL;
	struct weir_error error;
	double start = now_ns();

	if (weir_module_load(&module, b->host, b->wasm, &error) < 0) {
		(void)fprintf(stderr, "%s: %s\n", path, error.text);
		exit(1);
	}
	if (!output.json)
		printf("%s %.*s, put back by %s\n", path, SLICE_ARG(b->config),
		       weir_restore_text(weir_host_restore(b->host)));
	tell("compile_ms", "compiled, or found in the cache, elapsed", (now_ns() - start) / 1e6,
	     "ms");
	start = now_ns();
	open_plugin(b, WEIR_ISOLATION_REUSE, WEIR_INIT_SHARED);
	tell("start_ms", "first instance and its image, elapsed", (now_ns() - start) / 1e6, "ms");
	must(b->plugin->snapshot != NULL);
	close_plugin(b);
	bench_own(b);
	bench_reuse(b);
	bench_reset(b);
	if (live > 0)
		bench_memory(b, live);
	tell_end();
	weir_module_release(&module);
}

int main(int argc, char **argv)
{
	const struct weir_host_options options = {0};
	struct bench b = {.config = SLICE("{}"), .round_ns = ROUND_NS};
	int at = 1;

	for (; at < argc && argv[at][0] == '-'; at++) {
		if (strcmp(argv[at], "--json") == 0)
			output.json = true;
		else if (strcmp(argv[at], "--quick") == 0)
			b.round_ns = QUICK_ROUND_NS;
		else
			return usage();
	}
	if (at >= argc)
		return usage();
	b.wasm = read_file(argv[at]);
	if (at + 1 < argc)
		b.config = slice_from(argv[at + 1]);
	must(weir_host_create(&b.host, &options, NULL) == 0);
	run(&b, argv[at], at + 2 < argc ? strtoul(argv[at + 2], NULL, 10) : 1000);
	weir_host_destroy(&b.host);
	free((void *)(uintptr_t)b.wasm.p);
	return 0;
}
