#include "http/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base.h"

void spool_init(struct spool *s)
{
	*s = (struct spool){.file = -1};
}

void spool_free(struct spool *s)
{
	spool_clear(s);
	str_free(&s->memory);
}

void spool_clear(struct spool *s)
{
	str_clear(&s->memory);
	if (s->file >= 0)
		(void)close(s->file);
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
	str_free(&s->memory);
	return 0;
}

int spool_add(struct spool *s, slice bytes)
{
	int r = 0;

	if (s->file < 0 && s->n + bytes.n > SPOOL_MEMORY_BYTES)
		r = move_to_file(s);
	if (r < 0)
		return r;
	if (s->file >= 0) {
		r = write_all(s->file, bytes, s->n);
	} else {
		str_add(&s->memory, bytes);
		r = s->memory.failed ? -ENOMEM : 0;
	}
	if (r == 0)
		s->n += bytes.n;
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
