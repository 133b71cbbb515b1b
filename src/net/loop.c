#include "net/loop.h"

#include <errno.h>

#include "core/log.h"

#define TRIM_INTERVAL_MS 1000u

static void run_tasks(uv_check_t *check)
{
	struct loop *l = check->data;
	struct list now, *e;

	l->turn++;
	l->told = 0;
	if (list_empty(&l->tasks)) {
		/* Cancelled, perhaps: nothing may keep the poll from blocking. */
		(void)uv_idle_stop(&l->no_block);
		return;
	}
	/* Tasks that are deferred meanwhile wait for the next poll, so that sockets are never
	 * starved. */
	list_move(&now, &l->tasks);
	while ((e = list_pop(&now)) != NULL) {
		struct task *t = container_of(e, struct task, link);

		t->run(t);
	}
	if (list_empty(&l->tasks))
		(void)uv_idle_stop(&l->no_block);
}

static void nothing(uv_idle_t *idle)
{
	(void)idle;
}

static void run_inbox(uv_async_t *bell)
{
	struct loop *l = bell->data;
	struct list now, *e;

	list_init(&now);
	(void)pthread_mutex_lock(&l->inbox_lock);
	for (unsigned i = 0; i < LOOP_INBOX_BURST && (e = list_pop(&l->inbox)) != NULL; i++)
		list_append(&now, e);
	if (!list_empty(&l->inbox))
		must(uv_async_send(&l->inbox_bell) == 0);
	(void)pthread_mutex_unlock(&l->inbox_lock);
	while ((e = list_pop(&now)) != NULL) {
		struct message *m = container_of(e, struct message, link);

		m->run(m);
	}
}

int loop_init(struct loop *l, size_t buffer_limit_bytes)
{
	int r;

	*l = (struct loop){.magic = LOOP_MAGIC};
	r = uv_loop_init(&l->uv);
	if (r < 0)
		return r;
	r = uv_async_init(&l->uv, &l->inbox_bell, run_inbox);
	if (r < 0) {
		(void)uv_loop_close(&l->uv);
		return r;
	}
	l->inbox_bell.data = l;
	must(pthread_mutex_init(&l->inbox_lock, NULL) == 0);
	list_init(&l->inbox);
	list_init(&l->tasks);
	timers_init(&l->timers, &l->uv);
	buffer_pool_init(&l->buffers, buffer_limit_bytes);
	pipe_pool_init(&l->pipes, 0);
	must(uv_check_init(&l->uv, &l->after_poll) == 0);
	l->after_poll.data = l;
	must(uv_check_start(&l->after_poll, run_tasks) == 0);
	uv_unref((uv_handle_t *)&l->after_poll);
	must(uv_idle_init(&l->uv, &l->no_block) == 0);
	return 0;
}

void loop_run(struct loop *l)
{
	OBJ_CHECK(l, LOOP_MAGIC);
	(void)uv_run(&l->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *l)
{
	OBJ_CHECK(l, LOOP_MAGIC);
	uv_stop(&l->uv);
}

void loop_close(struct loop *l)
{
	OBJ_CHECK(l, LOOP_MAGIC);
	(void)pthread_mutex_lock(&l->inbox_lock);
	l->inbox_closed = true;
	(void)pthread_mutex_unlock(&l->inbox_lock);
	while (!list_empty(&l->inbox))
		run_inbox(&l->inbox_bell);
	must(list_empty(&l->tasks));
	loop_disarm(l, &l->trim_timer);
	timers_close(&l->timers);
	uv_close((uv_handle_t *)&l->inbox_bell, NULL);
	uv_close((uv_handle_t *)&l->after_poll, NULL);
	uv_close((uv_handle_t *)&l->no_block, NULL);
	(void)uv_run(&l->uv, UV_RUN_DEFAULT);
	must(uv_loop_close(&l->uv) == 0);
	pipe_pool_free(&l->pipes);
	buffer_pool_free(&l->buffers);
	(void)pthread_mutex_destroy(&l->inbox_lock);
	l->magic = 0;
}

void loop_defer(struct loop *l, struct task *t)
{
	if (list_linked(&t->link))
		return;
	if (list_empty(&l->tasks))
		must(uv_idle_start(&l->no_block, nothing) == 0);
	list_append(&l->tasks, &t->link);
}

void loop_cancel(struct loop *l, struct task *t)
{
	(void)l;
	list_remove(&t->link);
}

bool loop_post(struct loop *l, struct message *m)
{
	bool open;

	(void)pthread_mutex_lock(&l->inbox_lock);
	open = !l->inbox_closed;
	if (open) {
		m->link = (struct list){NULL, NULL};
		list_append(&l->inbox, &m->link);
		/* Under the lock: the bell cannot be closed between the check and the ring. */
		must(uv_async_send(&l->inbox_bell) == 0);
	}
	(void)pthread_mutex_unlock(&l->inbox_lock);
	return open;
}

/** One call; on the caller's stack. */
struct call {
	struct message message;
	struct loop *loop;
	void (*fn)(struct loop *, void *context);
	void *context;
	pthread_mutex_t lock;
	pthread_cond_t returned;
	bool done; /* under the lock */
};

static void run_call(struct message *m)
{
	struct call *c = container_of(m, struct call, message);

	c->fn(c->loop, c->context);
	(void)pthread_mutex_lock(&c->lock);
	c->done = true;
	(void)pthread_cond_signal(&c->returned);
	(void)pthread_mutex_unlock(&c->lock);
}

bool loop_call(struct loop *l, void (*fn)(struct loop *, void *context), void *context)
{
	struct call c = {.message.run = run_call,
			 .loop = l,
			 .fn = fn,
			 .context = context,
			 .lock = PTHREAD_MUTEX_INITIALIZER,
			 .returned = PTHREAD_COND_INITIALIZER};
	bool posted = loop_post(l, &c.message);

	(void)pthread_mutex_lock(&c.lock);
	while (posted && !c.done)
		(void)pthread_cond_wait(&c.returned, &c.lock);
	(void)pthread_mutex_unlock(&c.lock);
	(void)pthread_cond_destroy(&c.returned);
	(void)pthread_mutex_destroy(&c.lock);
	return posted;
}

static void trim(struct timer *timer)
{
	struct loop *l = container_of(timer, struct loop, trim_timer);

	if (buffer_pool_trim(&l->buffers) || l->buffers.live_bytes > 0)
		loop_arm(l, timer, TRIM_INTERVAL_MS, trim);
}

struct buffer *loop_buffer(struct loop *l, enum buffer_class class)
{
	struct buffer *b;

	if (!timer_armed(&l->trim_timer))
		loop_arm(l, &l->trim_timer, TRIM_INTERVAL_MS, trim);
	b = buffer_get(&l->buffers, class);
	if (b == NULL && loop_may_report(l, &l->report_ms))
		log_warn_with((LOG_INTEGER("usedBytes", l->buffers.live_bytes),
			       LOG_INTEGER("limitBytes", l->buffers.limit_bytes)),
			      "Memory for buffers is short: connections wait or are closed");
	return b;
}
