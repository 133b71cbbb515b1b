#include "core/log_backups.h"

#include <dirent.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/base.h"

#define STAMP_BYTES (sizeof "2006-01-02T15-04-05.000" - 1)
#define NS_PER_S UINT64_C(1000000000)

/* "/var/log/", "weir" and ".log" of one path. */
struct parts {
	slice folder, stem, extension;
};

static struct parts take_apart(const char *path)
{
	slice whole = slice_from(path);
	size_t slash = whole.n, dot;

	while (slash > 0 && path[slash - 1] != '/')
		slash--;
	for (dot = whole.n; dot > slash && path[dot - 1] != '.';)
		dot--;
	dot = dot > slash ? dot - 1 : whole.n;
	return (struct parts){slice_first(whole, slash), slice_of(path + slash, dot - slash),
			      slice_from_at(whole, dot)};
}

/* In UTC, so that names sort by time. */
static void add_stamp(struct str *s, uint64_t wall_ns)
{
	time_t second = (time_t)(wall_ns / NS_PER_S);
	char text[32] = "";
	struct tm t;

	if (gmtime_r(&second, &t) != NULL)
		(void)strftime(text, sizeof text, "%Y-%m-%dT%H-%M-%S", &t);
	str_format(s, "%s.%03u", text, (unsigned)(wall_ns / 1000000 % 1000));
}

void log_backup_name(struct str *name, const char *path, uint64_t wall_ns)
{
	struct parts p = take_apart(path);

	str_add(name, p.folder);
	str_add(name, p.stem);
	str_add_char(name, '-');
	add_stamp(name, wall_ns);
	str_add(name, p.extension);
}

static bool is_stamp(slice s)
{
	static const char form[] = "dddd-dd-ddTdd-dd-dd.ddd";

	for (size_t i = 0; i < s.n; i++) {
		if (form[i] == 'd' ? !ascii_digit(s.p[i]) : s.p[i] != form[i])
			return false;
	}
	return s.n == STAMP_BYTES;
}

/* The time in the name of a backup, also of one that was compressed; empty for other files. */
static slice stamp_of(const struct parts *p, slice name)
{
	slice stamp;

	if (slice_ends(name, SLICE(".gz")))
		name.n -= 3;
	if (!slice_starts(name, p->stem) || !slice_ends(name, p->extension) ||
	    name.n != p->stem.n + 1 + STAMP_BYTES + p->extension.n || name.p[p->stem.n] != '-')
		return (slice){NULL, 0};
	stamp = slice_of(name.p + p->stem.n + 1, STAMP_BYTES);
	return is_stamp(stamp) ? stamp : (slice){NULL, 0};
}

#define BACKUPS_MAX 1024

static int newest_first(const void *a, const void *b)
{
	return strcmp(*(char *const *)b, *(char *const *)a);
}

/* Names to be freed. */
static size_t find(const struct parts *p, DIR *d, char *names[BACKUPS_MAX])
{
	const struct dirent *e;
	size_t count = 0;

	while (count < BACKUPS_MAX && (e = readdir(d)) != NULL) {
		slice name = slice_from(e->d_name);

		if (stamp_of(p, name).n > 0 && (names[count] = slice_dup(name)) != NULL)
			count++;
	}
	qsort(names, count, sizeof *names, newest_first);
	return count;
}

static void prune(const struct parts *p, DIR *d, unsigned max, slice oldest)
{
	char *names[BACKUPS_MAX];
	size_t count = find(p, d, names);

	for (size_t i = 0; i < count; i++) {
		slice stamp = stamp_of(p, slice_from(names[i]));

		if ((max > 0 && i >= max) || (oldest.n > 0 && slice_compare(stamp, oldest) < 0))
			(void)unlinkat(dirfd(d), names[i], 0);
		free(names[i]);
	}
}

void log_backups_prune(const char *path, unsigned max, uint64_t age_s, uint64_t wall_ns)
{
	struct parts p = take_apart(path);
	struct str folder = {0}, oldest = {0};
	DIR *d = NULL;

	str_add(&folder, p.folder.n > 0 ? p.folder : SLICE("."));
	if (age_s > 0 && age_s < wall_ns / NS_PER_S)
		add_stamp(&oldest, wall_ns - age_s * NS_PER_S);
	if (!folder.failed && !oldest.failed && (max > 0 || oldest.n > 0))
		d = opendir(folder.p);
	if (d != NULL) {
		prune(&p, d, max, str_slice(&oldest));
		(void)closedir(d);
	}
	str_free(&folder);
	str_free(&oldest);
}
