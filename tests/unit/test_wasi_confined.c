#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "wasi_mount.h"

static void paths_are_checked(void **state)
{
	static const struct {
		const char *path;
		uint32_t error;
	} cases[] = {
		{"/file", WASI_EPERM},
		{"/", WASI_EPERM},
		{"..", WASI_EPERM},
		{"../mount/file", WASI_EPERM},
		{"dir/../../outside/secret", WASI_EPERM},
		{"dir/../..", WASI_EPERM},
		{"./././../outside", WASI_EPERM},
		{"file/", WASI_ENOTDIR},
		{"file/x", WASI_ENOTDIR},
		{"nothing/../file", WASI_ENOENT},
		{"\xff\xfe", WASI_EILSEQ},
		{"\xc0\xaf", WASI_EILSEQ},
		{"\xed\xa0\x80", WASI_EILSEQ},
		{"\xf4\x90\x80\x80", WASI_EILSEQ},
		{"\xe2\x82", WASI_EILSEQ},
		{"\xe2\x82\xac", WASI_ENOENT},
		{"\xf0\x9f\x98\x80", WASI_ENOENT},
		{"./dir/.././file", WASI_ESUCCESS},
		{"dir//inner", WASI_ESUCCESS},
		{"dir/", WASI_ESUCCESS},
		{".", WASI_ESUCCESS},
		{"dir/..", WASI_ESUCCESS},
		{"dir/../", WASI_ESUCCESS},
	};
	struct guest *g = *state;
	uint32_t fd;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint32_t error = guest_open(g, 3, cases[i].path, 0, RIGHTS_READ, &fd);

		if (error != cases[i].error)
			fail_msg("%s: errno %u, expected %u", cases[i].path, error, cases[i].error);
		error = CALL(g, path_filestat_get, 3, FOLLOW, PATH(g, cases[i].path), AT_DATA);
		if (error != cases[i].error)
			fail_msg("stat %s: errno %u, expected %u", cases[i].path, error,
				 cases[i].error);
	}
	assert_int_equal(guest_open(g, 3, "", 0, RIGHTS_READ, &fd), WASI_ENOENT);
	put_text(g, AT_PATH, "file");
	assert_int_equal(CALL(g, path_filestat_get, 3, 0, AT_PATH, 5, AT_DATA), WASI_EINVAL);
	memset(g->m.base + AT_PATH, 'a', 4097);
	assert_int_equal(CALL(g, path_filestat_get, 3, 0, AT_PATH, 4097, AT_DATA),
			 WASI_ENAMETOOLONG);
	assert_int_equal(CALL(g, path_filestat_get, 3, 0, AT_PATH, 256, AT_DATA),
			 WASI_ENAMETOOLONG);
}

static void assert_no_way_out(struct guest *g, const char *path)
{
	uint32_t fd, codes[] = {
			     guest_open(g, 3, path, 0, RIGHTS_READ, &fd),
			     guest_open(g, 3, path, WASI_OFLAG_CREAT | WASI_OFLAG_TRUNC, RW, &fd),
			     CALL(g, path_create_directory, 3, PATH(g, path)),
			     CALL(g, path_filestat_get, 3, FOLLOW, PATH(g, path), AT_DATA),
			     CALL(g, path_filestat_get, 3, 0, PATH(g, path), AT_DATA),
			     CALL(g, path_filestat_set_times, 3, 0, PATH(g, path), 1, 1, 5),
			     CALL(g, path_filestat_set_times, 3, FOLLOW, PATH(g, path), 1, 1, 5),
			     CALL(g, path_link, 3, 0, PATH(g, path), 3, PATH2(g, "stolen")),
			     CALL(g, path_link, 3, 0, PATH(g, "file"), 3, PATH2(g, path)),
			     CALL(g, path_readlink, 3, PATH(g, path), AT_DATA, 100, AT_RESULT),
			     CALL(g, path_remove_directory, 3, PATH(g, path)),
			     CALL(g, path_rename, 3, PATH(g, path), 3, PATH2(g, "stolen")),
			     CALL(g, path_rename, 3, PATH(g, "file"), 3, PATH2(g, path)),
			     CALL(g, path_symlink, PATH2(g, "x"), 3, PATH(g, path)),
			     CALL(g, path_unlink_file, 3, PATH(g, path)),
		     };

	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (codes[i] == 0)
			fail_msg("%s: way %zu leads out", path, i);
	assert_string_equal(host_content(g, "outside/secret"), "outside");
	assert_string_equal(host_content(g, "mount/file"), "content");
	assert_null(host_content(g, "mount/stolen"));
	assert_null(host_content(g, "outside/new"));
}

