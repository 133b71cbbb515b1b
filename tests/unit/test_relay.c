/* Server, service and client in one loop, between a blocking client and a blocking origin. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/client.h"
#include "site.h"

#define TIGHT 4608

/* Of the loop's buffers, for two bodies that wait: the limits, and for each the block before it and
 * the one that is being read into. */
#define LIVE_MAX (2 * (65536 + 3 * (BUFFER_LARGE_BYTES + sizeof(struct buffer))))

static struct site site;
static struct client *client;
static uint16_t origin_port;
static int listening;
static size_t live_most;

/* The shortest service that forwards. */
struct relay {
	struct client_call call;
	struct exchange *x;
};

static void on_responded(struct client_call *call)
{
	struct exchange *x = container_of(call, struct relay, call)->x;

	live_most = MAX(live_most, site.loop.buffers.live_bytes);
	if (call->complete)
		exchange_service_done(x);
	exchange_respond(x);
}

static void on_informed(struct client_call *call, struct response *r)
{
	struct exchange *x = container_of(call, struct relay, call)->x;

	x->client->inform(x, r);
}

static void on_failed(struct client_call *call, int code)
{
	struct exchange *x = container_of(call, struct relay, call)->x;

	exchange_fail(x, code == -ETIMEDOUT                                          ? 504
			 : code == -EPROTO && x->request_body->state == BODY_ABORTED ? 400
										     : 502);
}

static void on_done(struct client_call *call)
{
	exchange_service_done(container_of(call, struct relay, call)->x);
}

static void start(struct service *s, struct exchange *x)
{
	struct relay *r = ARENA_NEW(&x->arena, struct relay);

	(void)s;
	wire_must(r != NULL);
	r->x = x;
	r->call = (struct client_call){.magic = CALL_MAGIC,
				       .request = &x->request,
				       .target = exchange_target(x),
				       .request_body = x->request_body,
				       .arena = &x->arena,
				       .response = &x->response,
				       .response_body = x->response_body,
				       .response_trailers = &x->response_trailers,
				       .responded = on_responded,
				       .informed = on_informed,
				       .failed = on_failed,
				       .done = on_done};
	x->service_state = r;
	client_start(client, &r->call);
}

static void cancel(struct service *s, struct exchange *x)
{
	struct relay *r = x->service_state;

	(void)s;
	site.cancelled++;
	client_cancel(&r->call);
}

static const struct service_class relay_class = {.name = "relay", .start = start, .cancel = cancel};

static void open_relay(int room)
{
	const struct client_options options = {
		.idle_max = 10,
		.connections_max = 100,
		.continue_timeout_ms = 1000,
		.head = {.head_bytes_max = 65536, .fields_max = 100}};
	struct h1_server_options server = site_options();

	site_open(&site, &server, room);
	site.service.class = &relay_class;
	listening = wire_listen(&origin_port, room);
	assert_int_equal(
		client_create(&client, &site.loop, SLICE("127.0.0.1"), origin_port, &options, NULL),
		0);
	live_most = 0;
}

static int tear_down(void **state)
{
	(void)state;
	h1_server_drain(&site.server, site_stopped);
	h1_server_abort(&site.server);
	loop_run(&site.loop);
	client_destroy(&client);
	(void)close(listening);
	site_close(&site);
	return 0;
}

static void run_pair(void (*front)(void *), void (*origin)(void *))
{
	struct wire_peer peers[] = {{.run = front}, {.run = origin}};

	wire_run_all(&site.loop, peers, 2);
}

static void expect_response(struct wire_reader *r, const char *status, size_t n)
{
	char head[4096];
	struct wire_body b;

	wire_must(wire_read_head(r, head, sizeof head));
	if (strncmp(head, status, strlen(status)) != 0) {
		(void)fprintf(stderr, "expected %s, got %s\n", status, head);
		abort();
	}
	b = wire_read_body(r, head, true);
	wire_must(b.whole && b.n == n && b.matches);
}

static const size_t sizes[] = {0, 1, 3956, 65535, 65536, 65537, 1048576, 20u << 20};
#define SHAPES 3 /* of a message: known length, chunked, until the end */

