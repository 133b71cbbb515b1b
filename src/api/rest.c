#include "api/rest.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "http/exchange.h"
#include "provider/rest.h"
#include "proxy/internal.h"
#include "proxy/proxy.h"
#include "proxy/stats.h"

#define REST_MAGIC 0x72657374u
#define PUT_MAGIC 0x70757420u

/* Exchanges at the same time; more get 503. */
#define PUTS_MAX 64u

/* Of these whose body is complete and not taken yet: a client that sends slowly keeps no other
 * out. */
#define TAKEN_MAX 4u

/* Who frees a put is agreed on when both threads may know of it. */
enum put_owner { PUT_WORKERS, PUT_CONTROLS, PUT_GIVEN_UP };

/** One exchange. Its worker's, but while the control thread has it. */
struct put {
	uint32_t magic;
	struct rest *rest;
	struct exchange *x; /* NULL: it has ended meanwhile */
	struct loop *loop;
	struct str body;
	struct str answer;
	struct dynamic_config *config; /* what was read */
	int result;                    /* of the reading */
	size_t held_bytes;             /* of body or answer: its part of what all may hold */
	int status;
	struct list link; /* among those that wait for the reading */
	pthread_t thread; /* that reads */
	bool has_thread;
	_Atomic int owner;
	struct exchange_ending ending;
	struct message message; /* to the control thread and back */
};

struct rest {
	uint32_t magic;
	struct service service;
	struct loop *control;
	struct aggregator *aggregator; /* NULL: stopped; the control thread's, as the next two */
	struct list queue;             /* puts that wait */
	struct put *reading;           /* the one that is being read, or NULL */
	size_t body_bytes_max;
	size_t held_bytes_max;
	struct api_counters *counters; /* of rest: counted by all threads */
	_Atomic size_t held_bytes;     /* of bodies that are not decoded yet, and of answers */
	_Atomic unsigned puts;
	_Atomic unsigned taken; /* on their way to the control thread, or there */
};

