#include <errno.h>

#include "http/date.h"
#include "http/h1_server_private.h"

/* As Go's server: a longer rest of a request's body is not worth waiting for. */
#define DRAIN_BYTES_MAX ((uint64_t)256 * 1024)
#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"

static void client_stalled(struct timer *t)
{
	struct h1_connection *c = container_of(t, struct h1_connection, write_timer);

	counter_add(&c->server->counters.stalled, 1);
	h1_connection_close(c, true);
}

/* Reading goes on or waits as it did; the flush itself may have changed that. */
static void watch_writing(struct h1_connection *c, bool on)
{
	h1_connection_watch(c, (c->io.watched & TRANSPORT_READABLE) != 0, on);
}

void h1_connection_continue(struct h1_connection *c)
{
	char *to;

	if (!c->continue_owed)
		return;
	c->continue_owed = false;
	if (c->responding)
		return;
	to = h1_sender_head(&c->out, c->server->loop, sizeof CONTINUE - 1);
	if (to == NULL)
		return;
	memcpy(to, CONTINUE, sizeof CONTINUE - 1);
	h1_sender_head_done(&c->out, to + sizeof CONTINUE - 1);
	if (h1_sender_flush(&c->out, &c->io) == H1_SENT_BLOCKED)
		watch_writing(c, true);
}

enum framing h1_client_framing(const struct exchange *x)
{
	const struct response *r = &x->response;

	if (status_has_no_body(r->status, x->client_method))
		return FRAMING_NONE;
	if (r->framing == FRAMING_LENGTH)
		return FRAMING_LENGTH;
	if (r->framing == FRAMING_NONE)
		return FRAMING_NONE;
	return x->request.version == HTTP_1_0 ? FRAMING_CLOSE : FRAMING_CHUNKED;
}

/*
 * Framing and connection fields are this hop's: whatever came with the response goes, except the
 * length of a body that the client does not expect (HEAD, 304).
 */
void h1_drop_hop_fields(struct exchange *x, enum framing framing)
{
	struct fields *f = &x->response.fields;

	(void)fields_remove_id(f, FIELD_CONNECTION);
	(void)fields_remove_id(f, FIELD_KEEP_ALIVE);
	(void)fields_remove_id(f, FIELD_PROXY_CONNECTION);
	(void)fields_remove_id(f, FIELD_TRANSFER_ENCODING);
	if (framing != FRAMING_NONE || x->response.status == 204 ||
	    !status_has_no_body(x->response.status, x->client_method))
		(void)fields_remove_id(f, FIELD_CONTENT_LENGTH);
	if (!fields_have(f, FIELD_DATE))
		(void)fields_add_id(f, FIELD_DATE, date_now());
}

static char *put(char *to, slice s)
{
	memcpy(to, s.p, s.n);
	return to + s.n;
}

static char *put_length(char *to, uint64_t n)
{
	char digits[20];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	to = put(to, SLICE("Content-Length: "));
	to = put(to, (slice){digits + at, sizeof digits - at});
	return put(to, SLICE("\r\n"));
}

/* The response without a body but with a status that normally has one says so. */
bool h1_says_empty(const struct exchange *x, enum framing framing)
{
	return framing == FRAMING_NONE && x->response.framing == FRAMING_NONE &&
	       !status_has_no_body(x->response.status, x->client_method);
}

/* The length that the body would have, had the request been a GET (RFC 9110 section 8.6). */
bool h1_says_length(const struct exchange *x, enum framing framing)
{
	const struct response *r = &x->response;

	if (framing == FRAMING_LENGTH)
		return true;
	return x->client_method == METHOD_HEAD && r->framing == FRAMING_LENGTH &&
	       !status_has_no_body(r->status, METHOD_GET) &&
	       !fields_have(&r->fields, FIELD_CONTENT_LENGTH);
}

/* Go's server, too, says 1.0 to those who said so, and tells nobody but 1.1 clients that it closes.
 */
static char *put_connection(char *to, const struct h1_connection *c)
{
	bool is_10 = c->x->request.version == HTTP_1_0;

	if (!c->keep_alive && !is_10)
		return put(to, SLICE("Connection: close\r\n"));
	if (c->keep_alive && is_10)
		return put(to, SLICE("Connection: keep-alive\r\n"));
	return to;
}

#define MINOR_VERSION_AT (sizeof "HTTP/1." - 1)

#define HOP_BYTES_MAX 128

static bool write_head(struct h1_connection *c, enum framing framing)
{
	struct exchange *x = c->x;
	size_t need = h1_response_bytes(&x->response) + HOP_BYTES_MAX;
	char *to = h1_sender_head(&c->out, c->server->loop, need), *end;

	if (to == NULL)
		return false;
	end = h1_write_response(to, &x->response);
	if (x->request.version == HTTP_1_0)
		to[MINOR_VERSION_AT] = '0';
	/* The hop's own fields take the place of the empty line. */
	end -= 2;
	if (h1_says_length(x, framing))
		end = put_length(end, x->response.content_length);
	else if (h1_says_empty(x, framing))
		end = put_length(end, 0);
	else if (framing == FRAMING_CHUNKED)
		end = put(end, SLICE("Transfer-Encoding: chunked\r\n"));
	end = put_connection(end, c);
	end = put(end, SLICE("\r\n"));
	h1_sender_head_done(&c->out, end);
	return true;
}

