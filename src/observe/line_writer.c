#include "observe/line_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base.h"
#include "core/clock.h"
#include "core/folders.h"
#include "core/log.h"
#include "core/sampler.h"

#define LINE_WRITER_MAGIC 0x6c696e65u

/* A line is written as soon as it is there, unless there are many: after so many writes in a row
 * lines gather for so long before the next. Each of these times without a write allows one more. */
#define WRITES_AT_ONCE 32
#define GATHER_NS 5000000
#define POLL_MS 50
#define GIVE_UP_NS UINT64_C(1000000000)

/** A ring of bytes from one thread to the writer's. Only whole lines are in it. */
struct queue {
	char *bytes;
	_Alignas(64) _Atomic uint64_t head; /* bytes put in since the start */
	_Atomic uint64_t lost;
	_Alignas(64) _Atomic uint64_t tail; /* bytes taken out */
};

struct line_writer {
	uint32_t magic;
	char *path; /* NULL: standard output */
	int fd;
	bool is_file;        /* else a pipe, a terminal …, which must not be waited for */
	bool torn;           /* the last line in the file has no end */
	unsigned at_once;    /* writes that need not wait for more lines */
	uint64_t counted_ns; /* when a time was last added to them */
	uint64_t give_up_ns; /* when the end waits for readers no longer; 0: not set */
	size_t count;
	size_t capacity; /* of each queue, and of `batch` */
	struct queue *queues;
	char *batch;
	struct line_writer_counters counters; /* written by the thread, but for `queue_full` */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work;
	_Atomic bool asleep; /* the thread has found nothing and waits to be woken */
	_Atomic bool reopen;
	_Atomic bool stop;
};

