/*
 * The cache of compiled modules: what is in it is run, so whatever is not exactly what was put
 * there is not taken.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/cache.h"
#include "plugin/cache_evict.h"
#include "plugin/engine.h"
#include "plugin_fake.h"

#define MEBIBYTE ((uint64_t)1 << 20)

static wasm_engine_t *engine;

/** A directory with a cache, and one artefact in memory. */
struct place {
	char parent[64], path[128];
	struct cache cache;
	struct artefact_key key;
	int fd;
};

static struct artefact_key numbered(unsigned n)
{
	struct artefact_key key = {{(unsigned char)n, (unsigned char)(n >> 8)}};

	return key;
}

static int artefact_of(const struct artefact_key *key)
{
	wasm_byte_vec_t wasm = fake_wasm("(module (func (export \"f\")))");
	wasmtime_module_t *module;
	int fd = artefact_create();

	assert_true(fd >= 0);
	assert_int_equal(engine_compile(&module, engine, slice_of(wasm.data, wasm.size),
					slice_of(wasm.data, wasm.size), NULL),
			 0);
	assert_int_equal(artefact_write(fd, module, key), 0);
	wasmtime_module_delete(module);
	wasm_byte_vec_delete(&wasm);
	return fd;
}

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	struct weir_error error;

	strcpy(p->parent, "/tmp/weir-cache-XXXXXX");
	assert_non_null(mkdtemp(p->parent));
	/* Directories that are not there are made. */
	(void)snprintf(p->path, sizeof p->path, "%s/a/b", p->parent);
	p->key = numbered(1);
	p->fd = artefact_of(&p->key);
	if (cache_open(&p->cache, p->path, 64 * MEBIBYTE, &error) < 0)
		fail_msg("%s", error.text);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	char command[160];

	cache_close(&p->cache);
	(void)close(p->fd);
	(void)snprintf(command, sizeof command, "rm -rf %s", p->parent);
	assert_int_equal(system(command), 0);
	free(p);
	return 0;
}

static void name_of(char name[128], const struct artefact_key *key)
{
	for (size_t i = 0; i < sizeof key->bytes; i++)
		(void)snprintf(name + 2 * i, 3, "%02x", key->bytes[i]);
	strcat(name, CACHE_SUFFIX);
}

static void put(struct place *p, const struct artefact_key *key, int fd)
{
	struct weir_error error;
	uint64_t evicted;

	if (cache_put(&p->cache, key, fd, &evicted, &error) < 0)
		fail_msg("%s", error.text);
}

static enum cache_find get(struct place *p, const struct artefact_key *key,
			   struct weir_error *error)
{
	int fd = -1;
	enum cache_find found = cache_get(&p->cache, key, &fd, error);

	if (found == CACHE_HIT) {
		wasmtime_module_t *module;

		assert_int_equal(artefact_load(&module, engine, fd, error), 0);
		wasmtime_module_delete(module);
		(void)close(fd);
	}
	return found;
}

/* What is there is not taken, for this reason; putting it again mends it. */
static void is_corrupt(struct place *p, const char *why)
{
	struct weir_error error;

	assert_int_equal(get(p, &p->key, &error), CACHE_CORRUPT);
	if (strstr(error.text, why) == NULL)
		fail_msg("found \"%s\", expected \"%s\"", error.text, why);
	put(p, &p->key, p->fd);
	assert_int_equal(get(p, &p->key, NULL), CACHE_HIT);
}

