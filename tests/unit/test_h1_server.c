#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/h1_server_private.h"
#include "site.h"

#define TIGHT 4608

/* Of the loop's buffers, for two bodies that wait. */
#define LIVE_MAX (2 * (65536 + 3 * (BUFFER_LARGE_BYTES + sizeof(struct buffer))))

static struct site site;
static struct h1_server_options options;

static int set_up(void **state)
{
	(void)state;
	options = site_options();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	site_close(&site);
	return 0;
}

static void serve(void (*peer)(void *), void *context)
{
	site_open(&site, &options, 0);
	wire_run(&site.loop, peer, context);
}

/* Reads one response and checks status and body text. */
static void expect_at(struct wire_reader *r, int line, const char *status, const char *body)
{
	char head[4096];
	struct wire_body b;

	if (!wire_read_head(r, head, sizeof head) || strncmp(head, status, strlen(status)) != 0) {
		(void)fprintf(stderr, "line %d: expected %s, got %s\n", line, status, head);
		abort();
	}
	b = wire_read_body(r, head, false);
	if (!b.whole || b.n != strlen(body) || memcmp(b.start, body, b.n) != 0) {
		(void)fprintf(stderr, "line %d: expected \"%s\", got \"%s\"\n%s\n", line, body,
			      b.start, head);
		abort();
	}
}
#define expect(r, status, body) expect_at(r, __LINE__, status, body)

static void expect_head(struct wire_reader *r, char *head, size_t room, const char *status)
{
	wire_must(wire_read_head(r, head, room));
	if (strncmp(head, status, strlen(status)) != 0) {
		(void)fprintf(stderr, "expected %s, got %s\n", status, head);
		abort();
	}
}

static void expect_end(struct wire_reader *r)
{
	wire_must(wire_get(r) < 0);
	(void)close(r->fd);
}

static struct wire_reader dial(void)
{
	return (struct wire_reader){.fd = wire_connect(site.port, 0)};
}

