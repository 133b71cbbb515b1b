/*
 * A plugin host, guests written as WAT, and an embedder whose messages are plain arrays, for the
 * tests of plugins.
 */
#ifndef TEST_PLUGIN_FAKE_H
#define TEST_PLUGIN_FAKE_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>
#include <wasmtime.h>

#include "core/base.h"
#include "core/clock.h"
#include "core/str.h"
#include "weir/plugin.h"

/*
 * The engine maps memory by system calls that ThreadSanitizer does not see: where one thread's
 * guest stood, another thread's later stands. And it allocates in its signal handler, on the way
 * out of a guest.
 */
#ifdef __SANITIZE_THREAD__
const char *__tsan_default_suppressions(void);
const char *__tsan_default_options(void);
const char *__tsan_default_suppressions(void)
{
	return "race:array_call_trampoline\nrace:invoke_c_async_callback\n"
	       "race:wasmtime_store_epoch_deadline_callback\n";
}
const char *__tsan_default_options(void)
{
	return "report_signal_unsafe=0";
}
#endif

/* gcc says so by a macro, clang by a feature. */
#if defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#define FIELDS_MAX 64
#define LINES_MAX 256
#define UNUSED_IS_FINE __attribute__((unused))

struct fake_field {
	char name[64];
	char value[256];
	size_t value_n;
};

struct fake_message {
	struct fake_field fields[FIELDS_MAX];
	size_t count;
};

/** One exchange of the embedder. */
struct fake {
	struct fake_message messages[2];
	char method[32];
	char target[256];
	char authority[64];
	const char *version;
	unsigned status;
	struct str body[2];   /* the originals */
	size_t arrived_bytes; /* of the request's */
	bool all_arrived;
	size_t chunk_bytes; /* most that one read gives; 0: all */
	int read_error;
	struct str written[2];
	unsigned writes[2];
	unsigned firsts[2];
	unsigned wakes;
};

/** Host, plugin and pool of one test, and what guests said. */
struct bench {
	struct weir_host *host;
	struct weir_plugin *plugin;
	struct weir_pool *pool;
	struct weir_host_options options;
	struct weir_error error;
	struct {
		enum weir_log_source source;
		enum weir_log_level level;
		char text[512];
		size_t n;
	} lines[LINES_MAX];
	size_t line_count;
	enum weir_log_level lowest;
};

#define FAKE_IMPORTS \
	"(import \"http_handler\" \"enable_features\" (func $enable (param i32) (result i32)))" \
	"(import \"http_handler\" \"get_config\" (func $config (param i32 i32) (result i32)))" \
	"(import \"http_handler\" \"log_enabled\" (func $log_enabled (param i32) (result i32)))" \
	"(import \"http_handler\" \"log\" (func $log (param i32 i32 i32)))" \
	"(import \"http_handler\" \"get_method\" (func $get_method (param i32 i32) (result i32)))" \
	"(import \"http_handler\" \"set_method\" (func $set_method (param i32 i32)))" \
	"(import \"http_handler\" \"get_uri\" (func $get_uri (param i32 i32) (result i32)))" \
	"(import \"http_handler\" \"set_uri\" (func $set_uri (param i32 i32)))" \
	"(import \"http_handler\" \"get_protocol_version\" (func $version (param i32 i32) " \
	"(result " \
	"i32)))" \
	"(import \"http_handler\" \"get_source_addr\" (func $source (param i32 i32) (result " \
	"i32)))" \
	"(import \"http_handler\" \"get_header_names\" (func $names (param i32 i32 i32) (result " \
	"i64)))" \
	"(import \"http_handler\" \"get_header_values\" (func $values (param i32 i32 i32 i32 " \
	"i32) " \
	"(result i64)))" \
	"(import \"http_handler\" \"set_header_value\" (func $set (param i32 i32 i32 i32 i32)))" \
	"(import \"http_handler\" \"add_header_value\" (func $add (param i32 i32 i32 i32 i32)))" \
	"(import \"http_handler\" \"remove_header\" (func $remove (param i32 i32 i32)))" \
	"(import \"http_handler\" \"read_body\" (func $read (param i32 i32 i32) (result i64)))" \
	"(import \"http_handler\" \"write_body\" (func $write (param i32 i32 i32)))" \
	"(import \"http_handler\" \"get_status_code\" (func $get_status (result i32)))" \
	"(import \"http_handler\" \"set_status_code\" (func $set_status (param i32)))" \
	"(import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))"

