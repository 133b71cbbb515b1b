#include "plugin/compiler.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "plugin/compiler_job.h"
#include "plugin/output.h"

/* So often it is looked whether anybody still wants the result. */
#define LOOK_MS 100

/* Descriptors to be renamed must not be among the names. */
#define DESCRIPTORS_FROM 16

/** Lifetime: `open_child` to `close_child`. */
struct child {
	const struct compiler *compiler;
	int job, artefact, said[2]; /* -1: not open */
	pid_t pid;
	uint64_t deadline_ns;
	char text[400]; /* the beginning of what it said */
	size_t text_bytes;
	bool late;
	int status; /* as `waitpid` says; -1: somebody else has asked first */
};

void compiler_init(struct compiler *c)
{
	must(pthread_mutex_init(&c->lock, NULL) == 0 && pthread_cond_init(&c->ended, NULL) == 0);
	c->jobs = 0;
}

void compiler_free(struct compiler *c)
{
	must(c->jobs == 0);
	(void)pthread_mutex_destroy(&c->lock);
	(void)pthread_cond_destroy(&c->ended);
}

static void move_up(int *fd)
{
	int up = *fd >= 0 ? fcntl(*fd, F_DUPFD_CLOEXEC, DESCRIPTORS_FROM) : -1;

	if (*fd >= 0)
		(void)close(*fd);
	*fd = up;
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static void close_child(struct child *child)
{
	close_one(&child->job);
	close_one(&child->artefact);
	close_one(&child->said[0]);
	close_one(&child->said[1]);
}

static int write_job(const struct child *child, slice original, slice rewritten,
		     const struct artefact_key *key)
{
	const struct compiler_job job = {
		.magic = COMPILER_JOB_MAGIC,
		.memory_bytes = child->compiler->memory_bytes,
		.parent = getpid(),
		.original_bytes = original.n,
		.rewritten_bytes = rewritten.n,
		.key = *key,
	};
	int r = artefact_append(child->job, slice_of((const char *)&job, sizeof job));

	if (r == 0)
		r = artefact_append(child->job, original);
	return r == 0 ? artefact_append(child->job, rewritten) : r;
}

static int open_child(struct child *child, const struct compiler *c, slice original,
		      slice rewritten, const struct artefact_key *key)
{
	int r;

	*child = (struct child){.compiler = c, .status = -1};
	child->job = artefact_create();
	child->artefact = artefact_create();
	if (pipe2(child->said, O_CLOEXEC) < 0)
		child->said[0] = child->said[1] = -1;
	move_up(&child->job);
	move_up(&child->artefact);
	move_up(&child->said[1]);
	if (child->job < 0 || child->artefact < 0 || child->said[0] < 0 || child->said[1] < 0)
		r = -errno;
	else
		r = write_job(child, original, rewritten, key);
	if (r < 0)
		close_child(child);
	return r;
}

static int set_descriptors(posix_spawn_file_actions_t *a, const struct child *child)
{
	int r = posix_spawn_file_actions_addopen(a, STDIN_FILENO, "/dev/null", O_RDONLY, 0);

	if (r == 0)
		r = posix_spawn_file_actions_addopen(a, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(a, child->said[1], STDERR_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(a, child->job, COMPILER_JOB_FD);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(a, child->artefact, COMPILER_ARTEFACT_FD);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(a, COMPILER_FIRST_OTHER_FD);
	return r;
}

/* Signals that this process ignores or blocks are not the child's to ignore or block. */
static int set_signals(posix_spawnattr_t *a)
{
	sigset_t all, none;
	int r;

	(void)sigfillset(&all);
	(void)sigemptyset(&none);
	r = posix_spawnattr_setsigdefault(a, &all);
	if (r == 0)
		r = posix_spawnattr_setsigmask(a, &none);
	if (r == 0)
		r = posix_spawnattr_setflags(a, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	return r;
}

static int spawn(struct child *child)
{
	const char *const *argv = child->compiler->argv;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int r = posix_spawn_file_actions_init(&actions);

	if (r != 0)
		return -r;
	r = posix_spawnattr_init(&attributes);
	if (r == 0) {
		r = set_descriptors(&actions, child);
		if (r == 0)
			r = set_signals(&attributes);
		if (r == 0)
			r = posix_spawnp(&child->pid, argv[0], &actions, &attributes,
					 (char *const *)(uintptr_t)argv, environ);
		(void)posix_spawnattr_destroy(&attributes);
	}
	(void)posix_spawn_file_actions_destroy(&actions);
	close_one(&child->said[1]);
	return -r;
}

/* How long to wait at once; 0: no longer. */
static int left_ms(const struct child *child)
{
	uint64_t now_ns = clock_mono_ns();

	if (now_ns >= child->deadline_ns || atomic_load(&child->compiler->cancelled))
		return 0;
	return (int)MIN((child->deadline_ns - now_ns) / 1000000 + 1, (uint64_t)LOOK_MS);
}

/* Until all descriptors of the pipe are closed, which they are when the child ends. */
static void listen_to(struct child *child)
{
	struct pollfd p = {.fd = child->said[0], .events = POLLIN};
	char bytes[512];
	ssize_t n;
	int ms;

	while ((ms = left_ms(child)) > 0) {
		if (poll(&p, 1, ms) <= 0)
			continue;
		n = read(child->said[0], bytes, sizeof bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		n = MIN(n, (ssize_t)(sizeof child->text - 1 - child->text_bytes));
		memcpy(child->text + child->text_bytes, bytes, (size_t)n);
		child->text_bytes += (size_t)n;
	}
}

/* Only this child: others are not ours to wait for. */
static void reap(struct child *child)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	pid_t r;

	while ((r = waitpid(child->pid, &child->status, child->late ? 0 : WNOHANG)) <= 0) {
		if (r < 0 && errno != EINTR) {
			child->status = -1;
			return;
		}
		if (r == 0 && left_ms(child) == 0) {
			child->late = true;
			(void)kill(child->pid, SIGKILL);
		} else if (r == 0) {
			(void)nanosleep(&pause, NULL);
		}
	}
}

static int ran_out_of_memory(const struct child *child, struct weir_error *error)
{
	return error_set(error, -ENOMEM, "needs more than %llu bytes of memory to compile",
			 (unsigned long long)child->compiler->memory_bytes);
}

static int exited(const struct child *child, struct weir_error *error)
{
	int how = WEXITSTATUS(child->status);

	if (how == COMPILER_MEMORY)
		return ran_out_of_memory(child, error);
	if (how == COMPILER_REFUSED)
		return error_set(error, -EINVAL, "%s", child->text);
	if (how == COMPILER_FAILED)
		return error_set(error, -EIO, "the compiler failed: %s", child->text);
	return error_set(error, -EIO, "the compiler ended with status %d: %s", how,
			 child->text_bytes > 0 ? child->text : "it said nothing");
}

/* The engine, as all Rust programs, says so and aborts. */
static bool said_out_of_memory(const struct child *child)
{
	return WTERMSIG(child->status) == SIGABRT &&
	       strstr(child->text, "memory allocation of ") != NULL;
}

static int killed(const struct child *child, struct weir_error *error)
{
	int number = WTERMSIG(child->status);
	const char *name = sigabbrev_np(number);

	if (said_out_of_memory(child))
		return ran_out_of_memory(child, error);
	return error_set(error, -EIO, "the compiler was ended by signal %d (SIG%s)%s%s", number,
			 name != NULL ? name : "?", child->text_bytes > 0 ? ": " : "", child->text);
}

static int judge(const struct child *child, const struct artefact_key *key,
		 struct weir_error *error)
{
	int r;

	if (child->late && atomic_load(&child->compiler->cancelled))
		return error_set(error, -ECANCELED, "is no longer to be compiled");
	if (child->late)
		return error_set(error, -ETIMEDOUT, "takes more than %llu ms to compile",
				 (unsigned long long)child->compiler->timeout_ms);
	if (child->status != -1 && WIFSIGNALED(child->status))
		return killed(child, error);
	if (child->status != -1 && WEXITSTATUS(child->status) != COMPILER_DONE)
		return exited(child, error);
	r = artefact_check(child->artefact, key, error);
	if (r < 0) {
		error_prefix(error, "the compiler's result ");
		return error != NULL ? error->code = -EIO : -EIO;
	}
	return 0;
}

static int run(const struct compiler *c, slice original, slice rewritten,
	       const struct artefact_key *key, struct weir_error *error)
{
	struct child child;
	int r = open_child(&child, c, original, rewritten, key), fd;

	if (r == 0) {
		r = spawn(&child);
		if (r < 0)
			close_child(&child);
	}
	if (r < 0)
		return error_set(error, -EIO, "the compiler %s cannot be started: %s", c->argv[0],
				 strerrordesc_np(-r));
	child.deadline_ns = c->timeout_ms > UINT64_MAX / 1000000
				    ? UINT64_MAX
				    : clock_mono_ns() + c->timeout_ms * 1000000;
	listen_to(&child);
	reap(&child);
	output_flatten(child.text);
	r = judge(&child, key, error);
	fd = r == 0 ? child.artefact : -1;
	if (r == 0)
		child.artefact = -1;
	close_child(&child);
	return r == 0 ? fd : r;
}

int compiler_run(struct compiler *c, slice original, slice rewritten,
		 const struct artefact_key *key, struct weir_error *error)
{
	int r;

	(void)pthread_mutex_lock(&c->lock);
	while (c->jobs >= c->jobs_max)
		(void)pthread_cond_wait(&c->ended, &c->lock);
	c->jobs++;
	(void)pthread_mutex_unlock(&c->lock);
	r = atomic_load(&c->cancelled) ? error_set(error, -ECANCELED, "is no longer to be compiled")
				       : run(c, original, rewritten, key, error);
	(void)pthread_mutex_lock(&c->lock);
	c->jobs--;
	(void)pthread_cond_signal(&c->ended);
	(void)pthread_mutex_unlock(&c->lock);
	return r;
}