static void kept(void **state)
{
	struct place *p = *state;
	struct artefact_key other = numbered(2);
	struct stat s;
	char name[128];

	assert_int_equal(get(p, &p->key, NULL), CACHE_MISS);
	put(p, &p->key, p->fd);
	assert_int_equal(get(p, &p->key, NULL), CACHE_HIT);
	assert_int_equal(get(p, &other, NULL), CACHE_MISS);
	assert_int_equal(stat(p->path, &s), 0);
	assert_int_equal(s.st_mode & 07777, 0700);
	name_of(name, &p->key);
	assert_int_equal(fstatat(p->cache.directory, name, &s, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(s.st_mode & 07777, 0600);
	/* Another process, or the next start. */
	cache_close(&p->cache);
	assert_int_equal(get(p, &p->key, NULL), CACHE_MISS);
	assert_int_equal(cache_open(&p->cache, p->path, 64 * MEBIBYTE, NULL), 0);
	assert_int_equal(get(p, &p->key, NULL), CACHE_HIT);
}

static void truncated(void **state)
{
	struct place *p = *state;
	char name[128];
	struct stat s;
	int file;

	put(p, &p->key, p->fd);
	name_of(name, &p->key);
	assert_int_equal(fstat(p->fd, &s), 0);
	for (off_t bytes = 0; bytes < s.st_size; bytes += s.st_size / 7) {
		file = openat(p->cache.directory, name, O_WRONLY);
		assert_int_equal(ftruncate(file, bytes), 0);
		(void)close(file);
		is_corrupt(p, bytes == 0 ? "is too short" : "does not end as it should");
	}
}

/* One bit anywhere. */
static void damaged(void **state)
{
	struct place *p = *state;
	struct stat s;
	char name[128];

	put(p, &p->key, p->fd);
	name_of(name, &p->key);
	assert_int_equal(fstat(p->fd, &s), 0);
	for (off_t at = 1; at < s.st_size; at += MIN(61, MAX(1, s.st_size - 130 - at))) {
		int file = openat(p->cache.directory, name, O_RDWR);
		unsigned char byte;

		assert_int_equal(pread(file, &byte, 1, at), 1);
		byte ^= 4;
		assert_int_equal(pwrite(file, &byte, 1, at), 1);
		assert_int_equal(get(p, &p->key, NULL), CACHE_CORRUPT);
		byte ^= 4;
		assert_int_equal(pwrite(file, &byte, 1, at), 1);
		(void)close(file);
	}
	assert_int_equal(get(p, &p->key, NULL), CACHE_HIT);
}

/* Good code, but of another module. */
static void swapped(void **state)
{
	struct place *p = *state;
	struct artefact_key other = numbered(2);
	int fd = artefact_of(&other);
	char name[128], other_name[128];

	put(p, &other, fd);
	(void)close(fd);
	name_of(name, &p->key);
	name_of(other_name, &other);
	assert_int_equal(renameat(p->cache.directory, other_name, p->cache.directory, name), 0);
	is_corrupt(p, "belongs to another module or engine");
}

static void links(void **state)
{
	struct place *p = *state;
	char name[128];

	put(p, &p->key, p->fd);
	name_of(name, &p->key);
	assert_int_equal(renameat(p->cache.directory, name, p->cache.directory, "real"), 0);
	assert_int_equal(symlinkat("real", p->cache.directory, name), 0);
	is_corrupt(p, "is a symbolic link");
	assert_int_equal(unlinkat(p->cache.directory, name, 0), 0);
	/* Nobody writes into it: opening must not wait for that. */
	assert_int_equal(mkfifoat(p->cache.directory, name, 0600), 0);
	is_corrupt(p, "is not a regular file");
}

static void of_others(void **state)
{
	struct place *p = *state;
	char name[128];

	name_of(name, &p->key);
	put(p, &p->key, p->fd);
	assert_int_equal(fchmodat(p->cache.directory, name, 0620, 0), 0);
	is_corrupt(p, "has mode 0620");
	assert_int_equal(fchmodat(p->cache.directory, name, 0602, 0), 0);
	is_corrupt(p, "has mode 0602");
	if (geteuid() != 0)
		skip();
	assert_int_equal(fchownat(p->cache.directory, name, 65534, 65534, 0), 0);
	is_corrupt(p, "belongs to user 65534, expected 0");
}

static void directory_of_others(void **state)
{
	struct place *p = *state;
	struct weir_error error;
	struct cache c;

	assert_int_equal(chmod(p->path, 0770), 0);
	assert_int_equal(cache_open(&c, p->path, MEBIBYTE, &error), -EACCES);
	assert_non_null(
		strstr(error.text, "has mode 0770, expected that only its owner may write"));
	assert_int_equal(chmod(p->path, 0755), 0);
	assert_int_equal(cache_open(&c, p->path, MEBIBYTE, &error), 0);
	cache_close(&c);
	assert_int_equal(cache_open(&c, "/dev/null", MEBIBYTE, &error), -ENOTDIR);
	assert_int_equal(cache_open(&c, "/dev/null/x", MEBIBYTE, &error), -ENOTDIR);
	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(p->path, 65534, 65534), 0);
	assert_int_equal(cache_open(&c, p->path, MEBIBYTE, &error), -EACCES);
	assert_non_null(strstr(error.text, "belongs to user 65534"));
}

static size_t files(const struct place *p)
{
	char command[160], text[16] = "";
	FILE *f;

	(void)snprintf(command, sizeof command, "ls -A %s | wc -l", p->path);
	f = popen(command, "r");
	assert_non_null(fgets(text, sizeof text, f));
	(void)pclose(f);
	return (size_t)strtoul(text, NULL, 10);
}

/* A file may not grow beyond a limit: as on a full disk, some bytes are written, then no more. */
static void disk_full(void **state)
{
	struct place *p = *state;
	struct rlimit before, small;
	struct weir_error error;
	uint64_t evicted;
	int r;

	put(p, &p->key, p->fd);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = (struct rlimit){.rlim_cur = 1000, .rlim_max = before.rlim_max};
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	r = cache_put(&p->cache, &p->key, p->fd, &evicted, &error);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(r, -EFBIG);
	/* What was there is still there, and nothing else. */
	assert_int_equal(files(p), 1);
	assert_int_equal(get(p, &p->key, NULL), CACHE_HIT);
}

static void read_only(void **state)
{
	struct place *p = *state;
	struct artefact_key other = numbered(2);
	struct weir_error error;
	bool root = geteuid() == 0;
	uint64_t evicted;
	struct cache c;

	/* Root may write everywhere. */
	if (root) {
		assert_int_equal(chmod(p->parent, 0755), 0);
		assert_int_equal(chown(p->path, 65534, 65534), 0);
		(void)snprintf(p->path, sizeof p->path, "%s/a", p->parent);
		assert_int_equal(chmod(p->path, 0755), 0);
		(void)snprintf(p->path, sizeof p->path, "%s/a/b", p->parent);
		assert_int_equal(seteuid(65534), 0);
	}
	assert_int_equal(cache_open(&c, p->path, 64 * MEBIBYTE, &error), 0);
	assert_int_equal(cache_put(&c, &p->key, p->fd, &evicted, &error), 0);
	assert_int_equal(chmod(p->path, 0500), 0);
	assert_int_equal(cache_put(&c, &other, p->fd, &evicted, &error), -EACCES);
	cache_close(&p->cache);
	p->cache = c;
	assert_int_equal(get(p, &p->key, &error), CACHE_HIT);
	assert_int_equal(chmod(p->path, 0700), 0);
	if (root)
		assert_int_equal(seteuid(0), 0);
}

static void *write_and_read(void *arg)
{
	struct place *p = arg;
	struct cache c;

	assert_int_equal(cache_open(&c, p->path, 64 * MEBIBYTE, NULL), 0);
	for (unsigned i = 0; i < 40; i++) {
		struct weir_error error;
		uint64_t evicted;
		int fd;

		if (cache_put(&c, &p->key, p->fd, &evicted, &error) < 0)
			return "a file cannot be put";
		if (cache_get(&c, &p->key, &fd, &error) != CACHE_HIT)
			return "a file is not whole";
		(void)close(fd);
	}
	cache_close(&c);
	return NULL;
}

/* Several writers of one file: each reader sees a whole one. */
static void concurrent(void **state)
{
	struct place *p = *state;
	pthread_t threads[4];
	void *wrong;

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_and_read, p), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		if (wrong != NULL)
			fail_msg("%s", (const char *)wrong);
	}
	assert_int_equal(files(p), 1);
}

