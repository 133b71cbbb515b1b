/*
 * An instance that was put back is a fresh copy, byte for byte: memory, globals, descriptors,
 * features. A guest does what its request's random number says, ten thousand times by each way of
 * putting back.
 */
#include "plugin_fake.h"

#include <unistd.h>

#include "plugin/image.h"
#include "plugin/plugin.h"
#include "plugin/pool.h"

#define ROUNDS (SANITIZED ? 1000u : 10000u)

#define WASI(name, type) \
	"(import \"wasi_snapshot_preview1\" \"" name "\" (func $" name " " type "))"

#define IMPORTS \
	WASI("path_open", "(param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)") \
	WASI("fd_seek", "(param i32 i64 i32 i32) (result i32)") \
	WASI("fd_read", "(param i32 i32 i32 i32) (result i32)") \
	WASI("fd_readdir", "(param i32 i32 i32 i64 i32) (result i32)") \
	WASI("fd_close", "(param i32) (result i32)") \
	WASI("fd_renumber", "(param i32 i32) (result i32)") \
	WASI("fd_write", "(param i32 i32 i32 i32) (result i32)") \
	WASI("fd_fdstat_set_flags", "(param i32 i32) (result i32)") \
	"(import \"http_handler\" \"get_uri\" (func $get_uri (param i32 i32) (result i32)))" \
	"(import \"http_handler\" \"enable_features\" (func $enable (param i32) (result i32)))" \
	"(import \"http_handler\" \"log\" (func $log (param i32 i32 i32)))"

#define GLOBALS \
	"(global $seed (mut i64) (i64.const 1)) (global $i (mut i32) (i32.const 2))" \
	"(global $f (mut f32) (f32.const 0.5)) (global $d (export \"d\") (mut f64) (f64.const 7))" \
	"(global $v (mut v128) (v128.const i64x2 3 4))"

/* $one_of says yes once in so many times; $at gives an address with 64 KiB of memory behind it. */
#define CHANCE \
	"(func $next (result i64) (global.set $seed (i64.add (i64.mul (global.get $seed)" \
	" (i64.const 6364136223846793005)) (i64.const 1442695040888963407)))" \
	" (i64.shr_u (global.get $seed) (i64.const 24)))" \
	"(func $below (param i32) (result i32)" \
	" (i32.rem_u (i32.wrap_i64 (call $next)) (local.get 0)))" \
	"(func $one_of (param i32) (result i32) (i32.eqz (call $below (local.get 0))))" \
	"(func $at (result i32) (i32.add (i32.const 4096) (call $below (i32.sub (i32.shl" \
	" (memory.size) (i32.const 16)) (i32.const 69632)))))"

#define OPEN \
	"(func $open (drop (call $path_open (i32.const 3) (i32.const 0) (i32.const 1024) " \
	"(i32.const 4)" \
	" (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 1040))))"

#define CHANGE_MEMORY \
	"(func $change_memory (local $n i32) (local.set $n (call $below (i32.const 40)))" \
	" (if (call $one_of (i32.const 16)) (then (drop (memory.grow (call $below (i32.const " \
	"3))))))" \
	" (block (loop (br_if 1 (i32.eqz (local.get $n)))" \
	"  (i64.store (call $at) (call $next))" \
	"  (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br 0)))" \
	" (if (call $one_of (i32.const 4)) (then (memory.fill (call $at) (i32.wrap_i64 (call " \
	"$next))" \
	"  (call $below (i32.const 65536)))))" \
	" (if (call $one_of (i32.const 4)) (then (memory.copy (call $at) (call $at)" \
	"  (call $below (i32.const 65536)))))" \
	" (if (call $one_of (i32.const 8)) (then (memory.init $data (call $at) (i32.const 2)" \
	"  (i32.const 7)))))"

#define CHANGE_GLOBALS \
	"(func $change_globals (global.set $i (i32.wrap_i64 (call $next)))" \
	" (global.set $f (f32.reinterpret_i32 (i32.wrap_i64 (call $next))))" \
	" (global.set $d (f64.reinterpret_i64 (call $next)))" \
	" (global.set $v (i64x2.splat (call $next))))"

