#include <errno.h>

#include "core/log.h"
#include "http/h1_private.h"
#include "http/h1_scan.h"
#include "http/h2_server_private.h"

/* What RFC 9113 section 6.5.2 counts for a field besides its bytes. */
#define LINE_BYTES 32u

/* The consumer of the body has come. */
static void want_body(struct body *b, void *producer)
{
	(void)b;
	h2_request_continue(h2_request_of(producer));
}

/* Until a head is complete nothing else may come on the connection. */
static void on_head_timeout(struct timer *t)
{
	struct h2_request *r = container_of(t, struct h2_request, read_timer);
	struct h1_connection *c = r->connection->carrier;

	counter_add(&c->server->counters.read_timeouts, 1);
	h1_connection_close(c, false);
}

struct h2_stream *h2_request_new(struct h2_session *session, int32_t id)
{
	struct h2_connection *h = container_of(session, struct h2_connection, session);
	struct h1_server *s = h->carrier->server;
	struct exchange *x = exchange_begin(s->exchanges, &h2_request_client, NULL);
	struct h2_request *r = x != NULL ? ARENA_NEW(&x->arena, struct h2_request) : NULL;

	if (r == NULL) {
		if (x != NULL)
			exchange_end(&x, true);
		counter_add(&s->counters.h2_refused, 1);
		return NULL;
	}
	r->connection = h;
	r->x = x;
	x->connection = r;
	h2_stream_attach(&r->stream, session, id);
	/* Bytes may come with the head. */
	h2_stream_receive(&r->stream, &x->own_request_body, want_body, &x->request_trailers);
	if (h->life == H2_SERVING)
		loop_disarm(s->loop, &h->carrier->timer);
	loop_arm(s->loop, &r->read_timer, s->options.read_timeout_ms, on_head_timeout);
	return &r->stream;
}

static void refuse_with(struct h2_request *r, int status)
{
	if (r->refusal == 0)
		r->refusal = status;
}

static slice keep(struct h2_request *r, slice s)
{
	slice kept = arena_copy(&r->x->arena, s);

	if (kept.p == NULL)
		refuse_with(r, 431);
	return kept;
}

/* Lines beyond the limit are not kept; a head that goes on for long is an attack, not a mistake. */
static bool has_room(struct h2_request *r, slice name, slice value)
{
	const struct h2_options *o = &r->connection->carrier->server->options.h2;

	r->head_bytes += name.n + value.n + LINE_BYTES;
	r->lines++;
	if (r->head_bytes <= o->head_bytes_max && r->lines <= o->fields_max)
		return true;
	refuse_with(r, 431);
	h2_session_glitch(&r->connection->session);
	return false;
}

static void take_pseudo(struct h2_request *r, slice name, slice value)
{
	struct request *q = &r->x->request;

	value = keep(r, value);
	if (slice_equal(name, SLICE(":method")))
		q->method = value;
	else if (slice_equal(name, SLICE(":path")))
		q->target = value;
	else if (slice_equal(name, SLICE(":scheme")))
		r->scheme = value;
	else if (slice_equal(name, SLICE(":authority")))
		r->authority = value;
	else if (slice_equal(name, SLICE(":protocol"))) {
		r->protocol = value;
		if (!h2_tunnel_expect(r))
			refuse_with(r, 503);
	}
}

static int add(struct h2_request *r, struct fields *to, slice name, slice value)
{
	enum field_id id = field_id_of(name);

	/* The authority overrides Host, as the one of an absolute target does in HTTP/1.1. */
	if (id == FIELD_HOST && r->authority.n > 0)
		return 0;
	value = keep(r, value);
	if (value.p == NULL)
		return -ENOMEM;
	r->crumbs += id == FIELD_COOKIE;
	if (id != FIELD_OTHER)
		return fields_add_id(to, id, value);
	name = field_canonical(&r->x->arena, name);
	return name.p != NULL ? fields_add(to, name, value) : -ENOMEM;
}

