#include "observe/memory.h"

#include <malloc.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/base.h"
#include "core/cgroup.h"
#include "core/slice.h"

/* jemalloc's, where it is the allocator: not in tests, nor with sanitizers. */
int mallctl(const char *name, void *old, size_t *old_n, void *new, size_t new_n)
	__attribute__((weak));

static const struct {
	const char *name;
	size_t offset;
} rows[] = {
#define X(name, json, file) {file, offsetof(struct memory_process, name)},
	MEMORY_PROCESS(X)
#undef X
};

/* "Pss:                1234 kB" */
static bool take_line(struct memory_process *m, char *line)
{
	char *colon = strchr(line, ':'), *number;
	uint64_t kib;

	if (colon == NULL)
		return false;
	*colon = '\0';
	number = colon + 1 + strspn(colon + 1, " ");
	number[strspn(number, "0123456789")] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (strcmp(line, rows[i].name) != 0 || !slice_to_u64(slice_from(number), &kib))
			continue;
		*(uint64_t *)(void *)((char *)m + rows[i].offset) = kib * 1024;
		return true;
	}
	return false;
}

bool memory_process_read(struct memory_process *m, const char *path)
{
	FILE *f = fopen(path, "re");
	char line[256];
	bool any = false;

	*m = (struct memory_process){0};
	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		any |= take_line(m, line);
	if (f != NULL)
		(void)fclose(f);
	return any;
}

static uint64_t jemalloc_number(const char *name)
{
	size_t value = 0, n = sizeof value;

	return mallctl(name, &value, &n, NULL, 0) == 0 ? value : 0;
}

static void read_jemalloc(struct memory_numbers *m)
{
	uint64_t epoch = 1;

	/* Its numbers are those of when this was last set. */
	(void)mallctl("epoch", NULL, NULL, &epoch, sizeof epoch);
	m->allocator = "jemalloc";
	m->allocated_bytes = jemalloc_number("stats.allocated");
	m->allocator_active_bytes = jemalloc_number("stats.active");
	m->allocator_resident_bytes = jemalloc_number("stats.resident");
	m->allocator_mapped_bytes = jemalloc_number("stats.mapped");
	m->allocator_metadata_bytes = jemalloc_number("stats.metadata");
}

static void read_system_malloc(struct memory_numbers *m)
{
	struct mallinfo2 info = mallinfo2();

	m->allocator = "system";
	m->allocated_bytes = info.uordblks + info.hblkhd;
	m->allocator_active_bytes = info.arena + info.hblkhd;
	m->allocator_resident_bytes = info.arena + info.hblkhd;
	m->allocator_mapped_bytes = info.arena + info.hblkhd;
}

static uint64_t known(uint64_t bytes)
{
	return bytes == UINT64_MAX ? 0 : bytes;
}

void memory_read(struct memory_numbers *m)
{
	*m = (struct memory_numbers){0};
	if (mallctl != NULL)
		read_jemalloc(m);
	else
		read_system_malloc(m);
	m->cgroup_used_bytes = known(cgroup_memory_used_bytes(&cgroup_system));
	m->cgroup_limit_bytes = known(cgroup_memory_bytes(&cgroup_system));
}