/** Page 0 from 1024 on holds the test's data; $r32, $r64 and $say report through the log. */
#define FAKE_TOOLS \
	"(func $r32 (param i32) (i32.store (i32.const 0) (local.get 0))" \
	" (call $log (i32.const 0) (i32.const 0) (i32.const 4)))" \
	"(func $r64 (param i64) (i64.store (i32.const 0) (local.get 0))" \
	" (call $log (i32.const 0) (i32.const 0) (i32.const 8)))" \
	"(func $say (param i32 i32) (call $log (i32.const 0) (local.get 0) (local.get 1)))"

#define FAKE_NEXT "(i64.const 1)"
#define FAKE_STOP "(i64.const 0)"

/** A module with the usual imports and one page of memory; `data` begins at 1024. */
#define FAKE_GUEST(data, extra, request, response) \
	"(module " FAKE_IMPORTS " (memory (export \"memory\") 1) (data (i32.const 1024) \"" data \
	"\")" FAKE_TOOLS " " extra \
	" (func (export \"handle_request\") (result i64) (local $n i32)" \
	" (local $r i64) " request \
	") (func (export \"handle_response\") (param $ctx i32) (param $err " \
	"i32) (local $r i64) " response "))"

static void fake_log(void *context, const struct weir_log_line *line)
{
	struct bench *b = context;

	/* What the host says about itself is not counted. */
	if (b->line_count == LINES_MAX || line->plugin.n == 0)
		return;
	b->lines[b->line_count].source = line->source;
	b->lines[b->line_count].level = line->level;
	b->lines[b->line_count].n = line->text.n;
	memcpy(b->lines[b->line_count].text, line->text.p,
	       MIN(line->text.n, sizeof b->lines[0].text));
	b->line_count++;
}

static bool fake_log_enabled(void *context, enum weir_log_level level)
{
	return level >= ((struct bench *)context)->lowest;
}

/* ---- the embedder's messages ---- */

static slice fake_method(void *x)
{
	return slice_from(((struct fake *)x)->method);
}

static int fake_set_method(void *x, slice method)
{
	struct fake *f = x;

	(void)snprintf(f->method, sizeof f->method, "%.*s", SLICE_ARG(method));
	return 0;
}

static slice fake_target(void *x)
{
	return slice_from(((struct fake *)x)->target);
}

static int fake_set_target(void *x, slice target)
{
	struct fake *f = x;

	if (target.n >= sizeof f->target)
		return -E2BIG;
	(void)snprintf(f->target, sizeof f->target, "%.*s", SLICE_ARG(target));
	return 0;
}

static slice fake_version(void *x)
{
	return slice_from(((struct fake *)x)->version);
}

static slice fake_source(void *x)
{
	(void)x;
	return SLICE("127.0.0.1:4711");
}

static slice fake_authority(void *x)
{
	return slice_from(((struct fake *)x)->authority);
}

static int fake_set_authority(void *x, slice authority)
{
	struct fake *f = x;

	(void)snprintf(f->authority, sizeof f->authority, "%.*s", SLICE_ARG(authority));
	return 0;
}

static bool fake_field_next(void *x, enum weir_message m, size_t *cursor, struct weir_field *field)
{
	struct fake_message *message = &((struct fake *)x)->messages[m];
	struct fake_field *f;

	if (*cursor >= message->count)
		return false;
	f = &message->fields[(*cursor)++];
	*field = (struct weir_field){slice_from(f->name), slice_of(f->value, f->value_n)};
	return true;
}

static int fake_field_add(void *x, enum weir_message m, slice name, slice value)
{
	struct fake_message *message = &((struct fake *)x)->messages[m];
	struct fake_field *f;

	if (message->count == FIELDS_MAX || name.n >= sizeof f->name || value.n > sizeof f->value)
		return -ENOBUFS;
	f = &message->fields[message->count++];
	(void)snprintf(f->name, sizeof f->name, "%.*s", SLICE_ARG(name));
	if (value.n > 0)
		memcpy(f->value, value.p, value.n);
	f->value_n = value.n;
	return 0;
}