void h2_request_field(struct h2_stream *stream, slice name, slice value, bool trailer)
{
	struct h2_request *r = h2_request_of(stream);
	struct exchange *x = r->x;
	int code = 0;

	if (!has_room(r, name, value))
		return;
	if (name.n > 0 && name.p[0] == ':')
		take_pseudo(r, name, value);
	else if (!trailer)
		code = add(r, &x->request.fields, name, value);
	else if (!h1_trailer_is_forbidden(&(struct field){.name = name, .id = field_id_of(name)}))
		code = add(r, &x->request_trailers, name, value);
	if (code < 0)
		refuse_with(r, 431);
}

/* Crumbs become one line (RFC 9113 section 8.2.3), in the place of the first. */
static int join_cookies(struct h2_request *r)
{
	struct fields *f = &r->x->request.fields;
	const struct field *line = fields_find_id(f, FIELD_COOKIE);
	size_t n = 0;
	char *to, *at;

	if (r->crumbs < 2)
		return 0;
	for (; line != NULL; line = fields_find_next(f, line))
		n += line->value.n + 2;
	to = at = arena_alloc(f->arena, n);
	if (to == NULL)
		return -ENOMEM;
	line = fields_find_id(f, FIELD_COOKIE);
	for (; line != NULL; line = fields_find_next(f, line)) {
		memcpy(at, line->value.p, line->value.n);
		memcpy(at + line->value.n, "; ", 2);
		at += line->value.n + 2;
	}
	return fields_set_id(f, FIELD_COOKIE, slice_of(to, n - 2));
}

/* From here on the version makes no difference but by its name. */
static enum h1_result judge(struct h2_request *r)
{
	struct request *q = &r->x->request;
	bool origin = q->target.n > 0 && q->target.p[0] == '/';
	enum h1_result result;

	q->version = HTTP_2;
	if (q->method.n == 0 || !field_is_token(q->method))
		return H1_BAD_SYNTAX;
	if (r->protocol.n > 0) {
		if (!slice_equal_nocase(r->protocol, SLICE("websocket")))
			refuse_with(r, 501);
		result = h2_tunnel_translate(r);
		if (result != H1_DONE)
			return result;
	}
	if (slice_equal(q->method, SLICE("CONNECT")))
		q->target = r->authority;
	else if (!origin && !slice_equal(q->target, SLICE("*")))
		return H1_BAD_SYNTAX;
	else if (!slice_equal(r->scheme, SLICE("http")) && !slice_equal(r->scheme, SLICE("https")))
		return H1_BAD_SYNTAX;
	if (scan_target(q->target.p, q->target.p + q->target.n) != q->target.p + q->target.n)
		return H1_BAD_SYNTAX;
	if (q->target.n > r->connection->carrier->server->options.head.target_bytes_max)
		return H1_TARGET_TOO_LONG;
	if (join_cookies(r) < 0 ||
	    (r->authority.n > 0 && fields_add_id(&q->fields, FIELD_HOST, r->authority) < 0))
		return H1_NO_MEMORY;
	result = h1_judge_request(q);
	q->keep_alive = true;
	/* Of a short body all is here already. */
	if (result == H1_DONE && q->framing == FRAMING_NONE && r->early == NULL &&
	    !h2_stream_is_empty(&r->stream))
		q->framing = FRAMING_CHUNKED;
	return result;
}

static void on_read_timeout(struct timer *t)
{
	struct h2_request *r = container_of(t, struct h2_request, read_timer);
	struct body *b = &r->x->own_request_body;

	counter_add(&r->connection->carrier->server->counters.read_timeouts, 1);
	if (b->state != BODY_OPEN)
		return;
	h2_stream_drop_body(&r->stream);
	body_abort(b, -ETIMEDOUT);
	body_notify(b);
}

static void on_write_timeout(struct timer *t)
{
	struct h2_request *r = container_of(t, struct h2_request, write_timer);

	counter_add(&r->connection->carrier->server->counters.write_timeouts, 1);
	h2_stream_reset(&r->stream, NGHTTP2_INTERNAL_ERROR);
}