static void keep_alive_peer(void *context)
{
	struct wire_reader r = dial();

	(void)context;
	for (unsigned i = 0; i < 3; i++) {
		wire_send(r.fd, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
		expect(&r, "HTTP/1.1 200 OK\r\n", "hello");
	}
	wire_send_slowly(r.fd, "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n");
	expect(&r, "HTTP/1.1 404 Not Found\r\n", "404 page not found\n");
	wire_send_slowly(r.fd,
			 "\r\nPOST /sum HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
			 "1\r\na\r\n1\r\nf\r\n0\r\nX-T: v\r\n\r\n");
	expect(&r, "HTTP/1.1 200 OK\r\n", "2 right");
	wire_send(r.fd, "GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	expect(&r, "HTTP/1.1 200 OK\r\n", "hello");
	expect_end(&r);
}

static void keeps_connections_alive(void **state)
{
	(void)state;
	serve(keep_alive_peer, NULL);
	assert_int_equal(site.started, 6);
	assert_int_equal(site.server.counters.connections, 1);
	assert_int_equal(site.cancelled, 0);
}

#define PIPELINED 1000

static void pipeline_peer(void *context)
{
	struct wire_reader r = dial();
	struct str all = {0};

	(void)context;
	for (unsigned i = 0; i < PIPELINED; i++) {
		char one[256];

		if (i % 3 == 0)
			(void)snprintf(one, sizeof one, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
		else if (i % 3 == 1)
			(void)snprintf(
				one, sizeof one,
				"POST /sum HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n%c%c%c",
				wire_byte(0), wire_byte(1), wire_byte(2));
		else
			(void)snprintf(
				one, sizeof one,
				"POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nGET ");
		str_add(&all, slice_from(one));
	}
	wire_must(wire_send_bytes(r.fd, all.p, all.n));
	str_free(&all);
	for (unsigned i = 0; i < PIPELINED; i++) {
		if (i % 3 == 0)
			expect(&r, "HTTP/1.1 200 OK\r\n", "hello");
		else if (i % 3 == 1)
			expect(&r, "HTTP/1.1 200 OK\r\n", "3 right");
		else
			expect(&r, "HTTP/1.1 403 Forbidden\r\n", "no");
	}
	(void)close(r.fd);
}

static void answers_pipelined_requests_in_order(void **state)
{
	(void)state;
	serve(pipeline_peer, NULL);
	assert_int_equal(site.started, PIPELINED);
}

static void bodiless_peer(void *context)
{
	struct wire_reader r = dial();
	char head[4096];

	(void)context;
	wire_send(
		r.fd,
		"HEAD /head HTTP/1.1\r\nHost: h\r\n\r\nHEAD /stream?9 HTTP/1.1\r\nHost: h\r\n\r\n"
		"GET /204 HTTP/1.1\r\nHost: h\r\n\r\nGET /304 HTTP/1.1\r\nHost: h\r\n\r\n"
		"HEAD /nowhere HTTP/1.1\r\nHost: h\r\n\r\nGET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
	expect_head(&r, head, sizeof head, "HTTP/1.1 200 OK\r\n");
	wire_must(wire_field(head, "\r\nContent-Length: 5\r\n") != NULL);
	expect_head(&r, head, sizeof head, "HTTP/1.1 200 OK\r\n");
	wire_must(wire_field(head, "Content-Length") == NULL &&
		  wire_field(head, "Transfer-Encoding") == NULL);
	expect_head(&r, head, sizeof head, "HTTP/1.1 204 No Content\r\n");
	wire_must(wire_field(head, "Content-Length") == NULL);
	expect_head(&r, head, sizeof head, "HTTP/1.1 304 Not Modified\r\n");
	wire_must(wire_field(head, "Content-Length") == NULL);
	/* As Go's server: the length that a GET would have got. */
	expect_head(&r, head, sizeof head, "HTTP/1.1 404 Not Found\r\n");
	wire_must(wire_field(head, "\r\nContent-Length: 19\r\n") != NULL);
	expect(&r, "HTTP/1.1 200 OK\r\n", "hello");
	(void)close(r.fd);
}

static void sends_no_body_where_none_belongs(void **state)
{
	(void)state;
	serve(bodiless_peer, NULL);
}

static void old_client_peer(void *context)
{
	struct wire_reader r = dial();
	struct wire_body b;
	char head[4096];

	(void)context;
	wire_send(r.fd, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	expect_head(&r, head, sizeof head, "HTTP/1.0 200 OK\r\n");
	wire_must(wire_field(head, "\r\nConnection: keep-alive\r\n") != NULL);
	(void)wire_read_body(&r, head, false);
	/* A length that is not known ends with the connection. */
	wire_send(r.fd, "GET /stream?70000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	expect_head(&r, head, sizeof head, "HTTP/1.0 200 OK\r\n");
	wire_must(wire_field(head, "Transfer-Encoding") == NULL &&
		  wire_field(head, "Connection") == NULL);
	b = wire_read_body(&r, head, true);
	wire_must(b.n == 70000 && b.matches && b.whole);
	(void)close(r.fd);
	r = dial();
	wire_send(r.fd, "GET /hello HTTP/1.0\r\n\r\n");
	expect_head(&r, head, sizeof head, "HTTP/1.0 200 OK\r\n");
	wire_must(wire_field(head, "Connection") == NULL);
	(void)wire_read_body(&r, head, false);
	expect_end(&r);
	/* A cut body must not look like a whole one. */
	r = dial();
	wire_send(r.fd, "GET /cut?70000 HTTP/1.0\r\n\r\n");
	expect_head(&r, head, sizeof head, "HTTP/1.0 200 OK\r\n");
	b = wire_read_body(&r, head, true);
	wire_must(!b.whole);
	(void)close(r.fd);
}

static void speaks_to_1_0_clients(void **state)
{
	(void)state;
	serve(old_client_peer, NULL);
}

static void bodies_peer(void *context)
{
	static const size_t sizes[] = {0, 1, 16383, 16384, 65536, 1048576, 20u << 20};
	struct wire_reader r = dial();
	char head[4096], expected[64];

	(void)context;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct wire_body b;

		(void)snprintf(head, sizeof head, "GET /big?%zu HTTP/1.1\r\nHost: h\r\n\r\n",
			       sizes[i]);
		wire_send(r.fd, head);
		expect_head(&r, head, sizeof head, "HTTP/1.1 200 OK\r\n");
		b = wire_read_body(&r, head, false);
		wire_must(b.whole && b.n == sizes[i] && b.matches);
		(void)snprintf(head, sizeof head, "GET /stream?%zu HTTP/1.1\r\nHost: h\r\n\r\n",
			       sizes[i]);
		wire_send(r.fd, head);
		expect_head(&r, head, sizeof head, "HTTP/1.1 200 OK\r\n");
		b = wire_read_body(&r, head, false);
		wire_must(b.whole && b.n == sizes[i] && b.matches);
		(void)snprintf(head, sizeof head,
			       "POST /sum HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
			       sizes[i]);
		wire_send(r.fd, head);
		wire_must(wire_send_pattern(r.fd, 0, sizes[i]));
		(void)snprintf(expected, sizeof expected, "%zu right", sizes[i]);
		expect(&r, "HTTP/1.1 200 OK\r\n", expected);
	}
	(void)close(r.fd);
}

static void carries_bodies_of_all_sizes(void **state)
{
	(void)state;
	serve(bodies_peer, NULL);
	assert_true(site.live_most <= LIVE_MAX);
}

static void carries_bodies_through_small_sockets(void **state)
{
	(void)state;
	site_open(&site, &options, TIGHT);
	wire_run(&site.loop, bodies_peer, NULL);
}

/* Sends the request's body while the response comes back. */
static void *send_chunks(void *reader)
{
	const struct wire_reader *r = reader;

	for (size_t at = 0; at < 4u << 20; at += 1000) {
		char size[16];

		(void)snprintf(size, sizeof size, "3e8\r\n");
		wire_send(r->fd, size);
		wire_must(wire_send_pattern(r->fd, at, 1000));
		wire_send(r->fd, "\r\n");
	}
	wire_send(r->fd, "0\r\nX-Trailer: yes\r\n\r\n");
	return NULL;
}

static void echo_peer(void *context)
{
	struct wire_reader r = {.fd = wire_connect(site.port, TIGHT)};
	struct wire_body b;
	pthread_t sender;
	char head[4096];

	(void)context;
	wire_send(r.fd, "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
	wire_must(pthread_create(&sender, NULL, send_chunks, &r) == 0);
	expect_head(&r, head, sizeof head, "HTTP/1.1 200 OK\r\n");
	b = wire_read_body(&r, head, false);
	wire_must(pthread_join(sender, NULL) == 0);
	wire_must(b.whole && b.matches && b.n >= 4u << 20);
	expect_end(&r);
	r = dial();
	wire_send(r.fd, "GET /trailers HTTP/1.1\r\nHost: h\r\n\r\n");
	expect_head(&r, head, sizeof head, "HTTP/1.1 200 OK\r\n");
	b = wire_read_body(&r, head, false);
	wire_must(b.whole && b.n == 4);
	(void)close(r.fd);
}

static void echoes_with_back_pressure_both_ways(void **state)
{
	(void)state;
	site_open(&site, &options, TIGHT);
	wire_run(&site.loop, echo_peer, NULL);
	assert_true(site.live_most <= LIVE_MAX);
}

static void slow_reader_peer(void *context)
{
	struct wire_reader r = {.fd = wire_connect(site.port, TIGHT)};
	struct wire_body b;
	char head[4096];

	(void)context;
	wire_send(r.fd, "GET /big?20971520 HTTP/1.1\r\nHost: h\r\n\r\n");
	expect_head(&r, head, sizeof head, "HTTP/1.1 200 OK\r\n");
	/* Nothing is read for a while: the server must stop producing. */
	(void)poll(NULL, 0, 200);
	b = wire_read_body(&r, head, false);
	wire_must(b.whole && b.matches);
	(void)close(r.fd);
}

static void a_slow_reader_costs_little_memory(void **state)
{
	(void)state;
	serve(slow_reader_peer, NULL);
	assert_true(site.live_most <= 65536 + 4 * (BUFFER_SMALL_BYTES + sizeof(struct buffer)));
}

static void stalled_peer(void *context)
{
	struct wire_reader r = {.fd = wire_connect(site.port, TIGHT)};
	struct pollfd gone = {.fd = r.fd, .events = POLLRDHUP};

	(void)context;
	wire_send(r.fd, "GET /big?20971520 HTTP/1.1\r\nHost: h\r\n\r\n");
	wire_must(poll(&gone, 1, WIRE_PATIENCE_MS) == 1);
	(void)close(r.fd);
}

static void a_client_that_takes_nothing_is_cut_off(void **state)
{
	(void)state;
	options.stall_timeout_ms = 100;
	serve(stalled_peer, NULL);
	assert_int_equal(site.server.counters.stalled, 1);
	assert_int_equal(site.cancelled, 1);
}

static void write_timeout_cuts_a_response(void **state)
{
	(void)state;
	options.write_timeout_ms = 100;
	serve(stalled_peer, NULL);
	assert_int_equal(site.server.counters.stalled, 0);
	assert_int_equal(site.cancelled, 1);
}

/* Far enough apart that a loaded machine does not take one for the other. */
#define WHOLE_MS 800
#define HEAD_MS 700

static void slow_head_peer(void *context)
{
	struct wire_reader r = dial();
	uint64_t *last_ns = context;

	wire_send(r.fd, "GET /hello HTTP/1.1\r\nHo");
	expect_end(&r);
	/* One that says nothing at all. */
	r = dial();
	expect_end(&r);
	/* The time-out is the request's, not the head's and then the body's again. */
	r = dial();
	*last_ns = uv_hrtime();
	wire_send(r.fd, "POST /sum HTTP/1.1\r\n");
	(void)poll(NULL, 0, HEAD_MS);
	wire_send(r.fd, "Host: h\r\nContent-Length: 100\r\n\r\n");
	expect(&r, "HTTP/1.1 408 Request Timeout\r\n", "Request Timeout");
	expect_end(&r);
	*last_ns = uv_hrtime() - *last_ns;
}

static void read_timeout_is_for_the_whole_request(void **state)
{
	uint64_t last_ns = 0;

	(void)state;
	options.read_timeout_ms = WHOLE_MS;
	site_open(&site, &options, 0);
	wire_run(&site.loop, slow_head_peer, &last_ns);
	assert_int_equal(site.server.counters.read_timeouts, 3);
	assert_true(last_ns < (uint64_t)(HEAD_MS + WHOLE_MS) * 1000000);
}

static void idle_peer(void *context)
{
	struct wire_reader r = dial();

	(void)context;
	wire_send(r.fd, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
	expect(&r, "HTTP/1.1 200 OK\r\n", "hello");
	expect_end(&r);
}

static void idle_connections_are_closed(void **state)
{
	(void)state;
	options.idle_timeout_ms = 50;
	serve(idle_peer, NULL);
}

static void keep_alive_limits(void **state)
{
	(void)state;
	options.keep_alive_max_requests = 1;
	serve(idle_peer, NULL);
}

static void continue_peer(void *context)
{
	struct wire_reader r = dial();
	char head[4096];

	(void)context;
	wire_send(r.fd, "POST /sum HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: "
			"1\r\n\r\n");
	expect_head(&r, head, sizeof head, "HTTP/1.1 100 Continue\r\n\r\n");
	wire_send(r.fd, "a");
	expect(&r, "HTTP/1.1 200 OK\r\n", "1 right");
	/* A client that does not wait, in one segment: the body must not be lost. */
	wire_send(r.fd, "POST /sum HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: "
			"1\r\n\r\na");
	expect_head(&r, head, sizeof head, "HTTP/1.1 100 Continue\r\n\r\n");
	expect(&r, "HTTP/1.1 200 OK\r\n", "1 right");
	/* Nothing to wait for. */
	wire_send(r.fd, "POST /sum HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: "
			"0\r\n\r\n");
	expect(&r, "HTTP/1.1 200 OK\r\n", "0 right");
	/* Nobody reads it: no 100, and what follows cannot be told from the body. */
	wire_send(r.fd, "POST /early HTTP/1.1\r\nHost: h\r\nExpect: "
			"100-continue\r\nContent-Length: 9\r\n\r\n");
	expect_head(&r, head, sizeof head, "HTTP/1.1 403 Forbidden\r\n");
	wire_must(wire_field(head, "\r\nConnection: close\r\n") != NULL);
	(void)wire_read_body(&r, head, false);
	expect_end(&r);
}

static void asks_for_the_body_that_somebody_reads(void **state)
{
	(void)state;
	serve(continue_peer, NULL);
	assert_int_equal(site.started, 4);
}

static void expectation_peer(void *context)
{
	struct wire_reader r = dial();
	char head[4096];

	(void)context;
	wire_send(r.fd,
		  "POST /sum HTTP/1.1\r\nHost: h\r\nExpect: a-pony\r\nContent-Length: 1\r\n\r\na");
	expect_head(&r, head, sizeof head, "HTTP/1.1 417 Expectation Failed\r\n");
	wire_must(wire_field(head, "\r\nConnection: close\r\n") != NULL);
	wire_must(wire_field(head, "\r\nContent-Length: 0\r\n") != NULL);
	expect_end(&r);
}

static void unknown_expectations_fail(void **state)
{
	(void)state;
	serve(expectation_peer, NULL);
	assert_int_equal(site.started, 0);
}

static void early_peer(void *context)
{
	struct wire_reader r = dial();
	char head[4096];

	(void)context;
	/* The rest is short: it is thrown away, and the connection goes on. */
	wire_send(r.fd, "POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n");
	expect(&r, "HTTP/1.1 403 Forbidden\r\n", "no");
	wire_must(wire_send_pattern(r.fd, 0, 199999));
	wire_send(r.fd, "zGET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
	expect(&r, "HTTP/1.1 200 OK\r\n", "hello");
	/* It is long, or its length is not known: the connection ends, but not before the client
	 * has its answer. */
	wire_send(r.fd, "POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n");
	wire_must(wire_send_pattern(r.fd, 0, 100000));
	expect_head(&r, head, sizeof head, "HTTP/1.1 403 Forbidden\r\n");
	wire_must(wire_field(head, "\r\nConnection: close\r\n") != NULL);
	(void)wire_read_body(&r, head, false);
	expect_end(&r);
	r = dial();
	wire_send(r.fd, "POST /early HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
			"chunked\r\n\r\n5\r\nhello\r\n");
	expect_head(&r, head, sizeof head, "HTTP/1.1 403 Forbidden\r\n");
	wire_must(wire_field(head, "\r\nConnection: close\r\n") != NULL);
	(void)wire_read_body(&r, head, false);
	expect_end(&r);
}

static void early_answers_leave_the_connection_in_order(void **state)
{
	(void)state;
	serve(early_peer, NULL);
	assert_int_equal(site.started, 4);
	assert_int_equal(site.server.counters.bad_requests, 0);
}

static void bad_peer(void *context)
{
	static const struct {
		const char *request, *status, *body;
	} rows[] = {
		{"GET / HTTP/1.1\r\nHost: h\r\nbad line\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n",
		 "400 Bad Request"},
		{"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "400 Bad Request"},
		{"GET / HTTP/2.7\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported\r\n",
		 "505 HTTP Version Not Supported"},
		{"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
		 "HTTP/1.1 501 Not Implemented\r\n", "501 Not Implemented"},
	};
	struct wire_reader r;
	struct wire_body b;
	char head[4096];

	(void)context;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		r = dial();
		wire_send(r.fd, rows[i].request);
		expect_head(&r, head, sizeof head, rows[i].status);
		wire_must(wire_field(head, "\r\nConnection: close\r\n") != NULL);
		b = wire_read_body(&r, head, true);
		wire_must(b.n == strlen(rows[i].body) && memcmp(b.start, rows[i].body, b.n) == 0);
		(void)close(r.fd);
	}
	r = dial();
	wire_send(r.fd, "GET /hello HTTP/1.1\r\nHost: h\r\nX: ");
	for (unsigned i = 0; i < 70; i++)
		(void)wire_send_pattern(r.fd, 0, 1000);
	expect_head(&r, head, sizeof head, "HTTP/1.1 431 Request Header Fields Too Large\r\n");
	(void)close(r.fd);
	/* After a good one on the same connection, and nothing after it. */
	r = dial();
	wire_send(r.fd, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\nnonsense\r\n\r\nGET /hello "
			"HTTP/1.1\r\nHost: h\r\n\r\n");
	expect(&r, "HTTP/1.1 200 OK\r\n", "hello");
	expect_head(&r, head, sizeof head, "HTTP/1.1 400 Bad Request\r\n");
	b = wire_read_body(&r, head, true);
	wire_must(b.n == strlen("400 Bad Request"));
	(void)close(r.fd);
}

static void refuses_what_is_malformed(void **state)
{
	(void)state;
	serve(bad_peer, NULL);
	assert_int_equal(site.server.counters.bad_requests, 6);
	assert_int_equal(site.started, 1);
}

static void bad_chunk_peer(void *context)
{
	struct wire_reader r = dial();
	char head[4096];

	(void)context;
	wire_send(r.fd,
		  "POST /sum HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
	wire_send(r.fd, "nonsense\r\nGET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
	expect_head(&r, head, sizeof head, "HTTP/1.1 400 Bad Request\r\n");
	wire_must(wire_field(head, "\r\nConnection: close\r\n") != NULL);
	(void)wire_read_body(&r, head, false);
	expect_end(&r);
}

static void a_malformed_body_ends_the_connection(void **state)
{
	(void)state;
	serve(bad_chunk_peer, NULL);
	assert_int_equal(site.started, 1);
}

static void interim_peer(void *context)
{
	struct wire_reader r = dial();
	char head[4096];

	(void)context;
	wire_send(r.fd, "GET /interim HTTP/1.1\r\nHost: h\r\n\r\n");
	expect_head(&r, head, sizeof head,
		    "HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n");
	expect(&r, "HTTP/1.1 200 OK\r\n", "after");
	wire_send(r.fd, "GET /interim HTTP/1.0\r\n\r\n");
	expect(&r, "HTTP/1.0 200 OK\r\n", "after");
	expect_end(&r);
}

static void interim_responses_pass(void **state)
{
	(void)state;
	serve(interim_peer, NULL);
}

/* The client leaves at every stage, by closing and by resetting. */
static void leaving_peer(void *context)
{
	static const char *const starts[] = {
		"",
		"GET /hel",
		"GET /never HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /never HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc",
		"POST /sum HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc",
		"POST /sum HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\nExpect: "
		"100-continue\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
		"GET /big?9999999 HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /big?9999999 HTTP/1.1\r\nHost: h\r\n\r\nGET /hello HTTP/1.1\r\nHost: "
		"h\r\n\r\n",
		"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n",
		"POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999\r\n\r\n",
		"nonsense\r\n\r\n",
	};
	struct wire_reader r;

	(void)context;
	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		for (unsigned how = 0; how < 4; how++) {
			int fd = wire_connect(site.port, TIGHT);

			wire_send(fd, starts[i]);
			if (how >= 2)
				(void)poll(NULL, 0, 5);
			if (how % 2 == 0)
				(void)close(fd);
			else
				wire_reset(fd);
		}
	}
	r = dial();
	wire_send(r.fd, "GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	expect(&r, "HTTP/1.1 200 OK\r\n", "hello");
	expect_end(&r);
}

static void clients_may_leave_at_any_time(void **state)
{
	(void)state;
	serve(leaving_peer, NULL);
}

static void forgotten_peer(void *context)
{
	struct wire_reader r = dial();
	char head[4096];

	(void)context;
	wire_send(r.fd, "POST /swallow HTTP/1.1\r\nHost: h\r\nExpect: "
			"100-continue\r\nContent-Length: 1\r\n\r\na");
	expect_head(&r, head, sizeof head, "HTTP/1.1 100 Continue\r\n\r\n");
	(void)shutdown(r.fd, SHUT_WR);
	expect_end(&r);
}

/* Reading stopped until the body was asked for; it must go on behind it. */
static void a_client_that_leaves_is_noticed_behind_the_body(void **state)
{
	(void)state;
	serve(forgotten_peer, NULL);
	assert_int_equal(site.cancelled, 1);
	assert_int_equal(site.server.counters.aborted, 1);
}

static void crowd_peer(void *context)
{
	struct wire_reader r[8];

	(void)context;
	for (unsigned i = 0; i < 8; i++) {
		r[i] = dial();
		wire_send(r[i].fd, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
	}
	/* Those beyond the limit wait for a place. */
	for (unsigned i = 0; i < 8; i++) {
		expect(&r[i], "HTTP/1.1 200 OK\r\n", "hello");
		(void)close(r[i].fd);
	}
}

static void connections_beyond_the_limit_wait(void **state)
{
	(void)state;
	options.connections_max = 3;
	serve(crowd_peer, NULL);
	assert_true(site.server.counters.accept_paused >= 1);
	assert_int_equal(site.started, 8);
}

/* All buffers are taken: a refusal, not a hang or a crash. */
static void starved_peer(void *context)
{
	struct wire_reader r = dial();
	char head[4096];

	(void)context;
	wire_send(r.fd, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
	expect_head(&r, head, sizeof head, "HTTP/1.1 503 Service Unavailable\r\n");
	(void)close(r.fd);
}

static void answers_503_without_buffers(void **state)
{
	(void)state;
	site_open(&site, &options, 0);
	site.loop.buffers.limit_bytes = 100;
	wire_run(&site.loop, starved_peer, NULL);
	site.loop.buffers.limit_bytes = 1 << 20;
}

/* Every buffer limit: the request is answered or the connection closed. */
static void short_of_buffers_peer(void *context)
{
	struct wire_reader r = dial();
	char head[4096];

	(void)context;
	if (wire_send_bytes(
		    r.fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n",
		    sizeof "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n" -
			    1) &&
	    wire_send_pattern(r.fd, 0, 300000) && wire_read_head(&r, head, sizeof head)) {
		struct wire_body b = wire_read_body(&r, head, true);

		wire_must(strncmp(head, "HTTP/1.1 200", 12) != 0 || !b.whole || b.n == 300000);
	}
	(void)close(r.fd);
}

static void survives_every_buffer_limit(void **state)
{
	struct wire_peer peer = {.run = short_of_buffers_peer};

	(void)state;
	site_open(&site, &options, TIGHT);
	for (size_t limit = 0; limit < 400000; limit += 16000) {
		site.loop.buffers.limit_bytes = limit;
		wire_run_all(&site.loop, &peer, 1);
		peer.done.link = (struct list){NULL, NULL};
	}
}

static void arena_peer(void *context)
{
	struct wire_reader r = dial();
	char head[4096];

	(void)context;
	wire_send(r.fd,
		  "GET /hello HTTP/1.1\r\nHost: h\r\nA: b\r\nC: d\r\nConnection: close\r\n\r\n");
	if (wire_read_head(&r, head, sizeof head))
		(void)wire_read_body(&r, head, true);
	(void)close(r.fd);
}

static void survives_every_arena_limit(void **state)
{
	struct wire_peer peer = {.run = arena_peer};

	(void)state;
	site_open(&site, &options, 0);
	for (size_t limit = 0; limit < 12000; limit += 200) {
		const struct exchange_limits tight = {.arena_bytes_max = limit,
						      .body_queue_bytes = 65536};

		exchange_pool_free(&site.exchanges);
		exchange_pool_init(&site.exchanges, &site.loop, &tight);
		wire_run_all(&site.loop, &peer, 1);
		peer.done.link = (struct list){NULL, NULL};
	}
	assert_true(site.started > 0);
}

static struct wire_reader drained[6];
static struct message drain_order;
static unsigned stopped_calls;

static void on_stopped(struct h1_server *s)
{
	(void)s;
	stopped_calls++;
}

static void drain_now(struct message *m)
{
	(void)m;
	h1_server_drain(&site.server, on_stopped);
}

/* Connections in every state when the server is told to drain; each gets what it is owed and then
 * its end. */
static void drain_peer(void *context)
{
	char head[4096];
	struct wire_body b;

	(void)context;
	for (unsigned i = 0; i < 6; i++)
		drained[i] =
			(struct wire_reader){.fd = wire_connect(site.port, i == 1 ? TIGHT : 0)};
	/* 0: idle */
	wire_send(drained[0].fd, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
	expect(&drained[0], "HTTP/1.1 200 OK\r\n", "hello");
	/* 1: in the middle of a response */
	wire_send(drained[1].fd, "GET /big?5000000 HTTP/1.1\r\nHost: h\r\n\r\n");
	expect_head(&drained[1], head, sizeof head, "HTTP/1.1 200 OK\r\n");
	/* 2: waits for the rest of a head */
	wire_send(drained[2].fd, "GET /hello HTTP/1.1\r\nHo");
	/* 3: waits for the rest of a body */
	wire_send(drained[3].fd, "POST /sum HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na");
	/* 4: throws the rest of a body away */
	wire_send(drained[4].fd, "POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n");
	expect(&drained[4], "HTTP/1.1 403 Forbidden\r\n", "no");
	/* 5: has said nothing */
	wire_send(drained[0].fd, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
	expect(&drained[0], "HTTP/1.1 200 OK\r\n", "hello");
	drain_order.run = drain_now;
	wire_must(loop_post(&site.loop, &drain_order));
	expect_end(&drained[0]);
	expect_end(&drained[4]);
	b = wire_read_body(&drained[1], head, false);
	wire_must(b.whole && b.n == 5000000 && b.matches);
	expect_end(&drained[1]);
	wire_send(drained[2].fd, "st: h\r\n\r\n");
	expect_head(&drained[2], head, sizeof head, "HTTP/1.1 200 OK\r\n");
	wire_must(wire_field(head, "\r\nConnection: close\r\n") != NULL);
	(void)wire_read_body(&drained[2], head, false);
	expect_end(&drained[2]);
	wire_send(drained[3].fd, "f");
	expect_head(&drained[3], head, sizeof head, "HTTP/1.1 200 OK\r\n");
	(void)wire_read_body(&drained[3], head, false);
	expect_end(&drained[3]);
	wire_send(drained[5].fd, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
	expect(&drained[5], "HTTP/1.1 200 OK\r\n", "hello");
	expect_end(&drained[5]);
}

static void drains_without_losing_a_response(void **state)
{
	(void)state;
	stopped_calls = 0;
	serve(drain_peer, NULL);
	for (unsigned turns = 0; stopped_calls == 0 && turns < 1000; turns++)
		(void)uv_run(&site.loop.uv, UV_RUN_ONCE);
	assert_int_equal(stopped_calls, 1);
}

/* A request that lies in the socket when the drain begins is answered. */
static void late_request(void **state)
{
	struct wire_reader r;
	char head[4096];

	(void)state;
	stopped_calls = 0;
	site_open(&site, &options, 0);
	r = dial();
	wire_send(r.fd, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
	while (site.started == 0 || site.exchanges.live_count > 0)
		(void)uv_run(&site.loop.uv, UV_RUN_ONCE);
	expect(&r, "HTTP/1.1 200 OK\r\n", "hello");
	wire_send(r.fd, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
	h1_server_drain(&site.server, on_stopped);
	expect_head(&r, head, sizeof head, "HTTP/1.1 200 OK\r\n");
	wire_must(wire_field(head, "\r\nConnection: close\r\n") != NULL);
	(void)close(r.fd);
	while (stopped_calls == 0)
		(void)uv_run(&site.loop.uv, UV_RUN_ONCE);
}

static void idle_connections_hold_no_buffers(void **state)
{
	struct wire_reader r[20];
	size_t used = 0;

	(void)state;
	site_open(&site, &options, 0);
	for (unsigned i = 0; i < 20; i++) {
		r[i] = dial();
		wire_send(r[i].fd, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
	}
	while (site.started < 20 || site.exchanges.live_count > 0)
		(void)uv_run(&site.loop.uv, UV_RUN_ONCE);
	for (int c = 0; c < BUFFER_CLASSES; c++)
		used += site.loop.buffers.idle_count[c] *
			(sizeof(struct buffer) + buffer_class_bytes((enum buffer_class)c));
	assert_int_equal(used, site.loop.buffers.live_bytes);
	assert_int_equal(site.exchanges.live_count, 0);
	assert_true(sizeof(struct h1_connection) <= 1024);
	for (unsigned i = 0; i < 20; i++)
		(void)close(r[i].fd);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(keeps_connections_alive),
		TEST(answers_pipelined_requests_in_order),
		TEST(sends_no_body_where_none_belongs),
		TEST(speaks_to_1_0_clients),
		TEST(carries_bodies_of_all_sizes),
		TEST(carries_bodies_through_small_sockets),
		TEST(echoes_with_back_pressure_both_ways),
		TEST(a_slow_reader_costs_little_memory),
		TEST(a_client_that_takes_nothing_is_cut_off),
		TEST(write_timeout_cuts_a_response),
		TEST(read_timeout_is_for_the_whole_request),
		TEST(idle_connections_are_closed),
		TEST(keep_alive_limits),
		TEST(asks_for_the_body_that_somebody_reads),
		TEST(unknown_expectations_fail),
		TEST(early_answers_leave_the_connection_in_order),
		TEST(refuses_what_is_malformed),
		TEST(a_malformed_body_ends_the_connection),
		TEST(interim_responses_pass),
		TEST(clients_may_leave_at_any_time),
		TEST(a_client_that_leaves_is_noticed_behind_the_body),
		TEST(connections_beyond_the_limit_wait),
		TEST(answers_503_without_buffers),
		TEST(survives_every_buffer_limit),
		TEST(survives_every_arena_limit),
		TEST(drains_without_losing_a_response),
		TEST(late_request),
		TEST(idle_connections_hold_no_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
