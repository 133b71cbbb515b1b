/*
 * A guest and its rewritten form behave alike: same results, same calls of the host, same memory
 * after every call, same globals where the guest exports them.
 */
#include "plugin_fake.h"

#include <dirent.h>

#include "plugin/engine.h"
#include "plugin/rewrite.h"

#define WHOLE \
	"(memory (export \"memory\") 2)" \
	"(func (export \"handle_request\") (result i64) (call $touch) (i64.const 4294967297))" \
	"(func (export \"handle_response\") (param i32 i32) (call $touch))"

/* More calls of the host than this end a run. */
#define HOST_CALLS_MAX 20000u

static wasm_engine_t *engine;

/** One form of a guest, running. */
struct subject {
	wasmtime_module_t *module;
	wasmtime_store_t *store;
	wasmtime_context_t *context;
	wasmtime_instance_t instance;
	unsigned host_calls;
	uint64_t host_sum; /* of what the host was given */
	bool made;
	char failure[200]; /* of the last call */
};

static int make_engine(void **state)
{
	(void)state;
	engine = engine_create();
	restore_handlers();
	return 0;
}

static int delete_engine(void **state)
{
	(void)state;
	wasm_engine_delete(engine);
	return 0;
}

/* Each import: gives zeros. */
static wasm_trap_t *host(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *v, size_t n)
{
	struct subject *s = wasmtime_context_get_data(wasmtime_caller_context(caller));
	const size_t *params = env;

	for (size_t i = 0; i < *params; i++)
		s->host_sum = s->host_sum * 31 + (uint32_t)v[i].i32;
	memset(v, 0, n * sizeof *v);
	return ++s->host_calls > HOST_CALLS_MAX ? wasmtime_trap_new("enough", 6) : NULL;
}

static wasmtime_instance_pre_t *link_all(const wasmtime_module_t *module)
{
	wasmtime_linker_t *linker = wasmtime_linker_new(engine);
	wasmtime_instance_pre_t *linked = NULL;
	wasm_importtype_vec_t imports;

	wasmtime_module_imports(module, &imports);
	wasmtime_linker_allow_shadowing(linker, true);
	for (size_t i = 0; i < imports.size; i++) {
		const wasm_name_t *m = wasm_importtype_module(imports.data[i]);
		const wasm_name_t *n = wasm_importtype_name(imports.data[i]);
		const wasm_functype_t *t =
			wasm_externtype_as_functype_const(wasm_importtype_type(imports.data[i]));
		size_t *params = malloc(sizeof *params);

		assert_non_null(params);
		*params = wasm_functype_params(t)->size;
		assert_null(wasmtime_linker_define_func_unchecked(linker, m->data, m->size, n->data,
								  n->size, t, host, params, free));
	}
	wasm_importtype_vec_delete(&imports);
	assert_null(wasmtime_linker_instantiate_pre(linker, module, &linked));
	wasmtime_linker_delete(linker);
	return linked;
}

static void note_failure(struct subject *s, wasmtime_error_t *e, wasm_trap_t *t)
{
	struct str text = {0};

	s->failure[0] = '\0';
	if (e == NULL && t == NULL)
		return;
	engine_explain(&text, s->host_calls > HOST_CALLS_MAX ? SLICE("enough") : SLICE(""), 0, t,
		       e);
	/* Without places: the code has moved. */
	(void)snprintf(s->failure, sizeof s->failure, "%.*s",
		       (int)slice_search(str_slice(&text), SLICE(", in ")), text.p);
	str_free(&text);
}

static void open_subject(struct subject *s, slice wasm)
{
	wasmtime_instance_pre_t *linked;
	wasm_trap_t *trap = NULL;
	wasmtime_error_t *e;

	*s = (struct subject){0};
	e = wasmtime_module_new(engine, (const uint8_t *)wasm.p, wasm.n, &s->module);
	note_failure(s, e, NULL);
	if (e != NULL)
		fail_msg("%s", s->failure);
	linked = link_all(s->module);
	s->store = wasmtime_store_new(engine, s, NULL);
	s->context = wasmtime_store_context(s->store);
	wasmtime_context_set_epoch_deadline(s->context, 1u << 30);
	e = wasmtime_instance_pre_instantiate(linked, s->context, &s->instance, &trap);
	s->made = e == NULL && trap == NULL;
	note_failure(s, e, trap);
	wasmtime_instance_pre_delete(linked);
}

