#include "http/h1_server.h"

#include <errno.h>
#include <stdlib.h>

#include "core/log.h"
#include "http/h1_server_private.h"
#include "http/h2_server.h"

#define LINGER_MS 1000u
/* While draining: how long a request may be on its way, on a new connection and on one that has had
 * an answer without "close". */
#define NEW_CONNECTION_GRACE_MS 1000u
#define NEXT_REQUEST_GRACE_MS 200u
#define LINGER_BYTES_MAX ((uint64_t)1024 * 1024)
#define PIPELINE_BYTES_MAX BUFFER_SMALL_BYTES

void h1_connection_watch(struct h1_connection *c, bool readable, bool writable)
{
	transport_watch(&c->io,
			(readable ? TRANSPORT_READABLE : 0) | (writable ? TRANSPORT_WRITABLE : 0));
}

static bool watches(const struct h1_connection *c, int event)
{
	return (c->io.watched & event) != 0;
}

static void set_reading(struct h1_connection *c, bool on)
{
	h1_connection_watch(c, on, watches(c, TRANSPORT_WRITABLE));
}

static void maybe_stopped(struct h1_server *s)
{
	if (s->draining && !s->listening && s->connection_count == 0 && s->stopped != NULL) {
		void (*stopped)(struct h1_server *) = s->stopped;

		s->stopped = NULL;
		stopped(s);
	}
}

static void on_transport_closed(struct transport *t)
{
	struct h1_connection *c = container_of(t, struct h1_connection, io);
	struct h1_server *s = c->server;

	OBJ_CHECK(c, H1_CONNECTION_MAGIC);
	must(c->x == NULL && c->state == H1_CLOSED);
	c->magic = 0;
	list_remove(&c->link);
	free(c);
	h1_server_count_closed(s);
	maybe_stopped(s);
}

void h1_connection_close(struct h1_connection *c, bool reset)
{
	OBJ_CHECK(c, H1_CONNECTION_MAGIC);
	if (c->state == H1_CLOSED)
		return;
	counter_sub(&c->server->counters.tunnels_open, c->state == H1_TUNNEL);
	c->state = H1_CLOSED;
	loop_disarm(c->server->loop, &c->timer);
	loop_disarm(c->server->loop, &c->write_timer);
	if (c->x != NULL)
		exchange_end(&c->x, true);
	h2_connection_free(&c->h2);
	loop_cancel(c->server->loop, &c->pump);
	h1_sender_free(&c->out);
	h1_receiver_free(&c->in);
	if (reset)
		transport_reset_on_close(&c->io);
	c->tls = NULL;
	transport_close(&c->io, on_transport_closed);
}

static void linger_is_over(struct timer *t)
{
	h1_connection_close(container_of(t, struct h1_connection, timer), false);
}

void h1_connection_linger(struct h1_connection *c)
{
	must(c->x == NULL);
	h2_connection_free(&c->h2);
	h1_sender_free(&c->out);
	h1_receiver_free(&c->in);
	loop_disarm(c->server->loop, &c->write_timer);
	c->state = H1_LINGER;
	c->drain_bytes = LINGER_BYTES_MAX;
	transport_shutdown(&c->io);
	h1_connection_watch(c, true, false);
	loop_arm(c->server->loop, &c->timer, LINGER_MS, linger_is_over);
}

void h1_connection_head_timed_out(struct timer *t)
{
	struct h1_connection *c = container_of(t, struct h1_connection, timer);

	counter_add(&c->server->counters.read_timeouts, 1);
	h1_connection_close(c, false);
}

void h1_connection_idle_timed_out(struct timer *t)
{
	struct h1_connection *c = container_of(t, struct h1_connection, timer);

	counter_add(&c->server->counters.idle_timeouts, 1);
	h1_connection_close(c, false);
}

static void body_timed_out(struct timer *t)
{
	struct h1_connection *c = container_of(t, struct h1_connection, timer);

	counter_add(&c->server->counters.read_timeouts, 1);
	c->keep_alive = false;
	if (c->state != H1_BUSY) {
		h1_connection_close(c, false);
		return;
	}
	c->body_done = true;
	set_reading(c, true);
	body_abort(&c->x->own_request_body, -ETIMEDOUT);
	body_notify(&c->x->own_request_body);
}

