/*
 * Instances that begin as copies of the first one, and are put back to it.
 */
#include "plugin_fake.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/mapping.h"
#include "plugin/plugin.h"
#include "plugin/pool.h"

static int setup(void **state)
{
	*state = bench_new();
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	bench_free(&b);
	return 0;
}

static const enum weir_restore methods[] = {WEIR_RESTORE_SCAN, WEIR_RESTORE_PAGEMAP,
					    WEIR_RESTORE_DROP};

/* Whether this system has the method. */
static bool use_method(struct bench *b, enum weir_restore method)
{
	weir_host_destroy(&b->host);
	b->options.restore = method;
	b->options.self_check = true;
	if (weir_host_create(&b->host, &b->options, &b->error) != 0) {
		assert_int_equal(b->error.code, -ENOTSUP);
		return false;
	}
	assert_int_equal(weir_host_restore(b->host), method);
	restore_handlers();
	return true;
}

static struct instance *idle_instance(struct bench *b)
{
	assert_false(list_empty(&b->pool->idle));
	return container_of(b->pool->idle.next, struct instance, link);
}

/* One exchange from beginning to end. Returns how much memory it has changed, if that is measured.
 */
static uint64_t serve(struct bench *b, struct fake *f)
{
	struct weir_exchange *e;
	uint64_t changed;
	enum weir_step step = weir_exchange_begin(&e, b->pool, &fake_http, f);

	step = fake_drive(e, step);
	if (step == WEIR_NEXT)
		step = fake_drive(e, weir_exchange_response(e, 0));
	if (step == WEIR_FAILED)
		fail_msg("%s", weir_exchange_error(e)->text);
	changed = weir_exchange_facts(e)->changed_bytes;
	weir_exchange_end(&e);
	return changed;
}

/*
 * Initialised in the start section, `_start` and `_initialize`; a request reports what it finds in
 * memory and globals, then changes everything: memory in several pages, in the hole, globals of
 * each kind.
 */
static const char planter[] = FAKE_GUEST(
	"once",
	"(global $i (mut i32) (i32.const 1)) (global $l (mut i64) (i64.const 2))"
	"(global $f (mut f32) (f32.const 3)) (global $d (mut f64) (f64.const 4))"
	"(global $v (mut v128) (v128.const i64x2 5 6))"
	"(start $section)"
	"(func $section (global.set $i (i32.add (global.get $i) (i32.const 10))))"
	"(func (export \"_start\") (call $say (i32.const 1024) (i32.const 4))"
	" (global.set $l (i64.add (global.get $l) (i64.extend_i32_s (global.get $i))))"
	" (drop (memory.grow (i32.const 3))) (i32.store (i32.const 200000) (i32.const 77)))"
	"(func (export \"_initialize\") (i32.store (i32.const 70000) (i32.const 55))"
	" (global.set $d (f64.const 0.25)))"
	"(func $more (param $a i32) (i32.store (local.get $a) (i32.add (i32.load (local.get $a)) "
	"(i32.const 1))))",
	"(call $r32 (global.get $i)) (call $r64 (global.get $l))"
	"(call $r32 (i32.reinterpret_f32 (global.get $f)))"
	"(call $r64 (i64.reinterpret_f64 (global.get $d)))"
	"(call $r64 (i64x2.extract_lane 1 (global.get $v)))"
	"(call $r32 (i32.load (i32.const 70000))) (call $r32 (i32.load (i32.const 130000)))"
	"(call $r32 (i32.load (i32.const 200000)))"
	"(global.set $i (i32.add (global.get $i) (i32.const 1)))"
	"(global.set $l (i64.const -1)) (global.set $f (f32.const -1)) (global.set $d (f64.const "
	"-1)) (global.set $v (v128.const i64x2 -1 -1))"
	"(call $more (i32.const 70000)) (call $more (i32.const 130000)) (call $more (i32.const "
	"200000)) (call $more (i32.const 262140))" FAKE_NEXT,
	"(call $more (i32.const 300)) (call $more (i32.const 140000))");

#define PLANTER_LINES 8

static double as_double(double d)
{
	return d;
}

