#include <errno.h>

#include "core/log.h"
#include "http/client_private.h"
#include "http/h2_client.h"

static void handshake_timed_out(struct timer *t)
{
	struct client_connection *c = container_of(t, struct client_connection, timer);

	counter_add(&c->client->counters->tls_failures, 1);
	client_connection_fail(c, -ETIMEDOUT);
}

static void handshake_failed(struct client_connection *c, int code, const struct weir_error *e)
{
	struct client *k = c->client;

	counter_add(&k->counters->tls_failures, 1);
	log_debug_with((LOG_STRING("host", k->host), LOG_INTEGER("port", k->port), LOG_CAUSE(e)),
		       "TLS handshake with the server failed");
	if (k->refusal != NULL)
		*k->refusal = *e;
	client_connection_fail(c, code);
}

static bool offers_h2(const struct client_connection *c)
{
	return c->client->options.offer_h2 && !c->call->request->upgrade;
}

bool client_connection_is_h2(const struct client_connection *c)
{
	return c->client->options.h2 ||
	       (c->tls != NULL && slice_equal(tls_protocol(c->tls), SLICE("h2")));
}

/* Those that have waited for the connection share it, or get their own. */
static void begin(struct client_connection *c)
{
	struct client *k = c->client;
	bool h2 = client_connection_is_h2(c);
	struct client_call *call;
	struct list waiting;

	list_init(&waiting);
	if (offers_h2(c))
		k->speaks = h2 ? CLIENT_SPEAKS_HTTP2 : CLIENT_SPEAKS_HTTP1;
	if (c->awaited && !h2) {
		c->awaited = false;
		h2_client_not_opened(k, &waiting);
	}
	client_connection_send(c);
	while ((call = h2_client_next(k, &waiting)) != NULL)
		client_place(k, call);
}

static void go_on(struct client_connection *c)
{
	struct client *k = c->client;
	struct weir_error e = {0};
	int r = tls_handshake(c->tls, &e);

	if (r == -EAGAIN)
		return;
	if (r < 0) {
		handshake_failed(c, r, &e);
		return;
	}
	counter_add(&k->counters->tls_handshakes, 1);
	counter_add(&k->counters->tls_resumed, tls_is_resumed(c->tls));
	loop_disarm(k->loop, &c->timer);
	c->io.on_ready = client_connection_on_ready;
	begin(c);
}

static void on_ready(struct transport *t, int events)
{
	struct client_connection *c = container_of(t, struct client_connection, io);

	(void)events;
	OBJ_CHECK(c, CLIENT_CONNECTION_MAGIC);
	must(c->state == CLIENT_HANDSHAKE);
	go_on(c);
}

void client_connection_secure(struct client_connection *c)
{
	struct client *k = c->client;

	c->state = CLIENT_HANDSHAKE;
	c->io.on_ready = on_ready;
	/* Who has no choice says nothing, as Go does: some servers know no "http/1.1". */
	if (tls_connect(&c->tls, k->options.tls, &c->io, k->host,
			offers_h2(c) ? SLICE("\x02h2\x08http/1.1") : (slice){NULL, 0},
			k->session) < 0) {
		client_connection_fail(c, -ENOMEM);
		return;
	}
	loop_arm(k->loop, &c->timer, k->options.handshake_timeout_ms, handshake_timed_out);
	go_on(c);
}

bool client_connection_has_surplus(struct client_connection *c)
{
	char byte;

	return transport_read(&c->io, &byte, 1) != -EAGAIN;
}

void client_connection_keep_session(struct client_connection *c)
{
	struct client *k = c->client;
	SSL_SESSION *session = c->tls != NULL ? tls_take_session(c->tls) : NULL;

	if (session == NULL)
		return;
	SSL_SESSION_free(k->session);
	k->session = session;
}