static void nothing_leads_out(void **state)
{
	static const char *const paths[] = {
		"../outside/secret",
		"../outside/new",
		"dir/../../outside/secret",
		"out/secret",
		"out/new",
		"absolute/passwd",
		"absolute/new",
		"/etc/passwd",
		"..",
		"../outside",
		"out/../outside/secret",
		"out/.",
		"dir/../out/secret",
		"../mount/file",
	};
	struct guest *g = *state;

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		assert_no_way_out(g, paths[i]);
}

static void directories_confine_too(void **state)
{
	struct guest *g = *state;
	uint32_t dir, fd;

	assert_int_equal(guest_open(g, 3, "dir", WASI_OFLAG_DIRECTORY, RIGHTS_READ, &dir), 0);
	assert_int_equal(guest_open(g, dir, "../file", 0, RIGHTS_READ, &fd), WASI_EPERM);
	/* Neither does moving it elsewhere open a way up. */
	assert_int_equal(CALL(g, path_create_directory, 3, PATH(g, "deep")), 0);
	assert_int_equal(CALL(g, path_rename, 3, PATH(g, "dir"), 3, PATH2(g, "deep/dir")), 0);
	assert_int_equal(guest_open(g, dir, "../../file", 0, RIGHTS_READ, &fd), WASI_EPERM);
	assert_int_equal(guest_open(g, dir, "inner", 0, RIGHTS_READ, &fd), 0);
	assert_int_equal(CALL(g, path_rename, 3, PATH(g, "file"), dir, PATH2(g, "../file")),
			 WASI_EPERM);
}

static void links_within_are_followed(void **state)
{
	struct guest *g = *state;
	uint32_t fd, error = guest_open(g, 3, "link", 0, RIGHTS_READ, &fd);

	if (walking) {
		assert_int_equal(error, WASI_ELOOP);
		assert_int_equal(CALL(g, path_filestat_get, 3, FOLLOW, PATH(g, "link"), AT_DATA),
				 WASI_ELOOP);
	} else {
		assert_int_equal(error, 0);
		assert_string_equal(guest_read(g, fd, 10), "content");
		assert_int_equal(CALL(g, path_filestat_get, 3, FOLLOW, PATH(g, "link"), AT_DATA),
				 0);
		assert_int_equal(g->m.base[AT_DATA + 16], WASI_FILETYPE_REGULAR_FILE);
		assert_int_equal(guest_open(g, 3, "dangling", 0, RIGHTS_READ, &fd), WASI_ENOENT);
	}
	assert_int_equal(CALL(g, path_filestat_get, 3, 0, PATH(g, "link"), AT_DATA), 0);
	assert_int_equal(g->m.base[AT_DATA + 16], WASI_FILETYPE_SYMBOLIC_LINK);
	assert_int_equal(CALL(g, path_readlink, 3, PATH(g, "out"), AT_DATA, 100, AT_RESULT), 0);
	assert_int_equal(get_u32(g, AT_RESULT), 10);
	assert_memory_equal(g->m.base + AT_DATA, "../outside", 10);
	assert_int_equal(CALL(g, path_readlink, 3, PATH(g, "out"), AT_DATA, 4, AT_RESULT), 0);
	assert_int_equal(get_u32(g, AT_RESULT), 4);
	assert_int_equal(CALL(g, path_readlink, 3, PATH(g, "absolute"), AT_DATA, 100, AT_RESULT),
			 WASI_EPERM);
	assert_int_equal(CALL(g, path_readlink, 3, PATH(g, "file"), AT_DATA, 100, AT_RESULT),
			 WASI_EINVAL);
}

