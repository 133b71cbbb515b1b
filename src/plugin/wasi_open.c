#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base.h"
#include "plugin/wasi_beneath.h"
#include "plugin/wasi_path.h"
#include "plugin/wasi_state.h"

/* One call of path_open. */
struct opening {
	const struct descriptor *in;
	bool walk;
	uint32_t oflags;
	uint32_t fdflags;
	uint64_t base;
	bool reading;
	bool writing;
	int flags; /* for open(2) */
};

static uint32_t check_flags(const struct opening *o, uint32_t lookup_flags)
{
	const uint32_t both = WASI_OFLAG_CREAT | WASI_OFLAG_DIRECTORY;

	if ((lookup_flags & ~(uint32_t)WASI_LOOKUP_SYMLINK_FOLLOW) != 0 ||
	    (o->oflags & ~(uint32_t)WASI_OFLAGS_ALL) != 0 ||
	    (o->fdflags & ~(uint32_t)WASI_FDFLAGS_ALL) != 0 || (o->oflags & both) == both)
		return WASI_EINVAL;
	return WASI_ESUCCESS;
}

/*
 * Which way the guest wants to use the file: FD_READ and FD_WRITE say so, the other rights are
 * asked for by everybody. A guest that asks for neither reads.
 */
static uint32_t check_rights(struct opening *o)
{
	const struct descriptor *in = o->in;

	o->writing = (o->base & WASI_RIGHT_FD_WRITE) != 0;
	o->reading = (o->base & (WASI_RIGHT_FD_READ | WASI_RIGHT_FD_READDIR)) != 0 || !o->writing;
	if ((o->writing || (o->oflags & (WASI_OFLAG_CREAT | WASI_OFLAG_TRUNC)) != 0) &&
	    in->file->read_only)
		return WASI_EROFS;
	if ((o->writing && (in->inheriting & WASI_RIGHT_FD_WRITE) == 0) ||
	    ((o->oflags & WASI_OFLAG_CREAT) != 0 &&
	     (in->rights & WASI_RIGHT_PATH_CREATE_FILE) == 0) ||
	    ((o->oflags & WASI_OFLAG_TRUNC) != 0 &&
	     (in->rights & WASI_RIGHT_PATH_FILESTAT_SET_SIZE) == 0))
		return WASI_ENOTCAPABLE;
	return WASI_ESUCCESS;
}

/* Appending and synchronous writing are done per write: their flags would be shared by clones. */
static int host_flags(const struct opening *o, uint32_t lookup_flags)
{
	int flags = !o->writing ? O_RDONLY : o->reading ? O_RDWR : O_WRONLY;

	if ((o->oflags & WASI_OFLAG_CREAT) != 0)
		flags |= O_CREAT;
	if ((o->oflags & WASI_OFLAG_EXCL) != 0 && (o->oflags & WASI_OFLAG_CREAT) != 0)
		flags |= O_EXCL;
	if ((o->oflags & WASI_OFLAG_TRUNC) != 0)
		flags |= O_TRUNC;
	if ((o->oflags & WASI_OFLAG_DIRECTORY) != 0)
		flags |= O_DIRECTORY;
	if ((lookup_flags & WASI_LOOKUP_SYMLINK_FOLLOW) == 0)
		flags |= O_NOFOLLOW;
	return flags;
}

static bool is_special(mode_t mode)
{
	return !S_ISREG(mode) && !S_ISDIR(mode) && !S_ISLNK(mode);
}

/*
 * Keeps away from devices and FIFOs, which even opening may disturb. Returns 0 or a negative errno
 * value.
 */
static int probe(const struct opening *o, const char *path)
{
	int fd = beneath_open(o->in->file->fd, path, O_PATH | (o->flags & O_NOFOLLOW), o->walk);
	struct stat st;
	int r = 0;

	if (fd < 0)
		return (o->flags & O_CREAT) != 0 && fd == -ENOENT ? 0 : fd;
	if (fstat(fd, &st) != 0)
		r = -errno;
	else if (is_special(st.st_mode))
		r = -ENOTSUP;
	close(fd);
	return r;
}

/* Opens a regular file or a directory. Returns a descriptor or a negative errno value. */
static int open_file(const struct opening *o, const char *path, struct stat *st)
{
	int r = probe(o, path), fd;

	if (r < 0)
		return r;
	fd = beneath_open(o->in->file->fd, path, o->flags, o->walk);
	if (fd < 0)
		return fd;
	/* It may have been swapped after the probe. */
	r = fstat(fd, st) != 0 ? -errno : is_special(st->st_mode) ? -ENOTSUP : 0;
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

static void set_rights(const struct opening *o, struct descriptor *d)
{
	const uint64_t write_rights =
		WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_ALLOCATE | WASI_RIGHT_FD_FILESTAT_SET_SIZE;

	d->rights &= o->in->inheriting;
	d->inheriting &= o->in->inheriting;
	if (d->kind == DESCRIPTOR_REGULAR && !o->writing)
		d->rights &= ~write_rights;
	if (d->kind == DESCRIPTOR_REGULAR && !o->reading)
		d->rights &= ~WASI_RIGHT_FD_READ;
}

/* `in` is a copy: a new descriptor may move the table. */
static uint32_t open_path(struct wasi *w, const struct opening *o, const char *path, uint32_t *fd)
{
	struct descriptor *d;
	struct wasi_file *file;
	struct stat st;
	uint32_t error;
	int host_fd;

	d = wasi_descriptor_new(w, fd, &error);
	if (d == NULL)
		return error;
	if (!wasi_place_take(w))
		return WASI_ENFILE;
	host_fd = open_file(o, path, &st);
	if (host_fd < 0) {
		wasi_place_give(w);
		return wasi_errno_of(-host_fd);
	}
	file = wasi_file_new(w, host_fd, o->in->file->read_only);
	if (file == NULL)
		return WASI_ENOMEM;
	wasi_descriptor_set(d, S_ISDIR(st.st_mode) ? DESCRIPTOR_DIRECTORY : DESCRIPTOR_REGULAR,
			    file);
	set_rights(o, d);
	d->flags = (uint16_t)o->fdflags;
	d->opened = true;
	w->opened++;
	return WASI_ESUCCESS;
}

uint32_t wasi_fn_path_open(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *found, in;
	struct opening o = {.walk = w->settings->walk_paths,
			    .oflags = arg32(a, 4),
			    .base = a[5],
			    .fdflags = arg32(a, 7)};
	char *path;
	uint32_t fd, error = wasi_need(w, arg32(a, 0), WASI_RIGHT_PATH_OPEN, &found);

	if (error != 0)
		return error;
	in = *found;
	o.in = &in;
	if (guest_at(m, arg32(a, 8), sizeof fd) == NULL)
		return WASI_EFAULT;
	error = wasi_path_take(m, arg32(a, 2), arg32(a, 3), &path);
	if (error != 0)
		return error;
	error = check_flags(&o, arg32(a, 1));
	if (error == 0)
		error = check_rights(&o);
	o.flags = host_flags(&o, arg32(a, 1));
	if (error == 0)
		error = open_path(w, &o, path, &fd);
	free(path);
	return error != 0 ? error : guest_put_u32(m, arg32(a, 8), fd);
}