#define CHANGE_FILES \
	"(func $change_files" \
	" (if (call $one_of (i32.const 3)) (then (call $open)))" \
	" (if (call $one_of (i32.const 3)) (then (drop (call $fd_read (i32.const 4) (i32.const " \
	"1048)" \
	"  (i32.const 1) (i32.const 1056)))))" \
	" (if (call $one_of (i32.const 4)) (then (drop (call $fd_seek (i32.const 4) (i64.const 5)" \
	"  (i32.const 0) (i32.const 1064)))))" \
	" (if (call $one_of (i32.const 4)) (then (drop (call $fd_readdir (i32.const 3)" \
	"  (i32.const 2048) (i32.const 512) (i64.const 0) (i32.const 1072)))))" \
	" (if (call $one_of (i32.const 8)) (then (drop (call $fd_fdstat_set_flags (i32.const 4)" \
	"  (i32.const 1)))))" \
	" (if (call $one_of (i32.const 8)) (then (drop (call $fd_close (call $below" \
	"  (i32.const 6))))))" \
	" (if (call $one_of (i32.const 8)) (then (drop (call $fd_renumber (call $below" \
	"  (i32.const 6)) (call $below (i32.const 6)))))))"

/* A line without an end is begun, too. */
#define SAY \
	"(func $say (if (call $one_of (i32.const 4)) (then (call $log (i32.const 0)" \
	" (i32.const 1024) (i32.const 4))))" \
	" (if (call $one_of (i32.const 4)) (then (drop (call $fd_write (i32.const 1)" \
	" (i32.const 1048) (i32.const 1) (i32.const 1056))))))"

/* The target is '/', two letters that are the features, and a random number. */
static const char restless[] =
	"(module " IMPORTS "(memory (export \"memory\") 4 12)" GLOBALS
	"(data (i32.const 1024) \"file\") (data (i32.const 1048) "
	"\"\\00\\06\\00\\00\\04\\00\\00\\00\")"
	"(data (i32.const 70000) \"initial\") (data $data \"passive bytes\")" CHANCE OPEN
		CHANGE_MEMORY CHANGE_GLOBALS CHANGE_FILES SAY
	"(func (export \"_initialize\") (call $open) (drop (call $enable (i32.const 1)))"
	" (memory.fill (i32.const 131072) (i32.const 7) (i32.const 20000))"
	" (memory.fill (i32.const 80000) (i32.const 9) (i32.const 100)) (global.set $i (i32.const "
	"77)))"
	"(func (export \"handle_request\") (result i64)"
	" (drop (call $get_uri (i32.const 512) (i32.const 64)))"
	" (global.set $seed (i64.load (i32.const 515)))"
	" (drop (call $next))"
	" (if (i32.eq (i32.load8_u (i32.const 513)) (i32.const 98))"
	"  (then (drop (call $enable (i32.const 2)))))"
	" (call $change_memory) (call $change_globals) (call $change_files) (call $say)"
	" (i64.const 1))"
	"(func (export \"handle_response\") (param i32 i32)"
	" (call $change_memory) (call $change_globals) (call $change_files) (call $say)))";

/** One plugin, an instance that works and one that never does. */
struct world {
	struct bench *b;
	struct weir_pool *quiet;
	struct fake f;
	uint64_t seed;
	char folder[64];
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	char path[96];
	FILE *file;