/* What a request finds in an instance that nobody has used. */
static void expect_untouched(struct bench *b, size_t first)
{
	const float three = 3;
	const double quarter = as_double(0.25);
	const int64_t six = 6, thirteen = 13;

	expect_i32(b, first, 11);
	expect_line(b, first + 1, (const char *)&thirteen, 8);
	expect_line(b, first + 2, (const char *)&three, 4);
	expect_line(b, first + 3, (const char *)&quarter, 8);
	expect_line(b, first + 4, (const char *)&six, 8);
	expect_i32(b, first + 5, 55);
	expect_i32(b, first + 6, 0);
	expect_i32(b, first + 7, 77);
}

static void state_ends_with_the_request(void **state)
{
	static const enum weir_isolation isolations[] = {WEIR_ISOLATION_RESET,
							 WEIR_ISOLATION_FRESH};
	struct bench *b = *state;
	struct fake f;

	fake_init(&f);
	for (size_t n = 0; n < ARRAY_LEN(methods) * ARRAY_LEN(isolations); n++) {
		struct weir_plugin_options o = {.isolation = isolations[n % 2]};

		if (!use_method(b, methods[n / 2]))
			continue;
		bench_open(b, planter, &o);
		assert_int_equal(b->line_count, 1);
		expect_text(b, 0, "once");
		for (size_t i = 0; i < 20; i++) {
			serve(b, &f);
			expect_untouched(b, 1 + i * PLANTER_LINES);
		}
		assert_int_equal(b->line_count, 1 + 20 * PLANTER_LINES);
		assert_int_equal(bench_stats(b).restores, n % 2 == 0 ? 20 : 0);
		assert_int_equal(bench_stats(b).created, n % 2 == 0 ? 1 : 20);
		bench_close_plugin(b);
	}
	fake_free(&f);
}

static void state_stays_in_its_instance(void **state)
{
	struct bench *b = *state;
	struct fake f;

	fake_init(&f);
	bench_open(b, planter, NULL);
	serve(b, &f);
	expect_untouched(b, 1);
	serve(b, &f);
	expect_i32(b, 1 + PLANTER_LINES, 12);
	expect_i32(b, 6 + PLANTER_LINES, 56);
	assert_int_equal(bench_stats(b).restores, 0);
	fake_free(&f);
}

/* Clones never run what initialises them, and see nothing of each other. */
static void clones_are_apart(void **state)
{
	struct bench *b = *state;
	struct weir_exchange *e[10];
	struct fake f;

	fake_init(&f);
	bench_open(b, planter, NULL);
	for (size_t i = 0; i < ARRAY_LEN(e); i++) {
		enum weir_step step = weir_exchange_begin(&e[i], b->pool, &fake_http, &f);

		assert_int_equal(fake_drive(e[i], step), WEIR_NEXT);
		expect_untouched(b, 1 + i * PLANTER_LINES);
	}
	assert_int_equal(bench_stats(b).live, ARRAY_LEN(e));
	for (size_t i = 0; i < ARRAY_LEN(e); i++) {
		assert_int_equal(fake_drive(e[i], weir_exchange_response(e[i], 0)), WEIR_DONE);
		weir_exchange_end(&e[i]);
	}
	assert_int_equal(b->line_count, 1 + ARRAY_LEN(e) * PLANTER_LINES);
	fake_free(&f);
}

/* By the snapshot's own eyes, also where nothing is wrong only because nothing was looked at. */
static void difference_is_seen(void **state)
{
	struct bench *b = *state;
	struct guest_memory memory;
	wasmtime_val_t value;
	struct instance *i;
	struct fake f;

	fake_init(&f);
	bench_open(b, planter, NULL);
	i = idle_instance(b);
	assert_true(snapshot_verify(b->plugin->snapshot, i));
	serve(b, &f);
	assert_false(snapshot_verify(b->plugin->snapshot, i));
	assert_true(snapshot_restore(b->plugin->snapshot, i, false));
	assert_true(snapshot_verify(b->plugin->snapshot, i));
	assert_true(instance_memory(i, NULL, &memory));
	memory.base[memory.size_bytes - 1]++;
	assert_false(snapshot_verify(b->plugin->snapshot, i));
	memory.base[memory.size_bytes - 1]--;
	assert_true(snapshot_verify(b->plugin->snapshot, i));
	for (uint32_t n = 0; n < b->plugin->module->global_count; n++) {
		wasmtime_global_get(i->context, &i->globals[n], &value);
		value.of.i32++;
		assert_null(wasmtime_global_set(i->context, &i->globals[n], &value));
		assert_false(snapshot_verify(b->plugin->snapshot, i));
		assert_true(snapshot_restore(b->plugin->snapshot, i, false));
	}
	assert_true(snapshot_verify(b->plugin->snapshot, i));
	fake_free(&f);
}

