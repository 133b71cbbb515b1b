/*
 * Guests that attack their host: arguments of any kind in every phase, modules of odd shapes,
 * exchanges that end while the guest is in the middle of something.
 */
#include "plugin_fake.h"

#include "plugin/abi.h"
#include "plugin/plugin.h"

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

static uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33);
}

/* ---- any function, any arguments, any phase ---- */

enum phase { IN_SECTION, IN_START, IN_INITIALIZE, IN_REQUEST, IN_RESPONSE, PHASE_COUNT };

/** What the guest finds as its configuration, and obeys. */
struct recipe {
	uint8_t phase;
	uint8_t function; /* of `abi_functions` */
	uint8_t features; /* enabled in the request phase */
	uint8_t grow;     /* pages, before the call */
	uint32_t args[5];
};

_Static_assert(sizeof(struct recipe) == 24, "the guest reads it at 4096");

static void add_wild_call(struct str *wat, size_t nth, const struct abi_function *f)
{
	str_format(wat, "(if (i32.eq (i32.load8_u (i32.const 4097)) (i32.const %zu)) (then ", nth);
	if (f->results[0] != '\0')
		str_add(wat, SLICE("(drop "));
	str_format(wat, "(call $%s", f->name);
	for (size_t i = 0; f->params[i] != '\0'; i++)
		str_format(wat, " (i32.load (i32.const %zu))", 4100 + 4 * i);
	str_add(wat, f->results[0] != '\0' ? SLICE("))))") : SLICE(")))"));
}

static void add_import(struct str *wat, const struct abi_function *f)
{
	str_format(wat, "(import \"http_handler\" \"%s\" (func $%s (param", f->name, f->name);
	for (size_t i = 0; f->params[i] != '\0'; i++)
		str_add(wat, SLICE(" i32"));
	str_format(wat, ")%s))",
		   f->results[0] == '\0'  ? ""
		   : f->results[0] == 'I' ? "(result i64)"
					  : "(result i32)");
}

static char *wild_guest(void)
{
	struct str wat = {0};
	size_t count;
	const struct abi_function *f = abi_functions(&count);

	str_add(&wat, SLICE("(module "));
	for (size_t i = 0; i < count; i++)
		add_import(&wat, &f[i]);
	str_add(&wat,
		SLICE("(memory (export \"memory\") 1 4)"
		      "(func $wild (param i32)"
		      " (drop (call $get_config (i32.const 4096) (i32.const 24)))"
		      " (if (i32.ne (i32.load8_u (i32.const 4096)) (local.get 0)) (then (return)))"
		      " (drop (memory.grow (i32.load8_u (i32.const 4099))))"));
	for (size_t i = 0; i < count; i++)
		add_wild_call(&wat, i, &f[i]);
	str_add(&wat, SLICE(") (func $section (call $wild (i32.const 0))) (start $section)"
			    "(func (export \"_start\") (call $wild (i32.const 1)))"
			    "(func (export \"_initialize\") (call $wild (i32.const 2)))"
			    "(func (export \"handle_request\") (result i64)"
			    " (drop (call $get_config (i32.const 4096) (i32.const 24)))"
			    " (drop (call $enable_features (i32.load8_u (i32.const 4098))))"
			    " (call $wild (i32.const 3)) (i64.const 1))"
			    "(func (export \"handle_response\") (param i32 i32)"
			    " (call $wild (i32.const 4))))"));
	return str_take(&wat);
}

static void fill_fake(struct fake *f)
{
	fake_init(f);
	fake_field(f, WEIR_REQUEST, "Accept", "a");
	fake_field(f, WEIR_REQUEST, "accept", "");
	fake_field(f, WEIR_RESPONSE, "Server", "s");
	str_add(&f->body[WEIR_REQUEST], SLICE("the request's body"));
	str_add(&f->body[WEIR_RESPONSE], SLICE("the response's body"));
	f->arrived_bytes = f->body[WEIR_REQUEST].n;
}

