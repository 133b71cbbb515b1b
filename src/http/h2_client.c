#include "http/h2_client.h"

#include <errno.h>
#include <stdlib.h>

#include "core/log.h"
#include "http/h1_private.h"
#include "http/h2_session.h"

/* Calls of one connection, whatever its server allows. */
#define CALLS_MAX 250u
#define TABLE_BYTES 4096u
#define LINE_BYTES 32u

/* For the server's settings, where connecting may take any time. */
#define SETTINGS_TIMEOUT_MS 10000u

/* Go's default of pingTimeout. */
#define PING_TIMEOUT_MS 15000u

struct h2_client_connection {
	struct client_connection *carrier;
	struct h2_session session;
	struct timer probe;  /* with readIdleTimeout: looks whether the server has been heard */
	uint64_t pinged_ms;  /* when a probe was sent whose answer is waited for; 0: none */
	struct timer silent; /* ends the wait for the server's settings */
	bool told;           /* they have come: before, it gets one call only */
	bool leaving;        /* it gets no further calls */
	bool idle;           /* counted as such: it has no call */
};

/** One call on a connection, in the call's arena. */
struct h2_call {
	struct h2_stream stream;
	struct h2_client_connection *connection;
	struct client_call *call;
	struct timer timer; /* from the end of the request to the head of the response */
	size_t head_bytes, lines;
	bool refused; /* the head is not one that can be passed on */
	bool heard;
};

static struct h2_call *call_of(struct h2_stream *stream)
{
	return container_of(stream, struct h2_call, stream);
}

static struct h2_client_connection *connection_of(struct h2_session *s)
{
	return container_of(s, struct h2_client_connection, session);
}

/* Where enough are idle it says goodbye, and is closed when that is out. */
static void become_idle(struct h2_client_connection *conn)
{
	struct client *k = conn->carrier->client;

	client_connection_wait_idle(conn->carrier);
	if (conn->leaving)
		return;
	if (!client_may_idle(k)) {
		counter_add(&k->counters->idle_refused, 1);
		conn->leaving = true;
		h2_session_shut(&conn->session, true);
		return;
	}
	conn->idle = true;
	client_count_idle(k, 1);
}

static void become_busy(struct h2_client_connection *conn)
{
	struct client *k = conn->carrier->client;

	loop_disarm(k->loop, &conn->carrier->timer);
	if (conn->idle)
		client_count_idle(k, -1);
	conn->idle = false;
}

/* The call is no longer on the connection, which may have been its last one. */
static struct client_call *detach(struct h2_call *h)
{
	struct client_connection *c = h->connection->carrier;
	struct client *k = c->client;
	struct client_call *call = h->call;

	loop_disarm(k->loop, &h->timer);
	if (call->request_body->consumer == h)
		body_set_consumer(call->request_body, NULL, NULL);
	h2_stream_detach(&h->stream);
	call->connection = NULL;
	call->h2 = NULL;
	client_connection_keep_session(c);
	if (h->connection->session.stream_count == 0)
		become_idle(h->connection);
	/* There may be room for another. */
	if (!list_empty(&k->waiting))
		loop_defer(k->loop, &k->place);
	return call;
}

/* The call is over without a whole response. Its connection has been left. */
static void fail(struct client_call *call, int code)
{
	struct client_counters *counters = call->client->counters;

	counter_add(&counters->timeouts, code == -ETIMEDOUT);
	counter_add(&counters->bad_responses, code == -EPROTO);
	client_call_fail(call, code);
}

/* What no server has looked at, or what may be asked twice, is asked once more. */
static bool may_retry(const struct h2_call *h, int code)
{
	const struct client_call *call = h->call;

	if (call->retried || h->heard || call->head_received ||
	    call->request_body->taken_bytes > 0 || call->request_body->state == BODY_ABORTED)
		return false;
	return h->stream.error_code == NGHTTP2_REFUSED_STREAM ||
	       (code == -ECONNRESET && method_is_idempotent(call->request->method_id) &&
		call->request->framing == FRAMING_NONE);
}

static void fail_or_retry(struct h2_call *h, int code)
{
	bool retry = may_retry(h, code);
	struct client_call *call = detach(h);

	if (!retry) {
		fail(call, code);
		return;
	}
	counter_add(&call->client->counters->retried, 1);
	call->retried = true;
	client_place(call->client, call);
}

static void give_up(struct h2_call *h, int code)
{
	h2_stream_reset(&h->stream, NGHTTP2_CANCEL);
	fail(detach(h), code);
}

static void on_head_timeout(struct timer *t)
{
	give_up(container_of(t, struct h2_call, timer), -ETIMEDOUT);
}

