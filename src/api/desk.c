#include "api/desk.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/sampler.h"

#define DESK_MAGIC 0x6465736bu
#define JOB_MAGIC 0x6a6f6220u

/* That wait for the thread; more get 503. */
#define WAITING_MAX 256u

/* Browsers send about 150. */
#define ACCEPT_BYTES_MAX ((size_t)1024)

/** One exchange. Its worker's, but for what the thread fills in before it sends `done`. */
struct job {
	uint32_t magic;
	struct desk *desk;
	struct exchange *x; /* NULL: it has ended meanwhile */
	struct loop *loop;
	struct desk_errand errand; /* in the queue, under the lock */
	struct message done;
	struct exchange_ending ending;
	size_t held_bytes;           /* its part of the desk's */
	int failure;                 /* the status instead of an answer; 0: there is one */
	struct desk_request request; /* its slices point behind the job */
	struct desk_answer answer;
};

struct desk {
	uint32_t magic;
	struct desk_options options;
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows, and who counts */
	pthread_cond_t work;
	struct list queue; /* of errands */
	size_t waiting;    /* in the queue */
	bool stopped;
	_Atomic size_t held_bytes; /* of answers that exchanges have; only the thread adds */
};

static void free_job(struct job *j)
{
	(void)atomic_fetch_sub(&j->desk->held_bytes, j->held_bytes);
	str_free(&j->answer.body);
	j->magic = 0;
	free(j);
}

static void on_over(struct exchange_ending *e)
{
	struct job *j = container_of(e, struct job, ending);

	OBJ_CHECK(j, JOB_MAGIC);
	free_job(j);
}

/* The text is the job's. Middlewares may read it after the client has gone, until the exchange is
 * over. */
static void respond(struct job *j)
{
	struct exchange *x = j->x;
	struct response *r = &x->response;
	slice text = str_slice(&j->answer.body);

	r->status = j->answer.status;
	r->version = HTTP_1_1;
	r->framing = FRAMING_LENGTH;
	r->content_length = text.n;
	r->keep_alive = true;
	if (j->answer.content_type != NULL)
		(void)fields_add_id(&r->fields, FIELD_CONTENT_TYPE,
				    slice_from(j->answer.content_type));
	if (j->answer.no_sniffing)
		(void)fields_add_id(&r->fields, FIELD_X_CONTENT_TYPE_OPTIONS, SLICE("nosniff"));
	if (j->answer.field != NULL)
		(void)fields_add(&r->fields, slice_from(j->answer.field),
				 slice_from(j->answer.field_value));
	body_push(x->response_body, NULL, text);
	body_end(x->response_body);
	exchange_at_end(x, &j->ending, on_over);
	exchange_service_done(x);
	exchange_respond(x);
}

/* On the worker's loop. */
static void on_done(struct message *m)
{
	struct job *j = container_of(m, struct job, done);
	struct exchange *x = j->x;
	int failure = j->failure;

	OBJ_CHECK(j, JOB_MAGIC);
	if (x != NULL && failure == 0) {
		respond(j);
		return;
	}
	free_job(j);
	if (x != NULL)
		exchange_fail(x, failure);
}

static slice accept_of(const struct exchange *x)
{
	const struct field *f = fields_find_id(&x->request.fields, FIELD_ACCEPT);

	return f != NULL && f->value.n <= ACCEPT_BYTES_MAX ? f->value : (slice){NULL, 0};
}

/* Copies `from` to `*text`, which moves on. */
static slice keep(char **text, slice from)
{
	slice kept = slice_of(*text, from.n);

	if (from.n > 0)
		memcpy(*text, from.p, from.n);
	*text += from.n;
	return kept;
}

static void serve(struct desk_errand *e);

static struct job *new_job(struct desk *d, struct exchange *x)
{
	const struct request *r = &x->request;
	slice accept = accept_of(x);
	struct job *j = calloc(1, sizeof *j + r->path.n + r->query.n + accept.n + 1);
	char *text;

	if (j == NULL)
		return NULL;
	text = (char *)(j + 1);
	j->magic = JOB_MAGIC;
	j->desk = d;
	j->x = x;
	j->loop = x->loop;
	j->errand.run = serve;
	j->done.run = on_done;
	j->request.method = r->method_id;
	j->request.path = keep(&text, r->path);
	j->request.query = keep(&text, r->query);
	j->request.accept = keep(&text, accept);
	j->answer.body.limit = d->options.answer_bytes_max;
	return j;
}

bool desk_send(struct desk *d, struct desk_errand *e)
{
	bool room;

	OBJ_CHECK(d, DESK_MAGIC);
	(void)pthread_mutex_lock(&d->lock);
	room = !d->stopped && d->waiting < WAITING_MAX;
	if (room) {
		list_append(&d->queue, &e->link);
		d->waiting++;
		(void)pthread_cond_signal(&d->work);
	} else {
		counter_add(&d->options.counters->refused, 1);
	}
	(void)pthread_mutex_unlock(&d->lock);
	return room;
}