/* For reading as well: so a pipe without a reader opens at once. */
static int open_file(struct line_writer *w)
{
	struct stat st;
	int fd = STDOUT_FILENO;

	if (w->path != NULL) {
		folders_make(w->path);
		fd = open(w->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0664);
		/* A file that may only be written to will do. */
		if (fd < 0 && errno == EACCES)
			fd = open(w->path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	}
	if (fd < 0)
		return -errno;
	w->is_file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	return fd;
}

static void close_file(struct line_writer *w)
{
	if (w->path != NULL && w->fd >= 0)
		(void)close(w->fd);
	w->fd = -1;
}

static void reopen(struct line_writer *w)
{
	int fd;

	if (w->path == NULL)
		return;
	fd = open_file(w);
	if (fd < 0) {
		log_error_with((LOG_STRING("error", strerror(-fd)), LOG_STRING("file", w->path)),
			       "The access log cannot be opened again");
		return;
	}
	close_file(w);
	w->fd = fd;
	w->torn = false;
}

/* The end waits for readers that long altogether. */
static bool may_wait(struct line_writer *w)
{
	uint64_t now_ns = clock_mono_ns();

	if (!atomic_load(&w->stop))
		return true;
	if (w->give_up_ns == 0)
		w->give_up_ns = now_ns + GIVE_UP_NS;
	return now_ns < w->give_up_ns;
}

/* Whether bytes can be written without waiting for a reader. */
static bool is_writable(struct line_writer *w)
{
	struct pollfd p = {.fd = w->fd, .events = POLLOUT};

	if (w->is_file)
		return true;
	while (poll(&p, 1, POLL_MS) == 0) {
		if (!may_wait(w))
			return false;
	}
	return true;
}

/* What a pipe takes at once if it is writable at all; whole lines where that is possible. */
static size_t portion(const struct line_writer *w, const char *p, size_t n)
{
	const char *end;

	if (w->is_file || n <= PIPE_BUF)
		return n;
	end = memrchr(p, '\n', PIPE_BUF);
	return end != NULL ? (size_t)(end - p) + 1 : PIPE_BUF;
}

/* Returns how many of the bytes were written. */
static size_t write_all(struct line_writer *w, const char *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r;

		if (!is_writable(w))
			break;
		r = write(w->fd, p + done, portion(w, p + done, n - done));
		if (r < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (r <= 0)
			break;
		done += (size_t)r;
	}
	return done;
}

static uint64_t count_lines(const char *p, size_t n)
{
	uint64_t lines = 0;

	for (const char *end = p + n; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
		lines++;
	return lines;
}

static void write_batch(struct line_writer *w, size_t n)
{
	size_t done = 0;

	if (w->fd >= 0 && w->torn && write_all(w, "\n", 1) == 1)
		w->torn = false;
	if (w->fd >= 0 && !w->torn)
		done = write_all(w, w->batch, n);
	counter_add(&w->counters.lines, count_lines(w->batch, done));
	counter_add(&w->counters.bytes, done);
	if (done == n)
		return;
	w->torn |= done > 0 && w->batch[done - 1] != '\n';
	counter_add(&w->counters.write_failures, count_lines(w->batch + done, n - done));
}

/* Takes all that is in one queue. */
static size_t take(struct line_writer *w, struct queue *q)
{
	uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
	uint64_t head = atomic_load_explicit(&q->head, memory_order_acquire);
	size_t n = (size_t)(head - tail), at = (size_t)(tail % w->capacity);
	size_t first = MIN(n, w->capacity - at);

	memcpy(w->batch, q->bytes + at, first);
	memcpy(w->batch + first, q->bytes, n - first);
	atomic_store_explicit(&q->tail, head, memory_order_release);
	return n;
}

static bool write_queues(struct line_writer *w)
{
	bool again = atomic_exchange(&w->reopen, false);
	bool any = false;

	for (size_t i = 0; i < w->count; i++) {
		size_t n = take(w, &w->queues[i]);

		if (n > 0)
			write_batch(w, n);
		any |= n > 0;
	}
	if (again)
		reopen(w);
	return any;
}

static bool is_empty(const struct line_writer *w)
{
	for (size_t i = 0; i < w->count; i++) {
		if (atomic_load(&w->queues[i].head) != atomic_load(&w->queues[i].tail))
			return false;
	}
	return true;
}

/* Whether the next lines may be written without gathering, which is used up by that. */
static bool may_write_at_once(struct line_writer *w)
{
	uint64_t now_ns = clock_mono_ns();
	uint64_t more = (now_ns - w->counted_ns) / GATHER_NS;

	w->at_once = (unsigned)MIN(w->at_once + more, WRITES_AT_ONCE);
	w->counted_ns = now_ns - (now_ns - w->counted_ns) % GATHER_NS;
	if (w->at_once == 0)
		return false;
	w->at_once--;
	return true;
}

static void gather(struct line_writer *w)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += GATHER_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	(void)pthread_mutex_lock(&w->lock);
	while (!atomic_load(&w->stop) && !atomic_load(&w->reopen) &&
	       pthread_cond_timedwait(&w->work, &w->lock, &until) == 0)
		;
	(void)pthread_mutex_unlock(&w->lock);
}

static void sleep_until_woken(struct line_writer *w)
{
	(void)pthread_mutex_lock(&w->lock);
	atomic_store(&w->asleep, true);
	/* A line that came before that wakes nobody. */
	if (!is_empty(w))
		atomic_store(&w->asleep, false);
	while (atomic_load(&w->asleep) && !atomic_load(&w->stop) && !atomic_load(&w->reopen))
		(void)pthread_cond_wait(&w->work, &w->lock);
	atomic_store(&w->asleep, false);
	(void)pthread_mutex_unlock(&w->lock);
}

static void *run(void *context)
{
	struct line_writer *w = context;

	(void)pthread_setname_np(pthread_self(), "weir-access");
	while (!atomic_load(&w->stop)) {
		if (!write_queues(w))
			sleep_until_woken(w);
		else if (!may_write_at_once(w))
			gather(w);
	}
	(void)write_queues(w);
	return NULL;
}

static void wake(struct line_writer *w)
{
	(void)pthread_mutex_lock(&w->lock);
	(void)pthread_cond_signal(&w->work);
	(void)pthread_mutex_unlock(&w->lock);
}

void line_writer_put(struct line_writer *w, size_t queue, slice line)
{
	struct queue *q = &w->queues[queue];
	uint64_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&q->tail, memory_order_acquire);
	size_t at = (size_t)(head % w->capacity), first = MIN(line.n, w->capacity - at);

	OBJ_CHECK(w, LINE_WRITER_MAGIC);
	must(queue < w->count);
	if (line.n > w->capacity - (size_t)(head - tail)) {
		counter_add(&q->lost, 1);
		return;
	}
	memcpy(q->bytes + at, line.p, first);
	memcpy(q->bytes, line.p + first, line.n - first);
	/* Either we see that the thread sleeps, or it sees the line. */
	atomic_store(&q->head, head + line.n);
	if (atomic_load(&w->asleep) && atomic_exchange(&w->asleep, false))
		wake(w);
}

