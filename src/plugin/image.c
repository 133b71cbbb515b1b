#include "plugin/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

size_t image_page_bytes(void)
{
	static _Atomic size_t bytes;

	if (bytes == 0)
		bytes = (size_t)sysconf(_SC_PAGESIZE);
	return bytes;
}

static bool is_zero(const uint8_t *p, size_t n)
{
	return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/* Whether a page has to be stored. */
static bool counts(const uint8_t *base, const uint8_t *touched, size_t nth, size_t page)
{
	if (touched != NULL && (touched[nth / 8] >> nth % 8 & 1) == 0)
		return false;
	return !is_zero(base + nth * page, page);
}

static int write_all(int fd, const uint8_t *p, size_t n, size_t at)
{
	while (n > 0) {
		ssize_t r = pwrite(fd, p, n, (off_t)at);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? -errno : -EIO;
		p += r;
		at += (size_t)r;
		n -= (size_t)r;
	}
	return 0;
}

/* Runs of pages that are not zero. */
static int store(int fd, const uint8_t *base, size_t bytes, const uint8_t *touched)
{
	size_t page = image_page_bytes(), count = bytes / page;

	for (size_t from = 0; from < count; from++) {
		size_t to = from;
		int r;

		while (to < count && counts(base, touched, to, page))
			to++;
		if (to == from)
			continue;
		r = write_all(fd, base + from * page, (to - from) * page, from * page);
		if (r < 0)
			return r;
		from = to;
	}
	return 0;
}

static int fill(struct image *i, const uint8_t *base, const uint8_t *touched)
{
	void *view;
	int r;

	i->fd = memfd_create("weir-plugin", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (i->fd < 0 || ftruncate(i->fd, (off_t)i->bytes) < 0)
		return -errno;
	r = store(i->fd, base, i->bytes, touched);
	if (r < 0)
		return r;
	if (fcntl(i->fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return -errno;
	view = mmap(NULL, i->bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, i->fd, 0);
	if (view == MAP_FAILED)
		return -errno;
	i->view = view;
	return 0;
}

int image_create(struct image **image, const uint8_t *base, size_t bytes, const uint8_t *touched,
		 struct weir_error *error)
{
	struct image *i = calloc(1, sizeof *i);
	int r;

	*image = NULL;
	if (i == NULL)
		return error_set(error, -ENOMEM, "not enough memory");
	must(bytes % image_page_bytes() == 0);
	i->magic = IMAGE_MAGIC;
	i->fd = -1;
	i->bytes = bytes;
	r = bytes > 0 ? fill(i, base, touched) : 0;
	if (r < 0) {
		image_destroy(&i);
		return error_set(error, r, "an image of %zu bytes of memory cannot be made: %s",
				 bytes, strerrordesc_np(-r));
	}
	*image = i;
	return 0;
}

void image_destroy(struct image **image)
{
	struct image *i;

	if (*image == NULL)
		return;
	OBJ_TAKE(i, image, IMAGE_MAGIC);
	if (i->view != NULL)
		(void)munmap((void *)(uintptr_t)i->view, i->bytes);
	if (i->fd >= 0)
		(void)close(i->fd);
	i->magic = 0;
	free(i);
}

uint64_t image_stored_bytes(const struct image *i)
{
	struct stat s;

	OBJ_CHECK(i, IMAGE_MAGIC);
	return i->fd >= 0 && fstat(i->fd, &s) == 0 ? (uint64_t)s.st_blocks * 512 : 0;
}