static int add_line(struct h2_call *h, struct fields *to, slice name, slice value)
{
	enum field_id id = field_id_of(name);

	value = arena_copy(h->call->arena, value);
	if (value.p == NULL)
		return -ENOMEM;
	if (id != FIELD_OTHER)
		return fields_add_id(to, id, value);
	name = field_canonical(h->call->arena, name);
	return name.p != NULL ? fields_add(to, name, value) : -ENOMEM;
}

static void on_field(struct h2_stream *stream, slice name, slice value, bool trailer)
{
	struct h2_call *h = call_of(stream);
	const struct h1_limits *limits = &h->connection->carrier->client->options.head;
	struct response *p = h->call->response;
	uint64_t status;
	int r = 0;

	h->head_bytes += name.n + value.n + LINE_BYTES;
	if (h->head_bytes > limits->head_bytes_max || ++h->lines > limits->fields_max)
		h->refused = true;
	else if (slice_equal(name, SLICE(":status")) && slice_to_u64(value, &status))
		p->status = (int)status;
	else if (!trailer)
		r = add_line(h, &p->fields, name, value);
	else if (!h1_trailer_is_forbidden(&(struct field){.name = name, .id = field_id_of(name)}))
		r = add_line(h, h->call->response_trailers, name, value);
	h->refused |= r < 0;
}

/* Of an interim response nothing is kept: the final one follows. */
static bool on_head(struct h2_stream *stream)
{
	struct h2_call *h = call_of(stream);
	struct client_call *call = h->call;

	h->heard = true;
	if (call->response->status >= 200)
		return true;
	if (call->informed != NULL && call->response->status > 101)
		call->informed(call, call->response);
	fields_init(&call->response->fields, call->arena);
	return false;
}

static int judge(struct h2_call *h)
{
	struct response *p = h->call->response;

	p->version = HTTP_2;
	p->reason = slice_from(status_text(p->status));
	if (h->refused || p->status < 200 || p->status > 999 ||
	    h1_judge_response(p, h->call->request->method_id) != H1_DONE)
		return -EPROTO;
	if (p->framing == FRAMING_CLOSE && h2_stream_is_empty(&h->stream))
		p->framing = FRAMING_NONE;
	return 0;
}

/* Whether the response is complete, or will never be. */
static bool settle(struct h2_call *h, unsigned changes)
{
	struct body *b = h->call->response_body;

	if (b->state == BODY_OPEN && (changes & H2_CLOSED))
		body_abort(b,
			   h->stream.error_code == NGHTTP2_PROTOCOL_ERROR ? -EPROTO : -ECONNRESET);
	if (b->state == BODY_OPEN)
		return false;
	/* Answered before all of the request was sent. */
	if (!h->stream.out_done && !(changes & H2_CLOSED))
		h2_stream_reset(&h->stream, NGHTTP2_CANCEL);
	return true;
}

static void begin_response(struct h2_call *h, unsigned changes)
{
	struct client_call *call = h->call;

	loop_disarm(call->client->loop, &h->timer);
	if (judge(h) < 0) {
		log_debug_with((LOG_STRING("host", call->client->host),
				LOG_INTEGER("port", call->client->port)),
			       "Bad response");
		give_up(h, -EPROTO);
		return;
	}
	call->head_received = true;
	if (settle(h, changes)) {
		(void)detach(h);
		call->complete = true;
	}
	call->responded(call);
}

static int code_of(const struct h2_stream *stream)
{
	return stream->error_code == NGHTTP2_PROTOCOL_ERROR ? -EPROTO : -ECONNRESET;
}

static void on_changed(struct h2_stream *stream, unsigned changes)
{
	struct h2_call *h = call_of(stream);
	struct client_call *call = h->call;
	struct body *b = call->response_body;

	if ((changes & H2_SENT) && !stream->in_heads)
		loop_arm(call->client->loop, &h->timer,
			 call->client->options.response_header_timeout_ms, on_head_timeout);
	if (stream->in_heads && !call->head_received) {
		begin_response(h, changes);
		return;
	}
	if (!call->head_received) {
		if (changes & H2_CLOSED)
			fail_or_retry(h, code_of(stream));
		return;
	}
	if (settle(h, changes)) {
		(void)detach(h);
		call->complete = true;
		call->done(call);
	}
	if (changes & (H2_BODY | H2_CLOSED))
		body_notify(b);
}

static void on_blocked(struct h2_session *s, bool blocked, bool progress)
{
	(void)s;
	(void)blocked;
	(void)progress;
}

