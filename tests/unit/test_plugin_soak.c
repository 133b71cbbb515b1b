/*
 * A day in little: four threads put a mixed load on six plugins of different isolation. Guests trap
 * once in a thousand, exit, break rules, spin, sleep past their time; clients leave in every state;
 * plugins are reloaded all the time. At each of several pauses memory, descriptors, mappings and
 * threads are as they were at the first one, and the counters balance. Ten million requests with
 * WEIR_LONG; WEIR_REQUESTS is another number.
 */
#include "plugin_fake.h"

#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <unistd.h>

#define WORKERS 4u
#define SLOTS 8u
#define PHASES 6u
#define REQUESTS_LONG 10000000u
#define REQUESTS_SHORT 400000u
#define RELOADS_PER_PHASE 4u
#define TICK_EVERY 256u

/* What a pause may differ from the first one by: the allocator keeps what it likes. */
#define MEMORY_ALLOWANCE_BYTES ((int64_t)8 << 20)
#define MAPPINGS_ALLOWANCE 64

/*
 * What a request is for. X(NAME, of 100000, method, cause that it ends with)
 *
 * LEAVE and QUIT: the client goes while the guest waits for it, or while the upstream works.
 */
#define KINDS(X) \
	X(TRAP, 100, "T", TRAP) \
	X(EXIT, 20, "E", EXIT) \
	X(BREAK, 20, "A", ABI) \
	X(LOOP, 3, "L", DEADLINE) \
	X(OVERSLEEP, 10, "O", DEADLINE) \
	X(SPIN, 20, "S", NONE) \
	X(NAP, 50, "N", NONE) \
	X(GROW, 150, "G", NONE) \
	X(DIRTY, 150, "D", NONE) \
	X(BODY, 500, "W", NONE) \
	X(LEAVE, 300, "W", NONE) \
	X(QUIT, 300, "-", NONE) \
	X(BROKEN, 500, "-", NONE) \
	X(PLAIN, 0, "-", NONE)

enum kind {
#define X(name, share, method, cause) KIND_##name,
	KINDS(X)
#undef X
		KIND_COUNT
};

static const struct {
	uint32_t share;
	const char *method;
	enum weir_cause cause;
} kinds[] = {
#define X(name, share, method, cause) {share, method, WEIR_CAUSE_##cause},
	KINDS(X)
#undef X
};

#define ON(letter, does) "(if (i32.eq (local.get $n) (i32.const " letter ")) (then " does "))"
#define SLEEP(ns) \
	"(i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const " ns "))" \
	"(drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))"

/* Counts in memory and a global, does what the method says, and answers 200 and the count. */
#define GUEST(extra, request) \
	"(module (import \"wasi_snapshot_preview1\" \"poll_oneoff\" (func $poll (param i32 i32 " \
	"i32 " \
	"i32) (result i32)))" FAKE_IMPORTS "(memory (export \"memory\") 8)" \
	"(global $c (mut i32) (i32.const 0))" extra "(func (export \"_initialize\")" \
	" (memory.fill (i32.const 65536) (i32.const 7) (i32.const 131072)))" \
	"(func (export \"handle_request\") (result i64) (local $n i32)" \
	" (global.set $c (i32.add (global.get $c) (i32.const 1)))" \
	" (i32.store (i32.const 70000) (i32.add (i32.load (i32.const 70000)) (i32.const 1)))" \
	" (if (i32.ne (i32.sub (i32.load (i32.const 70000)) (i32.const 0x7070707))" \
	"  (global.get $c)) (then (call $exit (i32.const 99))))" request \
	" (drop (call $get_method (i32.const 512) (i32.const 8)))" \
	" (local.set $n (i32.load8_u (i32.const 512)))" ON("84", "unreachable") ON( \
		"69", "(call $exit (i32.const 3))") ON("65", "(call $set_method (i32.const -1) " \
							     "(i32.const 5))") \
		ON("76", "(loop (br 0))") ON("79", SLEEP("3600000000000")) ON( \
			"83", "(local.set $n (i32.const 0)) (loop (br_if 0 " \
			      "(i32.ne (local.tee $n" \
			      " (i32.add (local.get $n) (i32.const 1))) " \
			      "(i32.const 5000000))))") ON("78", SLEEP("1000000")) \
			ON("71", "(drop (memory.grow (i32.const 2)))") ON( \
				"68", "(memory.fill (i32.const 131072) (i32.const 1) (i32.const " \
				      "262144))") \
				ON("87", \
				   "(drop (call $read (i32.const 0) (i32.const 600) (i32.const " \
				   "10)))") " (call $set_status (i32.add (i32.const 200) " \
					    "(i32.rem_u (global.get $c) (i32.const " \
					    "700)))) (i64.const 1))" \
					    "(func (export \"handle_response\") (param i32 i32)" \
					    " (i32.store (i32.const 80000) (local.get 0))))"