static void worn_instances(void **state)
{
	struct weir_plugin_options rows[] = {
		{.limits = {.requests = 3}},
		{.limits = {.requests = 3}, .init = WEIR_INIT_OWN},
		{.limits = {.age_ms = 1}},
	};
	struct bench *b = *state;
	struct fake f;

	fake_init(&f);
	for (size_t i = 0; i < 2; i++) {
		bench_open(b, planter, &rows[i]);
		for (size_t n = 0; n < 6; n++)
			serve(b, &f);
		assert_int_equal(bench_stats(b).restores, i == 0 ? 2 : 0);
		assert_int_equal(bench_stats(b).created, i == 0 ? 1 : 2);
		assert_int_equal(bench_stats(b).live, i == 0 ? 1 : 0);
		bench_close_plugin(b);
	}
	bench_open(b, planter, &rows[2]);
	while (bench_stats(b).restores < 3) {
		b->line_count = 0;
		serve(b, &f);
	}
	fake_free(&f);
}

/* Memory that has grown cannot shrink: such an instance is replaced. */
static void grown_instances(void **state)
{
	static const char grower[] = FAKE_GUEST(
		"", "", "(drop (memory.grow (i32.const 1))) (call $r32 (memory.size))" FAKE_STOP,
		"");
	struct weir_plugin_options o = {.isolation = WEIR_ISOLATION_RESET};
	struct bench *b = *state;
	struct fake f;

	fake_init(&f);
	bench_open(b, grower, &o);
	for (size_t n = 0; n < 5; n++) {
		serve(b, &f);
		expect_i32(b, n, 2);
	}
	assert_int_equal(bench_stats(b).created, 5);
	assert_int_equal(bench_stats(b).restores, 0);
	fake_free(&f);
}

#define TABLES(request) \
	"(module " FAKE_IMPORTS \
	"(memory (export \"memory\") 1) (table $t 2 funcref) (elem declare func $say)" FAKE_TOOLS \
	"(func (export \"_initialize\") (call $r32 (i32.const 1)))" \
	"(func (export \"handle_request\") (result i64) " request FAKE_STOP ")" \
	"(func (export \"handle_response\") (param i32 i32)))"

static void mutated_tables(void **state)
{
	struct weir_plugin_options o = {.isolation = WEIR_ISOLATION_RESET};
	const struct weir_plugin_facts *facts;
	struct bench *b = *state;
	struct fake f;

	fake_init(&f);
	bench_open(b,
		   TABLES("(call $r32 (ref.is_null (table.get $t (i32.const 0)))) (table.set $t "
			  "(i32.const 0) (ref.func $say))"),
		   &o);
	facts = weir_plugin_facts(b->plugin);
	assert_int_equal(facts->init, WEIR_INIT_OWN);
	assert_int_equal(facts->isolation, WEIR_ISOLATION_FRESH);
	assert_string_equal(facts->init_reason, "changes tables while it runs");
	assert_int_equal(facts->image_bytes, 0);
	expect_i32(b, 0, 1);
	expect_text(b, 1,
		    "each instance initialises itself: the plugin changes tables while it runs; "
		    "instead of being reset it is made anew for each request");
	for (size_t n = 0; n < 4; n++) {
		b->line_count = 0;
		serve(b, &f);
		/* The first one has been initialised already. */
		expect_i32(b, n == 0 ? 0 : 1, 1);
	}
	bench_close_plugin(b);
	bench_open(b, TABLES("(drop (table.get $t (i32.const 0)))"), &o);
	assert_int_equal(weir_plugin_facts(b->plugin)->init, WEIR_INIT_SHARED);
	assert_int_equal(weir_plugin_facts(b->plugin)->isolation, WEIR_ISOLATION_RESET);
	assert_null(weir_plugin_facts(b->plugin)->init_reason);
	fake_free(&f);
}

