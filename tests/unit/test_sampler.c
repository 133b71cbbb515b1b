#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/base.h"
#include "core/elf_symbols.h"
#include "core/sampler.h"

#define PERIOD_NS 1000000u
#define THREADS 3

/* The kernel looks at its ticks only, of which a thread on a busy machine may see few. */
#define ATTEMPTS 100

static _Atomic bool over;
static _Thread_local volatile uint64_t sum;

/* One that is busy, under a name. */
static void *burn(void *context)
{
	(void)pthread_setname_np(pthread_self(), context);
	while (!atomic_load(&over))
		sum = sum * 3 + 1;
	return NULL;
}

static void burn_cpu_ns(uint64_t ns)
{
	struct timespec from, now;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
	do {
		for (unsigned i = 0; i < 1000; i++)
			sum = sum * 3 + 1;
		(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	} while ((uint64_t)(now.tv_sec - from.tv_sec) * 1000000000u + (uint64_t)now.tv_nsec <
		 (uint64_t)from.tv_nsec + ns);
}

/* How many samples of that thread there are. */
static unsigned count_named(const struct sampler_result *r, const char *wanted)
{
	unsigned named = 0;

	for (size_t i = 0; i < r->count; i++) {
		const struct sample *s = &r->samples[i];
		const char *name = sampler_thread_name(s->thread);

		assert_true(s->depth >= 1 && s->depth <= SAMPLER_FRAMES_MAX);
		assert_true(s->weight >= 1 && s->at[0] != 0);
		named += name != NULL && strcmp(name, wanted) == 0;
	}
	return named;
}

/* Both of this thread and of another one. */
static bool see_both(void)
{
	struct sampler_result r;
	unsigned named;

	assert_int_equal(sampler_start(PERIOD_NS, 100000), 0);
	assert_true(sampler_is_taken());
	assert_int_equal(sampler_start(PERIOD_NS, 10), -EBUSY);
	burn_cpu_ns(50000000);
	sampler_stop();
	r = sampler_result();
	assert_true(r.dropped == 0 && r.duration_ns >= 50000000 && r.period_ns == PERIOD_NS);
	named = count_named(&r, "busy-one");
	assert_null(sampler_thread_name(1000));
	sampler_release();
	assert_false(sampler_is_taken());
	return named > 0 && named < r.count;
}

static void threads_are_seen_by_their_cpu_time(void **state)
{
	pthread_t busy;
	unsigned n = 0;

	(void)state;
	atomic_store(&over, false);
	assert_int_equal(pthread_create(&busy, NULL, burn, (void *)(uintptr_t) "busy-one"), 0);
	while (n < ATTEMPTS && !see_both())
		n++;
	atomic_store(&over, true);
	assert_int_equal(pthread_join(busy, NULL), 0);
	assert_true(n < ATTEMPTS);
}

static bool see_dropped(void)
{
	struct sampler_result r;

	assert_int_equal(sampler_start(PERIOD_NS, 1), 0);
	burn_cpu_ns(50000000);
	sampler_stop();
	r = sampler_result();
	assert_true(r.count <= 1);
	sampler_release();
	return r.dropped > 0;
}

static void no_more_than_the_limit(void **state)
{
	unsigned n = 0;

	(void)state;
	while (n < ATTEMPTS && !see_dropped())
		n++;
	assert_true(n < ATTEMPTS);
}

/* Stopped and started again while threads are busy: a signal may come late. */
static void again_and_again(void **state)
{
	pthread_t busy[THREADS];

	(void)state;
	atomic_store(&over, false);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&busy[i], NULL, burn, (void *)(uintptr_t) "busy"),
				 0);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(sampler_start(100000, 1000), 0);
		burn_cpu_ns(300000);
		sampler_stop();
		sampler_release();
	}
	atomic_store(&over, true);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(busy[i], NULL), 0);
}

/* The whole file; to be freed. */
static slice read_self(void)
{
	FILE *f = fopen("/proc/self/exe", "rb");
	char *all;
	long n;

	must(f != NULL && fseek(f, 0, SEEK_END) == 0);
	n = ftell(f);
	must(n > 0 && fseek(f, 0, SEEK_SET) == 0);
	all = malloc((size_t)n);
	must(all != NULL && fread(all, 1, (size_t)n, f) == (size_t)n);
	(void)fclose(f);
	return slice_of(all, (size_t)n);
}

static void functions_of_this_program(void **state)
{
	slice file = read_self();
	struct elf_symbols s;
	const struct elf_symbol *mine = NULL;

	(void)state;
	assert_int_equal(elf_symbols_read(&s, file), 0);
	for (size_t i = 0; i < s.count; i++) {
		if (slice_equal(s.list[i].name, SLICE("functions_of_this_program")))
			mine = &s.list[i];
		assert_true(i == 0 || s.list[i].start >= s.list[i - 1].start);
	}
	assert_non_null(mine);
	assert_ptr_equal(elf_symbols_find(&s, mine->start), mine);
	assert_ptr_equal(elf_symbols_find(&s, mine->start + mine->bytes - 1), mine);
	assert_ptr_not_equal(elf_symbols_find(&s, mine->start + mine->bytes), mine);
	assert_null(elf_symbols_find(&s, 0));
	assert_null(elf_symbols_find(&s, UINT64_MAX));
	elf_symbols_free(&s);
	free((void *)(uintptr_t)file.p);
}

/* Cut off anywhere, or with wild numbers in its head: no byte outside is read. */
static void damaged_files(void **state)
{
	slice file = read_self();
	char *copy = malloc(file.n);

	(void)state;
	assert_non_null(copy);
	for (size_t i = 0; i < 400; i++) {
		size_t n = i < 100 ? i : file.n - file.n / 300 * (i - 100);
		char *exact = malloc(n + 1);
		struct elf_symbols s;

		assert_non_null(exact);
		memcpy(exact, file.p, n);
		if (elf_symbols_read(&s, slice_of(exact, n)) == 0)
			elf_symbols_free(&s);
		free(exact);
	}
	for (size_t i = 16; i < 64; i++) {
		struct elf_symbols s;

		memcpy(copy, file.p, file.n);
		copy[i] = (char)~copy[i];
		if (elf_symbols_read(&s, slice_of(copy, file.n)) == 0)
			elf_symbols_free(&s);
	}
	free(copy);
	free((void *)(uintptr_t)file.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_are_seen_by_their_cpu_time),
		cmocka_unit_test(no_more_than_the_limit),
		cmocka_unit_test(again_and_again),
		cmocka_unit_test(functions_of_this_program),
		cmocka_unit_test(damaged_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