bool desk_ask(struct desk *d, struct exchange *x)
{
	struct job *j = new_job(d, x);

	OBJ_CHECK(d, DESK_MAGIC);
	x->service_state = j;
	if (j != NULL && desk_send(d, &j->errand))
		return true;
	if (j != NULL)
		free_job(j);
	exchange_fail(x, 503);
	return false;
}

void desk_cancel(struct exchange *x)
{
	struct job *j = x->service_state;

	OBJ_CHECK(j, JOB_MAGIC);
	/* It is freed when it comes back from the thread. */
	j->x = NULL;
}

static void make_answer(struct desk *d, struct job *j)
{
	struct str *body = &j->answer.body;

	d->options.answer(d->options.context, &j->request, &j->answer);
	if (body->failed || j->answer.status == 0) {
		str_free(body);
		j->failure = 500;
	}
	j->held_bytes = body->capacity;
	(void)atomic_fetch_add(&d->held_bytes, j->held_bytes);
}

static void refuse(struct desk *d, struct job *j)
{
	j->failure = 503;
	if (d->options.refused != NULL)
		d->options.refused(d->options.context, &j->request);
}

static void serve(struct desk_errand *e)
{
	struct job *j = container_of(e, struct job, errand);
	struct desk *d = j->desk;
	struct api_counters *c = d->options.counters;
	uint64_t begun_ns = clock_mono_ns();

	/* Clients that do not read would fill the memory. */
	if (atomic_load(&d->held_bytes) > d->options.answer_bytes_max)
		refuse(d, j);
	else
		make_answer(d, j);
	(void)pthread_mutex_lock(&d->lock);
	counter_add(j->failure == 0     ? &c->answered
		    : j->failure == 503 ? &c->refused
					: &c->failed,
		    1);
	counter_add(&c->render_ns, clock_mono_ns() - begun_ns);
	(void)pthread_mutex_unlock(&d->lock);
	/* The worker lives as long as the proxy. */
	must(loop_post(j->loop, &j->done));
}

static void *run(void *context)
{
	struct desk *d = context;

	(void)pthread_setname_np(pthread_self(), d->options.thread);
	(void)pthread_mutex_lock(&d->lock);
	for (;;) {
		struct desk_errand *errand;
		struct list *e;

		while (list_empty(&d->queue) && !d->stopped)
			(void)pthread_cond_wait(&d->work, &d->lock);
		e = list_pop(&d->queue);
		if (e == NULL)
			break;
		d->waiting--;
		(void)pthread_mutex_unlock(&d->lock);
		errand = container_of(e, struct desk_errand, link);
		errand->run(errand);
		(void)pthread_mutex_lock(&d->lock);
	}
	(void)pthread_mutex_unlock(&d->lock);
	return NULL;
}

static int start_thread(struct desk *d)
{
	sigset_t all, before;
	int r;

	/* Signals are the control thread's, but for the sampler's. */
	(void)sigfillset(&all);
	(void)sigdelset(&all, SAMPLER_SIGNAL);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&d->thread, NULL, run, d);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

int desk_create(struct desk **desk, const struct desk_options *options, struct weir_error *e)
{
	struct desk *d = calloc(1, sizeof *d);
	int r;

	*desk = NULL;
	if (d == NULL)
		return error_set(e, -ENOMEM, "%s: out of memory", options->thread);
	d->magic = DESK_MAGIC;
	d->options = *options;
	must(pthread_mutex_init(&d->lock, NULL) == 0 && pthread_cond_init(&d->work, NULL) == 0);
	list_init(&d->queue);
	r = start_thread(d);
	if (r < 0) {
		d->stopped = true;
		desk_destroy(&d);
		return error_set(e, r, "%s: thread: %s", options->thread, strerror(-r));
	}
	*desk = d;
	return 0;
}

void desk_stop(struct desk *d)
{
	if (d == NULL)
		return;
	OBJ_CHECK(d, DESK_MAGIC);
	(void)pthread_mutex_lock(&d->lock);
	d->stopped = true;
	(void)pthread_cond_signal(&d->work);
	(void)pthread_mutex_unlock(&d->lock);
	must(pthread_join(d->thread, NULL) == 0);
}

void desk_destroy(struct desk **desk)
{
	struct desk *d;

	if (*desk == NULL)
		return;
	OBJ_TAKE(d, desk, DESK_MAGIC);
	must(d->stopped && list_empty(&d->queue));
	(void)pthread_cond_destroy(&d->work);
	(void)pthread_mutex_destroy(&d->lock);
	d->magic = 0;
	free(d);
}
