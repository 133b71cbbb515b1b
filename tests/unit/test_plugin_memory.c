/*
 * Memory that is short: each allocation of the plugin host in turn, and the address space. The call
 * that needed it fails with an error, and nothing is lost.
 */
#include "failing_memory.h"

/* The test's own allocations do not fail. */
#undef malloc
#undef calloc
#undef realloc
#undef aligned_alloc
#undef strdup

#include "plugin_fake.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned long fail_at; /* the nth allocation from now on; 0: none */
static bool fail_on;          /* and all after it */
static unsigned long failures;

static bool fails(void)
{
	if (fail_at == 0 || --fail_at > 0)
		return false;
	if (fail_on)
		fail_at = 1;
	failures++;
	return true;
}

void *failing_malloc(size_t n)
{
	return fails() ? NULL : malloc(n);
}

void *failing_calloc(size_t count, size_t n)
{
	return fails() ? NULL : calloc(count, n);
}

void *failing_realloc(void *p, size_t n)
{
	return fails() ? NULL : realloc(p, n);
}

void *failing_aligned_alloc(size_t alignment, size_t n)
{
	return fails() ? NULL : aligned_alloc(alignment, n);
}

char *failing_strdup(const char *text)
{
	return fails() ? NULL : strdup(text);
}

#define WASI_IMPORTS \
	"(import \"wasi_snapshot_preview1\" \"fd_write\" (func $fd_write (param i32 i32 i32 i32) " \
	"(result i32)))" \
	"(import \"wasi_snapshot_preview1\" \"path_open\" (func $path_open (param i32 i32 i32 " \
	"i32 i32 " \
	"i64 i64 i32 i32) (result i32)))"

/* A bit of everything that takes memory: names, values, URIs, lines without end, files. */
static const char busy_guest[] =
	"(module " WASI_IMPORTS FAKE_IMPORTS "(memory (export \"memory\") 1)"
	"(data (i32.const 1024) \"acceptx\\0ay/a b?q\\00\\08\\00\\00\\04\\00\\00.\")"
	"(func $print"
	" (i32.store (i32.const 64) (i32.const 1024)) (i32.store (i32.const 68) (i32.const 6))"
	" (drop (call $fd_write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 80)))"
	" (drop (call $fd_write (i32.const 2) (i32.const 64) (i32.const 1) (i32.const 80))))"
	"(func (export \"_start\") (call $log (i32.const 2) (i32.const 1024) (i32.const 6))"
	" (call $print)"
	" (drop (call $path_open (i32.const 3) (i32.const 0) (i32.const 1046) (i32.const 1)"
	"  (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 80))))"
	"(func (export \"handle_request\") (result i64)"
	" (drop (call $enable (i32.const 3)))"
	" (drop (call $names (i32.const 0) (i32.const 2048) (i32.const 100)))"
	" (drop (call $values (i32.const 0) (i32.const 1024) (i32.const 6) (i32.const 2048)"
	"  (i32.const 100)))"
	" (call $set (i32.const 0) (i32.const 1024) (i32.const 6) (i32.const 1030) (i32.const 3))"
	" (drop (call $get_uri (i32.const 2048) (i32.const 100)))"
	" (call $set_uri (i32.const 1033) (i32.const 6))"
	" (call $print)"
	" (drop (call $read (i32.const 0) (i32.const 2048) (i32.const 100)))"
	" (i64.const 1))"
	"(func (export \"handle_response\") (param i32 i32)"
	" (drop (call $values (i32.const 1) (i32.const 1024) (i32.const 6) (i32.const 2048)"
	"  (i32.const 100)))"
	" (call $print)))";

/* On a busy machine a slice may be over before the call. */
static enum weir_step after_yields(struct weir_exchange *e, enum weir_step step)
{
	while (step == WEIR_YIELD)
		step = weir_exchange_step(e);
	return step;
}

/* Two exchanges at once, so that the second one needs an instance of its own. */
static void run_exchanges(struct bench *b)
{
	struct weir_exchange *e[2];
	enum weir_step step[2];
	struct fake f[2];

	for (size_t i = 0; i < 2; i++) {
		fake_init(&f[i]);
		fake_field(&f[i], WEIR_REQUEST, "Accept", "a");
		f[i].all_arrived = false;
		step[i] = weir_exchange_begin(&e[i], b->pool, &fake_http, &f[i]);
		step[i] = after_yields(e[i], step[i]);
		assert_true(step[i] == WEIR_WAIT_BODY || step[i] == WEIR_FAILED);
	}
	for (size_t i = 0; i < 2; i++) {
		f[i].all_arrived = true;
		if (step[i] == WEIR_WAIT_BODY)
			step[i] = after_yields(e[i], weir_exchange_step(e[i]));
		if (step[i] == WEIR_NEXT)
			step[i] = after_yields(e[i], weir_exchange_response(e[i], 0));
		if (step[i] == WEIR_FAILED) {
			assert_int_not_equal(weir_exchange_cause(e[i]), WEIR_CAUSE_NONE);
			assert_int_not_equal(weir_exchange_error(e[i])->text[0], '\0');
		} else {
			assert_int_equal(step[i], WEIR_DONE);
		}
		weir_exchange_end(&e[i]);
		fake_free(&f[i]);
	}
}

