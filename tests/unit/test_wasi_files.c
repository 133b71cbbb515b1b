#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "wasi_guest.h"

#define FOLLOW WASI_LOOKUP_SYMLINK_FOLLOW
#define RW (RIGHTS_READ | RIGHTS_WRITE)

/*
 * Each test has a directory of its own:
 *   outside/secret             not mounted
 *   mount/file                 "content", mounted as 3 (writable) and 4 (read-only)
 *   mount/dir/inner            "inner"
 *   mount/link -> file, mount/out -> ../outside, mount/absolute -> /etc, mount/dangling -> nothing
 * The group runs twice: with openat2(2), and walking.
 */
static bool walking;

static void host_path(const struct guest *g, const char *name, char out[256])
{
	(void)snprintf(out, 256, "%s/%s", g->dir, name);
}

static void host_file(const struct guest *g, const char *name, const char *content)
{
	char path[256];
	int fd;

	host_path(g, name, path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	close(fd);
}

static void host_dir(const struct guest *g, const char *name)
{
	char path[256];

	host_path(g, name, path);
	assert_int_equal(mkdir(path, 0755), 0);
}

static void host_link(const struct guest *g, const char *name, const char *target)
{
	char path[256];

	host_path(g, name, path);
	assert_int_equal(symlink(target, path), 0);
}

static const char *host_content(const struct guest *g, const char *name)
{
	static char content[256];
	char path[256];
	ssize_t n;
	int fd;

	host_path(g, name, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	n = read(fd, content, sizeof content - 1);
	close(fd);
	assert_true(n >= 0);
	content[n] = '\0';
	return content;
}

static int setup(void **state)
{
	struct guest *g = calloc(1, sizeof *g);
	char mount[256];
	struct wasi_mount mounts[2];
	struct wasi_options options = {.mounts = mounts, .mount_count = 2, .walk_paths = walking};
	struct weir_error error;

	(void)snprintf(g->dir, sizeof g->dir, "/tmp/test_wasi.XXXXXX");
	assert_non_null(mkdtemp(g->dir));
	host_dir(g, "outside");
	host_file(g, "outside/secret", "outside");
	host_dir(g, "mount");
	host_dir(g, "mount/dir");
	host_file(g, "mount/file", "content");
	host_file(g, "mount/dir/inner", "inner");
	host_link(g, "mount/link", "file");
	host_link(g, "mount/out", "../outside");
	host_link(g, "mount/absolute", "/etc");
	host_link(g, "mount/dangling", "nothing");
	host_path(g, "mount", mount);
	mounts[0] = (struct wasi_mount){.host_path = mount, .guest_path = "."};
	mounts[1] = (struct wasi_mount){
		.host_path = mount, .guest_path = "/data/ro", .read_only = true};
	guest_map(g);
	if (wasi_create(&g->w, &options, &error) != 0)
		fail_msg("%s", error.text);
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

static size_t host_descriptors(void)
{
	size_t n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void missing_mounts_are_named(void **state)
{
	struct wasi_mount mount = {.host_path = "/nonexistent/weir", .guest_path = "/"};
	struct wasi_options options = {.mounts = &mount, .mount_count = 1};
	struct weir_error error;
	struct wasi *w;

	(void)state;
	assert_int_equal(wasi_create(&w, &options, &error), -ENOENT);
	assert_string_equal(error.text, "mounts: /nonexistent/weir: No such file or directory, "
					"expected a directory that exists");
	mount.host_path = "/dev/null";
	assert_int_equal(wasi_create(&w, &options, &error), -ENOTDIR);
	mount.host_path = "";
	assert_int_equal(wasi_create(&w, &options, &error), -EINVAL);
	assert_null(w);
}

static void preopens_are_found_as_libraries_do(void **state)
{
	struct guest *g = *state;
	struct wasi_fdstat st;

	assert_int_equal(CALL(g, fd_prestat_get, 3, AT_RESULT), 0);
	assert_int_equal(g->m.base[AT_RESULT], 0);
	assert_int_equal(get_u32(g, AT_RESULT + 4), 1);
	assert_int_equal(CALL(g, fd_prestat_dir_name, 3, AT_DATA, 1), 0);
	assert_int_equal(g->m.base[AT_DATA], '/');
	assert_int_equal(CALL(g, fd_prestat_get, 4, AT_RESULT), 0);
	assert_int_equal(get_u32(g, AT_RESULT + 4), 8);
	assert_int_equal(CALL(g, fd_prestat_dir_name, 4, AT_DATA, 7), WASI_ENAMETOOLONG);
	assert_int_equal(CALL(g, fd_prestat_dir_name, 4, AT_DATA, 8), 0);
	assert_memory_equal(g->m.base + AT_DATA, "/data/ro", 8);
	assert_int_equal(CALL(g, fd_prestat_get, 5, AT_RESULT), WASI_EBADF);
	assert_int_equal(CALL(g, fd_fdstat_get, 3, AT_DATA), 0);
	memcpy(&st, g->m.base + AT_DATA, sizeof st);
	assert_int_equal(st.filetype, WASI_FILETYPE_DIRECTORY);
	assert_true((st.rights_base & WASI_RIGHT_PATH_OPEN) != 0);
	assert_true((st.rights_base & WASI_RIGHT_FD_SEEK) == 0);
	assert_true((st.rights_inheriting & RW) == RW);
	assert_int_equal(wasi_open_files(g->w), 0);
}

static void spellings_of_root(void **state)
{
	static const char *const root[] = {"", ".", "/", "./", "//", "./.", "/."};
	static const char *const other[] = {"..", "a", "/a", "./a/", ".a"};
	struct guest *g = *state;

	for (size_t i = 0; i < ARRAY_LEN(root) + ARRAY_LEN(other); i++) {
		bool is_root = i < ARRAY_LEN(root);
		const char *name = is_root ? root[i] : other[i - ARRAY_LEN(root)];
		struct wasi_mount mount = {.host_path = g->dir, .guest_path = name};
		struct wasi_options options = {.mounts = &mount, .mount_count = 1};
		struct guest other_guest = {.m = g->m};

		assert_int_equal(wasi_create(&other_guest.w, &options, NULL), 0);
		assert_int_equal(CALL(&other_guest, fd_prestat_get, 3, AT_RESULT), 0);
		assert_int_equal(get_u32(g, AT_RESULT + 4), is_root ? 1 : strlen(name));
		wasi_destroy(&other_guest.w);
	}
}

static void files_are_read_and_written(void **state)
{
	struct guest *g = *state;
	uint32_t fd;

	assert_int_equal(guest_open(g, 3, "dir/../file", 0, RW, &fd), 0);
	assert_int_equal(fd, 5);
	assert_int_equal(wasi_open_files(g->w), 1);
	assert_string_equal(guest_read(g, fd, 3), "con");
	assert_string_equal(guest_read(g, fd, 30), "tent");
	assert_string_equal(guest_read(g, fd, 30), "");
	assert_int_equal(guest_write(g, fd, "!"), 0);
	assert_int_equal(CALL(g, fd_tell, fd, AT_RESULT), 0);
	assert_int_equal(get_u64(g, AT_RESULT), 8);
	assert_int_equal(CALL(g, fd_seek, fd, (uint64_t)-3, WASI_WHENCE_END, AT_RESULT), 0);
	assert_int_equal(get_u64(g, AT_RESULT), 5);
	assert_int_equal(CALL(g, fd_seek, fd, (uint64_t)-1, WASI_WHENCE_CUR, AT_RESULT), 0);
	assert_string_equal(guest_read(g, fd, 30), "ent!");
	assert_int_equal(CALL(g, fd_seek, fd, 0, WASI_WHENCE_SET, AT_RESULT), 0);
	assert_int_equal(guest_write(g, fd, "CON"), 0);
	assert_string_equal(host_content(g, "mount/file"), "CONtent!");
	assert_int_equal(CALL(g, fd_seek, fd, (uint64_t)-1, WASI_WHENCE_SET, AT_RESULT),
			 WASI_EINVAL);
	assert_int_equal(CALL(g, fd_seek, fd, INT64_MAX, WASI_WHENCE_CUR, AT_RESULT),
			 WASI_EOVERFLOW);
	assert_int_equal(CALL(g, fd_seek, fd, 0, 3, AT_RESULT), WASI_EINVAL);
	assert_int_equal(CALL(g, fd_close, fd), 0);
	assert_int_equal(wasi_open_files(g->w), 0);
	assert_null(guest_read(g, fd, 1));
}

static void many_buffers_are_filled(void **state)
{
	struct guest *g = *state;
	uint32_t fd;

	assert_int_equal(guest_open(g, 3, "file", 0, RIGHTS_READ, &fd), 0);
	for (uint32_t i = 0; i < 50; i++)
		put_iovec(g, i, AT_DATA + i * 2, i % 5 == 0 ? 0 : 1);
	assert_int_equal(CALL(g, fd_read, fd, AT_IOVEC, 50, AT_RESULT), 0);
	assert_int_equal(get_u32(g, AT_RESULT), 7);
	assert_int_equal(g->m.base[AT_DATA + 2], 'c');
	assert_int_equal(g->m.base[AT_DATA + 12], 'e');
	/* Reading over the list itself. */
	put_iovec(g, 0, AT_IOVEC, 4);
	for (uint32_t i = 1; i < 40; i++)
		put_iovec(g, i, AT_IOVEC + 8 * i, 8);
	assert_int_equal(CALL(g, fd_pread, fd, AT_IOVEC, 40, 0, AT_RESULT), 0);
	assert_int_equal(get_u32(g, AT_RESULT), 7);
}

static void positioned_transfers_leave_the_offset(void **state)
{
	struct guest *g = *state;
	uint32_t fd;

	assert_int_equal(guest_open(g, 3, "file", 0, RW, &fd), 0);
	put_iovec(g, 0, AT_DATA, 4);
	assert_int_equal(CALL(g, fd_pread, fd, AT_IOVEC, 1, 3, AT_RESULT), 0);
	assert_memory_equal(g->m.base + AT_DATA, "tent", 4);
	put_text(g, AT_DATA, "XY");
	put_iovec(g, 0, AT_DATA, 2);
	assert_int_equal(CALL(g, fd_pwrite, fd, AT_IOVEC, 1, 1, AT_RESULT), 0);
	assert_string_equal(guest_read(g, fd, 30), "cXYtent");
	assert_int_equal(CALL(g, fd_pread, fd, AT_IOVEC, 1, UINT64_MAX, AT_RESULT), WASI_EINVAL);
	assert_int_equal(CALL(g, fd_pwrite, fd, AT_IOVEC, 1, UINT64_MAX, AT_RESULT), WASI_EINVAL);
}

static void appending_and_synchronous_writes(void **state)
{
	struct guest *g = *state;
	uint32_t fd;

	assert_int_equal(guest_open(g, 3, "file", 0, RW, &fd), 0);
	for (uint32_t flags = WASI_FDFLAG_APPEND; flags <= WASI_FDFLAGS_ALL; flags += 2) {
		assert_int_equal(CALL(g, fd_fdstat_set_flags, fd, flags), 0);
		assert_int_equal(CALL(g, fd_fdstat_get, fd, AT_DATA), 0);
		assert_int_equal(g->m.base[AT_DATA + 2], flags);
		assert_int_equal(CALL(g, fd_seek, fd, 0, WASI_WHENCE_SET, AT_RESULT), 0);
		assert_int_equal(guest_write(g, fd, "+"), 0);
	}
	assert_string_equal(host_content(g, "mount/file"), "content++++++++++++++++");
	assert_int_equal(CALL(g, fd_tell, fd, AT_RESULT), 0);
	assert_int_equal(get_u64(g, AT_RESULT), strlen(host_content(g, "mount/file")));
	assert_int_equal(CALL(g, fd_sync, fd), 0);
	assert_int_equal(CALL(g, fd_datasync, fd), 0);
	assert_int_equal(CALL(g, fd_sync, 3), 0);
}

static void access_is_what_was_asked_for(void **state)
{
	struct guest *g = *state;
	uint32_t fd;

	assert_int_equal(guest_open(g, 3, "file", 0, RIGHTS_READ, &fd), 0);
	assert_int_equal(guest_write(g, fd, "x"), WASI_EBADF);
	assert_int_equal(CALL(g, fd_filestat_set_size, fd, 1), WASI_EBADF);
	assert_int_equal(CALL(g, fd_allocate, fd, 0, 1), WASI_EBADF);
	assert_int_equal(guest_open(g, 3, "file", 0, RIGHTS_WRITE, &fd), 0);
	assert_null(guest_read(g, fd, 1));
	assert_int_equal(guest_open(g, 3, "file", 0, 0, &fd), 0);
	assert_string_equal(guest_read(g, fd, 1), "c");
	assert_int_equal(guest_open(g, 3, "dir", 0, RW, &fd), WASI_EISDIR);
	assert_int_equal(guest_open(g, 3, "file", WASI_OFLAG_DIRECTORY, RIGHTS_READ, &fd),
			 WASI_ENOTDIR);
	assert_int_equal(guest_open(g, 3, "dir", 0, RIGHTS_READ, &fd), 0);
	put_iovec(g, 0, AT_DATA, 1);
	assert_int_equal(CALL(g, fd_read, fd, AT_IOVEC, 1, AT_RESULT), WASI_EISDIR);
	assert_int_equal(guest_write(g, fd, "x"), WASI_EBADF);
	assert_int_equal(CALL(g, fd_seek, fd, 0, WASI_WHENCE_SET, AT_RESULT), WASI_EBADF);
	assert_int_equal(guest_open(g, fd, "inner", 0, RIGHTS_READ, &fd), 0);
	assert_string_equal(guest_read(g, fd, 10), "inner");
	assert_int_equal(guest_open(g, fd, "x", 0, RIGHTS_READ, &fd), WASI_ENOTDIR);
}

static void rights_are_inherited(void **state)
{
	struct guest *g = *state;
	struct wasi_fdstat st;
	uint32_t fd;

	assert_int_equal(CALL(g, fd_fdstat_get, 3, AT_DATA), 0);
	memcpy(&st, g->m.base + AT_DATA, sizeof st);
	assert_int_equal(CALL(g, fd_fdstat_set_rights, 3,
			      st.rights_base & ~WASI_RIGHT_PATH_UNLINK_FILE,
			      st.rights_inheriting & ~(RIGHTS_WRITE | WASI_RIGHT_FD_SEEK)),
			 0);
	assert_int_equal(CALL(g, path_unlink_file, 3, PATH(g, "file")), WASI_ENOTCAPABLE);
	assert_int_equal(guest_open(g, 3, "file", 0, RW, &fd), WASI_ENOTCAPABLE);
	assert_int_equal(guest_open(g, 3, "file", 0, RIGHTS_READ, &fd), 0);
	assert_int_equal(CALL(g, fd_seek, fd, 1, WASI_WHENCE_SET, AT_RESULT), WASI_ENOTCAPABLE);
	assert_int_equal(CALL(g, fd_seek, fd, 0, WASI_WHENCE_CUR, AT_RESULT), 0);
}

static void open_flags_are_obeyed(void **state)
{
	struct guest *g = *state;
	uint32_t fd;

	assert_int_equal(guest_open(g, 3, "new", 0, RW, &fd), WASI_ENOENT);
	assert_int_equal(guest_open(g, 3, "new", WASI_OFLAG_CREAT, RW, &fd), 0);
	assert_int_equal(guest_open(g, 3, "new", WASI_OFLAG_CREAT | WASI_OFLAG_EXCL, RW, &fd),
			 WASI_EEXIST);
	assert_int_equal(guest_open(g, 3, "file", WASI_OFLAG_TRUNC, RW, &fd), 0);
	assert_string_equal(host_content(g, "mount/file"), "");
	assert_int_equal(guest_open(g, 3, "fresh/", WASI_OFLAG_CREAT, RW, &fd), WASI_EISDIR);
	assert_int_equal(guest_open(g, 3, "x", WASI_OFLAG_CREAT | WASI_OFLAG_DIRECTORY, RW, &fd),
			 WASI_EINVAL);
	assert_int_equal(guest_open(g, 3, "new", 16, RW, &fd), WASI_EINVAL);
	assert_int_equal(CALL(g, path_open, 3, 2, PATH(g, "new"), 0, 0, 0, 0, AT_RESULT),
			 WASI_EINVAL);
	assert_int_equal(CALL(g, path_open, 3, 0, PATH(g, "new"), 0, 0, 0, 32, AT_RESULT),
			 WASI_EINVAL);
	assert_int_equal(
		CALL(g, path_open, 3, 0, PATH(g, "new"), 0, RW, 0, WASI_FDFLAG_APPEND, AT_RESULT),
		0);
	fd = get_u32(g, AT_RESULT);
	assert_int_equal(guest_write(g, fd, "a"), 0);
	assert_int_equal(CALL(g, path_open, 3, 0, PATH(g, "link"), 0, RIGHTS_READ, 0, 0, AT_RESULT),
			 WASI_ELOOP);
	assert_int_equal(wasi_open_files(g->w), 3);
}

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

/* Everything that takes a path refuses this one, and nothing outside changes. */
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

static void links_are_made(void **state)
{
	struct guest *g = *state;
	char target[32], path[256];

	assert_int_equal(CALL(g, path_symlink, PATH(g, "../file"), 3, PATH2(g, "dir/up")), 0);
	host_path(g, "mount/dir/up", path);
	assert_int_equal(readlink(path, target, sizeof target), 7);
	assert_string_equal(host_content(g, "mount/dir/up"), "content");
	assert_int_equal(CALL(g, path_symlink, PATH(g, "/etc/passwd"), 3, PATH2(g, "evil")),
			 WASI_EPERM);
	assert_int_equal(CALL(g, path_symlink, PATH(g, "x"), 3, PATH2(g, "file")), WASI_EEXIST);
	assert_int_equal(CALL(g, path_link, 3, 0, PATH(g, "file"), 3, PATH2(g, "dir/hard")), 0);
	assert_string_equal(host_content(g, "mount/dir/hard"), "content");
	assert_int_equal(CALL(g, path_link, 3, FOLLOW, PATH(g, "file"), 3, PATH2(g, "x")),
			 WASI_EINVAL);
	assert_int_equal(CALL(g, path_link, 3, 0, PATH(g, "file"), 3, PATH2(g, "dir/hard")),
			 WASI_EEXIST);
	assert_int_equal(CALL(g, path_link, 3, 0, PATH(g, "out/"), 3, PATH2(g, "y")), WASI_ENOTDIR);
	assert_int_equal(CALL(g, path_link, 3, 0, PATH(g, "dir"), 3, PATH2(g, "y")), WASI_EPERM);
}

static void directories_come_and_go(void **state)
{
	struct guest *g = *state;

	assert_int_equal(CALL(g, path_create_directory, 3, PATH(g, "dir/new")), 0);
	assert_int_equal(CALL(g, path_create_directory, 3, PATH(g, "dir/new/")), WASI_EEXIST);
	assert_int_equal(CALL(g, path_create_directory, 3, PATH(g, ".")), WASI_EEXIST);
	assert_int_equal(CALL(g, path_create_directory, 3, PATH(g, "a/b")), WASI_ENOENT);
	assert_int_equal(CALL(g, path_create_directory, 3, PATH(g, "slashed//")), 0);
	assert_int_equal(CALL(g, path_remove_directory, 3, PATH(g, "slashed/")), 0);
	assert_int_equal(CALL(g, path_remove_directory, 3, PATH(g, "dir")), WASI_ENOTEMPTY);
	assert_int_equal(CALL(g, path_remove_directory, 3, PATH(g, "file")), WASI_ENOTDIR);
	assert_int_equal(CALL(g, path_remove_directory, 3, PATH(g, "dir/..")), WASI_EINVAL);
	assert_int_equal(CALL(g, path_remove_directory, 3, PATH(g, "dir/new")), 0);
	assert_int_equal(CALL(g, path_unlink_file, 3, PATH(g, "dir")), WASI_EISDIR);
	assert_int_equal(CALL(g, path_unlink_file, 3, PATH(g, "file/")), WASI_ENOTDIR);
	assert_int_equal(CALL(g, path_unlink_file, 3, PATH(g, "link")), 0);
	assert_int_equal(CALL(g, path_unlink_file, 3, PATH(g, "file")), 0);
	assert_int_equal(CALL(g, path_unlink_file, 3, PATH(g, "file")), WASI_ENOENT);
}

static void files_are_renamed(void **state)
{
	struct guest *g = *state;

	assert_int_equal(CALL(g, path_rename, 3, PATH(g, "file"), 3, PATH2(g, "dir/moved")), 0);
	assert_string_equal(host_content(g, "mount/dir/moved"), "content");
	assert_int_equal(CALL(g, path_rename, 3, PATH(g, "dir/moved"), 3, PATH2(g, "dir/inner")),
			 0);
	assert_string_equal(host_content(g, "mount/dir/inner"), "content");
	assert_int_equal(CALL(g, path_rename, 3, PATH(g, "dir"), 3, PATH2(g, "dir/inside")),
			 WASI_EINVAL);
	assert_int_equal(CALL(g, path_rename, 3, PATH(g, "."), 3, PATH2(g, "x")), WASI_EBUSY);
	assert_int_equal(CALL(g, path_rename, 3, PATH(g, "none"), 3, PATH2(g, "x")), WASI_ENOENT);
	assert_int_equal(CALL(g, path_rename, 3, PATH(g, "dir"), 9, PATH2(g, "x")), WASI_EBADF);
}

static void sizes_and_times_are_changed(void **state)
{
	struct guest *g = *state;
	struct wasi_filestat st;
	uint32_t fd;

	assert_int_equal(guest_open(g, 3, "file", 0, RW, &fd), 0);
	assert_int_equal(CALL(g, fd_filestat_set_size, fd, 3), 0);
	assert_string_equal(host_content(g, "mount/file"), "con");
	assert_int_equal(CALL(g, fd_filestat_set_size, fd, UINT64_MAX), WASI_EINVAL);
	assert_int_equal(CALL(g, fd_allocate, fd, 0, 100), 0);
	assert_int_equal(CALL(g, fd_allocate, fd, 0, 0), WASI_EINVAL);
	assert_int_equal(CALL(g, fd_allocate, fd, UINT64_MAX, 1), WASI_EINVAL);
	for (uint32_t advice = 0; advice < 6; advice++)
		assert_int_equal(CALL(g, fd_advise, fd, 0, 0, advice), 0);
	assert_int_equal(CALL(g, fd_advise, fd, 0, 0, 6), WASI_EINVAL);
	assert_int_equal(CALL(g, fd_advise, fd, UINT64_MAX, 0, 0), WASI_EINVAL);
	assert_int_equal(CALL(g, fd_filestat_set_times, fd, 1500000000000000001u, 7, 1 | 4), 0);
	assert_int_equal(CALL(g, fd_filestat_get, fd, AT_DATA + 3), 0);
	memcpy(&st, g->m.base + AT_DATA + 3, sizeof st);
	assert_int_equal(st.filetype, WASI_FILETYPE_REGULAR_FILE);
	assert_int_equal(st.size, 100);
	assert_int_equal(st.nlink, 1);
	assert_int_equal(st.atim_ns, 1500000000000000001u);
	assert_int_equal(st.mtim_ns, 7);
	assert_int_equal(CALL(g, fd_filestat_set_times, fd, 0, 0, 1 | 2), WASI_EINVAL);
	assert_int_equal(CALL(g, fd_filestat_set_times, fd, 0, 0, 16), WASI_EINVAL);
	assert_int_equal(CALL(g, path_filestat_set_times, 3, 0, PATH(g, "file"), 0, 9, 4 | 2), 0);
	assert_int_equal(CALL(g, path_filestat_get, 3, 0, PATH(g, "file"), AT_DATA), 0);
	memcpy(&st, g->m.base + AT_DATA, sizeof st);
	assert_int_equal(st.mtim_ns, 9);
	assert_true(st.atim_ns > 1500000000000000001u);
	/* Of a link itself. */
	assert_int_equal(CALL(g, path_filestat_set_times, 3, 0, PATH(g, "out"), 0, 11, 4), 0);
	assert_int_equal(CALL(g, path_filestat_get, 3, 0, PATH(g, "out"), AT_DATA), 0);
	memcpy(&st, g->m.base + AT_DATA, sizeof st);
	assert_int_equal(st.mtim_ns, 11);
	assert_int_equal(CALL(g, path_filestat_set_times, 3, 0, PATH(g, "dir"), 0, 13, 4), 0);
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

/* A directory that now and then is a link to outside: one sees the inside, or nothing. */
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

/* Lists a directory in pages of `page` bytes as a C library does; counts names that begin "entry".
 */
static size_t list_pages(struct guest *g, uint32_t fd, uint32_t page, bool seen[], size_t n)
{
	uint64_t cookie = 0;
	size_t found = 0;

	for (;;) {
		uint32_t used, at = 0;

		assert_int_equal(CALL(g, fd_readdir, fd, AT_DATA + 1, page, cookie, AT_RESULT), 0);
		used = get_u32(g, AT_RESULT);
		assert_true(used <= page);
		while (used - at >= sizeof(struct wasi_dirent)) {
			struct wasi_dirent e;
			const char *name = (char *)g->m.base + AT_DATA + 1 + at + sizeof e;
			unsigned number;

			memcpy(&e, g->m.base + AT_DATA + 1 + at, sizeof e);
			if (e.namlen > used - at - sizeof e)
				break;
			at += (uint32_t)sizeof e + e.namlen;
			cookie = e.next;
			if (e.namlen == 8 && sscanf(name, "entry%3u", &number) == 1 && number < n) {
				assert_false(seen[number]);
				seen[number] = true;
				assert_int_equal(e.type, WASI_FILETYPE_REGULAR_FILE);
				found++;
			}
		}
		if (used < page)
			return found;
		assert_true(at > 0);
	}
}

static void directories_are_listed_in_pages(void **state)
{
	static const uint32_t pages[] = {50, 64, 100, 1000, 20000};
	struct guest *g = *state;
	char name[64];
	uint32_t fd;

	for (unsigned i = 0; i < 300; i++) {
		(void)snprintf(name, sizeof name, "mount/dir/entry%03u", i);
		host_file(g, name, "");
	}
	assert_int_equal(guest_open(g, 4, "dir", WASI_OFLAG_DIRECTORY, WASI_RIGHT_FD_READDIR, &fd),
			 0);
	for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
		bool seen[300] = {false};

		assert_int_equal(list_pages(g, fd, pages[i], seen, 300), 300);
	}
	assert_int_equal(CALL(g, fd_readdir, fd, AT_DATA, 0, 0, AT_RESULT), 0);
	assert_int_equal(get_u32(g, AT_RESULT), 0);
	assert_int_equal(CALL(g, fd_readdir, fd, AT_DATA, 100, UINT64_MAX, AT_RESULT), WASI_EINVAL);
	assert_int_equal(guest_open(g, 3, "file", 0, RIGHTS_READ, &fd), 0);
	assert_int_equal(CALL(g, fd_readdir, fd, AT_DATA, 100, 0, AT_RESULT), WASI_ENOTDIR);
}

static void descriptors_are_limited(void **state)
{
	struct guest *g = *state;
	size_t before = host_descriptors();
	uint32_t fd;

	for (size_t i = 0; i < 64; i++)
		assert_int_equal(guest_open(g, 3, "file", 0, RIGHTS_READ, &fd), 0);
	assert_int_equal(wasi_open_files(g->w), 64);
	assert_int_equal(guest_open(g, 3, "new", WASI_OFLAG_CREAT, RW, &fd), WASI_EMFILE);
	assert_null(host_content(g, "mount/new"));
	assert_int_equal(CALL(g, fd_close, 20), 0);
	assert_int_equal(guest_open(g, 3, "file", 0, RIGHTS_READ, &fd), 0);
	assert_int_equal(fd, 20);
	assert_int_equal(CALL(g, fd_renumber, 21, 20), 0);
	assert_int_equal(wasi_open_files(g->w), 63);
	assert_int_equal(CALL(g, fd_close, 3), 0);
	assert_int_equal(wasi_open_files(g->w), 63);
	wasi_destroy(&g->w);
	assert_int_equal(host_descriptors(), before - 2);
}

static void clones_are_independent(void **state)
{
	struct guest *g = *state, other = {.m = g->m};
	size_t before = host_descriptors();
	uint32_t fd, dir;

	assert_int_equal(guest_open(g, 3, "file", 0, RW, &fd), 0);
	assert_int_equal(guest_open(g, 3, "dir", 0, RIGHTS_READ, &dir), 0);
	assert_string_equal(guest_read(g, fd, 3), "con");
	assert_int_equal(CALL(g, fd_readdir, dir, AT_DATA, 100, 0, AT_RESULT), 0);
	assert_int_equal(wasi_clone(&other.w, g->w, NULL), 0);
	assert_int_equal(wasi_open_files(other.w), 2);
	assert_string_equal(guest_read(&other, fd, 2), "te");
	assert_string_equal(guest_read(g, fd, 30), "tent");
	assert_string_equal(guest_read(&other, fd, 30), "nt");
	assert_int_equal(CALL(&other, fd_fdstat_set_flags, fd, WASI_FDFLAG_APPEND), 0);
	assert_int_equal(CALL(g, fd_seek, fd, 0, WASI_WHENCE_SET, AT_RESULT), 0);
	assert_int_equal(guest_write(g, fd, "C"), 0);
	assert_int_equal(guest_write(&other, fd, "!"), 0);
	assert_string_equal(host_content(g, "mount/file"), "Content!");
	assert_int_equal(CALL(&other, fd_readdir, dir, AT_DATA, 100, 0, AT_RESULT), 0);
	assert_int_equal(CALL(g, fd_close, fd), 0);
	assert_int_equal(CALL(g, fd_close, 3), 0);
	wasi_destroy(&g->w);
	assert_int_equal(CALL(&other, fd_prestat_dir_name, 3, AT_DATA, 1), 0);
	assert_int_equal(CALL(&other, fd_seek, fd, 0, WASI_WHENCE_SET, AT_RESULT), 0);
	assert_string_equal(guest_read(&other, fd, 30), "Content!");
	wasi_destroy(&other.w);
	assert_int_equal(host_descriptors(), before - 2);
}

static void *use_clone(void *argument)
{
	const struct wasi *from = argument;
	struct guest g = {0};

	guest_map(&g);
	for (int i = 0; i < 200; i++) {
		uint32_t fd;

		assert_int_equal(wasi_clone(&g.w, from, NULL), 0);
		assert_string_equal(guest_read(&g, 5, 30), "tent");
		assert_int_equal(guest_open(&g, 4, "dir/inner", 0, RIGHTS_READ, &fd), 0);
		assert_string_equal(guest_read(&g, fd, 30), "inner");
		wasi_destroy(&g.w);
	}
	guest_unmap(&g);
	return NULL;
}

static void clones_run_on_many_threads(void **state)
{
	struct guest *g = *state;
	pthread_t threads[4];
	uint32_t fd;

	assert_int_equal(guest_open(g, 3, "file", 0, RIGHTS_READ, &fd), 0);
	assert_int_equal(fd, 5);
	assert_string_equal(guest_read(g, fd, 3), "con");
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use_clone, g->w), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_string_equal(guest_read(g, fd, 30), "tent");
}

static void files_are_always_ready(void **state)
{
	struct guest *g = *state;
	struct wasi_subscription s = {.userdata = 5, .type = WASI_EVENT_FD_READ};
	struct wasi_event e;

	assert_int_equal(guest_open(g, 3, "file", 0, RIGHTS_READ, &s.clock_or_fd), 0);
	assert_string_equal(guest_read(g, s.clock_or_fd, 3), "con");
	memcpy(g->m.base + AT_PATH, &s, sizeof s);
	assert_int_equal(CALL(g, poll_oneoff, AT_PATH, AT_DATA, 1, AT_RESULT), 0);
	memcpy(&e, g->m.base + AT_DATA, sizeof e);
	assert_int_equal(e.error, 0);
	assert_int_equal(e.nbytes, 4);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(missing_mounts_are_named),
		TEST(preopens_are_found_as_libraries_do),
		TEST(spellings_of_root),
		TEST(files_are_read_and_written),
		TEST(many_buffers_are_filled),
		TEST(positioned_transfers_leave_the_offset),
		TEST(appending_and_synchronous_writes),
		TEST(access_is_what_was_asked_for),
		TEST(rights_are_inherited),
		TEST(open_flags_are_obeyed),
		TEST(paths_are_checked),
		TEST(nothing_leads_out),
		TEST(directories_confine_too),
		TEST(links_within_are_followed),
		TEST(links_are_made),
		TEST(directories_come_and_go),
		TEST(files_are_renamed),
		TEST(sizes_and_times_are_changed),
		TEST(read_only_mounts_do_not_change),
		TEST(special_files_are_refused),
		TEST(magic_links_lead_nowhere),
		TEST(races_are_lost_by_the_attacker),
		TEST(directories_are_listed_in_pages),
		TEST(descriptors_are_limited),
		TEST(clones_are_independent),
		TEST(clones_run_on_many_threads),
		TEST(files_are_always_ready),
	};
	int failed = cmocka_run_group_tests_name("openat2", tests, NULL, NULL);

	walking = true;
	return failed + cmocka_run_group_tests_name("walking", tests, NULL, NULL);
}