static void client_left(struct h1_connection *c)
{
	counter_add(&c->server->counters.aborted, c->x != NULL);
	h1_connection_close(c, false);
}

/* The body came to an end that its framing does not allow. */
static void body_failed(struct h1_connection *c, int code)
{
	struct body *b = &c->x->own_request_body;

	c->keep_alive = false;
	c->body_done = true;
	loop_disarm(c->server->loop, &c->timer);
	body_abort(b, code);
	body_notify(b);
}

/* Decodes what is buffered of the request's body. The connection may be closed afterwards. */
static void decode_body(struct h1_connection *c)
{
	struct body *b = &c->x->own_request_body;
	enum h1_result r = h1_receiver_decode(&c->in, b, &c->x->request_trailers);

	if (r < 0) {
		log_debug_with((LOG_TEXT("ClientAddr", c->x->peer)), "Request body: %s",
			       h1_error_text(r));
		body_failed(c, -EPROTO);
		return;
	}
	if (r == H1_DONE) {
		c->body_done = true;
		loop_disarm(c->server->loop, &c->timer);
	}
	/* Behind the body only the client's end and further requests can come. */
	set_reading(c, r == H1_DONE || (!b->stalled && !c->continue_owed));
	body_notify(b);
}

static void pump(struct task *t)
{
	struct h1_connection *c = container_of(t, struct h1_connection, pump);

	if (c->state == H1_HANDSHAKE)
		h1_connection_handshake(c);
	else if (c->state == H1_TUNNEL)
		h1_connection_tunnel_pump(c);
	else if (c->state == H1_BUSY && !c->body_done)
		decode_body(c);
}

/* The request's consumer has room. */
static void want_body(struct body *b, void *producer)
{
	struct h1_connection *c = producer;

	(void)b;
	OBJ_CHECK(c, H1_CONNECTION_MAGIC);
	if (c->body_done)
		return;
	h1_connection_continue(c);
	if (h1_receiver_bytes(&c->in).n > 0)
		loop_defer(c->server->loop, &c->pump);
	else
		set_reading(c, true);
}

static void limit_keep_alive(struct h1_connection *c)
{
	const struct h1_server_options *o = &c->server->options;
	uint64_t age_ms = loop_now_ms(c->server->loop) - c->born_ms;

	/* What follows a CONNECT may not be HTTP. */
	c->keep_alive =
		c->x->request.keep_alive && !c->server->draining &&
		c->x->request.method_id != METHOD_CONNECT &&
		(o->keep_alive_max_requests == 0 || c->requests < o->keep_alive_max_requests) &&
		(o->keep_alive_max_ms == 0 || age_ms < o->keep_alive_max_ms);
}

static void write_timed_out(struct timer *t)
{
	struct h1_connection *c = container_of(t, struct h1_connection, write_timer);

	counter_add(&c->server->counters.write_timeouts, 1);
	h1_connection_close(c, true);
}

static void begin_body(struct h1_connection *c)
{
	struct exchange *x = c->x;
	struct request *q = &x->request;

	h1_receiver_begin_body(&c->in, q->framing, q->content_length);
	c->continue_owed = q->expect_continue && q->framing != FRAMING_NONE;
	c->body_done = false;
	if (q->framing == FRAMING_NONE ||
	    (q->framing == FRAMING_LENGTH && q->content_length == 0)) {
		c->continue_owed = false;
		body_end(&x->own_request_body);
		c->body_done = true;
		loop_disarm(c->server->loop, &c->timer);
		return;
	}
	body_set_producer(&x->own_request_body, want_body, c);
	/* One time-out for the whole request: it began with the first byte of the head. */
	if (c->in_head)
		c->timer.fire = body_timed_out;
	else
		loop_arm(c->server->loop, &c->timer, c->server->options.read_timeout_ms,
			 body_timed_out);
}