static void load_and_run(slice wasm)
{
	static const char *const envs[] = {"A=1", "B=2"};
	static const struct weir_mount mounts[] = {{"/", "/", true}};
	const struct weir_plugin_options o = {.name = "test",
					      .wasm = wasm,
					      .config = SLICE("{}"),
					      .envs = envs,
					      .env_count = 2,
					      .mounts = mounts,
					      .mount_count = 1};
	const struct weir_pool_events events = {.wake = fake_wake};
	struct bench *b = bench_new();
	int r = weir_host_create(&b->host, &b->options, &b->error);

	restore_handlers();
	if (r == 0) {
		r = weir_plugin_create(&b->plugin, b->host, &o, &b->error);
		if (r == 0) {
			r = weir_pool_create(&b->pool, b->plugin, &events);
			if (r == 0) {
				run_exchanges(b);
				(void)weir_pool_tick(b->pool, UINT64_MAX);
			} else {
				assert_int_equal(r, -ENOMEM);
			}
		} else {
			assert_int_equal(r, b->error.code);
			assert_non_null(strstr(b->error.text, "plugin \"test\": "));
		}
	} else {
		assert_int_equal(r, -ENOMEM);
	}
	bench_free(&b);
}

/* Returns how many points there are. */
static unsigned long fail_each(slice wasm)
{
	unsigned long n = 0, before;

	do {
		fail_at = ++n;
		before = failures;
		load_and_run(wasm);
		fail_at = 0;
	} while (failures > before);
	return n - 1;
}

static void allocations(void **state)
{
	wasm_byte_vec_t wasm = fake_wasm(busy_guest);
	unsigned long points[2];

	(void)state;
	fail_on = false;
	points[0] = fail_each(slice_of(wasm.data, wasm.size));
	fail_on = true;
	points[1] = fail_each(slice_of(wasm.data, wasm.size));
	assert_true(points[0] > 25);
	assert_int_equal(points[0], points[1]);
	wasm_byte_vec_delete(&wasm);
}

/* One that neither waits for its body nor was refused for want of address space. */
static void tell_other(size_t number, enum weir_step step, const struct weir_exchange *e)
{
	(void)fprintf(stderr, "exchange %zu: %s", number, weir_step_text(step));
	if (step == WEIR_FAILED)
		(void)fprintf(stderr, ", %s: %s", weir_cause_text(weir_exchange_cause(e)),
			      weir_exchange_error(e)->text);
	(void)fputc('\n', stderr);
}

/* In a child: exchanges until the address space is used up, and then all over again. */
static int exhaust_address_space(slice wasm)
{
	const struct weir_plugin_options o = {
		.name = "test", .wasm = wasm, .limits = {.start_failures = UINT32_MAX}};
	const struct weir_pool_events events = {.wake = fake_wake};
	const struct rlimit limit = {(rlim_t)40 << 30, (rlim_t)40 << 30};
	struct weir_exchange *e[64];
	struct bench *b = bench_new();
	size_t begun = 0, refused = 0;
	enum weir_step step;
	struct fake f;

	fake_init(&f);
	f.all_arrived = false;
	if (setrlimit(RLIMIT_AS, &limit) != 0 ||
	    weir_host_create(&b->host, &b->options, &b->error) != 0 ||
	    weir_plugin_create(&b->plugin, b->host, &o, &b->error) != 0 ||
	    weir_pool_create(&b->pool, b->plugin, &events) != 0)
		return 1;
	for (size_t i = 0; i < ARRAY_LEN(e); i++) {
		step = weir_exchange_begin(&e[i], b->pool, &fake_http, &f);
		step = fake_drive(e[i], step);
		if (step == WEIR_WAIT_BODY)
			begun++;
		else if (step == WEIR_FAILED && weir_exchange_cause(e[i]) == WEIR_CAUSE_START &&
			 strstr(weir_exchange_error(e[i])->text, "instance cannot start") != NULL)
			refused++;
		else
			tell_other(i, step, e[i]);
	}
	if (begun == 0 || refused == 0 || begun + refused != ARRAY_LEN(e))
		return 2;
	for (size_t i = 0; i < ARRAY_LEN(e); i++)
		weir_exchange_end(&e[i]);
	step = weir_exchange_begin(&e[0], b->pool, &fake_http, &f);
	if (fake_drive(e[0], step) != WEIR_WAIT_BODY)
		return 3;
	weir_exchange_end(&e[0]);
	bench_free(&b);
	return 0;
}

static void address_space(void **state)
{
	wasm_byte_vec_t wasm = fake_wasm(busy_guest);
	int status = 0;
	pid_t child;

	(void)state;
#if SANITIZED
	/* Sanitizers have mapped more than any limit, and do not outlive a failure of their own. */
	wasm_byte_vec_delete(&wasm);
	skip();
#endif
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(exhaust_address_space(slice_of(wasm.data, wasm.size)));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	wasm_byte_vec_delete(&wasm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_space),
		cmocka_unit_test(allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
