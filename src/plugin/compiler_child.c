/*
 * The inside of a compiler process.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/compiler_job.h"
#include "plugin/engine.h"
#include "weir/plugin.h"

/* Behind everything that serves requests. */
#define NICE 10

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED false
#endif

static void limit(int what, uint64_t bytes)
{
	struct rlimit l;

	if (getrlimit((__rlimit_resource_t)what, &l) < 0)
		return;
	l.rlim_max = MIN(l.rlim_max, (rlim_t)bytes);
	l.rlim_cur = l.rlim_max;
	(void)setrlimit((__rlimit_resource_t)what, &l);
}

/* When memory runs out in the control group, the compiler is the one to go. */
static void offer_to_oom_killer(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, "1000", 4);
	(void)close(fd);
}

/* Besides that of a limit, those that somebody may send to all processes of a service,
 * and that mean the one who wants the result. */
static void ignore_signals(void)
{
	static const int numbers[] = {SIGXFSZ, SIGHUP, SIGUSR1, SIGUSR2, SIGTERM, SIGINT};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		(void)signal(numbers[i], SIG_IGN);
}

/* False: the one who wants the result has gone meanwhile. */
static bool settle(const struct compiler_job *job)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != (pid_t)job->parent)
		return false;
	(void)prctl(PR_SET_NAME, "weir-compile");
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	ignore_signals();
	(void)!nice(NICE);
	limit(RLIMIT_CORE, 0);
	offer_to_oom_killer();
	if (job->memory_bytes == UINT64_MAX)
		return true;
	limit(RLIMIT_FSIZE, job->memory_bytes);
	/* Private writable memory. A sanitizer's own would count as well. */
	if (!SANITIZED)
		limit(RLIMIT_DATA, job->memory_bytes);
	return true;
}

static const struct compiler_job *map_job(void)
{
	const struct compiler_job *job;
	uint64_t rest;
	struct stat s;

	if (fstat(COMPILER_JOB_FD, &s) < 0 || (size_t)s.st_size < sizeof *job)
		return NULL;
	job = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_SHARED, COMPILER_JOB_FD, 0);
	if (job == MAP_FAILED)
		return NULL;
	rest = (uint64_t)s.st_size - sizeof *job;
	return memcmp(job->magic, COMPILER_JOB_MAGIC, sizeof job->magic) == 0 &&
			       job->original_bytes <= rest &&
			       job->rewritten_bytes == rest - job->original_bytes
		       ? job
		       : NULL;
}

static int end(enum compiler_exit how, const char *text)
{
	(void)fputs(text, stderr);
	return (int)how;
}

static int compile(const struct compiler_job *job)
{
	const char *bytes = (const char *)(job + 1);
	slice original = slice_of(bytes, job->original_bytes);
	slice rewritten = slice_of(bytes + job->original_bytes, job->rewritten_bytes);
	wasm_engine_t *engine = engine_create();
	wasmtime_module_t *module = NULL;
	struct weir_error error;
	int r = engine_compile(&module, engine, original, rewritten, &error), end_with;

	if (r < 0)
		end_with = strstr(error.text, strerrordesc_np(ENOMEM)) != NULL
				   ? COMPILER_MEMORY
				   : end(COMPILER_REFUSED, error.text);
	else if ((r = artefact_write(COMPILER_ARTEFACT_FD, module, &job->key)) < 0)
		end_with = r == -EFBIG || r == -ENOMEM ? COMPILER_MEMORY
						       : end(COMPILER_FAILED, strerrordesc_np(-r));
	else
		end_with = COMPILER_DONE;
	if (module != NULL)
		wasmtime_module_delete(module);
	wasm_engine_delete(engine);
	return end_with;
}

int weir_compiler_main(void)
{
	const struct compiler_job *job = map_job();

	if (job == NULL)
		return end(COMPILER_FAILED, "this command is for the program's own use: there is "
					    "nothing to compile\n");
	return settle(job) ? compile(job) : end(COMPILER_FAILED, "nobody waits for the result");
}
