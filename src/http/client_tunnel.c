#include <errno.h>

#include "core/log.h"
#include "http/client_private.h"

bool client_connection_may_switch(const struct client_connection *c)
{
	const struct request *q = c->call->request;
	const struct fields *answer = &c->call->response->fields;
	slice protocol = fields_value_id(answer, FIELD_UPGRADE);

	return q->upgrade && c->sent &&
	       fields_has_token(answer, FIELD_CONNECTION, SLICE("Upgrade")) &&
	       protocol_is_printable(protocol) &&
	       slice_equal_nocase(protocol, fields_value_id(&q->fields, FIELD_UPGRADE));
}

void client_connection_switch(struct client_connection *c)
{
	struct client_call *call = c->call;
	struct fields *f = &call->response->fields;

	counter_add(&c->client->counters->switched, 1);
	call->head_received = true;
	c->state = CLIENT_TUNNEL;
	loop_disarm(c->client->loop, &c->timer);
	client_connection_watch(c, false, false);
	/* There is no body whose length could be told. */
	(void)fields_remove_id(f, FIELD_CONTENT_LENGTH);
	(void)fields_remove_id(f, FIELD_TRANSFER_ENCODING);
	call->responded(call);
}

/* Both directions are over. */
static void finish(struct client_connection *c)
{
	struct client_call *call = c->call;
	struct body *down = call->response_body;

	client_connection_finish(c);
	call->done(call);
	body_notify(down);
}

static bool sends(const struct client_connection *c)
{
	return !c->sent && !c->send_failed;
}

/* What the server has sent before it went is worth reading to its end. */
static void stop_sending(struct client_connection *c, bool reading)
{
	c->send_failed = true;
	body_set_consumer(c->call->request_body, NULL, NULL);
	h1_sender_free(&c->out);
	if (c->received)
		finish(c);
	else
		client_connection_watch(c, reading, false);
}

static void flush(struct client_connection *c)
{
	bool reading = (c->io.watched & TRANSPORT_READABLE) != 0;

	switch (h1_sender_flush(&c->out, &c->io)) {
	case H1_SENT_ALL:
		c->sent = true;
		transport_shutdown(&c->io);
		if (c->received)
			finish(c);
		else
			client_connection_watch(c, reading, false);
		break;
	case H1_SENT_WAITING:
		client_connection_watch(c, reading, false);
		break;
	case H1_SENT_BLOCKED:
		client_connection_watch(c, reading, true);
		break;
	case H1_SENT_FAILED:
		stop_sending(c, reading);
		break;
	case H1_SENT_BROKEN:
		client_connection_fail(c, -ECONNRESET);
		break;
	}
}

static void on_up(struct body *b, void *consumer)
{
	struct client_connection *c = consumer;

	(void)b;
	OBJ_CHECK(c, CLIENT_CONNECTION_MAGIC);
	if (sends(c) && !(c->io.watched & TRANSPORT_WRITABLE))
		flush(c);
}

/* Moves what has been read on, as far as there is room. */
static void pass_down(struct client_connection *c)
{
	struct body *down = c->call->response_body;

	/* Raw bytes have no end of their own. */
	must(h1_receiver_decode(&c->in, down, NULL) == H1_MORE);
	client_connection_watch(c, !down->stalled, (c->io.watched & TRANSPORT_WRITABLE) != 0);
	body_notify(down);
}

void client_connection_tunnel_pump(struct client_connection *c)
{
	if (!c->received && h1_receiver_bytes(&c->in).n > 0)
		pass_down(c);
}

void client_tunnel(struct client_call *call, struct body *up, struct body *down)
{
	struct client_connection *c = call->connection;

	OBJ_CHECK(call, CALL_MAGIC);
	OBJ_CHECK(c, CLIENT_CONNECTION_MAGIC);
	must(c->state == CLIENT_TUNNEL);
	call->request_body = up;
	call->response_body = down;
	c->sent = c->send_failed = c->received = false;
	h1_sender_free(&c->out);
	h1_sender_body(&c->out, up, FRAMING_CLOSE, 0);
	h1_receiver_begin_body(&c->in, FRAMING_CLOSE, 0);
	body_set_producer(down, client_connection_want, c);
	body_set_consumer(up, on_up, c);
}

/* The server's end. */
static void received_all(struct client_connection *c)
{
	struct body *down = c->call->response_body;

	c->received = true;
	body_end(down);
	if (!sends(c)) {
		finish(c);
		return;
	}
	client_connection_watch(c, false, (c->io.watched & TRANSPORT_WRITABLE) != 0);
	body_notify(down);
}

static void read_down(struct client_connection *c)
{
	ssize_t n = h1_receiver_fill(&c->in, &c->io, SIZE_MAX);

	if (n > 0)
		pass_down(c);
	else if (n == 0)
		received_all(c);
	else if (n != -EAGAIN)
		client_connection_fail(c, (int)n);
}

void client_connection_tunnel_ready(struct client_connection *c, int events)
{
	if (events & TRANSPORT_WRITABLE && sends(c))
		flush(c);
	if (events & TRANSPORT_READABLE && c->call != NULL && !c->received)
		read_down(c);
}
