#include <errno.h>

#include "core/log.h"
#include "http/client_private.h"
#include "http/h2_client.h"

void client_connection_watch(struct client_connection *c, bool readable, bool writable)
{
	transport_watch(&c->io,
			(readable ? TRANSPORT_READABLE : 0) | (writable ? TRANSPORT_WRITABLE : 0));
}

/* Reading goes on, or waits for the response's consumer, as it did. */
static void watch_writing(struct client_connection *c, bool on)
{
	client_connection_watch(c, (c->io.watched & TRANSPORT_READABLE) != 0, on);
}

static void head_timed_out(struct timer *t)
{
	client_connection_fail(container_of(t, struct client_connection, timer), -ETIMEDOUT);
}

static void flush(struct client_connection *c);

static void on_request_body(struct body *b, void *consumer)
{
	struct client_connection *c = consumer;

	(void)b;
	OBJ_CHECK(c, CLIENT_CONNECTION_MAGIC);
	if (!c->send_failed && !(c->io.watched & TRANSPORT_WRITABLE))
		flush(c);
}

/* From here on bytes of the request's body may leave. */
static void start_body(struct client_connection *c)
{
	struct client_call *call = c->call;

	c->holds_body = false;
	h1_sender_body(&c->out, call->request_body, call->request->framing,
		       call->request->content_length);
	if (call->request->framing == FRAMING_NONE)
		return;
	body_set_consumer(call->request_body, on_request_body, c);
}

static void continue_timed_out(struct timer *t)
{
	struct client_connection *c = container_of(t, struct client_connection, timer);

	start_body(c);
	flush(c);
}

/* Nothing more can be written; if the server has answered already, its response is worth more than
 * our error. */
static void stop_sending(struct client_connection *c)
{
	c->send_failed = true;
	if (c->call->request_body->ready == on_request_body)
		body_set_consumer(c->call->request_body, NULL, NULL);
	h1_sender_free(&c->out);
	/* A server that waits for the rest learns that there is none. */
	transport_shutdown(&c->io);
	watch_writing(c, false);
}

/* It closed its side, perhaps after an answer; any other error is ours, and the server may wait for
 * ever. */
static bool is_the_servers_doing(int error)
{
	return error == -EPIPE || error == -ECONNRESET;
}

static void flush(struct client_connection *c)
{
	struct client *k = c->client;
	enum h1_sent result = h1_sender_flush(&c->out, &c->io);

	c->call->sent |= c->out.written > 0;
	switch (result) {
	case H1_SENT_ALL:
		watch_writing(c, false);
		if (c->holds_body) {
			loop_arm(k->loop, &c->timer, k->options.continue_timeout_ms,
				 continue_timed_out);
			break;
		}
		c->sent = true;
		if (!c->call->head_received)
			loop_arm(k->loop, &c->timer, k->options.response_header_timeout_ms,
				 head_timed_out);
		break;
	case H1_SENT_WAITING:
		watch_writing(c, false);
		break;
	case H1_SENT_BLOCKED:
		watch_writing(c, true);
		break;
	case H1_SENT_FAILED:
		if ((c->reused && c->out.written == 0) || !is_the_servers_doing(c->out.error))
			client_connection_fail(c, c->out.error);
		else
			stop_sending(c);
		break;
	case H1_SENT_BROKEN: {
		const struct body *b = c->call->request_body;

		client_connection_fail(c, b->state == BODY_ABORTED ? b->abort_code : -EPROTO);
		break;
	}
	}
}

void client_connection_send(struct client_connection *c)
{
	struct client_call *call = c->call;
	size_t need;
	char *to;

	if (client_connection_is_h2(c)) {
		h2_client_begin(c);
		return;
	}
	need = h1_request_bytes(call->request, call->target);
	to = h1_sender_head(&c->out, c->client->loop, need);

	c->state = CLIENT_CALLING;
	client_connection_watch(c, true, false);
	if (to == NULL) {
		client_connection_fail(c, -ENOBUFS);
		return;
	}
	h1_sender_head_done(&c->out, h1_write_request(to, call->request, call->target));
	if (call->request->expect_continue && call->request->framing != FRAMING_NONE &&
	    c->client->options.continue_timeout_ms > 0)
		c->holds_body = true;
	else
		start_body(c);
	flush(c);
}