static void on_stalled(struct h2_stream *stream)
{
	struct h2_request *r = h2_request_of(stream);

	counter_add(&r->connection->carrier->server->counters.stalled, 1);
	h2_stream_reset(stream, NGHTTP2_CANCEL);
}

/* As Traefik: a connection has served its time or its number of requests with this one. */
static void limit_keep_alive(struct h2_request *r)
{
	struct h1_connection *c = r->connection->carrier;
	const struct h1_server_options *o = &c->server->options;
	uint64_t age_ms = loop_now_ms(c->server->loop) - c->born_ms;

	if ((o->keep_alive_max_requests > 0 && c->requests >= o->keep_alive_max_requests) ||
	    (o->keep_alive_max_ms > 0 && age_ms >= o->keep_alive_max_ms))
		h2_connection_leave(r->connection);
}

static void begin_body(struct h2_request *r)
{
	struct h1_server *s = r->connection->carrier->server;
	struct exchange *x = r->x;

	/* Answered here, as Go's server does: the next hop is not asked. */
	if (x->request.expect_continue)
		(void)fields_remove_id(&x->request.fields, FIELD_EXPECT);
	r->continue_owed = x->request.expect_continue && !r->stream.in_done;
	x->request.expect_continue = false;
	if (r->early != NULL)
		body_end(&x->own_request_body);
	if (r->stream.in_done || r->early != NULL)
		return;
	loop_arm(s->loop, &r->read_timer, s->options.read_timeout_ms, on_read_timeout);
}

static void refuse(struct h2_request *r, int status)
{
	struct h1_server_counters *counters = &r->connection->carrier->server->counters;

	counter_add(&counters->bad_requests, 1);
	counter_add(&counters->heads_too_large, status == 431);
	counter_add(&counters->targets_too_long, status == 414);
	exchange_refuse(r->x, status, slice_from(status_text(status)), true);
}

/* A malformed request is an error of its stream (RFC 9113 section 8.1.1). */
static void reject(struct h2_request *r, enum h1_result result)
{
	log_debug_with((LOG_TEXT("ClientAddr", r->x->peer)), "Bad request: %s",
		       h1_error_text(result));
	counter_add(&r->connection->carrier->server->counters.bad_requests, 1);
	h2_stream_reset(&r->stream, NGHTTP2_PROTOCOL_ERROR);
}

void h2_request_start(struct h2_request *r)
{
	struct h1_connection *c = r->connection->carrier;
	struct h1_server *s = c->server;
	struct exchange *x = r->x;
	enum h1_result result = judge(r);
	int status = r->refusal;

	loop_disarm(s->loop, &r->read_timer);
	if (h1_connection_name_client(r->connection->carrier, r->x) < 0)
		status = 503;
	if (status == 0 && (result == H1_TARGET_TOO_LONG || result == H1_NO_MEMORY))
		status = h1_error_status(result);
	if (status == 0 && result < 0) {
		reject(r, result);
		return;
	}
	r->begun = true;
	r->stream.stall_ms = s->options.stall_timeout_ms;
	r->stream.stalled = on_stalled;
	x->client_method = x->request.method_id;
	begin_body(r);
	if (status != 0) {
		refuse(r, status);
		return;
	}
	c->requests++;
	counter_add(&s->counters.requests, 1);
	limit_keep_alive(r);
	loop_arm(s->loop, &r->write_timer, s->options.write_timeout_ms, on_write_timeout);
	if (request_expects_unknown(&x->request))
		exchange_refuse(x, 417, SLICE(""), false);
	else
		s->handle(s, x);
}

void h2_request_end(struct h2_request *r, bool failed)
{
	struct loop *loop = r->x->loop;
	struct exchange *x = r->x;

	loop_disarm(loop, &r->read_timer);
	loop_disarm(loop, &r->write_timer);
	if (r->lingers) {
		r->connection->session.lingering--;
		h2_session_wake(&r->connection->session);
	}
	h2_stream_detach(&r->stream);
	h2_tunnel_free(r);
	exchange_end(&x, failed);
}
