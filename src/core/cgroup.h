/*
 * What the control groups of this process allow it: the lowest limit of its own group and of all
 * that this one is in (Linux, cgroup-v2 and cgroups(7) for version 1).
 */
#ifndef CORE_CGROUP_H
#define CORE_CGROUP_H

#include <stddef.h>
#include <stdint.h>

/** Where the system says it; members are paths. */
struct cgroup_files {
	const char *self;  /* "/proc/self/cgroup" */
	const char *mount; /* "/sys/fs/cgroup" */
};

extern const struct cgroup_files cgroup_system;

/** Bytes of memory; UINT64_MAX: no limit is known. */
uint64_t cgroup_memory_bytes(const struct cgroup_files *files);

/** Bytes of memory that the group of this process takes; UINT64_MAX: unknown. */
uint64_t cgroup_memory_used_bytes(const struct cgroup_files *files);

/** CPUs that the quotas come to, rounded up; 0: there is no quota. */
size_t cgroup_cpus(const struct cgroup_files *files);

#endif
