/*
 * Compiling in a child process: this program is its own compiler, and plays the broken ones.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugin/compiler_job.h"
#include "plugin_fake.h"

#if defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* ---- the compilers ---- */

static int play_real(void)
{
	return weir_compiler_main();
}

static int play_hang(void)
{
	while (pause() < 0)
		;
	return 0;
}

/* Its pipe is closed, but it lives. */
static int play_mute(void)
{
	(void)close(STDERR_FILENO);
	return play_hang();
}

static int play_abort(void)
{
	(void)fputs("something\nbroke", stderr);
	abort();
}

static int play_killed(void)
{
	(void)raise(SIGKILL);
	return 0;
}

static int play_nothing(void)
{
	return COMPILER_DONE;
}

static int play_garbage(void)
{
	char bytes[5000];

	memset(bytes, 'x', sizeof bytes);
	return write(COMPILER_ARTEFACT_FD, bytes, sizeof bytes) == (ssize_t)sizeof bytes
		       ? COMPILER_DONE
		       : 1;
}

/* Something that may once have been asked for. */
static int play_other(void)
{
	static const char payload[4096];
	struct artefact_key key = {{0}};
	struct {
		char magic[8];
		uint64_t bytes;
		struct artefact_key key;
		char digest[SHA256_DIGEST_BYTES];
	} trailer = {"weir/1\n", sizeof payload, key, ""};

	return write(COMPILER_ARTEFACT_FD, payload, sizeof payload) > 0 &&
			       write(COMPILER_ARTEFACT_FD, &trailer, sizeof trailer) > 0
		       ? COMPILER_DONE
		       : 1;
}

static int play_loud(void)
{
	for (unsigned i = 0; i < 100000; i++)
		(void)fputs("many words ", stderr);
	return 9;
}

/* Tells which descriptors it has, and what of signals it inherited. */
static int play_inspect(void)
{
	struct sigaction pipe;
	bool open[64] = {false};
	const struct dirent *e;
	DIR *d = opendir("/proc/self/fd");
	sigset_t blocked;

	while ((e = readdir(d)) != NULL) {
		int fd = (int)strtol(e->d_name, NULL, 10);

		if (e->d_name[0] != '.' && fd != dirfd(d) && fd < (int)ARRAY_LEN(open))
			open[fd] = true;
	}
	(void)closedir(d);
	for (size_t i = 0; i < ARRAY_LEN(open); i++) {
		if (open[i])
			(void)fprintf(stderr, "%zu ", i);
	}
	(void)sigaction(SIGPIPE, NULL, &pipe);
	(void)sigprocmask(SIG_BLOCK, NULL, &blocked);
	(void)fprintf(stderr, "%s %s", pipe.sa_handler == SIG_IGN ? "ignores" : "heeds",
		      sigismember(&blocked, SIGUSR1) ? "blocks" : "gets");
	return COMPILER_FAILED;
}

/* Fails when it is not alone. */
static int play_alone(void)
{
	int lock = open(getenv("WEIR_TEST_LOCK"), O_RDWR | O_CLOEXEC), r;

	if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
		return 9;
	r = weir_compiler_main();
	(void)usleep(20000);
	return r;
}

static const struct {
	const char *name;
	int (*play)(void);
} parts[] = {
	{"real", play_real},       {"hang", play_hang},     {"mute", play_mute},
	{"abort", play_abort},     {"killed", play_killed}, {"nothing", play_nothing},
	{"garbage", play_garbage}, {"other", play_other},   {"loud", play_loud},
	{"inspect", play_inspect}, {"alone", play_alone},
};

/* ---- the tests ---- */

static const char good[] = FAKE_GUEST("", "", "(i64.const 1)", "(nop)");

static void use(struct bench *b, const char *part)
{
	static const char *argv[3] = {"/proc/self/exe"};

	argv[1] = part;
	b->options.compiler = argv;
}

