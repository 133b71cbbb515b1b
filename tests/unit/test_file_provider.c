#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/log.h"
#include "provider/provider.h"

#define PATIENCE_MS 20000

/* A loop, an aggregator, a provider in a directory of its own, and what was handed on last. */
struct scene {
	uv_loop_t loop;
	uv_timer_t tick; /* keeps the loop running while a test waits */
	char directory[64];
	char path[128];
	struct file_provider_config config;
	struct aggregator *aggregator;
	struct provider *provider;
	struct dynamic_config *last;
	unsigned applied;
	uint64_t applied_ms;
};

static void apply(void *context, struct dynamic_config *config)
{
	struct scene *s = context;
	struct config_report report;
	struct arena arena;

	arena_init(&arena, 4096, 1 << 20);
	dynamic_destroy(&s->last);
	s->last = dynamic_ref(config);
	config_report_init(&report, &arena);
	assert_int_equal(dynamic_merge_gathered(config, &report), 0);
	arena_free(&arena);
	s->applied++;
	s->applied_ms = clock_mono_ms();
}

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
}

static char *in(struct scene *s, const char *name)
{
	static char paths[4][256];
	static unsigned next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof paths[0], "%s/%s", s->directory, name);
	return path;
}

static void write_file(const char *path, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void write_file(const char *path, const char *format, ...)
{
	FILE *f = fopen(path, "w");
	va_list args;

	assert_non_null(f);
	va_start(args, format);
	(void)vfprintf(f, format, args);
	va_end(args);
	assert_int_equal(fclose(f), 0);
}

/* One service whose only server is `url`. */
#define SERVICE \
	"http:\n  services:\n    s:\n      loadBalancer:\n        servers:\n        - url: %s\n"

static void open_scene(struct scene *s, int64_t throttle_ns)
{
	*s = (struct scene){.config = {.watch = true}};
	(void)snprintf(s->directory, sizeof s->directory, "/tmp/weir-test-XXXXXX");
	assert_non_null(mkdtemp(s->directory));
	(void)snprintf(s->path, sizeof s->path, "%s/dyn.yml", s->directory);
	s->config.filename = slice_from(s->path);
	assert_int_equal(uv_loop_init(&s->loop), 0);
	assert_int_equal(uv_timer_init(&s->loop, &s->tick), 0);
	assert_int_equal(uv_timer_start(&s->tick, on_tick, 5, 5), 0);
	assert_int_equal(aggregator_create(&s->aggregator, &s->loop, throttle_ns, apply, s, NULL),
			 0);
}

static void start(struct scene *s)
{
	struct weir_error e = {0};

	if (file_provider_create(&s->provider, s->aggregator, &s->config, &e) != 0)
		fail_msg("%s", e.text);
}

static void close_scene(struct scene *s)
{
	char command[128];

	provider_destroy(&s->provider);
	aggregator_destroy(&s->aggregator);
	dynamic_destroy(&s->last);
	uv_close((uv_handle_t *)&s->tick, NULL);
	assert_int_equal(uv_run(&s->loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&s->loop), 0);
	(void)snprintf(command, sizeof command, "rm -rf '%s'", s->directory);
	assert_int_equal(system(command), 0);
}

/* The URL of the only server of a service of the provider `file`, or "". */
static const char *url_of(struct scene *s, const char *service)
{
	char name[64];
	const struct dynamic_service *found;
	const struct dynamic_server *server;

	(void)snprintf(name, sizeof name, "%s@file", service);
	found = s->last != NULL ? dynamic_service_find(s->last, slice_from(name)) : NULL;
	if (found == NULL || found->load_balancer == NULL)
		return "";
	server = found->load_balancer->servers.items[0];
	return server->url.p;
}

static void wait_for(struct scene *s, const char *service, const char *url)
{
	uint64_t end = clock_mono_ms() + PATIENCE_MS;

	while (strcmp(url_of(s, service), url) != 0) {
		if (clock_mono_ms() > end)
			fail_msg("%s is \"%s\" and not \"%s\"", service, url_of(s, service), url);
		(void)uv_run(&s->loop, UV_RUN_ONCE);
	}
}

static void run_for(struct scene *s, uint64_t ms)
{
	uint64_t end = clock_mono_ms() + ms;

	while (clock_mono_ms() < end)
		(void)uv_run(&s->loop, UV_RUN_ONCE);
}

static void a_file_is_loaded_at_once(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, 0);
	write_file(s.path, SERVICE, "one");
	start(&s);
	assert_string_equal(url_of(&s, "s"), "one");
	assert_int_equal(s.applied, 1);
	close_scene(&s);
}