static void close_subject(struct subject *s)
{
	wasmtime_store_delete(s->store);
	wasmtime_module_delete(s->module);
}

static bool find(struct subject *s, const char *name, wasmtime_extern_t *item)
{
	return wasmtime_instance_export_get(s->context, &s->instance, name, strlen(name), item);
}

/* False if there is no such function. */
static bool call(struct subject *s, const char *name, uint64_t *result)
{
	wasmtime_val_raw_t v[2] = {{.i64 = 0}, {.i64 = 0}};
	wasmtime_extern_t item;
	wasm_trap_t *trap = NULL;
	wasmtime_error_t *e;

	*result = 0;
	if (!find(s, name, &item) || item.kind != WASMTIME_EXTERN_FUNC)
		return false;
	v[0].i32 = 3;
	e = wasmtime_func_call_unchecked(s->context, &item.of.func, v, 2, &trap);
	note_failure(s, e, trap);
	if (strcmp(name, "handle_request") == 0)
		*result = (uint64_t)v[0].i64;
	return true;
}

static uint8_t *memory_of(struct subject *s, size_t *size)
{
	wasmtime_extern_t item;

	assert_true(find(s, "memory", &item) && item.kind == WASMTIME_EXTERN_MEMORY);
	*size = wasmtime_memory_data_size(s->context, &item.of.memory);
	return wasmtime_memory_data(s->context, &item.of.memory);
}

static bool holds_reference(const wasm_exporttype_t *e)
{
	const wasm_globaltype_t *t = wasm_externtype_as_globaltype_const(wasm_exporttype_type(e));

	return wasm_valtype_kind(wasm_globaltype_content(t)) >= WASM_EXTERNREF;
}

static void compare_globals(struct subject *a, struct subject *b)
{
	wasm_exporttype_vec_t exports;

	wasmtime_module_exports(a->module, &exports);
	for (size_t i = 0; i < exports.size; i++) {
		const wasm_name_t *n = wasm_exporttype_name(exports.data[i]);
		wasmtime_extern_t x, y;
		wasmtime_val_t u, v;

		assert_true(wasmtime_instance_export_get(a->context, &a->instance, n->data, n->size,
							 &x));
		assert_true(wasmtime_instance_export_get(b->context, &b->instance, n->data, n->size,
							 &y));
		assert_int_equal(x.kind, y.kind);
		/* The engine's C API cannot show references. */
		if (x.kind != WASMTIME_EXTERN_GLOBAL || holds_reference(exports.data[i]))
			continue;
		wasmtime_global_get(a->context, &x.of.global, &u);
		wasmtime_global_get(b->context, &y.of.global, &v);
		assert_int_equal(u.kind, v.kind);
		if (u.kind <= WASMTIME_F64)
			assert_memory_equal(&u.of, &v.of,
					    u.kind == WASMTIME_I32 || u.kind == WASMTIME_F32 ? 4
											     : 8);
	}
	wasm_exporttype_vec_delete(&exports);
}

static void compare(struct subject *plain, struct subject *changed)
{
	size_t n, m;
	uint8_t *a = memory_of(plain, &n), *b = memory_of(changed, &m);

	assert_string_equal(plain->failure, changed->failure);
	assert_int_equal(plain->host_calls, changed->host_calls);
	assert_int_equal(plain->host_sum, changed->host_sum);
	assert_int_equal(n, m);
	assert_true(memcmp(a, b, n) == 0);
	compare_globals(plain, changed);
}

static void apply_segments(struct subject *s, const struct rewrite *r)
{
	size_t size;
	uint8_t *memory = memory_of(s, &size);

	for (size_t i = 0; i < r->segment_count; i++) {
		assert_true(r->segments[i].bytes.n <= size &&
			    r->segments[i].offset <= size - r->segments[i].bytes.n);
		if (r->segments[i].bytes.n > 0)
			memcpy(memory + r->segments[i].offset, r->segments[i].bytes.p,
			       r->segments[i].bytes.n);
	}
}

