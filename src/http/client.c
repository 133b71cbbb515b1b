#include "http/client.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "http/client_private.h"
#include "http/h2_client.h"

/* Idle connections that are passed over in search of one that needs no system call. */
#define IDLE_LOOKS_MAX 8u

/* So many events come of one poll: libuv asks for 1024 at once, and again in the same turn when it
 * got them all. Some are of closed sockets, and not counted. */
#define ONE_POLL_MAX 512u

int client_create(struct client **client, struct loop *loop, slice host, uint16_t port,
		  const struct client_options *options, struct client_totals *totals)
{
	struct client *k = calloc(1, sizeof *k);
	char *name = slice_dup(host);

	if (k == NULL || name == NULL) {
		free(k);
		free(name);
		return -ENOMEM;
	}
	*k = (struct client){.magic = CLIENT_MAGIC,
			     .loop = loop,
			     .options = *options,
			     .host = name,
			     .port = port,
			     .totals = totals};
	if (options->tls != NULL)
		k->options.tls = tls_connector_ref(options->tls);
	k->counters = totals != NULL ? &totals->counters : &k->own_counters;
	list_init(&k->idle);
	list_init(&k->busy);
	list_init(&k->resolving);
	list_init(&k->shared);
	list_init(&k->waiting);
	k->place.run = h2_client_place_waiting;
	if (options->h2)
		k->speaks = CLIENT_SPEAKS_HTTP2;
	k->numeric = resolver_is_address(name, port, &k->addresses);
	/* Nothing listens on port 0: no address, and no look-up. */
	if (port == 0 && name[0] != '/') {
		k->numeric = true;
		k->addresses.count = 0;
	}
	*client = k;
	return 0;
}

static void maybe_free(struct client *k)
{
	if (!k->destroyed || k->connection_count > 0)
		return;
	k->magic = 0;
	SSL_SESSION_free(k->session);
	tls_connector_release(&k->options.tls);
	free(k->host);
	free(k);
}

void client_destroy(struct client **client)
{
	struct client *k;

	OBJ_TAKE(k, client, CLIENT_MAGIC);
	must(list_empty(&k->busy) && list_empty(&k->resolving));
	lookup_cancel(&k->lookup);
	k->destroyed = true;
	while (!list_empty(&k->idle))
		client_connection_close(container_of(k->idle.next, struct client_connection, link));
	while (!list_empty(&k->shared))
		client_connection_close(
			container_of(k->shared.next, struct client_connection, link));
	loop_cancel(k->loop, &k->place);
	maybe_free(k);
}

static void free_connection(struct client_connection *c)
{
	struct client *k = c->client;

	c->magic = 0;
	free(c);
	k->connection_count--;
	k->closing_count--;
	counter_sub(&k->counters->open, 1);
	maybe_free(k);
}

static void on_transport_closed(struct transport *t)
{
	free_connection(container_of(t, struct client_connection, io));
}

void client_count_idle(struct client *k, int change)
{
	k->idle_count += (size_t)change;
	counter_add(&k->counters->idle, (uint64_t)(int64_t)change);
}

bool client_may_idle(const struct client *k)
{
	return k->idle_count < k->options.idle_max &&
	       (k->totals == NULL || counter_get(&k->counters->idle) < k->totals->idle_max);
}

void client_connection_close(struct client_connection *c)
{
	struct client *k = c->client;

	OBJ_CHECK(c, CLIENT_CONNECTION_MAGIC);
	must(c->call == NULL && c->state != CLIENT_CLOSED);
	if (c->state == CLIENT_IDLE)
		client_count_idle(k, -1);
	k->closing_count++;
	c->state = CLIENT_CLOSED;
	list_remove(&c->link);
	loop_disarm(k->loop, &c->timer);
	loop_cancel(k->loop, &c->pump);
	h2_client_free(&c->h2);
	h1_sender_free(&c->out);
	h1_receiver_free(&c->in);
	if (c->has_socket)
		transport_close(&c->io, on_transport_closed);
	else
		free_connection(c);
}

static struct client_connection *new_connection(struct client *k)
{
	struct client_connection *c;

	if (k->connection_count - k->closing_count >= k->options.connections_max)
		return NULL;
	c = calloc(1, sizeof *c);
	if (c == NULL)
		return NULL;
	c->magic = CLIENT_CONNECTION_MAGIC;
	c->client = k;
	c->pump.run = client_connection_pump;
	k->connection_count++;
	counter_add(&k->counters->open, 1);
	return c;
}

