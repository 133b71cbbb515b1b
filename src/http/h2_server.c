#include <errno.h>
#include <stdlib.h>

#include "http/h2_server_private.h"

/* How long a client may take to learn of a shutdown; as Go's server. */
#define NOTICE_MS 1000u

static struct h2_connection *connection_of(struct h2_session *s)
{
	struct h2_connection *h = container_of(s, struct h2_connection, session);

	OBJ_CHECK(h, H2_CONNECTION_MAGIC);
	return h;
}

/* Between two requests. */
static void rest(struct h2_connection *h)
{
	struct h1_connection *c = h->carrier;

	if (h->session.stream_count == 0 && h->life == H2_SERVING)
		loop_arm(c->server->loop, &c->timer, c->server->options.idle_timeout_ms,
			 h1_connection_idle_timed_out);
}

static void go(struct h2_connection *h)
{
	if (h->life == H2_LEAVING)
		return;
	h->life = H2_LEAVING;
	h2_session_shut(&h->session, true);
}

static void notice_is_over(struct timer *t)
{
	go(container_of(t, struct h1_connection, timer)->h2);
}

void h2_connection_leave(struct h2_connection *h)
{
	if (h->life != H2_SERVING)
		return;
	h->life = H2_NOTICED;
	h2_session_shut(&h->session, false);
	loop_arm(h->carrier->server->loop, &h->carrier->timer, NOTICE_MS, notice_is_over);
}

void h2_connection_finish(struct h2_request *r, bool failed)
{
	struct h2_connection *h = r->connection;

	h2_request_end(r, failed);
	rest(h);
}

/* Requests have one head. */
static bool on_head(struct h2_stream *stream)
{
	(void)stream;
	return true;
}

static void on_changed(struct h2_stream *stream, unsigned changes)
{
	struct h2_request *r = h2_request_of(stream);
	struct h2_connection *h = r->connection;
	struct h1_server_counters *counters = &h->carrier->server->counters;

	if (changes & H2_CLOSED) {
		bool failed = !stream->out_done, known = r->begun || (changes & H2_HEAD) != 0;

		counter_add(&counters->h2_resets, failed && known && !stream->reset);
		counter_add(&counters->aborted, failed && r->begun);
		counter_add(&counters->h2_refused, !known);
		if (!h2_tunnel_linger(r))
			h2_connection_finish(r, failed);
		return;
	}
	if (changes & H2_HEAD)
		h2_request_start(r);
	else if (r->begun && (changes & H2_BODY) && stream->in != NULL) {
		if (stream->two_way)
			h2_tunnel_note_activity(r);
		body_notify(stream->in);
	}
}

static void on_write_stall(struct timer *t)
{
	struct h1_connection *c = container_of(t, struct h1_connection, write_timer);

	counter_add(&c->server->counters.stalled, 1);
	h1_connection_close(c, true);
}

static void on_blocked(struct h2_session *s, bool blocked, bool progress)
{
	struct h1_connection *c = connection_of(s)->carrier;

	if (!blocked)
		loop_disarm(c->server->loop, &c->write_timer);
	else if (progress || !timer_armed(&c->write_timer))
		loop_arm(c->server->loop, &c->write_timer, c->server->options.stall_timeout_ms,
			 on_write_stall);
}

/* A client that begins no more streams: those that there are go on. */
static void on_leaving(struct h2_session *s, int32_t last)
{
	(void)s;
	(void)last;
}

static void on_pong(struct h2_session *s)
{
	struct h2_connection *h = connection_of(s);

	if (h->life == H2_NOTICED)
		go(h);
}

static void on_over(struct h2_session *s, int error)
{
	struct h2_connection *h = connection_of(s);
	struct h1_connection *c = h->carrier;

	counter_add(&c->server->counters.h2_floods, s->flooded);
	if (error < 0)
		h1_connection_close(c, error != -ECONNRESET);
	else
		h1_connection_linger(c);
}

static const struct h2_session_ops ops = {.begin = h2_request_new,
					  .field = h2_request_field,
					  .head = on_head,
					  .changed = on_changed,
					  .blocked = on_blocked,
					  .leaving = on_leaving,
					  .pong = on_pong,
					  .over = on_over};

void h2_connection_begin(struct h1_connection *c)
{
	struct h1_server *s = c->server;
	struct h2_connection *h = calloc(1, sizeof *h);
	struct buffer *early = c->in.in != NULL ? buffer_ref(c->in.in) : NULL;
	slice bytes = h1_receiver_bytes(&c->in);

	if (h == NULL || h2_session_init(&h->session, &c->io, true, &s->options.h2, &ops) < 0) {
		free(h);
		buffer_unref(&early);
		h1_connection_close(c, false);
		return;
	}
	h->magic = H2_CONNECTION_MAGIC;
	h->carrier = c;
	c->h2 = h;
	c->state = H1_HTTP2;
	h1_receiver_free(&c->in);
	counter_add(&s->counters.h2_connections, 1);
	loop_arm(s->loop, &c->timer, s->options.idle_timeout_ms, h1_connection_idle_timed_out);
	if (s->draining)
		h2_connection_drain(h);
	if (early != NULL)
		h2_session_feed(&h->session, early, bytes);
	else
		h2_session_on_ready(&h->session, TRANSPORT_READABLE);
	buffer_unref(&early);
}

bool h2_connection_takes(struct h1_connection *c)
{
	const slice preface = SLICE(H2_PREFACE);
	slice bytes = slice_first(h1_receiver_bytes(&c->in), preface.n);

	if (c->tls != NULL || c->server->options.h2.streams_max == 0 ||
	    !slice_starts(preface, bytes))
		return false;
	if (bytes.n == preface.n) {
		h2_connection_begin(c);
		return true;
	}
	if (c->state == H1_IDLE) {
		c->state = H1_HEAD;
		loop_arm(c->server->loop, &c->timer, c->server->options.read_timeout_ms,
			 h1_connection_head_timed_out);
	}
	h1_connection_watch(c, true, false);
	return true;
}

void h2_connection_on_ready(struct h2_connection *h, int events)
{
	OBJ_CHECK(h, H2_CONNECTION_MAGIC);
	h2_session_on_ready(&h->session, events);
}

void h2_connection_drain(struct h2_connection *h)
{
	OBJ_CHECK(h, H2_CONNECTION_MAGIC);
	h2_connection_leave(h);
}

void h2_connection_free(struct h2_connection **giver)
{
	struct h2_connection *h;
	struct list *streams;

	if (*giver == NULL)
		return;
	OBJ_TAKE(h, giver, H2_CONNECTION_MAGIC);
	streams = &h->session.streams;
	while (!list_empty(streams)) {
		struct h2_request *r =
			h2_request_of(container_of(streams->next, struct h2_stream, link));

		counter_add(&h->carrier->server->counters.aborted, r->begun && !r->stream.out_done);
		h2_request_end(r, !r->stream.out_done);
	}
	h2_session_free(&h->session);
	h->magic = 0;
	free(h);
}
