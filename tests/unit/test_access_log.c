/* The access log: what a line says, that it costs no memory, and what becomes of lines that cannot
 * be written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "observe/access_format.h"
#include "observe/line_writer.h"
#include "proxy/entry_point.h"

#define PATIENCE_MS 30000u

#if defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static _Atomic unsigned allocations;

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n)
{
	allocations++;
	return __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
	allocations++;
	return __real_calloc(count, n);
}

void *__wrap_realloc(void *p, size_t n)
{
	allocations++;
	return __real_realloc(p, n);
}

/* One request that is over, on a loop of its own. */
struct desk {
	struct loop loop;
	struct exchange_pool pool;
	struct exchange *x;
	struct access_record r;
	struct access_settings settings;
	struct access_clock clock;
	struct str line;
	struct static_config *config;
};

static struct entry_point point = {.name = {"web", 3}};
static struct access_sink sink = {.fields = true};

static void add_field(struct fields *f, const char *name, const char *value)
{
	assert_int_equal(fields_add(f, slice_from(name), slice_from(value)), 0);
}

/* As if Traefik had served it at 2009-11-10T23:00:00.12Z. */
static void fill(struct desk *d)
{
	struct exchange *x = d->x;

	x->peer = SLICE("[2001:db8::1]:4711");
	x->user = (slice){NULL, 0};
	d->r = (struct access_record){
		.number = 7,
		.begun_wall_ns = UINT64_C(1257894000120000000),
		.duration_ns = 5500000,
		.method = SLICE("GET"),
		.path = SLICE("/a%20b"),
		.query = SLICE("x=<1>&y=\"2\""),
		.has_query = true,
		.authority = SLICE("site.example:8080"),
		.version = HTTP_1_1,
		.entry_point = &point,
		.router = SLICE("all@file"),
		.origin = {.service = SLICE("s@file"),
			   .host = SLICE("10.0.0.1:80"),
			   .url = SLICE("http://10.0.0.1:80"),
			   .duration_ns = 5000000,
			   .bytes = 300,
			   .status = 200,
			   .complete = true},
		.status = 200,
		.request_bytes = 3,
		.response_bytes = 90,
	};
	fields_init(&d->r.request_fields, &x->arena);
	fields_init(&d->r.response_fields, &x->arena);
	fields_init(&x->response_trailers, &x->arena);
	add_field(&d->r.request_fields, "user-agent", "a\x01\xff\"\\\xe2\x80\xa8z");
	add_field(&d->r.request_fields, "X-Many", "1");
	add_field(&d->r.request_fields, "x_low", "v");
	add_field(&d->r.request_fields, "x-many", "2");
	add_field(&d->r.request_fields, "Cookie", "secret");
	add_field(&d->r.response_fields, "Trailer", "X-Told");
	add_field(&x->response_trailers, "x-told", "t");
	add_field(&x->response_trailers, "x-untold", "u");
}

/* `options` are words. */
static void open_desk(struct desk *d, const char *options)
{
	const struct exchange_limits limits = {.arena_bytes_max = 1 << 20,
					       .body_queue_bytes = 65536};
	struct access_log_config c = {.format_name = SLICE("json"), .format = ACCESS_LOG_JSON};
	static const struct option_pair cookie[] = {{SLICE("cookie"), SLICE("redact")}};
	static const struct option_pair names[] = {{SLICE("requestpath"), SLICE("drop")},
						   {SLICE("Overhead"), SLICE("nonsense")}};

	memset(d, 0, sizeof *d);
	assert_int_equal(setenv("TZ", "UTC+9", 1), 0);
	tzset();
	point.access = &sink;
	c.fields.default_mode = c.fields.headers.default_mode = SLICE("keep");
	c.fields.headers.names = (struct option_pairs){cookie, ARRAY_LEN(cookie)};
	if (strstr(options, "drop") != NULL)
		c.fields.names = (struct option_pairs){names, ARRAY_LEN(names)};
	if (strstr(options, "query") != NULL)
		c.fields.query.default_mode = SLICE("drop");
	if (strstr(options, "common") != NULL)
		c.format = ACCESS_LOG_COMMON;
	if (strstr(options, "generic") != NULL)
		c.format = ACCESS_LOG_GENERIC;
	assert_int_equal(access_settings_create(&d->settings, &c), 0);
	assert_int_equal(loop_init(&d->loop, 1 << 20), 0);
	exchange_pool_init(&d->pool, &d->loop, &limits);
	d->x = exchange_begin(&d->pool, NULL, NULL);
	assert_non_null(d->x);
	fill(d);
}

static void close_desk(struct desk *d)
{
	str_free(&d->line);
	access_settings_free(&d->settings);
	exchange_end(&d->x, true);
	exchange_pool_free(&d->pool);
	loop_close(&d->loop);
}

