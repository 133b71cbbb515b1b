#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <sys/stat.h>

#include "wasi_guest.h"

/*
 * Guests that pass wild pointers. Whatever they pass, only their own memory may be touched: a touch
 * of anything else within 32 bits of it ends the test.
 */

#define SANE_FD 5 /* opened by `setup`, for reading and writing */

static int setup(void **state)
{
	struct guest *g = calloc(1, sizeof *g);
	struct wasi_mount mount = {.host_path = g->dir, .guest_path = "/"};
	static const char *const envs[] = {"A=1", "B=2"};
	struct wasi_options options = {
		.envs = envs, .env_count = 2, .mounts = &mount, .mount_count = 1};
	uint32_t fd;

	(void)snprintf(g->dir, sizeof g->dir, "/tmp/test_wasi.XXXXXX");
	assert_non_null(mkdtemp(g->dir));
	guest_map(g);
	assert_int_equal(wasi_create(&g->w, &options, NULL), 0);
	assert_int_equal(guest_open(g, 3, "f", WASI_OFLAG_CREAT, RIGHTS_READ | RIGHTS_WRITE, &fd),
			 0);
	assert_int_equal(fd, 4);
	assert_int_equal(CALL(g, path_symlink, PATH(g, "f"), 3, PATH2(g, "l")), 0);
	assert_int_equal(guest_open(g, 3, "f", 0, RIGHTS_READ | RIGHTS_WRITE, &fd), 0);
	assert_int_equal(fd, SANE_FD);
	put_iovec(g, 0, AT_DATA, 16);
	*state = g;
	return 0;
}

static int teardown(void **state)
{
	struct guest *g = *state;
	char command[128];

	(void)snprintf(command, sizeof command, "rm -rf '%s'", g->dir);
	guest_unmap(g);
	assert_int_equal(system(command), 0);
	free(g);
	return 0;
}

/*
 * For each function: arguments that work, and what each is: '.' a number, 'p' a pointer to
 * something of at least one byte, 'P' one to possibly nothing, 'n' the size of what the pointer
 * before it points at.
 */
static const struct {
	const char *name;
	const char *kinds;
	uint64_t args[9];
} functions[] = {
	{"args_get", "PP", {AT_DATA, AT_DATA}},
	{"args_sizes_get", "pp", {AT_RESULT, AT_RESULT}},
	{"clock_res_get", ".p", {0, AT_RESULT}},
	{"clock_time_get", "..p", {0, 0, AT_RESULT}},
	{"environ_get", "pp", {AT_DATA, AT_DATA + 64}},
	{"environ_sizes_get", "pp", {AT_RESULT, AT_RESULT}},
	{"fd_advise", "....", {SANE_FD, 0, 1, 0}},
	{"fd_allocate", "...", {SANE_FD, 0, 1}},
	{"fd_close", ".", {77}},
	{"fd_datasync", ".", {SANE_FD}},
	{"fd_fdstat_get", ".p", {SANE_FD, AT_DATA}},
	{"fd_fdstat_set_flags", "..", {SANE_FD, 0}},
	{"fd_fdstat_set_rights", "...", {0, 0, 0}},
	{"fd_filestat_get", ".p", {SANE_FD, AT_DATA}},
	{"fd_filestat_set_size", "..", {SANE_FD, 64}},
	{"fd_filestat_set_times", "....", {SANE_FD, 0, 0, 0}},
	{"fd_pread", ".pn.p", {SANE_FD, AT_IOVEC, 1, 0, AT_RESULT}},
	{"fd_prestat_dir_name", ".pn", {3, AT_DATA, 1}},
	{"fd_prestat_get", ".p", {3, AT_DATA}},
	{"fd_pwrite", ".pn.p", {SANE_FD, AT_IOVEC, 1, 0, AT_RESULT}},
	{"fd_read", ".pnp", {SANE_FD, AT_IOVEC, 1, AT_RESULT}},
	{"fd_readdir", ".pn.p", {3, AT_DATA, 64, 0, AT_RESULT}},
	{"fd_renumber", "..", {SANE_FD, SANE_FD}},
	{"fd_seek", "...p", {SANE_FD, 0, 0, AT_RESULT}},
	{"fd_sync", ".", {SANE_FD}},
	{"fd_tell", ".p", {SANE_FD, AT_RESULT}},
	{"fd_write", ".pnp", {SANE_FD, AT_IOVEC, 1, AT_RESULT}},
	{"path_create_directory", ".pn", {3, AT_PATH, 1}},
	{"path_filestat_get", "..pnp", {3, 0, AT_PATH, 1, AT_DATA}},
	{"path_filestat_set_times", "..pn...", {3, 0, AT_PATH, 1, 0, 0, 0}},
	{"path_link", "..pn.pn", {3, 0, AT_PATH, 1, 3, AT_PATH2, 1}},
	{"path_open", "..pn....p", {3, 0, AT_PATH, 1, 0, 0, 0, 0, AT_RESULT}},
	{"path_readlink", ".pnpnp", {3, AT_PATH2, 1, AT_DATA, 16, AT_RESULT}},
	{"path_remove_directory", ".pn", {3, AT_PATH, 1}},
	{"path_rename", ".pn.pn", {3, AT_PATH, 1, 3, AT_PATH2, 1}},
	{"path_symlink", "pn.pn", {AT_PATH, 1, 3, AT_PATH2, 1}},
	{"path_unlink_file", ".pn", {3, AT_PATH, 1}},
	{"poll_oneoff", "ppnp", {AT_PATH, AT_DATA, 1, AT_RESULT}},
	{"proc_exit", ".", {0}},
	{"proc_raise", ".", {0}},
	{"random_get", "pn", {AT_DATA, 16}},
	{"sched_yield", "", {0}},
	{"sock_accept", "...", {SANE_FD, 0, AT_RESULT}},
	{"sock_recv", "......", {SANE_FD, AT_IOVEC, 1, 0, AT_RESULT, AT_RESULT}},
	{"sock_send", ".....", {SANE_FD, AT_IOVEC, 1, 0, AT_RESULT}},
	{"sock_shutdown", "..", {SANE_FD, 0}},
};