/* Bytes that came with the head go into the body before anybody looks at it. */
static void take_early_body(struct h1_connection *c)
{
	if (!c->body_done && !c->continue_owed && h1_receiver_bytes(&c->in).n > 0)
		decode_body(c);
	else
		set_reading(c, c->body_done);
}

/* The head is complete: `head_bytes` of what is buffered. The connection may be closed afterwards.
 */
static void begin_exchange(struct h1_connection *c, size_t head_bytes)
{
	struct h1_server *s = c->server;
	struct exchange *x = c->x;
	slice head = slice_first(h1_receiver_bytes(&c->in), head_bytes);
	slice kept = arena_copy(&x->arena, head);

	if (kept.p == NULL || h1_connection_name_client(c, x) < 0) {
		exchange_end(&c->x, true);
		h1_connection_reject(c, 431);
		return;
	}
	h1_rebase_request(&x->request, head, kept.p);
	h1_receiver_skip(&c->in, head_bytes);
	x->client_method = x->request.method_id;
	c->in_head = c->state == H1_HEAD && timer_armed(&c->timer);
	c->state = H1_BUSY;
	c->responding = false;
	c->requests++;
	counter_add(&s->counters.requests, 1);
	limit_keep_alive(c);
	loop_arm(s->loop, &c->write_timer, s->options.write_timeout_ms, write_timed_out);
	begin_body(c);
	take_early_body(c);
	if (c->state != H1_BUSY)
		return;
	if (request_expects_unknown(&x->request)) {
		c->keep_alive = false;
		exchange_refuse(x, 417, SLICE(""), false);
		return;
	}
	s->handle(s, x);
}

static void parse_head(struct h1_connection *c)
{
	struct h1_server *s = c->server;
	size_t head_bytes = 0;
	enum h1_result r;

	c->x = exchange_begin(s->exchanges, &h1_connection_client, c);
	if (c->x == NULL) {
		h1_connection_reject(c, 503);
		return;
	}
	r = h1_parse_request(&c->x->request, &c->x->arena, h1_receiver_bytes(&c->in),
			     &s->options.head, &c->in.scanned, &head_bytes);
	if (r == H1_DONE) {
		begin_exchange(c, head_bytes);
		return;
	}
	exchange_end(&c->x, true);
	if (r < 0) {
		log_debug_with((LOG_TEXT("ClientAddr", slice_of(c->peer, c->peer_n))),
			       "Bad request: %s", h1_error_text(r));
		h1_connection_reject(c, h1_error_status(r));
	} else if (c->state == H1_IDLE) {
		c->state = H1_HEAD;
		loop_arm(s->loop, &c->timer, s->options.read_timeout_ms,
			 h1_connection_head_timed_out);
	}
}

static void become_idle(struct h1_connection *c)
{
	c->state = H1_IDLE;
	loop_arm(c->server->loop, &c->timer, c->server->options.idle_timeout_ms,
		 h1_connection_idle_timed_out);
}

/* Throws away what belongs to the last request's body. */
static void drain_body(struct h1_connection *c)
{
	slice bytes = slice_first(h1_receiver_bytes(&c->in), c->drain_bytes);

	if (bytes.n > 0) {
		h1_receiver_skip(&c->in, bytes.n);
		c->drain_bytes -= bytes.n;
	}
	if (c->drain_bytes == 0)
		become_idle(c);
}

static bool is_between_bodies(const struct h1_connection *c)
{
	return c->state == H1_IDLE || c->state == H1_HEAD || c->state == H1_DRAIN;
}

void h1_connection_run(struct h1_connection *c)
{
	size_t before = 0, unread;

	if (c->running)
		return;
	c->running = true;
	/* An answer that is made at once leaves the connection ready for the next request: no
	 * recursion, however many wait. */
	while (is_between_bodies(c) && (unread = h1_receiver_bytes(&c->in).n) > 0 &&
	       unread != before) {
		before = unread;
		if (c->state == H1_DRAIN)
			drain_body(c);
		else
			parse_head(c);
	}
	c->running = false;
	if (is_between_bodies(c))
		set_reading(c, true);
}