static int fake_field_remove(void *x, enum weir_message m, slice name)
{
	struct fake_message *message = &((struct fake *)x)->messages[m];
	size_t kept = 0;

	for (size_t i = 0; i < message->count; i++) {
		if (!slice_equal_nocase(slice_from(message->fields[i].name), name))
			message->fields[kept++] = message->fields[i];
	}
	message->count = kept;
	return 0;
}

static int fake_field_set(void *x, enum weir_message m, slice name, slice value)
{
	(void)fake_field_remove(x, m, name);
	return fake_field_add(x, m, name, value);
}

static unsigned fake_status(void *x)
{
	return ((struct fake *)x)->status;
}

static int fake_set_status(void *x, unsigned status)
{
	((struct fake *)x)->status = status;
	return 0;
}

static int fake_read_body(void *x, enum weir_message m, uint64_t offset, void *buf, size_t limit,
			  size_t *got, bool *eof)
{
	struct fake *f = x;
	size_t here = m == WEIR_REQUEST ? f->arrived_bytes : f->body[m].n;
	bool all = m == WEIR_RESPONSE || f->all_arrived;

	if (f->read_error != 0)
		return f->read_error;
	assert_true(offset <= here);
	*got = MIN(here - offset, limit);
	if (f->chunk_bytes != 0)
		*got = MIN(*got, f->chunk_bytes);
	if (*got > 0)
		memcpy(buf, f->body[m].p + offset, *got);
	*eof = all && offset + *got == here;
	return *got == 0 && !*eof ? WEIR_WAIT : 0;
}

static int fake_write_body(void *x, enum weir_message m, slice bytes, bool first)
{
	struct fake *f = x;

	if (first) {
		str_clear(&f->written[m]);
		f->firsts[m]++;
	}
	str_add(&f->written[m], bytes);
	f->writes[m]++;
	return 0;
}

static const struct weir_http fake_http = {
	.method = fake_method,
	.set_method = fake_set_method,
	.target = fake_target,
	.set_target = fake_set_target,
	.version = fake_version,
	.source = fake_source,
	.authority = fake_authority,
	.set_authority = fake_set_authority,
	.field_next = fake_field_next,
	.field_set = fake_field_set,
	.field_add = fake_field_add,
	.field_remove = fake_field_remove,
	.status = fake_status,
	.set_status = fake_set_status,
	.read_body = fake_read_body,
	.write_body = fake_write_body,
};

UNUSED_IS_FINE static void fake_init(struct fake *f)
{
	*f = (struct fake){.version = "HTTP/1.1", .all_arrived = true};
	strcpy(f->method, "GET");
	strcpy(f->target, "/path?q=1");
	strcpy(f->authority, "example.test");
}

UNUSED_IS_FINE static void fake_free(struct fake *f)
{
	for (size_t i = 0; i < 2; i++) {
		str_free(&f->body[i]);
		str_free(&f->written[i]);
	}
}

UNUSED_IS_FINE static void fake_field(struct fake *f, enum weir_message m, const char *name,
				      const char *value)
{
	assert_int_equal(fake_field_add(f, m, slice_from(name), slice_from(value)), 0);
}

/** The values of a field, each followed by ";". */
UNUSED_IS_FINE static const char *fake_values(struct fake *f, enum weir_message m, const char *name)
{
	static char text[1024];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < f->messages[m].count; i++) {
		struct fake_field *at = &f->messages[m].fields[i];

		if (slice_equal_nocase(slice_from(at->name), slice_from(name)))
			n += (size_t)snprintf(text + n, sizeof text - n, "%.*s;", (int)at->value_n,
					      at->value);
	}
	return text;
}

static void fake_wake(void *context, struct weir_exchange *e, void *x)
{
	(void)context;
	(void)e;
	((struct fake *)x)->wakes++;
}

/* ---- hosts and guests ---- */

UNUSED_IS_FINE static struct bench *bench_new(void)
{
	struct bench *b = calloc(1, sizeof *b);

	assert_non_null(b);
	b->lowest = WEIR_LOG_DEBUG;
	b->options.log = fake_log;
	b->options.log_enabled = fake_log_enabled;
	b->options.log_context = b;
	return b;
}

/* cmocka takes the signals over in each test, but the engine installs its handlers once per
 * process: they are put back. */
