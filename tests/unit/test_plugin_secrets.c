/*
 * A guest that plants a secret in every place that it has, and looks for those of requests before:
 * in data, stack, zero pages, memory that it has grown, globals of each kind, tables, segments.
 * Under `reset` and `fresh` it never finds any; under `reuse` it finds the last one of its own
 * instance, once, until that ends. Four threads, each with several requests at once; with WEIR_LONG
 * a million requests for each row.
 */
#include "plugin_fake.h"

#include <pthread.h>

#define THREADS 4u
#define IN_FLIGHT 3u
#define REQUESTS_LONG 1000000u
#define REQUESTS_SHORT 8000u
#define TRAP_EVERY 997u
#define CANCEL_EVERY 331u
#define LIFE_REQUESTS 50u

/* "/ZQ" and the request's number: the guest keeps the eight bytes behind the slash. */
#define TARGET_FORMAT "/ZQ%06x"
#define TARGET_BYTES 9u

/* Where the guest keeps them. At 17 it reads the target itself. */
#define PLACES_IN_MEMORY(X) X("17") X("4104") X("65472") X("150000") X("200000") X("262136")
#define LOOK(address) "(call $look (i64.load (i32.const " address ")))"
#define GLOBALS \
	"(global $sp (mut i32) (i32.const 65536))" \
	"(global $g (mut i64) (i64.const 0))" \
	"(global $shown (export \"shown\") (mut i64) (i64.const 0))" \
	"(global $d (mut f64) (f64.const 0))" \
	"(global $v (mut v128) (v128.const i64x2 0 0))" \
	"(global $i (mut i32) (i32.const 0))"

/*
 * $look: what is in one place; all places must agree. $found: what is in the first. $scan counts
 * secrets in all of the memory.
 */
#define SEARCH \
	"(global $found (mut i64) (i64.const 0)) (global $places (mut i32) (i32.const 0))" \
	"(global $mixed (mut i32) (i32.const 0))" \
	"(func $look (param $v i64)" \
	" (if (i64.eq (local.get $v) (i64.const 0x6174616474696e69))" \
	"  (then (local.set $v (i64.const 0))))" \
	" (if (i32.eqz (global.get $places)) (then (global.set $found (local.get $v))))" \
	" (if (i64.ne (global.get $found) (local.get $v))" \
	"  (then (global.set $mixed (i32.const 1))))" \
	" (global.set $places (i32.add (global.get $places) (i32.const 1))))" \
	"(func $scan (result i32) (local $a i32) (local $end i32) (local $n i32)" \
	" (local.set $end (i32.mul (memory.size) (i32.const 65536)))" \
	" (local.set $a (i32.const 1024))" \
	" (loop (if (i32.eq (i32.load16_u (local.get $a)) (i32.const 0x515a))" \
	"  (then (local.set $n (i32.add (local.get $n) (i32.const 1)))))" \
	"  (br_if 0 (i32.lt_u (local.tee $a (i32.add (local.get $a) (i32.const 8)))" \
	"   (local.get $end))))" \
	" (local.get $n))"

/* The globals that the search itself needs are put back by the guest: they are not what is looked
 * for. */
#define LOOK_EVERYWHERE \
	"(func $look_everywhere" \
	" (global.set $found (i64.const 0)) (global.set $places (i32.const 0))" \
	" (global.set $mixed (i32.const 0))" PLACES_IN_MEMORY( \
		LOOK) "(call $look (global.get $g)) (call $look (global.get $shown))" \
		      "(call $look (i64.reinterpret_f64 (global.get $d)))" \
		      "(call $look (i64x2.extract_lane 1 (global.get $v)))" \
		      "(if (i32.gt_u (memory.size) (i32.const 4))" \
		      " (then (call $look (i64.load (i32.const 262400)))))" \
		      "(if (i32.ne (i32.eq (global.get $sp) (i32.const 65536))" \
		      "  (i64.eqz (global.get $found))) (then (global.set $mixed (i32.const 2))))" \
		      "(if (i32.ne (global.get $i) (i32.wrap_i64 (i64.shr_u (global.get $found)" \
		      "  (i64.const 32)))) (then (global.set $mixed (i32.const 3)))))"

/* $s is the secret. */
#define PUT(address) "(i64.store (i32.const " address ") (local.get $s))"
#define PLANT \
	"(func $plant (param $s i64)" PLACES_IN_MEMORY( \
		PUT) "(global.set $g (local.get $s)) (global.set $shown (local.get $s))" \
		     "(global.set $d (f64.reinterpret_i64 (local.get $s)))" \
		     "(global.set $v (i64x2.splat (local.get $s)))" \
		     "(global.set $i (i32.wrap_i64 (i64.shr_u (local.get $s) (i64.const 32))))" \
		     "(global.set $sp (i32.sub (global.get $sp) (i32.const 16)))" \
		     "(if (i32.eqz (i32.and (i32.load8_u (i32.const 23)) (i32.const 3)))" \
		     " (then (call $scatter (local.get $s))))" \
		     "(if (i32.gt_u (memory.size) (i32.const 4))" \
		     " (then (i64.store (i32.const 262400) (local.get $s)))))"