static void used_at(struct place *p, unsigned n, time_t when)
{
	struct artefact_key key = numbered(n);
	const struct timespec times[2] = {{.tv_sec = when}, {.tv_sec = when}};
	char name[128];

	name_of(name, &key);
	assert_int_equal(utimensat(p->cache.directory, name, times, 0), 0);
}

static void evicted(void **state)
{
	struct place *p = *state;
	struct artefact_key keys[5];
	struct stat s;
	uint64_t gone;
	int fds[ARRAY_LEN(keys)];

	for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
		keys[i] = numbered(10 + i);
		fds[i] = artefact_of(&keys[i]);
	}
	assert_int_equal(fstat(fds[0], &s), 0);
	p->cache.bytes_max = (uint64_t)s.st_size * 4;
	for (unsigned i = 0; i < 4; i++) {
		put(p, &keys[i], fds[i]);
		used_at(p, 10 + i, 1000 + i);
	}
	/* Looked at just now: the second is the oldest. */
	assert_int_equal(get(p, &keys[0], NULL), CACHE_HIT);
	assert_int_equal(cache_put(&p->cache, &keys[4], fds[4], &gone, NULL), 0);
	assert_int_equal(gone, 1);
	for (unsigned i = 0; i < ARRAY_LEN(keys); i++)
		assert_int_equal(get(p, &keys[i], NULL), i == 1 ? CACHE_MISS : CACHE_HIT);
	/* Larger than everything may be: not stored, and nothing is removed for it. */
	p->cache.bytes_max = (uint64_t)s.st_size - 1;
	assert_int_equal(cache_put(&p->cache, &keys[1], fds[1], &gone, NULL), -E2BIG);
	assert_int_equal(gone, 0);
	p->cache.bytes_max = MEBIBYTE;
	assert_int_equal(files(p), 4);
	for (unsigned i = 0; i < ARRAY_LEN(keys); i++)
		(void)close(fds[i]);
}

