#include "plugin_fake.h"

#include <pthread.h>
#include <unistd.h>

#include "plugin/plugin.h"

#define MEMORY "(memory (export \"memory\") 1)"
#define REQUEST "(func (export \"handle_request\") (result i64) (i64.const 1))"
#define RESPONSE "(func (export \"handle_response\") (param i32 i32))"
#define WHOLE MEMORY REQUEST RESPONSE

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

static void refuses(struct bench *b, const char *wat, int code, const char *text)
{
	assert_int_equal(bench_load(b, wat, NULL), code);
	assert_string_equal(b->error.text, text);
	assert_int_equal(b->error.code, code);
	assert_null(b->plugin);
}

/* Where in the binary the stack's frames are is not stated. */
static void refuses_start(struct bench *b, const char *wat, const char *text)
{
	assert_int_equal(bench_load(b, wat, NULL), -ENOEXEC);
	b->error.text[strcspn(b->error.text, "@")] = '\0';
	assert_string_equal(b->error.text, text);
}

static void refuses_options(struct bench *b, const struct weir_plugin_options *o, const char *text)
{
	assert_int_equal(bench_load(b, "(module " WHOLE ")", o), -EINVAL);
	assert_string_equal(b->error.text, text);
}

static void exports(void **state)
{
	refuses(*state, "(module " MEMORY RESPONSE ")", -EINVAL,
		"plugin \"test\": guest doesn't export func[handle_request]");
	refuses(*state, "(module " MEMORY REQUEST ")", -EINVAL,
		"plugin \"test\": guest doesn't export func[handle_response]");
	refuses(*state, "(module " REQUEST RESPONSE ")", -EINVAL,
		"plugin \"test\": guest doesn't export memory[memory]");
	refuses(*state, "(module)", -EINVAL,
		"plugin \"test\": guest doesn't export func[handle_request]");
	refuses(*state,
		"(module " MEMORY RESPONSE
		"(func (export \"handle_request\") (param i32) (result i32) (i32.const 1)))",
		-EINVAL,
		"plugin \"test\": guest exports the wrong signature for func[handle_request]: "
		"found "
		"(i32) -> (i32), should be () -> (i64)");
	refuses(*state,
		"(module " MEMORY REQUEST "(func (export \"handle_response\") (param i32 i64)))",
		-EINVAL,
		"plugin \"test\": guest exports the wrong signature for func[handle_response]: "
		"found (i32, i64) -> (), should be (i32, i32) -> ()");
	refuses(*state, "(module " REQUEST RESPONSE "(func (export \"memory\")))", -EINVAL,
		"plugin \"test\": guest doesn't export memory[memory]");
	refuses(*state, "(module " WHOLE "(func (export \"_start\") (param f32)))", -EINVAL,
		"plugin \"test\": guest exports the wrong signature for func[_start]: found (f32) "
		"-> (), should be () -> ()");
}

static void imports(void **state)
{
	refuses(*state, "(module (import \"http_handler\" \"await_response\" (func))" WHOLE ")",
		-EINVAL,
		"plugin \"test\": \"await_response\" is not exported in module \"http_handler\"");
	refuses(*state, "(module (import \"env\" \"f\" (func))" WHOLE ")", -EINVAL,
		"plugin \"test\": module[env] not instantiated: the guest imports \"f\" from it, "
		"expected only http_handler and wasi_snapshot_preview1");
	refuses(*state,
		"(module (import \"http_handler\" \"get_uri\" (func (param i32) (result "
		"i32)))" WHOLE ")",
		-EINVAL,
		"plugin \"test\": import func[http_handler.get_uri] has the wrong signature: found "
		"(i32) -> (i32), should be (i32, i32) -> (i32)");
	refuses(*state, "(module (import \"http_handler\" \"log\" (memory 1))" REQUEST RESPONSE ")",
		-EINVAL, "plugin \"test\": guest doesn't export memory[memory]");
	refuses(*state, "(module (import \"http_handler\" \"log\" (global i32))" WHOLE ")", -EINVAL,
		"plugin \"test\": \"log\" is not exported in module \"http_handler\"");
	refuses(*state, "(module (import \"wasi_snapshot_preview1\" \"fd_dup\" (func))" WHOLE ")",
		-EINVAL,
		"plugin \"test\": \"fd_dup\" is not exported in module \"wasi_snapshot_preview1\"");
	refuses(*state,
		"(module (import \"wasi_snapshot_preview1\" \"sock_open\" (func (param i32 i32 "
		"i32) "
		"(result i32)))" WHOLE ")",
		-ENOTSUP,
		"plugin \"test\": imports \"sock_open\" of the WASI socket extensions, which are "
		"not "
		"supported: plugins have no network of their own");
	refuses(*state,
		"(module (import \"wasi_snapshot_preview1\" \"sock_accept\" (func (param i32 i32) "
		"(result i32)))" WHOLE ")",
		-ENOTSUP,
		"plugin \"test\": imports \"sock_accept\" of the WASI socket extensions, which are "
		"not supported: plugins have no network of their own");
}

