#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base.h"
#include "plugin/wasi_state.h"

#define NS_PER_S 1000000000u

static uint32_t errno_if(bool failed)
{
	return failed ? wasi_errno_of(errno) : WASI_ESUCCESS;
}

uint8_t wasi_filetype_of(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFBLK:
		return WASI_FILETYPE_BLOCK_DEVICE;
	case S_IFCHR:
		return WASI_FILETYPE_CHARACTER_DEVICE;
	case S_IFDIR:
		return WASI_FILETYPE_DIRECTORY;
	case S_IFREG:
		return WASI_FILETYPE_REGULAR_FILE;
	case S_IFSOCK:
		return WASI_FILETYPE_SOCKET_STREAM;
	case S_IFLNK:
		return WASI_FILETYPE_SYMBOLIC_LINK;
	default:
		return WASI_FILETYPE_UNKNOWN;
	}
}

static uint64_t ns_of(struct timespec t)
{
	return t.tv_sec < 0 ? 0 : (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint32_t wasi_put_filestat(struct guest_memory m, uint32_t address, const struct stat *st)
{
	struct wasi_filestat out = {
		.dev = st->st_dev,
		.ino = st->st_ino,
		.filetype = wasi_filetype_of(st->st_mode),
		.nlink = st->st_nlink,
		.size = (uint64_t)st->st_size,
		.atim_ns = ns_of(st->st_atim),
		.mtim_ns = ns_of(st->st_mtim),
		.ctim_ns = ns_of(st->st_ctim),
	};

	return guest_put(m, address, &out, sizeof out);
}

static struct timespec time_of(uint32_t fst_flags, uint32_t set, uint32_t now, uint64_t ns)
{
	struct timespec t = {.tv_nsec = UTIME_OMIT};

	if ((fst_flags & now) != 0) {
		t.tv_nsec = UTIME_NOW;
	} else if ((fst_flags & set) != 0) {
		t.tv_sec = (time_t)(ns / NS_PER_S);
		t.tv_nsec = (long)(ns % NS_PER_S);
	}
	return t;
}

uint32_t wasi_times(uint32_t fst_flags, uint64_t atim_ns, uint64_t mtim_ns, struct timespec out[2])
{
	const uint32_t atim = WASI_FST_ATIM | WASI_FST_ATIM_NOW;
	const uint32_t mtim = WASI_FST_MTIM | WASI_FST_MTIM_NOW;

	if ((fst_flags & ~(uint32_t)WASI_FSTFLAGS_ALL) != 0 || (fst_flags & atim) == atim ||
	    (fst_flags & mtim) == mtim)
		return WASI_EINVAL;
	out[0] = time_of(fst_flags, WASI_FST_ATIM, WASI_FST_ATIM_NOW, atim_ns);
	out[1] = time_of(fst_flags, WASI_FST_MTIM, WASI_FST_MTIM_NOW, mtim_ns);
	return WASI_ESUCCESS;
}

uint32_t wasi_fn_fd_advise(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	static const int advices[] = {POSIX_FADV_NORMAL,   POSIX_FADV_SEQUENTIAL,
				      POSIX_FADV_RANDOM,   POSIX_FADV_WILLNEED,
				      POSIX_FADV_DONTNEED, POSIX_FADV_NOREUSE};
	uint64_t offset = a[1], length = a[2];
	uint32_t advice = arg32(a, 3);
	struct descriptor *d;
	uint32_t error = wasi_need(w, arg32(a, 0), WASI_RIGHT_FD_ADVISE, &d);

	(void)m;
	if (error != 0)
		return error;
	if (advice >= ARRAY_LEN(advices) || offset > INT64_MAX || length > INT64_MAX)
		return WASI_EINVAL;
	/* Reading ahead is done before the call returns. */
	if (advices[advice] == POSIX_FADV_WILLNEED &&
	    (length == 0 || length > w->settings->options.transfer_max_bytes))
		length = w->settings->options.transfer_max_bytes;
	return wasi_errno_of(
		posix_fadvise(d->file->fd, (off_t)offset, (off_t)length, advices[advice]));
}

uint32_t wasi_fn_fd_allocate(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *d;
	uint32_t error = wasi_need_change(w, arg32(a, 0), WASI_RIGHT_FD_ALLOCATE, &d);

	(void)m;
	if (error != 0)
		return error;
	if (a[1] > INT64_MAX || a[2] > INT64_MAX || a[2] == 0)
		return WASI_EINVAL;
	/* Not posix_fallocate: it writes zeros where the file system cannot allocate. */
	return errno_if(fallocate(d->file->fd, 0, (off_t)a[1], (off_t)a[2]) != 0);
}

uint32_t wasi_fn_fd_close(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *d = wasi_descriptor(w, arg32(a, 0));

	(void)m;
	if (d == NULL)
		return WASI_EBADF;
	wasi_descriptor_close(w, d);
	return WASI_ESUCCESS;
}

uint32_t wasi_fn_fd_datasync(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *d;
	uint32_t error = wasi_need(w, arg32(a, 0), WASI_RIGHT_FD_DATASYNC, &d);

	(void)m;
	return error != 0 ? error : errno_if(fdatasync(d->file->fd) != 0);
}

uint32_t wasi_fn_fd_sync(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *d;
	uint32_t error = wasi_need(w, arg32(a, 0), WASI_RIGHT_FD_SYNC, &d);

	(void)m;
	return error != 0 ? error : errno_if(fsync(d->file->fd) != 0);
}

/*
 * Standard streams are terminals without a position, so that the guest's C library flushes each
 * line.
 */
static uint8_t filetype_of(const struct descriptor *d)
{
	switch (d->kind) {
	case DESCRIPTOR_INPUT:
	case DESCRIPTOR_OUTPUT:
		return WASI_FILETYPE_CHARACTER_DEVICE;
	case DESCRIPTOR_DIRECTORY:
		return WASI_FILETYPE_DIRECTORY;
	case DESCRIPTOR_REGULAR:
		return WASI_FILETYPE_REGULAR_FILE;
	case DESCRIPTOR_FREE:
		break;
	}
	must_not_reach("a free descriptor was looked up");
}

uint32_t wasi_fn_fd_fdstat_get(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	const struct descriptor *d = wasi_descriptor(w, arg32(a, 0));
	struct wasi_fdstat out;

	if (d == NULL)
		return WASI_EBADF;
	out = (struct wasi_fdstat){.filetype = filetype_of(d),
				   .flags = d->flags,
				   .rights_base = d->rights,
				   .rights_inheriting = d->inheriting};
	return guest_put(m, arg32(a, 1), &out, sizeof out);
}

uint32_t wasi_fn_fd_fdstat_set_flags(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	uint32_t flags = arg32(a, 1);
	struct descriptor *d;
	uint32_t error = wasi_need(w, arg32(a, 0), WASI_RIGHT_FD_FDSTAT_SET_FLAGS, &d);

	(void)m;
	if (error != 0)
		return error;
	if ((flags & ~(uint32_t)WASI_FDFLAGS_ALL) != 0)
		return WASI_EINVAL;
	d->flags = (uint16_t)flags;
	return WASI_ESUCCESS;
}

uint32_t wasi_fn_fd_fdstat_set_rights(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *d = wasi_descriptor(w, arg32(a, 0));

	(void)m;
	if (d == NULL)
		return WASI_EBADF;
	if ((a[1] & ~d->rights) != 0 || (a[2] & ~d->inheriting) != 0)
		return WASI_ENOTCAPABLE;
	d->rights = a[1];
	d->inheriting = a[2];
	return WASI_ESUCCESS;
}

uint32_t wasi_fn_fd_filestat_get(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *d;
	struct stat st = {.st_mode = S_IFCHR};
	uint32_t error = wasi_need(w, arg32(a, 0), WASI_RIGHT_FD_FILESTAT_GET, &d);

	if (error != 0)
		return error;
	if (d->file != NULL && fstat(d->file->fd, &st) != 0)
		return wasi_errno_of(errno);
	return wasi_put_filestat(m, arg32(a, 1), &st);
}

uint32_t wasi_fn_fd_filestat_set_size(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *d;
	uint32_t error = wasi_need_change(w, arg32(a, 0), WASI_RIGHT_FD_FILESTAT_SET_SIZE, &d);

	(void)m;
	if (error != 0)
		return error;
	if (a[1] > INT64_MAX)
		return WASI_EINVAL;
	return errno_if(ftruncate(d->file->fd, (off_t)a[1]) != 0);
}

uint32_t wasi_fn_fd_filestat_set_times(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct timespec times[2];
	struct descriptor *d;
	uint32_t error = wasi_need_change(w, arg32(a, 0), WASI_RIGHT_FD_FILESTAT_SET_TIMES, &d);

	(void)m;
	if (error == 0)
		error = wasi_times(arg32(a, 3), a[1], a[2], times);
	return error != 0 ? error : errno_if(futimens(d->file->fd, times) != 0);
}

uint32_t wasi_fn_fd_renumber(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *from = wasi_descriptor(w, arg32(a, 0));
	struct descriptor *to = wasi_descriptor(w, arg32(a, 1));

	(void)m;
	if (from == NULL || to == NULL)
		return WASI_EBADF;
	if (from == to)
		return WASI_ESUCCESS;
	wasi_descriptor_close(w, to);
	*to = *from;
	*from = (struct descriptor){.kind = DESCRIPTOR_FREE, .list_fd = -1};
	return WASI_ESUCCESS;
}

static uint32_t seek(struct descriptor *d, int64_t by, uint32_t whence)
{
	int64_t from = 0, to;
	struct stat st;

	switch (whence) {
	case WASI_WHENCE_SET:
		break;
	case WASI_WHENCE_CUR:
		from = (int64_t)d->offset;
		break;
	case WASI_WHENCE_END:
		if (fstat(d->file->fd, &st) != 0)
			return wasi_errno_of(errno);
		from = st.st_size;
		break;
	default:
		return WASI_EINVAL;
	}
	if (__builtin_add_overflow(from, by, &to))
		return by > 0 ? WASI_EOVERFLOW : WASI_EINVAL;
	if (to < 0)
		return WASI_EINVAL;
	d->offset = (uint64_t)to;
	return WASI_ESUCCESS;
}

uint32_t wasi_fn_fd_seek(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	bool only_tell = a[1] == 0 && arg32(a, 2) == WASI_WHENCE_CUR;
	struct descriptor *d;
	uint32_t error =
		wasi_need(w, arg32(a, 0), only_tell ? WASI_RIGHT_FD_TELL : WASI_RIGHT_FD_SEEK, &d);

	if (error != 0)
		return error;
	if (guest_at(m, arg32(a, 3), sizeof d->offset) == NULL)
		return WASI_EFAULT;
	error = seek(d, (int64_t)a[1], arg32(a, 2));
	return error != 0 ? error : guest_put_u64(m, arg32(a, 3), d->offset);
}

uint32_t wasi_fn_fd_tell(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *d;
	uint32_t error = wasi_need(w, arg32(a, 0), WASI_RIGHT_FD_TELL, &d);

	return error != 0 ? error : guest_put_u64(m, arg32(a, 1), d->offset);
}
