#include "core/sampler.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "core/base.h"
#include "core/clock.h"

#define THREADS_MAX 512u

/* Frames further apart are none: no stack is larger. */
#define FRAME_BYTES_MAX ((uintptr_t)16 << 20)

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* The clock of another thread's CPU time, as the kernel makes them (CPUCLOCK_PERTHREAD_MASK |
 * CPUCLOCK_SCHED): pthread_getcpuclockid() needs a pthread_t. */
#define THREAD_CLOCK(tid) ((clockid_t)(~(unsigned)(tid) << 3 | 6u))

struct thread {
	timer_t timer;
	char name[16];
};

static struct {
	_Atomic bool taken;
	_Atomic bool running;    /* read by the handler, with the next three */
	_Atomic unsigned inside; /* handlers that may use what follows */
	_Atomic size_t next;
	size_t samples_max;
	struct sample *samples;
	pid_t process;
	struct thread threads[THREADS_MAX];
	size_t thread_count;
	struct sampler_result result;
} sampler;

static void read_registers(const ucontext_t *c, uintptr_t *pc, uintptr_t *frame)
{
#if defined(__x86_64__)
	*pc = (uintptr_t)c->uc_mcontext.gregs[REG_RIP];
	*frame = (uintptr_t)c->uc_mcontext.gregs[REG_RBP];
#elif defined(__aarch64__)
	*pc = c->uc_mcontext.pc;
	*frame = c->uc_mcontext.regs[29];
#else
	(void)c;
	*pc = *frame = 0;
#endif
}

/* The frame pointer may be anything, in code that uses the register otherwise: the kernel looks
 * whether there is memory. */
static bool read_frame(uintptr_t at, uintptr_t pair[2])
{
	struct iovec to = {pair, 2 * sizeof pair[0]}, from = {(void *)at, 2 * sizeof pair[0]};

	return syscall(SYS_process_vm_readv, sampler.process, &to, 1ul, &from, 1ul, 0ul) ==
	       (long)to.iov_len;
}

static void fill(struct sample *s, const siginfo_t *info, const ucontext_t *context)
{
	uintptr_t pc, frame, pair[2];

	read_registers(context, &pc, &frame);
	s->thread = (uint32_t)info->si_value.sival_int;
	s->weight = 1 + (uint32_t)MAX(info->si_overrun, 0);
	s->depth = 1;
	s->at[0] = pc;
	while (s->depth < SAMPLER_FRAMES_MAX && frame != 0 && frame % sizeof frame == 0 &&
	       read_frame(frame, pair) && pair[1] != 0) {
		s->at[s->depth++] = pair[1] - 1;
		if (pair[0] <= frame || pair[0] - frame > FRAME_BYTES_MAX)
			break;
		frame = pair[0];
	}
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	int error = errno;

	(void)number;
	atomic_fetch_add(&sampler.inside, 1);
	if (atomic_load(&sampler.running) && info->si_code == SI_TIMER) {
		size_t at = atomic_fetch_add(&sampler.next, 1);

		if (at < sampler.samples_max)
			fill(&sampler.samples[at], info, context);
	}
	atomic_fetch_sub(&sampler.inside, 1);
	errno = error;
}

/* It stays: a signal may come late, which would end the process without it. */
static int install(void)
{
	/* On the other stack where there is one: a guest may have used up its own. */
	struct sigaction action = {.sa_sigaction = on_signal,
				   .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};

	(void)sigfillset(&action.sa_mask);
	return sigaction(SAMPLER_SIGNAL, &action, NULL) == 0 ? 0 : -errno;
}

static void read_name(struct thread *t, const char *tid)
{
	char path[288];
	FILE *f;

	(void)snprintf(path, sizeof path, "/proc/self/task/%s/comm", tid);
	f = fopen(path, "re");
	t->name[0] = '\0';
	if (f != NULL && fgets(t->name, sizeof t->name, f) == NULL)
		t->name[0] = '\0';
	if (f != NULL)
		(void)fclose(f);
	t->name[strcspn(t->name, "\n")] = '\0';
}

