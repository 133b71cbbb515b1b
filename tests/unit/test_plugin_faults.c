/*
 * A system that refuses: each call of the plugin host of one kind in turn, and all from there on,
 * under each isolation and method of putting memory back. What needed the call fails with an error
 * or is done in another way; answers are right or absent; nothing is lost, and all is well again
 * when the system is.
 */
#include "failing_system.h"

/* The test's own calls do not fail. */
#undef mmap
#undef munmap
#undef mprotect
#undef madvise
#undef memfd_create
#undef ftruncate
#undef fcntl
#undef ioctl
#undef pread
#undef pwrite
#undef open
#undef pthread_create
#undef pthread_setspecific
#undef getrusage

#include "plugin_fake.h"

#include <dirent.h>
#include <limits.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "plugin/mapping.h"

enum call {
#define X(name, a, b) CALL_##name,
	FAILING_CALLS(X)
#undef X
		CALL_COUNT
};

static const char *const call_names[] = {
#define X(name, a, b) #name,
	FAILING_CALLS(X)
#undef X
};

static const int call_errors[][2] = {
#define X(name, a, b) {a, b},
	FAILING_CALLS(X)
#undef X
};

static enum call fail_call;
static int fail_error;
static unsigned long fail_at; /* the nth one from now on; 0: none */
static bool fail_on;          /* and all after it */
static unsigned long failures;

/* All calls are made by one thread. */
static bool fails(enum call call)
{
	if (fail_at == 0 || call != fail_call || --fail_at > 0)
		return false;
	if (fail_on)
		fail_at = 1;
	failures++;
	errno = fail_error;
	return true;
}

void *failing_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
	return fails(CALL_mmap) ? MAP_FAILED : mmap(at, n, protection, flags, fd, offset);
}

int failing_munmap(void *at, size_t n)
{
	return fails(CALL_munmap) ? -1 : munmap(at, n);
}

int failing_mprotect(void *at, size_t n, int protection)
{
	return fails(CALL_mprotect) ? -1 : mprotect(at, n, protection);
}

int failing_madvise(void *at, size_t n, int advice)
{
	return fails(CALL_madvise) ? -1 : madvise(at, n, advice);
}

int failing_memfd_create(const char *name, unsigned flags)
{
	return fails(CALL_memfd_create) ? -1 : memfd_create(name, flags);
}

int failing_ftruncate(int fd, off_t n)
{
	return fails(CALL_ftruncate) ? -1 : ftruncate(fd, n);
}

int failing_fcntl(int fd, int command, ...)
{
	va_list args;
	int argument;

	va_start(args, command);
	argument = va_arg(args, int);
	va_end(args);
	return fails(CALL_fcntl) ? -1 : fcntl(fd, command, argument);
}

int failing_ioctl(int fd, unsigned long request, void *argument)
{
	return fails(CALL_ioctl) ? -1 : ioctl(fd, request, argument);
}

ssize_t failing_pread(int fd, void *to, size_t n, off_t at)
{
	return fails(CALL_pread) ? -1 : pread(fd, to, n, at);
}

ssize_t failing_pwrite(int fd, const void *from, size_t n, off_t at)
{
	return fails(CALL_pwrite) ? -1 : pwrite(fd, from, n, at);
}

int failing_open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;
	va_end(args);
	return fails(CALL_open) ? -1 : open(path, flags, mode);
}

int failing_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			   void *(*run)(void *), void *argument)
{
	return fails(CALL_pthread_create) ? fail_error
					  : pthread_create(thread, attributes, run, argument);
}

int failing_pthread_setspecific(pthread_key_t key, const void *value)
{
	return fails(CALL_pthread_setspecific) ? fail_error : pthread_setspecific(key, value);
}

static bool faults_stand_still;

int failing_getrusage(int who, struct rusage *usage)
{
	int r = getrusage(who, usage);

	if (faults_stand_still)
		usage->ru_minflt = usage->ru_majflt = 0;
	return r;
}

/*
 * Counts in memory and in a global, and answers with 200 and the sum; G grows its memory, and
 * accepts it if it cannot; all wait for the client.
 */
