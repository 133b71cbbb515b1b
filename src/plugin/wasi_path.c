#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base.h"
#include "plugin/wasi_beneath.h"
#include "plugin/wasi_path.h"
#include "plugin/wasi_state.h"

static uint32_t errno_if(bool failed)
{
	return failed ? wasi_errno_of(errno) : WASI_ESUCCESS;
}

/* The length of one encoded character at the front, or 0. `s` is not empty. */
static size_t utf8_length(slice s)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint8_t first = (uint8_t)s.p[0];
	size_t n = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	uint32_t code = n < 2 ? first : first & (0x7fu >> n);

	if (n == 0 || n > s.n || first > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if (((uint8_t)s.p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | ((uint8_t)s.p[i] & 0x3f);
	}
	if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return n;
}

/* RFC 3629: no surrogates, no overlong forms. */
static bool utf8_valid(slice s)
{
	while (s.n > 0) {
		size_t n = utf8_length(s);

		if (n == 0)
			return false;
		s = slice_from_at(s, n);
	}
	return true;
}

uint32_t wasi_path_take(struct guest_memory m, uint32_t address, uint32_t n, char **out)
{
	const char *bytes = guest_at(m, address, n);

	*out = NULL;
	if (bytes == NULL)
		return WASI_EFAULT;
	if (n == 0)
		return WASI_ENOENT;
	if (n > WASI_PATH_MAX)
		return WASI_ENAMETOOLONG;
	if (memchr(bytes, '\0', n) != NULL)
		return WASI_EINVAL;
	if (!utf8_valid(slice_of(bytes, n)))
		return WASI_EILSEQ;
	if (bytes[0] == '/')
		return WASI_EPERM;
	*out = slice_dup(slice_of(bytes, n));
	return *out == NULL ? WASI_ENOMEM : WASI_ESUCCESS;
}

/* A last component in a directory of the host, both found beneath a descriptor of the guest. */
struct place {
	int root;
	int dir;
	char *path;
	const char *name;
};

/* Finds one from a path in guest memory; `dots` is the error for one that ends in "." or "..". */
static uint32_t place_take(struct wasi *w, const struct descriptor *d, struct guest_memory m,
			   const uint64_t *path_arg, uint32_t dots, struct place *p)
{
	uint32_t error;

	*p = (struct place){.root = d->file->fd, .dir = -1};
	error = wasi_path_take(m, arg32(path_arg, 0), arg32(path_arg, 1), &p->path);
	if (error != 0)
		return error;
	p->dir = beneath_parent(p->root, p->path, &p->name, w->settings->walk_paths);
	if (p->dir >= 0)
		return WASI_ESUCCESS;
	return p->dir == -EINVAL ? dots : wasi_errno_of(-p->dir);
}

static void place_free(struct place *p)
{
	beneath_parent_close(p->root, p->dir);
	free(p->path);
}

static bool has_slash(const char *name)
{
	return strchr(name, '/') != NULL;
}

uint32_t wasi_fn_path_create_directory(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *d;
	struct place p;
	uint32_t error = wasi_need_change(w, arg32(a, 0), WASI_RIGHT_PATH_CREATE_DIRECTORY, &d);

	if (error != 0)
		return error;
	error = place_take(w, d, m, a + 1, WASI_EEXIST, &p);
	if (error == 0)
		error = errno_if(mkdirat(p.dir, p.name, 0777) != 0);
	place_free(&p);
	return error;
}

uint32_t wasi_fn_path_remove_directory(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *d;
	struct place p;
	uint32_t error = wasi_need_change(w, arg32(a, 0), WASI_RIGHT_PATH_REMOVE_DIRECTORY, &d);

	if (error != 0)
		return error;
	error = place_take(w, d, m, a + 1, WASI_EINVAL, &p);
	if (error == 0)
		error = errno_if(unlinkat(p.dir, p.name, AT_REMOVEDIR) != 0);
	place_free(&p);
	return error;
}

uint32_t wasi_fn_path_unlink_file(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *d;
	struct place p;
	uint32_t error = wasi_need_change(w, arg32(a, 0), WASI_RIGHT_PATH_UNLINK_FILE, &d);

	if (error != 0)
		return error;
	error = place_take(w, d, m, a + 1, WASI_EISDIR, &p);
	if (error == 0)
		error = errno_if(unlinkat(p.dir, p.name, 0) != 0);
	place_free(&p);
	return error;
}

uint32_t wasi_fn_path_rename(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *from, *to;
	struct place p, q;
	uint32_t error = wasi_need_change(w, arg32(a, 0), WASI_RIGHT_PATH_RENAME_SOURCE, &from);

	if (error == 0)
		error = wasi_need_change(w, arg32(a, 3), WASI_RIGHT_PATH_RENAME_TARGET, &to);
	if (error != 0)
		return error;
	error = place_take(w, from, m, a + 1, WASI_EBUSY, &p);
	if (error == 0) {
		error = place_take(w, to, m, a + 4, WASI_EBUSY, &q);
		if (error == 0)
			error = errno_if(renameat(p.dir, p.name, q.dir, q.name) != 0);
		place_free(&q);
	}
	place_free(&p);
	return error;
}

/* linkat(2) would follow a link with a slash after it; a directory cannot be linked in any case. */
static uint32_t link_places(const struct place *from, const struct place *to)
{
	if (has_slash(from->name))
		return WASI_ENOTDIR;
	return errno_if(linkat(from->dir, from->name, to->dir, to->name, 0) != 0);
}

uint32_t wasi_fn_path_link(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *from, *to;
	struct place p, q;
	uint32_t error;

	/* A second name in a writable mount would make a file of a read-only one writable. */
	error = wasi_need_change(w, arg32(a, 0), WASI_RIGHT_PATH_LINK_SOURCE, &from);
	if (error == 0)
		error = wasi_need_change(w, arg32(a, 4), WASI_RIGHT_PATH_LINK_TARGET, &to);
	if (error != 0)
		return error;
	if (arg32(a, 1) != 0)
		return WASI_EINVAL;
	error = place_take(w, from, m, a + 2, WASI_EPERM, &p);
	if (error == 0) {
		error = place_take(w, to, m, a + 5, WASI_EEXIST, &q);
		if (error == 0)
			error = link_places(&p, &q);
		place_free(&q);
	}
	place_free(&p);
	return error;
}

uint32_t wasi_fn_path_symlink(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *d;
	struct place p;
	char *target;
	uint32_t error = wasi_need_change(w, arg32(a, 2), WASI_RIGHT_PATH_SYMLINK, &d);

	if (error == 0)
		error = wasi_path_take(m, arg32(a, 0), arg32(a, 1), &target);
	if (error != 0)
		return error;
	error = place_take(w, d, m, a + 3, WASI_EEXIST, &p);
	if (error == 0)
		error = errno_if(symlinkat(target, p.dir, p.name) != 0);
	place_free(&p);
	free(target);
	return error;
}

/* Where an absolute link points is the host's business. */
static uint32_t put_link(const struct place *p, struct guest_memory m, uint32_t address,
			 uint32_t size, uint32_t result_address)
{
	char target[WASI_PATH_MAX];
	ssize_t n = readlinkat(p->dir, p->name, target, sizeof target);
	uint32_t used;

	if (n < 0)
		return wasi_errno_of(errno);
	if (n > 0 && target[0] == '/')
		return WASI_EPERM;
	used = MIN((uint32_t)n, size);
	if (guest_put(m, address, target, used) != 0)
		return WASI_EFAULT;
	return guest_put_u32(m, result_address, used);
}

uint32_t wasi_fn_path_readlink(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *d;
	struct place p;
	uint32_t error = wasi_need(w, arg32(a, 0), WASI_RIGHT_PATH_READLINK, &d);

	if (error != 0)
		return error;
	if (guest_at(m, arg32(a, 3), arg32(a, 4)) == NULL ||
	    guest_at(m, arg32(a, 5), sizeof(uint32_t)) == NULL)
		return WASI_EFAULT;
	error = place_take(w, d, m, a + 1, WASI_EINVAL, &p);
	if (error == 0)
		error = has_slash(p.name) ? (uint32_t)WASI_EINVAL
					  : put_link(&p, m, arg32(a, 3), arg32(a, 4), arg32(a, 5));
	place_free(&p);
	return error;
}

static int nofollow(uint32_t lookup_flags)
{
	return (lookup_flags & WASI_LOOKUP_SYMLINK_FOLLOW) != 0 ? 0 : O_NOFOLLOW;
}

uint32_t wasi_fn_path_filestat_get(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *d;
	struct stat st;
	char *path;
	int fd;
	uint32_t error = wasi_need(w, arg32(a, 0), WASI_RIGHT_PATH_FILESTAT_GET, &d);

	if (error == 0)
		error = wasi_path_take(m, arg32(a, 2), arg32(a, 3), &path);
	if (error != 0)
		return error;
	fd = beneath_open(d->file->fd, path, O_PATH | nofollow(arg32(a, 1)),
			  w->settings->walk_paths);
	free(path);
	if (fd < 0)
		return wasi_errno_of(-fd);
	error = errno_if(fstat(fd, &st) != 0);
	close(fd);
	return error != 0 ? error : wasi_put_filestat(m, arg32(a, 4), &st);
}

/* Sets the times of what an O_PATH descriptor stands for, a symbolic link too. */
static int set_times_at(int fd, const struct timespec times[2])
{
	char self[sizeof "/proc/self/fd/" + 12];

	if (utimensat(fd, "", times, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOENT)
		return -errno;
	/* Linux before 5.8 does not know the flag here; its own name for the descriptor will do. */
	(void)snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
	return utimensat(AT_FDCWD, self, times, 0) == 0 ? 0 : -errno;
}

uint32_t wasi_fn_path_filestat_set_times(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct timespec times[2];
	struct descriptor *d;
	char *path;
	int fd, r;
	uint32_t error = wasi_need_change(w, arg32(a, 0), WASI_RIGHT_PATH_FILESTAT_SET_TIMES, &d);

	if (error == 0)
		error = wasi_times(arg32(a, 6), a[4], a[5], times);
	if (error == 0)
		error = wasi_path_take(m, arg32(a, 2), arg32(a, 3), &path);
	if (error != 0)
		return error;
	fd = beneath_open(d->file->fd, path, O_PATH | nofollow(arg32(a, 1)),
			  w->settings->walk_paths);
	free(path);
	if (fd < 0)
		return wasi_errno_of(-fd);
	r = set_times_at(fd, times);
	close(fd);
	return wasi_errno_of(-r);
}