/* Sixteen requests of 64 change other pages than the one before; one of them grows. */
#define SCATTER \
	"(func $scatter (param $s i64) (local $h i64) (local $n i32)" \
	" (local.set $h (i64.mul (local.get $s) (i64.const 6364136223846793005)))" \
	" (loop (i64.store (i32.add (i32.const 8192) (i32.mul (i32.const 8)" \
	"  (i32.rem_u (i32.wrap_i64 (i64.shr_u (local.get $h) (i64.const 33)))" \
	"   (i32.const 30000)))) (local.get $s))" \
	"  (local.set $h (i64.mul (local.get $h) (i64.const 6364136223846793005)))" \
	"  (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1)))" \
	"   (i32.const 6))))" \
	" (if (i32.and (i32.eq (i32.load8_u (i32.const 24)) (i32.const 55))" \
	"  (i32.lt_u (memory.size) (i32.const 5)))" \
	"  (then (drop (memory.grow (i32.const 1))))))"

/* "/none", "/" and what was found, or "/mixed" and how. */
#define REPORT \
	"(func $report" \
	" (if (global.get $mixed) (then" \
	"  (i32.store8 (i32.const 70) (i32.add (i32.const 48) (global.get $mixed)))" \
	"  (call $set_uri (i32.const 64) (i32.const 7)) (return)))" \
	" (if (i64.eqz (global.get $found))" \
	"  (then (call $set_uri (i32.const 80) (i32.const 5)) (return)))" \
	" (i64.store (i32.const 97) (global.get $found))" \
	" (call $set_uri (i32.const 96) (i32.const 9)))"

/* The first letter of the method says what to do: T traps, W waits. Every sixteenth one scans. */
#define SECRET_GUEST(extra, look_extra, plant_extra) \
	"(module" \
	"(import \"http_handler\" \"get_method\" (func $get_method (param i32 i32) (result i32)))" \
	"(import \"http_handler\" \"get_uri\" (func $get_uri (param i32 i32) (result i32)))" \
	"(import \"http_handler\" \"set_uri\" (func $set_uri (param i32 i32)))" \
	"(import \"http_handler\" \"read_body\" (func $read (param i32 i32 i32) (result i64)))" \
	"(memory (export \"memory\") 4)" \
	"(data (i32.const 64) \"/mixed0\") (data (i32.const 80) \"/none\")" \
	"(data (i32.const 96) \"/\") (data (i32.const 4096) \"initial data\")" GLOBALS SEARCH \
		LOOK_EVERYWHERE SCATTER PLANT REPORT extra \
	"(func (export \"_initialize\") (i64.store (i32.const 4104) (i64.const " \
	"0x6174616474696e69)))" \
	"(func (export \"handle_request\") (result i64)" \
	" (call $look_everywhere) " look_extra \
	" (drop (call $get_uri (i32.const 16) (i32.const 32)))" \
	" (drop (call $get_method (i32.const 48) (i32.const 8)))" \
	" (if (i32.eq (i32.load8_u (i32.const 24)) (i32.const 48)) (then" \
	"  (if (i32.ne (i32.eqz (call $scan)) (i64.eqz (global.get $found)))" \
	"   (then (global.set $mixed (i32.const 4))))))" \
	" (call $report)" \
	" (call $plant (i64.load (i32.const 17))) " plant_extra \
	" (if (i32.eq (i32.load8_u (i32.const 48)) (i32.const 84)) (then unreachable))" \
	" (if (i32.eq (i32.load8_u (i32.const 48)) (i32.const 87))" \
	"  (then (drop (call $read (i32.const 0) (i32.const 600) (i32.const 10)))))" \
	" (i64.const 1))" \
	"(func (export \"handle_response\") (param i32 i32)" \
	" (i64.store (i32.const 200000) (global.get $g))))"

static const char plain_guest[] = SECRET_GUEST("", "", "");