/* What a writer left behind that was killed goes, once no writer can be at it any more; files that
 * are not the cache's stay. */
static void left_behind(void **state)
{
	struct place *p = *state;
	const struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};

	(void)close(openat(p->cache.directory, CACHE_TEMPORARY "1-1", O_CREAT | O_WRONLY, 0600));
	(void)close(openat(p->cache.directory, CACHE_TEMPORARY "1-2", O_CREAT | O_WRONLY, 0600));
	(void)close(openat(p->cache.directory, "README", O_CREAT | O_WRONLY, 0600));
	assert_int_equal(utimensat(p->cache.directory, CACHE_TEMPORARY "1-1", long_ago, 0), 0);
	assert_int_equal(utimensat(p->cache.directory, "README", long_ago, 0), 0);
	put(p, &p->key, p->fd);
	assert_int_equal(files(p), 3);
	assert_int_equal(faccessat(p->cache.directory, CACHE_TEMPORARY "1-1", F_OK, 0), -1);
}

/* ---- a host with a cache ---- */

struct host_log {
	unsigned warnings;
	char text[512];
};

static void note(void *context, const struct weir_log_line *line)
{
	struct host_log *l = context;

	if (line->plugin.n > 0 || line->level < WEIR_LOG_WARN)
		return;
	l->warnings++;
	(void)snprintf(l->text, sizeof l->text, "%.*s", SLICE_ARG(line->text));
}

/* Loads a module in a host of its own. */
static struct weir_host_stats load_once(const char *directory, struct host_log *l)
{
	const struct weir_host_options o = {
		.cache_directory = directory, .log = note, .log_context = l};
	wasm_byte_vec_t wasm =
		fake_wasm(FAKE_GUEST("", "", "(return (i64.const 1)) (i64.const 1)", "(nop)"));
	struct weir_host_stats stats;
	struct weir_module *m;
	struct weir_host *h;
	struct weir_error error;