static void refuses_bytes(struct bench *b, slice wasm, int code, const char *text)
{
	struct weir_plugin_options o = {.name = "raw", .wasm = wasm};

	bench_host(b);
	assert_int_equal(weir_plugin_create(&b->plugin, b->host, &o, &b->error), code);
	assert_string_equal(b->error.text, text);
}

static void not_wasm(void **state)
{
	refuses_bytes(*state, SLICE(""), -EINVAL,
		      "plugin \"raw\": is not a WebAssembly module: begins with nothing, expected "
		      "00 61 73 6d 01 00 00 00");
	refuses_bytes(*state, SLICE("<html>"), -EINVAL,
		      "plugin \"raw\": is not a WebAssembly module: begins with 3c 68 74 6d 6c 3e, "
		      "expected 00 61 73 6d 01 00 00 00");
	refuses_bytes(*state, SLICE("\0asm\x0d\0\1\0"), -EINVAL,
		      "plugin \"raw\": is a WebAssembly component, expected a core module "
		      "(http-wasm guests are core modules)");
	refuses_bytes(*state, SLICE("\0asm\1\0\0\0\1\5\1"), -EINVAL,
		      "plugin \"raw\": is a damaged WebAssembly module: at byte 10 of 11 a size "
		      "points past the end");
	refuses_bytes(*state, SLICE("\0asm\1\0\0\0\7\2\1\5"), -EINVAL,
		      "plugin \"raw\": is a damaged WebAssembly module: at byte 12 of 12 a size "
		      "points past the end");
}

static void too_large(void **state)
{
	struct bench *b = *state;

	b->options.module_bytes = 16;
	refuses_bytes(b, SLICE("\0asm\1\0\0\0.........."), -E2BIG,
		      "plugin \"raw\": has 18 bytes, expected at most 16");
}

static void start_failures(void **state)
{
	static const char trap[] = "(module " WHOLE "(func (export \"_start\") unreachable))";
	static const char section[] = "(module " WHOLE "(func $f unreachable) (start $f))";
	static const char zero[] =
		"(module " WHOLE "(func (export \"_initialize\") (drop (i32.div_u (i32.const 1) "
		"(i32.const 0)))))";

	refuses_start(
		*state, trap,
		"plugin \"test\": error instantiating guest: _start: unreachable executed, in "
		"func[2]");
	refuses_start(*state, section,
		      "plugin \"test\": error instantiating guest: instantiation: unreachable "
		      "executed, in f");
	refuses_start(
		*state, zero,
		"plugin \"test\": error instantiating guest: _initialize: integer division by "
		"zero, in func[2]");
}

#define EXITS(start, code) \
	"(module " FAKE_IMPORTS WHOLE "(data (i32.const 64) \"bad key: x\")" \
	"(func (export \"" start "\") (call $log (i32.const 2) (i32.const 64) (i32.const 10))" \
	"(call $exit (i32.const " code ")) unreachable))"

static void exits(void **state)
{
	struct bench *b = *state;

	assert_int_equal(bench_load(b, EXITS("_start", "1"), NULL), -ENOEXEC);
	assert_non_null(strstr(b->error.text, "error instantiating guest: _start: exit code 1"));
	assert_non_null(strstr(b->error.text, "; the guest said: \"bad key: x\""));
	expect_text(b, 0, "bad key: x");
	assert_int_equal(b->lines[0].level, WEIR_LOG_ERROR);
	assert_int_equal(bench_load(b, EXITS("_initialize", "0"), NULL), -ENOEXEC);
	assert_non_null(strstr(b->error.text, "_initialize: exit code 0"));
	/* A command that is done with its start function is a plugin all the same. */
	bench_open(b, EXITS("_start", "0"), NULL);
}