static const char counting_guest[] = FAKE_GUEST(
	"",
	"(global $n (mut i32) (i32.const 0)) (func (export \"_initialize\")"
	" (memory.fill (i32.const 4096) (i32.const 7) (i32.const 20000)))",
	"(global.set $n (i32.add (global.get $n) (i32.const 1)))"
	"(i32.store (i32.const 40000) (i32.add (i32.load (i32.const 40000)) (i32.const 1)))"
	"(memory.fill (i32.const 50000) (i32.const 1) (i32.const 10000))"
	"(drop (call $get_method (i32.const 512) (i32.const 8)))"
	"(if (i32.eq (i32.load8_u (i32.const 512)) (i32.const 71)) (then"
	" (drop (memory.grow (i32.const 1)))))"
	"(drop (call $read (i32.const 0) (i32.const 600) (i32.const 10)))"
	"(if (i32.ne (i32.load (i32.const 40000)) (global.get $n)) (then unreachable))"
	"(call $set_status (i32.add (i32.const 200) (global.get $n)))" FAKE_NEXT,
	"(i32.store (i32.const 45000) (i32.const 1))");

static const enum weir_cause excuses[] = {WEIR_CAUSE_START, WEIR_CAUSE_MEMORY, WEIR_CAUSE_BUSY};

/** How the plugin is run. */
struct row {
	enum weir_restore restore;
	enum weir_isolation isolation;
	enum weir_init init;
};

static bool excused(enum weir_cause cause)
{
	for (size_t i = 0; i < ARRAY_LEN(excuses); i++) {
		if (cause == excuses[i])
			return true;
	}
	return false;
}

/* Returns whether the exchange went well. */
static bool end_exchange(struct weir_exchange **e, enum weir_step step, const struct fake *f,
			 const struct row *row)
{
	bool well = step == WEIR_DONE;

	if (well && row->isolation != WEIR_ISOLATION_REUSE)
		assert_int_equal(f->status, 201);
	if (!well) {
		assert_int_equal(step, WEIR_FAILED);
		if (!excused(weir_exchange_cause(*e)))
			fail_msg("%s %lu: %s", call_names[fail_call], failures,
				 weir_exchange_error(*e)->text);
		assert_int_not_equal(weir_exchange_error(*e)->text[0], '\0');
	}
	weir_exchange_end(e);
	return well;
}

/* As many exchanges at once, of which the second one grows its memory. Returns how many went well.
 */
static size_t run_exchanges(struct bench *b, const struct row *row, size_t count)
{
	struct weir_exchange *e[3];
	enum weir_step step[3];
	struct fake f[3];
	size_t well = 0;

	for (size_t i = 0; i < count; i++) {
		fake_init(&f[i]);
		strcpy(f[i].method, i == 1 ? "GROW" : "GET");
		f[i].all_arrived = false;
		step[i] = weir_exchange_begin(&e[i], b->pool, &fake_http, &f[i]);
		step[i] = fake_drive(e[i], step[i]);
		assert_true(step[i] == WEIR_WAIT_BODY || step[i] == WEIR_FAILED);
	}
	for (size_t i = 0; i < count; i++) {
		f[i].all_arrived = true;
		if (step[i] == WEIR_WAIT_BODY)
			step[i] = fake_drive(e[i], weir_exchange_step(e[i]));
		if (step[i] == WEIR_NEXT)
			step[i] = fake_drive(e[i], weir_exchange_response(e[i], 0));
		well += end_exchange(&e[i], step[i], &f[i], row);
		fake_free(&f[i]);
	}
	return well;
}

static bool make_host(struct bench *b, const struct row *row)
{
	b->options.restore = row->restore;
	if (weir_host_create(&b->host, &b->options, &b->error) == 0) {
		restore_handlers();
		return true;
	}
	assert_null(b->host);
	assert_int_not_equal(b->error.text[0], '\0');
	return false;
}