/* What such globals hold cannot be put back: each instance begins by itself, and each request with
 * one. */
static void mutable_references(void **state)
{
	struct weir_plugin_options o = {.isolation = WEIR_ISOLATION_RESET};
	struct bench *b = *state;
	struct fake f;

	fake_init(&f);
	bench_open(
		b,
		FAKE_GUEST(
			"",
			"(global $f (export \"f\") (mut funcref) (ref.func $say)) (table $t 2 "
			"funcref) (elem (table $t) (i32.const 0) funcref (ref.func $say) (ref.null "
			"func)) (global funcref (ref.func $say))",
			"(call $r32 (ref.is_null (global.get $f))) (global.set $f (ref.null func)) "
			"(call $r32 (ref.is_null (table.get $t (i32.const 0))))" FAKE_STOP,
			""),
		&o);
	assert_int_equal(weir_plugin_facts(b->plugin)->init, WEIR_INIT_OWN);
	assert_int_equal(weir_plugin_facts(b->plugin)->isolation, WEIR_ISOLATION_FRESH);
	assert_string_equal(weir_plugin_facts(b->plugin)->init_reason,
			    "has mutable globals that hold references");
	for (size_t n = 0; n < 4; n++) {
		b->line_count = 0;
		serve(b, &f);
		expect_i32(b, 0, 0);
		expect_i32(b, 1, 0);
	}
	fake_free(&f);
}

/* Types of references that the engine's C API has no name for. */
static void typed_references(void **state)
{
	static const char *const extras[] = {
		"(func (export \"f\") (param (ref func)))",
		"(type $t (func)) (func $g) (elem declare func $g) (func (export \"f\") (result "
		"(ref $t)) "
		"(ref.func $g))",
		"(type $t (func)) (func $g) (global (export \"f\") (ref $t) (ref.func $g))",
		"(type $t (func)) (func $g) (global (export \"f\") (mut (ref null $t)) (ref.func "
		"$g))",
		"(type $t (func)) (table (export \"f\") 1 (ref null $t))",
		"(type $t (func)) (func $g) (table (export \"f\") 1 (ref $t) (ref.func $g))",
		"(type $t (func)) (type $u (func (param (ref $t)))) (func (export \"f\") (param "
		"(ref $u)))",
		"(func (export \"f\") (param v128) (result v128 v128) (local.get 0) (local.get 0))",
		"(type $t (func)) (func (export \"f\") (param (ref null $t)) (call_ref $t "
		"(local.get 0)))",
	};
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(extras); i++) {
		char wat[8192];
		bool mutable;

		(void)snprintf(wat, sizeof wat,
			       "(module %s (memory (export \"memory\") 1) (func (export "
			       "\"handle_request\") (result i64) (i64.const 0)) (func (export "
			       "\"handle_response\") (param i32 i32)))",
			       extras[i]);
		if (bench_load(b, wat, NULL) != 0)
			fail_msg("%s: %s", extras[i], b->error.text);
		mutable = strstr(extras[i], "(mut") != NULL;
		assert_int_equal(weir_plugin_facts(b->plugin)->init,
				 mutable ? WEIR_INIT_OWN : WEIR_INIT_SHARED);
		weir_plugin_unref(&b->plugin);
	}
}