void h1_connection_next(struct h1_connection *c)
{
	uint64_t left = c->body_done ? 0 : c->in.left;

	loop_disarm(c->server->loop, &c->write_timer);
	h1_sender_free(&c->out);
	if (!c->keep_alive || (c->server->draining && left > 0)) {
		h1_connection_linger(c);
		return;
	}
	must(left == 0 || c->in.framing == FRAMING_LENGTH);
	if (left > 0) {
		c->drain_bytes = left;
		c->state = H1_DRAIN;
		if (!timer_armed(&c->timer))
			loop_arm(c->server->loop, &c->timer, c->server->options.idle_timeout_ms,
				 h1_connection_idle_timed_out);
	} else {
		become_idle(c);
		if (c->server->draining)
			loop_arm(c->server->loop, &c->timer, NEXT_REQUEST_GRACE_MS,
				 h1_connection_idle_timed_out);
	}
	h1_connection_run(c);
}

/* Bytes beyond the current request: a pipelined one, or the client's end. */
static void read_ahead(struct h1_connection *c)
{
	ssize_t n;

	if (h1_receiver_bytes(&c->in).n >= PIPELINE_BYTES_MAX) {
		set_reading(c, false);
		return;
	}
	n = h1_receiver_fill(&c->in, &c->io,
			     c->server->options.head.head_bytes_max + BUFFER_SMALL_BYTES);
	if (n == -ENOBUFS)
		set_reading(c, false);
	else if (n <= 0 && n != -EAGAIN)
		client_left(c);
}

static void read_body(struct h1_connection *c)
{
	ssize_t n = h1_receiver_fill(&c->in, &c->io, SIZE_MAX);

	if (n > 0)
		decode_body(c);
	else if (n == -ENOBUFS)
		body_failed(c, -ENOBUFS);
	else if (n != -EAGAIN)
		client_left(c);
}

static void read_next(struct h1_connection *c)
{
	size_t max = c->server->options.head.head_bytes_max;
	ssize_t n = h1_receiver_fill(&c->in, &c->io, max + 1);

	if (n > 0 && c->requests == 0 && !h1_connection_is_announced(c))
		return;
	if (n > 0 && c->requests == 0 && h1_connection_begins_tls(c))
		h1_connection_begin_tls(c);
	else if (n > 0 && (c->requests > 0 || !h2_connection_takes(c)))
		h1_connection_run(c);
	else if (n > 0)
		return;
	else if (n == -EMSGSIZE)
		h1_connection_reject(c, 431);
	else if (n == -ENOBUFS)
		h1_connection_reject(c, 503);
	else if (n != -EAGAIN)
		h1_connection_close(c, false);
}

static void read_linger(struct h1_connection *c)
{
	ssize_t n = h1_receiver_fill(&c->in, &c->io, SIZE_MAX);

	if (n == -EAGAIN)
		return;
	if (n <= 0 || (uint64_t)n >= c->drain_bytes) {
		h1_connection_close(c, false);
		return;
	}
	c->drain_bytes -= (uint64_t)n;
	h1_receiver_free(&c->in);
}

static void on_ready(struct transport *t, int events)
{
	struct h1_connection *c = container_of(t, struct h1_connection, io);

	OBJ_CHECK(c, H1_CONNECTION_MAGIC);
	if (c->state == H1_HANDSHAKE) {
		h1_connection_handshake(c);
		return;
	}
	if (c->state == H1_HTTP2) {
		h2_connection_on_ready(c->h2, events);
		return;
	}
	if (events & TRANSPORT_WRITABLE && c->state == H1_BUSY)
		h1_connection_flush(c);
	else if (events & TRANSPORT_WRITABLE && c->state == H1_TUNNEL)
		h1_connection_tunnel_flush(c);
	if (!(events & TRANSPORT_READABLE))
		return;
	switch (c->state) {
	case H1_IDLE:
	case H1_HEAD:
	case H1_DRAIN:
		read_next(c);
		break;
	case H1_BUSY:
		if (c->body_done)
			read_ahead(c);
		else
			read_body(c);
		break;
	case H1_TUNNEL:
		h1_connection_tunnel_read(c);
		break;
	case H1_LINGER:
		read_linger(c);
		break;
	case H1_HANDSHAKE:
	case H1_HTTP2:
	case H1_CLOSED:
		break;
	}
}

