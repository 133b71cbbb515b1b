#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base.h"
#include "plugin/budget.h"
#include "plugin/wasi_state.h"

static const uint64_t directory_rights =
	WASI_RIGHT_FD_FDSTAT_SET_FLAGS | WASI_RIGHT_FD_SYNC | WASI_RIGHT_FD_DATASYNC |
	WASI_RIGHT_PATH_CREATE_DIRECTORY | WASI_RIGHT_PATH_CREATE_FILE |
	WASI_RIGHT_PATH_LINK_SOURCE | WASI_RIGHT_PATH_LINK_TARGET | WASI_RIGHT_PATH_OPEN |
	WASI_RIGHT_FD_READDIR | WASI_RIGHT_PATH_READLINK | WASI_RIGHT_PATH_RENAME_SOURCE |
	WASI_RIGHT_PATH_RENAME_TARGET | WASI_RIGHT_PATH_FILESTAT_GET |
	WASI_RIGHT_PATH_FILESTAT_SET_SIZE | WASI_RIGHT_PATH_FILESTAT_SET_TIMES |
	WASI_RIGHT_FD_FILESTAT_GET | WASI_RIGHT_FD_FILESTAT_SET_TIMES | WASI_RIGHT_PATH_SYMLINK |
	WASI_RIGHT_PATH_REMOVE_DIRECTORY | WASI_RIGHT_PATH_UNLINK_FILE;

static const uint64_t regular_rights =
	WASI_RIGHT_FD_DATASYNC | WASI_RIGHT_FD_READ | WASI_RIGHT_FD_SEEK |
	WASI_RIGHT_FD_FDSTAT_SET_FLAGS | WASI_RIGHT_FD_SYNC | WASI_RIGHT_FD_TELL |
	WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_ADVISE | WASI_RIGHT_FD_ALLOCATE |
	WASI_RIGHT_FD_FILESTAT_GET | WASI_RIGHT_FD_FILESTAT_SET_SIZE |
	WASI_RIGHT_FD_FILESTAT_SET_TIMES | WASI_RIGHT_POLL_FD_READWRITE;

uint32_t wasi_errno_of(int host_errno)
{
	switch (host_errno) {
	case 0:
		return WASI_ESUCCESS;
#define X(name) \
	case name: \
		return WASI_##name;
		WASI_ERRNOS(X)
#undef X
	default:
		return WASI_EIO;
	}
}

struct descriptor *wasi_descriptor(struct wasi *w, uint32_t fd)
{
	if (fd >= w->table_size || w->table[fd].kind == DESCRIPTOR_FREE)
		return NULL;
	return &w->table[fd];
}

/* Why a descriptor without the rights `missing` cannot do what needs them. */
static uint32_t refusal(const struct descriptor *d, uint64_t missing)
{
	const uint64_t directory_only = directory_rights & ~regular_rights;
	const uint64_t regular_only = regular_rights & ~directory_rights;

	if (d->kind != DESCRIPTOR_DIRECTORY && (missing & directory_only) != 0)
		return WASI_ENOTDIR;
	if (d->kind == DESCRIPTOR_DIRECTORY && (missing & WASI_RIGHT_FD_READ) != 0)
		return WASI_EISDIR;
	if (d->kind == DESCRIPTOR_DIRECTORY && (missing & regular_only) != 0)
		return WASI_EBADF;
	if (d->kind == DESCRIPTOR_INPUT || d->kind == DESCRIPTOR_OUTPUT) {
		if ((missing & (WASI_RIGHT_FD_SEEK | WASI_RIGHT_FD_TELL)) != 0)
			return WASI_ESPIPE;
		if ((missing & (WASI_RIGHT_FD_SYNC | WASI_RIGHT_FD_DATASYNC)) != 0)
			return WASI_EINVAL;
		return WASI_EBADF;
	}
	if ((missing & (WASI_RIGHT_FD_READ | WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_ALLOCATE |
			WASI_RIGHT_FD_FILESTAT_SET_SIZE)) != 0)
		return WASI_EBADF;
	return WASI_ENOTCAPABLE;
}