/* To its end, or to the point where it waits for a client that has gone. */
static void run_exchange(struct bench *b, unsigned flags)
{
	struct weir_exchange *e;
	struct fake f;
	enum weir_step step;

	fill_fake(&f);
	step = weir_exchange_begin(&e, b->pool, &fake_http, &f);
	if (step == WEIR_NEXT)
		step = weir_exchange_response(e, flags);
	if (step == WEIR_FAILED) {
		assert_int_not_equal(weir_exchange_cause(e), WEIR_CAUSE_NONE);
		assert_int_not_equal(weir_exchange_error(e)->text[0], '\0');
	}
	weir_exchange_end(&e);
	fake_free(&f);
}

static void obey(struct bench *b, slice wasm, const struct recipe *r, unsigned flags)
{
	const struct weir_pool_events events = {.wake = fake_wake};
	struct weir_plugin_options o = {.name = "wild", .wasm = wasm};

	o.config = slice_of((const char *)r, sizeof *r);
	if (weir_plugin_create(&b->plugin, b->host, &o, &b->error) == 0) {
		assert_int_equal(weir_pool_create(&b->pool, b->plugin, &events), 0);
		run_exchange(b, flags);
		run_exchange(b, flags);
	} else {
		assert_in_range(r->phase, IN_SECTION, IN_INITIALIZE);
		assert_int_equal(b->error.code, -ENOEXEC);
	}
	bench_close_plugin(b);
}

static void wild_calls(void **state)
{
	static const uint32_t odd[] = {0,          1,          2,         3,      4,
				       7,          24,         4096,      65535,  65536,
				       65537,      131071,     99999,     262144, 0x7fffffff,
				       0x80000000, 0xffff0000, 0xffffffff};
	struct bench *b = *state;
	char *wat = wild_guest();
	wasm_byte_vec_t wasm = fake_wasm(wat);
	struct weir_plugin *first;
	uint64_t seed = 1;
	size_t count;

	(void)abi_functions(&count);
	/* Keeps the module, which would be compiled again for each recipe. */
	assert_int_equal(bench_load(b, wat, NULL), 0);
	first = b->plugin;
	for (unsigned phase = 0; phase < PHASE_COUNT; phase++) {
		for (size_t nth = 0; nth < count; nth++) {
			for (unsigned round = 0; round < 40; round++) {
				struct recipe r = {.phase = (uint8_t)phase,
						   .function = (uint8_t)nth,
						   .features = (uint8_t)(next_random(&seed) % 4),
						   .grow = (uint8_t)(next_random(&seed) % 4)};

				for (size_t i = 0; i < ARRAY_LEN(r.args); i++)
					r.args[i] = odd[next_random(&seed) % ARRAY_LEN(odd)];
				if (round % 2 == 0)
					r.args[0] = next_random(&seed) % 4;
				obey(b, slice_of(wasm.data, wasm.size), &r, round % 4);
			}
		}
	}
	weir_plugin_unref(&first);
	wasm_byte_vec_delete(&wasm);
	free(wat);
}

/* ---- odd modules ---- */

#define MEMORY "(memory (export \"memory\") 1)"
#define REQUEST "(func (export \"handle_request\") (result i64) (i64.const 1))"
#define RESPONSE "(func (export \"handle_response\") (param i32 i32) (drop (i32.const 1)))"
#define WHOLE MEMORY REQUEST RESPONSE

static void expect_load(struct bench *b, const char *wat, int code, const char *hint)
{
	struct weir_plugin_options o = {.limits = {.init_ms = 100}};
	int r = bench_load(b, wat, &o);

	if (r != code || (code != 0 && strstr(b->error.text, hint) == NULL))
		fail_msg("%d, expected %d with \"%s\": %s", r, code, hint, b->error.text);
	bench_close_plugin(b);
}