void client_connection_want(struct body *b, void *producer)
{
	struct client_connection *c = producer;

	(void)b;
	OBJ_CHECK(c, CLIENT_CONNECTION_MAGIC);
	if (h1_receiver_bytes(&c->in).n > 0)
		loop_defer(c->client->loop, &c->pump);
	else
		client_connection_watch(c, true, (c->io.watched & TRANSPORT_WRITABLE) != 0);
}

void client_connection_detach(struct client_connection *c)
{
	struct client_call *call = c->call;

	OBJ_CHECK(c, CLIENT_CONNECTION_MAGIC);
	loop_disarm(c->client->loop, &c->timer);
	loop_cancel(c->client->loop, &c->pump);
	c->call = NULL;
	if (call == NULL)
		return;
	call->connection = NULL;
	if (call->request_body->consumer == c)
		body_set_consumer(call->request_body, NULL, NULL);
	if (call->response_body->producer == c)
		body_set_producer(call->response_body, NULL, NULL);
}

/* Moves buffered bytes into the response's body. Returns H1_DONE when it is complete; the call is
 * then detached. Negative: the call has failed. */
static enum h1_result decode(struct client_connection *c)
{
	struct client_call *call = c->call;
	enum h1_result r = h1_receiver_decode(&c->in, call->response_body, call->response_trailers);

	if (r == H1_DONE)
		client_connection_finish(c);
	else if (r == H1_MORE)
		client_connection_watch(c, !call->response_body->stalled,
					(c->io.watched & TRANSPORT_WRITABLE) != 0);
	return r;
}

static void bad_response(struct client_connection *c, enum h1_result r)
{
	log_debug_with((LOG_STRING("host", c->client->host), LOG_INTEGER("port", c->client->port)),
		       "Bad response: %s", h1_error_text(r));
	client_connection_fail(c, -EPROTO);
}

/* More of the body, after `responded`. */
static void continue_body(struct client_connection *c)
{
	struct client_call *call = c->call;
	struct body *b = call->response_body;
	enum h1_result r = decode(c);

	if (r < 0) {
		bad_response(c, r);
		return;
	}
	if (r == H1_DONE)
		call->done(call);
	body_notify(b);
}

void client_connection_pump(struct task *t)
{
	struct client_connection *c = container_of(t, struct client_connection, pump);

	if (c->state == CLIENT_TUNNEL)
		client_connection_tunnel_pump(c);
	else if (c->call != NULL && c->call->head_received)
		continue_body(c);
}

static void interim(struct client_connection *c, struct response *r)
{
	struct client_call *call = c->call;

	if (r->status == 100 && c->holds_body) {
		loop_disarm(c->client->loop, &c->timer);
		start_body(c);
		flush(c);
		return;
	}
	if (call->informed != NULL)
		call->informed(call, r);
}

/* The final head is complete and kept. */
static void begin_response(struct client_connection *c)
{
	struct client_call *call = c->call;
	struct response *r = call->response;
	enum h1_result decoded;

	call->head_received = true;
	loop_disarm(c->client->loop, &c->timer);
	if (c->holds_body) {
		/* Answered without asking for the body: what follows on this connection would be
		 * taken for it. */
		c->holds_body = false;
		c->send_failed = true;
	}
	h1_receiver_begin_body(&c->in, r->framing, r->content_length);
	body_set_producer(call->response_body, client_connection_want, c);
	call->response_body->stalled = false;
	decoded = decode(c);
	if (decoded < 0) {
		call->head_received = false;
		bad_response(c, decoded);
		return;
	}
	call->responded(call);
}

/* Copies the head into the call's arena, because its bytes go with the buffer. */
static bool keep_head(struct client_connection *c, size_t head_bytes)
{
	slice head = slice_first(h1_receiver_bytes(&c->in), head_bytes);
	slice kept = arena_copy(c->call->arena, head);

	if (kept.p == NULL)
		return false;
	h1_rebase_response(c->call->response, head, kept.p);
	h1_receiver_skip(&c->in, head_bytes);
	return true;
}