static void restore_handlers(void)
{
	static const int signals[] = {SIGSEGV, SIGILL, SIGFPE, SIGBUS};
	static struct sigaction engine[ARRAY_LEN(signals)];
	static bool saved;

	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		struct sigaction *at = &engine[i];

		assert_int_equal(sigaction(signals[i], saved ? at : NULL, saved ? NULL : at), 0);
	}
	saved = true;
}

static void bench_host(struct bench *b)
{
	if (b->host == NULL)
		assert_int_equal(weir_host_create(&b->host, &b->options, &b->error), 0);
	restore_handlers();
}

UNUSED_IS_FINE static wasm_byte_vec_t fake_wasm(const char *wat)
{
	wasm_byte_vec_t wasm;
	wasmtime_error_t *e = wasmtime_wat2wasm(wat, strlen(wat), &wasm);

	if (e != NULL) {
		wasm_name_t m;

		wasmtime_error_message(e, &m);
		fail_msg("%.*s", (int)m.size, m.data);
	}
	return wasm;
}

/** Returns what `weir_plugin_create` does. */
UNUSED_IS_FINE static int bench_load(struct bench *b, const char *wat,
				     const struct weir_plugin_options *more)
{
	struct weir_plugin_options o = {0};
	wasm_byte_vec_t wasm = fake_wasm(wat);
	int r;

	bench_host(b);
	if (more != NULL)
		o = *more;
	o.name = "test";
	o.wasm = slice_of(wasm.data, wasm.size);
	r = weir_plugin_create(&b->plugin, b->host, &o, &b->error);
	wasm_byte_vec_delete(&wasm);
	return r;
}

/** Loads a guest that must be fine, and makes its pool. */
UNUSED_IS_FINE static void bench_open(struct bench *b, const char *wat,
				      const struct weir_plugin_options *more)
{
	const struct weir_pool_events events = {.wake = fake_wake};

	if (bench_load(b, wat, more) != 0)
		fail_msg("%s", b->error.text);
	assert_int_equal(weir_pool_create(&b->pool, b->plugin, &events), 0);
}

/** Everything that was made must have gone. */
static void bench_close_plugin(struct bench *b)
{
	struct weir_plugin_stats stats;

	weir_pool_destroy(&b->pool);
	if (b->plugin != NULL) {
		weir_plugin_stats(b->plugin, &stats);
		assert_int_equal(stats.created - stats.destroyed, stats.live);
		assert_int_equal(stats.live, stats.idle + stats.in_use);
		assert_int_equal(stats.in_use, 0);
		assert_int_equal(stats.waiting, 0);
	}
	weir_plugin_unref(&b->plugin);
	b->line_count = 0;
}

UNUSED_IS_FINE static void bench_free(struct bench **b)
{
	bench_close_plugin(*b);
	weir_host_destroy(&(*b)->host);
	free(*b);
	*b = NULL;
}

UNUSED_IS_FINE static struct weir_plugin_stats bench_stats(struct bench *b)
{
	struct weir_plugin_stats stats;

	weir_plugin_stats(b->plugin, &stats);
	return stats;
}

/** Steps an exchange until it is neither yielding nor sleeping. */
UNUSED_IS_FINE static enum weir_step fake_drive(struct weir_exchange *e, enum weir_step step)
{
	/* Also where no slice ends early, so that this does not depend on the machine's load. */
	assert_non_null(e);
	while (step == WEIR_YIELD || step == WEIR_WAIT_TIMER)
		step = weir_exchange_step(e);
	return step;
}

/* ---- what guests said ---- */

UNUSED_IS_FINE static void expect_line(struct bench *b, size_t n, const char *bytes, size_t count)
{
	assert_true(n < b->line_count);
	assert_int_equal(b->lines[n].n, count);
	assert_memory_equal(b->lines[n].text, bytes, MIN(count, sizeof b->lines[0].text));
}

UNUSED_IS_FINE static void expect_text(struct bench *b, size_t n, const char *text)
{
	expect_line(b, n, text, strlen(text));
}

UNUSED_IS_FINE static void expect_i32(struct bench *b, size_t n, int32_t value)
{
	expect_line(b, n, (const char *)&value, sizeof value);
}

UNUSED_IS_FINE static void expect_count_len(struct bench *b, size_t n, uint32_t count, uint32_t len)
{
	uint64_t value = (uint64_t)count << 32 | len;

	expect_line(b, n, (const char *)&value, sizeof value);
}

#endif
