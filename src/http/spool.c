#include "http/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base.h"

struct spool_counters spool_counters;

static _Atomic uint64_t bytes_max = UINT64_MAX;

void spool_set_limit(uint64_t bytes)
{
	atomic_store(&bytes_max, bytes);
}

/* Many threads do it, so that a load and a store are not enough. */
static void count(_Atomic uint64_t *counter, uint64_t n)
{
	(void)atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static bool take_room(uint64_t n)
{
	uint64_t before = atomic_fetch_add_explicit(&spool_counters.bytes, n, memory_order_relaxed);

	if (before + n <= atomic_load_explicit(&bytes_max, memory_order_relaxed))
		return true;
	count(&spool_counters.bytes, 0 - n);
	count(&spool_counters.refused, 1);
	return false;
}

void spool_init(struct spool *s)
{
	spool_init_within(s, SPOOL_MEMORY_BYTES);
}

void spool_init_within(struct spool *s, size_t memory_max)
{
	*s = (struct spool){.file = -1, .memory_max = memory_max};
}

void spool_free(struct spool *s)
{
	spool_clear(s);
	str_free(&s->memory);
}

void spool_clear(struct spool *s)
{
	str_clear(&s->memory);
	if (s->file >= 0) {
		(void)close(s->file);
		count(&spool_counters.files, UINT64_MAX);
	}
	if (s->n > 0)
		count(&spool_counters.bytes, 0 - s->n);
	s->file = -1;
	s->n = 0;
}

/* A file without a name, so that nothing is left behind whatever happens. */
static int open_unnamed(void)
{
	const char *directory = getenv("TMPDIR");
	char name[4096];
	int fd, n;

	if (directory == NULL || *directory == '\0')
		directory = "/tmp";
	fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return -errno;
	/* Older overlay file systems, as containers have them, know no O_TMPFILE. */
	n = snprintf(name, sizeof name, "%s/weir-XXXXXX", directory);
	if (n < 0 || (size_t)n >= sizeof name)
		return -ENAMETOOLONG;
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	(void)unlink(name);
	return fd;
}

static int write_all(int fd, slice bytes, uint64_t offset)
{
	while (bytes.n > 0) {
		ssize_t n = pwrite(fd, bytes.p, bytes.n, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		bytes = slice_from_at(bytes, (size_t)n);
		offset += (uint64_t)n;
	}
	return 0;
}

static int move_to_file(struct spool *s)
{
	int fd = open_unnamed(), r;

	if (fd < 0)
		return fd;
	r = write_all(fd, str_slice(&s->memory), 0);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	s->file = fd;
	count(&spool_counters.files, 1);
	str_free(&s->memory);
	return 0;
}

static int append(struct spool *s, slice bytes)
{
	int r = 0;

	if (s->file < 0 && s->n + bytes.n > s->memory_max)
		r = move_to_file(s);
	if (r < 0)
		return r;
	if (s->file >= 0)
		return write_all(s->file, bytes, s->n);
	str_add(&s->memory, bytes);
	return s->memory.failed ? -ENOMEM : 0;
}

int spool_add(struct spool *s, slice bytes)
{
	int r;

	if (!take_room(bytes.n))
		return -EDQUOT;
	r = append(s, bytes);
	if (r == 0)
		s->n += bytes.n;
	else
		count(&spool_counters.bytes, 0 - (uint64_t)bytes.n);
	return r;
}

ssize_t spool_read(const struct spool *s, uint64_t offset, void *to, size_t n)
{
	ssize_t got;

	if (offset >= s->n)
		return 0;
	n = MIN(n, s->n - offset);
	if (s->file < 0) {
		memcpy(to, s->memory.p + offset, n);
		return (ssize_t)n;
	}
	do {
		got = pread(s->file, to, n, (off_t)offset);
	} while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

slice spool_memory(const struct spool *s)
{
	if (s->file >= 0)
		return (slice){NULL, 0};
	return s->memory.p != NULL ? str_slice(&s->memory) : SLICE("");
}