static void templates_are_rendered(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, 0);
	write_file(s.path,
		   "http:\n  services:\n{{ range $i := until 3 }}    s{{ $i }}: {loadBalancer: "
		   "{servers: [{url: {{ printf \"u%%d\" $i | quote }}}]}}\n{{ end }}");
	start(&s);
	assert_int_equal(s.last->service_count, 3);
	assert_string_equal(url_of(&s, "s2"), "u2");
	close_scene(&s);
}

static void writing_over_it_is_seen(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, 0);
	write_file(s.path, SERVICE, "one");
	start(&s);
	write_file(s.path, SERVICE, "two");
	wait_for(&s, "s", "two");
	write_file(s.path, SERVICE, "three");
	wait_for(&s, "s", "three");
	close_scene(&s);
}

static void renaming_over_it_is_seen(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, 0);
	write_file(s.path, SERVICE, "one");
	start(&s);
	for (int i = 0; i < 3; i++) {
		char url[16];

		(void)snprintf(url, sizeof url, "r%d", i);
		write_file(in(&s, "dyn.yml.tmp"), SERVICE, url);
		assert_int_equal(rename(in(&s, "dyn.yml.tmp"), s.path), 0);
		wait_for(&s, "s", url);
	}
	close_scene(&s);
}

static void deleting_keeps_the_last_and_creating_is_seen(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, 0);
	write_file(s.path, SERVICE, "one");
	start(&s);
	assert_int_equal(unlink(s.path), 0);
	run_for(&s, 200);
	assert_string_equal(url_of(&s, "s"), "one");
	write_file(s.path, SERVICE, "two");
	wait_for(&s, "s", "two");
	close_scene(&s);
}

static void its_directory_may_go_and_come(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, 0);
	assert_int_equal(mkdir(in(&s, "sub"), 0700), 0);
	(void)snprintf(s.path, sizeof s.path, "%s/sub/dyn.yml", s.directory);
	s.config.filename = slice_from(s.path);
	write_file(s.path, SERVICE, "one");
	start(&s);
	assert_int_equal(unlink(s.path), 0);
	assert_int_equal(rmdir(in(&s, "sub")), 0);
	run_for(&s, 150);
	assert_int_equal(mkdir(in(&s, "sub"), 0700), 0);
	run_for(&s, 150);
	write_file(s.path, SERVICE, "two");
	wait_for(&s, "s", "two");
	close_scene(&s);
}

/* dyn.yml -> ..data/dyn.yml, ..data -> ..N: the last link is replaced by renaming. */
static void orchestrators_swap_a_link(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, 0);
	assert_int_equal(mkdir(in(&s, "..1"), 0700), 0);
	assert_int_equal(mkdir(in(&s, "..2"), 0700), 0);
	write_file(in(&s, "..1/dyn.yml"), SERVICE, "one");
	write_file(in(&s, "..2/dyn.yml"), SERVICE, "two");
	assert_int_equal(symlink("..1", in(&s, "..data")), 0);
	assert_int_equal(symlink("..data/dyn.yml", s.path), 0);
	start(&s);
	assert_string_equal(url_of(&s, "s"), "one");
	assert_int_equal(symlink("..2", in(&s, "..data_tmp")), 0);
	assert_int_equal(rename(in(&s, "..data_tmp"), in(&s, "..data")), 0);
	wait_for(&s, "s", "two");
	write_file(in(&s, "..2/dyn.yml"), SERVICE, "three");
	wait_for(&s, "s", "three");
	close_scene(&s);
}

