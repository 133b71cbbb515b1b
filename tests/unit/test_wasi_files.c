#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>

#include "plugin/budget.h"
#include "wasi_mount.h"

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

/* Everything that takes a path refuses this one, and nothing outside changes. */

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

/* A directory that now and then is a link to outside: one sees the inside, or nothing. */

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

/* With both mounts, for all guests together. */
static int create_counted(struct guest *g, struct budget *files, struct weir_error *error)
{
	char mount[256];
	const struct wasi_mount mounts[] = {{.host_path = mount, .guest_path = "/"},
					    {.host_path = mount, .guest_path = "/ro"}};
	const struct wasi_options options = {
		.mounts = mounts, .mount_count = 2, .files = files, .files_max = 3};

	host_path(g, "mount", mount);
	wasi_destroy(&g->w);
	return wasi_create(&g->w, &options, error);
}

static void descriptors_of_all_are_limited(void **state)
{
	struct guest *g = *state, other = {.m = g->m};
	struct budget above, files;
	uint32_t fd, dir;

	budget_init(&above, 5, NULL);
	budget_init(&files, UINT64_MAX, &above);
	assert_int_equal(create_counted(g, &files, NULL), 0);
	assert_int_equal(above.used, 2);
	assert_int_equal(guest_open(g, 3, "dir", 0, RIGHTS_READ, &dir), 0);
	assert_int_equal(CALL(g, fd_readdir, dir, AT_DATA, 100, 0, AT_RESULT), 0);
	assert_int_equal(CALL(g, fd_readdir, dir, AT_DATA, 100, 0, AT_RESULT), 0);
	assert_int_equal(guest_open(g, 3, "missing", 0, RIGHTS_READ, &fd), WASI_ENOENT);
	assert_int_equal(above.used, 4);
	assert_int_equal(guest_open(g, 3, "file", 0, RIGHTS_READ, &fd), 0);
	assert_int_equal(guest_open(g, 3, "new", WASI_OFLAG_CREAT, RW, &fd), WASI_ENFILE);
	assert_null(host_content(g, "mount/new"));
	assert_int_equal(CALL(g, fd_readdir, 3, AT_DATA, 100, 0, AT_RESULT), WASI_ENFILE);
	assert_int_equal(above.refusals, 2);
	/* A copy shares the files; what it opens itself counts. */
	assert_int_equal(wasi_clone(&other.w, g->w, NULL), 0);
	assert_int_equal(above.used, 5);
	assert_int_equal(CALL(&other, fd_readdir, dir, AT_DATA, 100, 0, AT_RESULT), WASI_ENFILE);
	assert_int_equal(CALL(g, fd_close, dir), 0);
	assert_int_equal(above.used, 4);
	assert_int_equal(CALL(&other, fd_readdir, dir, AT_DATA, 100, 0, AT_RESULT), 0);
	wasi_destroy(&other.w);
	assert_int_equal(files.used, 3);
	assert_int_equal(above.used, 3);
	/* Refusals by the guest's own limit are counted for its plugin only. */
	assert_int_equal(guest_open(g, 3, "file", 0, RIGHTS_READ, &fd), 0);
	assert_int_equal(guest_open(g, 3, "file", 0, RIGHTS_READ, &fd), 0);
	assert_int_equal(guest_open(g, 3, "file", 0, RIGHTS_READ, &fd), WASI_EMFILE);
	assert_int_equal(above.refusals, 3);
	assert_int_equal(files.refusals, 4);
	wasi_destroy(&g->w);
	assert_int_equal(above.used, 0);
}

static void mounts_without_a_descriptor(void **state)
{
	struct guest *g = *state;
	size_t before = host_descriptors();
	struct weir_error error;
	struct budget files;

	budget_init(&files, 1, NULL);
	assert_int_equal(create_counted(g, &files, &error), -ENFILE);
	assert_null(g->w);
	assert_non_null(strstr(error.text, "no descriptor is left for it: all plugins together may "
					   "hold 1 (openFiles)"));
	assert_int_equal(files.used, 0);
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
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(missing_mounts_are_named),
		MOUNTED(preopens_are_found_as_libraries_do),
		MOUNTED(spellings_of_root),
		MOUNTED(files_are_read_and_written),
		MOUNTED(many_buffers_are_filled),
		MOUNTED(positioned_transfers_leave_the_offset),
		MOUNTED(appending_and_synchronous_writes),
		MOUNTED(access_is_what_was_asked_for),
		MOUNTED(rights_are_inherited),
		MOUNTED(open_flags_are_obeyed),
		MOUNTED(links_are_made),
		MOUNTED(directories_come_and_go),
		MOUNTED(files_are_renamed),
		MOUNTED(sizes_and_times_are_changed),
		MOUNTED(directories_are_listed_in_pages),
		MOUNTED(descriptors_are_limited),
		MOUNTED(descriptors_of_all_are_limited),
		MOUNTED(mounts_without_a_descriptor),
		MOUNTED(clones_are_independent),
		MOUNTED(clones_run_on_many_threads),
		MOUNTED(files_are_always_ready),
	};
	int failed = cmocka_run_group_tests_name("openat2", tests, NULL, NULL);

	walking = true;
	return failed + cmocka_run_group_tests_name("walking", tests, NULL, NULL);
}