static void switch_protocols(struct client_connection *c)
{
	if (client_connection_may_switch(c)) {
		client_connection_switch(c);
		return;
	}
	counter_add(&c->client->counters->bad_switches, 1);
	bad_response(c, H1_BAD_SYNTAX);
}

static void parse_heads(struct client_connection *c)
{
	while (c->call != NULL && !c->call->head_received && h1_receiver_bytes(&c->in).n > 0) {
		struct client_call *call = c->call;
		size_t head_bytes = 0;
		enum h1_result r;

		fields_init(&call->response->fields, call->arena);
		r = h1_parse_response(call->response, call->arena, h1_receiver_bytes(&c->in),
				      call->request->method_id, &c->client->options.head,
				      &c->in.scanned, &head_bytes);
		if (r == H1_MORE)
			return;
		if (r < 0) {
			bad_response(c, r);
			return;
		}
		if (!keep_head(c, head_bytes)) {
			client_connection_fail(c, -ENOMEM);
			return;
		}
		if (call->response->status == 101)
			switch_protocols(c);
		else if (call->response->status >= 200)
			begin_response(c);
		else
			interim(c, call->response);
	}
}

static void end_of_data(struct client_connection *c, int code)
{
	struct client_call *call = c->call;
	struct body *b;

	if (!call->head_received || c->in.framing != FRAMING_CLOSE || code != 0) {
		client_connection_fail(c, code != 0 ? code : -ECONNRESET);
		return;
	}
	b = call->response_body;
	body_end(b);
	client_connection_finish(c);
	call->done(call);
	body_notify(b);
}

/* A long body goes past us, if its consumer takes it so. False: it has to be read. */
static bool pipe_body(struct client_connection *c)
{
	ssize_t n = h1_receiver_pipe(&c->in, &c->io, c->call->response_body);

	if (n == -EOPNOTSUPP)
		return false;
	if (n == -EAGAIN)
		client_connection_watch(c, !c->call->response_body->stalled,
					(c->io.watched & TRANSPORT_WRITABLE) != 0);
	else if (n <= 0)
		end_of_data(c, (int)n);
	else
		continue_body(c);
	return true;
}

static void on_readable(struct client_connection *c)
{
	ssize_t n;

	if (c->call->head_received && pipe_body(c))
		return;
	n = h1_receiver_fill(&c->in, &c->io,
			     c->call->head_received ? SIZE_MAX
						    : c->client->options.head.head_bytes_max + 1);
	if (n == -EAGAIN)
		return;
	c->heard |= n > 0;
	if (n == -EMSGSIZE)
		client_connection_fail(c, -EPROTO);
	else if (n <= 0)
		end_of_data(c, (int)n);
	else if (c->call->head_received)
		continue_body(c);
	else
		parse_heads(c);
}

void client_connection_on_ready(struct transport *t, int events)
{
	struct client_connection *c = container_of(t, struct client_connection, io);

	OBJ_CHECK(c, CLIENT_CONNECTION_MAGIC);
	if (c->state == CLIENT_IDLE && c->tls != NULL && !client_connection_has_surplus(c))
		return;
	if (c->state == CLIENT_IDLE) {
		/* The server's end, or bytes that nobody asked for: either way the connection is of
		 * no more use. */
		client_connection_close(c);
		return;
	}
	if (c->state == CLIENT_TUNNEL) {
		client_connection_tunnel_ready(c, events);
		return;
	}
	if (c->state == CLIENT_CALLING && c->call != NULL && client_connection_is_early(c)) {
		client_connection_fail(c, -ECONNRESET);
		return;
	}
	if (events & TRANSPORT_WRITABLE && c->state == CLIENT_CALLING && c->call != NULL &&
	    !c->send_failed)
		flush(c);
	if (events & TRANSPORT_READABLE && c->state == CLIENT_CALLING && c->call != NULL)
		on_readable(c);
}
