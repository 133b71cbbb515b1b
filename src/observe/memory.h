/*
 * What the process takes, as the kernel, the allocator and the control group see it.
 */
#ifndef OBSERVE_MEMORY_H
#define OBSERVE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/* X(member, name in JSON, name in /proc/self/smaps_rollup): bytes. */
#define MEMORY_PROCESS(X) \
	X(resident, "rssBytes", "Rss") \
	X(proportional, "pssBytes", "Pss") \
	X(proportional_dirty, "pssDirtyBytes", "Pss_Dirty") \
	X(proportional_anonymous, "pssAnonymousBytes", "Pss_Anon") \
	X(proportional_file, "pssFileBytes", "Pss_File") \
	X(proportional_shared, "pssSharedMemoryBytes", "Pss_Shmem") \
	X(private_clean, "privateCleanBytes", "Private_Clean") \
	X(private_dirty, "privateDirtyBytes", "Private_Dirty") \
	X(shared_clean, "sharedCleanBytes", "Shared_Clean") \
	X(shared_dirty, "sharedDirtyBytes", "Shared_Dirty") \
	X(anonymous, "anonymousBytes", "Anonymous") \
	X(swapped, "swapBytes", "Swap")

struct memory_process {
#define X(name, json, file) uint64_t name;
	MEMORY_PROCESS(X)
#undef X
};

/**
 * What the kernel counts. It looks at every page for that, which takes milliseconds, and nobody can
 * change the address space meanwhile: for a person that asks, not for metrics. `path` is
 * "/proc/self/smaps_rollup". False: it cannot be told.
 */
bool memory_process_read(struct memory_process *m, const char *path);

/* X(member, kind, name in JSON, help) */
#define MEMORY_ALLOCATOR(X) \
	X(allocated_bytes, GAUGE, "allocatedBytes", \
	  "Memory that the allocator has given to the program") \
	X(allocator_active_bytes, GAUGE, "activeBytes", \
	  "Pages of the allocator in which something is allocated") \
	X(allocator_resident_bytes, GAUGE, "residentBytes", \
	  "Memory that the allocator has from the system, what it keeps for later included") \
	X(allocator_mapped_bytes, GAUGE, "mappedBytes", \
	  "Address space of the allocator in which there may be something") \
	X(allocator_metadata_bytes, GAUGE, "metadataBytes", "What the allocator takes for itself")

#define MEMORY_CGROUP(X) \
	X(cgroup_used_bytes, GAUGE, "usedBytes", \
	  "Memory of the control group, page cache included; 0: unknown") \
	X(cgroup_limit_bytes, GAUGE, "limitBytes", \
	  "Lowest limit of the control groups; 0: none is known")

#define MEMORY_NUMBERS(X) MEMORY_ALLOCATOR(X) MEMORY_CGROUP(X)

/** Cheap enough for each scrape. */
struct memory_numbers {
	const char *allocator; /* its name */
#define X(name, kind, json, help) uint64_t name;
	MEMORY_NUMBERS(X)
#undef X
};

/** Any thread. */
void memory_read(struct memory_numbers *m);

#endif
