#include <errno.h>

#include "http/h1_server_private.h"

static void tunnel_timed_out(struct timer *t)
{
	struct h1_connection *c = container_of(t, struct h1_connection, timer);

	counter_add(&c->server->counters.tunnel_timeouts, 1);
	h1_connection_close(c, true);
}

uint64_t h1_tunnel_patience_ms(const struct h1_server_options *o, const struct tunnel *t)
{
	bool half = t->up.state != BODY_OPEN || t->down.state != BODY_OPEN;
	uint64_t ms = o->tunnel_idle_ms;

	if (half && o->tunnel_half_ms > 0)
		ms = ms > 0 ? MIN(ms, o->tunnel_half_ms) : o->tunnel_half_ms;
	return ms;
}

static void note_activity(struct h1_connection *c)
{
	uint64_t ms = h1_tunnel_patience_ms(&c->server->options, c->x->tunnel);

	if (ms > 0)
		loop_arm(c->server->loop, &c->timer, ms, tunnel_timed_out);
}

static void watch_writing(struct h1_connection *c, bool on)
{
	h1_connection_watch(c, (c->io.watched & TRANSPORT_READABLE) != 0, on);
}

/* All of `down` is out. The service is done once `up` has left, too. */
static void sent_down(struct h1_connection *c)
{
	if (!c->shut) {
		c->shut = true;
		transport_shutdown(&c->io);
		note_activity(c);
	}
	watch_writing(c, false);
	if (c->x->service_active)
		return;
	exchange_end(&c->x, false);
	h1_connection_close(c, false);
}

void h1_connection_tunnel_flush(struct h1_connection *c)
{
	uint64_t before = c->out.written;
	enum h1_sent sent = h1_sender_flush(&c->out, &c->io);

	if (c->out.written > before)
		note_activity(c);
	switch (sent) {
	case H1_SENT_ALL:
		sent_down(c);
		break;
	case H1_SENT_WAITING:
		watch_writing(c, false);
		break;
	case H1_SENT_BLOCKED:
		watch_writing(c, true);
		break;
	case H1_SENT_FAILED:
		counter_add(&c->server->counters.aborted, 1);
		h1_connection_close(c, true);
		break;
	case H1_SENT_BROKEN:
		h1_connection_close(c, true);
		break;
	}
}

static void on_down(struct body *b, void *consumer)
{
	struct h1_connection *c = consumer;

	(void)b;
	OBJ_CHECK(c, H1_CONNECTION_MAGIC);
	if (c->state == H1_TUNNEL && !(c->io.watched & TRANSPORT_WRITABLE))
		h1_connection_tunnel_flush(c);
}

/* Moves what has been read on, as far as there is room. */
static void pass_up(struct h1_connection *c)
{
	struct body *up = &c->x->tunnel->up;

	/* Raw bytes have no end of their own. */
	must(h1_receiver_decode(&c->in, up, NULL) == H1_MORE);
	h1_connection_watch(c, !up->stalled, (c->io.watched & TRANSPORT_WRITABLE) != 0);
	body_notify(up);
}

void h1_connection_tunnel_pump(struct h1_connection *c)
{
	if (c->x->tunnel->up.state == BODY_OPEN && h1_receiver_bytes(&c->in).n > 0)
		pass_up(c);
}

static void want_up(struct body *b, void *producer)
{
	struct h1_connection *c = producer;

	(void)b;
	OBJ_CHECK(c, H1_CONNECTION_MAGIC);
	if (h1_receiver_bytes(&c->in).n > 0)
		loop_defer(c->server->loop, &c->pump);
	else
		h1_connection_watch(c, true, (c->io.watched & TRANSPORT_WRITABLE) != 0);
}

/* The client's end. */
static void received_all(struct h1_connection *c)
{
	struct body *up = &c->x->tunnel->up;

	h1_connection_watch(c, false, (c->io.watched & TRANSPORT_WRITABLE) != 0);
	body_end(up);
	note_activity(c);
	body_notify(up);
}

void h1_connection_tunnel_read(struct h1_connection *c)
{
	ssize_t n = h1_receiver_fill(&c->in, &c->io, SIZE_MAX);

	if (n > 0) {
		note_activity(c);
		pass_up(c);
	} else if (n == 0) {
		received_all(c);
	} else if (n != -EAGAIN) {
		counter_add(&c->server->counters.aborted, 1);
		h1_connection_close(c, true);
	}
}

static bool write_head(struct h1_connection *c)
{
	const struct response *r = &c->x->response;
	char *to = h1_sender_head(&c->out, c->server->loop, h1_response_bytes(r));

	if (to == NULL)
		return false;
	h1_sender_head_done(&c->out, h1_write_response(to, r));
	return true;
}

/* Its consumer, the service, has the tunnel already, so that nothing happens within. */
static void begin(struct h1_connection *c)
{
	struct tunnel *t = c->x->tunnel;

	c->state = H1_TUNNEL;
	c->keep_alive = false;
	counter_add(&c->server->counters.tunnels, 1);
	counter_add(&c->server->counters.tunnels_open, 1);
	loop_disarm(c->server->loop, &c->timer);
	loop_disarm(c->server->loop, &c->write_timer);
	h1_sender_body(&c->out, &t->down, FRAMING_CLOSE, 0);
	h1_receiver_begin_body(&c->in, FRAMING_CLOSE, 0);
	body_set_producer(&t->up, want_up, c);
	t->up.stalled = false;
	body_set_consumer(&t->down, on_down, c);
	/* What came behind the request is the tunnel's. */
	if (h1_receiver_bytes(&c->in).n > 0)
		loop_defer(c->server->loop, &c->pump);
	h1_connection_watch(c, h1_receiver_bytes(&c->in).n == 0, false);
	note_activity(c);
	h1_connection_tunnel_flush(c);
}

void h1_connection_switch(struct h1_connection *c)
{
	/* A body of which nobody needs the rest would be taken for the tunnel's first bytes. */
	if (c->body_done && write_head(c) && exchange_open_tunnel(c->x) == 0)
		begin(c);
	else
		h1_connection_close(c, true);
}