static bool make_plugin(struct bench *b, const struct row *row, slice wasm)
{
	const struct weir_pool_events events = {.wake = fake_wake};
	const struct weir_plugin_options o = {
		.name = "test",
		.wasm = wasm,
		.isolation = row->isolation,
		.init = row->init,
		.limits = {.start_failures = UINT32_MAX}, /* each is to be tried */
	};

	if (weir_plugin_create(&b->plugin, b->host, &o, &b->error) < 0) {
		assert_null(b->plugin);
		assert_non_null(strstr(b->error.text, "plugin \"test\": "));
		return false;
	}
	assert_int_equal(weir_pool_create(&b->pool, b->plugin, &events), 0);
	return true;
}

/* Everything that a plugin does, with one thing that fails, and then again without. */
static void live_through(slice wasm, const struct row *row)
{
	struct bench *b = bench_new();
	bool host = make_host(b, row), plugin = host && make_plugin(b, row, wasm);

	if (plugin) {
		(void)run_exchanges(b, row, 3);
		/* Time to rest, and then to go. */
		(void)weir_pool_tick(b->pool, clock_mono_ns() + 6000000000u);
		(void)run_exchanges(b, row, 1);
		(void)weir_pool_tick(b->pool, UINT64_MAX);
	}
	fail_at = 0;
	if (!host)
		assert_true(make_host(b, row));
	if (!plugin)
		assert_true(make_plugin(b, row, wasm));
	assert_int_equal(run_exchanges(b, row, 3), 3);
	(void)weir_pool_tick(b->pool, UINT64_MAX);
	assert_int_equal(bench_stats(b).live, 0);
	bench_free(&b);
}

static size_t count_descriptors(void)
{
	DIR *all = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(all);
	while (readdir(all) != NULL)
		n++;
	(void)closedir(all);
	return n;
}

/* Address space in use: what a reservation that nobody knows any more would add to. */
static size_t address_space_pages(void)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	size_t pages = 0;

	assert_non_null(statm);
	assert_int_equal(fscanf(statm, "%zu", &pages), 1);
	(void)fclose(statm);
	return pages;
}

/* Returns at how many places it failed. */
static unsigned long fail_each(slice wasm, const struct row *row, enum call call, int error)
{
	unsigned long n = 0, before;

	do {
		fail_call = call;
		fail_error = error;
		fail_at = ++n;
		before = failures;
		live_through(wasm, row);
	} while (failures > before);
	return n - 1;
}

static bool supported(enum weir_restore restore)
{
	struct bench *b = bench_new();
	struct row row = {.restore = restore};
	bool yes = make_host(b, &row);

	bench_free(&b);
	return yes;
}

static const struct row rows[] = {
	{WEIR_RESTORE_SCAN, WEIR_ISOLATION_RESET, WEIR_INIT_SHARED},
	{WEIR_RESTORE_PAGEMAP, WEIR_ISOLATION_RESET, WEIR_INIT_SHARED},
	{WEIR_RESTORE_DROP, WEIR_ISOLATION_RESET, WEIR_INIT_SHARED},
	{WEIR_RESTORE_AUTO, WEIR_ISOLATION_FRESH, WEIR_INIT_SHARED},
	{WEIR_RESTORE_AUTO, WEIR_ISOLATION_REUSE, WEIR_INIT_SHARED},
	{WEIR_RESTORE_AUTO, WEIR_ISOLATION_REUSE, WEIR_INIT_OWN},
};

/* A reservation is 4 GiB and more; the test's own memory may move. */
#define LOST_PAGES ((size_t)1 << 19)

static unsigned long refuse(enum call call)
{
	wasm_byte_vec_t wasm = fake_wasm(counting_guest);
	slice bytes = slice_of(wasm.data, wasm.size);
	size_t descriptors = 0, pages = 0;
	unsigned long struck = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (!supported(rows[i].restore))
			continue;
		fail_at = 0;
		live_through(bytes, &rows[i]);
		descriptors = count_descriptors();
		pages = address_space_pages();
		fail_on = false;
		struck += fail_each(bytes, &rows[i], call, call_errors[call][0]);
		fail_on = true;
		struck += fail_each(bytes, &rows[i], call, call_errors[call][1]);
		assert_int_equal(count_descriptors(), descriptors);
		assert_true(address_space_pages() < pages + LOST_PAGES);
		assert_int_equal(mapping_idle_memories(), 0);
	}
	print_message("%s: refused at %lu places\n", call_names[call], struck);
	wasm_byte_vec_delete(&wasm);
	return struck;
}