static void odd_imports(void **state)
{
	struct bench *b = *state;

	expect_load(b,
		    "(module (import \"http_handler\" \"memory\" (memory 1))"
		    "(export \"memory\" (memory 0))" REQUEST RESPONSE ")",
		    -EINVAL, "\"memory\" is not exported in module \"http_handler\"");
	expect_load(b, "(module (import \"http_handler\" \"log\" (global (mut i32)))" WHOLE ")",
		    -EINVAL, "\"log\" is not exported");
	expect_load(b, "(module (import \"http_handler\" \"log\" (table 1 funcref))" WHOLE ")",
		    -EINVAL, "\"log\" is not exported");
	expect_load(b, "(module (import \"\" \"\" (func))" WHOLE ")", -EINVAL, "module[] not inst");
	expect_load(b,
		    "(module (import \"wasi_snapshot_preview1\" \"fd_write\" (global i32))" WHOLE
		    ")",
		    -EINVAL, "\"fd_write\" is not exported");
	expect_load(b,
		    "(module (import \"http_handler\" \"log\" (func (param f32 funcref) (result "
		    "v128)))" WHOLE ")",
		    -EINVAL, "found (f32, reference) -> (v128)");
	expect_load(b,
		    "(module (type $t (func)) (import \"http_handler\" \"log\" (global (mut (ref "
		    "null $t))))" WHOLE ")",
		    -EINVAL, "\"log\" is not exported");
	/* Types that the engine's own C interface aborts on. */
	expect_load(b,
		    "(module (type $t (func)) (import \"http_handler\" \"log\" (func (param (ref "
		    "$t)))) " WHOLE ")",
		    -EINVAL, "");
	expect_load(
		b, "(module (import \"http_handler\" \"log\" (func (param (ref func)))) " WHOLE ")",
		-EINVAL, "");
	expect_load(b, "(module (import \"http_handler\" \"log\" (func (param exnref))) " WHOLE ")",
		    -EINVAL, "");
	expect_load(b, "(module (import \"http_handler\" \"t\" (tag (param i32))) " WHOLE ")",
		    -EINVAL, "");
	expect_load(b,
		    "(module (type $t (func)) (func (export \"handle_request\") (param (ref "
		    "$t)))" MEMORY RESPONSE ")",
		    -EINVAL, "");
	expect_load(b, "(module (tag (export \"x\"))" WHOLE ")", -EINVAL, "");
	expect_load(b,
		    "(module (type $t (func)) (table (export \"x\") 1 (ref null $t)) (global "
		    "(export \"g\") (ref null $t) (ref.null $t))" WHOLE ")",
		    0, "");
}

static void odd_memories(void **state)
{
	struct bench *b = *state;

	expect_load(b, "(module (memory 1) (memory (export \"memory\") 1)" REQUEST RESPONSE ")",
		    -EINVAL, "does not compile: ");
	expect_load(b, "(module (memory (export \"memory\") i64 1)" REQUEST RESPONSE ")", -EINVAL,
		    "does not compile: ");
	expect_load(b, "(module (memory (export \"memory\") 1 1 shared)" REQUEST RESPONSE ")",
		    -EINVAL, "does not compile: ");
	expect_load(b, "(module (memory (export \"memory\") 65536)" REQUEST RESPONSE ")", -E2BIG,
		    "needs 4294967296 bytes of memory at once, expected at most 268435456");
	expect_load(b, "(module (memory (export \"memory\") 0 65536)" REQUEST RESPONSE ")", 0, "");
	expect_load(
		b,
		"(module (memory (export \"memory\") 0) (data (i32.const 0) \"x\")" REQUEST RESPONSE
		")",
		-EINVAL, "data segment 0 (1 bytes at 0) passes the end of the memory");
}

static void odd_starts(void **state)
{
	struct bench *b = *state;

	expect_load(b, "(module (func $s (loop (br 0))) (start $s)" WHOLE ")", -ETIMEDOUT,
		    "instantiation: used up its");
	expect_load(b, "(module (func $s (call $s)) (start $s)" WHOLE ")", -ENOEXEC,
		    "call stack exhausted");
	expect_load(b, "(module (func $s unreachable) (start $s)" WHOLE ")", -ENOEXEC,
		    "unreachable");
	/* The exit of a start section is not one of a command. */
	expect_load(
		b,
		"(module (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $e (param i32)))"
		"(func $s (call $e (i32.const 0))) (start $s)" WHOLE ")",
		-ENOEXEC, "exit code 0");
}

