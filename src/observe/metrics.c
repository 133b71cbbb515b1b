#include "observe/metrics.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/sampler.h"
#include "http/exchange.h"
#include "observe/render.h"
#include "proxy/proxy.h"

#define METRICS_MAGIC 0x6d657472u
#define SCRAPE_MAGIC 0x73637270u

/* That wait for the next text; more get 503. */
#define WAITING_MAX 256u

/** Shared by the scrapes that it answers. */
struct text {
	_Atomic size_t references;
	struct metrics *metrics;
	size_t held_bytes; /* its part of theirs */
	struct str str;
};

/** One exchange. Its worker's, but for what the thread fills in before it sends `done`. */
struct scrape {
	uint32_t magic;
	struct metrics *metrics;
	struct exchange *x; /* NULL: it has ended meanwhile */
	struct loop *loop;
	struct list link; /* in the queue, under the lock */
	struct message done;
	struct exchange_ending ending;
	struct text *text; /* NULL: none could be made */
	int failure;       /* the status without a text */
};

struct metrics {
	uint32_t magic;
	struct service service;
	struct proxy *proxy;
	const struct access_log *access_log; /* NULL: off */
	size_t text_bytes_max;
	struct scrape_numbers numbers; /* the thread's, but for `failed`, which the lock guards */
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t work;
	struct list queue;
	size_t waiting;
	bool stopped;
	_Atomic size_t held_bytes; /* of texts that exchanges have; only the thread adds */
};

static void release_text(struct text **text)
{
	struct text *t = *text;

	*text = NULL;
	if (t == NULL || atomic_fetch_sub(&t->references, 1) > 1)
		return;
	(void)atomic_fetch_sub(&t->metrics->held_bytes, t->held_bytes);
	str_free(&t->str);
	free(t);
}

static void free_scrape(struct scrape *s)
{
	release_text(&s->text);
	s->magic = 0;
	free(s);
}

static void on_over(struct exchange_ending *e)
{
	struct scrape *s = container_of(e, struct scrape, ending);

	OBJ_CHECK(s, SCRAPE_MAGIC);
	free_scrape(s);
}

/* Middlewares may read the text after the client has gone, until the exchange is over. */
static void answer(struct scrape *s)
{
	struct exchange *x = s->x;
	slice text = str_slice(&s->text->str);

	x->response.status = 200;
	x->response.version = HTTP_1_1;
	x->response.framing = FRAMING_LENGTH;
	x->response.content_length = text.n;
	x->response.keep_alive = true;
	(void)fields_add_id(&x->response.fields, FIELD_CONTENT_TYPE,
			    SLICE(EXPOSITION_CONTENT_TYPE));
	body_push(x->response_body, NULL, text);
	body_end(x->response_body);
	exchange_at_end(x, &s->ending, on_over);
	exchange_service_done(x);
	exchange_respond(x);
}

/* On the worker's loop. */
static void on_done(struct message *m)
{
	struct scrape *s = container_of(m, struct scrape, done);
	struct exchange *x = s->x;
	int failure = s->failure;

	OBJ_CHECK(s, SCRAPE_MAGIC);
	if (x != NULL && s->text != NULL) {
		answer(s);
		return;
	}
	free_scrape(s);
	if (x != NULL)
		exchange_fail(x, failure);
}

static bool enqueue(struct metrics *m, struct scrape *s)
{
	bool room;

	(void)pthread_mutex_lock(&m->lock);
	room = !m->stopped && m->waiting < WAITING_MAX;
	if (room) {
		list_append(&m->queue, &s->link);
		m->waiting++;
		(void)pthread_cond_signal(&m->work);
	} else {
		m->numbers.failed++;
	}
	(void)pthread_mutex_unlock(&m->lock);
	return room;
}

static void start(struct service *service, struct exchange *x)
{
	struct metrics *m = container_of(service, struct metrics, service);
	struct scrape *s = calloc(1, sizeof *s);

	OBJ_CHECK(m, METRICS_MAGIC);
	if (s == NULL) {
		exchange_fail(x, 503);
		return;
	}
	*s = (struct scrape){.magic = SCRAPE_MAGIC, .metrics = m, .x = x, .loop = x->loop};
	s->done.run = on_done;
	x->service_state = s;
	if (!enqueue(m, s)) {
		free_scrape(s);
		exchange_fail(x, 503);
	}
}

static void cancel(struct service *service, struct exchange *x)
{
	struct scrape *s = x->service_state;

	(void)service;
	OBJ_CHECK(s, SCRAPE_MAGIC);
	/* It is freed when it comes back from the thread. */
	s->x = NULL;
}

static const struct service_class metrics_class = {
	.name = "prometheus", .start = start, .cancel = cancel};

/* NULL where memory is short or the text gets too long. */
static struct text *render(struct metrics *m)
{
	struct text *t = calloc(1, sizeof *t);
	uint64_t begun_ns = clock_mono_ns();
	struct scrape_numbers numbers;