static void orchestrators_swap_a_directory(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, 0);
	s.config.filename = SLICE("");
	s.config.directory = slice_from(s.directory);
	assert_int_equal(mkdir(in(&s, "..1"), 0700), 0);
	assert_int_equal(mkdir(in(&s, "..2"), 0700), 0);
	write_file(in(&s, "..1/dyn.yml"), SERVICE, "one");
	write_file(in(&s, "..2/dyn.yml"), SERVICE, "two");
	assert_int_equal(symlink("..1", in(&s, "..data")), 0);
	assert_int_equal(symlink("..data/dyn.yml", s.path), 0);
	start(&s);
	assert_string_equal(url_of(&s, "s"), "one");
	assert_int_equal(symlink("..2", in(&s, "..data_tmp")), 0);
	assert_int_equal(rename(in(&s, "..data_tmp"), in(&s, "..data")), 0);
	wait_for(&s, "s", "two");
	close_scene(&s);
}

static void a_link_is_followed_to_its_target(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, 0);
	assert_int_equal(mkdir(in(&s, "elsewhere"), 0700), 0);
	write_file(in(&s, "elsewhere/real.yml"), SERVICE, "one");
	assert_int_equal(symlink(in(&s, "elsewhere/real.yml"), s.path), 0);
	start(&s);
	write_file(in(&s, "elsewhere/real.yml"), SERVICE, "two");
	wait_for(&s, "s", "two");
	write_file(in(&s, "elsewhere/new.yml"), SERVICE, "three");
	assert_int_equal(rename(in(&s, "elsewhere/new.yml"), in(&s, "elsewhere/real.yml")), 0);
	wait_for(&s, "s", "three");
	close_scene(&s);
}

static void a_burst_gives_few_changes(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, 300 * 1000000);
	write_file(s.path, SERVICE, "start");
	start(&s);
	for (int i = 0; i < 100; i++) {
		char url[16];

		(void)snprintf(url, sizeof url, "b%d", i);
		write_file(s.path, SERVICE, url);
		(void)uv_run(&s.loop, UV_RUN_NOWAIT);
	}
	wait_for(&s, "s", "b99");
	assert_in_range(s.applied, 2, 5);
	close_scene(&s);
}

/* What lies between truncating and writing is no configuration. */
static void an_empty_moment_is_waited_out(void **state)
{
	struct scene s;
	FILE *f;

	(void)state;
	open_scene(&s, 0);
	write_file(s.path, SERVICE, "one");
	start(&s);
	f = fopen(s.path, "w");
	assert_non_null(f);
	run_for(&s, 120);
	assert_string_equal(url_of(&s, "s"), "one");
	(void)fprintf(f, SERVICE, "two");
	assert_int_equal(fclose(f), 0);
	wait_for(&s, "s", "two");
	assert_int_equal(s.applied, 2);
	close_scene(&s);
}

static void an_empty_file_is_a_configuration(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, 0);
	write_file(s.path, SERVICE, "one");
	start(&s);
	assert_int_equal(truncate(s.path, 0), 0);
	wait_for(&s, "s", "");
	assert_true(dynamic_is_empty(s.last));
	close_scene(&s);
}

static void read_log(struct scene *s, char *text, size_t size)
{
	FILE *f = fopen(in(s, "log"), "r");
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, size - 1, f);
	text[n] = '\0';
	(void)fclose(f);
}

static void a_broken_file_changes_nothing(void **state)
{
	static char log[65536];
	struct scene s;
	char expected[256];
	uint64_t end = clock_mono_ms() + PATIENCE_MS;

	(void)state;
	open_scene(&s, 0);
	assert_int_equal(mkdir(in(&s, "conf"), 0700), 0);
	(void)snprintf(s.path, sizeof s.path, "%s/conf/dyn.yml", s.directory);
	s.config.filename = slice_from(s.path);
	assert_int_equal(
		log_configure(&(struct log_options){.level = LOG_WARN, .file_path = in(&s, "log")}),
		0);
	write_file(s.path, SERVICE, "one");
	start(&s);
	write_file(s.path,
		   "http:\n  services:\n    s: {loadBalancer: {servers: [{url: x}], foo: 1}}\n");
	(void)snprintf(expected, sizeof expected,
		       "%s:3:45: http.services.s.loadBalancer.foo: unknown option", s.path);
	do {
		(void)uv_run(&s.loop, UV_RUN_ONCE);
		read_log(&s, log, sizeof log);
	} while (strstr(log, expected) == NULL && clock_mono_ms() < end);
	if (strstr(log, expected) == NULL)
		fail_msg("%s", log);
	assert_non_null(strstr(log, "the last good one stays"));
	assert_string_equal(url_of(&s, "s"), "one");
	write_file(s.path, SERVICE, "two");
	wait_for(&s, "s", "two");
	assert_int_equal(s.applied, 2);
	assert_int_equal(log_configure(&(struct log_options){.level = LOG_FATAL}), 0);
	close_scene(&s);
}