/* ---- which method of putting memory back is left ---- */

static void expect_method(enum call call, int error, enum weir_restore method)
{
	struct row row = {.restore = WEIR_RESTORE_AUTO};
	struct bench *b = bench_new();

	fail_call = call;
	fail_error = error;
	fail_at = 1;
	fail_on = true;
	assert_true(make_host(b, &row));
	assert_int_equal(weir_host_restore(b->host), method);
	fail_at = 0;
	bench_free(&b);
}

static void expect_no_method(enum weir_restore asked, enum call call, int error, const char *hint)
{
	struct row row = {.restore = asked};
	struct bench *b = bench_new();

	fail_call = call;
	fail_error = error;
	fail_at = 1;
	fail_on = true;
	assert_false(make_host(b, &row));
	fail_at = 0;
	if (strstr(b->error.text, hint) == NULL)
		fail_msg("%s", b->error.text);
	bench_free(&b);
}

/* A kernel before 6.7, one that hides page tables, and none that helps at all. */
static void methods_that_are_left(void **state)
{
	(void)state;
	fail_at = 0;
	if (!supported(WEIR_RESTORE_PAGEMAP))
		skip();
	expect_method(CALL_ioctl, ENOTTY, WEIR_RESTORE_PAGEMAP);
	expect_method(CALL_ioctl, EPERM, WEIR_RESTORE_PAGEMAP);
	expect_method(CALL_open, EACCES, WEIR_RESTORE_DROP);
	expect_no_method(WEIR_RESTORE_SCAN, CALL_ioctl, ENOTTY, "by \"scan\" here: ");
	expect_no_method(WEIR_RESTORE_PAGEMAP, CALL_pread, EPERM, "by \"pagemap\" here: ");
	expect_no_method(WEIR_RESTORE_DROP, CALL_madvise, EPERM, "by \"drop\" here: ");
	expect_no_method(WEIR_RESTORE_AUTO, CALL_memfd_create, ENOSYS,
			 "an image of 12288 bytes of memory cannot be made: ");
}

/* A system that counts no page faults would hide what has changed. */
static void faults_that_are_not_counted(void **state)
{
	struct row row = {.restore = WEIR_RESTORE_AUTO};
	struct bench *b = bench_new();

	(void)state;
	fail_at = 0;
	faults_stand_still = true;
	assert_true(make_host(b, &row));
	assert_int_equal(weir_host_restore(b->host), WEIR_RESTORE_DROP);
	faults_stand_still = false;
	bench_free(&b);
}

/* ---- limits of the process ---- */

