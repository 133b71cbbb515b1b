#include "core/cgroup.h"

#include <stdio.h>
#include <string.h>

#include "core/base.h"
#include "core/slice.h"

const struct cgroup_files cgroup_system = {"/proc/self/cgroup", "/sys/fs/cgroup"};

#define PATH_BYTES 1024
#define LINE_BYTES 768

/** One kind of limit. */
struct limit {
	const char *controller; /* of version 1, whose groups are below a folder of that name */
	/* What the group in that folder is allowed; UINT64_MAX: anything. */
	uint64_t (*read_v2)(const char *folder);
	uint64_t (*read_v1)(const char *folder);
};

/* The first line of a file of the group, without its end; empty if there is none. */
static void read_line(const char *folder, const char *name, char line[64])
{
	char path[PATH_BYTES + 32];
	FILE *f;

	line[0] = '\0';
	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	f = fopen(path, "re");
	if (f == NULL)
		return;
	if (fgets(line, 64, f) == NULL)
		line[0] = '\0';
	(void)fclose(f);
	line[strcspn(line, "\n")] = '\0';
}

/* "max", "-1" and nothing are no numbers. */
static uint64_t read_number(const char *folder, const char *name)
{
	char line[64];
	uint64_t n;

	read_line(folder, name, line);
	return slice_to_u64(slice_from(line), &n) ? n : UINT64_MAX;
}

static uint64_t memory_v2(const char *folder)
{
	return read_number(folder, "memory.max");
}

static uint64_t memory_v1(const char *folder)
{
	return read_number(folder, "memory.limit_in_bytes");
}

static uint64_t used_v2(const char *folder)
{
	return read_number(folder, "memory.current");
}

static uint64_t used_v1(const char *folder)
{
	return read_number(folder, "memory.usage_in_bytes");
}

static uint64_t rounded_up(uint64_t quota, uint64_t period)
{
	if (quota == UINT64_MAX || period == 0 || period == UINT64_MAX)
		return UINT64_MAX;
	return quota / period + (quota % period != 0);
}

/* "max 100000" or "150000 100000": microseconds per period. */
static uint64_t cpus_v2(const char *folder)
{
	uint64_t quota = UINT64_MAX, period = 0;
	char line[64];
	slice rest, part;

	read_line(folder, "cpu.max", line);
	rest = slice_from(line);
	if (!slice_next(&rest, ' ', &part) || !slice_to_u64(part, &quota) ||
	    !slice_next(&rest, ' ', &part) || !slice_to_u64(part, &period))
		return UINT64_MAX;
	return rounded_up(quota, period);
}

static uint64_t cpus_v1(const char *folder)
{
	return rounded_up(read_number(folder, "cpu.cfs_quota_us"),
			  read_number(folder, "cpu.cfs_period_us"));
}

/* Of the group at `path`, which is cut, and of those above it. In a container it may be that only
 * the uppermost one is to be seen. */
static uint64_t lowest(const char *mount, char *path, uint64_t (*read)(const char *folder))
{
	uint64_t found = UINT64_MAX;

	for (;;) {
		char folder[PATH_BYTES], *last = strrchr(path, '/');
		int n = snprintf(folder, sizeof folder, "%s%s", mount, path);

		if (n > 0 && (size_t)n < sizeof folder) {
			uint64_t here = read(folder);

			found = MIN(found, here);
		}
		if (last == NULL)
			return found;
		*last = '\0';
	}
}

static bool has_controller(char *list, const char *wanted)
{
	slice rest = slice_from(list), part;

	while (slice_next(&rest, ',', &part)) {
		if (slice_equal(part, slice_from(wanted)))
			return true;
	}
	return false;
}

/* "number:controllers:path", without controllers for version 2. */
static uint64_t limit_of_line(const struct cgroup_files *files, char *line,
			      const struct limit *limit)
{
	char mount[256], *list = strchr(line, ':');
	char *path = list != NULL ? strchr(list + 1, ':') : NULL;

	if (path == NULL)
		return UINT64_MAX;
	*list++ = '\0';
	*path++ = '\0';
	path[strcspn(path, "\n")] = '\0';
	if (*list == '\0')
		return lowest(files->mount, path, limit->read_v2);
	if (!has_controller(list, limit->controller))
		return UINT64_MAX;
	(void)snprintf(mount, sizeof mount, "%s/%s", files->mount, limit->controller);
	return lowest(mount, path, limit->read_v1);
}

static uint64_t find(const struct cgroup_files *files, const struct limit *limit)
{
	FILE *f = fopen(files->self, "re");
	uint64_t found = UINT64_MAX;
	char line[LINE_BYTES];

	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		uint64_t here = limit_of_line(files, line, limit);

		found = MIN(found, here);
	}
	if (f != NULL)
		(void)fclose(f);
	return found;
}

uint64_t cgroup_memory_bytes(const struct cgroup_files *files)
{
	static const struct limit memory = {"memory", memory_v2, memory_v1};

	return find(files, &memory);
}

/* A group takes no more than those that it is in. */
uint64_t cgroup_memory_used_bytes(const struct cgroup_files *files)
{
	static const struct limit used = {"memory", used_v2, used_v1};

	return find(files, &used);
}

size_t cgroup_cpus(const struct cgroup_files *files)
{
	static const struct limit cpus = {"cpu", cpus_v2, cpus_v1};
	uint64_t found = find(files, &cpus);

	return found == UINT64_MAX ? 0 : (size_t)MAX(found, (uint64_t)1);
}