/* What the arguments point at, as it was before the last call. */
static void restore(struct guest *g)
{
	struct wasi_subscription s = {.type = WASI_EVENT_FD_READ, .clock_or_fd = 0};

	put_text(g, AT_PATH, "f");
	put_text(g, AT_PATH2, "l");
	put_iovec(g, 0, AT_DATA, 16);
	memcpy(g->m.base + AT_PATH + 64, &s, sizeof s);
}

static bool is_exit(size_t f)
{
	return strcmp(functions[f].name, "proc_exit") == 0;
}

static uint32_t call_changed(struct guest *g, size_t f, size_t nth, uint64_t value)
{
	uint64_t args[9];

	memcpy(args, functions[f].args, sizeof args);
	args[nth] = value;
	restore(g);
	if (strcmp(functions[f].name, "poll_oneoff") == 0 && args[0] == AT_PATH)
		args[0] = AT_PATH + 64;
	return guest_call(g, functions[f].name, args);
}

static void table_covers_everything(void **state)
{
	size_t count;
	const struct wasi_function *all = wasi_functions(&count);

	(void)state;
	assert_int_equal(count, ARRAY_LEN(functions));
	for (size_t i = 0; i < count; i++) {
		assert_string_equal(all[i].name, functions[i].name);
		assert_int_equal(strlen(all[i].params), strlen(functions[i].kinds));
	}
}

static void wild_pointers_are_faults(void **state)
{
	static const uint64_t wild[] = {GUEST_BYTES + 1, GUEST_BYTES + 4096, 0x7fffffff, 0x80000000,
					0xfffffff8,      0xfffffffc,         0xffffffff};
	struct guest *g = *state;

	for (size_t f = 0; f < ARRAY_LEN(functions); f++) {
		for (size_t i = 0; i < strlen(functions[f].kinds); i++) {
			char kind = functions[f].kinds[i];

			for (size_t k = 0; (kind == 'p' || kind == 'P') && k < ARRAY_LEN(wild); k++)
				if (call_changed(g, f, i, wild[k]) != WASI_EFAULT)
					fail_msg("%s: argument %zu = %lx is no fault",
						 functions[f].name, i, (unsigned long)wild[k]);
			if (kind == 'p' && call_changed(g, f, i, GUEST_BYTES) != WASI_EFAULT)
				fail_msg("%s: argument %zu at the end is no fault",
					 functions[f].name, i);
			if (kind == 'n' && (call_changed(g, f, i, 0xffffffff) != WASI_EFAULT ||
					    call_changed(g, f, i, GUEST_BYTES) != WASI_EFAULT))
				fail_msg("%s: size %zu is no fault", functions[f].name, i);
		}
	}
}

/* The upper half of an i32 is not the guest's to choose: engines leave rubbish there. */
static void upper_halves_are_ignored(void **state)
{
	struct guest *g = *state;

	assert_int_equal(CALL(g, fd_tell, 0xabcd00000000u | SANE_FD, 0xffffffff00000100u), 0);
}

/* One call on a clone, so that it finds everything as it was. */
static void call_once(struct guest *g, size_t f, const uint64_t *args)
{
	struct guest other = {.m = g->m};
	uint32_t result;

	assert_int_equal(wasi_clone(&other.w, g->w, NULL), 0);
	if (strncmp(functions[f].name, "path_", 5) == 0)
		(void)guest_open(&other, 3, "f", WASI_OFLAG_CREAT, RIGHTS_WRITE, &result);
	restore(&other);
	(void)guest_call(&other, functions[f].name, args);
	if (other.outcome == WASI_SLEEP)
		other.outcome = wasi_poll_finish(other.w, other.m, args, &result);
	assert_int_equal(other.outcome, WASI_DONE);
	wasi_destroy(&other.w);
}