/* Wanted of the engine: nothing but references of functions. */
static void foreign_references(void **state)
{
	static const char *const extras[] = {
		"(global (mut externref) (ref.null extern))",
		"(table 1 externref)",
		"(func (param externref))",
		"(func (drop (ref.null extern)))",
		"(func (export \"f\") (result nullfuncref) (ref.null nofunc))",
		"(global (export \"x\") externref (ref.null extern))",
	};
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(extras); i++) {
		char wat[8192];

		(void)snprintf(wat, sizeof wat,
			       "(module (memory (export \"memory\") 1) %s (func (export "
			       "\"handle_request\") (result i64) (i64.const 0)) (func (export "
			       "\"handle_response\") (param i32 i32)))",
			       extras[i]);
		assert_int_equal(bench_load(b, wat, NULL), -EINVAL);
		assert_non_null(strstr(b->error.text, "does not compile: "));
		assert_non_null(strstr(b->error.text, "gc types are disallowed"));
	}
}

#define RANDOM \
	"(import \"wasi_snapshot_preview1\" \"random_get\" (func $random (param i32 i32) (result " \
	"i32)))"

static void entropy(void **state)
{
	static const char drawer[] =
		"(module " RANDOM FAKE_IMPORTS "(memory (export \"memory\") 1)" FAKE_TOOLS
		"(func (export \"_initialize\") (drop (call $random (i32.const 64) (i32.const 8))))"
		"(func (export \"handle_request\") (result i64) (call $r64 (i64.load (i32.const "
		"64))) (drop (call $random (i32.const 72) (i32.const 8))) (call $r64 (i64.load "
		"(i32.const 72)))" FAKE_STOP ")"
		"(func (export \"handle_response\") (param i32 i32)))";
	struct weir_plugin_options o = {.isolation = WEIR_ISOLATION_RESET};
	struct bench *b = *state;
	struct fake f;

	fake_init(&f);
	bench_open(b, drawer, &o);
	assert_true(weir_plugin_facts(b->plugin)->init_drew_entropy);
	assert_int_equal(b->line_count, 1);
	assert_int_equal(b->lines[0].source, WEIR_LOG_HOST);
	serve(b, &f);
	serve(b, &f);
	assert_memory_equal(b->lines[1].text, b->lines[3].text, 8);
	assert_memory_not_equal(b->lines[2].text, b->lines[4].text, 8);
	fake_free(&f);
}

#define FILES \
	"(import \"wasi_snapshot_preview1\" \"path_open\" (func $open (param i32 i32 i32 i32 i32 " \
	"i64 i64 i32 i32) (result i32)))" \
	"(import \"wasi_snapshot_preview1\" \"fd_read\" (func $fd_read (param i32 i32 i32 i32) " \
	"(result i32)))"

/* Opens a file while it initialises; each request reads two bytes more. */
static const char opener[] =
	"(module " FILES FAKE_IMPORTS "(memory (export \"memory\") 1)"
	"(data (i32.const 1024) \"file\") (data (i32.const 64) \"\\80\\00\\00\\00\\02\")" FAKE_TOOLS
	"(func $next (drop (call $fd_read (i32.load (i32.const 80)) (i32.const 64) (i32.const 1) "
	"(i32.const 72))) (call $say (i32.const 128) (i32.const 2)))"
	"(func (export \"_start\") (if (call $open (i32.const 3) (i32.const 0) (i32.const 1024) "
	"(i32.const 4) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 80)) "
	"(then unreachable)) (call $next))"
	"(func (export \"handle_request\") (result i64) (call $next)" FAKE_NEXT ")"
	"(func (export \"handle_response\") (param i32 i32) (drop (i32.const 0)) (call $next)))";

static void open_files(void **state)
{
	char folder[] = "/tmp/weir-clone-XXXXXX", path[64];
	struct weir_mount mount = {.host_path = folder, .guest_path = "/", .read_only = true};
	struct weir_plugin_options o = {
		.isolation = WEIR_ISOLATION_RESET, .mounts = &mount, .mount_count = 1};
	struct bench *b = *state;
	FILE *file;
	struct fake f;

	fake_init(&f);
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof path, "%s/file", folder);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs("aabbccddee", file) >= 0 && fclose(file) == 0);
	bench_open(b, opener, &o);
	assert_int_equal(weir_plugin_facts(b->plugin)->init_open_files, 1);
	expect_text(b, 0, "aa");
	for (size_t n = 0; n < 3; n++) {
		serve(b, &f);
		expect_text(b, 2 + 2 * n, "bb");
		expect_text(b, 3 + 2 * n, "cc");
	}
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
	fake_free(&f);
}

