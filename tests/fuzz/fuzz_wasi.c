/*
 * A guest that calls any WASI function with any arguments: nothing but its own memory is touched,
 * and nothing but its mounts. The input is a list of calls and of bytes to put into memory before
 * them.
 */
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base.h"
#include "plugin/budget.h"
#include "plugin/wasi.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY_BYTES 0x10000u
/* As far as 32 bits reach, on both sides. */
#define GUARD_BYTES ((size_t)0x100000000u)
#define FILE_BYTES_MAX (1 << 20)

static struct guest_memory memory;
static char root[64];

struct input {
	const uint8_t *p;
	size_t n;
};

static uint64_t take(struct input *in, size_t bytes)
{
	uint64_t value = 0;
	size_t n = MIN(bytes, in->n);

	memcpy(&value, in->p, n);
	in->p += n;
	in->n -= n;
	return value;
}

static void path_of(const char *name, char out[128])
{
	(void)snprintf(out, 128, "%s/%s", root, name);
}

static void make_file(const char *name, const char *content)
{
	char path[128];
	int fd;

	path_of(name, path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	must(fd >= 0 && write(fd, content, strlen(content)) == (ssize_t)strlen(content));
	close(fd);
}

static void make_dir(const char *name)
{
	char path[128];

	path_of(name, path);
	must(mkdir(path, 0755) == 0);
}

static void make_link(const char *name, const char *target)
{
	char path[128];

	path_of(name, path);
	must(symlink(target, path) == 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_tree(const char *name)
{
	char path[128];

	path_of(name, path);
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_mount(void)
{
	remove_tree("m");
	make_dir("m");
	make_dir("m/d");
	make_file("m/f", "content");
	make_file("m/d/g", "inner");
	make_link("m/l", "f");
	make_link("m/o", "../o");
	make_link("m/a", "/");
}

static void clean_up(void)
{
	(void)nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct rlimit limit = {FILE_BYTES_MAX, FILE_BYTES_MAX};
	uint8_t *all = mmap(NULL, 2 * GUARD_BYTES + MEMORY_BYTES, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	(void)argc;
	(void)argv;
	must(all != MAP_FAILED);
	memory = (struct guest_memory){all + GUARD_BYTES, MEMORY_BYTES};
	must(mprotect(memory.base, MEMORY_BYTES, PROT_READ | PROT_WRITE) == 0);
	(void)snprintf(root, sizeof root, "%s/fuzz_wasi.XXXXXX",
		       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	must(mkdtemp(root) != NULL);
	must(atexit(clean_up) == 0);
	make_dir("o");
	make_file("o/secret", "secret");
	signal(SIGXFSZ, SIG_IGN);
	must(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	return 0;
}

static struct stat state_of(const char *name)
{
	char path[128];
	struct stat st;

	path_of(name, path);
	must(lstat(path, &st) == 0);
	return st;
}

static void must_be_same(const struct stat *a, const struct stat *b)
{
	must(a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_nlink == b->st_nlink);
	must(a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec);
}

/* Mostly small numbers and addresses, since most other values end in the same checks. */
static uint64_t take_argument(struct input *in)
{
	uint8_t how = (uint8_t)take(in, 1);

	switch (how & 3) {
	case 0:
		return how >> 2;
	case 1:
		return (uint64_t)(how >> 2) << 8;
	case 2:
		return take(in, 2);
	default:
		return how & 4 ? take(in, 8) : take(in, 4);
	}
}

/* Something to point at where `take_argument` likes to point. */
static void fill_memory(void)
{
	static const char *const paths[] = {"f", "d/g",    "../o/secret", "o/secret",
					    "n", "d/../l", "d/n"};
	static const uint32_t iovecs[] = {0x1000, 5, 0xfff0, 0x10, 0x1001, 300};

	memset(memory.base, 0, MEMORY_BYTES);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		memcpy(memory.base + (i + 1) * 0x100, paths[i], strlen(paths[i]) + 1);
	memcpy(memory.base + 0x800, iovecs, sizeof iovecs);
}

static void put_bytes(struct input *in)
{
	size_t at = take(in, 2), n = take(in, 1);

	n = MIN(n, MIN(in->n, MEMORY_BYTES - at));
	memcpy(memory.base + at, in->p, n);
	in->p += n;
	in->n -= n;
}

/* Returns false when the guest is over. */
static bool call(struct wasi *w, const struct wasi_function *f, struct input *in)
{
	uint64_t args[9] = {0};
	uint32_t result = 0;
	enum wasi_outcome outcome;

	must(strlen(f->params) <= ARRAY_LEN(args));
	for (size_t i = 0; f->params[i] != '\0'; i++)
		args[i] = take_argument(in);
	outcome = f->call(w, memory, args, &result);
	if (outcome == WASI_SLEEP) {
		must(wasi_wake_at_ns(w) > 0);
		outcome = wasi_poll_finish(w, memory, args, &result);
	}
	must(outcome == WASI_DONE || (outcome == WASI_EXIT && !f->has_result));
	must(result <= 76);
	return outcome == WASI_DONE;
}

static void run(struct wasi *w, struct input *in)
{
	size_t count;
	const struct wasi_function *all = wasi_functions(&count);
	struct wasi *copy;

	while (in->n > 0) {
		uint8_t what = (uint8_t)take(in, 1);

		if (what >= count)
			put_bytes(in);
		else if (!call(w, &all[what], in))
			return;
		must(wasi_open_files(w) <= 8);
	}
	must(wasi_clone(&copy, w, NULL) == 0);
	must(wasi_open_files(copy) == wasi_open_files(w));
	wasi_destroy(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const envs[] = {"A=1"};
	struct wasi_mount mounts[2] = {{.guest_path = "/"},
				       {.guest_path = "/ro", .read_only = true}};
	struct budget files;
	struct wasi_options options = {.envs = envs,
				       .env_count = 1,
				       .mounts = mounts,
				       .mount_count = 2,
				       .files_max = 8,
				       .files = &files};
	struct input in = {data, size};
	const struct stat outside = state_of("o"), secret = state_of("o/secret");
	struct stat after;
	struct wasi *w;
	char path[128];

	fill_memory();
	make_mount();
	path_of("m", path);
	mounts[0].host_path = mounts[1].host_path = path;
	budget_init(&files, 9, NULL);
	options.walk_paths = (take(&in, 1) & 1) != 0;
	must(wasi_create(&w, &options, NULL) == 0);
	run(w, &in);
	wasi_destroy(&w);
	must(files.used == 0);
	after = state_of("o");
	must_be_same(&outside, &after);
	after = state_of("o/secret");
	must_be_same(&secret, &after);
	return 0;
}