static const char *written(struct desk *d)
{
	str_clear(&d->line);
	access_format(&d->line, &d->clock, &d->settings, d->x, &d->r);
	assert_false(d->line.failed);
	return d->line.p;
}

static void json(void **state)
{
	struct desk d;

	(void)state;
	open_desk(&d, "");
	assert_string_equal(
		written(&d),
		"{\"ClientAddr\":\"[2001:db8::1]:4711\",\"ClientHost\":\"2001:db8::1\","
		"\"ClientPort\":\"4711\",\"ClientUsername\":\"-\",\"DownstreamContentSize\":90,"
		"\"DownstreamStatus\":200,\"Duration\":5500000,\"GzipRatio\":3.3333333333333335,"
		"\"OriginContentSize\":300,\"OriginDuration\":5000000,\"OriginStatus\":200,"
		"\"Overhead\":500000,\"RequestAddr\":\"site.example:8080\","
		"\"RequestContentSize\":3,\"RequestCount\":7,\"RequestHost\":\"site.example\","
		"\"RequestMethod\":\"GET\","
		"\"RequestPath\":\"/a%20b?x=\\u003c1\\u003e\\u0026y=\\\"2\\\"\","
		"\"RequestPort\":\"8080\",\"RequestProtocol\":\"HTTP/1.1\","
		"\"RequestScheme\":\"http\",\"RetryAttempts\":0,\"RouterName\":\"all@file\","
		"\"ServiceAddr\":\"10.0.0.1:80\",\"ServiceName\":\"s@file\","
		"\"ServiceURL\":\"http://10.0.0.1:80\","
		"\"StartLocal\":\"2009-11-10T14:00:00.12-09:00\","
		"\"StartUTC\":\"2009-11-10T23:00:00.12Z\",\"downstream_Content-Type\":\"\","
		"\"downstream_Trailer\":\"X-Told\",\"downstream_Trailer:X-Untold\":\"u\","
		"\"downstream_X-Told\":\"t\",\"entryPointName\":\"web\",\"level\":\"info\","
		"\"msg\":\"\",\"origin_Content-Type\":\"\",\"origin_Trailer\":\"X-Told\","
		"\"origin_Trailer:X-Untold\":\"u\",\"origin_X-Told\":\"t\","
		"\"request_Cookie\":\"REDACTED\","
		"\"request_User-Agent\":\"a\\u0001\\ufffd\\\"\\\\\\u2028z\","
		"\"request_X-Many\":\"1,2\",\"request_X_low\":\"v\","
		"\"time\":\"2009-11-10T14:00:00-09:00\"}\n");
	close_desk(&d);
}

/* Nothing in a value can end the line or its quotes. */
static void common(void **state)
{
	struct desk d;

	(void)state;
	open_desk(&d, "common");
	d.x->user = SLICE("eve\n\"");
	d.r.forwarded_for = SLICE("1.2.3.4, 5.6.7.8");
	assert_string_equal(written(&d),
			    "1.2.3.4, 5.6.7.8 - eve\\x0a\" [10/Nov/2009:23:00:00 +0000] "
			    "\"GET /a%20b?x=<1>&y=\"2\" HTTP/1.1\" 200 90 \"-\" "
			    "\"a\\x01\xff\\\"\\\xe2\x80\xa8z\" 7 \"all@file\" "
			    "\"http://10.0.0.1:80\" 5ms\n");
	close_desk(&d);
	open_desk(&d, "generic drop query");
	d.r.origin = (struct access_origin){0};
	assert_string_equal(
		written(&d),
		"2001:db8::1 - - [10/Nov/2009:23:00:00 +0000] \"GET - HTTP/1.1\" 200 90 "
		"\"-\" \"a\\x01\xff\\\"\\\xe2\x80\xa8z\"\n");
	close_desk(&d);
}

static void addresses(void **state)
{
	static const struct {
		const char *address, *host, *port;
	} rows[] = {
		{"h", "h", "-"},         {"h:1", "h", "1"},       {"h:", "h", ""},
		{":1", "", "1"},         {"a:b:1", "a:b:1", "-"}, {"[::1]:9", "::1", "9"},
		{"[::1]", "[::1]", "-"}, {"[]:1", "", "1"},       {"[", "[", "-"},
	};
	struct access_value v[ACCESS_FIELD_COUNT];
	struct desk d;

	(void)state;
	open_desk(&d, "");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		d.r.authority = slice_from(rows[i].address);
		access_values(v, &d.settings, d.x, &d.r);
		assert_true(slice_equal(v[ACCESS_REQUEST_HOST].text, slice_from(rows[i].host)));
		assert_true(slice_equal(v[ACCESS_REQUEST_PORT].text, slice_from(rows[i].port)));
	}
	close_desk(&d);
}