	assert_non_null(w);
	w->b = bench_new();
	fake_init(&w->f);
	strcpy(w->folder, "/tmp/weir-restored-XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	(void)snprintf(path, sizeof path, "%s/file", w->folder);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs("what the guest reads", file) >= 0 && fclose(file) == 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	char path[96];

	weir_pool_destroy(&w->quiet);
	bench_free(&w->b);
	fake_free(&w->f);
	(void)snprintf(path, sizeof path, "%s/file", w->folder);
	(void)unlink(path);
	(void)rmdir(w->folder);
	free(w);
	return 0;
}

static struct instance *idle_in(struct weir_pool *p)
{
	return list_empty(&p->idle) ? NULL : container_of(p->idle.next, struct instance, link);
}

/* The one that is there, or a new one, as both pools keep one ready. */
static struct instance *idle_one(struct weir_pool *p)
{
	if (idle_in(p) == NULL)
		(void)weir_pool_tick(p, clock_mono_ns());
	assert_non_null(idle_in(p));
	return idle_in(p);
}

static void open_world(struct world *w, enum weir_isolation isolation)
{
	const struct weir_mount mount = {w->folder, "/", true};
	const struct weir_plugin_options o = {.isolation = isolation,
					      .limits = {.instances_min = 1},
					      .mounts = &mount,
					      .mount_count = 1};
	const struct weir_pool_events events = {.wake = fake_wake};

	bench_open(w->b, restless, &o);
	assert_int_equal(weir_plugin_facts(w->b->plugin)->init, WEIR_INIT_SHARED);
	assert_int_equal(weir_plugin_facts(w->b->plugin)->isolation, isolation);
	assert_int_equal(weir_pool_create(&w->quiet, w->b->plugin, &events), 0);
}

static bool same_globals(struct instance *a, struct instance *b)
{
	for (uint32_t n = 0; n < a->plugin->module->global_count; n++) {
		wasmtime_val_t x, y;

		wasmtime_global_get(a->context, &a->globals[n], &x);
		wasmtime_global_get(b->context, &b->globals[n], &y);
		if (!snapshot_same_value(&x, &y))
			return false;
	}
	return true;
}

/* Whether the instances do not differ in anything that their guests can see. */
static bool same(struct instance *a, struct instance *b)
{
	struct guest_memory x, y;

	assert_true(instance_memory(a, NULL, &x) && instance_memory(b, NULL, &y));
	return x.size_bytes == y.size_bytes && memcmp(x.base, y.base, x.size_bytes) == 0 &&
	       same_globals(a, b) && wasi_same(a->wasi, b->wasi);
}

static void serve(struct world *w)
{
	struct weir_exchange *e;
	enum weir_step step;
	bool more;

	w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
	more = (w->seed >> 60 & 1) != 0;
	(void)snprintf(w->f.target, sizeof w->f.target, "/%c:%08x", more ? 'b' : 'a',
		       (unsigned)(w->seed >> 32));
	w->b->line_count = 0;
	step = weir_exchange_begin(&e, w->b->pool, &fake_http, &w->f);
	step = fake_drive(e, step);
	if (step != WEIR_NEXT)
		fail_msg("%s: %s", w->f.target, weir_exchange_error(e)->text);
	/* Those of its own start, and of this request alone. */
	assert_int_equal(weir_exchange_facts(e)->features, more ? 3 : 1);
	step = fake_drive(e, weir_exchange_response(e, 0));
	if (step != WEIR_DONE)
		fail_msg("%s: %s", w->f.target, weir_exchange_error(e)->text);
	weir_exchange_end(&e);
}

static void put_back_by(struct world *w, enum weir_restore method)
{
	struct instance *fresh;
	struct weir_plugin_stats stats;

	w->b->options.restore = method;
	if (weir_host_create(&w->b->host, &w->b->options, &w->b->error) != 0) {
		assert_int_equal(w->b->error.code, -ENOTSUP);
		skip();
	}
	w->seed = 42;
	open_world(w, WEIR_ISOLATION_RESET);
	fresh = idle_one(w->quiet);
	for (unsigned n = 0; n < ROUNDS; n++) {
		serve(w);
		if (!same(idle_one(w->b->pool), fresh))
			fail_msg("after request %u, %s: not as a fresh one", n, w->f.target);
	}
	stats = bench_stats(w->b);
	/* Those that grew are replaced; all others are put back. */
	assert_in_range(stats.restores, ROUNDS / 2, ROUNDS);
	assert_true(stats.restored_bytes > ROUNDS * image_page_bytes() ||
		    method == WEIR_RESTORE_DROP);
	assert_in_range(stats.created, ROUNDS / 100, ROUNDS / 2);
}

static void by_scan(void **state)
{
	put_back_by(*state, WEIR_RESTORE_SCAN);
}

static void by_pagemap(void **state)
{
	put_back_by(*state, WEIR_RESTORE_PAGEMAP);
}

static void by_drop(void **state)
{
	put_back_by(*state, WEIR_RESTORE_DROP);
}

/* Without putting back the comparison finds each of the differences. */
static void it_differs_meanwhile(void **state)
{
	struct world *w = *state;
	struct instance *fresh, *used;
	struct guest_memory x, y;
	unsigned files = 0, sizes = 0;

	w->seed = 42;
	open_world(w, WEIR_ISOLATION_REUSE);
	fresh = idle_one(w->quiet);
	assert_true(same(idle_one(w->b->pool), fresh));
	for (unsigned n = 0; n < 100; n++) {
		serve(w);
		used = idle_one(w->b->pool);
		assert_true(instance_memory(used, NULL, &x) && instance_memory(fresh, NULL, &y));
		assert_true(memcmp(x.base, y.base, y.size_bytes) != 0);
		assert_false(same_globals(used, fresh));
		files += !wasi_same(used->wasi, fresh->wasi);
		sizes += x.size_bytes != y.size_bytes;
	}
	assert_true(files > 50 && sizes > 50);
	assert_int_equal(bench_stats(w->b).created, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(by_scan),
		TEST(by_pagemap),
		TEST(by_drop),
		TEST(it_differs_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
