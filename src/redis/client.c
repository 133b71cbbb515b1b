#include <errno.h>
#include <stdlib.h>

#include "core/log.h"
#include "redis/client_private.h"

/* With so many queries on each connection another one is opened. */
#define BUSY_QUERIES 16u

/* Between attempts to connect. */
#define BACKOFF_MIN_MS 100u
#define BACKOFF_MAX_MS 1000u

int redis_client_create(struct redis_client **client, struct loop *loop,
			const struct redis_options *options, struct redis_counters *counters)
{
	struct redis_client *k = calloc(1, sizeof *k);

	if (k == NULL)
		return -ENOMEM;
	k->magic = REDIS_CLIENT_MAGIC;
	k->loop = loop;
	k->options = options;
	k->counters = counters;
	list_init(&k->connections);
	list_init(&k->waiting);
	*client = k;
	return 0;
}

static void maybe_free(struct redis_client *k)
{
	if (k->options != NULL || k->count > 0 || k->closing > 0)
		return;
	k->magic = 0;
	free(k);
}

void redis_client_destroy(struct redis_client **client)
{
	struct redis_client *k;

	OBJ_TAKE(k, client, REDIS_CLIENT_MAGIC);
	must(k->in_progress == 0);
	k->options = NULL;
	loop_disarm(k->loop, &k->keep_timer);
	/* One more, so that the last connection does not free the client under this loop. */
	k->closing++;
	while (!list_empty(&k->connections)) {
		struct redis_connection *c =
			container_of(k->connections.next, struct redis_connection, link);

		/* What is in flight was cancelled. */
		redis_connection_close(c);
	}
	k->closing--;
	maybe_free(k);
}

struct redis_connection *redis_connection_new(struct redis_client *k)
{
	struct redis_connection *c = calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	c->magic = REDIS_CONNECTION_MAGIC;
	c->client = k;
	c->flush.run = redis_connection_flush;
	c->reader = redis_reader_create();
	if (c->reader == NULL) {
		free(c);
		return NULL;
	}
	list_append(&k->connections, &c->link);
	k->count++;
	k->opening++;
	counter_add(&k->counters->open, 1);
	return c;
}

static void free_connection(struct redis_connection *c)
{
	struct redis_client *k = c->client;

	redisReaderFree(c->reader);
	str_free(&c->out);
	c->magic = 0;
	free(c);
	k->closing--;
	maybe_free(k);
}

static void on_transport_closed(struct transport *t)
{
	free_connection(container_of(t, struct redis_connection, io));
}

void redis_connection_close(struct redis_connection *c)
{
	struct redis_client *k = c->client;

	OBJ_CHECK(c, REDIS_CONNECTION_MAGIC);
	must(c->state != REDIS_CLOSED);
	k->opening -= c->state != REDIS_READY;
	counter_sub(&k->counters->in_flight, c->in_flight);
	counter_sub(&k->counters->open, 1);
	c->state = REDIS_CLOSED;
	list_remove(&c->link);
	k->count--;
	k->closing++;
	loop_disarm(k->loop, &c->timer);
	loop_cancel(k->loop, &c->flush);
	lookup_cancel(&c->lookup);
	if (c->has_socket)
		transport_close(&c->io, on_transport_closed);
	else
		free_connection(c);
}

/* Takes the query out of wherever it is; then it is only its caller's. */
static void take_away(struct redis_query *q)
{
	struct redis_client *k = q->client;
	struct redis_connection *c = q->connection;

	loop_disarm(k->loop, &q->timer);
	list_remove(&q->link);
	counter_sub(&k->counters->waiting, q->waits);
	for (unsigned i = 0; c != NULL && i < c->in_flight; i++) {
		struct redis_query **slot = &c->slots[(c->first + i) % REDIS_PLACES];

		if (*slot == q)
			*slot = NULL;
	}
	k->in_progress--;
	q->waits = false;
	q->connection = NULL;
	q->client = NULL;
}