	assert_int_equal(weir_host_create(&h, &o, &error), 0);
	restore_handlers();
	if (weir_module_load(&m, h, slice_of(wasm.data, wasm.size), &error) < 0)
		fail_msg("%s", error.text);
	weir_host_stats(h, &stats);
	weir_module_release(&m);
	weir_host_destroy(&h);
	wasm_byte_vec_delete(&wasm);
	return stats;
}

static void across_hosts(void **state)
{
	struct place *p = *state;
	struct host_log l = {0};
	struct weir_host_stats stats = load_once(p->path, &l);
	char command[256];

	assert_int_equal(stats.cache_misses, 1);
	assert_int_equal(stats.compiled, 1);
	assert_int_equal(stats.cache_hits, 0);
	stats = load_once(p->path, &l);
	assert_int_equal(stats.cache_hits, 1);
	assert_int_equal(stats.cache_misses, 0);
	assert_int_equal(stats.compiled, 0);
	assert_int_equal(l.warnings, 0);
	(void)snprintf(command, sizeof command, "truncate -s 100 %s/*" CACHE_SUFFIX, p->path);
	assert_int_equal(system(command), 0);
	stats = load_once(p->path, &l);
	assert_int_equal(stats.cache_corrupt, 1);
	assert_int_equal(stats.cache_misses, 1);
	assert_int_equal(stats.compiled, 1);
	assert_int_equal(l.warnings, 1);
	stats = load_once(p->path, &l);
	assert_int_equal(stats.cache_hits, 1);
	assert_int_equal(l.warnings, 1);
}

static void without_directory(void **state)
{
	struct host_log l = {0};
	struct weir_host_stats stats;

	(void)state;
	stats = load_once("/dev/null/cache", &l);
	assert_int_equal(stats.compiled, 1);
	assert_int_equal(stats.cache_hits + stats.cache_misses + stats.cache_write_failures, 0);
	assert_int_equal(l.warnings, 1);
	assert_string_equal(l.text, "compiled modules are not kept: /dev/null/cache: Not a "
				    "directory");
}

/* The directory goes away while the host lives: said once, and everything works. */
static void cannot_write(void **state)
{
	struct place *p = *state;
	struct host_log l = {0};
	const struct weir_host_options o = {
		.cache_directory = p->path, .log = note, .log_context = &l};
	struct weir_host_stats stats;
	struct weir_host *h;

	assert_int_equal(weir_host_create(&h, &o, NULL), 0);
	restore_handlers();
	assert_int_equal(rmdir(p->path), 0);
	for (unsigned i = 0; i < 2; i++) {
		wasm_byte_vec_t wasm =
			fake_wasm(i == 0 ? FAKE_GUEST("", "", "(i64.const 1)", "(nop)")
					 : FAKE_GUEST("", "", "(i64.const 0)", "(nop)"));
		struct weir_module *m;

		assert_int_equal(weir_module_load(&m, h, slice_of(wasm.data, wasm.size), NULL), 0);
		weir_module_release(&m);
		wasm_byte_vec_delete(&wasm);
	}
	weir_host_stats(h, &stats);
	weir_host_destroy(&h);
	assert_int_equal(stats.compiled, 2);
	assert_int_equal(stats.cache_write_failures, 2);
	assert_int_equal(l.warnings, 1);
	assert_non_null(strstr(l.text, "cannot be kept in the cache: No such file or directory"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(kept),
		TEST(truncated),
		TEST(damaged),
		TEST(swapped),
		TEST(links),
		TEST(of_others),
		TEST(directory_of_others),
		TEST(disk_full),
		TEST(read_only),
		TEST(concurrent),
		TEST(evicted),
		TEST(left_behind),
		TEST(across_hosts),
		TEST(without_directory),
		TEST(cannot_write),
	};
	int failed;

	engine = engine_create();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	wasm_engine_delete(engine);
	return failed;
}