static void run_both(struct subject *plain, struct subject *changed, const struct rewrite *r)
{
	static const char *const functions[] = {"_start",         "_initialize",
						"handle_request", "handle_response",
						"handle_request", "handle_response"};
	uint64_t x, y;

	apply_segments(changed, r);
	if (r->has_start)
		assert_true(call(changed, REWRITE_START, &y));
	if (!plain->made) {
		assert_string_equal(plain->failure, changed->failure);
		return;
	}
	compare(plain, changed);
	for (size_t i = 0; i < ARRAY_LEN(functions) && plain->failure[0] == '\0'; i++) {
		assert_int_equal(call(plain, functions[i], &x), call(changed, functions[i], &y));
		assert_int_equal(x, y);
		compare(plain, changed);
	}
}

static struct rewrite rewritten(slice wasm)
{
	struct weir_error error = {0};
	struct rewrite r;

	if (rewrite_module(&r, wasm, &error) != 0)
		fail_msg("%s", error.text);
	return r;
}

static uint32_t differ(slice wasm)
{
	struct subject plain, changed;
	struct rewrite r = rewritten(wasm);
	uint32_t obstacles = r.obstacles;

	open_subject(&plain, wasm);
	open_subject(&changed, str_slice(&r.wasm));
	run_both(&plain, &changed, &r);
	close_subject(&plain);
	close_subject(&changed);
	rewrite_free(&r);
	return obstacles;
}

struct sample {
	const char *wat;
	uint32_t obstacles;
};

#define ON(name) (1u << REWRITE_##name)
#define TOUCH(code) "(func $touch " code ")"

static const struct sample samples[] = {
	{"(module " WHOLE TOUCH("") ")", 0},
	{"(module " WHOLE TOUCH("(i32.store8 (i32.const 9) (i32.add (i32.load8_u (i32.const 9)) "
				"(i32.const 1)))") "(data (i32.const 8) \"abc\")"
						   "(data (i32.const 10) \"xyz\\00\")"
						   "(data (i32.const 131072) \"\"))",
	 0},
	{"(module (global $a (mut i32) (i32.const 7)) (global $b (export \"b\") (mut i64) "
	 "(i64.const -9)) (global $c (mut f32) (f32.const 0.5)) (global (mut f64) (f64.const 1))"
	 "(global $v (mut v128) (v128.const i64x2 1 2)) (global $k i32 (i32.const 16))"
	 "(global $s i32 (i32.add (i32.const 90) (i32.mul (i32.const 3) (i32.const 2))))" WHOLE
	 "(start $begin) (func $begin (global.set $a (i32.const 20)) (call $touch))" TOUCH(
		 "(i32.store (global.get $a) (i32.const 1)) (global.set $a (i32.add (global.get "
		 "$a) "
		 "(i32.const 4))) (global.set $b (i64.add (global.get $b) (i64.const 2)))"
		 "(global.set $v (i8x16.splat (global.get $a)))"
		 "(v128.store (i32.const 64) (i8x16.shuffle 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 "
		 "(global.get $v) (v128.const i32x4 1 2 3 4)))") "(data (global.get $k) \"k\")"
								 "(data (i32.const 96) \"sum\"))",
	 0},
	{"(module (table $t 4 funcref) (elem (i32.const 0) $touch $touch)" WHOLE TOUCH(
		 "(table.set $t (i32.const 2) (ref.func $touch))") ")",
	 ON(TABLES)},
	{"(module (table $t 4 funcref) (elem $e func $touch)" WHOLE TOUCH(
		 "(if (i32.eqz (i32.load (i32.const 0))) (then (table.init $t $e (i32.const 0) "
		 "(i32.const 0) (i32.const 1)) (elem.drop $e) (i32.store (i32.const 0) (i32.const "
		 "1))))") ")",
	 ON(TABLES) | ON(DROPS)},
	{"(module (data $a (i32.const 4) \"active\") (data $p \"passive\")" WHOLE TOUCH(
		 "(memory.init $p (i32.const 40) (i32.const 1) (i32.const 3))") ")",
	 0},
	{"(module (data $a (i32.const 4) \"active\") (data $p \"passive\")" WHOLE TOUCH(
		 "(memory.init $p (i32.const 40) (i32.const 0) (i32.const 0)) (data.drop $p)") ")",
	 ON(DROPS)},
	{"(module (data $a (i32.const 4) \"active\")" WHOLE TOUCH(
		 "(memory.init $a (i32.const 40) (i32.const 0) (i32.const 0))") ")",
	 0},
	{"(module (global (mut funcref) (ref.null func))" WHOLE TOUCH("") ")", ON(REFERENCES)},
	/* References that nothing changes. */
	{"(module (global $f (export \"f\") funcref (ref.func $touch)) (global (export \"x\") "
	 "funcref "
	 "(ref.null func)) (global $again funcref (global.get $f)) (table $t (export \"t\") 3 "
	 "funcref) (elem (table $t) (i32.const 1) funcref (ref.func $touch) (ref.null func)) "
	 "(elem funcref (ref.null func)) (elem declare func $touch)" WHOLE TOUCH(
		 "(i32.store (i32.const 0) (i32.add (ref.is_null (table.get $t (i32.const 1))) "
		 "(table.size $t))) (drop (select (result funcref) (ref.null func) (table.get $t "
		 "(i32.const 0)) (i32.const 1))) (drop (ref.is_null (global.get $again)))") ")",
	 0},
	{"(module (global $f (export \"f\") (mut funcref) (ref.func $touch))" WHOLE TOUCH(
		 "(if (ref.is_null (global.get $f)) (then (i32.store (i32.const 0) (i32.const "
		 "1)))) "
		 "(global.set $f (ref.null func))") ")",
	 ON(REFERENCES)},
	{"(module (global $f (mut (ref func)) (ref.func $touch))" WHOLE TOUCH(
		 "(global.set $f (ref.func $touch))") ")",
	 ON(REFERENCES)},
	{"(module (table $t 2 9 funcref)" WHOLE TOUCH(
		 "(i32.store (i32.const 0) (table.grow $t (ref.null func) (i32.const 2)))") ")",
	 ON(TABLES)},
	{"(module (table $t 2 funcref) (elem declare func $touch)" WHOLE TOUCH(
		 "(table.fill $t (i32.const 0) (ref.func $touch) (i32.const 2))") ")",
	 ON(TABLES)},
	{"(module (table $t 4 funcref) (table $u 4 funcref) (elem (table $u) (i32.const 0) func "
	 "$touch)" WHOLE TOUCH(
		 "(table.copy $t $u (i32.const 1) (i32.const 0) (i32.const 1)) (i32.store "
		 "(i32.const 0) (ref.is_null (table.get $t (i32.const 1))))") ")",
	 ON(TABLES)},
	{"(module (data (i32.const 131071) \"no\") " WHOLE TOUCH("unreachable") ")", 0},
	{"(module (start $touch) " WHOLE TOUCH("unreachable") ")", 0},
	{"(module (import \"http_handler\" \"log\" (func $log (param i32 i32 i32)))" WHOLE TOUCH(
		 "(local i64 v128 funcref) (block $o (block (br_table 0 $o 1 (i32.const 2)))) "
		 "(select (result i32) (i32.const 1) (i32.const "
		 "2) (i32.const 0)) (call $log (i32.const 1) (i32.const 2)) (memory.fill "
		 "(i32.const 512) "
		 "(i32.const 7) (i32.const 9)) (memory.copy (i32.const 600) (i32.const 512) "
		 "(i32.const 4)) (drop (memory.grow (i32.const 1)))") ")",
	 0},
};