static void finish(struct redis_query *q, int code, const struct redisReply *reply)
{
	counter_add(&q->client->counters->failed, code < 0);
	take_away(q);
	q->done(q, code, reply);
}

void redis_query_cancel(struct redis_query *q)
{
	if (q->client == NULL)
		return;
	OBJ_CHECK(q->client, REDIS_CLIENT_MAGIC);
	take_away(q);
}

static void on_query_due(struct timer *t)
{
	struct redis_query *q = container_of(t, struct redis_query, timer);
	struct redis_connection *c = q->connection;

	counter_add(&q->client->counters->timeouts, 1);
	finish(q, -ETIMEDOUT, NULL);
	/* Answers come in order: nobody behind this one would get any. */
	if (c != NULL && c->state == REDIS_READY)
		redis_connection_fail(c, -ETIMEDOUT, NULL);
}

static struct redis_connection *least_busy(const struct redis_client *k)
{
	struct redis_connection *best = NULL;

	for (struct list *at = k->connections.next; at != &k->connections; at = at->next) {
		struct redis_connection *c = container_of(at, struct redis_connection, link);

		if (redis_connection_has_room(c) &&
		    (best == NULL || c->in_flight < best->in_flight))
			best = c;
	}
	return best;
}

static bool is_backing_off(const struct redis_client *k)
{
	return loop_now_ms(k->loop) < k->backoff_until_ms;
}

static void send_on(struct redis_connection *c, struct redis_query *q)
{
	loop_arm(c->client->loop, &q->timer, c->client->options->read_timeout_ms, on_query_due);
	redis_connection_send(c, q);
}

static void wait_for_connection(struct redis_client *k, struct redis_query *q)
{
	q->waits = true;
	list_append(&k->waiting, &q->link);
	counter_add(&k->counters->waiting, 1);
	loop_arm(k->loop, &q->timer, k->options->dial_timeout_ms, on_query_due);
}

/* The query is in progress and nowhere. */
static void place(struct redis_client *k, struct redis_query *q)
{
	struct redis_connection *c = list_empty(&k->waiting) ? least_busy(k) : NULL;
	bool wants_more = c == NULL || c->in_flight >= BUSY_QUERIES;

	if (c != NULL) {
		send_on(c, q);
	} else if (k->count == 0 && is_backing_off(k)) {
		finish(q, k->last_code, NULL);
		return;
	} else {
		wait_for_connection(k, q);
	}
	if (wants_more && k->opening == 0 && k->count < k->options->connections_max &&
	    !is_backing_off(k))
		redis_client_connect(k);
}

void redis_query_start(struct redis_query *q, struct redis_client *k)
{
	OBJ_CHECK(k, REDIS_CLIENT_MAGIC);
	must(q->client == NULL && k->options != NULL);
	q->client = k;
	q->repeated = false;
	k->in_progress++;
	counter_add(&k->counters->queries, 1);
	if (k->in_progress > k->options->queries_max) {
		counter_add(&k->counters->refused, 1);
		finish(q, -EBUSY, NULL);
		return;
	}
	place(k, q);
}

void redis_client_send_waiting(struct redis_client *k)
{
	struct redis_connection *c;

	while (!list_empty(&k->waiting) && (c = least_busy(k)) != NULL) {
		struct redis_query *q = container_of(k->waiting.next, struct redis_query, link);

		list_remove(&q->link);
		q->waits = false;
		counter_sub(&k->counters->waiting, 1);
		send_on(c, q);
	}
}

static void on_keep_due(struct timer *t)
{
	redis_client_prepare(container_of(t, struct redis_client, keep_timer));
}

void redis_client_prepare(struct redis_client *k)
{
	OBJ_CHECK(k, REDIS_CLIENT_MAGIC);
	if (k->options == NULL || k->count >= k->options->idle_min || k->opening > 0)
		return;
	if (is_backing_off(k))
		loop_arm(k->loop, &k->keep_timer, k->backoff_ms, on_keep_due);
	else
		redis_client_connect(k);
}