/* A request that may be sent twice (RFC 9110 section 9.2.2; Go's transport asks the same). */
static bool is_replayable(const struct client_call *call)
{
	return method_is_idempotent(call->request->method_id) &&
	       call->request->framing == FRAMING_NONE;
}

/*
 * Whether the server has closed a kept-alive connection, or has sent what nobody asked for, without
 * the loop having noticed yet: surplus bytes would be taken for the answer to the next request. One
 * system call.
 */
static bool is_stale(struct client_connection *c)
{
	char byte;
	ssize_t n;

	if (c->tls != NULL)
		return client_connection_has_surplus(c);
	n = recv(c->io.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

/*
 * Whether a whole poll of the sockets lies behind the connection since it became idle: it would
 * have found the server's end, or surplus bytes. The poll whose events are being handled does not
 * count, because the connection's own may still come.
 */
static bool was_watched(const struct client_connection *c)
{
	return c->client->loop->turn - c->idle_turn >= 2;
}

/*
 * Whether the poll whose events are being handled began after the connection became idle. What it
 * found there, if anything, comes in this turn, when no answer can have come yet
 * (`client_connection_is_early`): so a look is not needed for what may be repeated.
 */
static bool is_being_watched(const struct client_connection *c)
{
	const struct loop *l = c->client->loop;

	return l->turn - c->idle_turn == 1 && l->told > 0 && l->told <= ONE_POLL_MAX;
}

/* Of many events some may be of a second poll in the same turn: an answer that one found is had
 * again. */
bool client_connection_is_early(const struct client_connection *c)
{
	const struct loop *l = c->client->loop;

	return c->blind_turn == l->turn && c->blind_turn != 0;
}

/* What must not be sent twice is worth a look even at a connection that was watched. */
static bool is_usable(struct client_connection *c, const struct client_call *call)
{
	bool replayable = is_replayable(call) && !call->retried;

	c->blind_turn = 0;
	if (replayable && was_watched(c))
		return true;
	if (replayable && is_being_watched(c)) {
		c->blind_turn = c->client->loop->turn;
		return true;
	}
	return !is_stale(c);
}

/* Connections that need no look come first, as long as they are found soon. */
static struct client_connection *choose_idle(struct client *k)
{
	unsigned looked_at = 0;

	LIST_FOR_EACH (e, &k->idle) {
		struct client_connection *c = container_of(e, struct client_connection, link);

		OBJ_CHECK(c, CLIENT_CONNECTION_MAGIC);
		if (was_watched(c) || is_being_watched(c))
			return c;
		if (++looked_at == IDLE_LOOKS_MAX)
			break;
	}
	return container_of(k->idle.next, struct client_connection, link);
}

static struct client_connection *take_idle(struct client *k, const struct client_call *call)
{
	while (!list_empty(&k->idle)) {
		struct client_connection *c = choose_idle(k);

		if (is_usable(c, call)) {
			list_remove(&c->link);
			client_count_idle(k, -1);
			loop_disarm(k->loop, &c->timer);
			return c;
		}
		client_connection_close(c);
	}
	return NULL;
}

static void attach(struct client_connection *c, struct client_call *call)
{
	c->call = call;
	c->sent = c->send_failed = c->holds_body = c->heard = false;
	call->connection = c;
}

/* There is no room for another connection. */
static void refuse(struct client *k, struct client_call *call, bool awaited)
{
	struct list waiting;

	counter_add(&k->counters->refused, 1);
	list_init(&waiting);
	if (awaited)
		h2_client_not_opened(k, &waiting);
	client_call_fail(call, -EBUSY);
	h2_client_go_without(k, &waiting, -EBUSY);
}

void client_start_on_new(struct client *k, struct client_call *call, bool awaited)
{
	struct client_connection *c = new_connection(k);

	if (c == NULL) {
		refuse(k, call, awaited);
		return;
	}
	c->reused = false;
	c->awaited = awaited;
	attach(c, call);
	list_push(&k->busy, &c->link);
	client_connection_open(c);
}

/* Whether a call may be one of many on its connection. Upgrades are HTTP/1's; Traefik has a
 * transport of its own for them, too. */
static bool may_share(const struct client *k, const struct client_call *call)
{
	return k->options.h2 ||
	       (k->options.tls != NULL && k->options.offer_h2 && !call->request->upgrade);
}

void client_place(struct client *k, struct client_call *call)
{
	bool share = may_share(k, call);
	struct client_connection *c;

	if (share && h2_client_send(k, call))
		return;
	c = take_idle(k, call);
	if (c == NULL && share && k->speaks != CLIENT_SPEAKS_HTTP1) {
		h2_client_open(k, call);
		return;
	}
	if (c == NULL) {
		client_start_on_new(k, call, false);
		return;
	}
	counter_add(&k->counters->reused, 1);
	c->reused = true;
	attach(c, call);
	list_push(&k->busy, &c->link);
	client_connection_send(c);
}

void client_start(struct client *k, struct client_call *call)
{
	OBJ_CHECK(k, CLIENT_MAGIC);
	OBJ_CHECK(call, CALL_MAGIC);
	call->client = k;
	counter_add(&k->counters->calls, 1);
	client_place(k, call);
}

void client_cancel(struct client_call *call)
{
	struct client_connection *c = call->connection;

	OBJ_CHECK(call, CALL_MAGIC);
	must(!call->complete);
	call->complete = true;
	if (h2_client_has(call)) {
		h2_client_cancel(call);
		return;
	}
	if (c == NULL)
		return;
	client_connection_detach(c);
	/* The server must not take what has come for all there was. */
	if (c->state == CLIENT_TUNNEL)
		transport_reset_on_close(&c->io);
	client_connection_close(c);
}

/* A kept-alive connection that was closed before a byte of the response came: the server has
 * probably not seen the request. */
static bool may_retry(const struct client_connection *c, int code)
{
	const struct client_call *call = c->call;

	return c->reused && !c->heard && !call->retried && code != -ETIMEDOUT && code != -EPROTO &&
	       (is_replayable(call) || (c->out.written == 0 && !c->send_failed));
}

void client_call_fail(struct client_call *call, int code)
{
	struct body *b = call->response_body;

	call->complete = true;
	if (!call->head_received) {
		call->failed(call, code);
		return;
	}
	body_abort(b, code);
	call->done(call);
	body_notify(b);
}

void client_connection_fail(struct client_connection *c, int code)
{
	struct client *k = c->client;
	struct client_call *call = c->call;
	bool retry = may_retry(c, code);
	struct list waiting;

	list_init(&waiting);
	if (c->awaited)
		h2_client_not_opened(k, &waiting);
	counter_add(&k->counters->timeouts, code == -ETIMEDOUT);
	counter_add(&k->counters->bad_responses, code == -EPROTO);
	client_connection_detach(c);
	client_connection_close(c);
	if (retry) {
		counter_add(&k->counters->retried, 1);
		call->retried = true;
		client_start_on_new(k, call, false);
		return;
	}
	client_call_fail(call, code);
	h2_client_go_without(k, &waiting, code);
}

static void idle_timed_out(struct timer *t)
{
	client_connection_close(container_of(t, struct client_connection, timer));
}

void client_connection_wait_idle(struct client_connection *c)
{
	loop_arm(c->client->loop, &c->timer, c->client->options.idle_timeout_ms, idle_timed_out);
}

static bool can_keep(const struct client_connection *c, const struct client_call *call)
{
	return c->state == CLIENT_CALLING && c->sent && call->response->keep_alive &&
	       call->response->framing != FRAMING_CLOSE && h1_receiver_bytes(&c->in).n == 0 &&
	       !c->client->destroyed;
}

void client_connection_finish(struct client_connection *c)
{
	struct client *k = c->client;
	struct client_call *call = c->call;
	bool keep = can_keep(c, call), room = client_may_idle(k);

	client_connection_detach(c);
	client_connection_keep_session(c);
	call->complete = true;
	counter_add(&k->counters->idle_refused, keep && !room);
	if (!keep || !room) {
		client_connection_close(c);
		return;
	}
	h1_sender_free(&c->out);
	c->state = CLIENT_IDLE;
	c->idle_turn = k->loop->turn;
	list_remove(&c->link);
	list_push(&k->idle, &c->link);
	client_count_idle(k, 1);
	transport_watch(&c->io, TRANSPORT_READABLE);
	client_connection_wait_idle(c);
}