static void read_only_mounts_do_not_change(void **state)
{
	struct guest *g = *state;
	uint32_t fd, dir, rw;

	assert_int_equal(guest_open(g, 4, "file", 0, RIGHTS_READ, &fd), 0);
	assert_int_equal(guest_open(g, 4, "dir", 0, RIGHTS_READ, &dir), 0);
	assert_int_equal(guest_open(g, 3, "file", 0, RW, &rw), 0);
	assert_string_equal(guest_read(g, fd, 10), "content");
	const uint32_t codes[] = {
		guest_open(g, 4, "file", 0, RW, &dir),
		guest_open(g, 4, "file", 0, RIGHTS_WRITE, &dir),
		guest_open(g, 4, "file", WASI_OFLAG_TRUNC, RIGHTS_READ, &dir),
		guest_open(g, 4, "new", WASI_OFLAG_CREAT, RIGHTS_READ, &dir),
		guest_write(g, fd, "x"),
		CALL(g, fd_pwrite, fd, AT_IOVEC, 1, 0, AT_RESULT),
		CALL(g, fd_allocate, fd, 0, 1),
		CALL(g, fd_filestat_set_size, fd, 0),
		CALL(g, fd_filestat_set_times, fd, 1, 1, 5),
		CALL(g, fd_filestat_set_times, 4, 1, 1, 5),
		CALL(g, path_create_directory, 4, PATH(g, "new")),
		CALL(g, path_filestat_set_times, 4, 0, PATH(g, "file"), 1, 1, 5),
		CALL(g, path_link, 4, 0, PATH(g, "file"), 4, PATH2(g, "new")),
		CALL(g, path_link, 4, 0, PATH(g, "file"), 3, PATH2(g, "new")),
		CALL(g, path_link, 3, 0, PATH(g, "file"), 4, PATH2(g, "new")),
		CALL(g, path_remove_directory, 4, PATH(g, "dir")),
		CALL(g, path_rename, 4, PATH(g, "file"), 4, PATH2(g, "new")),
		CALL(g, path_rename, 4, PATH(g, "file"), 3, PATH2(g, "new")),
		CALL(g, path_rename, 3, PATH(g, "file"), 4, PATH2(g, "new")),
		CALL(g, path_symlink, PATH(g, "file"), 4, PATH2(g, "new")),
		CALL(g, path_unlink_file, 4, PATH(g, "file")),
	};

	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (codes[i] != WASI_EROFS)
			fail_msg("change %zu: errno %u, expected EROFS", i, codes[i]);
	assert_string_equal(host_content(g, "mount/file"), "content");
	assert_null(host_content(g, "mount/new"));
	/* A descriptor keeps its mount's nature under another number. */
	assert_int_equal(CALL(g, fd_renumber, fd, rw), 0);
	assert_int_equal(guest_write(g, rw, "x"), WASI_EROFS);
	assert_int_equal(guest_open(g, 4, "dir", 0, RIGHTS_READ, &dir), 0);
	assert_int_equal(CALL(g, path_unlink_file, dir, PATH(g, "inner")), WASI_EROFS);
}