void redis_connection_is_ready(struct redis_connection *c)
{
	struct redis_client *k = c->client;

	c->state = REDIS_READY;
	k->opening--;
	counter_add(&k->counters->connections, 1);
	redis_connection_idle(c);
	redis_client_send_waiting(k);
	redis_client_prepare(k);
}

void redis_connection_answered(struct redis_connection *c, const struct redisReply *reply)
{
	struct redis_client *k = c->client;
	struct redis_query *q = c->slots[c->first];

	c->first = (c->first + 1) % REDIS_PLACES;
	c->in_flight--;
	counter_sub(&k->counters->in_flight, 1);
	c->proved = true;
	k->backoff_ms = 0;
	counter_add(&k->counters->errors, reply->type == REDIS_REPLY_ERROR);
	if (c->in_flight == 0)
		redis_connection_idle(c);
	if (q != NULL)
		finish(q, 0, reply);
}

/* No connection can be had for a while. */
static void back_off(struct redis_client *k, int code)
{
	k->backoff_ms = MIN(MAX(k->backoff_ms * 2, BACKOFF_MIN_MS), BACKOFF_MAX_MS);
	k->backoff_until_ms = loop_now_ms(k->loop) + k->backoff_ms;
	k->last_code = code;
}

static void report(const struct redis_connection *c, int code, const char *why)
{
	const struct redis_options *o = c->client->options;

	log_error_with((LOG_TEXT("host", o->host), LOG_INTEGER("port", o->port),
			LOG_STRING("error", why != NULL ? why : strerror(-code))),
		       "%s",
		       c->state == REDIS_READY ? "Connection to Redis is lost"
					       : "No connection to Redis");
}

/* Those that may be sent again go to `again`. */
static void take_queries(struct redis_connection *c, struct list *again, struct list *failed)
{
	for (unsigned i = 0; i < c->in_flight; i++) {
		struct redis_query *q = c->slots[(c->first + i) % REDIS_PLACES];

		if (q == NULL)
			continue;
		q->connection = NULL;
		loop_disarm(c->client->loop, &q->timer);
		list_append(q->repeated ? failed : again, &q->link);
	}
}

void redis_connection_fail(struct redis_connection *c, int code, const char *why)
{
	struct redis_client *k = c->client;
	bool was_opening = c->state != REDIS_READY, was_idle = !was_opening && c->in_flight == 0;
	struct list again, failed, *at;

	OBJ_CHECK(c, REDIS_CONNECTION_MAGIC);
	list_init(&again);
	list_init(&failed);
	take_queries(c, &again, &failed);
	if (!was_idle)
		report(c, code, why);
	counter_add(&k->counters->connect_failures, was_opening);
	counter_add(&k->counters->lost, !was_opening && !was_idle);
	if (!c->proved && !was_idle)
		back_off(k, code);
	redis_connection_close(c);
	if (k->count == 0 && (was_opening || is_backing_off(k))) {
		while ((at = list_pop(&k->waiting)) != NULL)
			list_append(&failed, at);
	}
	while ((at = list_pop(&failed)) != NULL)
		finish(container_of(at, struct redis_query, link), code, NULL);
	while ((at = list_pop(&again)) != NULL) {
		struct redis_query *q = container_of(at, struct redis_query, link);

		q->repeated = true;
		counter_add(&k->counters->repeated, 1);
		place(k, q);
	}
	/* Those that waited for room on this one. */
	if (k->count == 0 && !list_empty(&k->waiting) && !is_backing_off(k))
		redis_client_connect(k);
	/* Not at once: a server that closes whatever it accepts would be asked without end. */
	if (k->count < k->options->idle_min)
		loop_arm(k->loop, &k->keep_timer, MAX(k->backoff_ms, BACKOFF_MIN_MS), on_keep_due);
}