static void a_broken_start_waits_for_a_good_file(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, 0);
	write_file(s.path, "http: [\n");
	start(&s);
	assert_int_equal(s.applied, 0);
	write_file(s.path, SERVICE, "one");
	wait_for(&s, "s", "one");
	close_scene(&s);
}

/* Without a watch nothing could ever make it good. */
static void a_broken_start_without_watch_fails(void **state)
{
	struct scene s;
	struct weir_error e = {0};
	char expected[256];

	(void)state;
	open_scene(&s, 0);
	s.config.watch = false;
	assert_int_equal(file_provider_create(&s.provider, s.aggregator, &s.config, &e), -EINVAL);
	assert_null(s.provider);
	(void)snprintf(expected, sizeof expected, "%s: No such file or directory", s.path);
	assert_string_equal(e.text, expected);
	write_file(s.path, "a: {{ foo }}\n");
	assert_int_equal(file_provider_create(&s.provider, s.aggregator, &s.config, &e), -EINVAL);
	(void)snprintf(expected, sizeof expected, "%s:1:7: function \"foo\" is not defined",
		       s.path);
	assert_string_equal(e.text, expected);
	s.config.filename = SLICE("");
	assert_int_equal(file_provider_create(&s.provider, s.aggregator, &s.config, &e), -EINVAL);
	assert_string_equal(e.text,
			    "providers.file: found neither filename nor directory, expected one");
	close_scene(&s);
}

static void a_reload_reads_again(void **state)
{
	const _Atomic uint64_t *unchanged = &provider_counters[PROVIDER_FILE].unchanged;
	uint64_t before = counter_get(unchanged);
	struct scene s;

	(void)state;
	open_scene(&s, 0);
	s.config.watch = false;
	write_file(s.path, SERVICE, "one");
	start(&s);
	write_file(s.path, SERVICE, "two");
	run_for(&s, 100);
	assert_string_equal(url_of(&s, "s"), "one");
	provider_reload(s.provider);
	wait_for(&s, "s", "two");
	provider_reload(s.provider);
	/* A second one while the first is under way is not forgotten, nor is it one too many. */
	provider_reload(s.provider);
	for (int i = 0; i < 1000 && counter_get(unchanged) == before; i++)
		run_for(&s, 10);
	assert_true(counter_get(unchanged) > before);
	assert_int_equal(s.applied, 2);
	close_scene(&s);
}

/* The thread that reads is waited for. */
static void a_provider_goes_while_it_reads(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, 0);
	write_file(s.path, SERVICE, "one");
	start(&s);
	provider_reload(s.provider);
	close_scene(&s);
}

static void a_directory_is_merged(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, 0);
	s.config.filename = SLICE("");
	s.config.directory = slice_from(s.directory);
	assert_int_equal(mkdir(in(&s, "deep"), 0700), 0);
	assert_int_equal(mkdir(in(&s, "deep/er"), 0700), 0);
	write_file(in(&s, "a.yml"), SERVICE, "first");
	write_file(in(&s, "b.yaml"), SERVICE, "second");
	write_file(in(&s, "c.toml"), "[[http.services.t.loadBalancer.servers]]\nurl = \"toml\"\n");
	write_file(in(&s, "deep/er/d.yml"),
		   "http: {services: {d: {loadBalancer: {servers: [{url: deep}]}}}}\n");
	write_file(in(&s, "notes.txt"), "not: [yaml\n");
	start(&s);
	assert_string_equal(url_of(&s, "s"), "first");
	assert_string_equal(url_of(&s, "t"), "toml");
	assert_string_equal(url_of(&s, "d"), "deep");
	assert_int_equal(s.last->service_count, 3);
	assert_int_equal(unlink(in(&s, "a.yml")), 0);
	wait_for(&s, "s", "second");
	write_file(in(&s, "e.yml"),
		   "http: {services: {e: {loadBalancer: {servers: [{url: new}]}}}}\n");
	wait_for(&s, "e", "new");
	/* One broken file of a directory stops the whole change. */
	write_file(in(&s, "f.yml"), "http: {x: 1}\n");
	write_file(in(&s, "e.yml"),
		   "http: {services: {e: {loadBalancer: {servers: [{url: newer}]}}}}\n");
	run_for(&s, 300);
	assert_string_equal(url_of(&s, "e"), "new");
	assert_int_equal(unlink(in(&s, "f.yml")), 0);
	wait_for(&s, "e", "newer");
	close_scene(&s);
}

