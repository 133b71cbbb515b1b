#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base.h"
#include "plugin/wasi_state.h"

#define CHUNK_BYTES 8192

static const struct descriptor *preopen(struct wasi *w, uint32_t fd)
{
	const struct descriptor *d = wasi_descriptor(w, fd);

	return d != NULL && d->preopen != NULL ? d : NULL;
}

/* EBADF is how a C library learns that it has seen all preopens. */
uint32_t wasi_fn_fd_prestat_get(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	const struct descriptor *d = preopen(w, arg32(a, 0));
	struct wasi_prestat out = {.type = 0};

	if (d == NULL)
		return WASI_EBADF;
	out.name_len = (uint32_t)strlen(d->preopen);
	return guest_put(m, arg32(a, 1), &out, sizeof out);
}

uint32_t wasi_fn_fd_prestat_dir_name(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	const struct descriptor *d = preopen(w, arg32(a, 0));

	if (d == NULL)
		return WASI_EBADF;
	if (guest_at(m, arg32(a, 1), arg32(a, 2)) == NULL)
		return WASI_EFAULT;
	if (arg32(a, 2) < strlen(d->preopen))
		return WASI_ENAMETOOLONG;
	return guest_put(m, arg32(a, 1), d->preopen, strlen(d->preopen));
}

/* Where entries go; the last one may be cut. */
struct listing {
	uint8_t *to;
	size_t size;
	size_t used;
};

static void list_bytes(struct listing *l, const void *bytes, size_t n)
{
	n = MIN(n, l->size - l->used);
	memcpy(l->to + l->used, bytes, n);
	l->used += n;
}

static uint8_t type_of(int dir, const struct dirent64 *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return wasi_filetype_of((uint32_t)DTTOIF(entry->d_type));
	if (fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return WASI_FILETYPE_UNKNOWN;
	return wasi_filetype_of(st.st_mode);
}

static void list_entry(struct listing *l, int dir, const struct dirent64 *entry)
{
	size_t n = strlen(entry->d_name);
	struct wasi_dirent out = {.next = (uint64_t)entry->d_off,
				  .ino = entry->d_ino,
				  .namlen = (uint32_t)n,
				  .type = type_of(dir, entry)};

	list_bytes(l, &out, sizeof out);
	list_bytes(l, entry->d_name, n);
}

/* Fills the listing from the directory's position on. Returns 0 or an errno of preview 1. */
static uint32_t list(struct listing *l, int dir)
{
	char *chunk = malloc(CHUNK_BYTES);
	uint32_t error;
	ssize_t n = 0;

	if (chunk == NULL)
		return WASI_ENOMEM;
	while (l->used < l->size && (n = getdents64(dir, chunk, CHUNK_BYTES)) > 0) {
		for (ssize_t at = 0; at < n && l->used < l->size;) {
			/* The kernel aligns entries to 8 bytes, malloc the first one. */
			const struct dirent64 *entry = (const void *)(chunk + at);

			list_entry(l, dir, entry);
			at += entry->d_reclen;
		}
	}
	/* A directory that has been removed is empty. */
	error = n < 0 && errno != ENOENT ? wasi_errno_of(errno) : WASI_ESUCCESS;
	free(chunk);
	return error;
}

static uint32_t open_list(struct wasi *w, struct descriptor *d)
{
	int code;

	if (!wasi_place_take(w))
		return WASI_ENFILE;
	d->list_fd = openat(d->file->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->list_fd >= 0)
		return WASI_ESUCCESS;
	code = errno;
	wasi_place_give(w);
	return wasi_errno_of(code);
}

/* The cookie of an entry is the kernel's own; 0 is the start. */
static uint32_t list_from(struct wasi *w, struct descriptor *d, uint64_t cookie)
{
	uint32_t error = d->list_fd < 0 ? open_list(w, d) : WASI_ESUCCESS;

	if (error != 0)
		return error;
	if (cookie > INT64_MAX || lseek(d->list_fd, (off_t)cookie, SEEK_SET) < 0)
		return WASI_EINVAL;
	return WASI_ESUCCESS;
}

uint32_t wasi_fn_fd_readdir(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct listing l = {.to = guest_at(m, arg32(a, 1), arg32(a, 2)), .size = arg32(a, 2)};
	struct descriptor *d;
	uint32_t error = wasi_need(w, arg32(a, 0), WASI_RIGHT_FD_READDIR, &d);

	if (error != 0)
		return error;
	if (l.to == NULL || guest_at(m, arg32(a, 4), sizeof(uint32_t)) == NULL)
		return WASI_EFAULT;
	error = list_from(w, d, a[3]);
	if (error == 0)
		error = list(&l, d->list_fd);
	return error != 0 ? error : guest_put_u32(m, arg32(a, 4), (uint32_t)l.used);
}
