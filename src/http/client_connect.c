#include <errno.h>
#include <stdlib.h>

#include "core/log.h"
#include "http/client_private.h"

static void try_next(struct client_connection *c);

/* An address that answers when those before it did not comes first from now on. */
static void prefer_peer(struct client_connection *c)
{
	struct client *k = c->client;
	socklen_t size = sizeof k->preferred;

	k->preferred = (struct sockaddr_storage){.ss_family = AF_UNSPEC};
	if (getpeername(c->io.fd, (struct sockaddr *)&k->preferred, &size) < 0)
		return;
	resolved_prefer(&k->addresses, &k->preferred);
	k->preference++;
	log_warn_with((LOG_STRING("host", k->host), LOG_INTEGER("port", k->port),
		       LOG_STRING("error", strerror(-c->dial.error))),
		      "Address of a server cannot be reached; another one comes first from now on");
}

static void on_connecting(struct transport *t, int events)
{
	struct client_connection *c = container_of(t, struct client_connection, io);
	int problem;

	(void)events;
	OBJ_CHECK(c, CLIENT_CONNECTION_MAGIC);
	must(c->state == CLIENT_CONNECTING);
	problem = transport_socket_error(t);
	if (problem != 0) {
		c->dial.error = problem;
		try_next(c);
		return;
	}
	counter_add(&c->client->counters->connections, 1);
	loop_disarm(c->client->loop, &c->timer);
	if (c->dial.next > 1)
		prefer_peer(c);
	if (c->client->options.tls != NULL) {
		client_connection_secure(c);
		return;
	}
	c->io.on_ready = client_connection_on_ready;
	client_connection_send(c);
}

static bool is_shortage(int code)
{
	return code == -EMFILE || code == -ENFILE || code == -ENOBUFS || code == -ENOMEM ||
	       code == -EADDRNOTAVAIL /* no local port is free */;
}

/* The failed socket closes in its own time; the connection's next try takes another object. */
static void give_up(struct client_connection *c)
{
	struct client *k = c->client;

	if (is_shortage(c->dial.error) && loop_may_report(k->loop, &k->report_ms))
		log_warn_with((LOG_STRING("host", k->host), LOG_INTEGER("port", k->port),
			       LOG_STRING("error", strerror(-c->dial.error))),
			      "No connection to a server can be opened");
	counter_add(&k->counters->connect_failures, 1);
	client_connection_fail(c, c->dial.error);
}

/* A transport is closed asynchronously, so that every further address needs a connection object of
 * its own. */
static void continue_elsewhere(struct client_connection *c)
{
	struct client *k = c->client;
	struct client_call *call = c->call;
	struct client_connection *next = calloc(1, sizeof *next);

	if (next == NULL) {
		give_up(c);
		return;
	}
	next->magic = CLIENT_CONNECTION_MAGIC;
	next->client = k;
	next->pump.run = client_connection_pump;
	next->call = call;
	next->awaited = c->awaited;
	next->dial = c->dial;
	next->preference = c->preference;
	call->connection = next;
	k->connection_count++;
	counter_add(&k->counters->open, 1);
	list_push(&k->busy, &next->link);
	c->call = NULL;
	client_connection_close(c);
	try_next(next);
}

static void on_due(struct timer *t)
{
	struct client_connection *c = container_of(t, struct client_connection, timer);

	c->dial.error = -ETIMEDOUT;
	if (c->state == CLIENT_RESOLVING)
		give_up(c);
	else
		try_next(c);
}

static void try_next(struct client_connection *c)
{
	struct client *k = c->client;
	uint64_t wait_ms;

	/* Another connection has found who answers: that one is first now, and those that were
	 * tried here have moved. */
	if (c->preference != k->preference) {
		c->preference = k->preference;
		c->dial.next = 0;
	}
	if (c->has_socket && c->dial.next < k->addresses.count) {
		continue_elsewhere(c);
		return;
	}
	switch (dial_next(&c->dial, k->loop, &k->addresses, k->options.keep_alive_s, &c->io,
			  on_connecting, &wait_ms)) {
	case DIAL_CONNECTING:
		c->has_socket = true;
		break;
	case DIAL_WAITING:
		break;
	case DIAL_FAILED:
		give_up(c);
		return;
	}
	c->state = CLIENT_CONNECTING;
	loop_arm(k->loop, &c->timer, wait_ms, on_due);
}

/* A callback may start or end other connections of the client: take the waiting ones first. */
static void on_resolved(void *owner, int status, const struct resolved *answer)
{
	struct client *k = owner;
	struct list waiting, *e;

	OBJ_CHECK(k, CLIENT_MAGIC);
	k->lookup = NULL;
	if (status == 0) {
		k->addresses = *answer;
		resolved_prefer(&k->addresses, &k->preferred);
		k->addresses_until_ms = loop_now_ms(k->loop) + k->options.dns_ttl_ms;
	} else {
		log_debug_with(
			(LOG_STRING("host", k->host), LOG_STRING("error", uv_strerror(status))),
			"Host name lookup failed");
	}
	list_move(&waiting, &k->resolving);
	while ((e = list_pop(&waiting)) != NULL) {
		struct client_connection *c = container_of(e, struct client_connection, link);

		OBJ_CHECK(c, CLIENT_CONNECTION_MAGIC);
		list_push(&k->busy, &c->link);
		loop_disarm(k->loop, &c->timer);
		c->dial.error = status == UV_EAI_MEMORY ? -ENOMEM : -EHOSTUNREACH;
		if (status == 0)
			try_next(c);
		else
			give_up(c);
	}
}

static void wait_for_addresses(struct client_connection *c)
{
	struct client *k = c->client;
	int r = 0;

	if (k->lookup == NULL)
		r = resolver_start(&k->lookup, k->loop, k->host, k->port, on_resolved, k);
	if (r < 0) {
		c->dial.error = r;
		give_up(c);
		return;
	}
	list_remove(&c->link);
	list_append(&k->resolving, &c->link);
	loop_arm(k->loop, &c->timer, dial_left_ms(&c->dial, k->loop), on_due);
}

void client_connection_open(struct client_connection *c)
{
	struct client *k = c->client;

	c->state = CLIENT_RESOLVING;
	c->preference = k->preference;
	dial_begin(&c->dial, k->loop, k->options.connect_timeout_ms);
	if (k->numeric || loop_now_ms(k->loop) < k->addresses_until_ms)
		try_next(c);
	else
		wait_for_addresses(c);
}
