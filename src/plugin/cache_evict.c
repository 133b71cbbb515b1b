#include "plugin/cache_evict.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base.h"
#include "core/slice.h"

/* No writer takes so long. */
#define TEMPORARY_AGE_S 3600

struct entry {
	char name[128];
	uint64_t bytes;
	struct timespec used;
};

struct listing {
	struct entry *entries;
	size_t count, room;
	uint64_t bytes;
};

static bool add(struct listing *l, slice name, const struct stat *s)
{
	struct entry *e;

	if (l->count == l->room) {
		size_t room = l->room > 0 ? 2 * l->room : 64;

		e = realloc(l->entries, room * sizeof *e);
		if (e == NULL)
			return false;
		l->entries = e;
		l->room = room;
	}
	e = &l->entries[l->count++];
	memcpy(e->name, name.p, name.n);
	e->name[name.n] = '\0';
	e->bytes = (uint64_t)s->st_size;
	e->used = s->st_mtim;
	l->bytes += e->bytes;
	return true;
}

static void look_at(struct listing *l, int directory, const char *text)
{
	slice name = slice_from(text);
	bool temporary = slice_starts(name, SLICE(CACHE_TEMPORARY));
	struct stat s;

	if (name.n >= sizeof l->entries->name ||
	    (!temporary && !slice_ends(name, SLICE(CACHE_SUFFIX))) ||
	    fstatat(directory, text, &s, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(s.st_mode))
		return;
	if (!temporary)
		(void)add(l, name, &s);
	else if (s.st_mtim.tv_sec + TEMPORARY_AGE_S < time(NULL))
		(void)unlinkat(directory, text, 0);
}

static void list(struct listing *l, int directory)
{
	int again = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = again >= 0 ? fdopendir(again) : NULL;
	const struct dirent *e;

	if (d == NULL) {
		if (again >= 0)
			(void)close(again);
		return;
	}
	while ((e = readdir(d)) != NULL)
		look_at(l, directory, e->d_name);
	(void)closedir(d);
}

static int by_use(const void *left, const void *right)
{
	const struct timespec *a = &((const struct entry *)left)->used;
	const struct timespec *b = &((const struct entry *)right)->used;

	if (a->tv_sec != b->tv_sec)
		return a->tv_sec < b->tv_sec ? -1 : 1;
	return a->tv_nsec < b->tv_nsec ? -1 : a->tv_nsec > b->tv_nsec;
}

uint64_t cache_evict(int directory, uint64_t bytes_max, const char *keep)
{
	struct listing l = {0};
	uint64_t removed = 0;

	list(&l, directory);
	if (l.bytes > bytes_max)
		qsort(l.entries, l.count, sizeof *l.entries, by_use);
	for (size_t i = 0; i < l.count && l.bytes > bytes_max; i++) {
		if (strcmp(l.entries[i].name, keep) == 0)
			continue;
		l.bytes -= l.entries[i].bytes;
		removed += unlinkat(directory, l.entries[i].name, 0) == 0;
	}
	free(l.entries);
	return removed;
}