static void on_leaving(struct h2_session *s, int32_t last)
{
	struct h2_client_connection *conn = connection_of(s);

	(void)last;
	counter_add(&conn->carrier->client->counters->h2_goaways, !conn->leaving);
	conn->leaving = true;
}

/* Others need not wait for the connection any more. */
static void release_waiting(struct client_connection *c)
{
	struct client *k = c->client;

	if (!c->awaited)
		return;
	k->opening = c->awaited = false;
	loop_defer(k->loop, &k->place);
}

static void on_settings(struct h2_session *s)
{
	struct h2_client_connection *conn = connection_of(s);

	conn->told = true;
	loop_disarm(s->loop, &conn->silent);
	release_waiting(conn->carrier);
}

/* It answers, or the call's own time-outs end it; others are no worse off than that call. */
static void on_no_settings(struct timer *t)
{
	struct h2_client_connection *conn = container_of(t, struct h2_client_connection, silent);

	on_settings(&conn->session);
}

static void on_pong(struct h2_session *s)
{
	(void)s;
}

/* The connection has ended: so have its calls. What they do then may begin others elsewhere. */
static void on_over(struct h2_session *s, int error)
{
	struct h2_client_connection *conn = connection_of(s);
	struct client_connection *c = conn->carrier;

	conn->leaving = true;
	while (!list_empty(&s->streams))
		fail_or_retry(call_of(container_of(s->streams.next, struct h2_stream, link)),
			      error == 0 ? -ECONNRESET : error);
	client_connection_close(c);
}

static void watch_silence(struct h2_client_connection *conn);

/* As Go's transport: after some silence a ping, whose answer must come in time. Anything that the
 * server says is an answer. */
static void on_silence(struct timer *t)
{
	struct h2_client_connection *conn = container_of(t, struct h2_client_connection, probe);
	const struct client_options *o = &conn->carrier->client->options;
	struct h2_session *s = &conn->session;

	if (conn->pinged_ms > 0 && s->heard_ms < conn->pinged_ms) {
		counter_add(&conn->carrier->client->counters->h2_lost, 1);
		on_over(s, -ECONNRESET);
		return;
	}
	conn->pinged_ms = 0;
	if (loop_now_ms(s->loop) - s->heard_ms < o->read_idle_timeout_ms) {
		watch_silence(conn);
		return;
	}
	conn->pinged_ms = loop_now_ms(s->loop);
	(void)nghttp2_submit_ping(s->ng, NGHTTP2_FLAG_NONE, NULL);
	h2_session_wake(s);
	loop_arm(s->loop, &conn->probe,
		 o->ping_timeout_ms > 0 ? o->ping_timeout_ms : PING_TIMEOUT_MS, on_silence);
}

static void watch_silence(struct h2_client_connection *conn)
{
	const struct h2_session *s = &conn->session;
	uint64_t due = s->heard_ms + conn->carrier->client->options.read_idle_timeout_ms;

	loop_arm(s->loop, &conn->probe, due - loop_now_ms(s->loop), on_silence);
}

static struct h2_stream *on_begin(struct h2_session *s, int32_t id)
{
	(void)s;
	(void)id;
	return NULL;
}

static const struct h2_session_ops ops = {.begin = on_begin,
					  .field = on_field,
					  .head = on_head,
					  .changed = on_changed,
					  .blocked = on_blocked,
					  .settings = on_settings,
					  .leaving = on_leaving,
					  .pong = on_pong,
					  .over = on_over};

static void on_ready(struct transport *t, int events)
{
	struct client_connection *c = container_of(t, struct client_connection, io);

	OBJ_CHECK(c, CLIENT_CONNECTION_MAGIC);
	h2_session_on_ready(&c->h2->session, events);
}

static void on_request_body(struct body *b, void *consumer)
{
	struct h2_call *h = consumer;

	(void)b;
	h2_stream_wake(&h->stream);
}

/* Hands the request to nghttp2. Returns 0 or a negative errno value with the call not begun. */
static int submit(struct h2_client_connection *conn, struct client_call *call)
{
	struct h2_call *h = ARENA_NEW(call->arena, struct h2_call);
	const struct request *q = call->request;
	nghttp2_data_provider body;
	size_t count;
	nghttp2_nv *list = h2_client_lines(call, &count);
	int32_t id;

	if (h == NULL || list == NULL)
		return -ENOMEM;
	h->connection = conn;
	h->call = call;
	body = h2_stream_send(&h->stream, call->request_body, q->framing, q->content_length);
	id = nghttp2_submit_request(conn->session.ng, NULL, list, count,
				    q->framing == FRAMING_NONE ? NULL : &body, &h->stream);
	if (id < 0)
		return id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE ? -EBUSY : -ENOMEM;
	call->response->status = 0;
	fields_init(&call->response->fields, call->arena);
	h2_stream_attach(&h->stream, &conn->session, id);
	h2_stream_receive(&h->stream, call->response_body, NULL, call->response_trailers);
	call->connection = conn->carrier;
	call->h2 = h;
	call->sent = true;
	become_busy(conn);
	if (q->framing != FRAMING_NONE)
		body_set_consumer(call->request_body, on_request_body, h);
	h2_session_wake(&conn->session);
	return 0;
}

