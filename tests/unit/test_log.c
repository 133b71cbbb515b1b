#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/log.h"

#define WRITERS 4
#define LINES 2000

static char directory[] = "/tmp/weir-log-XXXXXX";
static bool no_dup;

int __real_dup3(int from, int to, int flags);
int __wrap_dup3(int from, int to, int flags);

int __wrap_dup3(int from, int to, int flags)
{
	if (no_dup) {
		errno = EMFILE;
		return -1;
	}
	return __real_dup3(from, to, flags);
}

static const char *in_directory(const char *name)
{
	static char path[4][128];
	static unsigned next;
	char *p = path[next++ % 4];

	(void)snprintf(p, sizeof path[0], "%s/%s", directory, name);
	return p;
}

static void log_to(const char *name, enum log_level level, enum log_format format)
{
	const struct log_options options = {
		.level = level, .format = format, .file_path = in_directory(name)};

	assert_int_equal(log_configure(&options), 0);
}

/* The whole file; freed by the caller. */
static char *contents(const char *name)
{
	FILE *f = fopen(in_directory(name), "re");
	char *text = calloc(1, 1 << 20);

	assert_non_null(f);
	assert_non_null(text);
	assert_true(fread(text, 1, (1 << 20) - 1, f) < (1 << 20) - 1);
	(void)fclose(f);
	return text;
}

static void expect_in(const char *name, const char *text)
{
	char *all = contents(name);

	if (strstr(all, text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, all);
	free(all);
}

/* Guests and peers say what they like. */
static void what_strangers_say_cannot_break_a_line(void **state)
{
	static const char nasty[] = "a\"b\\c\nd\x1b[0m \xc2\x9b"
				    "e\xff\xc3 \xed\xa0\x80 \xc3\xa4\xf0\x9f\x98\x80";

	(void)state;
	log_to("json", LOG_INFO, LOG_JSON);
	log_info_with((LOG_STRING("v", nasty), LOG_INTEGER("n", -5)), "%s", nasty);
	expect_in("json", "\"v\":\"a\\\"b\\\\c\\nd\\u001b[0m \\u009be\\ufffd\\ufffd "
			  "\\ufffd\\ufffd\\ufffd \xc3\xa4\xf0\x9f\x98\x80\",\"n\":-5,");
	expect_in("json", "\"message\":\"a\\\"b\\\\c\\nd\\u001b[0m \\u009be\\ufffd\\ufffd ");
	log_to("common", LOG_INFO, LOG_COMMON);
	log_info_with((LOG_STRING("v", nasty), LOG_STRING("w", "plain")), "%s", nasty);
	expect_in("common", " INF a\"b\\c\\x0ad\\x1b[0m \\u009be\\xff\\xc3 \\xed\\xa0\\x80 "
			    "\xc3\xa4\xf0\x9f\x98\x80 v=\"a\\\"b\\\\c\\nd\\u001b[0m ");
	expect_in("common", " w=plain\n");
}

static void a_failed_change_changes_nothing(void **state)
{
	struct log_options options = {
		.level = LOG_DEBUG, .format = LOG_JSON, .file_path = in_directory("first/x")};
	char *all;

	(void)state;
	log_to("first", LOG_WARN, LOG_COMMON);
	assert_int_equal(log_configure(&options), -ENOTDIR);
	options.file_path = in_directory("second");
	no_dup = true;
	assert_int_equal(log_configure(&options), -EMFILE);
	assert_int_equal(log_reopen(), -EMFILE);
	no_dup = false;
	assert_false(log_enabled(LOG_INFO));
	log_warn("still here");
	expect_in("first", " WRN still here\n");
	assert_int_equal(rename(in_directory("first"), in_directory("moved")), 0);
	log_warn("moved along");
	assert_int_equal(log_reopen(), 0);
	log_warn("under the old name");
	expect_in("moved", "moved along\n");
	all = contents("first");
	assert_non_null(strstr(all, "under the old name"));
	assert_null(strstr(all, "moved along"));
	free(all);
}

/* A start failed if the folder was not there, and the log was lost if it was gone at SIGUSR1. */
static void folders_are_made(void **state)
{
	static const char *const made[] = {"a/b/log", "a/b", "a", "gone/b/log", "gone/b", "gone"};

	(void)state;
	log_to("a/b/log", LOG_WARN, LOG_COMMON);
	assert_int_equal(rename(in_directory("a"), in_directory("gone")), 0);
	assert_int_equal(log_reopen(), 0);
	log_warn("in new folders");
	expect_in("a/b/log", "in new folders\n");
	for (size_t i = 0; i < ARRAY_LEN(made); i++)
		assert_int_equal(remove(in_directory(made[i])), 0);
}

static unsigned count_files(const char *prefix)
{
	DIR *d = opendir(directory);
	const struct dirent *e;
	unsigned n = 0;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		n += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
	(void)closedir(d);
	return n;
}

static void touch(const char *name)
{
	FILE *f = fopen(in_directory(name), "we");

	assert_non_null(f);
	(void)fclose(f);
}

/* What is not a backup stays, and so do the newest backups, compressed ones included. */
static void a_file_that_grows_is_moved_aside(void **state)
{
	const struct log_options options = {.level = LOG_INFO,
					    .file_path = in_directory("grow.log"),
					    .rotate_bytes = 100,
					    .backups_max = 2,
					    .backup_age_s = 86400};
	const struct log_options none = {.level = LOG_ERROR};
	char *all;

	(void)state;
	touch("grow-2001-01-01T00-00-00.000.log");
	touch("grow-2001-01-01T00-00-00.000.log.gz");
	touch("grow-old.log");
	assert_int_equal(log_configure(&options), 0);
	for (unsigned i = 0; i < 6; i++) {
		const struct timespec pause = {.tv_nsec = 2000000};

		log_info("%u%s", i, "0123456789012345678901234567890123456789");
		/* Names are of milliseconds. */
		(void)nanosleep(&pause, NULL);
	}
	all = contents("grow.log");
	assert_non_null(strstr(all, " INF 50123"));
	assert_null(strstr(all, " INF 30123"));
	free(all);
	assert_int_equal(count_files("grow-2"), 2);
	assert_int_equal(count_files("grow-2001"), 0);
	assert_int_equal(count_files("grow-old"), 1);
	/* Somebody else has moved it. */
	assert_int_equal(rename(in_directory("grow.log"), in_directory("moved")), 0);
	log_info("after");
	expect_in("grow.log", " INF after\n");
	assert_int_equal(log_configure(&none), 0);
}

static void fields_stand_in_traefiks_order(void **state)
{
	(void)state;
	log_to("common", LOG_INFO, LOG_COMMON);
	log_info_with((LOG_STRING("routerName", "r"), LOG_STRING("error", "e x"),
		       LOG_INTEGER("aNumber", 1)),
		      "m");
	expect_in("common", " INF m error=\"e x\" aNumber=1 routerName=r\n");
}

/* As zerolog's console writer. */
static void colors(void **state)
{
	const struct log_options options = {
		.level = LOG_DEBUG, .color = true, .file_path = in_directory("common")};

	(void)state;
	assert_int_equal(log_configure(&options), 0);
	log_info_with((LOG_STRING("a", "1")), "text");
	expect_in("common", "\x1b[0m \x1b[32mINF\x1b[0m \x1b[1mtext\x1b[0m \x1b[36ma=\x1b[0m1\n");
	log_debug("low");
	expect_in("common", "\x1b[0m DBG low\n");
	log_error_with((LOG_STRING("error", "e x")), "bad");
	expect_in("common", "\x1b[0m \x1b[31mERR\x1b[0m \x1b[1mbad\x1b[0m "
			    "\x1b[36merror=\x1b[0m\x1b[31m\x1b[1m\"e x\"\x1b[0m\x1b[0m\n");
}

static void remove_rotated(void)
{
	DIR *d = opendir(directory);
	const struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, "grow", 4) == 0)
			(void)unlinkat(dirfd(d), e->d_name, 0);
	}
	if (d != NULL)
		(void)closedir(d);
}