/* A thread that ends meanwhile needs none. */
static void watch(const char *tid, uint64_t period_ns)
{
	const struct timespec period = {.tv_sec = (time_t)(period_ns / 1000000000u),
					.tv_nsec = (long)(period_ns % 1000000000u)};
	const struct itimerspec times = {.it_interval = period, .it_value = period};
	struct thread *t = &sampler.threads[sampler.thread_count];
	pid_t number = (pid_t)strtol(tid, NULL, 10);
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SAMPLER_SIGNAL};

	event.sigev_notify_thread_id = number;
	event.sigev_value.sival_int = (int)sampler.thread_count;
	if (timer_create(THREAD_CLOCK(number), &event, &t->timer) != 0)
		return;
	read_name(t, tid);
	sampler.thread_count++;
	(void)timer_settime(t->timer, 0, &times, NULL);
}

static int watch_all(uint64_t period_ns)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;

	if (d == NULL)
		return -errno;
	while ((e = readdir(d)) != NULL && sampler.thread_count < THREADS_MAX) {
		if (e->d_name[0] != '.')
			watch(e->d_name, period_ns);
	}
	(void)closedir(d);
	return sampler.thread_count > 0 ? 0 : -ENOTSUP;
}

static size_t samples_bytes(void)
{
	return sampler.samples_max * sizeof *sampler.samples;
}

/* Pages that no sample reaches are never made. */
static int take_memory(size_t samples_max)
{
	void *memory;

	sampler.samples_max = samples_max;
	memory = mmap(NULL, samples_bytes(), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	sampler.samples = memory;
	return 0;
}

int sampler_start(uint64_t period_ns, size_t samples_max)
{
	int r;

	must(samples_max > 0 && period_ns > 0);
	if (atomic_exchange(&sampler.taken, true))
		return -EBUSY;
	sampler.process = getpid();
	sampler.thread_count = 0;
	sampler.result = (struct sampler_result){.period_ns = period_ns,
						 .begun_wall_ns = clock_wall_ns(),
						 .duration_ns = clock_mono_ns()};
	atomic_store(&sampler.next, 0);
	r = take_memory(samples_max);
	if (r == 0)
		r = install();
	if (r == 0) {
		atomic_store(&sampler.running, true);
		r = watch_all(period_ns);
	}
	if (r < 0) {
		sampler_stop();
		sampler_release();
	}
	return r;
}

void sampler_stop(void)
{
	size_t noted;

	must(atomic_load(&sampler.taken));
	atomic_store(&sampler.running, false);
	for (size_t i = 0; i < sampler.thread_count; i++)
		(void)timer_delete(sampler.threads[i].timer);
	/* Each takes microseconds. */
	while (atomic_load(&sampler.inside) > 0)
		(void)sched_yield();
	noted = atomic_load(&sampler.next);
	sampler.result.samples = sampler.samples;
	sampler.result.count = MIN(noted, sampler.samples_max);
	sampler.result.dropped = noted - sampler.result.count;
	sampler.result.duration_ns = clock_mono_ns() - sampler.result.duration_ns;
}

struct sampler_result sampler_result(void)
{
	must(atomic_load(&sampler.taken) && !atomic_load(&sampler.running));
	return sampler.result;
}

bool sampler_is_taken(void)
{
	return atomic_load(&sampler.taken);
}

const char *sampler_thread_name(uint32_t thread)
{
	if (thread >= sampler.thread_count || sampler.threads[thread].name[0] == '\0')
		return NULL;
	return sampler.threads[thread].name;
}

void sampler_release(void)
{
	must(!atomic_load(&sampler.running));
	if (sampler.samples != NULL)
		(void)munmap(sampler.samples, samples_bytes());
	sampler.samples = NULL;
	atomic_store(&sampler.taken, false);
}
