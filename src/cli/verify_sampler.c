#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/verify_private.h"
#include "core/clock.h"

#define PROCESSES 256
#define MEMFDS 4096
#define KIB 1024

/* --- the processes */

/** A file in memory. It takes that whether it is mapped or not, and what nobody has touched of it
 * is in no page table. */
struct memory_file {
	ino_t number;
	bool is_open; /* its size is known */
	int64_t bytes;
};

struct processes {
	size_t count;
	pid_t pids[PROCESSES];
	size_t file_count;
	struct memory_file files[MEMFDS];
};

/* Those of one thread; returns how many there are in the list then. */
static size_t add_list(const char *path, pid_t *list, size_t count, size_t room)
{
	char line[4096], *at = line, *end;
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return count;
	if (fgets(line, sizeof line, file) == NULL)
		line[0] = '\0';
	(void)fclose(file);
	while (count < room) {
		long pid = strtol(at, &end, 10);

		if (end == at)
			break;
		list[count++] = (pid_t)pid;
		at = end;
	}
	return count;
}

size_t verify_children(pid_t pid, pid_t *list, size_t room)
{
	char path[300];
	DIR *tasks;
	const struct dirent *entry;
	size_t count = 0;

	(void)snprintf(path, sizeof path, "/proc/%d/task", pid);
	tasks = opendir(path);
	while (tasks != NULL && (entry = readdir(tasks)) != NULL) {
		(void)snprintf(path, sizeof path, "/proc/%d/task/%s/children", pid, entry->d_name);
		count = add_list(path, list, count, room);
	}
	if (tasks != NULL)
		(void)closedir(tasks);
	return count;
}

/* NULL: there are too many. */
static struct memory_file *find_file(struct processes *t, ino_t number)
{
	for (size_t i = 0; i < t->file_count; i++) {
		if (t->files[i].number == number)
			return &t->files[i];
	}
	if (t->file_count == MEMFDS)
		return NULL;
	t->files[t->file_count] = (struct memory_file){.number = number};
	return &t->files[t->file_count++];
}

static void add_open_file(struct processes *t, const char *path)
{
	char target[64];
	ssize_t n = readlink(path, target, sizeof target);
	struct memory_file *file;
	struct stat st;

	if (n < 0 || !slice_starts(slice_of(target, (size_t)n), SLICE("/memfd:")) ||
	    stat(path, &st) < 0)
		return;
	file = find_file(t, st.st_ino);
	if (file != NULL) {
		file->is_open = true;
		file->bytes = (int64_t)st.st_blocks * 512;
	}
}

/* "FROM-TO PERMISSIONS OFFSET DEVICE INODE PATH". Of files that are mapped but not open nobody says
 * what they take: as much as is mapped. */
static void add_mapping(struct processes *t, const char *line)
{
	char *at;
	unsigned long from = strtoul(line, &at, 16), to = strtoul(at + 1, &at, 16), offset;
	struct memory_file *file;

	at = strchr(at + 1, ' ');
	if (at == NULL)
		return;
	offset = strtoul(at, &at, 16);
	at = strchr(at + 1, ' ');
	file = at != NULL ? find_file(t, strtoul(at, NULL, 10)) : NULL;
	if (file != NULL && !file->is_open)
		file->bytes = MAX(file->bytes, (int64_t)(offset + to - from));
}

static void add_mapped_files(struct processes *t, int pid)
{
	char path[64], line[512];
	FILE *maps;

	(void)snprintf(path, sizeof path, "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
		if (strstr(line, " /memfd:") != NULL)
			add_mapping(t, line);
	}
	if (maps != NULL)
		(void)fclose(maps);
}

static void add_descriptors(struct verify_sample *s, struct processes *t, int pid)
{
	char path[300];
	DIR *d;
	const struct dirent *entry;

	(void)snprintf(path, sizeof path, "/proc/%d/fd", pid);
	d = opendir(path);
	while (d != NULL && (entry = readdir(d)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		s->descriptors++;
		(void)snprintf(path, sizeof path, "/proc/%d/fd/%s", pid, entry->d_name);
		add_open_file(t, path);
	}
	if (d != NULL)
		(void)closedir(d);
}

/* The line's number if it begins with the name, else 0. */
static int64_t kib_of(const char *line, const char *name)
{
	size_t n = strlen(name);

	return strncmp(line, name, n) == 0 ? strtol(line + n, NULL, 10) * KIB : 0;
}

/* Memory by its share, so that what processes share counts once. */
static void add_memory(struct verify_sample *s, int pid, int64_t *shared_bytes)
{
	char path[64], line[256];
	FILE *file;

	(void)snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
	file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof line, file) != NULL) {
		s->pss_bytes += kib_of(line, "Pss:");
		s->own_bytes += kib_of(line, "Pss_Anon:");
		*shared_bytes += kib_of(line, "Pss_Shmem:");
		s->private_bytes += kib_of(line, "Private_Clean:") + kib_of(line, "Private_Dirty:");
	}
	if (file != NULL)
		(void)fclose(file);
}