static const char plain_guest[] = GUEST("", "");
static const char table_guest[] =
	GUEST("(table $t 1 funcref) (func $f) (elem declare func $f)",
	      "(if (i32.eqz (ref.is_null (table.get $t (i32.const 0)))) (then"
	      " (if (i32.eq (global.get $c) (i32.const 1)) (then unreachable))))"
	      "(table.set $t (i32.const 0) (ref.func $f))");

/* The last one is for guests that sleep past their time: nobody else may be that slow. */
static const struct recipe {
	const char *wat;
	struct weir_plugin_options options;
} recipes[] = {
	{plain_guest, {.isolation = WEIR_ISOLATION_REUSE}},
	{plain_guest, {.isolation = WEIR_ISOLATION_RESET}},
	{plain_guest, {.isolation = WEIR_ISOLATION_RESET, .limits = {.instances = 3}}},
	{plain_guest, {.isolation = WEIR_ISOLATION_FRESH}},
	{table_guest, {.isolation = WEIR_ISOLATION_REUSE, .limits = {.requests = 100}}},
	{plain_guest, {.isolation = WEIR_ISOLATION_RESET, .limits = {.exchange_wall_ms = 20}}},
};

#define PLUGINS ARRAY_LEN(recipes)

/** The plugins that are to be used now, and their making. */
struct site {
	struct weir_host *host;
	wasm_byte_vec_t wasm[PLUGINS];
	struct weir_module *modules[PLUGINS]; /* which would be compiled at each reload */
	pthread_mutex_t lock;
	struct weir_plugin *plugins[PLUGINS];
	unsigned reloads;
	sem_t wanted;
	atomic_bool over;
	pthread_barrier_t pause, end_of_pause;
	const char *trouble;
};

/** One exchange of a worker. */
struct slot {
	struct fake f;
	struct weir_exchange *e; /* NULL: none */
	enum weir_step step;
	enum kind kind;
	size_t plugin;
};

struct worker {
	struct site *site;
	uint64_t seed, requests;
	struct weir_plugin *plugins[PLUGINS];
	struct weir_pool *pools[PLUGINS];
	struct slot slots[SLOTS];
	unsigned long ended[KIND_COUNT], busy, wrong;
	char text[256];
};

static uint32_t draw(struct worker *w, uint32_t below)
{
	w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(w->seed >> 33) % below;
}

static enum kind draw_kind(struct worker *w)
{
	uint32_t r = draw(w, 100000);

	for (size_t i = 0; i < KIND_PLAIN; i++) {
		if (r < kinds[i].share)
			return (enum kind)i;
		r -= kinds[i].share;
	}
	return KIND_PLAIN;
}

static bool keeps_state(size_t plugin)
{
	return recipes[plugin].options.isolation == WEIR_ISOLATION_REUSE;
}

static void accuse(struct worker *w, const struct slot *s, const char *what)
{
	if (w->wrong++ == 0)
		(void)snprintf(w->text, sizeof w->text, "%s of plugin %zu, status %u: %.180s",
			       kinds[s->kind].method, s->plugin, s->f.status, what);
}

static void begin(struct worker *w, struct slot *s)
{
	s->kind = draw_kind(w);
	s->plugin = s->kind == KIND_OVERSLEEP ? PLUGINS - 1 : draw(w, PLUGINS - 1);
	strcpy(s->f.method, kinds[s->kind].method);
	s->f.status = 0;
	s->f.all_arrived = false;
	s->step = weir_exchange_begin(&s->e, w->pools[s->plugin], &fake_http, &s->f);
	w->requests++;
}

