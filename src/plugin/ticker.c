#include "plugin/ticker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <wasmtime.h>

/* The thread stays up for a while after the last guest, so that a busy process does not wake it for
 * each request. */
#define LINGER_TICKS 64

#define TICKER_MAGIC 0x7469636bu

struct ticker {
	uint32_t magic;
	wasm_engine_t *engine;
	uint64_t slice_ns;
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows, except `asleep` */
	pthread_cond_t wake;
	struct list seats;
	bool stop;
	_Atomic bool asleep;
};

/* Whether a guest ran since the last look, or runs now. */
static bool seats_busy(struct ticker *t)
{
	bool busy = false;

	LIST_FOR_EACH (at, &t->seats) {
		struct ticker_seat *s = container_of(at, struct ticker_seat, link);
		uint64_t turns = atomic_load(&s->turns);

		busy = busy || turns != s->seen || turns % 2 == 1;
		s->seen = turns;
	}
	return busy;
}

/* `asleep` is published before the last look at the seats, and a seat is taken before the look at
 * `asleep`: one of the two sees the other. */
static void sleep_until_needed(struct ticker *t)
{
	atomic_store(&t->asleep, true);
	while (!t->stop && atomic_load(&t->asleep) && !seats_busy(t))
		(void)pthread_cond_wait(&t->wake, &t->lock);
	atomic_store(&t->asleep, false);
}

static void *run(void *arg)
{
	struct ticker *t = arg;
	uint64_t tick_ns = t->slice_ns / TICKER_SLICE_TICKS;
	struct timespec tick = {.tv_sec = (time_t)(tick_ns / 1000000000u),
				.tv_nsec = (long)(tick_ns % 1000000000u)};
	unsigned idle = 0;

	(void)pthread_mutex_lock(&t->lock);
	while (!t->stop) {
		idle = seats_busy(t) ? 0 : idle + 1;
		if (idle > LINGER_TICKS) {
			sleep_until_needed(t);
			idle = 0;
		}
		(void)pthread_mutex_unlock(&t->lock);
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &tick, NULL);
		wasmtime_engine_increment_epoch(t->engine);
		(void)pthread_mutex_lock(&t->lock);
	}
	(void)pthread_mutex_unlock(&t->lock);
	return NULL;
}

/* The process's signals are for other threads. */
static int start_thread(struct ticker *t)
{
	sigset_t all, before;
	int r;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&t->thread, NULL, run, t);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

int ticker_create(struct ticker **ticker, wasm_engine_t *engine, uint64_t slice_ns,
		  struct weir_error *error)
{
	struct ticker *t = calloc(1, sizeof *t);
	int r;

	if (t == NULL)
		return error_set(error, -ENOMEM, "not enough memory for the plugin host");
	t->magic = TICKER_MAGIC;
	t->engine = engine;
	t->slice_ns = slice_ns;
	list_init(&t->seats);
	must(pthread_mutex_init(&t->lock, NULL) == 0 && pthread_cond_init(&t->wake, NULL) == 0);
	r = start_thread(t);
	if (r < 0) {
		free(t);
		return error_set(error, r, "cannot start the plugin host's thread: %s",
				 strerror(-r));
	}
	*ticker = t;
	return 0;
}

void ticker_destroy(struct ticker **ticker)
{
	struct ticker *t;

	OBJ_TAKE(t, ticker, TICKER_MAGIC);
	(void)pthread_mutex_lock(&t->lock);
	must(list_empty(&t->seats));
	t->stop = true;
	(void)pthread_cond_signal(&t->wake);
	(void)pthread_mutex_unlock(&t->lock);
	must(pthread_join(t->thread, NULL) == 0);
	(void)pthread_mutex_destroy(&t->lock);
	(void)pthread_cond_destroy(&t->wake);
	t->magic = 0;
	free(t);
}

static struct ticker_seat *find_seat(struct ticker *t, uint64_t thread)
{
	LIST_FOR_EACH (at, &t->seats) {
		struct ticker_seat *s = container_of(at, struct ticker_seat, link);

		if (s->thread == thread)
			return s;
	}
	return NULL;
}

struct ticker_seat *ticker_seat_take(struct ticker *t)
{
	uint64_t thread = (uint64_t)pthread_self();
	struct ticker_seat *s;

	OBJ_CHECK(t, TICKER_MAGIC);
	(void)pthread_mutex_lock(&t->lock);
	s = find_seat(t, thread);
	if (s == NULL) {
		s = aligned_alloc(alignof(struct ticker_seat), sizeof *s);
		if (s != NULL) {
			*s = (struct ticker_seat){
				.magic = TICKER_SEAT_MAGIC, .ticker = t, .thread = thread};
			list_append(&t->seats, &s->link);
		}
	}
	if (s != NULL)
		s->references++;
	(void)pthread_mutex_unlock(&t->lock);
	return s;
}

void ticker_seat_give(struct ticker_seat **seat)
{
	struct ticker_seat *s;
	struct ticker *t;

	OBJ_TAKE(s, seat, TICKER_SEAT_MAGIC);
	t = s->ticker;
	(void)pthread_mutex_lock(&t->lock);
	if (--s->references == 0) {
		must(atomic_load(&s->turns) % 2 == 0);
		list_remove(&s->link);
		s->magic = 0;
		free(s);
	}
	(void)pthread_mutex_unlock(&t->lock);
}

static void wake_thread(struct ticker *t)
{
	(void)pthread_mutex_lock(&t->lock);
	atomic_store(&t->asleep, false);
	(void)pthread_cond_signal(&t->wake);
	(void)pthread_mutex_unlock(&t->lock);
}

void ticker_enter(struct ticker_seat *s)
{
	uint64_t turns = atomic_load_explicit(&s->turns, memory_order_relaxed);

	must(turns % 2 == 0);
	atomic_store(&s->turns, turns + 1);
	if (UNLIKELY(atomic_load(&s->ticker->asleep)))
		wake_thread(s->ticker);
}

void ticker_leave(struct ticker_seat *s)
{
	uint64_t turns = atomic_load_explicit(&s->turns, memory_order_relaxed);

	must(turns % 2 == 1);
	atomic_store_explicit(&s->turns, turns + 1, memory_order_release);
}

uint64_t ticker_slice_ns(const struct ticker *t)
{
	return t->slice_ns;
}

bool ticker_sleeps(struct ticker *t)
{
	return atomic_load(&t->asleep);
}