void h1_connection_open(struct h1_connection *c)
{
	loop_arm(c->server->loop, &c->timer, c->server->options.read_timeout_ms,
		 h1_connection_head_timed_out);
	/* The first bytes are usually here already: one turn of the loop less. */
	read_next(c);
	if (c->state == H1_IDLE)
		h1_connection_watch(c, true, false);
}

static bool on_accept(struct listener *l, int fd, const struct sockaddr_storage *peer)
{
	struct h1_server *s = container_of(l, struct h1_server, listener);
	struct h1_connection *c = calloc(1, sizeof *c);
	bool room;

	OBJ_CHECK(s, H1_SERVER_MAGIC);
	if (c == NULL || transport_open(&c->io, s->loop, fd, on_ready) < 0) {
		free(c);
		return listener_turn_away(l, fd);
	}
	c->magic = H1_CONNECTION_MAGIC;
	c->state = H1_IDLE;
	c->server = s;
	c->born_ms = loop_now_ms(s->loop);
	c->pump.run = pump;
	h1_connection_format_peer(c, peer);
	list_push(&s->connections, &c->link);
	room = h1_server_count_opened(s);
	counter_add(&s->counters.connections, 1);
	h1_connection_open(c);
	return room;
}

int h1_server_start(struct h1_server *s, struct loop *loop, struct exchange_pool *exchanges, int fd,
		    const struct h1_server_options *options, h1_server_handle_fn *handle,
		    void *owner)
{
	int r;

	*s = (struct h1_server){.magic = H1_SERVER_MAGIC,
				.loop = loop,
				.exchanges = exchanges,
				.options = *options,
				.handle = handle,
				.owner = owner};
	list_init(&s->connections);
	transport_keep_alive(fd, options->keep_alive_s);
	r = listener_start(&s->listener, loop, fd, options->accept_burst, on_accept,
			   &s->counters.accept_exhausted);
	s->listening = r == 0;
	return r;
}

static void on_listener_stopped(struct listener *l)
{
	struct h1_server *s = container_of(l, struct h1_server, listener);

	s->listening = false;
	maybe_stopped(s);
}

/* No further request; one that has arrived is still answered. */
static void drain_connection(struct h1_connection *c)
{
	if (c->state == H1_IDLE)
		read_next(c);
	if (c->state == H1_HTTP2)
		h2_connection_drain(c->h2);
	else if (c->state == H1_DRAIN)
		h1_connection_linger(c);
	else if (c->state == H1_IDLE || c->state == H1_HANDSHAKE)
		loop_arm(c->server->loop, &c->timer,
			 c->requests > 0 ? NEXT_REQUEST_GRACE_MS : NEW_CONNECTION_GRACE_MS,
			 h1_connection_idle_timed_out);
}

void h1_server_drain(struct h1_server *s, void (*stopped)(struct h1_server *))
{
	OBJ_CHECK(s, H1_SERVER_MAGIC);
	must(!s->draining);
	s->draining = true;
	s->stopped = stopped;
	list_remove(&s->waiting);
	listener_stop(&s->listener, on_listener_stopped);
	/* Closing changes nothing in the list before the next turn of the loop. */
	LIST_FOR_EACH (e, &s->connections) {
		drain_connection(container_of(e, struct h1_connection, link));
	}
}

void h1_server_abort(struct h1_server *s)
{
	OBJ_CHECK(s, H1_SERVER_MAGIC);
	LIST_FOR_EACH (e, &s->connections) {
		struct h1_connection *c = container_of(e, struct h1_connection, link);

		h1_connection_close(c,
				    c->state == H1_HTTP2 || (c->state == H1_BUSY && c->responding));
	}
}
