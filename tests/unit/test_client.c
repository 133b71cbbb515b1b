/* exception: file 1110 lines: one origin script beside each behaviour of the client */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/client_private.h"
#include "wire.h"

/* Of the loop's buffers, for one body that waits: its limit, the block before it and the one that
 * is being read into. */
#define LIVE_MAX (65536 + 3 * (BUFFER_LARGE_BYTES + sizeof(struct buffer)))

static struct loop loop;
static struct client *client;
static struct client_options options;
static uint16_t port;
static int listening;
static _Atomic unsigned seen; /* requests that the origin has read */

/* One call with all that belongs to it. */
struct caller {
	struct client_call call;
	struct request request;
	struct response response;
	struct arena arena;
	struct fields trailers;
	struct body request_body, response_body;
	struct str got;
	size_t sent, send_n, live_most;
	unsigned informed;
	int code; /* 1: none yet; 0: complete; negative: failed or broken */
	bool responded, matches, throttled;
	struct timer sip;
};

static unsigned outstanding;

static struct caller *caller_of(struct client_call *call)
{
	return container_of(call, struct caller, call);
}

static void finish(struct caller *c, int code)
{
	assert_int_equal(c->code, 1);
	c->code = code;
	if (--outstanding == 0)
		loop_stop(&loop);
}

static void take_response(struct body *b, void *consumer)
{
	struct caller *c = consumer;

	c->live_most = MAX(c->live_most, loop.buffers.live_bytes);
	if (c->throttled)
		return;
	while (b->bytes > 0) {
		slice front = body_front(b);
		size_t at = (size_t)b->taken_bytes;

		for (size_t i = 0; i < front.n; i++)
			c->matches = c->matches && front.p[i] == wire_byte(at + i);
		if (c->got.n < 4096)
			str_add(&c->got, slice_first(front, 4096));
		body_take(b, front.n);
	}
	if (c->code == 1 && body_finished(b))
		finish(c, 0);
	else if (c->code == 1 && body_broken(b))
		finish(c, b->abort_code);
}

static void on_responded(struct client_call *call)
{
	struct caller *c = caller_of(call);

	assert_false(c->responded);
	c->responded = true;
	body_set_consumer(&c->response_body, take_response, c);
	take_response(&c->response_body, c);
}

static void on_informed(struct client_call *call, struct response *r)
{
	assert_true(r->status / 100 == 1);
	caller_of(call)->informed++;
}

static void on_failed(struct client_call *call, int code)
{
	assert_true(call->complete);
	assert_false(caller_of(call)->responded);
	finish(caller_of(call), code);
}

static void on_done(struct client_call *call)
{
	assert_true(call->complete);
}

static void produce(struct body *b, void *producer)
{
	struct caller *c = producer;

	while (c->sent < c->send_n && body_has_room(b)) {
		struct buffer *piece = loop_buffer(&loop, BUFFER_SMALL);
		size_t n = MIN(c->send_n - c->sent, BUFFER_SMALL_BYTES);

		assert_non_null(piece);
		for (size_t i = 0; i < n; i++)
			piece->bytes[i] = wire_byte(c->sent + i);
		piece->filled = n;
		body_push(b, piece, slice_of(piece->bytes, n));
		buffer_unref(&piece);
		c->sent += n;
	}
	c->live_most = MAX(c->live_most, loop.buffers.live_bytes);
	if (c->sent == c->send_n && b->state == BODY_OPEN)
		body_end(b);
}

