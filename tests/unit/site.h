/*
 * For tests of servers and clients: a service that answers by the path of the request, and a server
 * of it on a free port.
 *
 *   /hello /head /204 /304   small answers          /big?N    N bytes of known length
 *   /echo                    the body, chunked      /stream?N N bytes of unknown length
 *   /sum                     takes the whole body   /cut?N    N bytes, then the body breaks
 *   /early                   403, body unread       /never    no answer
 *   /interim                 103, then 200          /trailers a chunked body with a trailer
 *   /swallow                 takes the body, no answer
 */
#ifndef UNIT_SITE_H
#define UNIT_SITE_H

#include <fcntl.h>

#include "http/h1_server.h"
#include "wire.h"

struct site {
	struct loop loop;
	struct exchange_pool exchanges;
	struct h1_server server;
	struct service service;
	struct chain chain;
	uint16_t port;
	unsigned started, cancelled, failed;
	size_t live_most; /* of the loop's buffers */
};

struct site_job {
	struct exchange *x;
	struct site *site;
	size_t at, n;
	bool matches, cut;
};

static inline struct site *site_of(struct exchange *x)
{
	return container_of(x->loop, struct site, loop);
}

static inline void site_head(struct exchange *x, int status, enum framing framing, uint64_t length)
{
	x->response = (struct response){.status = status,
					.version = HTTP_1_1,
					.framing = framing,
					.content_length = length,
					.fields = x->response.fields};
}

static inline void site_finish(struct exchange *x)
{
	body_end(x->response_body);
	exchange_service_done(x);
}

static inline void site_text(struct exchange *x, int status, const char *text)
{
	slice copy = arena_copy(&x->arena, slice_from(text));

	site_head(x, status, FRAMING_LENGTH, copy.n);
	body_push(x->response_body, NULL, copy);
	site_finish(x);
	exchange_respond(x);
}

/* Produces the pattern as long as there is room. */
static inline void site_produce(struct body *b, void *producer)
{
	struct site_job *j = producer;

	j->site->live_most = MAX(j->site->live_most, j->site->loop.buffers.live_bytes);
	while (j->at < j->n && body_has_room(b)) {
		struct buffer *piece = loop_buffer(&j->site->loop, BUFFER_SMALL);
		size_t part = MIN(j->n - j->at, BUFFER_SMALL_BYTES);

		if (piece == NULL) {
			body_abort(b, -ENOBUFS);
			return;
		}
		for (size_t i = 0; i < part; i++)
			piece->bytes[i] = wire_byte(j->at + i);
		piece->filled = part;
		body_push(b, piece, slice_of(piece->bytes, part));
		buffer_unref(&piece);
		j->at += part;
	}
	if (j->at < j->n)
		return;
	exchange_service_done(j->x);
	if (j->cut)
		body_abort(b, -ECONNRESET);
	else
		body_end(b);
}

static inline void site_sum(struct body *b, void *consumer)
{
	struct site_job *j = consumer;
	char text[64];

	while (b->bytes > 0) {
		slice front = body_front(b);

		for (size_t i = 0; i < front.n; i++)
			j->matches = j->matches && front.p[i] == wire_byte(j->at + i);
		j->at += front.n;
		body_take(b, front.n);
	}
	j->site->live_most = MAX(j->site->live_most, j->site->loop.buffers.live_bytes);
	if (slice_equal(j->x->request.path, SLICE("/swallow")))
		return;
	if (body_broken(b)) {
		exchange_fail(j->x, b->abort_code == -ETIMEDOUT ? 408 : 400);
	} else if (body_finished(b)) {
		(void)snprintf(text, sizeof text, "%zu %s", j->at, j->matches ? "right" : "wrong");
		body_set_consumer(b, NULL, NULL);
		site_text(j->x, 200, text);
	}
}

/* Moves what has come to the response; may be called as its producer or as the request's consumer.
 */
static inline void site_move(struct site_job *j)
{
	struct body *in = j->x->request_body, *out = j->x->response_body;

	while (in->bytes > 0 && body_has_room(out))
		body_move(out, in);
	if (body_finished(in)) {
		out->trailers = in->trailers;
		site_finish(j->x);
	} else if (body_broken(in)) {
		exchange_service_done(j->x);
		body_abort(out, in->abort_code);
	}
}

static inline void site_echo_want(struct body *b, void *producer)
{
	struct site_job *j = producer;

	if (b->state == BODY_OPEN)
		site_move(j);
}

static inline void site_echo_ready(struct body *b, void *consumer)
{
	struct site_job *j = consumer;
	struct body *out = j->x->response_body;

	(void)b;
	if (out->state != BODY_OPEN)
		return;
	site_move(j);
	body_notify(out);
}

static inline void site_echo(struct exchange *x, struct site_job *j)
{
	site_head(x, 200, FRAMING_CHUNKED, 0);
	body_set_producer(x->response_body, site_echo_want, j);
	body_set_consumer(x->request_body, site_echo_ready, j);
	exchange_respond(x);
}