static void start_order(void **state)
{
	struct bench *b = *state;

	bench_open(b,
		   "(module " FAKE_IMPORTS WHOLE "(data (i32.const 64) \"ISX\")"
		   "(func $say (param i32) (call $log (i32.const 0) (local.get 0) (i32.const 1)))"
		   "(func (export \"_initialize\") (call $say (i32.const 64)))"
		   "(func (export \"_start\") (call $say (i32.const 65)))"
		   "(func $x (call $say (i32.const 66))) (start $x))",
		   NULL);
	expect_text(b, 0, "X");
	expect_text(b, 1, "S");
	expect_text(b, 2, "I");
	assert_int_equal(b->line_count, 3);
}

static void request_functions_at_start(void **state)
{
	refuses_start(
		*state,
		"(module " FAKE_IMPORTS WHOLE
		"(func (export \"_start\") (drop (call $get_status))))",
		"plugin \"test\": error instantiating guest: _start: get_status_code: no request "
		"in progress, in func[22]");
	refuses_start(*state,
		      "(module " FAKE_IMPORTS WHOLE
		      "(func $f (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1)))) "
		      "(start $f))",
		      "plugin \"test\": error instantiating guest: instantiation: read_body: no "
		      "request in progress, in f");
}

static void endless_start(void **state)
{
	struct bench *b = *state;
	struct weir_plugin_options o = {.limits = {.init_ms = 30}};

	assert_int_equal(
		bench_load(b, "(module " WHOLE "(func (export \"_start\") (loop (br 0))))", &o),
		-ETIMEDOUT);
	assert_non_null(strstr(b->error.text, "error instantiating guest: _start: used up its"));
}

static void memory_minimum(void **state)
{
	struct bench *b = *state;
	struct weir_plugin_options o = {.limits = {.memory_bytes = 1024 * 1024}};

	assert_int_equal(
		bench_load(b, "(module (memory (export \"memory\") 17)" REQUEST RESPONSE ")", &o),
		-E2BIG);
	assert_string_equal(b->error.text,
			    "plugin \"test\": needs 1114112 bytes of memory at once, "
			    "expected at most 1048576");
}

static void unwanted_proposals(void **state)
{
	struct bench *b = *state;

	assert_int_equal(bench_load(b, "(module (memory 1)" WHOLE ")", NULL), -EINVAL);
	assert_non_null(strstr(b->error.text, "does not compile: "));
	assert_int_equal(
		bench_load(b, "(module (memory (export \"memory\") i64 1)" REQUEST RESPONSE ")",
			   NULL),
		-EINVAL);
	assert_int_equal(bench_load(b, "(module " WHOLE "(func $f return_call $f))", NULL),
			 -EINVAL);
	/* Core 2.0 is there. */
	assert_int_equal(
		bench_load(b,
			   "(module " WHOLE "(func (result v128) (i8x16.splat (i32.const 1)))"
			   "(func (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) "
			   "(local.get 2))) (table 1 funcref))",
			   NULL),
		0);
}

static void facts(void **state)
{
	struct bench *b = *state;

	assert_int_equal(bench_load(b, "(module " WHOLE ")", NULL), 0);
	assert_true(weir_plugin_facts(b->plugin)->response_empty);
	assert_int_equal(weir_plugin_facts(b->plugin)->limits.call_cpu_ms, 1000);
	assert_int_equal(strlen(weir_plugin_facts(b->plugin)->hash), 64);
	weir_plugin_unref(&b->plugin);
	/* Locals and nops do nothing; imported functions come first in the index space. */
	assert_int_equal(bench_load(b,
				    "(module " FAKE_IMPORTS MEMORY REQUEST
				    "(func) (func (export \"handle_response\") (param i32 i32) "
				    "(local i64 i32) nop nop) (func nop unreachable))",
				    NULL),
			 0);
	assert_true(weir_plugin_facts(b->plugin)->response_empty);
	weir_plugin_unref(&b->plugin);
	assert_int_equal(bench_load(b,
				    "(module " MEMORY REQUEST "(func (export \"handle_response\") "
				    "(param i32 i32) (drop (i32.const 11))))",
				    NULL),
			 0);
	assert_false(weir_plugin_facts(b->plugin)->response_empty);
	weir_plugin_unref(&b->plugin);
	/* An imported function is never empty. */
	assert_int_equal(
		bench_load(b,
			   "(module (import \"http_handler\" \"set_method\" (func $f (param i32 "
			   "i32))) (export \"handle_response\" (func $f))" MEMORY REQUEST ")",
			   NULL),
		0);
	assert_false(weir_plugin_facts(b->plugin)->response_empty);
}