static int setup(void **state)
{
	*state = bench_new();
	use(*state, "real");
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	bench_free(&b);
	/* No child is left, dead or alive. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	return 0;
}

static struct weir_host_stats host_stats(const struct bench *b)
{
	struct weir_host_stats stats;

	weir_host_stats(b->host, &stats);
	return stats;
}

static void fails(struct bench *b, const char *part, int code, const char *text)
{
	use(b, part);
	assert_int_equal(bench_load(b, good, NULL), code);
	assert_string_equal(b->error.text, text);
	assert_int_equal(host_stats(b).compile_failures, 1);
	assert_int_equal(host_stats(b).compiling, 0);
}

static void compiled(void **state)
{
	struct bench *b = *state;
	struct weir_exchange *e;
	enum weir_step step;
	struct fake f;

	bench_open(b, good, NULL);
	fake_init(&f);
	step = weir_exchange_begin(&e, b->pool, &fake_http, &f);
	assert_int_equal(fake_drive(e, step), WEIR_NEXT);
	weir_exchange_end(&e);
	fake_free(&f);
	assert_int_equal(host_stats(b).compiled, 1);
	assert_int_equal(host_stats(b).compile_failures, 0);
}

/* The same words as without a child. */
static void refused(void **state)
{
	static const uint8_t wasm[] = {0, 'a', 's', 'm', 1, 0, 0,  0, 1, 4, 1, 0x60,
				       0, 0,   3,   2,   1, 0, 10, 4, 1, 2, 0, 0x1a};
	char here[sizeof((struct bench *)*state)->error.text];
	struct bench *b = *state;
	struct weir_plugin_options o = {.name = "test", .wasm = {(const char *)wasm, sizeof wasm}};

	bench_host(b);
	assert_int_equal(weir_plugin_create(&b->plugin, b->host, &o, &b->error), -EINVAL);
	strcpy(here, b->error.text);
	weir_host_destroy(&b->host);
	b->options.compiler = NULL;
	bench_host(b);
	assert_int_equal(weir_plugin_create(&b->plugin, b->host, &o, &b->error), -EINVAL);
	assert_string_equal(here, b->error.text);
	assert_non_null(strstr(here, "plugin \"test\": does not compile: "));
}

static void absent(void **state)
{
	static const char *const argv[] = {"/nowhere/compiler", NULL};
	struct bench *b = *state;

	b->options.compiler = argv;
	assert_int_equal(bench_load(b, good, NULL), -EIO);
	assert_string_equal(b->error.text, "plugin \"test\": the compiler /nowhere/compiler cannot "
					   "be started: No such file or directory");
}

static void crash(void **state)
{
	fails(*state, "abort", -EIO,
	      "plugin \"test\": the compiler was ended by signal 6 (SIGABRT): something broke");
}

static void killed(void **state)
{
	fails(*state, "killed", -EIO,
	      "plugin \"test\": the compiler was ended by signal 9 (SIGKILL)");
}

static void hang(void **state)
{
	struct bench *b = *state;

	b->options.compile_ms = 50;
	fails(b, "hang", -ETIMEDOUT, "plugin \"test\": takes more than 50 ms to compile");
}

static void mute(void **state)
{
	struct bench *b = *state;

	b->options.compile_ms = 50;
	fails(b, "mute", -ETIMEDOUT, "plugin \"test\": takes more than 50 ms to compile");
}

static void nothing(void **state)
{
	fails(*state, "nothing", -EIO,
	      "plugin \"test\": the compiler's result is too short, or cannot be mapped");
}

static void garbage(void **state)
{
	fails(*state, "garbage", -EIO,
	      "plugin \"test\": the compiler's result does not end as it should");
}

static void other(void **state)
{
	fails(*state, "other", -EIO,
	      "plugin \"test\": the compiler's result belongs to another module or engine");
}

/* More than a pipe holds; only the beginning is kept. */
static void loud(void **state)
{
	struct bench *b = *state;

	use(b, "loud");
	assert_int_equal(bench_load(b, good, NULL), -EIO);
	assert_non_null(strstr(b->error.text, "the compiler ended with status 9: many words many"));
}

/* Descriptors without the flag to close them, ignored and blocked signals stay here. */
static void inherits_nothing(void **state)
{
	sigset_t set;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(dup2(fds[0], 40), 40);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR1);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	fails(*state, "inspect", -EIO,
	      "plugin \"test\": the compiler failed: 0 1 2 3 4 heeds gets");
	(void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	(void)close(40);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

/* One long function: compilers need memory for all of it at once. */
static struct str long_guest(unsigned instructions)
{
	struct str s = {0};

	str_add(&s,
		SLICE("(module (memory (export \"memory\") 1) (func (export \"long\") (param i32)"
		      " (result i32) "));
	for (unsigned i = 0; i < instructions; i++)
		str_format(&s,
			   "(local.set 0 (i32.mul (i32.load offset=%u (local.get 0)) "
			   "(i32.const %u)))",
			   i % 1000, i);
	str_add(&s,
		SLICE("(local.get 0)) (func (export \"handle_request\") (result i64) (i64.const 1))"
		      "(func (export \"handle_response\") (param i32 i32)))"));
	assert_false(s.failed);
	return s;
}

static void out_of_memory(void **state)
{
	struct bench *b = *state;
	struct str wat = long_guest(50000);

	if (SANITIZED) {
		str_free(&wat);
		skip(); /* the limit does not apply */
	}
	b->options.compile_memory_bytes = (uint64_t)40 << 20;
	assert_int_equal(bench_load(b, wat.p, NULL), -ENOMEM);
	assert_string_equal(b->error.text,
			    "plugin \"test\": needs more than 41943040 bytes of memory to compile");
	/* Others are not affected. */
	assert_int_equal(bench_load(b, good, NULL), 0);
	bench_close_plugin(b);
	str_free(&wat);
}

static void *load_one(void *arg)
{
	struct bench *b = arg;
	static _Atomic unsigned number;
	struct weir_module *m = NULL;
	struct weir_error error;
	struct str wat = {0};
	wasm_byte_vec_t wasm;
	char *why = NULL;

	str_format(&wat,
		   "(module (memory (export \"memory\") 1) (func (export \"own%u\"))"
		   "(func (export \"handle_request\") (result i64) (i64.const 1))"
		   "(func (export \"handle_response\") (param i32 i32)))",
		   number++);
	wasm = fake_wasm(wat.p);
	if (weir_module_load(&m, b->host, slice_of(wasm.data, wasm.size), &error) < 0)
		why = strdup(error.text);
	else
		weir_module_release(&m);
	wasm_byte_vec_delete(&wasm);
	str_free(&wat);
	return why;
}

/* More modules than compilers: the others wait. */
static void one_at_a_time(void **state)
{
	char lock[] = "/tmp/weir-lock-XXXXXX";
	struct bench *b = *state;
	pthread_t threads[4];
	int fd = mkstemp(lock);

	assert_true(fd >= 0);
	assert_int_equal(setenv("WEIR_TEST_LOCK", lock, 1), 0);
	use(b, "alone");
	b->options.compile_jobs = 1;
	bench_host(b);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, load_one, b), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *why;

		assert_int_equal(pthread_join(threads[i], &why), 0);
		if (why != NULL)
			fail_msg("%s", (char *)why);
	}
	assert_int_equal(host_stats(b).compiled, ARRAY_LEN(threads));
	assert_int_equal(host_stats(b).compiling, 0);
	(void)close(fd);
	(void)unlink(lock);
}