/* Exports of what the host gave: the engine's caller is the host itself. */
static void exported_imports(void **state)
{
	struct bench *b = *state;
	struct weir_exchange *e;
	struct fake f;

	fake_init(&f);
	bench_open(b,
		   "(module (import \"http_handler\" \"set_uri\" (func $f (param i32 i32)))"
		   "(export \"handle_response\" (func $f))" MEMORY REQUEST ")",
		   NULL);
	assert_false(weir_plugin_facts(b->plugin)->response_empty);
	assert_int_equal(weir_exchange_begin(&e, b->pool, &fake_http, &f), WEIR_NEXT);
	assert_int_equal(weir_exchange_response(e, 0), WEIR_FAILED);
	assert_int_equal(weir_exchange_cause(e), WEIR_CAUSE_ABI);
	weir_exchange_end(&e);
	fake_free(&f);
}

/* A module of `count` times the same text between two others. */
static char *repeated(const char *before, const char *format, unsigned count, const char *after)
{
	struct str wat = {0};

	str_add(&wat, slice_from(before));
	for (unsigned i = 0; i < count; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		str_format(&wat, format, i);
#pragma GCC diagnostic pop
	}
	str_add(&wat, slice_from(after));
	return str_take(&wat);
}

static void expect_repeated(struct bench *b, const char *format, unsigned count, int code,
			    const char *hint)
{
	char *wat = repeated("(module ", format, count, WHOLE ")");

	expect_load(b, wat, code, hint);
	free(wat);
}

static void crowded_modules(void **state)
{
	struct bench *b = *state;

	expect_repeated(b, "(func (export \"f%u\"))", 50000, 0, "");
	expect_repeated(b, "(data \"x\") (global i32 (i32.const %u))", 20000, 0, "");
	expect_repeated(b, "(data (i32.const %u) \"x\")", 50000, 0, "");
	expect_repeated(b, "(import \"http_handler\" \"log\" (func $l%u (param i32 i32 i32)))",
			20000, 0, "");
	expect_repeated(b, "(func (export \"\\00%u\\c2\\80\\0a\"))", 1, 0, "");
}

/* What an instance's tables take counts in all, however many they are. */
static void many_tables(void **state)
{
	struct bench *b = *state;

	expect_repeated(b, "(table $t%u 1000000 funcref)", 90, -ENOMEM, "table");
	expect_repeated(b, "(table $t%u 10 funcref)", 8, 0, "");
}

static void odd_names(void **state)
{
	struct bench *b = *state;

	expect_load(b, "(module (import \"a\\00b\\0a\\1b[31m\" \"c\\0ad\" (func))" WHOLE ")",
		    -EINVAL, "module[a");
	assert_null(strchr(b->error.text, '\n'));
}

/* What the stack of a trap shows are the guest's names. */
static void names_in_stacks(void **state)
{
	struct bench *b = *state;
	struct weir_exchange *e;
	struct fake f;

	fake_init(&f);
	bench_open(b,
		   FAKE_GUEST("", "(func $\"a\\0ab\\1b[31mc\" unreachable)",
			      "(call $\"a\\0ab\\1b[31mc\")" FAKE_NEXT, ""),
		   NULL);
	assert_int_equal(weir_exchange_begin(&e, b->pool, &fake_http, &f), WEIR_FAILED);
	assert_non_null(strstr(weir_exchange_error(e)->text, "in a b"));
	for (const char *at = weir_exchange_error(e)->text; *at != '\0'; at++)
		assert_true((unsigned char)*at >= ' ' && *at != 0x7f);
	weir_exchange_end(&e);
	fake_free(&f);
}

/* ---- too much of everything ---- */