static void prepare(struct caller *c, const char *method)
{
	*c = (struct caller){.code = 1, .matches = true};
	arena_init(&c->arena, 4096, 262144);
	body_init(&c->request_body, 65536);
	body_init(&c->response_body, 65536);
	c->request.method = slice_from(method);
	c->request.method_id = method_of(c->request.method);
	c->request.version = HTTP_1_1;
	fields_init(&c->request.fields, &c->arena);
	fields_init(&c->trailers, &c->arena);
	assert_int_equal(fields_add_id(&c->request.fields, FIELD_HOST, SLICE("origin")), 0);
	c->call = (struct client_call){.magic = CALL_MAGIC,
				       .request = &c->request,
				       .target = SLICE("/x"),
				       .request_body = &c->request_body,
				       .arena = &c->arena,
				       .response = &c->response,
				       .response_body = &c->response_body,
				       .response_trailers = &c->trailers,
				       .responded = on_responded,
				       .informed = on_informed,
				       .failed = on_failed,
				       .done = on_done};
}

static void with_body(struct caller *c, size_t n)
{
	slice text = arena_format(&c->arena, "%zu", n);

	c->request.framing = FRAMING_LENGTH;
	c->request.content_length = n;
	c->send_n = n;
	(void)fields_add_id(&c->request.fields, FIELD_CONTENT_LENGTH, text);
	body_set_producer(&c->request_body, produce, c);
}

static void expecting(struct caller *c)
{
	c->request.expect_continue = true;
	(void)fields_add_id(&c->request.fields, FIELD_EXPECT, SLICE("100-continue"));
}

static void start(struct caller *c)
{
	outstanding++;
	client_start(client, &c->call);
}

static void dispose(struct caller *c)
{
	body_free(&c->request_body);
	body_free(&c->response_body);
	str_free(&c->got);
	arena_free(&c->arena);
}

static void wait_all(void)
{
	while (outstanding > 0)
		loop_run(&loop);
}

/* A whole call; its result is left in `c`. */
static void get(struct caller *c, const char *method)
{
	prepare(c, method);
	start(c);
	wait_all();
}

static void expect_get(const char *method, int status, const char *body)
{
	struct caller c;

	get(&c, method);
	assert_int_equal(c.code, 0);
	assert_int_equal(c.response.status, status);
	assert_int_equal(c.got.n, strlen(body));
	assert_memory_equal(c.got.n > 0 ? c.got.p : "", body, c.got.n);
	dispose(&c);
}

static void expect_failure(const char *method, int code)
{
	struct caller c;

	get(&c, method);
	assert_int_equal(c.code, code);
	dispose(&c);
}

static pthread_t origin_thread;
static void (*origin_script)(void);

static void *origin_main(void *unused)
{
	(void)unused;
	origin_script();
	return NULL;
}

static void begin(void (*script)(void))
{
	origin_script = script;
	assert_int_equal(client_create(&client, &loop, SLICE("127.0.0.1"), port, &options, NULL),
			 0);
	if (script != NULL)
		assert_int_equal(pthread_create(&origin_thread, NULL, origin_main, NULL), 0);
}

static void end(void)
{
	if (origin_script != NULL)
		assert_int_equal(pthread_join(origin_thread, NULL), 0);
}

static int set_up(void **state)
{
	(void)state;
	options = (struct client_options){.idle_max = 10,
					  .connections_max = 10,
					  .continue_timeout_ms = 1000,
					  .dns_ttl_ms = 1000,
					  .head = {.head_bytes_max = 65536, .fields_max = 100}};
	atomic_store(&seen, 0);
	outstanding = 0;
	listening = wire_listen(&port, 0);
	return loop_init(&loop, (size_t)8 << 20);
}

static int tear_down(void **state)
{
	(void)state;
	if (client != NULL)
		client_destroy(&client);
	(void)close(listening);
	loop_close(&loop);
	return 0;
}

/* One connection at the origin. */
static struct wire_reader serve_one(void)
{
	return (struct wire_reader){.fd = wire_accept(listening)};
}

static void read_request(struct wire_reader *r, const char *start_line)
{
	char head[4096];

	wire_must(wire_read_head(r, head, sizeof head));
	wire_must(strncmp(head, start_line, strlen(start_line)) == 0);
	atomic_fetch_add(&seen, 1);
}