/* Whether the connection can go on after the response although the request's body is not all here.
 */
static bool body_is_short(const struct h1_connection *c)
{
	return c->body_done || (!c->continue_owed && c->in.framing == FRAMING_LENGTH &&
				c->in.left <= DRAIN_BYTES_MAX);
}

static void on_response_body(struct body *b, void *consumer)
{
	struct h1_connection *c = consumer;

	(void)b;
	OBJ_CHECK(c, H1_CONNECTION_MAGIC);
	/* While the transport is full, its writability is what matters. */
	if (c->state == H1_BUSY && !(c->io.watched & TRANSPORT_WRITABLE))
		h1_connection_flush(c);
}

static void respond(struct exchange *x)
{
	struct h1_connection *c = x->connection;
	enum framing framing = h1_client_framing(x);

	OBJ_CHECK(c, H1_CONNECTION_MAGIC);
	must(c->state == H1_BUSY && !c->responding);
	c->responding = true;
	if (x->response.status == 101) {
		h1_connection_switch(c);
		return;
	}
	c->keep_alive = c->keep_alive && framing != FRAMING_CLOSE && body_is_short(c) &&
			!c->server->draining;
	h1_drop_hop_fields(x, framing);
	if (!write_head(c, framing)) {
		h1_connection_close(c, true);
		return;
	}
	h1_sender_body(&c->out, x->response_body, framing, x->response.content_length);
	if (framing != FRAMING_NONE)
		body_set_consumer(x->response_body, on_response_body, c);
	if (h1_sender_takes_pipe(&c->out, &c->io))
		body_accept_pipe(x->response_body);
	h1_connection_flush(c);
}

static void inform(struct exchange *x, const struct response *interim)
{
	struct h1_connection *c = x->connection;
	char *to;

	OBJ_CHECK(c, H1_CONNECTION_MAGIC);
	if (interim->status == 100 || x->request.version == HTTP_1_0 || c->responding)
		return;
	to = h1_sender_head(&c->out, c->server->loop, h1_response_bytes(interim));
	if (to == NULL)
		return;
	h1_sender_head_done(&c->out, h1_write_response(to, interim));
	if (h1_sender_flush(&c->out, &c->io) == H1_SENT_BLOCKED)
		watch_writing(c, true);
}

static void drop(struct exchange *x)
{
	h1_connection_close(x->connection, true);
}

const struct exchange_client h1_connection_client = {
	.respond = respond, .inform = inform, .drop = drop};

static void sent_all(struct h1_connection *c)
{
	exchange_end(&c->x, false);
	h1_connection_next(c);
}

void h1_connection_flush(struct h1_connection *c)
{
	struct h1_server *s = c->server;
	uint64_t before = c->out.written;

	switch (h1_sender_flush(&c->out, &c->io)) {
	case H1_SENT_ALL:
		if (c->responding) {
			sent_all(c);
			return;
		}
		watch_writing(c, false);
		break;
	case H1_SENT_WAITING:
		watch_writing(c, false);
		if (s->options.write_timeout_ms == 0)
			loop_disarm(s->loop, &c->write_timer);
		break;
	case H1_SENT_BLOCKED:
		watch_writing(c, true);
		if (s->options.write_timeout_ms == 0 &&
		    (c->out.written > before || !timer_armed(&c->write_timer)))
			loop_arm(s->loop, &c->write_timer, s->options.stall_timeout_ms,
				 client_stalled);
		break;
	case H1_SENT_FAILED:
		counter_add(&s->counters.aborted, 1);
		h1_connection_close(c, false);
		break;
	case H1_SENT_BROKEN:
		/* Whoever knows the length sees that something is missing, and shall have what
		 * came: an abortive close could take it from the way. */
		h1_connection_close(c, c->out.framing == FRAMING_CLOSE);
		break;
	}
}

void h1_connection_reject(struct h1_connection *c, int status)
{
	static const char format[] = "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
				     "Connection: close\r\n\r\n%d %s";
	struct iovec v;
	struct str text = {0};

	counter_add(&c->server->counters.bad_requests, 1);
	counter_add(&c->server->counters.heads_too_large, status == 431);
	counter_add(&c->server->counters.targets_too_long, status == 414);
	str_format(&text, format, status, status_text(status), status, status_text(status));
	if (!text.failed) {
		v = (struct iovec){text.p, text.n};
		/* A few hundred bytes into an empty socket buffer: what does not fit is lost with
		 * the connection. */
		(void)transport_writev(&c->io, &v, 1);
	}
	str_free(&text);
	h1_connection_linger(c);
}