/* Whoever waits, for a compiler that runs or for one that may not start yet, is told. */
static void cancelled(void **state)
{
	struct bench *b = *state;
	pthread_t threads[3];

	use(b, "hang");
	b->options.compile_jobs = 1;
	bench_host(b);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, load_one, b), 0);
	while (host_stats(b).compiling < ARRAY_LEN(threads))
		(void)usleep(1000);
	weir_host_cancel(b->host);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *why;

		assert_int_equal(pthread_join(threads[i], &why), 0);
		assert_string_equal(why, "is no longer to be compiled");
		free(why);
	}
	assert_int_equal(host_stats(b).compile_failures, ARRAY_LEN(threads));
}

/* An embedder that waits for all children, or wants to know of none, takes the exit status away. */
static void status_taken(void **state)
{
	struct bench *b = *state;

	(void)signal(SIGCHLD, SIG_IGN);
	assert_int_equal(bench_load(b, good, NULL), 0);
	bench_close_plugin(b);
	use(b, "killed");
	assert_int_equal(bench_load(b, FAKE_GUEST("", "", "(i64.const 0)", "(nop)"), NULL), -EIO);
	assert_string_equal(b->error.text,
			    "plugin \"test\": the compiler's result is too short, or "
			    "cannot be mapped");
	(void)signal(SIGCHLD, SIG_DFL);
}

static void own_children_only(void **state)
{
	struct bench *b = *state;
	pid_t mine = fork();
	int status;

	assert_true(mine >= 0);
	if (mine == 0)
		_exit(7);
	assert_int_equal(bench_load(b, good, NULL), 0);
	assert_int_equal(waitpid(mine, &status, 0), mine);
	assert_int_equal(WEXITSTATUS(status), 7);
}

/* Without a job on its descriptors. */
static void by_hand(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		(void)close(STDERR_FILENO);
		(void)execl("/proc/self/exe", "test", "real", (char *)NULL);
		_exit(1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(WEXITSTATUS(status), COMPILER_FAILED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(compiled),
		TEST(refused),
		TEST(absent),
		TEST(crash),
		TEST(killed),
		TEST(hang),
		TEST(mute),
		TEST(nothing),
		TEST(garbage),
		TEST(other),
		TEST(loud),
		TEST(inherits_nothing),
		TEST(out_of_memory),
		TEST(one_at_a_time),
		TEST(cancelled),
		TEST(status_taken),
		TEST(own_children_only),
		TEST(by_hand),
	};

	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(parts); i++) {
		if (strcmp(parts[i].name, argv[1]) == 0)
			return parts[i].play();
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
