/*
 * Threads that check passwords: of their own, so that nothing else waits for them (libuv's also
 * look up names), and for half of the CPUs, so that the others serve. The whole process shares
 * them.
 */
#ifndef MIDDLEWARE_PASSWORD_THREADS_H
#define MIDDLEWARE_PASSWORD_THREADS_H

#include <stdbool.h>

#include "core/error.h"
#include "core/list.h"

/** Embedded in its owner, who keeps it until `run` is called. */
struct password_job {
	struct list link;
	void (*run)(struct password_job *); /* on one of the threads; may free the job */
};

/** The first one starts the threads. Returns 0 or a negative errno value with `e` filled in. Any
 * thread. */
int password_threads_ref(struct weir_error *e);

/** The last one ends the threads, and waits for that; no job is left by then. Any other thread. */
void password_threads_unref(void);

/** Jobs run in the order in which they come. Any thread that knows of a reference. */
void password_threads_add(struct password_job *job);

/** Whether the job had not begun: then it never will. Any thread that knows that it has not ended.
 */
bool password_threads_cancel(struct password_job *job);

#endif