static void end(struct worker *w, struct slot *s)
{
	weir_exchange_end(&s->e);
	w->ended[s->kind]++;
}

/* It has failed: as it was to? */
static void judge_failure(struct worker *w, struct slot *s)
{
	enum weir_cause cause = weir_exchange_cause(s->e);

	if (cause == WEIR_CAUSE_BUSY)
		w->busy++;
	else if (cause != kinds[s->kind].cause)
		accuse(w, s, weir_exchange_error(s->e)->text);
	end(w, s);
}

static void judge_success(struct worker *w, struct slot *s)
{
	if (kinds[s->kind].cause != WEIR_CAUSE_NONE)
		accuse(w, s, "went well");
	else if (keeps_state(s->plugin) ? s->f.status < 200 : s->f.status != 201)
		accuse(w, s, "another request's state");
	end(w, s);
}

/* One step, whatever comes next. */
static void advance(struct worker *w, struct slot *s)
{
	switch (s->step) {
	case WEIR_FAILED:
		judge_failure(w, s);
		return;
	case WEIR_DONE:
		judge_success(w, s);
		return;
	case WEIR_NEXT:
		if (s->kind == KIND_QUIT)
			end(w, s);
		else
			s->step = weir_exchange_response(
				s->e, s->kind == KIND_BROKEN ? WEIR_RESPONSE_ERROR : 0);
		return;
	case WEIR_WAIT_BODY:
		if (s->kind == KIND_LEAVE) {
			end(w, s);
			return;
		}
		s->f.all_arrived = true;
		break;
	default:
		break;
	}
	s->step = weir_exchange_step(s->e);
}

static void drain(struct worker *w)
{
	for (size_t i = 0; i < SLOTS; i++) {
		while (w->slots[i].e != NULL) {
			/* What one waits for another may have. */
			for (size_t k = 0; k < SLOTS; k++) {
				if (w->slots[k].e != NULL)
					advance(w, &w->slots[k]);
			}
		}
	}
}

static void close_pools(struct worker *w)
{
	for (size_t i = 0; i < PLUGINS; i++) {
		weir_pool_destroy(&w->pools[i]);
		weir_plugin_unref(&w->plugins[i]);
	}
}

static void open_pools(struct worker *w)
{
	const struct weir_pool_events events = {.wake = fake_wake};

	(void)pthread_mutex_lock(&w->site->lock);
	for (size_t i = 0; i < PLUGINS; i++)
		w->plugins[i] = weir_plugin_ref(w->site->plugins[i]);
	(void)pthread_mutex_unlock(&w->site->lock);
	for (size_t i = 0; i < PLUGINS; i++)
		must(weir_pool_create(&w->pools[i], w->plugins[i], &events) == 0);
}

static void tick(struct worker *w, uint64_t now_ns)
{
	for (size_t i = 0; i < PLUGINS; i++)
		(void)weir_pool_tick(w->pools[i], now_ns);
}

static void run_until(struct worker *w, uint64_t requests)
{
	while (w->requests < requests) {
		struct slot *s = &w->slots[draw(w, SLOTS)];

		if (s->e != NULL)
			advance(w, s);
		else
			begin(w, s);
		if (draw(w, TICK_EVERY) == 0)
			tick(w, clock_mono_ns());
	}
	drain(w);
}

static uint64_t request_count(void)
{
	const char *wanted = getenv("WEIR_REQUESTS");

	if (wanted != NULL)
		return strtoull(wanted, NULL, 10);
	if (getenv("WEIR_LONG") != NULL)
		return REQUESTS_LONG;
	return SANITIZED ? REQUESTS_SHORT / 10 : REQUESTS_SHORT;
}

