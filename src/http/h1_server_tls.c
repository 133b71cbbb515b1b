#include <errno.h>

#include "core/log.h"
#include "http/h1_server_private.h"
#include "http/h2_server.h"

/* Connections that begin with TLS: from their first bytes to the end of the handshake. */

static void handshake_timed_out(struct timer *t)
{
	struct h1_connection *c = container_of(t, struct h1_connection, timer);

	counter_add(&c->server->counters.tls_timeouts, 1);
	h1_connection_close(c, false);
}

/* Handshakes are long work: of one turn of the loop they get a share. */
static bool may_work(struct h1_server *s)
{
	if (s->handshake_turn != s->loop->turn) {
		s->handshake_turn = s->loop->turn;
		s->handshakes = 0;
	}
	return s->options.handshake_burst == 0 || s->handshakes++ < s->options.handshake_burst;
}

static void handshake_failed(struct h1_connection *c, const struct weir_error *e)
{
	counter_add(&c->server->counters.tls_failures, 1);
	log_debug_with((LOG_TEXT("ClientAddr", slice_of(c->peer, c->peer_n)), LOG_CAUSE(e)),
		       "TLS handshake error");
	/* The alert must arrive, and what the client says to it does not matter. */
	tls_drop(&c->tls);
	h1_connection_linger(c);
}

void h1_connection_handshake(struct h1_connection *c)
{
	struct h1_server *s = c->server;
	struct weir_error e = {0};
	int r;

	must(c->state == H1_HANDSHAKE);
	if (!may_work(s)) {
		counter_add(&s->counters.tls_deferred, 1);
		h1_connection_watch(c, false, false);
		loop_defer(s->loop, &c->pump);
		return;
	}
	r = tls_handshake(c->tls, &e);
	if (r == -EAGAIN)
		return;
	if (r < 0) {
		handshake_failed(c, &e);
		return;
	}
	counter_add(&s->counters.tls_handshakes, 1);
	counter_add(&s->counters.tls_resumed, tls_is_resumed(c->tls));
	c->state = H1_IDLE;
	if (slice_equal(tls_protocol(c->tls), SLICE("h2")))
		h2_connection_begin(c);
	else
		h1_connection_open(c);
}

bool h1_connection_begins_tls(const struct h1_connection *c)
{
	slice bytes = h1_receiver_bytes(&c->in);

	return c->state == H1_IDLE && c->server->acceptor != NULL && c->tls == NULL &&
	       bytes.n > 0 && tls_begins_with(bytes.p[0]);
}

void h1_connection_begin_tls(struct h1_connection *c)
{
	struct h1_server *s = c->server;
	struct tls_acceptor *acceptor = s->acceptor(s);

	if (acceptor == NULL ||
	    tls_accept(&c->tls, acceptor, &c->io, h1_receiver_bytes(&c->in)) < 0) {
		counter_add(&s->counters.tls_failures, 1);
		h1_connection_close(c, false);
		return;
	}
	h1_receiver_free(&c->in);
	c->state = H1_HANDSHAKE;
	loop_arm(s->loop, &c->timer, s->options.read_timeout_ms, handshake_timed_out);
	h1_connection_handshake(c);
}
