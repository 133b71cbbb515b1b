#include <errno.h>

#include "redis/client_private.h"

/* A reply of ours has a hundred bytes. */
#define REPLY_BYTES_MAX 65536u
/* Waiting to be written; a command has some hundred bytes, and the name of a source. */
#define OUT_BYTES_MAX 262144u
/* Per turn of the loop. */
#define READS_MAX 16

/* As Traefik's. */
#define IDLE_MS (30 * 60 * 1000u)

bool redis_connection_has_room(const struct redis_connection *c)
{
	return c->state == REDIS_READY && c->in_flight < REDIS_PIPELINE_MAX &&
	       c->out.n - c->out_at < OUT_BYTES_MAX;
}

/* Where the next reply goes; NULL: to nobody. */
static void take_place(struct redis_connection *c, struct redis_query *q)
{
	c->slots[(c->first + c->in_flight++) % REDIS_PLACES] = q;
	counter_add(&c->client->counters->in_flight, 1);
}

void redis_connection_send(struct redis_connection *c, struct redis_query *q)
{
	must(redis_connection_has_room(c));
	if (c->in_flight == 0)
		loop_disarm(c->client->loop, &c->timer);
	/* Holds for the next command on the connection, and for no other. */
	if (q->asking) {
		take_place(c, NULL);
		str_add(&c->out, SLICE("*1\r\n$6\r\nASKING\r\n"));
	}
	take_place(c, q);
	q->connection = c;
	str_add(&c->out, q->command);
	loop_defer(c->client->loop, &c->flush);
}

static void on_idle(struct timer *t)
{
	struct redis_connection *c = container_of(t, struct redis_connection, timer);

	if (c->client->count > c->client->options->idle_min)
		redis_connection_close(c);
	else
		redis_connection_idle(c);
}

void redis_connection_idle(struct redis_connection *c)
{
	loop_arm(c->client->loop, &c->timer, IDLE_MS, on_idle);
}

static void on_write_due(struct timer *t)
{
	redis_connection_fail(container_of(t, struct redis_connection, timer), -ETIMEDOUT, NULL);
}

/* Returns 0, also where the socket takes no more, or a negative errno value. */
static int write_out(struct redis_connection *c)
{
	while (c->out_at < c->out.n) {
		const struct iovec v = {c->out.p + c->out_at, c->out.n - c->out_at};
		ssize_t n = transport_writev(&c->io, &v, 1);

		if (n == -EAGAIN)
			return 0;
		if (n < 0)
			return (int)n;
		c->out_at += (size_t)n;
	}
	return 0;
}

/* Also where there is always something more to write: what was written takes at most as much memory
 * as the rest, and each byte is moved once at most for one that was written. */
static void drop_written(struct redis_connection *c)
{
	size_t left = c->out.n - c->out_at;

	if (left > 0 && c->out_at <= c->out.n / 2)
		return;
	if (left > 0)
		memmove(c->out.p, c->out.p + c->out_at, left);
	c->out.n = left;
	c->out_at = 0;
}

void redis_connection_flush(struct task *t)
{
	struct redis_connection *c = container_of(t, struct redis_connection, flush);
	struct redis_client *k = c->client;
	size_t before = c->out_at;
	int r = c->out.failed ? -ENOMEM : write_out(c);
	bool blocked = c->out_at<c->out.n, moved = c->out_at> before;

	if (r < 0) {
		redis_connection_fail(c, r, NULL);
		return;
	}
	transport_watch(&c->io, TRANSPORT_READABLE | (blocked ? TRANSPORT_WRITABLE : 0));
	drop_written(c);
	/* Until it is READY the timer has another purpose, and no less of a limit. */
	if (c->state != REDIS_READY || c->in_flight == 0)
		return;
	if (!blocked)
		loop_disarm(k->loop, &c->timer);
	else if (moved || !timer_armed(&c->timer))
		loop_arm(k->loop, &c->timer, k->options->write_timeout_ms, on_write_due);
}

static void fail_with_text(struct redis_connection *c, const struct redisReply *reply)
{
	slice text = redis_reply_text(reply);
	char why[160];

	(void)snprintf(why, sizeof why, "Redis says: %.*s", (int)MIN(text.n, sizeof why), text.p);
	redis_connection_fail(c, -EACCES, why);
}

static void take_reply(struct redis_connection *c, const struct redisReply *reply)
{
	if (c->state == REDIS_READY && c->in_flight > 0)
		redis_connection_answered(c, reply);
	else if (reply->type == REDIS_REPLY_ERROR)
		fail_with_text(c, reply);
	else if (c->state == REDIS_READY)
		redis_connection_fail(c, -EPROTO, "a reply to no query");
	else if (--c->greetings == 0)
		redis_connection_is_ready(c);
}

static void take_replies(struct redis_connection *c)
{
	void *reply = NULL;

	while (redisReaderGetReply(c->reader, &reply) == REDIS_OK && reply != NULL) {
		c->unanswered_bytes = 0;
		take_reply(c, reply);
		freeReplyObject(reply);
		if (c->state == REDIS_CLOSED)
			return;
	}
	if (c->reader->err != 0)
		redis_connection_fail(c, -EPROTO, c->reader->errstr);
	else if (c->unanswered_bytes > REPLY_BYTES_MAX)
		redis_connection_fail(c, -EPROTO, "a reply that is too long");
	else
		redis_client_send_waiting(c->client);
}

/* Returns whether there may be more. */
static bool read_some(struct redis_connection *c)
{
	char bytes[4096];
	ssize_t n = transport_read(&c->io, bytes, sizeof bytes);

	if (n == -EAGAIN)
		return false;
	if (n <= 0) {
		redis_connection_fail(c, n == 0 ? -ECONNRESET : (int)n, NULL);
		return false;
	}
	c->unanswered_bytes += (size_t)n;
	if (redisReaderFeed(c->reader, bytes, (size_t)n) != REDIS_OK) {
		redis_connection_fail(c, -ENOMEM, NULL);
		return false;
	}
	take_replies(c);
	return c->state != REDIS_CLOSED && n == (ssize_t)sizeof bytes;
}

void redis_connection_on_ready(struct transport *t, int events)
{
	struct redis_connection *c = container_of(t, struct redis_connection, io);

	OBJ_CHECK(c, REDIS_CONNECTION_MAGIC);
	if ((events & TRANSPORT_WRITABLE) && c->out_at < c->out.n) {
		redis_connection_flush(&c->flush);
		if (c->state == REDIS_CLOSED)
			return;
	}
	for (int i = 0; i < READS_MAX && read_some(c); i++)
		;
}