static void no_memory_is_taken_after_the_first_line(void **state)
{
	static const char *const formats[] = {"", "common"};
	struct desk d;

	(void)state;
	for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
		unsigned before;

		open_desk(&d, formats[f]);
		(void)written(&d);
		before = allocations;
		for (unsigned i = 0; i < 5; i++) {
			exchange_end(&d.x, false);
			d.x = exchange_begin(&d.pool, NULL, NULL);
			fill(&d);
			(void)written(&d);
		}
		/* With sanitizers arenas keep no blocks. */
		if (!SANITIZED)
			assert_int_equal(allocations, before);
		close_desk(&d);
	}
}

static void filters(void **state)
{
	static const slice codes[] = {SLICE("404"), SLICE("500-599")},
			   bad[] = {SLICE("404"), SLICE("x")};
	struct access_log_config c = {.filters.status_codes = {codes, 2},
				      .filters.min_duration_ns = 1000};
	struct access_record r = {.status = 200, .duration_ns = 1000};
	struct access_settings s;

	(void)state;
	assert_int_equal(access_settings_create(&s, &c), 0);
	assert_false(access_settings_pass(&s, &r));
	r.status = 404;
	assert_true(access_settings_pass(&s, &r));
	r.status = 405;
	assert_false(access_settings_pass(&s, &r));
	r.status = 599;
	assert_true(access_settings_pass(&s, &r));
	r = (struct access_record){.status = 200, .duration_ns = 1001};
	assert_true(access_settings_pass(&s, &r));
	access_settings_free(&s);
	c = (struct access_log_config){.filters.retry_attempts = true};
	assert_int_equal(access_settings_create(&s, &c), 0);
	assert_false(access_settings_pass(&s, &(struct access_record){.status = 200}));
	assert_true(access_settings_pass(&s, &(struct access_record){.repetitions = 1}));
	access_settings_free(&s);
	c = (struct access_log_config){.filters.status_codes = {bad, 2}};
	assert_int_equal(access_settings_create(&s, &c), 0);
	assert_true(access_settings_pass(&s, &(struct access_record){.status = 200}));
	access_settings_free(&s);
}

/* The writer. */

static char directory[] = "/tmp/weir-access-XXXXXX";

static slice path_of(char *to, size_t n, const char *name)
{
	return slice_of(to, (size_t)snprintf(to, n, "%s/%s", directory, name));
}

static uint64_t counted(const struct line_writer *w, size_t offset)
{
	struct line_writer_counters sums = {0};

	line_writer_counters(w, &sums);
	return counter_get((const _Atomic uint64_t *)(const void *)((const char *)&sums + offset));
}

#define COUNTED(w, name) counted(w, offsetof(struct line_writer_counters, name))

#define WAIT_FOR(condition) \
	do { \
		const struct timespec pause_ = {.tv_nsec = 1000000}; \
\
		for (unsigned i_ = 0; !(condition); i_++) { \
			assert_true(i_ < PATIENCE_MS); \
			(void)nanosleep(&pause_, NULL); \
		} \
	} while (0)

static struct line_writer *open_writer(slice path, size_t queues)
{
	struct weir_error e = {0};
	struct line_writer *w = NULL;

	if (line_writer_create(&w, path, queues, 64 << 10, &e) < 0)
		fail_msg("%s", e.text);
	return w;
}