static void special_files_are_refused(void **state)
{
	struct guest *g = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char path[256];
	uint32_t fd;
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	host_path(g, "mount/fifo", path);
	assert_int_equal(mkfifo(path, 0600), 0);
	(void)snprintf(address.sun_path, sizeof address.sun_path, "%.60s/mount/sock", g->dir);
	assert_int_equal(bind(s, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(guest_open(g, 3, "fifo", 0, RIGHTS_READ, &fd), WASI_ENOTSUP);
	assert_int_equal(guest_open(g, 3, "fifo", 0, RIGHTS_WRITE, &fd), WASI_ENOTSUP);
	assert_int_equal(guest_open(g, 3, "fifo", WASI_OFLAG_CREAT, RW, &fd), WASI_ENOTSUP);
	assert_int_equal(guest_open(g, 3, "sock", 0, RW, &fd), WASI_ENOTSUP);
	assert_int_equal(CALL(g, path_filestat_get, 3, 0, PATH(g, "sock"), AT_DATA), 0);
	assert_int_equal(g->m.base[AT_DATA + 16], WASI_FILETYPE_SOCKET_STREAM);
	assert_int_equal(wasi_open_files(g->w), 0);
	close(s);
}

static void magic_links_lead_nowhere(void **state)
{
	static const char *const paths[] = {"self/root/etc/passwd", "self/cwd", "self/exe",
					    "self/fd/0", "thread-self/root"};
	struct guest *g = *state, proc = {.m = g->m};
	struct wasi_mount mount = {.host_path = "/proc", .guest_path = "/proc"};
	struct wasi_options options = {.mounts = &mount, .mount_count = 1, .walk_paths = walking};
	uint32_t fd;

	assert_int_equal(wasi_create(&proc.w, &options, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		assert_int_not_equal(guest_open(&proc, 3, paths[i], 0, RIGHTS_READ, &fd), 0);
		assert_int_not_equal(
			CALL(&proc, path_filestat_get, 3, FOLLOW, PATH(g, paths[i]), AT_DATA), 0);
	}
	assert_int_equal(guest_open(&proc, 3, "uptime", 0, RIGHTS_READ, &fd), 0);
	wasi_destroy(&proc.w);
}

struct swapper {
	char real[256], lying[256];
	atomic_bool stop;
};

static void *swap_forever(void *argument)
{
	struct swapper *s = argument;

	while (!atomic_load(&s->stop))
		(void)renameat2(AT_FDCWD, s->real, AT_FDCWD, s->lying, RENAME_EXCHANGE);
	return NULL;
}

static void races_are_lost_by_the_attacker(void **state)
{
	struct guest *g = *state;
	struct swapper s = {.stop = false};
	pthread_t thread;
	uint32_t fd;
	size_t seen = 0;

	host_file(g, "mount/dir/secret", "inside");
	host_link(g, "mount/lie", "../outside");
	host_path(g, "mount/dir", s.real);
	host_path(g, "mount/lie", s.lying);
	assert_int_equal(pthread_create(&thread, NULL, swap_forever, &s), 0);
	for (int i = 0; i < 20000 && (i < 3000 || seen < 100); i++) {
		if (guest_open(g, 3, "dir/secret", 0, RIGHTS_READ, &fd) == 0) {
			assert_string_equal(guest_read(g, fd, 20), "inside");
			assert_int_equal(CALL(g, fd_close, fd), 0);
			seen++;
		}
		if (guest_open(g, 3, "dir/new", WASI_OFLAG_CREAT, RW, &fd) == 0)
			assert_int_equal(CALL(g, fd_close, fd), 0);
		CALL(g, path_rename, 3, PATH(g, "dir/new"), 3, PATH2(g, "dir/newer"));
		CALL(g, path_unlink_file, 3, PATH(g, "dir/newer"));
	}
	atomic_store(&s.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(seen > 0);
	assert_string_equal(host_content(g, "outside/secret"), "outside");
	assert_null(host_content(g, "outside/new"));
	assert_null(host_content(g, "outside/newer"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MOUNTED(paths_are_checked),
		MOUNTED(nothing_leads_out),
		MOUNTED(directories_confine_too),
		MOUNTED(links_within_are_followed),
		MOUNTED(read_only_mounts_do_not_change),
		MOUNTED(special_files_are_refused),
		MOUNTED(magic_links_lead_nowhere),
		MOUNTED(races_are_lost_by_the_attacker),
	};
	int failed = cmocka_run_group_tests_name("openat2", tests, NULL, NULL);

	walking = true;
	return failed + cmocka_run_group_tests_name("walking", tests, NULL, NULL);
}