static void kept_alive_origin(void)
{
	struct wire_reader r = serve_one();

	read_request(&r, "GET /x HTTP/1.1\r\nHost: origin\r\n");
	wire_send(r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	read_request(&r, "GET /x HTTP/1.1\r\n");
	wire_send_slowly(r.fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
			       "chunked\r\n\r\n2;a=b\r\nok\r\n1\r\n!\r\n0\r\nX-T: v\r\n\r\n");
	read_request(&r, "HEAD /x HTTP/1.1\r\n");
	wire_send(r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
	read_request(&r, "GET /x HTTP/1.1\r\n");
	wire_send(r.fd, "HTTP/1.1 204 No Content\r\n\r\n");
	read_request(&r, "GET /x HTTP/1.1\r\n");
	wire_send(r.fd, "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n");
	read_request(&r, "GET /x HTTP/1.1\r\n");
	wire_send(r.fd, "HTTP/1.1 200 OK\r\n\r\nuntil the end");
	(void)close(r.fd);
}

static void reuses_a_connection(void **state)
{
	(void)state;
	begin(kept_alive_origin);
	expect_get("GET", 200, "ok");
	expect_get("GET", 200, "ok!");
	expect_get("HEAD", 200, "");
	expect_get("GET", 204, "");
	expect_get("GET", 304, "");
	expect_get("GET", 200, "until the end");
	end();
	assert_int_equal(client->counters->connections, 1);
	assert_int_equal(client->counters->reused, 5);
	assert_int_equal(client->idle_count, 0);
}

static void interim_origin(void)
{
	struct wire_reader r = serve_one();

	read_request(&r, "GET ");
	wire_send_slowly(
		r.fd, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
	wire_send(r.fd,
		  "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!");
	(void)close(r.fd);
}

static void passes_interim_responses(void **state)
{
	struct caller c;

	(void)state;
	begin(interim_origin);
	get(&c, "GET");
	end();
	assert_int_equal(c.code, 0);
	assert_int_equal(c.informed, 3);
	assert_int_equal(c.response.status, 200);
	dispose(&c);
}

static void upload(struct caller *c, size_t n, bool expect)
{
	prepare(c, "POST");
	with_body(c, n);
	if (expect)
		expecting(c);
	start(c);
}

static void swallow(struct wire_reader *r, size_t n)
{
	for (size_t i = 0; i < n; i++)
		wire_must(wire_get(r) == (unsigned char)wire_byte(i));
}

static void continue_origin(void)
{
	struct wire_reader r = serve_one();

	read_request(&r, "POST ");
	wire_must(r.at == r.n);
	wire_send(r.fd, "HTTP/1.1 100 Continue\r\n\r\n");
	swallow(&r, 100000);
	wire_send(r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
	/* Without an answer, the body comes by itself. */
	read_request(&r, "POST ");
	swallow(&r, 100000);
	wire_send(r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
	/* A refusal: what would follow on this connection is not the body. */
	read_request(&r, "POST ");
	wire_send(r.fd, "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 1\r\n\r\n3");
	wire_must(wire_get(&r) < 0);
	(void)close(r.fd);
}

static void waits_for_100(void **state)
{
	static const int statuses[] = {200, 200, 417};

	(void)state;
	options.continue_timeout_ms = 50;
	begin(continue_origin);
	for (unsigned i = 0; i < 3; i++) {
		struct caller c;

		upload(&c, 100000, true);
		wait_all();
		assert_int_equal(c.code, 0);
		assert_int_equal(c.response.status, statuses[i]);
		assert_int_equal(c.got.p[0], '1' + (int)i);
		assert_true(i < 2 || c.sent == 0);
		dispose(&c);
	}
	end();
	assert_int_equal(client->idle_count, 0);
}

/* The origin takes the second request on a kept-alive connection and closes. */
static void closes_second(const char *second, const char *before_closing)
{
	struct wire_reader r = serve_one();
	struct pollfd more = {.fd = listening, .events = POLLIN};

	read_request(&r, "GET ");
	wire_send(r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
	read_request(&r, second);
	wire_send(r.fd, before_closing);
	if (*second == 'P')
		(void)poll(NULL, 0, 80);
	(void)close(r.fd);
	if (poll(&more, 1, *second == 'P' || *before_closing != '\0' ? 200 : WIRE_PATIENCE_MS) == 0)
		return;
	r = serve_one();
	read_request(&r, second);
	wire_send(r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
	(void)close(r.fd);
}

static void closes_get(void)
{
	closes_second("GET ", "");
}

static void closes_post(void)
{
	closes_second("POST ", "");
}

static void closes_half_a_response(void)
{
	closes_second("GET ", "HTTP/1.1 20");
}

static void repeats_a_get_on_a_stale_connection(void **state)
{
	(void)state;
	/* At the limit: the connection that is closing must not count. */
	options.connections_max = 1;
	begin(closes_get);
	expect_get("GET", 200, "1");
	expect_get("GET", 200, "2");
	end();
	assert_int_equal(client->counters->retried, 1);
	assert_int_equal(atomic_load(&seen), 3);
}

static void never_repeats_a_post(void **state)
{
	(void)state;
	begin(closes_post);
	expect_get("GET", 200, "1");
	expect_failure("POST", -ECONNRESET);
	end();
	assert_int_equal(client->counters->retried, 0);
	assert_int_equal(atomic_load(&seen), 2);
}

/* The head is out and its body has not begun: this, too, is a request that was sent. */
static void never_repeats_a_post_that_waited_for_100(void **state)
{
	struct caller c;

	(void)state;
	options.continue_timeout_ms = 20;
	begin(closes_post);
	expect_get("GET", 200, "1");
	prepare(&c, "POST");
	expecting(&c);
	c.request.framing = FRAMING_CHUNKED;
	start(&c);
	wait_all();
	assert_int_equal(c.code, -ECONNRESET);
	dispose(&c);
	end();
	assert_int_equal(client->counters->retried, 0);
	assert_int_equal(atomic_load(&seen), 2);
}

static void never_repeats_once_an_answer_has_begun(void **state)
{
	(void)state;
	begin(closes_half_a_response);
	expect_get("GET", 200, "1");
	expect_failure("GET", -ECONNRESET);
	end();
	assert_int_equal(atomic_load(&seen), 2);
}

static _Atomic bool go_on;

static void closes_idle_origin(void)
{
	struct wire_reader r = serve_one();

	read_request(&r, "GET ");
	wire_send(r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
	(void)shutdown(r.fd, SHUT_WR);
	atomic_store(&go_on, true);
	(void)close(r.fd);
	r = serve_one();
	read_request(&r, "POST ");
	wire_send(r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
	(void)close(r.fd);
}

/* Closed while idle, and the loop has not looked yet: a POST must not be tried there. */
static void a_post_avoids_a_stale_connection(void **state)
{
	(void)state;
	atomic_store(&go_on, false);
	begin(closes_idle_origin);
	expect_get("GET", 200, "1");
	while (!atomic_load(&go_on))
		(void)sched_yield();
	expect_get("POST", 200, "2");
	end();
	assert_int_equal(atomic_load(&seen), 2);
}

static void surplus_origin(void)
{
	struct wire_reader r = serve_one();

	read_request(&r, "GET ");
	wire_send(r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1HTTP/1.1 200 "
			"OK\r\nContent-Length: 6\r\n\r\nforged");
	wire_must(wire_get(&r) < 0);
	(void)close(r.fd);
	r = serve_one();
	read_request(&r, "HEAD ");
	wire_send(r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged");
	wire_must(wire_get(&r) < 0);
	(void)close(r.fd);
	r = serve_one();
	read_request(&r, "GET ");
	wire_send(r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
	(void)close(r.fd);
}

static void surplus_bytes_end_a_connection(void **state)
{
	(void)state;
	begin(surplus_origin);
	expect_get("GET", 200, "1");
	expect_get("HEAD", 200, "");
	expect_get("GET", 200, "2");
	end();
	assert_int_equal(client->counters->connections, 3);
}

static void forging_origin(void)
{
	struct wire_reader r = serve_one();

	read_request(&r, "GET ");
	wire_send(r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
	while (!atomic_load(&go_on))
		(void)sched_yield();
	wire_send(r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged");
	while (wire_get(&r) >= 0)
		;
	(void)close(r.fd);
	r = serve_one();
	read_request(&r, "GET ");
	wire_send(r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
	(void)close(r.fd);
}

static struct caller early_call;

static void stop_closed(struct transport *t)
{
	loop_stop(t->loop);
}

static bool overtaken;
static unsigned told_between; /* events of the same poll, between the two */

/* Ready all the time: so it stays before the connection in the poll's list, unless the answer came
 * just when the list was being read. */
static void start_early_call(struct transport *t, int events)
{
	(void)events;
	if (!atomic_load(&go_on))
		return;
	transport_watch(t, 0);
	overtaken = list_empty(&client->idle);
	prepare(&early_call, "GET");
	start(&early_call);
	loop.told += told_between;
}

/* The bytes are found by the same poll as the event that starts the call, and told of after it. */
static void call_early(void)
{
	static struct transport trigger;
	int ends[2];
	struct pollfd idle = {.events = POLLIN};

	atomic_store(&go_on, false);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	assert_int_equal(transport_open(&trigger, &loop, ends[0], start_early_call), 0);
	transport_watch(&trigger, TRANSPORT_READABLE);
	wire_send(ends[1], "x");
	begin(forging_origin);
	expect_get("GET", 200, "1");
	idle.fd = container_of(client->idle.next, struct client_connection, link)->io.fd;
	atomic_store(&go_on, true);
	assert_int_equal(poll(&idle, 1, 10000), 1);
	loop_run(&loop);
	end();
	assert_int_equal(early_call.code, 0);
	assert_int_equal(early_call.got.n, 1);
	assert_int_equal(early_call.got.p[0], '2');
	assert_int_equal(client->counters->retried, !overtaken);
	dispose(&early_call);
	(void)close(ends[1]);
	transport_close(&trigger, stop_closed);
	loop_run(&loop);
}

static void what_was_there_before_the_request_is_no_answer(void **state)
{
	(void)state;
	for (told_between = 0; told_between <= 1000; told_between += 1000) {
		overtaken = true;
		for (unsigned i = 0; i < 20 && overtaken; i++) {
			if (client != NULL)
				client_destroy(&client);
			call_early();
		}
		assert_false(overtaken);
	}
}

static void bad_origin(void)
{
	static const char *const answers[] = {
		"nonsense\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct wire_reader r = serve_one();

		read_request(&r, "GET ");
		wire_send(r.fd, answers[i]);
		wire_must(wire_get(&r) < 0);
		(void)close(r.fd);
	}
}

static void malformed_responses_fail(void **state)
{
	(void)state;
	begin(bad_origin);
	for (unsigned i = 0; i < 4; i++)
		expect_failure("GET", -EPROTO);
	end();
}

static void short_origin(void)
{
	struct wire_reader r = serve_one();

	read_request(&r, "GET ");
	wire_send(r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
	(void)close(r.fd);
	r = serve_one();
	read_request(&r, "GET ");
	wire_send(r.fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
	wire_reset(r.fd);
	r = serve_one();
	read_request(&r, "GET ");
	(void)close(r.fd);
}

static void cut_responses_break_the_body(void **state)
{
	(void)state;
	begin(short_origin);
	for (unsigned i = 0; i < 3; i++)
		expect_failure("GET", -ECONNRESET);
	end();
}

static void silent_origin(void)
{
	struct wire_reader r = serve_one();

	read_request(&r, "GET ");
	wire_must(wire_get(&r) < 0);
	(void)close(r.fd);
}

static void a_silent_origin_times_out(void **state)
{
	(void)state;
	options.response_header_timeout_ms = 50;
	begin(silent_origin);
	expect_failure("GET", -ETIMEDOUT);
	end();
	assert_int_equal(client->counters->timeouts, 1);
}

static void nobody_listens(void **state)
{
	(void)state;
	(void)close(listening);
	begin(NULL);
	expect_failure("GET", -ECONNREFUSED);
	assert_int_equal(client->counters->connect_failures, 1);
	listening = wire_listen(&port, 0);
}

/* A listener whose queue is full answers no connection request. */
static void connecting_times_out(void **state)
{
	int fillers[4], full;

	(void)state;
	full = wire_listen(&port, 0);
	assert_int_equal(listen(full, 0), 0);
	options.connect_timeout_ms = 50;
	for (unsigned i = 0; i < 4; i++) {
		struct sockaddr_in to = {.sin_family = AF_INET,
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
					 .sin_port = htons(port)};

		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fillers[i], (struct sockaddr *)&to, sizeof to);
	}
	begin(NULL);
	expect_failure("GET", -ETIMEDOUT);
	for (unsigned i = 0; i < 4; i++)
		(void)close(fillers[i]);
	(void)close(full);
}

static void busy_origin(void)
{
	struct wire_reader a = serve_one(), b = serve_one();

	read_request(&a, "GET ");
	read_request(&b, "GET ");
	wire_send(a.fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	wire_send(b.fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	wire_must(wire_get(&a) < 0 && wire_get(&b) < 0);
	(void)close(a.fd);
	(void)close(b.fd);
}

static void calls_beyond_the_limit_are_refused(void **state)
{
	struct caller c[3];

	(void)state;
	options.connections_max = 2;
	options.idle_max = 1;
	begin(busy_origin);
	for (unsigned i = 0; i < 3; i++) {
		prepare(&c[i], "GET");
		start(&c[i]);
	}
	assert_int_equal(c[2].code, -EBUSY);
	wait_all();
	assert_int_equal(c[0].code, 0);
	assert_int_equal(c[1].code, 0);
	assert_int_equal(client->idle_count, 1);
	assert_int_equal(client->counters->refused, 1);
	for (unsigned i = 0; i < 3; i++)
		dispose(&c[i]);
	client_destroy(&client);
	(void)uv_run(&loop.uv, UV_RUN_NOWAIT);
	end();
}

static void idle_origin(void)
{
	struct wire_reader r = serve_one();

	read_request(&r, "GET ");
	wire_send(r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	wire_must(wire_get(&r) < 0);
	(void)close(r.fd);
}

static void stop_at(struct timer *t)
{
	(void)t;
	loop_stop(&loop);
}

static void idle_connections_are_closed(void **state)
{
	struct timer patience = {.due_tick = 0};

	(void)state;
	options.idle_timeout_ms = 30;
	begin(idle_origin);
	expect_get("GET", 200, "");
	assert_int_equal(client->idle_count, 1);
	loop_arm(&loop, &patience, 150, stop_at);
	loop_run(&loop);
	assert_int_equal(client->idle_count, 0);
	end();
}

static void large_origin(void)
{
	struct wire_reader r = serve_one();
	char head[256];

	read_request(&r, "POST ");
	swallow(&r, 20u << 20);
	(void)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n",
		       20u << 20);
	wire_send(r.fd, head);
	wire_must(wire_send_pattern(r.fd, 0, 20u << 20));
	(void)close(r.fd);
}

static void large_bodies_both_ways(void **state)
{
	struct caller c;

	(void)state;
	begin(large_origin);
	upload(&c, 20u << 20, false);
	wait_all();
	end();
	assert_int_equal(c.code, 0);
	assert_true(c.matches);
	assert_int_equal(c.response_body.taken_bytes, 20u << 20);
	assert_true(c.live_most <= LIVE_MAX);
	dispose(&c);
}

static void sip(struct timer *t)
{
	struct caller *c = container_of(t, struct caller, sip);

	c->throttled = false;
	take_response(&c->response_body, c);
	c->throttled = c->response_body.taken_bytes < 4u << 20;
	if (c->throttled)
		loop_arm(&loop, t, 16, sip);
}

static void fast_origin(void)
{
	struct wire_reader r = serve_one();

	read_request(&r, "GET ");
	wire_send(r.fd, "HTTP/1.1 200 OK\r\n\r\n");
	wire_must(wire_send_pattern(r.fd, 0, 8u << 20));
	(void)close(r.fd);
}

static void a_slow_consumer_costs_little_memory(void **state)
{
	struct caller c;

	(void)state;
	begin(fast_origin);
	prepare(&c, "GET");
	c.throttled = true;
	loop_arm(&loop, &c.sip, 16, sip);
	start(&c);
	wait_all();
	end();
	assert_int_equal(c.code, 0);
	assert_true(c.matches);
	assert_int_equal(c.response_body.taken_bytes, 8u << 20);
	assert_true(c.live_most <= LIVE_MAX);
	dispose(&c);
}

/* Answers and goes away while the upload still comes. */
static void early_origin(void)
{
	for (unsigned i = 0; i < 20; i++) {
		struct wire_reader r = serve_one();

		read_request(&r, "POST ");
		wire_send(r.fd,
			  "HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 3\r\n\r\nbig");
		if (i % 2 == 0)
			(void)poll(NULL, 0, 5);
		(void)close(r.fd);
	}
}

static void an_early_answer_counts(void **state)
{
	unsigned answered = 0;

	(void)state;
	begin(early_origin);
	for (unsigned i = 0; i < 20; i++) {
		struct caller c;

		upload(&c, 20u << 20, false);
		wait_all();
		/* The reset that follows may overtake the answer, but nothing may hang. */
		assert_true(c.code == 0 || c.code == -ECONNRESET || c.code == -EPIPE);
		answered += c.code == 0 && c.response.status == 413;
		dispose(&c);
	}
	end();
	assert_true(answered >= 5);
	assert_int_equal(client->idle_count, 0);
}

static void broken_upload_origin(void)
{
	struct wire_reader r = serve_one();

	read_request(&r, "POST ");
	while (wire_get(&r) >= 0)
		;
	(void)close(r.fd);
}

static void a_broken_request_body_fails_the_call(void **state)
{
	struct caller c;

	(void)state;
	begin(broken_upload_origin);
	prepare(&c, "POST");
	c.request.framing = FRAMING_CHUNKED;
	start(&c);
	body_push(&c.request_body, NULL, SLICE("abc"));
	body_abort(&c.request_body, -EPROTO);
	body_notify(&c.request_body);
	wait_all();
	assert_int_equal(c.code, -EPROTO);
	dispose(&c);
	end();
}

static void patient_origin(void)
{
	for (unsigned i = 0; i < 6; i++) {
		struct wire_reader r = serve_one();
		char head[4096];

		if (wire_read_head(&r, head, sizeof head)) {
			(void)wire_send_bytes(r.fd, "HTTP/1.1 200 OK\r\n\r\n",
					      i % 2 == 0 ? 10 : 19);
			while (wire_get(&r) >= 0)
				;
		}
		(void)close(r.fd);
	}
}

/* Cancelled after more and more turns of the loop: while connecting, sending, waiting, receiving.
 */
static void a_call_may_be_cancelled_at_any_time(void **state)
{
	(void)state;
	begin(patient_origin);
	for (unsigned turns = 0; turns < 6; turns++) {
		struct caller c;

		upload(&c, 1u << 20, turns % 2 == 1);
		for (unsigned i = 0; i < turns; i++)
			(void)uv_run(&loop.uv, UV_RUN_ONCE);
		assert_int_equal(c.code, 1);
		client_cancel(&c.call);
		outstanding--;
		dispose(&c);
	}
	(void)uv_run(&loop.uv, UV_RUN_NOWAIT);
	end();
	assert_int_equal(client->connection_count, 0);
}

static void named_origin(void)
{
	struct wire_reader r = serve_one();

	read_request(&r, "GET ");
	wire_send(r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n1");
	(void)close(r.fd);
	r = serve_one();
	read_request(&r, "GET ");
	wire_send(r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
	(void)close(r.fd);
}

static void names_are_looked_up_and_kept(void **state)
{
	struct caller c;

	(void)state;
	begin(named_origin);
	client_destroy(&client);
	assert_int_equal(client_create(&client, &loop, SLICE("localhost"), port, &options, NULL),
			 0);
	/* Cancelled while the name is looked up. */
	prepare(&c, "GET");
	start(&c);
	client_cancel(&c.call);
	outstanding--;
	dispose(&c);
	expect_get("GET", 200, "1");
	assert_null(client->lookup);
	expect_get("GET", 200, "2");
	end();
}

/* A label of 64 characters: nobody needs to be asked. */
static void a_name_that_cannot_be_fails(void **state)
{
	static const char name[] =
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid";

	(void)state;
	begin(NULL);
	client_destroy(&client);
	assert_int_equal(client_create(&client, &loop, slice_from(name), port, &options, NULL), 0);
	expect_failure("GET", -EHOSTUNREACH);
}

static void starved_origin(void)
{
	for (unsigned i = 0; i < 30; i++) {
		struct wire_reader r = serve_one();
		char head[4096];

		if (wire_read_head(&r, head, sizeof head)) {
			(void)wire_send_bytes(
				r.fd, "HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n", 42);
			(void)wire_send_pattern(r.fd, 0, 50000);
		}
		(void)close(r.fd);
	}
}

/* Every arena limit and a few of buffers: an error at most. */
static void memory_is_short(void **state)
{
	(void)state;
	begin(starved_origin);
	for (unsigned i = 0; i < 30; i++) {
		struct caller c;

		prepare(&c, "GET");
		arena_free(&c.arena);
		arena_init(&c.arena, 256, i < 20 ? i * 64 : 65536);
		fields_init(&c.request.fields, &c.arena);
		loop.buffers.limit_bytes = i < 20 ? 1 << 20 : (i - 20) * 10000;
		start(&c);
		wait_all();
		assert_true(c.code == 0 || c.code == -ENOMEM || c.code == -ENOBUFS ||
			    c.code == -EPROTO);
		dispose(&c);
	}
	loop.buffers.limit_bytes = 1 << 20;
	end();
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(reuses_a_connection),
		TEST(passes_interim_responses),
		TEST(waits_for_100),
		TEST(repeats_a_get_on_a_stale_connection),
		TEST(never_repeats_a_post),
		TEST(never_repeats_a_post_that_waited_for_100),
		TEST(never_repeats_once_an_answer_has_begun),
		TEST(a_post_avoids_a_stale_connection),
		TEST(surplus_bytes_end_a_connection),
		TEST(what_was_there_before_the_request_is_no_answer),
		TEST(malformed_responses_fail),
		TEST(cut_responses_break_the_body),
		TEST(a_silent_origin_times_out),
		TEST(nobody_listens),
		TEST(connecting_times_out),
		TEST(calls_beyond_the_limit_are_refused),
		TEST(idle_connections_are_closed),
		TEST(large_bodies_both_ways),
		TEST(a_slow_consumer_costs_little_memory),
		TEST(an_early_answer_counts),
		TEST(a_broken_request_body_fails_the_call),
		TEST(a_call_may_be_cancelled_at_any_time),
		TEST(names_are_looked_up_and_kept),
		TEST(a_name_that_cannot_be_fails),
		TEST(memory_is_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