static size_t file_bytes(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

static void a_file_is_opened_again(void **state)
{
	char path[128], moved[128];
	slice name = path_of(path, sizeof path, "new/folder/access.log");
	struct line_writer *w = open_writer(name, 2);

	(void)state;
	(void)path_of(moved, sizeof moved, "moved.log");
	line_writer_put(w, 0, SLICE("one\n"));
	line_writer_put(w, 1, SLICE("two\n"));
	WAIT_FOR(COUNTED(w, lines) == 2);
	assert_int_equal(file_bytes(path), 8);
	assert_int_equal(rename(path, moved), 0);
	line_writer_put(w, 0, SLICE("three\n"));
	WAIT_FOR(COUNTED(w, lines) == 3);
	assert_int_equal(file_bytes(moved), 14);
	line_writer_reopen(w);
	WAIT_FOR(access(path, F_OK) == 0);
	line_writer_put(w, 1, SLICE("four\n"));
	line_writer_destroy(&w);
	assert_int_equal(file_bytes(path), 5);
	assert_int_equal(file_bytes(moved), 14);
}

/* What waits when the file has been moved aside belongs into it. */
static void lines_before_the_new_file_are_in_the_old_one(void **state)
{
	char path[128], moved[128];
	struct line_writer *w = open_writer(path_of(path, sizeof path, "busy.log"), 1);

	(void)state;
	(void)path_of(moved, sizeof moved, "aside.log");
	for (unsigned i = 0; i < 200; i++)
		line_writer_put(w, 0, SLICE("before\n"));
	assert_int_equal(rename(path, moved), 0);
	line_writer_reopen(w);
	WAIT_FOR(access(path, F_OK) == 0);
	line_writer_put(w, 0, SLICE("after\n"));
	line_writer_destroy(&w);
	assert_int_equal(file_bytes(moved), 200 * 7);
	assert_int_equal(file_bytes(path), 6);
}

static void every_line_arrives_across_the_end_of_the_ring(void **state)
{
	char path[128], line[1024];
	struct line_writer *w = open_writer(path_of(path, sizeof path, "ring.log"), 1);
	size_t expected = 0;

	(void)state;
	memset(line, 'x', sizeof line);
	for (unsigned i = 0; i < 1000; i++) {
		size_t n = 1 + i % sizeof line;

		line[n - 1] = '\n';
		line_writer_put(w, 0, slice_of(line, n));
		line[n - 1] = 'x';
		expected += n;
		WAIT_FOR(COUNTED(w, lines) + 60 > i);
	}
	WAIT_FOR(COUNTED(w, lines) == 1000);
	assert_int_equal(COUNTED(w, bytes), expected);
	assert_int_equal(COUNTED(w, queue_full), 0);
	line_writer_destroy(&w);
	assert_int_equal(file_bytes(path), expected);
}

static void a_full_disk_costs_lines(void **state)
{
	struct line_writer *w = open_writer(SLICE("/dev/full"), 1);

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		line_writer_put(w, 0, SLICE("line\n"));
	WAIT_FOR(COUNTED(w, write_failures) == 10);
	assert_int_equal(COUNTED(w, lines), 0);
	line_writer_destroy(&w);
}

/* Who puts lines in does not wait for a reader that sleeps, and neither does the end. */
static void a_pipe_that_nobody_reads_costs_lines(void **state)
{
	static char line[4096];
	char path[128];
	struct line_writer *w;
	slice name = path_of(path, sizeof path, "pipe");

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	w = open_writer(name, 1);
	memset(line, 'x', sizeof line);
	line[sizeof line - 1] = '\n';
	for (unsigned i = 0; i < 100; i++)
		line_writer_put(w, 0, slice_of(line, sizeof line));
	WAIT_FOR(COUNTED(w, lines) > 0);
	while (COUNTED(w, queue_full) == 0)
		line_writer_put(w, 0, slice_of(line, sizeof line));
	line_writer_destroy(&w);
	assert_null(w);
}

/* Each queue that waited as long for itself would take 16 times as long. */
static void the_end_waits_once_for_all_queues(void **state)
{
	static char line[4096];
	char path[128];
	const size_t queues = 16;
	struct line_writer *w;
	slice name = path_of(path, sizeof path, "queues");
	uint64_t begun_ns;

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	w = open_writer(name, queues);
	memset(line, 'x', sizeof line);
	line[sizeof line - 1] = '\n';
	for (size_t i = 0; i < queues * 16; i++)
		line_writer_put(w, i % queues, slice_of(line, sizeof line));
	WAIT_FOR(COUNTED(w, lines) > 0);
	for (size_t i = 0; i < queues * 16; i++)
		line_writer_put(w, i % queues, slice_of(line, sizeof line));
	begun_ns = clock_mono_ns();
	line_writer_destroy(&w);
	assert_true(clock_mono_ns() - begun_ns < UINT64_C(8000000000));
}

static void a_folder_is_no_log(void **state)
{
	struct line_writer *w = NULL;
	struct weir_error e = {0};

	(void)state;
	assert_int_equal(line_writer_create(&w, SLICE("/"), 1, 64 << 10, &e), -EISDIR);
	assert_string_equal(e.text, "/: Is a directory");
	assert_null(w);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(directory) != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"new/folder/access.log",
					    "moved.log",
					    "ring.log",
					    "busy.log",
					    "aside.log",
					    "pipe",
					    "queues"};
	char path[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unlink(path_of(path, sizeof path, names[i]).p);
	(void)rmdir(path_of(path, sizeof path, "new/folder").p);
	(void)rmdir(path_of(path, sizeof path, "new").p);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json),
		cmocka_unit_test(common),
		cmocka_unit_test(addresses),
		cmocka_unit_test(no_memory_is_taken_after_the_first_line),
		cmocka_unit_test(filters),
		cmocka_unit_test(a_file_is_opened_again),
		cmocka_unit_test(lines_before_the_new_file_are_in_the_old_one),
		cmocka_unit_test(every_line_arrives_across_the_end_of_the_ring),
		cmocka_unit_test(a_full_disk_costs_lines),
		cmocka_unit_test(a_pipe_that_nobody_reads_costs_lines),
		cmocka_unit_test(the_end_waits_once_for_all_queues),
		cmocka_unit_test(a_folder_is_no_log),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