static void *load_same(void *arg)
{
	struct bench *b = arg;
	wasm_byte_vec_t wasm = fake_wasm("(module " WHOLE "(func (export \"same\")))");
	struct weir_plugin_options o = {.name = "same", .wasm = {wasm.data, wasm.size}};
	struct weir_plugin *p;
	struct weir_error error;
	int r = weir_plugin_create(&p, b->host, &o, &error);

	wasm_byte_vec_delete(&wasm);
	return r == 0 ? p : NULL;
}

static void compiled_once(void **state)
{
	struct bench *b = *state;
	pthread_t threads[4];
	struct weir_plugin *plugins[ARRAY_LEN(threads)];
	struct weir_host_stats stats;

	bench_host(b);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, load_same, b), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *result;

		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_non_null(result);
		plugins[i] = result;
	}
	weir_host_stats(b->host, &stats);
	assert_int_equal(stats.compiled, 1);
	assert_int_equal(stats.modules, 1);
	assert_true(stats.compile_ns > 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		weir_plugin_unref(&plugins[i]);
	/* Nobody holds it any more: the next one compiles again. */
	plugins[0] = load_same(b);
	weir_host_stats(b->host, &stats);
	assert_int_equal(stats.compiled, 2);
	weir_plugin_unref(&plugins[0]);
	weir_host_stats(b->host, &stats);
	assert_int_equal(stats.modules, 0);
	assert_int_equal(stats.compiling, 0);
	assert_int_equal(stats.compile_failures, 0);
}

static void references(void **state)
{
	struct bench *b = *state;
	struct weir_plugin *second;

	assert_int_equal(bench_load(b, "(module " WHOLE ")", NULL), 0);
	second = weir_plugin_ref(b->plugin);
	weir_plugin_unref(&b->plugin);
	assert_null(b->plugin);
	assert_string_equal(weir_plugin_facts(second)->name, "test");
	assert_int_equal(atomic_load(&b->host->plugins), 1);
	weir_plugin_unref(&second);
	assert_int_equal(atomic_load(&b->host->plugins), 0);
}

/* What a visitor of code finds, and does. */
struct visit {
	struct bench *bench;
	struct weir_plugin *more; /* loaded meanwhile by another thread */
	unsigned modules;
};

static void *load_more(void *context)
{
	const struct weir_plugin_options o = {.name = "more", .wasm = SLICE("\0asm\1\0\0\0")};
	struct visit *v = context;
	struct weir_error e;

	/* No plugin, but it takes the store's lock. */
	return (void *)(intptr_t)(weir_plugin_create(&v->more, v->bench->host, &o, &e) < 0);
}

static void visit_slowly(void *context, const char *hash, slice image)
{
	struct visit *v = context;
	pthread_t thread;
	void *refused;

	v->modules++;
	assert_string_equal(hash, weir_plugin_facts(v->bench->plugin)->hash);
	assert_int_equal(pthread_create(&thread, NULL, load_more, v), 0);
	assert_int_equal(pthread_join(thread, &refused), 0);
	assert_non_null(refused);
	/* Its last holder but this one. */
	weir_plugin_unref(&v->bench->plugin);
	assert_memory_equal(image.p,
			    "\x7f"
			    "ELF",
			    4);
}

/* Looking at a module keeps nobody from loading and dropping others. */
static void visitors_hold_up_nobody(void **state)
{
	struct bench *b = *state;
	struct visit v = {.bench = b};

	assert_int_equal(bench_load(b, "(module " WHOLE ")", NULL), 0);
	weir_host_visit_code(b->host, visit_slowly, &v);
	assert_int_equal(v.modules, 1);
	weir_host_visit_code(b->host, visit_slowly, &v);
	assert_int_equal(v.modules, 1);
}

static void version(void **state)
{
	(void)state;
	assert_string_equal(weir_version(), WEIR_VERSION);
}

