#include "middleware/password_threads.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "core/base.h"
#include "core/cgroup.h"
#include "core/sampler.h"

#define THREADS_MAX 16

static struct {
	pthread_mutex_t life; /* held while threads start and end */
	size_t references;    /* under `life` */
	size_t count;         /* of the threads; under `life` */
	pthread_t threads[THREADS_MAX];

	pthread_mutex_t lock; /* for what follows */
	pthread_cond_t changed;
	struct list jobs;
	bool ending;
} all = {
	.life = PTHREAD_MUTEX_INITIALIZER,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
	.jobs = {&all.jobs, &all.jobs},
};

/* NULL: the end. */
static struct password_job *next_job(void)
{
	struct list *e;

	(void)pthread_mutex_lock(&all.lock);
	while ((e = list_pop(&all.jobs)) == NULL && !all.ending)
		(void)pthread_cond_wait(&all.changed, &all.lock);
	(void)pthread_mutex_unlock(&all.lock);
	return e != NULL ? container_of(e, struct password_job, link) : NULL;
}

static void *run(void *unused)
{
	struct password_job *job;

	(void)pthread_setname_np(pthread_self(), "weir-password");
	while ((job = next_job()) != NULL)
		job->run(job);
	return unused;
}

static size_t wanted_threads(void)
{
	size_t quota = cgroup_cpus(&cgroup_system);
	size_t cpus = (size_t)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1);

	if (quota > 0)
		cpus = MIN(cpus, quota);
	return MIN(MAX(cpus / 2, 1), THREADS_MAX);
}

static void end_threads(void)
{
	(void)pthread_mutex_lock(&all.lock);
	must(list_empty(&all.jobs));
	all.ending = true;
	(void)pthread_cond_broadcast(&all.changed);
	(void)pthread_mutex_unlock(&all.lock);
	while (all.count > 0)
		(void)pthread_join(all.threads[--all.count], NULL);
	all.ending = false;
}

static int start_threads(struct weir_error *e)
{
	size_t wanted = wanted_threads();
	sigset_t every, before;
	int r = 0;

	/* Signals are the control thread's, but for the sampler's. */
	(void)sigfillset(&every);
	(void)sigdelset(&every, SAMPLER_SIGNAL);
	(void)pthread_sigmask(SIG_SETMASK, &every, &before);
	while (all.count < wanted && r == 0) {
		r = pthread_create(&all.threads[all.count], NULL, run, NULL);
		all.count += r == 0;
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return all.count > 0 ? 0 : error_set(e, -r, "threads for passwords: %s", strerror(r));
}

int password_threads_ref(struct weir_error *e)
{
	int r = 0;

	(void)pthread_mutex_lock(&all.life);
	if (all.references == 0)
		r = start_threads(e);
	if (r == 0)
		all.references++;
	(void)pthread_mutex_unlock(&all.life);
	return r;
}

void password_threads_unref(void)
{
	(void)pthread_mutex_lock(&all.life);
	must(all.references > 0);
	if (--all.references == 0)
		end_threads();
	(void)pthread_mutex_unlock(&all.life);
}

void password_threads_add(struct password_job *job)
{
	(void)pthread_mutex_lock(&all.lock);
	list_append(&all.jobs, &job->link);
	(void)pthread_cond_signal(&all.changed);
	(void)pthread_mutex_unlock(&all.lock);
}

bool password_threads_cancel(struct password_job *job)
{
	bool waits;

	(void)pthread_mutex_lock(&all.lock);
	waits = list_linked(&job->link);
	list_remove(&job->link);
	(void)pthread_mutex_unlock(&all.lock);
	return waits;
}