static void send_message(int fd, const char *first_line, size_t n, unsigned shape)
{
	char head[512];

	if (shape == 1)
		(void)snprintf(head, sizeof head,
			       "%s\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", first_line);
	else if (shape == 2)
		(void)snprintf(head, sizeof head, "%s\r\nHost: h\r\n\r\n", first_line);
	else
		(void)snprintf(head, sizeof head, "%s\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
			       first_line, n);
	wire_send(fd, head);
	for (size_t at = 0, part; shape == 1 && at < n; at += part) {
		part = MIN(n - at, 1 + at / 2);
		(void)snprintf(head, sizeof head, "%zx\r\n", part);
		wire_send(fd, head);
		wire_must(wire_send_pattern(fd, at, part));
		wire_send(fd, "\r\n");
	}
	if (shape == 1)
		wire_send(fd, "0\r\nX-Trailer: v\r\n\r\n");
	else
		wire_must(wire_send_pattern(fd, 0, n));
}

static void matrix_front(void *context)
{
	(void)context;
	for (unsigned shape = 0; shape < SHAPES; shape++) {
		struct wire_reader r = {.fd = wire_connect(site.port, TIGHT)};

		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			send_message(r.fd, "POST /x HTTP/1.1", sizes[i], shape % 2);
			expect_response(&r, "HTTP/1.1 200 OK\r\n", sizes[i]);
		}
		(void)close(r.fd);
	}
}

static void matrix_origin(void *context)
{
	struct wire_reader r = {.fd = -1};
	char head[4096];

	(void)context;
	for (unsigned shape = 0; shape < SHAPES; shape++) {
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			struct wire_body b;

			if (r.fd < 0)
				r = (struct wire_reader){.fd = wire_accept(listening)};
			wire_must(wire_read_head(&r, head, sizeof head));
			b = wire_read_body(&r, head, false);
			wire_must(b.whole && b.n == sizes[i] && b.matches);
			send_message(r.fd, "HTTP/1.1 200 OK", sizes[i], shape);
			if (shape == 2) {
				(void)close(r.fd);
				r.fd = -1;
			}
		}
	}
}

static void bodies_of_all_sizes_and_shapes(void **state)
{
	(void)state;
	open_relay(0);
	run_pair(matrix_front, matrix_origin);
	assert_int_equal(client->counters->retried, 0);
	assert_true(live_most <= LIVE_MAX);
}

static void bodies_through_small_sockets(void **state)
{
	(void)state;
	open_relay(TIGHT);
	run_pair(matrix_front, matrix_origin);
	assert_true(live_most <= LIVE_MAX);
}

static void bytewise_front(void *context)
{
	struct wire_reader r = {.fd = wire_connect(site.port, 0)};
	char head[4096];

	(void)context;
	wire_send_slowly(r.fd,
			 "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
			 "2;x=y\r\naf\r\n0\r\nX-T: 1\r\n\r\nGET /y HTTP/1.1\r\nHost: h\r\n\r\n");
	wire_must(wire_read_head(&r, head, sizeof head));
	wire_must(strcmp(head, "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n") == 0);
	expect_response(&r, "HTTP/1.1 201 Made\r\n", 3);
	expect_response(&r, "HTTP/1.1 200 OK\r\n", 5);
	(void)close(r.fd);
}