static void expect_abi_fault(struct bench *b, const char *request, const char *hint)
{
	struct str wat = {0};
	struct weir_exchange *e;
	struct fake f;

	fill_fake(&f);
	str_format(&wat,
		   "(module " FAKE_IMPORTS "(memory (export \"memory\") 1025)"
		   "(func (export \"handle_request\") (result i64)"
		   " (memory.fill (i32.const 0) (i32.const 0x61) (i32.const 0x4000000)) "
		   " (i32.store8 (i32.const 0) (i32.const 47)) %s (i64.const 1))" RESPONSE ")",
		   request);
	bench_open(b, wat.p, NULL);
	assert_int_equal(weir_exchange_begin(&e, b->pool, &fake_http, &f), WEIR_FAILED);
	if (weir_exchange_cause(e) != WEIR_CAUSE_ABI ||
	    strstr(weir_exchange_error(e)->text, hint) == NULL)
		fail_msg("%s", weir_exchange_error(e)->text);
	weir_exchange_end(&e);
	bench_close_plugin(b);
	str_free(&wat);
	fake_free(&f);
}

/* Texts are copied, checked and encoded again in the time of one host function, which nothing can
 * interrupt. */
static void long_texts(void **state)
{
	struct bench *b = *state;

	expect_abi_fault(b, "(call $set_uri (i32.const 0) (i32.const 0x4000000))",
			 "URI has 67108864 bytes, expected at most 1048576");
	expect_abi_fault(b, "(call $set_method (i32.const 1) (i32.const 0x100001))",
			 "method has 1048577 bytes, expected at most 1048576");
	expect_abi_fault(
		b,
		"(call $set (i32.const 0) (i32.const 1) (i32.const 0x4000000) (i32.const 1) "
		"(i32.const 1))",
		"header name has");
	expect_abi_fault(b,
			 "(call $add (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1) "
			 "(i32.const 0x100001))",
			 "header value has 1048577 bytes");
	expect_abi_fault(b,
			 "(drop (call $values (i32.const 0) (i32.const 1) (i32.const 0x4000000) "
			 "(i32.const 0) (i32.const 0)))",
			 "header name has");
}

/* The host works on the rest of the guest's stack, however much the guest has used of its own. */
static void deep_host_calls(void **state)
{
	struct bench *b = *state;
	struct weir_exchange *e;
	enum weir_step step;
	struct fake f;

	fill_fake(&f);
	bench_open(
		b,
		FAKE_GUEST("x",
			   "(func $deep (drop (call $names (i32.const 0) (i32.const 0) "
			   "(i32.const 100))) (drop (call $get_uri (i32.const 0) (i32.const 100)))"
			   " (call $say (i32.const 1024) (i32.const 1)) (call $deep))",
			   "(call $deep)" FAKE_NEXT, ""),
		NULL);
	step = weir_exchange_begin(&e, b->pool, &fake_http, &f);
	assert_int_equal(fake_drive(e, step), WEIR_FAILED);
	assert_int_equal(weir_exchange_cause(e), WEIR_CAUSE_TRAP);
	assert_non_null(strstr(weir_exchange_error(e)->text, "call stack exhausted"));
	weir_exchange_end(&e);
	fake_free(&f);
}

/* ---- ends in the middle ---- */

#define POLL \
	"(import \"wasi_snapshot_preview1\" \"poll_oneoff\" (func $poll (param i32 i32 i32 i32) " \
	"(result i32)))"
/* Ten seconds on the monotonic clock. */
#define SLEEP \
	"(i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const " \
	"10000000000))" \
	"(drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))"
#define SPIN "(loop (br 0))"
#define READ "(drop (call $read (i32.const 0) (i32.const 0) (i32.const 10)))"

static char *stuck_guest(const char *start, const char *request, const char *response)
{
	struct str wat = {0};

	/* Only instances after the first one get stuck while starting: they may not log. */
	str_format(&wat,
		   "(module " POLL FAKE_IMPORTS MEMORY
		   "(func (export \"_initialize\") (if (i32.eqz (call $log_enabled (i32.const 0))) "
		   "(then %s)))"
		   "(func (export \"handle_request\") (result i64) %s (i64.const 1))"
		   "(func (export \"handle_response\") (param i32 i32) (drop (i32.const 0)) %s))",
		   start, request, response);
	return str_take(&wat);
}