/* Each of its instances has its mount opened for itself. */
static void few_descriptors(void **state)
{
	static const struct weir_mount mount = {
		.host_path = "/", .guest_path = "/", .read_only = true};
	struct weir_plugin_options o = {.init = WEIR_INIT_OWN, .mounts = &mount, .mount_count = 1};
	struct bench *b = *state;
	struct weir_host_stats stats;
	struct weir_exchange *e[3];
	struct fake f;

	fake_init(&f);
	b->options.open_files = 2;
	bench_open(b, FAKE_GUEST("", "", FAKE_NEXT, "(drop (i32.const 1))"), &o);
	for (size_t n = 0; n < 3; n++) {
		enum weir_step step = weir_exchange_begin(&e[n], b->pool, &fake_http, &f);

		assert_int_equal(fake_drive(e[n], step), n < 2 ? WEIR_NEXT : WEIR_FAILED);
	}
	assert_int_equal(weir_exchange_cause(e[2]), WEIR_CAUSE_START);
	assert_string_equal(
		weir_exchange_error(e[2])->text,
		"mounts: /: no descriptor is left for it: all plugins together may hold "
		"2 (openFiles)");
	weir_host_stats(b->host, &stats);
	assert_int_equal(stats.open_files_max, 2);
	assert_int_equal(stats.open_files, 2);
	assert_int_equal(stats.open_file_refusals, 1);
	assert_int_equal(bench_stats(b).open_files, 2);
	assert_int_equal(bench_stats(b).open_file_refusals, 1);
	for (size_t n = 0; n < 3; n++)
		weir_exchange_end(&e[n]);
	fake_free(&f);
}

/* Failures leave nothing behind. */
static void failed_instances(void **state)
{
	static const char moody[] = FAKE_GUEST(
		"", "(global $n (mut i32) (i32.const 0))",
		"(global.set $n (i32.add (global.get $n) (i32.const 1))) (call $r32 (global.get "
		"$n))"
		"(if (i32.eqz (call $get_method (i32.const 512) (i32.const 8))) (then unreachable))"
		"(if (i32.eq (i32.load8_u (i32.const 512)) (i32.const 84)) (then "
		"unreachable))" FAKE_NEXT,
		"(drop (i32.const 1))");
	struct weir_plugin_options o = {.isolation = WEIR_ISOLATION_RESET};
	struct bench *b = *state;
	struct fake f;

	fake_init(&f);
	bench_open(b, moody, &o);
	for (size_t n = 0; n < 10; n++) {
		struct weir_exchange *e;
		enum weir_step step;

		strcpy(f.method, n % 3 == 0 ? "TRAP" : "GET");
		step = weir_exchange_begin(&e, b->pool, &fake_http, &f);
		step = fake_drive(e, step);
		assert_int_equal(step, n % 3 == 0 ? WEIR_FAILED : WEIR_NEXT);
		if (step == WEIR_NEXT && n % 3 == 1)
			assert_int_equal(fake_drive(e, weir_exchange_response(e, 0)), WEIR_DONE);
		weir_exchange_end(&e);
		expect_i32(b, n, 1);
	}
	fake_free(&f);
}

/* ---- the parts ---- */

static void images(void **state)
{
	size_t page = image_page_bytes(), pages = 64;
	uint8_t *bytes = calloc(pages, page);
	struct image *image = NULL;

	(void)state;
	assert_non_null(bytes);
	bytes[5 * page] = 1;
	bytes[7 * page - 1] = 2;
	bytes[pages * page - 1] = 3;
	assert_int_equal(image_create(&image, bytes, pages * page, NULL, NULL), 0);
	/* Pages 5, 6 and the last one. */
	assert_int_equal(image_stored_bytes(image), 3 * page);
	assert_memory_equal(image->view, bytes, pages * page);
	assert_int_equal(write(image->fd, "x", 1), -1);
	assert_int_equal(ftruncate(image->fd, 0), -1);
	image_destroy(&image);
	assert_int_equal(image_create(&image, NULL, 0, NULL, NULL), 0);
	image_destroy(&image);
	free(bytes);
}