static void count(_Atomic uint64_t *counter)
{
	(void)atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void free_body(struct put *p)
{
	(void)atomic_fetch_sub(&p->rest->held_bytes, p->held_bytes);
	p->held_bytes = 0;
	str_free(&p->body);
}

static void free_put(struct put *p)
{
	(void)atomic_fetch_sub(&p->rest->puts, 1);
	free_body(p);
	str_free(&p->answer);
	p->magic = 0;
	free(p);
}

static void on_over(struct exchange_ending *e)
{
	struct put *p = container_of(e, struct put, ending);

	OBJ_CHECK(p, PUT_MAGIC);
	free_put(p);
}

/* Middlewares may read the text after the client has gone, until the exchange is over. */
static void respond(struct put *p)
{
	struct exchange *x = p->x;
	struct response *r = &x->response;
	const bool good = p->status == 200;

	r->status = p->status;
	r->version = HTTP_1_1;
	r->framing = FRAMING_LENGTH;
	r->content_length = p->answer.n;
	r->keep_alive = true;
	(void)fields_add_id(&r->fields, FIELD_CONTENT_TYPE,
			    good ? SLICE("application/json; charset=UTF-8")
				 : SLICE("text/plain; charset=utf-8"));
	if (!good)
		(void)fields_add_id(&r->fields, FIELD_X_CONTENT_TYPE_OPTIONS, SLICE("nosniff"));
	body_push(x->response_body, NULL, str_slice(&p->answer));
	body_end(x->response_body);
	exchange_at_end(x, &p->ending, on_over);
	exchange_service_done(x);
	exchange_respond(x);
}

/* On the worker's loop. */
static void on_taken(struct message *m)
{
	struct put *p = container_of(m, struct put, message);
	struct exchange *x = p->x;
	int status = p->status;

	OBJ_CHECK(p, PUT_MAGIC);
	if (x != NULL && (status == 200 || status == 400)) {
		respond(p);
		return;
	}
	free_put(p);
	if (x != NULL)
		exchange_fail(x, status);
}

/* In a thread of its own, or on the control thread if there is none. */
static void *read_put(void *context)
{
	struct put *p = context;

	p->result = rest_provider_read(str_slice(&p->body), p->rest->body_bytes_max, &p->answer,
				       &p->config);
	if (p->has_thread)
		must(loop_post(p->rest->control, &p->message));
	return NULL;
}

static void answer_put(struct put *p)
{
	struct rest *rest = p->rest;
	const int r = p->result;
	int mine = PUT_CONTROLS;

	count(r == 0 ? &rest->counters->rest_taken : &rest->counters->rest_refused);
	(void)atomic_fetch_sub(&rest->taken, 1);
	p->status = r == 0 ? 200 : r == -EINVAL ? 400 : 503;
	p->message.run = on_taken;
	if (!atomic_compare_exchange_strong(&p->owner, &mine, PUT_WORKERS))
		free_put(p);
	else
		must(loop_post(p->loop, &p->message));
}

/* Whether there is room for so much more of a body, or for an answer. A buffer is at most twice as
 * long. */
static bool reserve(struct put *p, size_t bytes)
{
	size_t before = atomic_fetch_add(&p->rest->held_bytes, bytes);

	p->held_bytes += bytes;
	return before + bytes <= p->rest->held_bytes_max;
}

/* The answer lies here until the client has taken it, however long that is: its bytes take the
 * place of the body's. One that is alone has room. */
static void hold_answer(struct put *p)
{
	free_body(p);
	if (!reserve(p, p->answer.n) && atomic_load(&p->rest->held_bytes) > p->held_bytes)
		p->result = -ENOBUFS;
}

static void on_read(struct message *m);

/* One after the other, so that the last one put is the one in effect. */
static void read_next(struct rest *rest)
{
	while (rest->reading == NULL && !list_empty(&rest->queue)) {
		struct put *p = container_of(list_pop(&rest->queue), struct put, link);

		p->message.run = on_read;
		p->has_thread = rest->aggregator != NULL;
		rest->reading = p;
		if (!p->has_thread) {
			p->result = -ESHUTDOWN;
			on_read(&p->message);
		} else if (pthread_create(&p->thread, NULL, read_put, p) != 0) {
			p->has_thread = false;
			(void)read_put(p);
			on_read(&p->message);
		}
	}
}

/* On the control thread, as what follows. */
static void on_read(struct message *m)
{
	struct put *p = container_of(m, struct put, message);
	struct rest *rest = p->rest;

	OBJ_CHECK(p, PUT_MAGIC);
	if (p->has_thread)
		must(pthread_join(p->thread, NULL) == 0);
	rest->reading = NULL;
	hold_answer(p);
	if (p->config != NULL && rest->aggregator == NULL)
		p->result = -ESHUTDOWN;
	if (p->config != NULL && p->result == 0)
		rest_provider_publish(rest->aggregator, &p->config);
	dynamic_destroy(&p->config);
	answer_put(p);
	read_next(rest);
}

static void on_put(struct message *m)
{
	struct put *p = container_of(m, struct put, message);

	OBJ_CHECK(p, PUT_MAGIC);
	list_append(&p->rest->queue, &p->link);
	read_next(p->rest);
}

/* Answers without having taken anything. */
static void refuse(struct put *p, int status)
{
	struct exchange *x = p->x;

	body_set_consumer(x->request_body, NULL, NULL);
	count(&p->rest->counters->rest_refused);
	free_put(p);
	exchange_fail(x, status);
}

static void hand_over(struct put *p)
{
	if (atomic_fetch_add(&p->rest->taken, 1) >= TAKEN_MAX) {
		(void)atomic_fetch_sub(&p->rest->taken, 1);
		refuse(p, 503);
		return;
	}
	body_set_consumer(p->x->request_body, NULL, NULL);
	atomic_store(&p->owner, PUT_CONTROLS);
	p->message.run = on_put;
	must(loop_post(p->rest->control, &p->message));
}

static void on_body(struct body *b, void *consumer)
{
	struct put *p = consumer;

	OBJ_CHECK(p, PUT_MAGIC);
	while (b->bytes > 0) {
		slice piece = body_front(b);

		if (!reserve(p, piece.n)) {
			refuse(p, 503);
			return;
		}
		str_add(&p->body, piece);
		body_take(b, piece.n);
		if (p->body.failed) {
			refuse(p, 413);
			return;
		}
	}
	if (body_broken(b)) {
		refuse(p, 400);
	} else if (body_finished(b)) {
		hand_over(p);
	}
}

static bool is_rest(slice path)
{
	return slice_equal(path, SLICE("/api/providers/rest"));
}

/* As Traefik: one path element, whatever it is, and only PUT. */
static bool answer_others(struct exchange *x)
{
	static const slice prefix = {"/api/providers/", sizeof("/api/providers/") - 1};
	slice path = x->request.path, name = slice_from_at(path, prefix.n);

	if (!slice_starts(path, prefix) || name.n == 0 || slice_find(name, '/') < name.n)
		exchange_reply(x, 404, SLICE("404 page not found\n"), true);
	else if (x->request.method_id != METHOD_PUT)
		exchange_reply(x, 405, (slice){NULL, 0}, false);
	else if (!is_rest(path))
		exchange_reply(x, 400,
			       SLICE("Only 'rest' provider can be updated through the REST API\n"),
			       true);
	else
		return false;
	return true;
}

static void start(struct service *service, struct exchange *x)
{
	struct rest *rest = container_of(service, struct rest, service);
	struct put *p;

	OBJ_CHECK(rest, REST_MAGIC);
	if (answer_others(x))
		return;
	if (atomic_fetch_add(&rest->puts, 1) >= PUTS_MAX || (p = calloc(1, sizeof *p)) == NULL) {
		(void)atomic_fetch_sub(&rest->puts, 1);
		count(&rest->counters->rest_refused);
		exchange_fail(x, 503);
		return;
	}
	p->magic = PUT_MAGIC;
	p->rest = rest;
	p->x = x;
	p->loop = x->loop;
	p->body.limit = rest->body_bytes_max;
	p->answer.limit = 4 * rest->body_bytes_max;
	x->service_state = p;
	body_set_consumer(x->request_body, on_body, p);
	on_body(x->request_body, p);
}

static void cancel(struct service *service, struct exchange *x)
{
	struct put *p = x->service_state;
	int controls = PUT_CONTROLS;

	(void)service;
	OBJ_CHECK(p, PUT_MAGIC);
	p->x = NULL;
	if (x->request_body->consumer == p)
		body_set_consumer(x->request_body, NULL, NULL);
	/* The control thread frees it when it comes to it. */
	if (atomic_compare_exchange_strong(&p->owner, &controls, PUT_GIVEN_UP))
		return;
	/* Else it is on its way back, or was never sent. */
	if (p->message.run != on_taken)
		free_put(p);
}

static const struct service_class rest_class = {.name = "rest", .start = start, .cancel = cancel};

int rest_create(struct rest **made, struct proxy *proxy, const struct static_config *config,
		struct loop *control, struct aggregator *aggregator, struct weir_error *e)
{
	struct rest *rest = calloc(1, sizeof *rest);

	*made = rest;
	if (rest == NULL)
		return error_set(e, -ENOMEM, "providers.rest: out of memory");
	rest->magic = REST_MAGIC;
	rest->service =
		(struct service){SERVICE_MAGIC, &rest_class, internal_service_names[INTERNAL_REST]};
	rest->control = control;
	list_init(&rest->queue);
	rest->aggregator = aggregator;
	rest->body_bytes_max = (size_t)config->weir.limits.rest_bytes;
	/* One alone always has room. */
	rest->held_bytes_max =
		MAX((size_t)config->weir.limits.rest_held_bytes, rest->body_bytes_max);
	rest->counters = proxy_api_counters(proxy);
	proxy_set_internal(proxy, INTERNAL_REST, &rest->service);
	return 0;
}

void rest_stop(struct rest *rest)
{
	if (rest != NULL)
		rest->aggregator = NULL;
}

void rest_destroy(struct rest **rest)
{
	struct rest *r;

	if (*rest == NULL)
		return;
	OBJ_TAKE(r, rest, REST_MAGIC);
	/* What was given up while it was on its way to this thread. */
	while (atomic_load(&r->puts) > 0)
		(void)uv_run(&r->control->uv, UV_RUN_ONCE);
	r->magic = 0;
	free(r);
}