/* A bit in a table entry, an entry more, a segment that is gone: the host cannot put them back. */
static const char table_guest[] = SECRET_GUEST(
	"(table $t 2 funcref) (elem declare func $scan) (data $passive \"passive\")",
	"(if (i64.eqz (global.get $found)) (then"
	" (if (i32.eqz (ref.is_null (table.get $t (i32.const 0))))"
	"  (then (global.set $mixed (i32.const 5))))"
	" (if (i32.ne (table.size $t) (i32.const 2)) (then (global.set $mixed (i32.const 6))))"
	" (memory.init $passive (i32.const 900) (i32.const 0) (i32.const 7)))"
	" (else (if (ref.is_null (table.get $t (i32.const 0)))"
	"  (then (global.set $mixed (i32.const 7))))))",
	"(table.set $t (i32.const 0) (ref.func $scan))"
	"(drop (table.grow $t (ref.func $scan) (i32.const 1))) (data.drop $passive)");

/** One kind of plugin, and what its requests may find. */
struct row {
	const char *name;
	const char *wat;
	enum weir_isolation isolation, in_force;
	enum weir_init init_in_force;
	enum weir_restore restore;
};

/** One thread's. */
struct agent {
	struct weir_plugin *plugin;
	bool reuse;
	uint32_t first, count; /* its requests' numbers */
	uint8_t *planted;      /* by number: it lies in an instance of this thread's */
	unsigned long none, again, trapped, cancelled, wrong;
	char text[256]; /* what went wrong first */
};

static void accuse(struct agent *a, const char *what, const char *found, uint32_t number)
{
	if (a->wrong++ == 0)
		(void)snprintf(a->text, sizeof a->text, "request %u: %.180s, found \"%.20s\"",
			       number, what, found);
}

/* What a request reports that it has found. */
static void judge(struct agent *a, const struct fake *f, uint32_t number)
{
	unsigned found;

	if (strcmp(f->target, "/none") == 0) {
		a->none++;
		return;
	}
	if (strlen(f->target) != TARGET_BYTES || sscanf(f->target, TARGET_FORMAT, &found) != 1 ||
	    !a->reuse) {
		accuse(a, "a secret, or part of one", f->target, number);
		return;
	}
	if (found < a->first || found - a->first >= a->count || !a->planted[found - a->first])
		accuse(a, "a secret that had gone, or another thread's", f->target, number);
	else
		a->planted[found - a->first] = 0;
	a->again++;
}

static const char *method_of(uint32_t number)
{
	if (number % TRAP_EVERY == 1)
		return "TRAP";
	return number % CANCEL_EVERY == 2 ? "WAIT" : "GET";
}

/* NULL where the exchange is over already. */
static struct weir_exchange *begin(struct agent *a, struct weir_pool *pool, struct fake *f,
				   uint32_t number)
{
	struct weir_exchange *e;
	enum weir_step step;

	strcpy(f->method, method_of(number));
	(void)snprintf(f->target, sizeof f->target, TARGET_FORMAT, number);
	step = weir_exchange_begin(&e, pool, &fake_http, f);
	step = fake_drive(e, step);
	if (step == WEIR_NEXT && f->method[0] == 'G') {
		judge(a, f, number);
		a->planted[number - a->first] = 1;
		return e;
	}
	if (step == WEIR_WAIT_BODY && f->method[0] == 'W')
		a->cancelled++;
	else if (step == WEIR_FAILED && f->method[0] == 'T')
		a->trapped++;
	else
		accuse(a, weir_exchange_error(e)->text, f->target, number);
	judge(a, f, number);
	weir_exchange_end(&e);
	return NULL;
}

static void finish(struct agent *a, struct weir_exchange **e)
{
	if (*e == NULL)
		return;
	if (fake_drive(*e, weir_exchange_response(*e, 0)) != WEIR_DONE)
		accuse(a, weir_exchange_error(*e)->text, "", 0);
	weir_exchange_end(e);
}

static void *search(void *arg)
{
	const struct weir_pool_events events = {.wake = fake_wake};
	struct weir_exchange *e[IN_FLIGHT] = {0};
	struct fake *f = calloc(IN_FLIGHT, sizeof *f);
	struct agent *a = arg;
	struct weir_pool *pool;
	uint64_t seed = a->first;

	if (f == NULL || weir_pool_create(&pool, a->plugin, &events) != 0) {
		free(f);
		accuse(a, "not enough memory", "", 0);
		return NULL;
	}
	for (size_t i = 0; i < IN_FLIGHT; i++) {
		fake_init(&f[i]);
		f[i].all_arrived = false;
	}
	for (uint32_t n = 0; n < a->count; n++) {
		size_t i;

		/* In no order, so that instances change places. */
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		i = (size_t)(seed >> 40) % IN_FLIGHT;
		finish(a, &e[i]);
		e[i] = begin(a, pool, &f[i], a->first + n);
	}
	for (size_t i = 0; i < IN_FLIGHT; i++) {
		finish(a, &e[i]);
		fake_free(&f[i]);
	}
	weir_pool_destroy(&pool);
	free(f);
	return NULL;
}