/* Their segments pass the memory's end: one form fails when it is made, the other before. */
static bool fits(const struct rewrite *r, size_t memory_bytes)
{
	for (size_t i = 0; i < r->segment_count; i++) {
		if (r->segments[i].offset + r->segments[i].bytes.n > memory_bytes)
			return false;
	}
	return true;
}

static void written_samples(void **state)
{
	(void)state;
	restore_handlers();
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		wasm_byte_vec_t wasm = fake_wasm(samples[i].wat);
		slice bytes = slice_of(wasm.data, wasm.size);
		struct rewrite r = rewritten(bytes);

		assert_int_equal(r.obstacles, samples[i].obstacles);
		if (fits(&r, 131072))
			assert_int_equal(differ(bytes), samples[i].obstacles);
		rewrite_free(&r);
		wasm_byte_vec_delete(&wasm);
	}
}

/* The engine does not take these; what is found in them holds for one that does. */
static const struct sample of_other_engines[] = {
	{"(module (global (export \"x\") externref (ref.null extern)) (table $t (export \"t\") 3 "
	 "externref) (elem (table $t) (i32.const 1) externref (ref.null extern))" WHOLE TOUCH(
		 "(drop (select (result externref) (ref.null extern) (table.get $t (i32.const 0)) "
		 "(i32.const 1)))") ")",
	 0},
	{"(module (global $x (export \"x\") (mut externref) (ref.null extern))" WHOLE TOUCH(
		 "(global.set $x (ref.null extern))") ")",
	 ON(REFERENCES)},
	{"(module (import \"a\" \"x\" (global externref))" WHOLE TOUCH("") ")", ON(IMPORTS)},
	{"(module (import \"a\" \"t\" (table 1 externref))" WHOLE TOUCH("") ")", ON(IMPORTS)},
	{"(module (table $t 2 externref)" WHOLE TOUCH(
		 "(table.set $t (i32.const 0) (ref.null extern))") ")",
	 ON(TABLES)},
	{"(module (table $t 2 9 externref)" WHOLE TOUCH(
		 "(drop (table.grow $t (ref.null extern) (i32.const 2)))") ")",
	 ON(TABLES)},
	{"(module (table $t 2 externref)" WHOLE TOUCH(
		 "(table.fill $t (i32.const 0) (ref.null extern) (i32.const 2))") ")",
	 ON(TABLES)},
	{"(module (table $t 2 externref) (elem $e externref (ref.null extern))" WHOLE TOUCH(
		 "(table.init $t $e (i32.const 0) (i32.const 0) (i32.const 0)) (elem.drop $e)") ")",
	 ON(TABLES) | ON(DROPS)},
	{"(module (type $s (struct (field (mut i32)))) (table $t 1 (ref null $s))" WHOLE TOUCH(
		 "(drop (struct.get $s 0 (struct.new $s (i32.const 1))))") ")",
	 ON(UNKNOWN)},
};

