#include "plugin/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* Linux 6.7's <linux/fs.h>, which older systems lack. */
struct scan_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct scan_arguments {
	uint64_t size;
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end;
	uint64_t vec;
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t category_inverted;
	uint64_t category_mask;
	uint64_t category_anyof_mask;
	uint64_t return_mask;
};

#define SCAN_IOCTL _IOWR('f', 16, struct scan_arguments)
#define SCAN_FILE ((uint64_t)1 << 2)
#define SCAN_PRESENT ((uint64_t)1 << 3)
#define SCAN_SWAPPED ((uint64_t)1 << 4)
#define SCAN_ZERO_PAGE ((uint64_t)1 << 5)

/* Documentation/admin-guide/mm/pagemap.rst */
#define ENTRY_PRESENT ((uint64_t)1 << 63)
#define ENTRY_SWAPPED ((uint64_t)1 << 62)
#define ENTRY_FILE ((uint64_t)1 << 61)

#define REGIONS_PER_SCAN 256
#define ENTRIES_PER_READ 1024

/* What is done with each run of private pages. */
struct visit {
	const uint8_t *from; /* the image; NULL: they are only counted */
	uint8_t *base;
	size_t size_bytes;
	size_t found_bytes;
	struct restore_memo *memo; /* NULL: they are not noted */
};

static void note_run(struct restore_memo *memo, size_t offset, size_t n)
{
	size_t page = image_page_bytes();

	if (memo->run_count < RESTORE_RUNS_MAX)
		memo->runs[memo->run_count++] =
			(struct restore_run){(uint32_t)(offset / page), (uint32_t)(n / page)};
	else
		memo->known = false;
}

static void visit(struct visit *v, size_t offset, size_t n)
{
	if (v->from != NULL)
		memcpy(v->base + offset, v->from + offset, n);
	v->found_bytes += n;
	if (v->memo != NULL)
		note_run(v->memo, offset, n);
}

static int walk_by_scan(int fd, struct visit *v)
{
	uintptr_t base = (uintptr_t)v->base;
	struct scan_region regions[REGIONS_PER_SCAN];
	struct scan_arguments a = {
		.size = sizeof a,
		.start = base,
		.end = base + v->size_bytes,
		.vec = (uintptr_t)regions,
		.vec_len = REGIONS_PER_SCAN,
		.category_inverted = SCAN_FILE | SCAN_ZERO_PAGE,
		.category_mask = SCAN_FILE | SCAN_ZERO_PAGE,
		.category_anyof_mask = SCAN_PRESENT | SCAN_SWAPPED,
		.return_mask = SCAN_PRESENT,
	};

	while (a.start < a.end) {
		int n = ioctl(fd, SCAN_IOCTL, &a);

		if (n < 0)
			return -errno;
		for (int i = 0; i < n; i++)
			visit(v, (size_t)(regions[i].start - base),
			      (size_t)(regions[i].end - regions[i].start));
		if (a.walk_end <= a.start)
			return -EIO;
		a.start = a.walk_end;
	}
	return 0;
}

static bool is_private(uint64_t entry)
{
	return (entry & (ENTRY_PRESENT | ENTRY_SWAPPED)) != 0 && (entry & ENTRY_FILE) == 0;
}

static void visit_entries(struct visit *v, size_t first, const uint64_t *entries, size_t count)
{
	size_t page = image_page_bytes();

	for (size_t from = 0; from < count; from++) {
		size_t to = from;

		while (to < count && is_private(entries[to]))
			to++;
		if (to == from)
			continue;
		visit(v, (first + from) * page, (to - from) * page);
		from = to;
	}
}

static int walk_by_entries(int fd, struct visit *v)
{
	uint64_t entries[ENTRIES_PER_READ];
	size_t page = image_page_bytes(), count = v->size_bytes / page;

	for (size_t at = 0; at < count;) {
		size_t n = MIN(count - at, (size_t)ENTRIES_PER_READ);
		ssize_t got = pread(fd, entries, n * sizeof *entries,
				    (off_t)(((uintptr_t)v->base / page + at) * sizeof *entries));

		if (got < (ssize_t)sizeof *entries)
			return got < 0 ? -errno : -EIO;
		n = (size_t)got / sizeof *entries;
		visit_entries(v, at, entries, n);
		at += n;
	}
	return 0;
}

static int64_t walk(const struct restorer *r, struct visit *v)
{
	int e;

	if (v->size_bytes == 0)
		return 0;
	e = r->method == WEIR_RESTORE_SCAN ? walk_by_scan(r->pagemap_fd, v)
					   : walk_by_entries(r->pagemap_fd, v);
	return e < 0 ? e : (int64_t)v->found_bytes;
}