/* Random pages of a large memory, by each method, against the image. */
static void restored_memories(void **state)
{
	size_t page = image_page_bytes(), pages = 5000;
	uint8_t *bytes = calloc(pages, page), *base;
	struct image *image = NULL;
	uint32_t seed = 1;

	(void)state;
	assert_non_null(bytes);
	for (size_t i = 0; i < pages; i += 3)
		memset(bytes + i * page, (int)(i % 251) + 1, page);
	assert_int_equal(image_create(&image, bytes, pages * page, NULL, NULL), 0);
	for (size_t m = 0; m < ARRAY_LEN(methods); m++) {
		struct restore_memo memo = {0};
		struct restorer r;

		if (restorer_open(&r, methods[m], NULL) < 0)
			continue;
		base = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, image->fd, 0);
		assert_true(base != MAP_FAILED);
		for (size_t round = 0; round < 30; round++) {
			size_t count = round * round * 3;

			for (size_t i = 0; i < count; i++) {
				seed = seed * 1664525u + 1013904223u;
				base[(size_t)seed % (pages * page)] ^= 0x55;
			}
			/* Reading must not make a page count. */
			assert_int_equal(base[page] & 0, 0);
			assert_true(count == 0 || !restore_verify(image, base));
			assert_true(restore_memory(&r, image, base, &memo) >= 0);
			assert_true(restore_verify(image, base));
		}
		assert_int_equal(munmap(base, pages * page), 0);
		restorer_close(&r);
	}
	image_destroy(&image);
	free(bytes);
}

/* Without a page fault of the thread there is nothing new to find, and nobody looks; the pages that
 * are known are put back. */
static void known_pages(void **state)
{
	const struct restorer blind = {.method = WEIR_RESTORE_SCAN, .pagemap_fd = -1};
	size_t page = image_page_bytes(), pages = 16;
	uint8_t *bytes = calloc(pages, page), *base;
	struct restore_memo memo = {0};
	struct image *image = NULL;
	struct restorer r;
	int64_t got = -1;

	(void)state;
	assert_non_null(bytes);
	memset(bytes, 7, pages * page);
	assert_int_equal(image_create(&image, bytes, pages * page, NULL, NULL), 0);
	assert_int_equal(restorer_open(&r, WEIR_RESTORE_AUTO, NULL), 0);
	base = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, image->fd, 0);
	assert_true(base != MAP_FAILED);
	for (int attempt = 0; r.method != WEIR_RESTORE_DROP && got < 0; attempt++) {
		/* A sanitizer has page faults of its own, at times. */
		assert_true(attempt < 100);
		base[0]++;
		base[5 * page]++;
		assert_int_equal(restore_memory(&r, image, base, &memo), 2 * page);
		assert_true(memo.known);
		base[1]++;
		base[5 * page + 1]++;
		got = restore_memory(&blind, image, base, &memo);
	}
	assert_true(got == (int64_t)(2 * page) || r.method == WEIR_RESTORE_DROP);
	assert_true(restore_verify(image, base));
	base[9 * page]++;
	assert_true(restore_memory(&r, image, base, &memo) >= 0);
	assert_true(restore_verify(image, base));
	assert_int_equal(munmap(base, pages * page), 0);
	restorer_close(&r);
	image_destroy(&image);
	free(bytes);
}