static void other_references(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(of_other_engines); i++) {
		wasm_byte_vec_t wasm = fake_wasm(of_other_engines[i].wat);
		struct rewrite r = rewritten(slice_of(wasm.data, wasm.size));

		assert_int_equal(r.obstacles, of_other_engines[i].obstacles);
		rewrite_free(&r);
		wasm_byte_vec_delete(&wasm);
	}
}

/* What references would lead to lies outside of what is put back. */
static void heap_objects_in_constants(void **state)
{
	static const char *const sources[] = {
		"(module (type $s (struct (field (mut i32)))) (global (ref $s) (struct.new $s "
		"(i32.const "
		"1))))",
		"(module (type $a (array (mut i32))) (global (ref $a) (array.new_default $a "
		"(i32.const "
		"1))))",
		"(module (global (ref i31) (ref.i31 (i32.const 1))))",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		wasm_byte_vec_t wasm = fake_wasm(sources[i]);
		struct weir_error error = {0};
		struct rewrite r;

		assert_int_equal(rewrite_module(&r, slice_of(wasm.data, wasm.size), &error),
				 -EINVAL);
		assert_non_null(strstr(error.text, "a constant expression has an instruction of no "
						   "known kind"));
		wasm_byte_vec_delete(&wasm);
	}
}

/* Whatever the elements are, and whether or not they begin with a value. */
static void tables_are_measured(void **state)
{
	static const struct {
		const char *tables;
		uint32_t count;
		uint64_t elements_max;
	} rows[] = {
		{"", 0, 0},
		{"(table 2 9 funcref)", 1, 9},
		{"(table 2 funcref)", 1, UINT32_MAX},
		{"(type $f (func)) (table 1 300 (ref null $f)) (table 1 20 funcref)", 2, 300},
		{"(type $f (func)) (table 2 70000 (ref $f) (ref.func $touch)) (table 3 4 funcref)",
		 2, 70000},
		{"(table i64 1 5000000000 funcref)", 1, 5000000000},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char source[600];
		wasm_byte_vec_t wasm;
		struct rewrite r;

		(void)snprintf(source, sizeof source, "(module %s" WHOLE TOUCH("") ")",
			       rows[i].tables);
		wasm = fake_wasm(source);
		r = rewritten(slice_of(wasm.data, wasm.size));
		assert_int_equal(r.table_count, rows[i].count);
		assert_int_equal(r.table_elements_max, rows[i].elements_max);
		rewrite_free(&r);
		wasm_byte_vec_delete(&wasm);
	}
}

static slice read_file(const char *folder, const char *name)
{
	char path[600], *bytes;
	FILE *f;
	long n;

	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	f = fopen(path, "rb");
	assert_non_null(f);
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	n = ftell(f);
	rewind(f);
	bytes = malloc((size_t)n + 1);
	assert_non_null(bytes);
	assert_int_equal(fread(bytes, 1, (size_t)n, f), n);
	(void)fclose(f);
	return slice_of(bytes, (size_t)n);
}

