#include "plugin/wasi_beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base.h"

/* How often a resolution that another process's rename disturbed is tried. */
#define RACES_MAX 16
/* Open directories at once while walking. */
#define DEPTH_MAX 64

static int openat2_beneath(int dir, const char *path, int flags)
{
	struct open_how how = {
		.flags = (unsigned)flags,
		.mode = (flags & O_CREAT) != 0 ? 0666 : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};

	for (int i = 0; i < RACES_MAX; i++) {
		long fd = syscall(SYS_openat2, dir, path, &how, sizeof how);

		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN && errno != EINTR)
			break;
	}
	return errno == EXDEV ? -EPERM : -errno;
}

bool beneath_supported(int dir)
{
	int fd = openat2_beneath(dir, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	/* Seccomp filters that do not know the call answer ENOSYS or, older ones, EPERM. */
	return fd != -ENOSYS && fd != -EPERM && fd != -EINVAL && fd != -E2BIG;
}

/* The directories from the root, which is the caller's, to where a walk is, and its last file. */
struct walk {
	int fds[DEPTH_MAX];
	size_t depth;
	int found; /* -1 until the last component */
};

static void walk_up(struct walk *w)
{
	must(w->depth > 0);
	close(w->fds[w->depth--]);
}

static int walk_down(struct walk *w, const char *name)
{
	int fd;

	if (w->depth + 1 == DEPTH_MAX)
		return -ENAMETOOLONG;
	fd = openat(w->fds[w->depth], name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	w->fds[++w->depth] = fd;
	return 0;
}

/* Opens the last component; a symbolic link is an error unless it is what the caller wants. */
static int walk_open(struct walk *w, const char *name, int flags)
{
	int fd = openat(w->fds[w->depth], name, flags | O_NOFOLLOW, 0666);
	struct stat st;

	if (fd < 0)
		return -errno;
	if ((flags & O_PATH) != 0 && (flags & O_NOFOLLOW) == 0 &&
	    (fstat(fd, &st) != 0 || S_ISLNK(st.st_mode))) {
		close(fd);
		return -ELOOP;
	}
	w->found = fd;
	return 0;
}

static int walk_step(struct walk *w, const char *name, bool last, int flags)
{
	if (strcmp(name, "..") == 0) {
		if (w->depth == 0)
			return -EPERM;
		walk_up(w);
		name = ".";
	}
	if (last)
		return walk_open(w, name, flags);
	return strcmp(name, ".") == 0 ? 0 : walk_down(w, name);
}

static int walk_beneath(int dir, const char *path, int flags)
{
	struct walk w = {.fds = {dir}, .found = -1};
	char name[NAME_MAX + 1];
	int r = path[0] == '/' ? -EPERM : 0;

	while (r == 0 && w.found < 0) {
		size_t n = strcspn(path, "/"), slashes = strspn(path + n, "/");
		bool last = path[n + slashes] == '\0';

		if (n > NAME_MAX) {
			r = -ENAMETOOLONG;
			break;
		}
		memcpy(name, path, n);
		name[n] = '\0';
		path += n + slashes;
		if (last && slashes > 0 && (flags & O_CREAT) != 0)
			r = -EISDIR;
		else
			r = walk_step(&w, name, last, slashes > 0 ? flags | O_DIRECTORY : flags);
	}
	while (w.depth > 0)
		walk_up(&w);
	return r < 0 ? r : w.found;
}

int beneath_open(int dir, const char *path, int flags, bool walk)
{
	flags |= O_CLOEXEC;
	if ((flags & O_PATH) == 0)
		flags |= O_NONBLOCK | O_NOCTTY;
	return walk ? walk_beneath(dir, path, flags) : openat2_beneath(dir, path, flags);
}

int beneath_parent(int dir, char *path, const char **last, bool walk)
{
	size_t end = strlen(path), from, n;

	while (end > 0 && path[end - 1] == '/')
		end--;
	from = end;
	while (from > 0 && path[from - 1] != '/')
		from--;
	n = end - from;
	*last = path + from;
	if (n == 0)
		return -EPERM;
	if ((n == 1 && path[from] == '.') || (n == 2 && path[from] == '.' && path[from + 1] == '.'))
		return -EINVAL;
	if (from == 0)
		return dir;
	path[from - 1] = '\0';
	if (path[0] == '\0')
		return -EPERM;
	return beneath_open(dir, path, O_PATH | O_DIRECTORY, walk);
}

void beneath_parent_close(int dir, int parent)
{
	if (parent >= 0 && parent != dir)
		close(parent);
}