static bool has_room(const struct h2_client_connection *conn)
{
	uint32_t allowed = nghttp2_session_get_remote_settings(
		conn->session.ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

	/* Numbers of streams run out. */
	return conn->told && !conn->leaving && conn->session.error == 0 &&
	       nghttp2_session_check_request_allowed(conn->session.ng) != 0 &&
	       conn->session.stream_count < MIN(allowed, CALLS_MAX);
}

static struct h2_client_connection *find_room(const struct client *k)
{
	LIST_FOR_EACH (e, &k->shared) {
		struct client_connection *c = container_of(e, struct client_connection, link);

		if (has_room(c->h2))
			return c->h2;
	}
	return NULL;
}

static void send_on(struct h2_client_connection *conn, struct client_call *call)
{
	int r = submit(conn, call);

	if (r == 0)
		return;
	if (conn->session.stream_count == 0 && !conn->idle)
		become_idle(conn);
	fail(call, r);
}

bool h2_client_has_room(const struct client *k)
{
	return find_room(k) != NULL;
}

bool h2_client_send(struct client *k, struct client_call *call)
{
	struct h2_client_connection *conn = find_room(k);

	if (conn == NULL)
		return false;
	counter_add(&k->counters->reused, 1);
	send_on(conn, call);
	return true;
}

void h2_client_cancel(struct client_call *call)
{
	struct client_connection *c = call->connection;
	struct client *k = call->client;
	struct client_call *next;

	if (call->h2 != NULL) {
		h2_stream_reset(&call->h2->stream, NGHTTP2_CANCEL);
		(void)detach(call->h2);
		return;
	}
	if (list_linked(&call->link)) {
		list_remove(&call->link);
		counter_sub(&k->counters->waiting, 1);
		return;
	}
	/* The connection is being opened for it: the next one takes its place. */
	call->connection = NULL;
	c->call = next = h2_client_next(k, &k->waiting);
	if (next != NULL) {
		next->connection = c;
		return;
	}
	k->opening = false;
	client_connection_close(c);
}

static struct h2_client_connection *make(struct client_connection *c)
{
	const struct client_options *o = &c->client->options;
	const struct h2_options options = {.decoder_table_bytes = TABLE_BYTES,
					   .encoder_table_bytes = TABLE_BYTES,
					   .window_bytes = o->window_bytes,
					   .head_bytes_max = o->head.head_bytes_max,
					   .fields_max = o->head.fields_max};
	struct h2_client_connection *conn = calloc(1, sizeof *conn);

	if (conn == NULL)
		return NULL;
	conn->carrier = c;
	if (h2_session_init(&conn->session, &c->io, false, &options, &ops) < 0) {
		free(conn);
		return NULL;
	}
	if (o->read_idle_timeout_ms > 0)
		watch_silence(conn);
	return conn;
}

void h2_client_begin(struct client_connection *c)
{
	struct client *k = c->client;
	struct client_call *call = c->call;

	c->h2 = make(c);
	if (c->h2 == NULL) {
		client_connection_fail(c, -ENOMEM);
		return;
	}
	counter_add(&k->counters->h2_connections, 1);
	c->call = NULL;
	c->state = CLIENT_SHARED;
	c->io.on_ready = on_ready;
	list_remove(&c->link);
	list_push(&k->shared, &c->link);
	transport_watch(&c->io, TRANSPORT_READABLE);
	loop_arm(k->loop, &c->h2->silent,
		 k->options.connect_timeout_ms > 0 ? k->options.connect_timeout_ms
						   : SETTINGS_TIMEOUT_MS,
		 on_no_settings);
	send_on(c->h2, call);
}

void h2_client_free(struct h2_client_connection **giver)
{
	struct h2_client_connection *conn = *giver;

	*giver = NULL;
	if (conn == NULL)
		return;
	if (conn->idle)
		client_count_idle(conn->carrier->client, -1);
	loop_disarm(conn->carrier->client->loop, &conn->probe);
	loop_disarm(conn->carrier->client->loop, &conn->silent);
	release_waiting(conn->carrier);
	h2_session_free(&conn->session);
	free(conn);
}
