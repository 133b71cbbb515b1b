#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base.h"
#include "http/spool.h"

#define BLOCK 40000

static char block[BLOCK];

static char byte_at(uint64_t at)
{
	return (char)(at * 13 + at / 257);
}

static void add(struct spool *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		block[i] = byte_at(s->n + i);
	assert_int_equal(spool_add(s, slice_of(block, n)), 0);
}

static void check(const struct spool *s, uint64_t from)
{
	char got[7001];
	ssize_t n;

	while ((n = spool_read(s, from, got, sizeof got)) > 0) {
		for (size_t i = 0; i < (size_t)n; i++)
			assert_int_equal(got[i], byte_at(from + i));
		from += (uint64_t)n;
	}
	assert_int_equal(n, 0);
	assert_int_equal(from, s->n);
}

static size_t open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	(void)closedir(d);
	return n;
}

static void small_ones_stay_in_memory(void **state)
{
	struct spool s;

	(void)state;
	spool_init(&s);
	assert_int_equal(spool_memory(&s).n, 0);
	assert_non_null(spool_memory(&s).p);
	check(&s, 0);
	while (s.n + BLOCK <= SPOOL_MEMORY_BYTES)
		add(&s, BLOCK);
	add(&s, SPOOL_MEMORY_BYTES - s.n);
	assert_int_equal(s.file, -1);
	assert_int_equal(spool_memory(&s).n, SPOOL_MEMORY_BYTES);
	check(&s, 0);
	check(&s, 12345);
	spool_free(&s);
}

static void large_ones_go_to_a_file(void **state)
{
	size_t before = open_files();
	struct spool s;

	(void)state;
	spool_init(&s);
	while (s.n < 5 * SPOOL_MEMORY_BYTES)
		add(&s, BLOCK);
	assert_true(s.file >= 0);
	assert_null(spool_memory(&s).p);
	assert_null(s.memory.p);
	check(&s, 0);
	check(&s, SPOOL_MEMORY_BYTES - 1);
	check(&s, s.n);
	spool_clear(&s);
	assert_int_equal(s.n, 0);
	add(&s, 100);
	check(&s, 0);
	spool_free(&s);
	assert_int_equal(open_files(), before);
}

static void a_missing_directory_is_an_error(void **state)
{
	const char *old = getenv("TMPDIR");
	char *kept = old != NULL ? strdup(old) : NULL;
	struct spool s;

	(void)state;
	assert_int_equal(setenv("TMPDIR", "/nonexistent/weir", 1), 0);
	spool_init(&s);
	while (s.n + BLOCK <= SPOOL_MEMORY_BYTES)
		add(&s, BLOCK);
	assert_int_equal(spool_add(&s, slice_of(block, BLOCK)), -ENOENT);
	/* What was kept is still there. */
	check(&s, 0);
	spool_free(&s);
	if (kept != NULL)
		(void)setenv("TMPDIR", kept, 1);
	else
		(void)unsetenv("TMPDIR");
	free(kept);
}

/* A write that stops half-way must not leave bytes that a later one follows. */
static void a_full_disk_leaves_no_half_written_piece(void **state)
{
	struct rlimit before, tight;
	struct spool s;

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	spool_init(&s);
	while (s.n <= SPOOL_MEMORY_BYTES)
		add(&s, BLOCK);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	tight = before;
	tight.rlim_cur = s.n + BLOCK / 2;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	assert_int_equal(spool_add(&s, slice_of(block, BLOCK)), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	check(&s, 0);
	add(&s, BLOCK);
	check(&s, 0);
	spool_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_ones_stay_in_memory),
		cmocka_unit_test(large_ones_go_to_a_file),
		cmocka_unit_test(a_missing_directory_is_an_error),
		cmocka_unit_test(a_full_disk_leaves_no_half_written_piece),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
