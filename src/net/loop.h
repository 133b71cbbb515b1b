/*
 * One thread's event loop: sockets, timers, recycled buffers, tasks that run after the next poll,
 * and messages from other threads.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "core/buffer.h"
#include "core/list.h"
#include "core/pipe_pool.h"
#include "net/timer.h"

/** Work for the same loop: runs once, after the sockets have been polled. Embedded in its owner. */
struct task {
	struct list link;
	void (*run)(struct task *); /* may free or defer the task */
};

/** Work for a loop from another thread. Allocated by the sender, owned by the loop until `run`,
 * which frees it. */
struct message {
	struct list link;
	void (*run)(struct message *);
};

/** Messages that are run in one turn; a reload that lets go of thousands of endpoints posts as
 * many, and sockets must not wait for all of them. */
#define LOOP_INBOX_BURST 64u

#define LOOP_MAGIC 0x6c6f6f70u

/** Lifetime: `loop_init` … `loop_run` … `loop_close`, all on its thread; only `loop_post` comes
 * from others. */
struct loop {
	uint32_t magic;
	unsigned index; /* among the process's worker loops */
	uv_loop_t uv;
	struct timers timers;
	struct buffer_pool buffers;
	struct pipe_pool pipes; /* none, unless `pipes.max` is set before the first use */
	uv_check_t after_poll;
	uint64_t turn;      /* counts the polls of the sockets */
	unsigned told;      /* events of this turn's poll that transports have been told of */
	uv_idle_t no_block; /* active while tasks wait, so that the poll returns at once */
	struct list tasks;
	struct timer trim_timer;
	uint64_t report_ms; /* when the log may say again that buffers are short */
	/* Shared with other threads, under `inbox_lock`. */
	pthread_mutex_t inbox_lock;
	struct list inbox;
	bool inbox_closed;
	uv_async_t inbox_bell;
};

/** Returns 0 or a negative errno value. `buffer_limit_bytes` bounds the memory of all buffers of
 * this loop. */
int loop_init(struct loop *l, size_t buffer_limit_bytes);

/** Runs until `loop_stop`. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

/** Runs what is left to close, then frees everything. No socket, timer or task may be in use. */
void loop_close(struct loop *l);

/** Runs `t` after the next poll of the sockets, which does not block. Deferring a waiting task
 * again changes nothing. */
void loop_defer(struct loop *l, struct task *t);
void loop_cancel(struct loop *l, struct task *t);

/** From any thread: runs `m` on the loop's thread, in the order of posting, `LOOP_INBOX_BURST` in a
 * turn. Returns false (and `m` stays the caller's) once
 * the loop is closing. */
bool loop_post(struct loop *l, struct message *m);

/**
 * Runs `fn` on the loop's thread and waits until it has returned. From a thread that no loop ever
 * waits for. False, and nothing is run, once the loop is closing.
 */
bool loop_call(struct loop *l, void (*fn)(struct loop *, void *context), void *context);

/** Milliseconds, monotonic, as of the start of this turn of the loop. */
static inline uint64_t loop_now_ms(const struct loop *l)
{
	return uv_now(&l->uv);
}

/** Pause between two lines of the log that say the same. */
#define LOOP_REPORT_MS 10000u

/** Whether it is time to say something that may be true many times a second; `*again_ms`, zeroed at
 * first, keeps when it is next. */
static inline bool loop_may_report(const struct loop *l, uint64_t *again_ms)
{
	if (loop_now_ms(l) < *again_ms)
		return false;
	*again_ms = loop_now_ms(l) + LOOP_REPORT_MS;
	return true;
}

static inline void loop_arm(struct loop *l, struct timer *t, uint64_t after_ms,
			    void (*fire)(struct timer *))
{
	timer_arm(&l->timers, t, after_ms, fire);
}

static inline void loop_disarm(struct loop *l, struct timer *t)
{
	timer_disarm(&l->timers, t);
}

/** A block from the loop's pool; arms the pool's trimming. NULL at the limit. */
struct buffer *loop_buffer(struct loop *l, enum buffer_class class);

#endif
