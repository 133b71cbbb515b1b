/*
 * Guests with mounts, for the tests of WASI.
 */
#ifndef UNIT_WASI_MOUNT_H
#define UNIT_WASI_MOUNT_H

#include <sys/stat.h>

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

static inline void host_path(const struct guest *g, const char *name, char out[256])
{
	(void)snprintf(out, 256, "%s/%s", g->dir, name);
}

static inline void host_file(const struct guest *g, const char *name, const char *content)
{
	char path[256];
	int fd;

	host_path(g, name, path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	close(fd);
}

static inline void host_dir(const struct guest *g, const char *name)
{
	char path[256];

	host_path(g, name, path);
	assert_int_equal(mkdir(path, 0755), 0);
}

static inline void host_link(const struct guest *g, const char *name, const char *target)
{
	char path[256];

	host_path(g, name, path);
	assert_int_equal(symlink(target, path), 0);
}

static inline const char *host_content(const struct guest *g, const char *name)
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

static inline int setup(void **state)
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

static inline int teardown(void **state)
{
	struct guest *g = *state;
	char command[128];

	(void)snprintf(command, sizeof command, "rm -rf '%s'", g->dir);
	guest_unmap(g);
	assert_int_equal(system(command), 0);
	free(g);
	return 0;
}

#define MOUNTED(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