static void lost_lines_are_counted(void **state)
{
	const struct log_options options = {.level = LOG_INFO, .file_path = "/dev/full"};
	uint64_t before = log_lost_lines();

	(void)state;
	assert_int_equal(log_configure(&options), 0);
	log_info("nobody will read this");
	assert_int_equal(log_lost_lines() - before, 1);
}

static void *write_lines(void *name)
{
	for (unsigned i = 0; i < LINES; i++)
		log_info_with((LOG_STRING("writer", name), LOG_INTEGER("line", i)), "line");
	return NULL;
}

static size_t count_lines(const char *name)
{
	char *all = contents(name);
	size_t n = 0;

	for (const char *at = all; *at != '\0'; n++) {
		const char *end = strchr(at, '\n');

		assert_non_null(end);
		if (strncmp(end - 7, "line\"}", 6) != 0 && strncmp(end - 6, "line\"}", 6) != 0)
			fail_msg("%.*s", (int)(end - at), at);
		at = end + 1;
	}
	free(all);
	return n;
}

/* Each line is whole and in one of the files, however often they change. */
static void writers_and_changes_do_not_meet(void **state)
{
	static char names[WRITERS][8];
	pthread_t threads[WRITERS];
	uint64_t lost = log_lost_lines();
	size_t n = 0;

	(void)state;
	log_to("a", LOG_INFO, LOG_JSON);
	for (unsigned i = 0; i < WRITERS; i++) {
		(void)snprintf(names[i], sizeof names[i], "w%u", i);
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
	}
	for (unsigned i = 0; i < 200; i++) {
		log_to(i % 2 == 0 ? "b" : "a", LOG_INFO, LOG_JSON);
		assert_int_equal(log_reopen(), 0);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	n = count_lines("a") + count_lines("b");
	assert_int_equal(n, WRITERS * LINES);
	assert_int_equal(log_lost_lines(), lost);
}

static void levels_have_names(void **state)
{
	(void)state;
	assert_int_equal(log_level_from(SLICE("debug")), LOG_DEBUG);
	assert_int_equal(log_level_from(SLICE("WARN")), LOG_WARN);
	assert_int_equal(log_level_from(SLICE("warning")), -1);
	assert_int_equal(log_level_from(SLICE("")), -1);
}

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) != NULL ? 0 : -1;
}

static int remove_directory(void **state)
{
	static const char *const names[] = {"json", "common", "first", "second", "moved", "a", "b"};
	const struct log_options options = {.level = LOG_ERROR};

	(void)state;
	/* Gives the last name back. */
	(void)log_configure(&options);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unlink(in_directory(names[i]));
	remove_rotated();
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_strangers_say_cannot_break_a_line),
		cmocka_unit_test(a_failed_change_changes_nothing),
		cmocka_unit_test(folders_are_made),
		cmocka_unit_test(a_file_that_grows_is_moved_aside),
		cmocka_unit_test(fields_stand_in_traefiks_order),
		cmocka_unit_test(colors),
		cmocka_unit_test(lost_lines_are_counted),
		cmocka_unit_test(writers_and_changes_do_not_meet),
		cmocka_unit_test(levels_have_names),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