static void bytewise_origin(void *context)
{
	struct wire_reader r = {.fd = wire_accept(listening)};
	char head[4096];
	struct wire_body b;

	(void)context;
	wire_must(wire_read_head(&r, head, sizeof head));
	b = wire_read_body(&r, head, false);
	wire_must(b.whole && b.n == 2);
	wire_send_slowly(r.fd, "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
			       "HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n");
	(void)wire_send_pattern(r.fd, 0, 1);
	wire_send_slowly(r.fd, "\r\n2\r\n");
	(void)wire_send_pattern(r.fd, 1, 2);
	wire_send_slowly(r.fd, "\r\n0\r\nX-T: 2\r\n\r\n");
	wire_must(wire_read_head(&r, head, sizeof head));
	wire_send_slowly(r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
	for (size_t i = 0; i < 5; i++)
		(void)wire_send_pattern(r.fd, i, 1);
	(void)close(r.fd);
}

static void byte_by_byte(void **state)
{
	(void)state;
	open_relay(0);
	run_pair(bytewise_front, bytewise_origin);
	assert_int_equal(client->counters->connections, 1);
}

#define PIPELINED 1000

static void pipeline_front(void *context)
{
	struct wire_reader r = {.fd = wire_connect(site.port, 0)};
	struct str all = {0};

	(void)context;
	for (unsigned i = 0; i < PIPELINED; i++)
		str_add(&all, SLICE("GET /x HTTP/1.1\r\nHost: h\r\n\r\n"));
	wire_must(wire_send_bytes(r.fd, all.p, all.n));
	str_free(&all);
	for (unsigned i = 0; i < PIPELINED; i++)
		expect_response(&r, "HTTP/1.1 200 OK\r\n", i % 7);
	(void)close(r.fd);
}

static void pipeline_origin(void *context)
{
	struct wire_reader r = {.fd = wire_accept(listening)};
	char head[4096];

	(void)context;
	for (unsigned i = 0; i < PIPELINED; i++) {
		wire_must(wire_read_head(&r, head, sizeof head));
		send_message(r.fd, "HTTP/1.1 200 OK", i % 7, i % 2);
	}
	(void)close(r.fd);
}

static void pipelined_requests_go_one_by_one(void **state)
{
	(void)state;
	open_relay(0);
	run_pair(pipeline_front, pipeline_origin);
	assert_int_equal(client->counters->connections, 1);
}

/* Without Expect's answer no body leaves the client; with an early refusal none is asked for. */
static void expect_front(void *context)
{
	struct wire_reader r = {.fd = wire_connect(site.port, 0)};
	char head[4096];

	(void)context;
	wire_send(
		r.fd,
		"POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
	wire_must(wire_read_head(&r, head, sizeof head));
	wire_must(strcmp(head, "HTTP/1.1 100 Continue\r\n\r\n") == 0);
	wire_must(wire_send_pattern(r.fd, 0, 5));
	expect_response(&r, "HTTP/1.1 200 OK\r\n", 0);
	wire_send(
		r.fd,
		"POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
	expect_response(&r, "HTTP/1.1 401 Unauthorized\r\n", 0);
	wire_must(wire_get(&r) < 0);
	(void)close(r.fd);
}

static void expect_origin(void *context)
{
	struct wire_reader r = {.fd = wire_accept(listening)};
	char head[4096];
	struct wire_body b;

	(void)context;
	wire_must(wire_read_head(&r, head, sizeof head));
	wire_must(r.at == r.n);
	wire_send(r.fd, "HTTP/1.1 100 Continue\r\n\r\n");
	b = wire_read_body(&r, head, false);
	wire_must(b.whole && b.matches);
	wire_send(r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	wire_must(wire_read_head(&r, head, sizeof head));
	wire_send(r.fd, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
	wire_must(wire_get(&r) < 0);
	(void)close(r.fd);
}

static void expectations_go_through(void **state)
{
	(void)state;
	open_relay(0);
	run_pair(expect_front, expect_origin);
}

/* An upload that the origin answers early: the client gets the answer, whatever it still sends. */
static void early_front(void *context)
{
	(void)context;
	for (unsigned i = 0; i < 10; i++) {
		struct wire_reader r = {.fd = wire_connect(site.port, TIGHT)};
		char head[4096];

		wire_send(r.fd, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n");
		(void)wire_send_pattern(r.fd, 0, 100000 * i);
		wire_must(wire_read_head(&r, head, sizeof head));
		wire_must(strncmp(head, "HTTP/1.1 413 ", 13) == 0);
		wire_must(wire_field(head, "\r\nConnection: close\r\n") != NULL);
		(void)close(r.fd);
	}
}

static void early_origin(void *context)
{
	(void)context;
	for (unsigned i = 0; i < 10; i++) {
		struct wire_reader r = {.fd = wire_accept(listening)};
		char head[4096];

		wire_must(wire_read_head(&r, head, sizeof head));
		wire_send(r.fd,
			  "HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 0\r\n\r\n");
		while (wire_get(&r) >= 0)
			;
		(void)close(r.fd);
	}
}

static void early_answers_reach_the_client(void **state)
{
	(void)state;
	open_relay(0);
	run_pair(early_front, early_origin);
	assert_int_equal(client->idle_count, 0);
}

/* Both sides leave at different moments, by closing and by resetting. */
#define LEAVING 48

static _Atomic bool front_is_done;

static void leave(int fd, unsigned i)
{
	if (i % 2 == 0)
		wire_reset(fd);
	else
		(void)close(fd);
}

static void leaving_front(void *context)
{
	(void)context;
	for (unsigned i = 0; i < LEAVING; i++) {
		struct wire_reader r = {.fd = wire_connect(site.port, TIGHT)};
		char head[4096];

		if (i % 4 < 2) {
			wire_send(r.fd, "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
		} else {
			wire_send(r.fd,
				  "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n");
			(void)wire_send_pattern(r.fd, 0, i % 3 == 0 ? 3000000 : 200000);
		}
		if (i % 6 < 3) {
			(void)poll(NULL, 0, (int)(i % 5));
		} else {
			if (wire_read_head(&r, head, sizeof head))
				(void)wire_read_body(&r, head, true);
		}
		leave(r.fd, i / 3);
	}
	atomic_store(&front_is_done, true);
}

static void leaving_origin(void *context)
{
	unsigned i = 0;

	(void)context;
	while (!atomic_load(&front_is_done)) {
		struct pollfd more = {.fd = listening, .events = POLLIN};
		struct wire_reader r;
		char head[4096];

		if (poll(&more, 1, 20) == 0)
			continue;
		r = (struct wire_reader){.fd = wire_accept(listening)};
		if (i % 5 != 0 && wire_read_head(&r, head, sizeof head) && i % 5 != 1) {
			(void)wire_send_bytes(
				r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n", 44);
			(void)wire_send_pattern(r.fd, 0,
						i % 5 == 2   ? 3000000
						: i % 5 == 3 ? 100000
							     : 10);
		}
		leave(r.fd, i / 5);
		i++;
	}
}

static void anybody_may_leave_at_any_time(void **state)
{
	(void)state;
	open_relay(0);
	/* A client that reads nothing before it has sent everything waits for us as we wait for it.
	 */
	site.server.options.stall_timeout_ms = 200;
	atomic_store(&front_is_done, false);
	run_pair(leaving_front, leaving_origin);
	for (unsigned turns = 0; site.server.connection_count > 0 && turns < 2000; turns++)
		(void)uv_run(&site.loop.uv, UV_RUN_ONCE);
	assert_int_equal(site.exchanges.live_count, 0);
	assert_true(list_empty(&client->busy));
}

static void cut_front(void *context)
{
	struct wire_reader r = {.fd = wire_connect(site.port, 0)};
	struct wire_body b;
	char head[4096];

	(void)context;
	wire_send(r.fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
	wire_must(wire_read_head(&r, head, sizeof head));
	b = wire_read_body(&r, head, false);
	wire_must(!b.whole && b.matches && b.n <= 5);
	(void)close(r.fd);
	r = (struct wire_reader){.fd = wire_connect(site.port, 0)};
	wire_send(r.fd, "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
			"chunked\r\n\r\n1\r\na\r\nnonsense\r\n");
	wire_must(wire_read_head(&r, head, sizeof head));
	wire_must(strncmp(head, "HTTP/1.1 400 ", 13) == 0);
	(void)close(r.fd);
}

static void cut_origin(void *context)
{
	struct wire_reader r = {.fd = wire_accept(listening)};
	char head[4096];

	(void)context;
	wire_must(wire_read_head(&r, head, sizeof head));
	wire_send(r.fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n");
	wire_must(wire_send_pattern(r.fd, 0, 5));
	wire_send(r.fd, "\r\n");
	(void)close(r.fd);
	/* The malformed request: as much as was well-formed comes, then the connection ends. */
	r = (struct wire_reader){.fd = wire_accept(listening)};
	while (wire_get(&r) >= 0)
		;
	(void)close(r.fd);
}

static void cut_messages_never_look_whole(void **state)
{
	(void)state;
	open_relay(0);
	run_pair(cut_front, cut_origin);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(bodies_of_all_sizes_and_shapes),
		TEST(bodies_through_small_sockets),
		TEST(byte_by_byte),
		TEST(pipelined_requests_go_one_by_one),
		TEST(expectations_go_through),
		TEST(early_answers_reach_the_client),
		TEST(anybody_may_leave_at_any_time),
		TEST(cut_messages_never_look_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
