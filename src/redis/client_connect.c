#include <errno.h>
#include <stdio.h>
#include <sys/un.h>

#include "net/tls.h"
#include "redis/client_private.h"

static void on_due(struct timer *t)
{
	redis_connection_fail(container_of(t, struct redis_connection, timer), -ETIMEDOUT, NULL);
}

/* For all that is left to do until the connection can be used. */
static void arm_rest(struct redis_connection *c)
{
	loop_arm(c->client->loop, &c->timer, dial_left_ms(&c->dial, c->client->loop), on_due);
}

static void add_command(struct str *out, const slice *parts, size_t count)
{
	struct arena arena;
	slice command;

	arena_init(&arena, 512, SIZE_MAX);
	command = redis_command(&arena, parts, count);
	if (command.p != NULL)
		str_add(out, command);
	else
		out->failed = true;
	arena_free(&arena);
}

/* All at once: the replies come in order. */
static void greet(struct redis_connection *c)
{
	const struct redis_options *o = c->client->options;
	char db[24];

	c->state = REDIS_GREETING;
	c->io.on_ready = redis_connection_on_ready;
	if (o->username.n > 0) {
		const slice parts[] = {SLICE("AUTH"), o->username, o->password};

		add_command(&c->out, parts, 3);
		c->greetings++;
	} else if (o->password.n > 0) {
		const slice parts[] = {SLICE("AUTH"), o->password};

		add_command(&c->out, parts, 2);
		c->greetings++;
	}
	if (o->db != 0) {
		const slice parts[] = {SLICE("SELECT"), slice_from(db)};

		(void)snprintf(db, sizeof db, "%lld", (long long)o->db);
		add_command(&c->out, (const slice[]){parts[0], slice_from(db)}, 2);
		c->greetings++;
	}
	if (c->greetings == 0) {
		transport_watch(&c->io, TRANSPORT_READABLE);
		redis_connection_is_ready(c);
	} else {
		redis_connection_flush(&c->flush);
	}
}

static void shake_hands(struct redis_connection *c)
{
	struct weir_error e = {0};
	int r = tls_handshake(c->tls, &e);

	if (r == -EAGAIN)
		return;
	if (r < 0)
		redis_connection_fail(c, r, e.text);
	else
		greet(c);
}

static void on_handshake(struct transport *t, int events)
{
	(void)events;
	shake_hands(container_of(t, struct redis_connection, io));
}

static void connected(struct redis_connection *c)
{
	const struct redis_options *o = c->client->options;
	char host[256];

	arm_rest(c);
	if (o->tls == NULL) {
		greet(c);
		return;
	}
	c->state = REDIS_HANDSHAKE;
	c->io.on_ready = on_handshake;
	(void)snprintf(host, sizeof host, "%.*s", SLICE_ARG(o->host));
	if (tls_connect(&c->tls, o->tls, &c->io, host, (slice){NULL, 0}, NULL) < 0)
		redis_connection_fail(c, -ENOMEM, NULL);
	else
		shake_hands(c);
}

static void try_next(struct redis_connection *c);

static void on_connecting(struct transport *t, int events)
{
	struct redis_connection *c = container_of(t, struct redis_connection, io);
	int problem;

	(void)events;
	OBJ_CHECK(c, REDIS_CONNECTION_MAGIC);
	problem = transport_socket_error(t);
	if (problem == 0) {
		connected(c);
		return;
	}
	c->dial.error = problem;
	try_next(c);
}

/* A transport is closed asynchronously, so that every further address needs a connection object of
 * its own. */
static struct redis_connection *replace(struct redis_connection *c)
{
	struct redis_connection *next = redis_connection_new(c->client);

	if (next == NULL)
		return NULL;
	next->addresses = c->addresses;
	next->dial = c->dial;
	redis_connection_close(c);
	return next;
}

static void on_wait_over(struct timer *t)
{
	struct redis_connection *c = container_of(t, struct redis_connection, timer);

	c->dial.error = -ETIMEDOUT;
	try_next(c);
}

static void try_next(struct redis_connection *c)
{
	struct redis_connection *fresh = c;
	enum dial_step step = DIAL_FAILED;
	uint64_t wait_ms;

	if (c->has_socket && c->dial.next < c->addresses.count)
		fresh = replace(c);
	if (fresh != NULL) {
		c = fresh;
		step = dial_next(&c->dial, c->client->loop, &c->addresses,
				 c->client->options->keep_alive_s, &c->io, on_connecting, &wait_ms);
	}
	if (step == DIAL_FAILED) {
		redis_connection_fail(c, c->dial.error, NULL);
		return;
	}
	if (step == DIAL_CONNECTING) {
		c->has_socket = true;
		c->state = REDIS_CONNECTING;
	}
	loop_arm(c->client->loop, &c->timer, wait_ms, on_wait_over);
}

static void on_resolved(void *owner, int status, const struct resolved *answer)
{
	struct redis_connection *c = owner;

	OBJ_CHECK(c, REDIS_CONNECTION_MAGIC);
	c->lookup = NULL;
	if (status != 0) {
		redis_connection_fail(c, status == UV_EAI_MEMORY ? -ENOMEM : -EHOSTUNREACH,
				      uv_strerror(status));
		return;
	}
	c->addresses = *answer;
	try_next(c);
}

static bool is_path(slice host)
{
	return host.n > 0 && host.p[0] == '/';
}

/* The path fits: `redis_server_get` has seen to that. */
static void set_path(struct resolved *to, slice path)
{
	struct sockaddr_un *a = (struct sockaddr_un *)&to->addresses[0];

	*to = (struct resolved){.count = 1};
	must(path.n < sizeof a->sun_path);
	a->sun_family = AF_UNIX;
	memcpy(a->sun_path, path.p, path.n);
}

void redis_client_connect(struct redis_client *k)
{
	struct redis_connection *c = redis_connection_new(k);
	const struct redis_options *o = k->options;
	char host[256];
	int r;

	if (c == NULL)
		return;
	dial_begin(&c->dial, k->loop, o->dial_timeout_ms);
	arm_rest(c);
	(void)snprintf(host, sizeof host, "%.*s", SLICE_ARG(o->host));
	if (is_path(o->host)) {
		set_path(&c->addresses, o->host);
		try_next(c);
	} else if (resolver_is_address(host, o->port, &c->addresses)) {
		try_next(c);
	} else {
		c->addresses.count = 0;
		r = resolver_start(&c->lookup, k->loop, host, o->port, on_resolved, c);
		if (r < 0)
			redis_connection_fail(c, r, NULL);
	}
}