uint64_t restore_thread_faults(void)
{
	struct rusage usage;

	must(getrusage(RUSAGE_THREAD, &usage) == 0);
	return (uint64_t)usage.ru_minflt + (uint64_t)usage.ru_majflt;
}

static void visit_known(struct visit *v, const struct restore_memo *memo)
{
	size_t page = image_page_bytes();

	for (uint32_t i = 0; i < memo->run_count; i++)
		visit(v, memo->runs[i].first * page, memo->runs[i].count * page);
}

static int64_t copy_back(const struct restorer *r, struct visit *v, struct restore_memo *memo)
{
	uint64_t faults = restore_thread_faults();
	int64_t bytes;

	if (memo->known && memo->faults == faults) {
		visit_known(v, memo);
		return (int64_t)v->found_bytes;
	}
	*memo = (struct restore_memo){.faults = faults, .known = true};
	v->memo = memo;
	bytes = walk(r, v);
	memo->known = memo->known && bytes >= 0;
	return bytes;
}

int64_t restore_memory(const struct restorer *r, const struct image *image, uint8_t *base,
		       struct restore_memo *memo)
{
	struct visit v = {.base = base};

	OBJ_CHECK(image, IMAGE_MAGIC);
	v.from = image->view;
	v.size_bytes = image->bytes;
	if (r->method != WEIR_RESTORE_DROP)
		return copy_back(r, &v, memo);
	memo->known = false;
	if (image->bytes > 0 && madvise(base, image->bytes, MADV_DONTNEED) < 0)
		return -errno;
	return 0;
}

int64_t restore_private_bytes(const struct restorer *r, const uint8_t *base, size_t bytes)
{
	struct visit v = {.base = (uint8_t *)(uintptr_t)base, .size_bytes = bytes};

	return r->method == WEIR_RESTORE_DROP ? -ENOTSUP : walk(r, &v);
}

bool restore_verify(const struct image *image, const uint8_t *base)
{
	OBJ_CHECK(image, IMAGE_MAGIC);
	return image->bytes == 0 || memcmp(base, image->view, image->bytes) == 0;
}

/* One page of three is changed: that one must be found, and no other. */
static int try_on(const struct restorer *r, const struct image *image, uint8_t *base)
{
	struct restore_memo memo = {0};
	uint64_t faults = restore_thread_faults();
	size_t page = image_page_bytes();
	int64_t bytes;

	base[page + 1]++;
	/* What has changed could not be told where faults are not counted. */
	if (r->method != WEIR_RESTORE_DROP && restore_thread_faults() == faults)
		return -ENOTSUP;
	bytes = restore_memory(r, image, base, &memo);
	if (bytes < 0)
		return (int)bytes;
	if (!restore_verify(image, base) ||
	    (r->method != WEIR_RESTORE_DROP && bytes != (int64_t)page))
		return -ENOTSUP;
	return 0;
}

static int try_method(const struct restorer *r, const struct image *image)
{
	void *base = mmap(NULL, image->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, image->fd, 0);
	int e;

	if (base == MAP_FAILED)
		return -errno;
	e = try_on(r, image, base);
	(void)munmap(base, image->bytes);
	return e;
}

/* Leaves the method that works in `r`. */
static int choose(struct restorer *r, enum weir_restore wanted, const struct image *image)
{
	static const enum weir_restore order[] = {WEIR_RESTORE_SCAN, WEIR_RESTORE_PAGEMAP,
						  WEIR_RESTORE_DROP};
	int e = -ENOTSUP;

	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		if (wanted != WEIR_RESTORE_AUTO && wanted != order[i])
			continue;
		r->method = order[i];
		e = r->method != WEIR_RESTORE_DROP && r->pagemap_fd < 0 ? -ENOTSUP
									: try_method(r, image);
		if (e == 0)
			return 0;
	}
	return e;
}

int restorer_open(struct restorer *r, enum weir_restore method, struct weir_error *error)
{
	size_t page = image_page_bytes();
	uint8_t *sample = calloc(3, page);
	struct image *image = NULL;
	int e;

	*r = (struct restorer){.pagemap_fd = -1};
	if (sample == NULL)
		return error_set(error, -ENOMEM, "not enough memory");
	memset(sample, 7, page + 1);
	e = image_create(&image, sample, 3 * page, NULL, error);
	free(sample);
	if (e < 0)
		return e;
	r->pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	e = choose(r, method, image);
	image_destroy(&image);
	if (e < 0) {
		restorer_close(r);
		return error_set(error, e,
				 "memory of plugins cannot be put back by \"%s\" here: %s",
				 weir_restore_text(method), strerrordesc_np(-e));
	}
	return 0;
}

void restorer_close(struct restorer *r)
{
	if (r->pagemap_fd >= 0)
		(void)close(r->pagemap_fd);
	r->pagemap_fd = -1;
}