/* Fields 14, 15 and 20 (proc_pid_stat(5)), counted from the third, which is 0 here; the name before
 * them may hold anything. */
static void add_times(struct verify_sample *s, int pid)
{
	const uint64_t tick_ms = 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
	char path[64], line[1024] = "";
	const char *after;
	uint64_t value;
	slice rest, field;
	FILE *file;

	(void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (file == NULL)
		return;
	if (fgets(line, sizeof line, file) == NULL)
		line[0] = '\0';
	(void)fclose(file);
	after = strrchr(line, ')');
	rest = slice_from(after != NULL && after[1] != '\0' ? after + 2 : NULL);
	for (unsigned i = 0; i <= 17 && slice_next(&rest, ' ', &field); i++) {
		if ((i == 11 || i == 12) && slice_to_u64(field, &value))
			s->cpu_ms += (int64_t)(value * tick_ms);
		else if (i == 17 && slice_to_u64(field, &value))
			s->threads += (int64_t)value;
	}
}

/* The first number is what it has run, in nanoseconds. */
static void add_first_thread(struct verify_sample *s, int pid)
{
	char path[64], line[128] = "";
	uint64_t ran_ns;
	FILE *file;

	(void)snprintf(path, sizeof path, "/proc/%d/task/%d/schedstat", pid, pid);
	file = fopen(path, "re");
	if (file == NULL)
		return;
	if (fgets(line, sizeof line, file) != NULL &&
	    slice_to_u64(slice_first(slice_from(line), strcspn(line, " ")), &ran_ns))
		s->control_us += (int64_t)(ran_ns / 1000);
	(void)fclose(file);
}

void verify_sample_processes(struct verify_sample *sample, pid_t root)
{
	static _Thread_local struct processes t;
	int64_t file_bytes = 0, shared_bytes = 0;

	t.count = 1;
	t.pids[0] = root;
	t.file_count = 0;
	for (size_t i = 0; i < t.count; i++) {
		t.count += verify_children(t.pids[i], t.pids + t.count, PROCESSES - t.count);
		add_memory(sample, t.pids[i], &shared_bytes);
		add_descriptors(sample, &t, t.pids[i]);
		add_times(sample, t.pids[i]);
		add_first_thread(sample, t.pids[i]);
	}
	for (size_t i = 0; i < t.count; i++)
		add_mapped_files(&t, t.pids[i]);
	for (size_t i = 0; i < t.file_count; i++)
		file_bytes += t.files[i].bytes;
	sample->own_bytes += MAX(file_bytes, shared_bytes);
}

/* --- the thread */

/* Half of the samples go when there is no room for more; from then on half as many are kept. */
static void keep(struct verify_sampler *s, const struct verify_sample *sample)
{
	s->last = *sample;
	s->peak_own_bytes = MAX(s->peak_own_bytes, sample->own_bytes);
	s->peak_generations = MAX(s->peak_generations, sample->generations);
	if (s->taken++ % s->every != 0)
		return;
	if (s->count == VERIFY_SAMPLES) {
		for (size_t i = 0; i < VERIFY_SAMPLES / 2; i++)
			s->list[i] = s->list[2 * i];
		s->count = VERIFY_SAMPLES / 2;
		s->every *= 2;
	}
	s->list[s->count++] = *sample;
}

static void sample_load(struct verify_sampler *s, struct verify_sample *sample)
{
	struct verify_load_counts counts = {0};
	struct verify_latency recent = {0};

	sample->p50_us = sample->p99_us = -1;
	if (s->load != NULL) {
		verify_load_count(s->load, &counts);
		verify_load_take(s->load, &recent);
	}
	sample->answered = (int64_t)(s->before.answered + counts.answered);
	sample->failed = (int64_t)(s->before.failed + counts.failed);
	if (recent.count > 0) {
		sample->p50_us = (int64_t)verify_latency_at(&recent, 0.5);
		sample->p99_us = (int64_t)verify_latency_at(&recent, 0.99);
	}
}

static void take(struct verify_sampler *s)
{
	struct verify_sample sample = {.at_ms = clock_mono_ms() - s->start_ms};
	struct verify_instances instances;

	verify_sample_processes(&sample, s->root);
	verify_proxy_instances(s->proxy, &instances);
	sample.initialised = instances.initialised;
	sample.live = instances.live;
	sample.generations = instances.generations;
	(void)pthread_mutex_lock(&s->lock);
	sample_load(s, &sample);
	/* Without memory the processes have just gone. */
	if (sample.own_bytes > 0)
		keep(s, &sample);
	(void)pthread_mutex_unlock(&s->lock);
}

static void *watch(void *context)
{
	struct verify_sampler *s = context;

	while (!atomic_load(&s->stop)) {
		uint64_t from_ms = clock_mono_ms();

		take(s);
		while (!atomic_load(&s->stop) && clock_mono_ms() < from_ms + VERIFY_SAMPLE_MS)
			(void)usleep(10000);
	}
	return NULL;
}

int verify_sampler_start(struct verify_sampler *s, struct verify_proxy *proxy, struct weir_error *e)
{
	int r;

	*s = (struct verify_sampler){
		.proxy = proxy, .root = proxy->pid, .every = 1, .start_ms = clock_mono_ms()};
	s->list = calloc(VERIFY_SAMPLES, sizeof *s->list);
	s->marks = calloc(VERIFY_MARKS, sizeof *s->marks);
	(void)pthread_mutex_init(&s->lock, NULL);
	if (s->list != NULL && s->marks != NULL)
		take(s);
	r = s->list == NULL || s->marks == NULL ? -ENOMEM
						: -pthread_create(&s->thread, NULL, watch, s);
	if (r == 0)
		return 0;
	verify_sampler_free(s);
	return error_set(e, r, "sampling: %s", strerror(-r));
}

void verify_sampler_stop(struct verify_sampler *s)
{
	atomic_store(&s->stop, true);
	(void)pthread_join(s->thread, NULL);
	s->proxy = NULL;
}

void verify_sampler_free(struct verify_sampler *s)
{
	free(s->list);
	free(s->marks);
	(void)pthread_mutex_destroy(&s->lock);
	*s = (struct verify_sampler){0};
}

void verify_sampler_watch(struct verify_sampler *s, struct verify_load *load)
{
	struct verify_load_counts counts = {0};

	(void)pthread_mutex_lock(&s->lock);
	if (s->load != NULL)
		verify_load_count(s->load, &counts);
	s->before.answered += counts.answered;
	s->before.failed += counts.failed;
	s->load = load;
	(void)pthread_mutex_unlock(&s->lock);
}

void verify_sampler_mark(struct verify_sampler *s, const char *text)
{
	(void)pthread_mutex_lock(&s->lock);
	if (s->mark_count < VERIFY_MARKS) {
		struct verify_mark *m = &s->marks[s->mark_count++];

		m->at_ms = clock_mono_ms() - s->start_ms;
		(void)snprintf(m->text, sizeof m->text, "%s", text);
	}
	(void)pthread_mutex_unlock(&s->lock);
}

struct verify_sample verify_sampler_last(struct verify_sampler *s)
{
	struct verify_sample sample;

	(void)pthread_mutex_lock(&s->lock);
	sample = s->last;
	(void)pthread_mutex_unlock(&s->lock);
	return sample;
}

void verify_sampler_begin_peak(struct verify_sampler *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->peak_own_bytes = s->last.own_bytes;
	s->peak_generations = s->last.generations;
	(void)pthread_mutex_unlock(&s->lock);
}

void verify_sampler_peak(struct verify_sampler *s, int64_t *own_bytes, int64_t *generations)
{
	(void)pthread_mutex_lock(&s->lock);
	*own_bytes = s->peak_own_bytes;
	*generations = s->peak_generations;
	(void)pthread_mutex_unlock(&s->lock);
}

double verify_sampler_slope(struct verify_sampler *s)
{
	double bytes;

	(void)pthread_mutex_lock(&s->lock);
	bytes = verify_slope_bytes(s->list, s->count);
	(void)pthread_mutex_unlock(&s->lock);
	return bytes;
}
