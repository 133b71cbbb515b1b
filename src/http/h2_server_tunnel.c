#include <errno.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "core/base64.h"
#include "http/h2_server_private.h"

/*
 * WebSockets over HTTP/2 (RFC 8441). Inside, the request is the GET with an Upgrade that it would
 * have been in HTTP/1.1, so that routers, middlewares and plugins see what they know, and a 101
 * makes a tunnel of it: its bytes are the DATA of the stream.
 */

#define KEY_BYTES 16u
#define KEY_TEXT_BYTES 24u /* in base 64 */
#define ACCEPT_TEXT_BYTES 28u
/* RFC 6455 section 1.3 */
#define ACCEPT_SALT "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

bool h2_tunnel_expect(struct h2_request *r)
{
	struct exchange *x = r->x;

	r->early = ARENA_NEW(&x->arena, struct body);
	if (r->early == NULL)
		return false;
	body_init(r->early, x->pool->limits.body_queue_bytes);
	body_set_producer(&x->own_request_body, NULL, NULL);
	h2_stream_receive(&r->stream, r->early, NULL, NULL);
	return true;
}

/* The client has none, since nothing between it and us could answer from memory (section 5.1). */
static slice make_key(struct arena *arena)
{
	unsigned char random[KEY_BYTES];
	char *to = arena_alloc(arena, KEY_TEXT_BYTES);

	if (to == NULL || RAND_bytes(random, sizeof random) != 1)
		return (slice){NULL, 0};
	base64_encode(slice_of((const char *)random, sizeof random), to);
	return slice_of(to, KEY_TEXT_BYTES);
}

enum h1_result h2_tunnel_translate(struct h2_request *r)
{
	struct request *q = &r->x->request;
	struct fields *f = &q->fields;

	if (r->early == NULL)
		return H1_NO_MEMORY;
	/* Neither can be said of it: its bytes have no end but the stream's. */
	if (fields_have(f, FIELD_CONTENT_LENGTH) || fields_have(f, FIELD_UPGRADE))
		return H1_BAD_SYNTAX;
	r->key = make_key(&r->x->arena);
	q->method = SLICE("GET");
	(void)fields_remove(f, SLICE("Sec-WebSocket-Key"));
	if (r->key.p == NULL || fields_add(f, SLICE("Sec-WebSocket-Key"), r->key) < 0 ||
	    fields_add_id(f, FIELD_CONNECTION, SLICE("Upgrade")) < 0 ||
	    fields_add_id(f, FIELD_UPGRADE, SLICE("websocket")) < 0)
		return H1_NO_MEMORY;
	return H1_DONE;
}

/* Whether the server has understood the key, and so the protocol. */
static bool is_accepted(const struct h2_request *r)
{
	const struct field *said =
		fields_find(&r->x->response.fields, SLICE("Sec-WebSocket-Accept"));
	char asked[KEY_TEXT_BYTES + sizeof ACCEPT_SALT - 1], want[ACCEPT_TEXT_BYTES];
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n;

	memcpy(asked, r->key.p, KEY_TEXT_BYTES);
	memcpy(asked + KEY_TEXT_BYTES, ACCEPT_SALT, sizeof ACCEPT_SALT - 1);
	if (EVP_Digest(asked, sizeof asked, digest, &n, EVP_sha1(), NULL) != 1)
		return false;
	base64_encode(slice_of((const char *)digest, n), want);
	return said != NULL && slice_equal(said->value, slice_of(want, sizeof want));
}

static void on_idle(struct timer *t)
{
	struct h2_request *r = container_of(t, struct h2_request, read_timer);

	counter_add(&r->connection->carrier->server->counters.tunnel_timeouts, 1);
	if (r->lingers)
		h2_connection_finish(r, true);
	else
		h2_stream_reset(&r->stream, NGHTTP2_CANCEL);
}

void h2_tunnel_note_activity(struct h2_request *r)
{
	const struct h1_server *s = r->connection->carrier->server;

	loop_arm(r->x->loop, &r->read_timer, h1_tunnel_patience_ms(&s->options, r->x->tunnel),
		 on_idle);
}

/* What the client has sent before it knew goes first. */
static void move_early(struct h2_request *r, struct body *up)
{
	struct body *early = r->early;

	/* The credit is given when the tunnel's end takes them. */
	body_set_producer(early, NULL, NULL);
	while (early->bytes > 0) {
		slice bytes = body_front(early);

		body_push(up, early->pieces[early->first].buffer, bytes);
		body_take(early, bytes.n);
	}
	h2_stream_receive(&r->stream, up, NULL, NULL);
	if (r->stream.in_done)
		body_end(up);
}

static void begin(struct h2_request *r)
{
	struct h1_server *s = r->connection->carrier->server;
	struct tunnel *t = r->x->tunnel;

	counter_add(&s->counters.tunnels, 1);
	counter_add(&s->counters.tunnels_open, 1);
	loop_disarm(s->loop, &r->write_timer);
	r->stream.two_way = true;
	/* As with HTTP/1, where only silence either way ends a tunnel. */
	r->stream.stall_ms = 0;
	move_early(r, &t->up);
	body_set_consumer(&t->down, h2_request_on_body, r);
	h2_tunnel_note_activity(r);
	/* The service looks at what is there in a turn of its own. */
	h2_stream_note(&r->stream, H2_BODY);
	h2_session_wake(&r->connection->session);
}

void h2_tunnel_switch(struct h2_request *r)
{
	struct exchange *x = r->x;
	struct fields *f = &x->response.fields;

	if (r->early == NULL || r->early->state == BODY_ABORTED || !is_accepted(r) ||
	    exchange_open_tunnel(x) < 0) {
		h2_stream_reset(&r->stream, NGHTTP2_INTERNAL_ERROR);
		return;
	}
	h1_drop_hop_fields(x, FRAMING_CLOSE);
	(void)fields_remove_id(f, FIELD_UPGRADE);
	(void)fields_remove(f, SLICE("Sec-WebSocket-Accept"));
	if (h2_request_submit(r, 200, &x->tunnel->down, FRAMING_CLOSE) < 0)
		h2_stream_reset(&r->stream, NGHTTP2_INTERNAL_ERROR);
	else
		begin(r);
}

bool h2_tunnel_linger(struct h2_request *r)
{
	struct h2_stream *stream = &r->stream;

	if (!stream->two_way || !stream->out_done || !stream->in_done || stream->reset ||
	    stream->error_code != NGHTTP2_NO_ERROR || !r->x->service_active)
		return false;
	r->lingers = true;
	r->connection->session.lingering++;
	h2_tunnel_note_activity(r);
	body_notify(stream->in);
	return true;
}

void h2_tunnel_go_on(struct h2_request *r)
{
	if (!r->x->service_active)
		h2_connection_finish(r, false);
}

void h2_tunnel_free(struct h2_request *r)
{
	if (r->early == NULL)
		return;
	body_free(r->early);
	counter_sub(&r->connection->carrier->server->counters.tunnels_open, r->stream.two_way);
}