static void pause_work(struct site *site)
{
	(void)pthread_barrier_wait(&site->pause);
	(void)pthread_barrier_wait(&site->end_of_pause);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	uint64_t part = request_count() / WORKERS / PHASES / RELOADS_PER_PHASE, until = 0;

	for (size_t i = 0; i < SLOTS; i++)
		fake_init(&w->slots[i].f);
	open_pools(w);
	for (size_t phase = 0; phase < PHASES; phase++) {
		for (size_t i = 0; i < RELOADS_PER_PHASE; i++) {
			run_until(w, until += part);
			(void)sem_post(&w->site->wanted);
			tick(w, UINT64_MAX);
			close_pools(w);
			if (i + 1 == RELOADS_PER_PHASE)
				pause_work(w->site);
			open_pools(w);
		}
	}
	close_pools(w);
	for (size_t i = 0; i < SLOTS; i++)
		fake_free(&w->slots[i].f);
	return NULL;
}

/* ---- reloads ---- */

static void make_plugin(struct site *site, size_t i, struct weir_plugin **plugin)
{
	struct weir_plugin_options o = recipes[i].options;
	struct weir_error error;

	o.name = "soak";
	o.wasm = slice_of(site->wasm[i].data, site->wasm[i].size);
	if (weir_plugin_create(plugin, site->host, &o, &error) != 0)
		site->trouble = "a plugin could not be loaded again";
}

/* Workers have dropped their pools of a plugin that was replaced twice. */
static void *reload(void *arg)
{
	struct site *site = arg;

	for (size_t i = 0;; i = (i + 1) % PLUGINS) {
		struct weir_plugin *next = NULL;

		while (sem_wait(&site->wanted) != 0)
			;
		if (atomic_load(&site->over))
			return NULL;
		(void)pthread_mutex_lock(&site->lock);
		make_plugin(site, i, &next);
		if (next != NULL) {
			weir_plugin_unref(&site->plugins[i]);
			site->plugins[i] = next;
			site->reloads++;
		}
		(void)pthread_mutex_unlock(&site->lock);
	}
}

/* ---- what is measured ---- */

struct figures {
	int64_t memory_bytes, descriptors, mappings, threads;
};

static int64_t count_lines(const char *path)
{
	FILE *file = fopen(path, "r");
	int64_t n = 0;
	int c;

	assert_non_null(file);
	while ((c = getc(file)) != EOF)
		n += c == '\n';
	(void)fclose(file);
	return n;
}

static int64_t count_entries(const char *path)
{
	DIR *all = opendir(path);
	int64_t n = -2; /* without "." and ".." */

	assert_non_null(all);
	while (readdir(all) != NULL)
		n++;
	(void)closedir(all);
	return n;
}

static int64_t private_bytes(void)
{
	FILE *rollup = fopen("/proc/self/smaps_rollup", "r");
	long long kib = 0;
	char line[256];

	assert_non_null(rollup);
	while (fgets(line, sizeof line, rollup) != NULL)
		(void)sscanf(line, "Private_Dirty: %lld", &kib);
	(void)fclose(rollup);
	return kib * 1024;
}

static struct figures measure(void)
{
	struct figures f;

	(void)malloc_trim(0);
	f.memory_bytes = private_bytes();
	f.descriptors = count_entries("/proc/self/fd");
	f.mappings = count_lines("/proc/self/maps");
	f.threads = count_entries("/proc/self/task");
	return f;
}

static void check_balance(struct weir_plugin *p)
{
	struct weir_plugin_stats s;

	weir_plugin_stats(p, &s);
	assert_int_equal(s.created - s.destroyed, s.live);
	assert_int_equal(s.live, s.idle);
	assert_int_equal(s.in_use + s.waiting, 0);
	/* But for the first instance, which nobody may have taken yet. */
	assert_in_range(s.live, 0, 1);
}

/* While all workers wait, and nobody reloads. */
static void check_pause(struct site *site, size_t phase, struct figures *first)
{
	struct figures now;
	unsigned reloads;

	(void)pthread_mutex_lock(&site->lock);
	now = measure();
	reloads = site->reloads;
	for (size_t i = 0; i < PLUGINS; i++)
		check_balance(site->plugins[i]);
	(void)pthread_mutex_unlock(&site->lock);
	print_message("pause %zu: %lld KiB private, %lld descriptors, %lld mappings, %lld "
		      "threads, %u reloads\n",
		      phase, (long long)now.memory_bytes / 1024, (long long)now.descriptors,
		      (long long)now.mappings, (long long)now.threads, reloads);
	if (phase == 0) {
		*first = now;
		return;
	}
	assert_int_equal(now.descriptors, first->descriptors);
	assert_int_equal(now.threads, first->threads);
	assert_true(now.mappings < first->mappings + MAPPINGS_ALLOWANCE);
	if (!SANITIZED)
		assert_true(now.memory_bytes < first->memory_bytes + MEMORY_ALLOWANCE_BYTES);
}