/* Each pair of arguments, each with each of these. */
static void any_two_arguments(void **state)
{
	static const uint64_t values[] = {0,
					  1,
					  3,
					  4,
					  0xffff,
					  GUEST_BYTES - 8,
					  GUEST_BYTES - 1,
					  GUEST_BYTES,
					  AT_RESULT,
					  0x7fffffff,
					  0x80000000,
					  0xffffffff,
					  UINT64_MAX,
					  (uint64_t)INT64_MAX};
	const size_t n = ARRAY_LEN(values);

	for (size_t f = 0; f < ARRAY_LEN(functions); f++) {
		size_t params = strlen(functions[f].kinds);

		for (size_t k = 0; !is_exit(f) && k < params * params * n * n; k++) {
			size_t i = k % params, j = k / params % params;
			uint64_t args[9];

			memcpy(args, functions[f].args, sizeof args);
			args[i] = values[k / params / params % n];
			args[j] = values[k / params / params / n];
			/* Filling the disk is not what this is about. */
			if (strcmp(functions[f].name, "fd_allocate") == 0)
				args[1] = args[2] = UINT64_MAX;
			call_once(*state, f, args);
		}
	}
}

static void iovecs_are_checked(void **state)
{
	struct guest *g = *state;
	static const struct wasi_iovec bad[] = {{0xffffffff, 2},
						{GUEST_BYTES, 1},
						{GUEST_BYTES - 1, 2},
						{1, GUEST_BYTES},
						{0, 0xffffffff}};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		for (uint32_t fd = 1; fd <= SANE_FD; fd += SANE_FD - 1) {
			put_iovec(g, 0, AT_DATA, 1);
			put_iovec(g, 1, bad[i].buf, bad[i].buf_len);
			assert_int_equal(CALL(g, fd_write, fd, AT_IOVEC, 2, AT_RESULT),
					 WASI_EFAULT);
			assert_int_equal(CALL(g, fd_write, fd, AT_IOVEC, 1, AT_RESULT), 0);
		}
		assert_int_equal(CALL(g, fd_read, SANE_FD, AT_IOVEC, 2, AT_RESULT), WASI_EFAULT);
		assert_int_equal(CALL(g, fd_read, 0, AT_IOVEC, 2, AT_RESULT), WASI_EFAULT);
	}
	assert_int_equal(CALL(g, fd_read, SANE_FD, AT_IOVEC, 0x20000000, AT_RESULT), WASI_EFAULT);
	put_iovec(g, 0, GUEST_BYTES - 1, 1);
	assert_int_equal(CALL(g, fd_write, SANE_FD, AT_IOVEC, 1, AT_RESULT), 0);
	/* The file did not move on for a result that cannot be written. */
	assert_int_equal(CALL(g, fd_tell, SANE_FD, AT_RESULT), 0);
	const uint64_t before = get_u64(g, AT_RESULT);

	put_iovec(g, 0, AT_DATA, 1);
	assert_int_equal(CALL(g, fd_write, SANE_FD, AT_IOVEC, 1, GUEST_BYTES - 3), WASI_EFAULT);
	assert_int_equal(CALL(g, fd_tell, SANE_FD, AT_RESULT), 0);
	assert_int_equal(get_u64(g, AT_RESULT), before);
}

static void nothing_is_opened_for_a_wild_result(void **state)
{
	struct guest *g = *state;
	size_t before = wasi_open_files(g->w);
	char path[96];

	assert_int_equal(CALL(g, path_open, 3, 0, PATH(g, "made"), WASI_OFLAG_CREAT, RIGHTS_WRITE,
			      0, 0, GUEST_BYTES - 3),
			 WASI_EFAULT);
	assert_int_equal(wasi_open_files(g->w), before);
	(void)snprintf(path, sizeof path, "%s/made", g->dir);
	assert_int_equal(access(path, F_OK), -1);
}

static void guests_without_memory(void **state)
{
	struct guest *g = *state;
	const struct guest_memory m = g->m;

	g->m = (struct guest_memory){NULL, 0};
	for (size_t f = 0; f < ARRAY_LEN(functions); f++) {
		bool points = strpbrk(functions[f].kinds, "pP") != NULL;

		if (is_exit(f))
			continue;
		if (points && guest_call(g, functions[f].name, functions[f].args) != WASI_EFAULT)
			fail_msg("%s works without memory", functions[f].name);
		guest_call(g, functions[f].name, functions[f].args);
		assert_int_equal(g->outcome, WASI_DONE);
	}
	g->m = m;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_covers_everything),
		TEST(wild_pointers_are_faults),
		TEST(upper_halves_are_ignored),
		TEST(any_two_arguments),
		TEST(iovecs_are_checked),
		TEST(nothing_is_opened_for_a_wild_result),
		TEST(guests_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