/* What a later version's option says is refused, not ignored. */
static void reserved_members(void **state)
{
	struct bench *b = *state;
	struct weir_host_options h = {.reserved = {1}};
	struct weir_plugin_options o = {.reserved = {[3] = 1}};
	struct weir_pool_events events = {.wake = fake_wake, .reserved = {1}};
	struct weir_host *host;
	struct weir_pool *pool;

	assert_int_equal(weir_host_create(&host, &h, &b->error), -EINVAL);
	assert_null(host);
	assert_string_equal(b->error.text,
			    "struct weir_host_options sets reserved[0]: it was not zeroed, or it "
			    "is of a later version than this library (" WEIR_VERSION ")");
	h = (struct weir_host_options){0};
	h.limits.reserved[ARRAY_LEN(h.limits.reserved) - 1] = 1;
	assert_int_equal(weir_host_create(&host, &h, &b->error), -EINVAL);
	assert_int_equal(bench_load(b, "(module " WHOLE ")", &o), -EINVAL);
	o = (struct weir_plugin_options){.limits = {.reserved = {1}}};
	assert_int_equal(bench_load(b, "(module " WHOLE ")", &o), -EINVAL);
	o = (struct weir_plugin_options){.isolation = (enum weir_isolation)3};
	refuses_options(b, &o, "plugin \"test\": unknown isolation 3, expected at most 2");
	o = (struct weir_plugin_options){.init = (enum weir_init)2};
	refuses_options(b, &o, "plugin \"test\": unknown init 2, expected at most 1");
	assert_int_equal(bench_load(b, "(module " WHOLE ")", NULL), 0);
	assert_int_equal(weir_pool_create(&pool, b->plugin, &events), -EINVAL);
	assert_null(pool);
}

/* Each has its own engine, and a thread may use both. */
static void two_hosts(void **state)
{
	struct bench *a = *state, *b = bench_new();
	const char *wat = "(module " MEMORY REQUEST "(func (export \"handle_response\") (param i32 "
			  "i32) (drop (memory.grow (i32.const 1)))))";
	static struct fake fake;
	struct weir_exchange *e, *f;

	bench_open(a, wat, NULL);
	bench_open(b, wat, NULL);
	assert_ptr_not_equal(a->host, b->host);
	assert_int_equal(weir_exchange_begin(&e, a->pool, &fake_http, &fake), WEIR_NEXT);
	assert_int_equal(weir_exchange_begin(&f, b->pool, &fake_http, &fake), WEIR_NEXT);
	assert_int_equal(weir_exchange_response(e, 0), WEIR_DONE);
	weir_exchange_end(&e);
	weir_pool_destroy(&a->pool);
	weir_plugin_unref(&a->plugin);
	weir_host_destroy(&a->host);
	assert_int_equal(weir_exchange_response(f, 0), WEIR_DONE);
	weir_exchange_end(&f);
	bench_free(&b);
}

/* A program that was built with a later header may ask. */
static void unknown_values(void **state)
{
	(void)state;
	assert_string_equal(weir_cause_text(WEIR_CAUSE_COUNT), "unknown");
	assert_int_equal(weir_cause_status(WEIR_CAUSE_COUNT), 500);
	assert_string_equal(weir_cause_text((enum weir_cause) - 1), "unknown");
	assert_string_equal(weir_step_text((enum weir_step)99), "unknown");
	assert_string_equal(weir_isolation_text((enum weir_isolation)3), "unknown");
	assert_string_equal(weir_init_text((enum weir_init)2), "unknown");
	assert_string_equal(weir_restore_text((enum weir_restore)9), "unknown");
}

static void default_host(void **state)
{
	struct weir_host *host;

	(void)state;
	assert_int_equal(weir_host_create(&host, NULL, NULL), 0);
	weir_host_destroy(&host);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(exports),
		TEST(imports),
		TEST(not_wasm),
		TEST(too_large),
		TEST(start_failures),
		TEST(exits),
		TEST(start_order),
		TEST(request_functions_at_start),
		TEST(endless_start),
		TEST(memory_minimum),
		TEST(unwanted_proposals),
		TEST(facts),
		TEST(compiled_once),
		TEST(references),
		TEST(visitors_hold_up_nobody),
		TEST(version),
		TEST(reserved_members),
		TEST(two_hosts),
		TEST(unknown_values),
		TEST(default_host),
	};

	/* A wait for what does not come ends, too. */
	(void)alarm(300);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