/* As many as there are now: no more. */
static void without_descriptors(void **state)
{
	static const struct row row = {WEIR_RESTORE_AUTO, WEIR_ISOLATION_RESET, WEIR_INIT_SHARED};
	wasm_byte_vec_t wasm = fake_wasm(counting_guest);
	struct bench *b = bench_new();
	struct rlimit before, none;
	int next;

	(void)state;
	fail_at = 0;
	assert_true(make_host(b, &row));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	next = dup(STDIN_FILENO);
	assert_true(next >= 0 && close(next) == 0);
	none = (struct rlimit){(rlim_t)next, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_false(make_plugin(b, &row, slice_of(wasm.data, wasm.size)));
	assert_non_null(strstr(b->error.text, "Too many open files"));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(make_plugin(b, &row, slice_of(wasm.data, wasm.size)));
	/* Instances need none of their own. */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(run_exchanges(b, &row, 3), 3);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	bench_free(&b);
	wasm_byte_vec_delete(&wasm);
}

/* What a guest has for itself is data to the system, which can be limited. */
static const char wide_guest[] =
	"(module " FAKE_IMPORTS " (memory (export \"memory\") 512)"
	"(func (export \"handle_request\") (result i64)"
	" (drop (call $read (i32.const 0) (i32.const 600) (i32.const 10)))"
	" (call $set_status (i32.const 201)) (i64.const 1))"
	"(func (export \"handle_response\") (param i32 i32) (drop (memory.size))))";

static rlim_t data_bytes(void)
{
	FILE *status = fopen("/proc/self/status", "r");
	unsigned long long kib = 0;
	char line[256];

	while (status != NULL && fgets(line, sizeof line, status) != NULL)
		(void)sscanf(line, "VmData: %llu", &kib);
	if (status != NULL)
		(void)fclose(status);
	return (rlim_t)kib * 1024;
}

/* The engine ends the process where small pieces of memory are short: those are there already. */
static void keep_heap(void)
{
	volatile char *some;

	(void)mallopt(M_MMAP_THRESHOLD, 32 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, INT_MAX);
	some = malloc(16 << 20);
	assert_non_null(some);
	some[0] = 1;
	free((void *)(uintptr_t)some);
}

/* In a child: 32 MiB for each of the exchanges, of which there is room for some. */
static int exhaust_data(slice wasm)
{
	const struct row row = {WEIR_RESTORE_AUTO, WEIR_ISOLATION_RESET, WEIR_INIT_SHARED};
	struct weir_exchange *e[20];
	struct bench *b = bench_new();
	size_t begun = 0, refused = 0;
	struct rlimit limit, before;
	struct fake f;

	fake_init(&f);
	f.all_arrived = false;
	if (!make_host(b, &row) || !make_plugin(b, &row, wasm))
		return 1;
	keep_heap();
	(void)getrlimit(RLIMIT_DATA, &before);
	limit = (struct rlimit){data_bytes() + ((rlim_t)280 << 20), before.rlim_max};
	if (setrlimit(RLIMIT_DATA, &limit) != 0)
		return 2;
	for (size_t i = 0; i < ARRAY_LEN(e); i++) {
		enum weir_step step = weir_exchange_begin(&e[i], b->pool, &fake_http, &f);

		step = fake_drive(e[i], step);
		begun += step == WEIR_WAIT_BODY;
		refused += step == WEIR_FAILED && excused(weir_exchange_cause(e[i])) &&
			   strstr(weir_exchange_error(e[i])->text, "memory") != NULL;
	}
	if (begun < 2 || refused < 2 || begun + refused != ARRAY_LEN(e))
		return 3;
	f.all_arrived = true;
	for (size_t i = 0; i < ARRAY_LEN(e); i++) {
		if (i < begun && fake_drive(e[i], weir_exchange_step(e[i])) != WEIR_NEXT)
			return 4;
		weir_exchange_end(&e[i]);
	}
	(void)setrlimit(RLIMIT_DATA, &before);
	if (run_exchanges(b, &row, 3) != 3)
		return 5;
	bench_free(&b);
	return 0;
}

static void without_data(void **state)
{
	wasm_byte_vec_t wasm = fake_wasm(wide_guest);
	int status = 0;
	pid_t child;

	(void)state;
	fail_at = 0;
#if SANITIZED
	/* Sanitizers do not outlive a failure of their own. */
	wasm_byte_vec_delete(&wasm);
	skip();
#endif
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(exhaust_data(slice_of(wasm.data, wasm.size)));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	wasm_byte_vec_delete(&wasm);
}

#define X(name, a, b) \
	static void refused_##name(void **state) \
	{ \
		(void)state; \
		assert_true(refuse(CALL_##name) > 0); \
	}
FAILING_CALLS(X)
#undef X

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(without_data),
					   cmocka_unit_test(methods_that_are_left),
					   cmocka_unit_test(faults_that_are_not_counted),
					   cmocka_unit_test(without_descriptors),
#define X(name, a, b) cmocka_unit_test(refused_##name),
					   FAILING_CALLS(X)
#undef X
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