static inline void site_generate(struct exchange *x, struct site_job *j, enum framing framing)
{
	j->n = x->request.has_query ? strtoul(x->request.query.p, NULL, 10) : 0;
	site_head(x, 200, framing, j->n);
	body_set_producer(x->response_body, site_produce, j);
	exchange_respond(x);
}

static inline void site_interim(struct exchange *x)
{
	struct response early = {.status = 103};

	fields_init(&early.fields, &x->arena);
	(void)fields_add(&early.fields, SLICE("Link"), SLICE("</x>; rel=preload"));
	x->client->inform(x, &early);
	site_text(x, 200, "after");
}

static inline void site_trailers(struct exchange *x)
{
	site_head(x, 200, FRAMING_CHUNKED, 0);
	body_push(x->response_body, NULL, SLICE("body"));
	(void)fields_add(&x->response_trailers, SLICE("X-Sum"), SLICE("42"));
	x->response_body->trailers = &x->response_trailers;
	site_finish(x);
	exchange_respond(x);
}

static inline void site_start(struct service *s, struct exchange *x)
{
	struct site *site = container_of(s, struct site, service);
	struct site_job *j = ARENA_NEW(&x->arena, struct site_job);
	slice p = x->request.path;

	site->started++;
	if (j == NULL) {
		exchange_fail(x, 500);
		return;
	}
	*j = (struct site_job){
		.x = x, .site = site, .matches = true, .cut = slice_equal(p, SLICE("/cut"))};
	x->service_state = j;
	if (slice_equal(p, SLICE("/hello")) || slice_equal(p, SLICE("/head"))) {
		site_text(x, 200, "hello");
	} else if (slice_equal(p, SLICE("/204")) || slice_equal(p, SLICE("/304"))) {
		site_head(x, p.p[1] == '2' ? 204 : 304, FRAMING_NONE, 0);
		site_finish(x);
		exchange_respond(x);
	} else if (slice_equal(p, SLICE("/echo"))) {
		site_echo(x, j);
	} else if (slice_equal(p, SLICE("/sum")) || slice_equal(p, SLICE("/swallow"))) {
		body_set_consumer(x->request_body, site_sum, j);
		site_sum(x->request_body, j);
	} else if (slice_equal(p, SLICE("/early"))) {
		site_text(x, 403, "no");
	} else if (slice_equal(p, SLICE("/big"))) {
		site_generate(x, j, FRAMING_LENGTH);
	} else if (slice_equal(p, SLICE("/stream")) || j->cut) {
		site_generate(x, j, FRAMING_CLOSE);
	} else if (slice_equal(p, SLICE("/interim"))) {
		site_interim(x);
	} else if (slice_equal(p, SLICE("/trailers"))) {
		site_trailers(x);
	} else if (!slice_equal(p, SLICE("/never"))) {
		exchange_reply(x, 404, SLICE("404 page not found\n"), true);
	}
}

static inline void site_cancel(struct service *s, struct exchange *x)
{
	container_of(s, struct site, service)->cancelled++;
	body_set_consumer(x->request_body, NULL, NULL);
	body_set_producer(x->response_body, NULL, NULL);
}

static const struct service_class site_class = {
	.name = "site", .start = site_start, .cancel = site_cancel};

static inline void site_handle(struct h1_server *s, struct exchange *x)
{
	struct site *site = container_of(s, struct site, server);

	exchange_start(x, &site->chain);
}

static inline struct h1_server_options site_options(void)
{
	return (struct h1_server_options){
		.head = {.head_bytes_max = 65536, .fields_max = 100, .target_bytes_max = 8192},
		.connections_max = 1000,
		.accept_burst = 16,
		.h2 = {.streams_max = 100,
		       .decoder_table_bytes = 4096,
		       .encoder_table_bytes = 4096,
		       .window_bytes = 65536,
		       .head_bytes_max = 16384,
		       .fields_max = 100,
		       .control_frames_max = 200}};
}

/* `room` as for `wire_listen`. */
static inline void site_open(struct site *site, const struct h1_server_options *options, int room)
{
	const struct exchange_limits limits = {.arena_bytes_max = 262144,
					       .body_queue_bytes = 65536};
	int fd;

	memset(site, 0, sizeof *site);
	fd = wire_listen(&site->port, room);
	wire_must(loop_init(&site->loop, (size_t)8 << 20) == 0);
	exchange_pool_init(&site->exchanges, &site->loop, &limits);
	site->service = (struct service){.magic = SERVICE_MAGIC, .class = &site_class};
	site->chain = (struct chain){.service = &site->service};
	chain_finish(&site->chain);
	wire_must(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	wire_must(h1_server_start(&site->server, &site->loop, &site->exchanges, fd, options,
				  site_handle, NULL) == 0);
}

static inline void site_stopped(struct h1_server *s)
{
	loop_stop(s->loop);
}

/* Everything must be given back. */
static inline void site_close(struct site *site)
{
	if (!site->server.draining) {
		h1_server_drain(&site->server, site_stopped);
		h1_server_abort(&site->server);
		loop_run(&site->loop);
	}
	wire_must(site->server.connection_count == 0 && site->exchanges.live_count == 0);
	loop_close(&site->loop);
	exchange_pool_free(&site->exchanges);
}

#endif
