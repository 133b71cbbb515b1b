#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base.h"
#include "plugin/wasi_state.h"

/* How many buffers go to the kernel at once: guests run on small stacks. */
#define BATCH 16

static void hand_out(struct wasi *w, int stream, slice line)
{
	if (w->settings->options.output != NULL)
		w->settings->options.output(w->output_ctx, stream, line);
}

static slice without_cr(slice line)
{
	return line.n > 0 && line.p[line.n - 1] == '\r' ? slice_first(line, line.n - 1) : line;
}

/* Adds to a begun line what fits by the caller's care. False if memory is short. */
static bool line_add(struct wasi *w, struct wasi_line *line, slice part)
{
	if (line->bytes == NULL && part.n > 0)
		line->bytes = malloc(w->settings->options.line_max_bytes);
	if (line->bytes == NULL && part.n > 0)
		return false;
	if (part.n > 0)
		memcpy(line->bytes + line->used, part.p, part.n);
	line->used += part.n;
	return true;
}

/* Hands out what has been begun, followed by `part`. */
static void line_finish(struct wasi *w, int stream, slice part, bool ended)
{
	struct wasi_line *line = &w->lines[stream - 1];

	if (line->used > 0) {
		/* Memory is there: the line has a beginning. */
		must(line_add(w, line, part));
		part = slice_of(line->bytes, line->used);
		line->used = 0;
	}
	hand_out(w, stream, ended ? without_cr(part) : part);
}

static void line_part(struct wasi *w, int stream, slice part, bool ended)
{
	const size_t max = w->settings->options.line_max_bytes;
	struct wasi_line *line = &w->lines[stream - 1];

	while (part.n > max - line->used) {
		size_t n = max - line->used;

		line_finish(w, stream, slice_first(part, n), false);
		part = slice_from_at(part, n);
	}
	if (ended)
		line_finish(w, stream, part, true);
	else if (!line_add(w, line, part))
		hand_out(w, stream, part);
}

void wasi_output(struct wasi *w, uint8_t stream, slice bytes)
{
	must(stream == 1 || stream == 2);
	while (bytes.n > 0) {
		size_t n = slice_find(bytes, '\n');
		bool ended = n < bytes.n;

		line_part(w, stream, slice_first(bytes, n), ended);
		bytes = slice_from_at(bytes, ended ? n + 1 : n);
	}
}

void wasi_flush(struct wasi *w)
{
	OBJ_CHECK(w, WASI_MAGIC);
	for (int stream = 1; stream <= 2; stream++)
		if (w->lines[stream - 1].used > 0)
			line_finish(w, stream, SLICE(""), false);
}

/* One call's list of buffers. */
struct buffers {
	struct guest_memory m;
	uint32_t address;
	uint32_t count;
	uint32_t next;
	size_t budget; /* bytes that may still be moved */
};

static uint32_t buffer_at(const struct buffers *b, uint32_t nth, struct iovec *v)
{
	struct wasi_iovec iovec;
	const void *at = guest_at(b->m, b->address, (uint64_t)b->count * sizeof iovec);

	if (at == NULL)
		return WASI_EFAULT;
	memcpy(&iovec, (const uint8_t *)at + (size_t)nth * sizeof iovec, sizeof iovec);
	v->iov_base = guest_at(b->m, iovec.buf, iovec.buf_len);
	v->iov_len = iovec.buf_len;
	return v->iov_base == NULL ? WASI_EFAULT : WASI_ESUCCESS;
}

/* Checks the whole list, and where the number of bytes goes, before anything moves. */
static uint32_t buffers_take(struct wasi *w, struct guest_memory m, const uint64_t *a,
			     uint32_t result_address, struct buffers *b)
{
	struct iovec v;

	*b = (struct buffers){.m = m,
			      .address = arg32(a, 1),
			      .count = arg32(a, 2),
			      .budget = w->settings->options.transfer_max_bytes};
	if (guest_at(m, result_address, sizeof(uint32_t)) == NULL)
		return WASI_EFAULT;
	if (guest_at(m, b->address, (uint64_t)b->count * sizeof(struct wasi_iovec)) == NULL)
		return WASI_EFAULT;
	if (b->count > WASI_IOVECS_MAX)
		return WASI_EINVAL;
	for (uint32_t i = 0; i < b->count; i++)
		if (buffer_at(b, i, &v) != 0)
			return WASI_EFAULT;
	return WASI_ESUCCESS;
}

/*
 * Gathers the next buffers, checked again because reading may have changed the list. Returns how
 * many; 0 at the end.
 */
static int buffers_next(struct buffers *b, struct iovec v[BATCH], size_t *bytes)
{
	int n = 0;

	*bytes = 0;
	while (b->next < b->count && b->budget > 0 && n < BATCH) {
		if (buffer_at(b, b->next, &v[n]) != 0)
			break;
		b->next++;
		if (v[n].iov_len == 0)
			continue;
		v[n].iov_len = MIN(v[n].iov_len, b->budget);
		b->budget -= v[n].iov_len;
		*bytes += v[n].iov_len;
		n++;
	}
	return n;
}

static ssize_t write_at_end(int fd, const struct iovec *v, int n)
{
	ssize_t r = pwritev2(fd, v, n, 0, RWF_APPEND);
	struct stat st;

	if (r >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL))
		return r;
	return fstat(fd, &st) != 0 ? -1 : pwritev(fd, v, n, st.st_size);
}