/* These never return; what they do before is in others. */
static bool endless(const char *name)
{
	return strncmp(name, "loop", 4) == 0 || strncmp(name, "memory-bomb", 11) == 0 ||
	       strncmp(name, "sleeper", 7) == 0;
}

static void all_guests(void **state)
{
	const char *folder = getenv("WEIR_GUESTS");
	unsigned count = 0;
	DIR *d;

	(void)state;
	if (folder == NULL)
		skip();
	restore_handlers();
	d = opendir(folder);
	assert_non_null(d);
	for (const struct dirent *e; (e = readdir(d)) != NULL;) {
		slice wasm;

		if (!slice_ends(slice_from(e->d_name), SLICE(".wasm")) || endless(e->d_name))
			continue;
		wasm = read_file(folder, e->d_name);
		/* Some lack what a guest must export. */
		if (slice_search(wasm, SLICE("memory")) < wasm.n)
			(void)differ(wasm);
		free((void *)(uintptr_t)wasm.p);
		count++;
	}
	(void)closedir(d);
	assert_true(count > 20);
}

static void segments(void **state)
{
	wasm_byte_vec_t wasm = fake_wasm(samples[2].wat);
	struct rewrite r = rewritten(slice_of(wasm.data, wasm.size));

	(void)state;
	assert_int_equal(r.global_count, 5);
	assert_true(r.has_start);
	assert_int_equal(r.segment_count, 2);
	assert_int_equal(r.segments[0].offset, 16);
	assert_int_equal(r.segments[1].offset, 96);
	assert_true(slice_equal(r.segments[1].bytes, SLICE("sum")));
	assert_null(rewrite_obstacle_text(r.obstacles));
	assert_string_equal(rewrite_obstacle_text(ON(TABLES) | ON(DROPS)),
			    "changes tables while it runs");
	rewrite_free(&r);
	wasm_byte_vec_delete(&wasm);
}

static void reserved_names(void **state)
{
	wasm_byte_vec_t wasm = fake_wasm("(module (func (export \"__weir_start\")))");
	struct weir_error error = {0};
	struct rewrite r;

	(void)state;
	assert_int_equal(rewrite_module(&r, slice_of(wasm.data, wasm.size), &error), -EINVAL);
	assert_string_equal(error.text, "exports \"__weir_start\", expected no name that begins "
					"with \"__weir_\"");
	wasm_byte_vec_delete(&wasm);
}

static void try_damaged(const char *bytes, size_t n)
{
	struct weir_error error = {0};
	struct rewrite r;
	size_t at = SIZE_MAX;

	if (rewrite_module(&r, slice_of(bytes, n), &error) == 0) {
		rewrite_free(&r);
		return;
	}
	assert_int_equal(error.code, -EINVAL);
	if (sscanf(error.text, "is a damaged WebAssembly module: at byte %zu", &at) == 1)
		assert_true(at <= n);
	else
		assert_true(n < 8 || strstr(error.text, "is ") == error.text ||
			    strstr(error.text, "exports ") == error.text);
}

/* Each byte in turn is changed, and each end cut off. */
static void damaged_modules(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		wasm_byte_vec_t wasm = fake_wasm(samples[i].wat);

		for (size_t n = 0; n < wasm.size; n++) {
			char *copy = malloc(wasm.size), *shorter;

			assert_non_null(copy);
			memcpy(copy, wasm.data, wasm.size);
			for (unsigned change = 1; change < 256; change += 11) {
				copy[n] = (char)(wasm.data[n] ^ (char)change);
				try_damaged(copy, wasm.size);
			}
			shorter = realloc(copy, n + 1);
			assert_non_null(shorter);
			try_damaged(shorter, n);
			free(shorter);
		}
		wasm_byte_vec_delete(&wasm);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments),
		cmocka_unit_test(written_samples),
		cmocka_unit_test(all_guests),
		cmocka_unit_test(reserved_names),
		cmocka_unit_test(damaged_modules),
		cmocka_unit_test(tables_are_measured),
		cmocka_unit_test(heap_objects_in_constants),
		cmocka_unit_test(other_references),
	};

	return cmocka_run_group_tests(tests, make_engine, delete_engine);
}