void line_writer_lose(struct line_writer *w, size_t queue)
{
	OBJ_CHECK(w, LINE_WRITER_MAGIC);
	must(queue < w->count);
	counter_add(&w->queues[queue].lost, 1);
}

void line_writer_reopen(struct line_writer *w)
{
	OBJ_CHECK(w, LINE_WRITER_MAGIC);
	atomic_store(&w->reopen, true);
	wake(w);
}

void line_writer_counters(const struct line_writer *w, struct line_writer_counters *sums)
{
	OBJ_CHECK(w, LINE_WRITER_MAGIC);
#define X(name, kind, help) atomic_store(&sums->name, counter_get(&w->counters.name));
	LINE_WRITER_COUNTERS(X)
#undef X
	for (size_t i = 0; i < w->count; i++)
		counter_add(&sums->queue_full, counter_get(&w->queues[i].lost));
}

static int start_thread(struct line_writer *w)
{
	pthread_condattr_t attr;
	sigset_t all, before;
	int r;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_cond_init(&w->work, &attr);
	(void)pthread_condattr_destroy(&attr);
	/* Signals are the control thread's, but for the sampler's. */
	(void)sigfillset(&all);
	(void)sigdelset(&all, SAMPLER_SIGNAL);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&w->thread, NULL, run, w);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

static void free_memory(struct line_writer *w)
{
	for (size_t i = 0; w->queues != NULL && i < w->count; i++)
		free(w->queues[i].bytes);
	free(w->queues);
	free(w->batch);
	free(w->path);
	w->magic = 0;
	free(w);
}

static int get_memory(struct line_writer *w, slice path, size_t queues)
{
	w->batch = malloc(w->capacity);
	w->queues = aligned_alloc(64, queues * sizeof *w->queues);
	if (path.n > 0)
		w->path = slice_dup(path);
	if (w->batch == NULL || w->queues == NULL || (path.n > 0 && w->path == NULL))
		return -ENOMEM;
	memset(w->queues, 0, queues * sizeof *w->queues);
	w->count = queues;
	for (size_t i = 0; i < queues; i++) {
		w->queues[i].bytes = malloc(w->capacity);
		if (w->queues[i].bytes == NULL)
			return -ENOMEM;
	}
	return 0;
}

int line_writer_create(struct line_writer **writer, slice path, size_t queues, size_t queue_bytes,
		       struct weir_error *e)
{
	struct line_writer *w = calloc(1, sizeof *w);
	int r;

	if (w == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	w->magic = LINE_WRITER_MAGIC;
	w->capacity = queue_bytes;
	w->fd = -1;
	r = get_memory(w, path, queues);
	if (r < 0) {
		free_memory(w);
		return error_set(e, r, "out of memory");
	}
	w->fd = open_file(w);
	r = w->fd < 0 ? error_set(e, w->fd, "%.*s: %s", SLICE_ARG(path), strerror(-w->fd)) : 0;
	if (r == 0) {
		r = start_thread(w);
		if (r < 0)
			(void)error_set(e, r, "thread: %s", strerror(-r));
	}
	if (r < 0) {
		close_file(w);
		free_memory(w);
		return r;
	}
	*writer = w;
	return 0;
}

void line_writer_destroy(struct line_writer **writer)
{
	struct line_writer *w;

	if (*writer == NULL)
		return;
	OBJ_TAKE(w, writer, LINE_WRITER_MAGIC);
	atomic_store(&w->stop, true);
	wake(w);
	must(pthread_join(w->thread, NULL) == 0);
	(void)pthread_cond_destroy(&w->work);
	(void)pthread_mutex_destroy(&w->lock);
	close_file(w);
	free_memory(w);
}