enum direction { READING, WRITING, APPENDING };

static ssize_t move_batch(int fd, enum direction direction, const struct iovec *v, int n,
			  uint64_t offset)
{
	ssize_t r;

	if (offset > INT64_MAX) {
		errno = EINVAL;
		return -1;
	}
	do {
		if (direction == READING)
			r = preadv(fd, v, n, (off_t)offset);
		else if (direction == WRITING)
			r = pwritev(fd, v, n, (off_t)offset);
		else
			r = write_at_end(fd, v, n);
	} while (r < 0 && errno == EINTR);
	return r;
}

/* Moves bytes of a regular file until a short transfer. Errors after the first byte get lost. */
static uint32_t move(int fd, enum direction direction, struct buffers *b, uint64_t offset,
		     size_t *moved)
{
	struct iovec v[BATCH];
	size_t bytes;
	int n;

	*moved = 0;
	while ((n = buffers_next(b, v, &bytes)) > 0) {
		ssize_t r = move_batch(fd, direction, v, n, offset + *moved);

		if (r < 0)
			return *moved > 0 ? WASI_ESUCCESS : wasi_errno_of(errno);
		*moved += (size_t)r;
		if ((size_t)r < bytes)
			break;
	}
	return WASI_ESUCCESS;
}

static uint32_t write_out(struct wasi *w, uint8_t stream, struct buffers *b, size_t *moved)
{
	struct iovec v[BATCH];
	size_t bytes;
	int n;

	*moved = 0;
	while ((n = buffers_next(b, v, &bytes)) > 0) {
		for (int i = 0; i < n; i++)
			wasi_output(w, stream, slice_of(v[i].iov_base, v[i].iov_len));
		*moved += bytes;
	}
	return WASI_ESUCCESS;
}

static uint32_t sync_as_flagged(const struct descriptor *d)
{
	if ((d->flags & WASI_FDFLAG_SYNC) != 0)
		return fsync(d->file->fd) != 0 ? wasi_errno_of(errno) : WASI_ESUCCESS;
	if ((d->flags & WASI_FDFLAG_DSYNC) != 0)
		return fdatasync(d->file->fd) != 0 ? wasi_errno_of(errno) : WASI_ESUCCESS;
	return WASI_ESUCCESS;
}

static uint64_t size_of(int fd, uint64_t otherwise)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? (uint64_t)st.st_size : otherwise;
}

uint32_t wasi_fn_fd_read(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *d;
	struct buffers b;
	size_t moved = 0;
	uint32_t error = wasi_need(w, arg32(a, 0), WASI_RIGHT_FD_READ, &d);

	if (error == 0)
		error = buffers_take(w, m, a, arg32(a, 3), &b);
	if (error == 0 && d->kind == DESCRIPTOR_REGULAR)
		error = move(d->file->fd, READING, &b, d->offset, &moved);
	if (error != 0)
		return error;
	d->offset += moved;
	return guest_put_u32(m, arg32(a, 3), (uint32_t)moved);
}

uint32_t wasi_fn_fd_pread(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *d;
	struct buffers b;
	size_t moved;
	uint32_t error = wasi_need(w, arg32(a, 0), WASI_RIGHT_FD_READ | WASI_RIGHT_FD_SEEK, &d);

	if (error == 0)
		error = buffers_take(w, m, a, arg32(a, 4), &b);
	if (error == 0)
		error = move(d->file->fd, READING, &b, a[3], &moved);
	return error != 0 ? error : guest_put_u32(m, arg32(a, 4), (uint32_t)moved);
}

/* Writes to a regular file where its offset or its flags say. */
static uint32_t write_on(struct descriptor *d, struct buffers *b, size_t *moved)
{
	bool append = (d->flags & WASI_FDFLAG_APPEND) != 0;
	uint32_t error = move(d->file->fd, append ? APPENDING : WRITING, b, d->offset, moved);

	if (error != 0 || *moved == 0)
		return error;
	d->offset = append ? size_of(d->file->fd, d->offset + *moved) : d->offset + *moved;
	return sync_as_flagged(d);
}

uint32_t wasi_fn_fd_write(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *d;
	struct buffers b;
	size_t moved;
	uint32_t error = wasi_need_change(w, arg32(a, 0), WASI_RIGHT_FD_WRITE, &d);

	if (error == 0)
		error = buffers_take(w, m, a, arg32(a, 3), &b);
	if (error != 0)
		return error;
	if (d->kind == DESCRIPTOR_OUTPUT)
		error = write_out(w, d->stream, &b, &moved);
	else
		error = write_on(d, &b, &moved);
	return error != 0 ? error : guest_put_u32(m, arg32(a, 3), (uint32_t)moved);
}

uint32_t wasi_fn_fd_pwrite(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	struct descriptor *d;
	struct buffers b;
	size_t moved;
	uint32_t error =
		wasi_need_change(w, arg32(a, 0), WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_SEEK, &d);

	if (error == 0)
		error = buffers_take(w, m, a, arg32(a, 4), &b);
	if (error == 0)
		error = move(d->file->fd, WRITING, &b, a[3], &moved);
	if (error == 0 && moved > 0)
		error = sync_as_flagged(d);
	return error != 0 ? error : guest_put_u32(m, arg32(a, 4), (uint32_t)moved);
}