struct stuck {
	const char *start, *request, *response;
	enum weir_step at;
};

static void ends_in_calls(void **state)
{
	static const struct stuck rows[] = {
		{SPIN, "", "", WEIR_YIELD},     {SLEEP, "", "", WEIR_WAIT_TIMER},
		{"", SPIN, "", WEIR_YIELD},     {"", SLEEP, "", WEIR_WAIT_TIMER},
		{"", READ, "", WEIR_WAIT_BODY}, {"", "", "", WEIR_NEXT},
		{"", "", SPIN, WEIR_YIELD},     {"", "", SLEEP, WEIR_WAIT_TIMER},
	};
	const struct weir_plugin_options o = {.init = WEIR_INIT_OWN};
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *wat = stuck_guest(rows[i].start, rows[i].request, rows[i].response);
		struct weir_exchange *held, *e;
		struct fake f;
		enum weir_step step;

		fake_init(&f);
		f.all_arrived = false;
		b->lowest = WEIR_LOG_DEBUG;
		bench_open(b, wat, &o);
		b->lowest = WEIR_LOG_ERROR;
		step = weir_exchange_begin(&held, b->pool, &fake_http, &f);
		if (rows[i].start[0] != '\0')
			step = weir_exchange_begin(&e, b->pool, &fake_http, &f);
		else
			e = held;
		if (step == WEIR_NEXT && rows[i].at != WEIR_NEXT)
			step = weir_exchange_response(e, 0);
		assert_int_equal(step, rows[i].at);
		weir_exchange_end(&e);
		if (rows[i].start[0] != '\0')
			weir_exchange_end(&held);
		assert_int_equal(bench_stats(b).live, 0);
		bench_close_plugin(b);
		free(wat);
		fake_free(&f);
	}
}

static void ends_in_the_queue(void **state)
{
	struct weir_plugin_options o = {.limits = {.instances = 1}};
	struct bench *b = *state;
	char *wat = stuck_guest("", READ, "");
	struct weir_exchange *e[5];
	struct fake f;

	fake_init(&f);
	f.all_arrived = false;
	bench_open(b, wat, &o);
	assert_int_equal(weir_exchange_begin(&e[0], b->pool, &fake_http, &f), WEIR_WAIT_BODY);
	for (size_t i = 1; i < ARRAY_LEN(e); i++)
		assert_int_equal(weir_exchange_begin(&e[i], b->pool, &fake_http, &f),
				 WEIR_WAIT_INSTANCE);
	/* The second one gets the right to make an instance and hands it on, as does the third. */
	weir_exchange_end(&e[0]);
	assert_int_equal(f.wakes, 1);
	weir_exchange_end(&e[1]);
	assert_int_equal(f.wakes, 2);
	/* One that was never woken. */
	weir_exchange_end(&e[3]);
	assert_int_equal(f.wakes, 2);
	assert_int_equal(weir_exchange_step(e[2]), WEIR_WAIT_BODY);
	f.all_arrived = true;
	assert_int_equal(weir_exchange_step(e[2]), WEIR_NEXT);
	assert_int_equal(weir_exchange_response(e[2], 0), WEIR_DONE);
	/* The last one has been given the instance itself. */
	assert_int_equal(f.wakes, 3);
	weir_exchange_end(&e[4]);
	weir_exchange_end(&e[2]);
	assert_int_equal(bench_stats(b).idle, 1);
	free(wat);
	fake_free(&f);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(wild_calls),        TEST(odd_imports),      TEST(odd_memories),
		TEST(odd_starts),        TEST(exported_imports), TEST(crowded_modules),
		TEST(many_tables),       TEST(odd_names),        TEST(names_in_stacks),
		TEST(long_texts),        TEST(deep_host_calls),  TEST(ends_in_calls),
		TEST(ends_in_the_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