static struct dynamic_config *made(const char *url)
{
	struct dynamic_config *config;
	struct config_report report;
	struct arena arena;
	struct str text = {0};

	arena_init(&arena, 4096, 1 << 20);
	config_report_init(&report, &arena);
	str_format(&text, SERVICE, url);
	assert_int_equal(dynamic_parse(str_slice(&text), TREE_YAML, "made", NULL, &report, &config),
			 0);
	str_free(&text);
	arena_free(&arena);
	return config;
}

static void changes_are_throttled(void **state)
{
	struct scene s;
	uint64_t first;

	(void)state;
	open_scene(&s, 200 * 1000000);
	aggregator_publish(s.aggregator, "file", made("one"));
	assert_string_equal(url_of(&s, "s"), "one");
	first = s.applied_ms;
	aggregator_publish(s.aggregator, "file", made("two"));
	aggregator_publish(s.aggregator, "file", made("three"));
	assert_int_equal(s.applied, 1);
	wait_for(&s, "s", "three");
	assert_int_equal(s.applied, 2);
	assert_true(s.applied_ms - first >= 195);
	/* Back to what is there: nothing to hand on. */
	aggregator_publish(s.aggregator, "file", made("four"));
	aggregator_publish(s.aggregator, "file", made("three"));
	run_for(&s, 300);
	assert_int_equal(s.applied, 2);
	aggregator_publish(s.aggregator, "file", made("three"));
	assert_int_equal(s.applied, 2);
	aggregator_publish(s.aggregator, "file", made("five"));
	assert_int_equal(s.applied, 3);
	aggregator_publish(s.aggregator, "file", made("never"));
	close_scene(&s);
}

static void providers_are_merged(void **state)
{
	struct scene s;

	(void)state;
	open_scene(&s, 60 * INT64_C(1000000000));
	aggregator_publish(s.aggregator, "file", made("one"));
	aggregator_publish(s.aggregator, "docker", made("two")); /* has an interval of its own */
	assert_int_equal(s.applied, 2);
	assert_int_equal(s.last->service_count, 2);
	assert_string_equal(s.last->services[0]->object.name.p, "s@docker");
	assert_string_equal(s.last->services[1]->object.name.p, "s@file");
	close_scene(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_is_loaded_at_once),
		cmocka_unit_test(templates_are_rendered),
		cmocka_unit_test(writing_over_it_is_seen),
		cmocka_unit_test(renaming_over_it_is_seen),
		cmocka_unit_test(deleting_keeps_the_last_and_creating_is_seen),
		cmocka_unit_test(its_directory_may_go_and_come),
		cmocka_unit_test(orchestrators_swap_a_link),
		cmocka_unit_test(orchestrators_swap_a_directory),
		cmocka_unit_test(a_link_is_followed_to_its_target),
		cmocka_unit_test(a_burst_gives_few_changes),
		cmocka_unit_test(an_empty_moment_is_waited_out),
		cmocka_unit_test(an_empty_file_is_a_configuration),
		cmocka_unit_test(a_broken_file_changes_nothing),
		cmocka_unit_test(a_broken_start_waits_for_a_good_file),
		cmocka_unit_test(a_broken_start_without_watch_fails),
		cmocka_unit_test(a_reload_reads_again),
		cmocka_unit_test(a_provider_goes_while_it_reads),
		cmocka_unit_test(a_directory_is_merged),
		cmocka_unit_test(changes_are_throttled),
		cmocka_unit_test(providers_are_merged),
	};

	(void)log_configure(&(struct log_options){.level = LOG_FATAL});
	return cmocka_run_group_tests(tests, NULL, NULL);
}
