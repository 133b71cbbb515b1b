#include "observe/process.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "provider/keeper.h"

#define NS_PER_S 1000000000u

static uint64_t to_ns(const struct timeval *t)
{
	return (uint64_t)t->tv_sec * NS_PER_S + (uint64_t)t->tv_usec * 1000u;
}

static void read_usage(struct process_numbers *n)
{
	struct rusage usage;
	struct rlimit limit;

	if (getrusage(RUSAGE_SELF, &usage) == 0)
		n->cpu_ns = to_ns(&usage.ru_utime) + to_ns(&usage.ru_stime);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		n->max_fds = limit.rlim_cur;
}

static void read_memory(struct process_numbers *n)
{
	FILE *f = fopen("/proc/self/statm", "re");
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), all, resident;
	char line[256] = "";
	slice rest, first, second;

	if (f == NULL)
		return;
	if (fgets(line, sizeof line, f) == NULL)
		line[0] = '\0';
	(void)fclose(f);
	rest = slice_from(line);
	if (slice_next(&rest, ' ', &first) && slice_next(&rest, ' ', &second) &&
	    slice_to_u64(first, &all) && slice_to_u64(second, &resident)) {
		n->virtual_bytes = all * page;
		n->resident_bytes = resident * page;
	}
}

/* The one that lists them is not counted. */
static void count_descriptors(struct process_numbers *n)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *entry;

	if (d == NULL)
		return;
	while ((entry = readdir(d)) != NULL)
		n->open_fds += entry->d_name[0] != '.';
	n->open_fds -= n->open_fds > 0;
	(void)closedir(d);
}

/* Field 22 of the line, in ticks since the machine started; the second one may hold anything. */
static uint64_t start_ns(void)
{
	FILE *f = fopen("/proc/self/stat", "re");
	char line[1024] = "", *at;
	struct timespec since_boot;
	uint64_t ticks = 0, age;

	if (f == NULL)
		return 0;
	at = fgets(line, sizeof line, f) != NULL ? strrchr(line, ')') : NULL;
	(void)fclose(f);
	for (int field = 2; at != NULL && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (at == NULL ||
	    !slice_to_u64(slice_first(slice_from(at + 1), strcspn(at + 1, " ")), &ticks) ||
	    clock_gettime(CLOCK_BOOTTIME, &since_boot) != 0)
		return 0;
	age = (uint64_t)since_boot.tv_sec * NS_PER_S + (uint64_t)since_boot.tv_nsec -
	      ticks * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
	return clock_wall_ns() - age;
}

/* Once: clocks are not so exact that it would always be the same. */
static void read_start(struct process_numbers *n)
{
	static _Atomic uint64_t known;

	if (atomic_load(&known) == 0)
		atomic_store(&known, start_ns());
	n->start_ns = atomic_load(&known);
}

static uint64_t restarts_before;

void process_set_restarts(uint64_t restarts)
{
	restarts_before = restarts;
}

void process_read(struct process_numbers *n)
{
	*n = (struct process_numbers){0};
	read_usage(n);
	read_memory(n);
	count_descriptors(n);
	read_start(n);
	n->restarts = restarts_before;
	n->kept_bytes = atomic_load(&keeper_numbers.bytes);
	n->kept_failures = atomic_load(&keeper_numbers.failures);
}