/* Halfway to the idle timeout an instance gives back its pages, and what it knew. */
static void resting_instances(void **state)
{
	struct weir_plugin_options o = {.limits = {.idle_ms = 10000}};
	struct bench *b = *state;
	struct guest_memory memory;
	struct instance *i;
	struct fake f;
	uint64_t now;

	fake_init(&f);
	bench_open(b, planter, &o);
	serve(b, &f);
	now = clock_mono_ns();
	i = idle_instance(b);
	assert_true(instance_memory(i, NULL, &memory));
	(void)weir_pool_tick(b->pool, now + 4000000000u);
	assert_false(snapshot_verify(b->plugin->snapshot, i));
	(void)weir_pool_tick(b->pool, now + 6000000000u);
	assert_true(snapshot_verify(b->plugin->snapshot, i));
	if (weir_host_restore(b->host) != WEIR_RESTORE_DROP)
		assert_int_equal(
			restore_private_bytes(&b->host->restorer, memory.base, memory.size_bytes),
			0);
	(void)weir_pool_tick(b->pool, now + 7000000000u);
	assert_int_equal(bench_stats(b).restores, 1);
	assert_int_equal(bench_stats(b).live, 1);
	b->line_count = 1;
	serve(b, &f);
	expect_untouched(b, 1);
	now = clock_mono_ns();
	assert_false(weir_pool_tick(b->pool, now + 11000000000u));
	assert_int_equal(bench_stats(b).live, 0);
	assert_int_equal(mapping_idle_memories(), 0);
	fake_free(&f);
}

/* Ticks have to go on while an instance is held: it will be idle some day. */
static void ticks_while_held(void **state)
{
	struct bench *b = *state;
	struct weir_exchange *e;
	enum weir_step step;
	struct fake f;

	fake_init(&f);
	bench_open(b, planter, NULL);
	step = weir_exchange_begin(&e, b->pool, &fake_http, &f);
	assert_int_equal(fake_drive(e, step), WEIR_NEXT);
	assert_true(weir_pool_tick(b->pool, clock_mono_ns()));
	assert_int_equal(fake_drive(e, weir_exchange_response(e, 0)), WEIR_DONE);
	weir_exchange_end(&e);
	fake_free(&f);
}

static void recycled_mappings(void **state)
{
	struct weir_plugin_options o = {.isolation = WEIR_ISOLATION_FRESH};
	struct bench *b = *state;
	size_t before;
	struct fake f;

	fake_init(&f);
	bench_open(b, planter, &o);
	serve(b, &f);
	before = mapping_idle_memories();
	assert_true(before > 0);
	for (size_t n = 0; n < 10; n++)
		serve(b, &f);
	assert_int_equal(mapping_idle_memories(), before);
	fake_free(&f);
}

/* What an exchange has changed stays the instance's own until it is put back. */
static void measured_changes(void **state)
{
	const struct weir_plugin_options reset = {.isolation = WEIR_ISOLATION_RESET};
	struct bench *b = *state;
	struct fake f;

	b->options.measure = true;
	fake_init(&f);
	for (size_t n = 0; n < ARRAY_LEN(methods); n++) {
		uint64_t bytes = methods[n] == WEIR_RESTORE_DROP ? 0 : 6 * image_page_bytes();

		if (!use_method(b, methods[n]))
			continue;
		bench_open(b, planter, &reset);
		assert_int_equal(serve(b, &f), bytes);
		bench_close_plugin(b);
		bench_open(b, planter, NULL);
		assert_int_equal(serve(b, &f), bytes);
		assert_int_equal(serve(b, &f), 0);
		bench_close_plugin(b);
	}
	fake_free(&f);
}

/* A thread that only takes plugins down must not collect what their first instances stood in. */
static void unused_plugins(void **state)
{
	struct bench *b = *state;

	for (size_t n = 0; n < 3; n++) {
		assert_int_equal(bench_load(b, planter, NULL), 0);
		bench_close_plugin(b);
		assert_int_equal(mapping_idle_memories(), 0);
	}
	bench_open(b, planter, NULL);
	bench_close_plugin(b);
	assert_int_equal(mapping_idle_memories(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(images),
		cmocka_unit_test(restored_memories),
		cmocka_unit_test(known_pages),
		TEST(state_ends_with_the_request),
		TEST(state_stays_in_its_instance),
		TEST(clones_are_apart),
		TEST(difference_is_seen),
		TEST(worn_instances),
		TEST(grown_instances),
		TEST(mutated_tables),
		TEST(mutable_references),
		TEST(foreign_references),
		TEST(typed_references),
		TEST(entropy),
		TEST(open_files),
		TEST(few_descriptors),
		TEST(failed_instances),
		TEST(resting_instances),
		TEST(ticks_while_held),
		TEST(recycled_mappings),
		TEST(unused_plugins),
		TEST(measured_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