uint32_t wasi_need(struct wasi *w, uint32_t fd, uint64_t rights, struct descriptor **out)
{
	struct descriptor *d = wasi_descriptor(w, fd);

	if (d == NULL)
		return WASI_EBADF;
	if ((rights & ~d->rights) != 0)
		return refusal(d, rights & ~d->rights);
	*out = d;
	return WASI_ESUCCESS;
}

uint32_t wasi_need_change(struct wasi *w, uint32_t fd, uint64_t rights, struct descriptor **out)
{
	struct descriptor *d = wasi_descriptor(w, fd);

	if (d != NULL && d->file != NULL && d->file->read_only)
		return WASI_EROFS;
	return wasi_need(w, fd, rights, out);
}

struct descriptor *wasi_descriptor_new(struct wasi *w, uint32_t *fd, uint32_t *error)
{
	struct descriptor *table;
	size_t at = 0, size;

	*error = WASI_EMFILE;
	if (w->opened >= w->settings->options.files_max) {
		if (w->settings->options.files != NULL)
			budget_note_refusal(w->settings->options.files);
		return NULL;
	}
	while (at < w->table_size && w->table[at].kind != DESCRIPTOR_FREE)
		at++;
	if (at == w->table_size) {
		size = w->table_size + MAX(w->table_size / 2, (size_t)4);
		table = realloc(w->table, size * sizeof *table);
		if (table == NULL) {
			*error = WASI_ENOMEM;
			return NULL;
		}
		memset(table + w->table_size, 0, (size - w->table_size) * sizeof *table);
		w->table = table;
		w->table_size = size;
	}
	*error = WASI_ESUCCESS;
	*fd = (uint32_t)at;
	return &w->table[at];
}

bool wasi_place_take(struct wasi *w)
{
	struct budget *files = w->settings->options.files;

	if (files == NULL || budget_take(files, 1))
		return true;
	budget_note_refusal(files);
	return false;
}

void wasi_place_give(struct wasi *w)
{
	if (w->settings->options.files != NULL)
		budget_give(w->settings->options.files, 1);
}

struct wasi_file *wasi_file_new(struct wasi *w, int fd, bool read_only)
{
	struct wasi_file *file = malloc(sizeof *file);

	must(fd >= 0);
	if (file == NULL) {
		close(fd);
		wasi_place_give(w);
		return NULL;
	}
	file->files = w->settings->options.files;
	atomic_init(&file->refs, 1);
	file->fd = fd;
	file->read_only = read_only;
	return file;
}

static void file_release(struct wasi_file *file)
{
	if (atomic_fetch_sub_explicit(&file->refs, 1, memory_order_acq_rel) != 1)
		return;
	close(file->fd);
	if (file->files != NULL)
		budget_give(file->files, 1);
	free(file);
}

void wasi_descriptor_close(struct wasi *w, struct descriptor *d)
{
	if (d->kind == DESCRIPTOR_FREE)
		return;
	if (d->list_fd >= 0) {
		close(d->list_fd);
		wasi_place_give(w);
	}
	if (d->file != NULL)
		file_release(d->file);
	if (d->opened) {
		must(w->opened > 0);
		w->opened--;
	}
	*d = (struct descriptor){.kind = DESCRIPTOR_FREE, .list_fd = -1};
}

void wasi_descriptor_set(struct descriptor *d, enum descriptor_kind kind, struct wasi_file *file)
{
	must(d->kind == DESCRIPTOR_FREE);
	must(kind == DESCRIPTOR_DIRECTORY || kind == DESCRIPTOR_REGULAR);
	*d = (struct descriptor){.kind = kind, .list_fd = -1, .file = file};
	d->rights = kind == DESCRIPTOR_DIRECTORY ? directory_rights : regular_rights;
	if (kind == DESCRIPTOR_DIRECTORY)
		d->inheriting = directory_rights | regular_rights;
}