static uint32_t request_count(void)
{
	return getenv("WEIR_LONG") != NULL ? REQUESTS_LONG : REQUESTS_SHORT;
}

/* Runs all threads, and adds up what they say. */
static struct agent search_all(struct bench *b, bool reuse)
{
	struct agent a[THREADS], all = {0};
	pthread_t t[THREADS];

	for (uint32_t i = 0; i < THREADS; i++) {
		uint32_t count = request_count() / THREADS;

		a[i] = (struct agent){.plugin = b->plugin, .reuse = reuse, .count = count};
		a[i].first = i * count;
		a[i].planted = calloc(count, 1);
		assert_non_null(a[i].planted);
		assert_int_equal(pthread_create(&t[i], NULL, search, &a[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		free(a[i].planted);
		if (a[i].wrong > 0)
			fail_msg("%lu wrong, first %s", a[i].wrong, a[i].text);
		all.none += a[i].none;
		all.again += a[i].again;
		all.trapped += a[i].trapped;
		all.cancelled += a[i].cancelled;
	}
	return all;
}

/* A life begins when an instance is made or put back: so often nothing was found, unless nobody
 * came. */
static void check_lives(const struct agent *all, const struct weir_plugin_stats *s)
{
	uint64_t lives = s->created + s->restores;

	assert_in_range(all->none, lives - THREADS * IN_FLIGHT, lives);
	assert_true(all->again > all->none * (LIFE_REQUESTS / 4));
}

static void check_row(const struct row *row)
{
	struct weir_plugin_options o = {.isolation = row->isolation};
	bool reuse = row->isolation == WEIR_ISOLATION_REUSE;
	struct bench *b = bench_new();
	struct weir_plugin_stats s;
	struct agent all;

	b->options.restore = row->restore;
	b->options.log = NULL;
	o.limits.requests = reuse ? LIFE_REQUESTS : UINT32_MAX;
	if (weir_host_create(&b->host, &b->options, &b->error) != 0) {
		assert_int_equal(b->error.code, -ENOTSUP);
		print_message("%s: this system cannot \"%s\"\n", row->name,
			      weir_restore_text(row->restore));
		bench_free(&b);
		return;
	}
	restore_handlers();
	if (bench_load(b, row->wat, &o) != 0)
		fail_msg("%s", b->error.text);
	assert_int_equal(weir_plugin_facts(b->plugin)->isolation, row->in_force);
	assert_int_equal(weir_plugin_facts(b->plugin)->init, row->init_in_force);
	all = search_all(b, reuse);
	s = bench_stats(b);
	print_message("%s, %s: %lu requests, %lu found nothing, %lu their instance's last; %lu "
		      "trapped, %lu cancelled, %lu instances, %lu put back\n",
		      row->name, weir_restore_text(weir_host_restore(b->host)), s.exchanges,
		      all.none, all.again, all.trapped, all.cancelled, s.created, s.restores);
	assert_int_equal(s.exchanges, request_count());
	assert_int_equal(all.none + all.again, s.exchanges);
	assert_int_equal(s.failures[WEIR_CAUSE_TRAP], all.trapped);
	assert_true(all.trapped > 0 && all.cancelled > 0);
	assert_int_equal(s.live + s.in_use + s.waiting, 0);
	if (reuse)
		check_lives(&all, &s);
	else
		assert_int_equal(all.again, 0);
	bench_free(&b);
}

static const struct row rows[] = {
#define ROWS(restore) \
	{"reset",          plain_guest, WEIR_ISOLATION_RESET, WEIR_ISOLATION_RESET, \
	 WEIR_INIT_SHARED, restore}, \
		{"fresh",          plain_guest, WEIR_ISOLATION_FRESH, WEIR_ISOLATION_FRESH, \
		 WEIR_INIT_SHARED, restore}, \
	{ \
		"reuse", plain_guest, WEIR_ISOLATION_REUSE, WEIR_ISOLATION_REUSE, \
			WEIR_INIT_SHARED, restore \
	}
	ROWS(WEIR_RESTORE_SCAN),
	ROWS(WEIR_RESTORE_PAGEMAP),
	ROWS(WEIR_RESTORE_DROP),
	{"tables reset", table_guest, WEIR_ISOLATION_RESET, WEIR_ISOLATION_FRESH, WEIR_INIT_OWN,
	 WEIR_RESTORE_AUTO},
	{"tables fresh", table_guest, WEIR_ISOLATION_FRESH, WEIR_ISOLATION_FRESH, WEIR_INIT_OWN,
	 WEIR_RESTORE_AUTO},
	{"tables reuse", table_guest, WEIR_ISOLATION_REUSE, WEIR_ISOLATION_REUSE, WEIR_INIT_OWN,
	 WEIR_RESTORE_AUTO},
};

static void secrets(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(secrets)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