	/* Workers count failures meanwhile. */
	(void)pthread_mutex_lock(&m->lock);
	numbers = m->numbers;
	(void)pthread_mutex_unlock(&m->lock);
	if (t == NULL)
		return NULL;
	atomic_store(&t->references, 1);
	t->metrics = m;
	t->str.limit = m->text_bytes_max;
	if (metrics_render(&t->str, m->proxy, m->access_log, &numbers) < 0)
		release_text(&t);
	if (t != NULL) {
		t->held_bytes = t->str.capacity;
		(void)atomic_fetch_add(&m->held_bytes, t->held_bytes);
	}
	m->numbers.render_ns += clock_mono_ns() - begun_ns;
	m->numbers.bytes = t != NULL ? t->str.n : 0;
	return t;
}

/* One text for all of them. */
static void serve(struct metrics *m, struct list *batch)
{
	/* Clients that do not read would fill the memory. */
	bool full = atomic_load(&m->held_bytes) > m->text_bytes_max;
	struct text *t = full ? NULL : render(m);
	uint64_t count = 0;
	struct list *e;

	while ((e = list_pop(batch)) != NULL) {
		struct scrape *s = container_of(e, struct scrape, link);

		if (t != NULL) {
			(void)atomic_fetch_add(&t->references, 1);
			s->text = t;
		}
		s->failure = full ? 503 : 500;
		count++;
		/* The worker lives as long as the proxy. */
		must(loop_post(s->loop, &s->done));
	}
	if (t != NULL) {
		m->numbers.answered += count;
		m->numbers.shared += count - 1;
	} else {
		(void)pthread_mutex_lock(&m->lock);
		m->numbers.failed += count;
		(void)pthread_mutex_unlock(&m->lock);
	}
	release_text(&t);
}

static void *run(void *context)
{
	struct metrics *m = context;
	struct list batch;

	(void)pthread_setname_np(pthread_self(), "weir-metrics");
	list_init(&batch);
	(void)pthread_mutex_lock(&m->lock);
	for (;;) {
		while (list_empty(&m->queue) && !m->stopped)
			(void)pthread_cond_wait(&m->work, &m->lock);
		if (list_empty(&m->queue))
			break;
		list_move(&batch, &m->queue);
		m->waiting = 0;
		(void)pthread_mutex_unlock(&m->lock);
		serve(m, &batch);
		(void)pthread_mutex_lock(&m->lock);
	}
	(void)pthread_mutex_unlock(&m->lock);
	return NULL;
}

static int start_thread(struct metrics *m)
{
	sigset_t all, before;
	int r;

	/* Signals are the control thread's, but for the sampler's. */
	(void)sigfillset(&all);
	(void)sigdelset(&all, SAMPLER_SIGNAL);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&m->thread, NULL, run, m);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

int metrics_create(struct metrics **metrics, struct proxy *proxy, const struct access_log *log,
		   const struct static_config *config, struct weir_error *e)
{
	struct metrics *m = calloc(1, sizeof *m);
	int r;

	*metrics = NULL;
	if (m == NULL)
		return error_set(e, -ENOMEM, "metrics: out of memory");
	m->magic = METRICS_MAGIC;
	m->service = (struct service){SERVICE_MAGIC, &metrics_class,
				      internal_service_names[INTERNAL_PROMETHEUS]};
	m->proxy = proxy;
	m->access_log = log;
	m->text_bytes_max = (size_t)config->weir.limits.metrics_bytes;
	must(pthread_mutex_init(&m->lock, NULL) == 0 && pthread_cond_init(&m->work, NULL) == 0);
	list_init(&m->queue);
	r = start_thread(m);
	if (r < 0) {
		m->stopped = true;
		metrics_destroy(&m);
		return error_set(e, r, "metrics: thread: %s", strerror(-r));
	}
	proxy_set_internal(proxy, INTERNAL_PROMETHEUS, &m->service);
	*metrics = m;
	return 0;
}

void metrics_stop(struct metrics *m)
{
	if (m == NULL)
		return;
	OBJ_CHECK(m, METRICS_MAGIC);
	(void)pthread_mutex_lock(&m->lock);
	m->stopped = true;
	(void)pthread_cond_signal(&m->work);
	(void)pthread_mutex_unlock(&m->lock);
	must(pthread_join(m->thread, NULL) == 0);
}

void metrics_destroy(struct metrics **metrics)
{
	struct metrics *m;

	if (*metrics == NULL)
		return;
	OBJ_TAKE(m, metrics, METRICS_MAGIC);
	must(m->stopped && list_empty(&m->queue));
	(void)pthread_cond_destroy(&m->work);
	(void)pthread_mutex_destroy(&m->lock);
	m->magic = 0;
	free(m);
}
