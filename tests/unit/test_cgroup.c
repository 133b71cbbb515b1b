#include "core/cgroup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/base.h"

/* A system in a folder of its own. */
struct place {
	char root[64];
	char self[96];
	struct cgroup_files files;
};

static void write_file(const struct place *p, const char *name, const char *text)
{
	char path[512];
	FILE *f;

	(void)snprintf(path, sizeof path, "%s/%s", p->root, name);
	for (char *at = path + strlen(p->root) + 1; (at = strchr(at, '/')) != NULL; at++) {
		*at = '\0';
		(void)mkdir(path, 0700);
		*at = '/';
	}
	f = fopen(path, "w");
	must(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void place_open(struct place *p, const char *self)
{
	(void)snprintf(p->root, sizeof p->root, "/tmp/weir-cgroup-XXXXXX");
	must(mkdtemp(p->root) != NULL);
	(void)snprintf(p->self, sizeof p->self, "%s/self", p->root);
	p->files = (struct cgroup_files){p->self, p->root};
	write_file(p, "self", self);
}

static void place_close(struct place *p)
{
	char command[128];

	(void)snprintf(command, sizeof command, "rm -rf %s", p->root);
	must(system(command) == 0);
}

static void without_limits_there_are_none(void **state)
{
	const struct cgroup_files nowhere = {"/nonexistent/self", "/nonexistent"};
	struct place p = {.root = ""};

	(void)state;
	assert_true(cgroup_memory_bytes(&nowhere) == UINT64_MAX);
	assert_int_equal(cgroup_cpus(&nowhere), 0);
	place_open(&p, "0::/a\n");
	write_file(&p, "a/memory.max", "max\n");
	write_file(&p, "a/cpu.max", "max 100000\n");
	assert_true(cgroup_memory_bytes(&p.files) == UINT64_MAX);
	assert_int_equal(cgroup_cpus(&p.files), 0);
	place_close(&p);
}

static void the_lowest_of_all_groups_around_counts(void **state)
{
	struct place p = {.root = ""};

	(void)state;
	place_open(&p, "0::/a/b/c\n");
	write_file(&p, "a/b/c/memory.max", "3000\n");
	write_file(&p, "a/b/memory.max", "max\n");
	write_file(&p, "a/memory.max", "2000\n");
	write_file(&p, "a/b/c/cpu.max", "350000 100000\n");
	write_file(&p, "a/cpu.max", "800000 100000\n");
	assert_int_equal(cgroup_memory_bytes(&p.files), 2000);
	assert_int_equal(cgroup_cpus(&p.files), 4);
	write_file(&p, "a/b/cpu.max", "20000 100000\n");
	assert_int_equal(cgroup_cpus(&p.files), 1);
	place_close(&p);
}

static void what_the_group_takes(void **state)
{
	const struct cgroup_files nowhere = {"/nonexistent/self", "/nonexistent"};
	struct place p = {.root = ""};

	(void)state;
	assert_true(cgroup_memory_used_bytes(&nowhere) == UINT64_MAX);
	place_open(&p, "0::/a/b\n");
	write_file(&p, "a/b/memory.current", "700\n");
	write_file(&p, "a/memory.current", "9000\n");
	assert_int_equal(cgroup_memory_used_bytes(&p.files), 700);
	place_close(&p);
	place_open(&p, "7:memory:/a\n");
	write_file(&p, "memory/a/memory.usage_in_bytes", "800\n");
	assert_int_equal(cgroup_memory_used_bytes(&p.files), 800);
	place_close(&p);
}

/* As in a container that has the group of the machine's name space, but sees only its own. */
static void the_uppermost_one_is_enough(void **state)
{
	struct place p = {.root = ""};

	(void)state;
	place_open(&p, "0::/docker/0123\n");
	write_file(&p, "memory.max", "5000\n");
	assert_int_equal(cgroup_memory_bytes(&p.files), 5000);
	place_close(&p);
}

static void version_1_counts_too(void **state)
{
	struct place p = {.root = ""};

	(void)state;
	place_open(&p, "12:cpuset:/x\n5:cpu,cpuacct:/m/n\n4:memory:/m\n0::/\n");
	write_file(&p, "memory/m/memory.limit_in_bytes", "4096\n");
	write_file(&p, "memory/memory.limit_in_bytes", "9223372036854771712\n");
	write_file(&p, "cpu/m/n/cpu.cfs_quota_us", "-1\n");
	write_file(&p, "cpu/m/n/cpu.cfs_period_us", "100000\n");
	write_file(&p, "cpu/m/cpu.cfs_quota_us", "150000\n");
	write_file(&p, "cpu/m/cpu.cfs_period_us", "100000\n");
	assert_int_equal(cgroup_memory_bytes(&p.files), 4096);
	assert_int_equal(cgroup_cpus(&p.files), 2);
	place_close(&p);
}

static void nonsense_is_no_limit(void **state)
{
	struct place p = {.root = ""};

	(void)state;
	place_open(&p, "\nno colons\n1:memory\n::\n0::/a\n");
	write_file(&p, "a/memory.max", "12 bananas\n");
	write_file(&p, "a/cpu.max", "100000 0\n");
	assert_true(cgroup_memory_bytes(&p.files) == UINT64_MAX);
	assert_int_equal(cgroup_cpus(&p.files), 0);
	place_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_limits_there_are_none),
		cmocka_unit_test(the_lowest_of_all_groups_around_counts),
		cmocka_unit_test(the_uppermost_one_is_enough),
		cmocka_unit_test(version_1_counts_too),
		cmocka_unit_test(nonsense_is_no_limit),
		cmocka_unit_test(what_the_group_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