static void open_site(struct site *site)
{
	struct weir_host_options options = {.memory_bytes = (uint64_t)1 << 30};
	struct weir_error error;

	options.limits.call_cpu_ms = 20;
	options.limits.idle_ms = 40;
	options.limits.memory_bytes = 4 << 20;
	assert_int_equal(weir_host_create(&site->host, &options, &error), 0);
	restore_handlers();
	assert_int_equal(pthread_mutex_init(&site->lock, NULL), 0);
	assert_int_equal(sem_init(&site->wanted, 0, 0), 0);
	assert_int_equal(pthread_barrier_init(&site->pause, NULL, WORKERS + 1), 0);
	assert_int_equal(pthread_barrier_init(&site->end_of_pause, NULL, WORKERS + 1), 0);
	for (size_t i = 0; i < PLUGINS; i++) {
		site->wasm[i] = fake_wasm(recipes[i].wat);
		assert_int_equal(weir_module_load(&site->modules[i], site->host,
						  slice_of(site->wasm[i].data, site->wasm[i].size),
						  &error),
				 0);
		make_plugin(site, i, &site->plugins[i]);
		assert_non_null(site->plugins[i]);
	}
}

static void close_site(struct site *site)
{
	for (size_t i = 0; i < PLUGINS; i++) {
		weir_plugin_unref(&site->plugins[i]);
		weir_module_release(&site->modules[i]);
		wasm_byte_vec_delete(&site->wasm[i]);
	}
	assert_int_equal(weir_host_memory_used(site->host), 0);
	weir_host_destroy(&site->host);
	(void)pthread_barrier_destroy(&site->pause);
	(void)pthread_barrier_destroy(&site->end_of_pause);
	(void)sem_destroy(&site->wanted);
	(void)pthread_mutex_destroy(&site->lock);
}

static void report(const struct worker *all)
{
	static const char *const names[] = {
#define X(name, share, method, cause) #name,
		KINDS(X)
#undef X
	};

	for (size_t i = 0; i < KIND_COUNT; i++)
		print_message("%s %lu, ", names[i], all->ended[i]);
	print_message("%lu refused\n", all->busy);
}

static void soak(void **state)
{
	struct worker *workers = calloc(WORKERS, sizeof *workers);
	struct site *site = calloc(1, sizeof *site);
	struct worker all = {0};
	pthread_t threads[WORKERS], reloader;
	struct figures first = {0};

	(void)state;
	assert_true(workers != NULL && site != NULL);
	open_site(site);
	assert_int_equal(pthread_create(&reloader, NULL, reload, site), 0);
	for (size_t i = 0; i < WORKERS; i++) {
		workers[i].site = site;
		workers[i].seed = i + 1;
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (size_t phase = 0; phase < PHASES; phase++) {
		(void)pthread_barrier_wait(&site->pause);
		check_pause(site, phase, &first);
		(void)pthread_barrier_wait(&site->end_of_pause);
	}
	for (size_t i = 0; i < WORKERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		if (workers[i].wrong > 0)
			fail_msg("%lu wrong, first %s", workers[i].wrong, workers[i].text);
		all.requests += workers[i].requests;
		all.busy += workers[i].busy;
		for (size_t k = 0; k < KIND_COUNT; k++)
			all.ended[k] += workers[i].ended[k];
	}
	atomic_store(&site->over, true);
	(void)sem_post(&site->wanted);
	assert_int_equal(pthread_join(reloader, NULL), 0);
	report(&all);
	assert_null(site->trouble);
	assert_true(site->reloads >= PHASES);
	assert_true(all.busy <= all.requests / 100);
	/* A tenth of the requests need not meet the rarest kinds. */
	for (size_t i = 0; i < KIND_COUNT; i++)
		assert_true(SANITIZED || all.ended[i] > 0);
	close_site(site);
	free(workers);
	free(site);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(soak)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
