#include <errno.h>
#include <stdlib.h>

#include "core/log.h"
#include "http/client_private.h"

/* Pauses between two looks at the full queue of a Unix socket. */
#define QUEUE_PAUSE_MIN_MS 5u
#define QUEUE_PAUSE_MAX_MS 100u

static void connect_timed_out(struct timer *t)
{
	struct client_connection *c = container_of(t, struct client_connection, timer);

	counter_add(&c->client->counters->connect_failures, 1);
	client_connection_fail(c, -ETIMEDOUT);
}

static void try_next(struct client_connection *c);

static void on_connecting(struct transport *t, int events)
{
	struct client_connection *c = container_of(t, struct client_connection, io);
	int problem;

	(void)events;
	OBJ_CHECK(c, CLIENT_CONNECTION_MAGIC);
	must(c->state == CLIENT_CONNECTING);
	problem = transport_socket_error(t);
	if (problem != 0) {
		c->connect_error = problem;
		try_next(c);
		return;
	}
	counter_add(&c->client->counters->connections, 1);
	loop_disarm(c->client->loop, &c->timer);
	if (c->client->options.tls != NULL) {
		client_connection_secure(c);
		return;
	}
	c->io.on_ready = client_connection_on_ready;
	client_connection_send(c);
}

/* Returns 0, or a negative errno value with no socket open. */
static int connect_to(struct client_connection *c, const struct sockaddr_storage *to)
{
	int r = transport_connect(&c->io, c->client->loop, to, on_connecting);

	if (r < 0)
		return r;
	c->has_socket = true;
	c->state = CLIENT_CONNECTING;
	return 0;
}

/* The failed socket closes in its own time; the connection's next try takes another object. */
static void give_up(struct client_connection *c)
{
	counter_add(&c->client->counters->connect_failures, 1);
	client_connection_fail(c, c->connect_error);
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
	next->next_address = c->next_address;
	next->connect_error = c->connect_error;
	call->connection = next;
	k->connection_count++;
	counter_add(&k->counters->open, 1);
	list_push(&k->busy, &next->link);
	c->call = NULL;
	client_connection_close(c);
	try_next(next);
}

static void on_queue(struct timer *t)
{
	struct client_connection *c = container_of(t, struct client_connection, timer);

	if (loop_now_ms(c->client->loop) >= c->queue_until_ms) {
		connect_timed_out(t);
		return;
	}
	c->next_address--;
	try_next(c);
}

/* A server that accepts slowly: with TCP the kernel would try again. */
static void wait_for_queue(struct client_connection *c)
{
	struct client *k = c->client;
	uint64_t now = loop_now_ms(k->loop), limit = k->options.connect_timeout_ms;

	if (c->queue_pause_ms == 0)
		c->queue_until_ms = limit > 0 ? now + limit : UINT64_MAX;
	c->queue_pause_ms = MIN(MAX(2 * c->queue_pause_ms, QUEUE_PAUSE_MIN_MS), QUEUE_PAUSE_MAX_MS);
	c->state = CLIENT_CONNECTING;
	loop_arm(k->loop, &c->timer, MIN(c->queue_pause_ms, c->queue_until_ms - now), on_queue);
}

static void try_next(struct client_connection *c)
{
	struct client *k = c->client;

	if (c->next_address >= k->addresses.count) {
		give_up(c);
		return;
	}
	if (c->has_socket) {
		continue_elsewhere(c);
		return;
	}
	while (c->next_address < k->addresses.count) {
		const struct sockaddr_storage *to = &k->addresses.addresses[c->next_address++];

		c->connect_error = connect_to(c, to);
		if (c->connect_error == -EAGAIN && to->ss_family == AF_UNIX) {
			wait_for_queue(c);
			return;
		}
		if (c->connect_error == 0) {
			loop_arm(k->loop, &c->timer, k->options.connect_timeout_ms,
				 connect_timed_out);
			return;
		}
	}
	give_up(c);
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
		c->connect_error = status == UV_EAI_MEMORY ? -ENOMEM : -EHOSTUNREACH;
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
		c->connect_error = r;
		give_up(c);
		return;
	}
	list_remove(&c->link);
	list_append(&k->resolving, &c->link);
	loop_arm(k->loop, &c->timer, k->options.connect_timeout_ms, connect_timed_out);
}

void client_connection_open(struct client_connection *c)
{
	struct client *k = c->client;

	c->state = CLIENT_RESOLVING;
	c->next_address = 0;
	if (k->numeric || loop_now_ms(k->loop) < k->addresses_until_ms)
		try_next(c);
	else
		wait_for_addresses(c);
}
