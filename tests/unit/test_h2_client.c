#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/client.h"
#include "wire_h2.h"

#define CALLS 8

/* One request and what became of it. */
struct trial {
	struct client_call call;
	struct arena arena;
	struct request request;
	struct response response;
	struct fields trailers;
	struct body in, out;
	int code; /* of a failure */
	bool responded, done;
};

static struct loop loop;
static struct client *client;
static struct trial trials[CALLS];
static size_t count, over;
static int listening;
static uint16_t port;
static struct client_options options;
static struct client_counters seen; /* when all calls were over */
static bool patient;                /* the server's end is waited for, too */
static const char *host;
static void (*when_failed)(void); /* NULL: nothing */
static bool starved;              /* calls have no memory left */
static sem_t answered, told;

static void on_over(void)
{
	if (++over == count)
		loop_stop(&loop);
}

static struct trial *trial_of(struct client_call *call)
{
	return container_of(call, struct trial, call);
}

static void on_failed(struct client_call *call, int code)
{
	trial_of(call)->code = code;
	if (when_failed != NULL)
		when_failed();
	on_over();
}

static void on_done(struct client_call *call)
{
	trial_of(call)->done = true;
	on_over();
}

static void on_responded(struct client_call *call)
{
	trial_of(call)->responded = true;
	if (call->complete)
		on_done(call);
}

static void begin(struct trial *t, const char *method, const char *target, const char *text)
{
	memset(t, 0, sizeof *t);
	arena_init(&t->arena, 4096, starved ? 4096 : 1 << 20);
	t->request.method = slice_from(method);
	t->request.method_id = method_of(t->request.method);
	fields_init(&t->request.fields, &t->arena);
	fields_init(&t->trailers, &t->arena);
	(void)fields_add_id(&t->request.fields, FIELD_HOST, SLICE("h"));
	(void)fields_add_id(&t->request.fields, FIELD_CONNECTION, SLICE("close"));
	body_init(&t->in, 65536);
	body_init(&t->out, 65536);
	if (text != NULL) {
		t->request.framing = FRAMING_CHUNKED;
		body_push(&t->in, NULL, slice_from(text));
	}
	body_end(&t->in);
	while (starved && arena_alloc(&t->arena, 8) != NULL)
		;
	t->call = (struct client_call){.magic = CALL_MAGIC,
				       .request = &t->request,
				       .target = slice_from(target),
				       .request_body = &t->in,
				       .arena = &t->arena,
				       .response = &t->response,
				       .response_body = &t->out,
				       .response_trailers = &t->trailers,
				       .responded = on_responded,
				       .failed = on_failed,
				       .done = on_done};
	client_start(client, &t->call);
}

static int set_up(void **state)
{
	(void)state;
	options = (struct client_options){
		.connections_max = 100,
		.idle_max = 10,
		.h2 = true,
		.window_bytes = 65536,
		.head = {.head_bytes_max = 16384, .fields_max = 100},
	};
	count = over = 0;
	patient = false;
	host = "127.0.0.1";
	when_failed = NULL;
	starved = false;
	wire_must(loop_init(&loop, (size_t)8 << 20) == 0);
	listening = wire_listen(&port, 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	client_destroy(&client);
	for (size_t i = 0; i < count; i++) {
		body_free(&trials[i].in);
		body_free(&trials[i].out);
		arena_free(&trials[i].arena);
	}
	loop_close(&loop);
	(void)close(listening);
	return 0;
}

/* `n` calls to a server that `peer` plays; returns when all are over and it has ended. */
static void run(void *(*peer)(void *), size_t n, const char *method, const char *text)
{
	pthread_t thread;

	wire_must(client_create(&client, &loop, slice_from(host), port, &options, NULL) == 0);
	wire_must(pthread_create(&thread, NULL, peer, NULL) == 0);
	count = n;
	for (size_t i = 0; i < n; i++)
		begin(&trials[i], method, "/x?y", text);
	if (over < n)
		loop_run(&loop);
	while (patient && client->connection_count > 0)
		(void)uv_run(&loop.uv, UV_RUN_ONCE);
		/* One at a time: they are atomic. */
#define X(name, kind, help) atomic_store(&seen.name, counter_get(&client->counters->name));
	CLIENT_COUNTERS(X)
#undef X
	client_destroy(&client);
	(void)uv_run(&loop.uv, UV_RUN_NOWAIT);
	wire_must(pthread_join(thread, NULL) == 0);
	wire_must(client_create(&client, &loop, SLICE("127.0.0.1"), port, &options, NULL) == 0);
}

/* The server's side of a connection that has not said anything. */
static struct wire_h2 *accept_on(int fd)
{
	struct wire_h2 *c = malloc(sizeof *c);

	wire_must(c != NULL);
	wire_h2_init(c, wire_accept(fd));
	for (size_t i = 0; i < sizeof H2_PREFACE - 1; i++)
		wire_must(wire_get(&c->r) == H2_PREFACE[i]);
	return c;
}

/* The same after the settings. */
static struct wire_h2 *answer_preface(const uint8_t *settings, size_t n)
{
	struct wire_h2 *c = accept_on(listening);

	wire_h2_send(c, NGHTTP2_SETTINGS, 0, 0, settings, n);
	return c;
}

static void expect_request(struct wire_h2 *c, uint32_t id, const char *method)
{
	char want[128];

	wire_h2_expect(c, NGHTTP2_HEADERS, id);
	(void)snprintf(want, sizeof want,
		       ":method: %s\n:scheme: http\n:authority: h\n:path: /x?y\n", method);
	/* Nothing of what HTTP/1 says of its connections. */
	wire_must(strcmp(c->fields, want) == 0);
}

static void *simple_peer(void *unused)
{
	struct wire_h2 *c = answer_preface(NULL, 0);

	(void)unused;
	expect_request(c, 1, "POST");
	wire_h2_expect(c, NGHTTP2_DATA, 1);
	wire_must(c->n == 5 && memcmp(c->payload, "hello", 5) == 0);
	wire_must(c->flags & NGHTTP2_FLAG_END_STREAM);
	wire_h2_head(c, 1, false, WIRE_LINES(":status: 103", "link: x"));
	wire_h2_head(c, 1, false, WIRE_LINES(":status: 200", "x-a: b", "grpc-encoding: c"));
	wire_h2_data(c, 1, "body", 4, false);
	wire_h2_head(c, 1, true, WIRE_LINES("grpc-status: 0", "host: no"));
	while (wire_h2_next(c))
		;
	wire_h2_close(c);
	return NULL;
}

static void a_call_and_its_response(void **state)
{
	const struct trial *t = &trials[0];

	(void)state;
	run(simple_peer, 1, "POST", "hello");
	assert_true(t->responded && t->done && t->code == 0);
	assert_int_equal(t->response.status, 200);
	assert_int_equal(t->response.framing, FRAMING_CLOSE);
	assert_int_equal(t->response.fields.count, 2);
	assert_true(slice_equal(t->response.fields.list[0].name, SLICE("X-A")));
	assert_int_equal(t->out.bytes, 4);
	assert_int_equal(t->out.state, BODY_ENDED);
	assert_int_equal(t->trailers.count, 1);
	assert_true(slice_equal(t->trailers.list[0].name, SLICE("Grpc-Status")));
}

static void *shared_peer(void *unused)
{
	struct wire_h2 *c = answer_preface(NULL, 0);

	(void)unused;
	for (uint32_t id = 1; id < 2 * CALLS; id += 2)
		expect_request(c, id, "GET");
	/* The last one first. */
	for (uint32_t id = 2 * CALLS - 1; id < 2 * CALLS; id -= 2)
		wire_h2_head(c, id, true, WIRE_LINES(":status: 204"));
	while (wire_h2_next(c))
		;
	wire_h2_close(c);
	return NULL;
}

static void calls_share_a_connection(void **state)
{
	(void)state;
	run(shared_peer, CALLS, "GET", NULL);
	for (size_t i = 0; i < CALLS; i++) {
		assert_true(trials[i].done);
		assert_int_equal(trials[i].response.status, 204);
		assert_int_equal(trials[i].response.framing, FRAMING_NONE);
	}
}

#define LAST_ID 0x7fffffffu

static bool at_the_last_id; /* the next connection has one stream left */

int __real_nghttp2_session_client_new2(nghttp2_session **ng, const nghttp2_session_callbacks *calls,
				       void *user, const nghttp2_option *option);
int __wrap_nghttp2_session_client_new2(nghttp2_session **ng, const nghttp2_session_callbacks *calls,
				       void *user, const nghttp2_option *option);

int __wrap_nghttp2_session_client_new2(nghttp2_session **ng, const nghttp2_session_callbacks *calls,
				       void *user, const nghttp2_option *option)
{
	int r = __real_nghttp2_session_client_new2(ng, calls, user, option);

	if (r == 0 && at_the_last_id)
		wire_must(nghttp2_session_set_next_stream_id(*ng, (int32_t)LAST_ID) == 0);
	at_the_last_id = false;
	return r;
}

static void *last_id_peer(void *unused)
{
	struct wire_h2 *c = answer_preface(NULL, 0), *next;

	(void)unused;
	expect_request(c, LAST_ID, "GET");
	next = answer_preface(NULL, 0);
	expect_request(next, 1, "GET");
	wire_h2_head(next, 1, true, WIRE_LINES(":status: 204"));
	wire_h2_head(c, LAST_ID, true, WIRE_LINES(":status: 204"));
	while (wire_h2_next(c))
		;
	while (wire_h2_next(next))
		;
	wire_h2_close(c);
	wire_h2_close(next);
	return NULL;
}

static void a_connection_without_numbers_for_streams_is_followed_by_another(void **state)
{
	(void)state;
	at_the_last_id = true;
	run(last_id_peer, 2, "GET", NULL);
	for (size_t i = 0; i < 2; i++) {
		assert_true(trials[i].done);
		assert_int_equal(trials[i].response.status, 204);
	}
}

static void *refusing_peer(void *unused)
{
	struct wire_h2 *c = answer_preface(NULL, 0), *again;

	(void)unused;
	/* Nobody has looked at it: it may be asked again, whatever it is. */
	expect_request(c, 1, "PATCH");
	wire_h2_send(c, NGHTTP2_GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0", 8);
	again = answer_preface(NULL, 0);
	expect_request(again, 1, "PATCH");
	wire_h2_head(again, 1, true, WIRE_LINES(":status: 200"));
	while (wire_h2_next(again))
		;
	wire_h2_close(again);
	wire_h2_close(c);
	return NULL;
}

static void what_a_leaving_server_has_not_seen_is_repeated(void **state)
{
	(void)state;
	run(refusing_peer, 1, "PATCH", NULL);
	assert_true(trials[0].done && trials[0].call.retried);
	assert_int_equal(trials[0].response.status, 200);
}

static void *resetting_peer(void *unused)
{
	struct wire_h2 *c = answer_preface(NULL, 0);

	(void)unused;
	expect_request(c, 1, "PATCH");
	wire_h2_reset(c, 1);
	while (wire_h2_next(c))
		;
	wire_h2_close(c);
	return NULL;
}

static void what_was_reset_is_not_repeated(void **state)
{
	(void)state;
	run(resetting_peer, 1, "PATCH", NULL);
	assert_int_equal(trials[0].code, -ECONNRESET);
	assert_false(trials[0].call.retried);
}

static void *breaking_peer(void *unused)
{
	struct wire_h2 *c = answer_preface(NULL, 0);

	(void)unused;
	expect_request(c, 1, "GET");
	wire_h2_head(c, 1, false, WIRE_LINES(":status: 200", "content-length: 10"));
	wire_h2_data(c, 1, "half", 4, false);
	wire_h2_reset(c, 1);
	while (wire_h2_next(c))
		;
	wire_h2_close(c);
	return NULL;
}

static void a_broken_response_is_no_whole_one(void **state)
{
	(void)state;
	run(breaking_peer, 1, "GET", NULL);
	assert_true(trials[0].responded && trials[0].done);
	assert_int_equal(trials[0].out.state, BODY_ABORTED);
	assert_int_equal(trials[0].out.bytes, 4);
}

static void *dying_peer(void *unused)
{
	struct wire_h2 *c = answer_preface(NULL, 0);

	(void)unused;
	for (uint32_t id = 1; id < 2 * CALLS; id += 2)
		expect_request(c, id, "PATCH");
	wire_h2_close(c);
	return NULL;
}

static void a_connection_that_ends_ends_its_calls(void **state)
{
	(void)state;
	run(dying_peer, CALLS, "PATCH", NULL);
	for (size_t i = 0; i < CALLS; i++)
		assert_int_equal(trials[i].code, -ECONNRESET);
}

static void *no_peer(void *unused)
{
	return unused;
}

static void calls_that_wait_fail_with_their_connection(void **state)
{
	(void)state;
	(void)close(listening);
	run(no_peer, CALLS, "GET", NULL);
	for (size_t i = 0; i < CALLS; i++)
		assert_int_equal(trials[i].code, -ECONNREFUSED);
	listening = wire_listen(&port, 0);
}

static void end_both(struct wire_h2 *one, struct wire_h2 *other)
{
	while (wire_h2_next(one))
		;
	while (wire_h2_next(other))
		;
	wire_h2_close(one);
	wire_h2_close(other);
}

static const uint8_t one_at_a_time[] = {0, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0, 0, 0, 1};

static void *mute_peer(void *unused)
{
	struct wire_h2 *c = answer_preface(one_at_a_time, sizeof one_at_a_time), *mute;

	(void)unused;
	expect_request(c, 1, "GET");
	mute = accept_on(listening);
	/* Not even an acknowledgement may come before its settings. */
	while (wire_h2_read(mute) && mute->type != NGHTTP2_HEADERS)
		;
	/* The second connection has said nothing yet when the first one has room again. */
	wire_h2_head(c, 1, true, WIRE_LINES(":status: 204"));
	expect_request(c, 3, "GET");
	wire_h2_head(c, 3, true, WIRE_LINES(":status: 204"));
	wire_h2_send(mute, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
	wire_h2_head(mute, 1, true, WIRE_LINES(":status: 204"));
	end_both(c, mute);
	return NULL;
}

/* It waited for the other connection, whatever became free. */
static void a_call_that_waits_takes_the_place_of_one_that_has_ended(void **state)
{
	(void)state;
	run(mute_peer, 3, "GET", NULL);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(trials[i].response.status, 204);
	assert_int_equal(seen.waiting, 0);
}

void __real_timer_arm(struct timers *t, struct timer *timer, uint64_t after_ms,
		      void (*fire)(struct timer *));
void __wrap_timer_arm(struct timers *t, struct timer *timer, uint64_t after_ms,
		      void (*fire)(struct timer *));

void __wrap_timer_arm(struct timers *t, struct timer *timer, uint64_t after_ms,
		      void (*fire)(struct timer *))
{
	__real_timer_arm(t, timer, after_ms == 10000 ? 10 : after_ms, fire);
}

static void *tacit_peer(void *unused)
{
	struct wire_h2 *c = accept_on(listening);
	unsigned heads = 0;

	(void)unused;
	while (heads < 3 && wire_h2_read(c))
		heads += c->type == NGHTTP2_HEADERS;
	wire_must(heads == 3);
	wire_h2_send(c, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
	for (uint32_t id = 1; id <= 5; id += 2)
		wire_h2_head(c, id, true, WIRE_LINES(":status: 204"));
	while (wire_h2_next(c))
		;
	wire_h2_close(c);
	return NULL;
}

/* Without a dialTimeout the others waited for ever. */
static void settings_are_not_waited_for_without_limit(void **state)
{
	(void)state;
	run(tacit_peer, 3, "GET", NULL);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(trials[i].response.status, 204);
}

static void *unused_peer(void *unused)
{
	struct wire_h2 *c = answer_preface(NULL, 0);

	(void)unused;
	wire_must(!wire_h2_next(c));
	wire_h2_close(c);
	return NULL;
}

/* It was no idle connection: it stayed for ever, whatever idleConnTimeout said. */
static void a_connection_whose_first_call_cannot_be_sent_is_idle(void **state)
{
	(void)state;
	starved = true;
	run(unused_peer, 1, "GET", NULL);
	assert_int_equal(trials[0].code, -ENOMEM);
	assert_int_equal(seen.h2_connections, 1);
	assert_int_equal(seen.idle, 1);
}

/* Listens at a port that has connections. */
static int listen_again(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				 .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	wire_must(fd >= 0);
	wire_must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
	wire_must(bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
	wire_must(listen(fd, 128) == 0);
	return fd;
}

static int again; /* what is listened to after `told` */

/* Takes one connection, with one call at a time, and no more before it is told. */
static void *deaf_peer(void *unused)
{
	struct wire_h2 *c = accept_on(listening), *next;

	(void)unused;
	(void)close(listening);
	wire_h2_send(c, NGHTTP2_SETTINGS, 0, 0, one_at_a_time, sizeof one_at_a_time);
	expect_request(c, 1, "GET");
	wire_must(sem_wait(&told) == 0);
	next = accept_on(again);
	wire_h2_send(next, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
	for (uint32_t id = 1; id <= 3; id += 2) {
		expect_request(next, id, "GET");
		wire_h2_head(next, id, true, WIRE_LINES(":status: 204"));
	}
	wire_h2_head(c, 1, true, WIRE_LINES(":status: 204"));
	end_both(c, next);
	return NULL;
}

static void open_again(void)
{
	again = listen_again();
	wire_must(sem_post(&told) == 0);
}

static void allow_another_listener(void)
{
	int on = 1;

	wire_must(setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
	wire_must(sem_init(&told, 0, 0) == 0);
	/* A name: the attempt to connect fails later, when others wait. */
	host = "localhost";
}

static void calls_that_wait_get_on_when_the_next_connection_opens(void **state)
{
	(void)state;
	allow_another_listener();
	when_failed = open_again;
	run(deaf_peer, 4, "GET", NULL);
	listening = again;
	assert_int_equal(trials[1].code, -ECONNREFUSED);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(trials[i].response.status, i == 1 ? 0 : 204);
	assert_int_equal(seen.connect_failures, 1);
}

static void *busy_peer(void *unused)
{
	struct wire_h2 *c = accept_on(listening);

	(void)unused;
	(void)close(listening);
	wire_h2_send(c, NGHTTP2_SETTINGS, 0, 0, one_at_a_time, sizeof one_at_a_time);
	expect_request(c, 1, "GET");
	for (unsigned i = 0; i < CALLS - 1; i++)
		wire_must(sem_wait(&told) == 0);
	wire_h2_head(c, 1, true, WIRE_LINES(":status: 204"));
	while (wire_h2_next(c))
		;
	wire_h2_close(c);
	return NULL;
}

static void tell(void)
{
	wire_must(sem_post(&told) == 0);
}

/* Nobody waits for a third one. */
static void calls_that_wait_fail_with_the_second_connection(void **state)
{
	(void)state;
	allow_another_listener();
	when_failed = tell;
	run(busy_peer, CALLS, "GET", NULL);
	listening = wire_listen(&port, 0);
	assert_int_equal(trials[0].response.status, 204);
	for (size_t i = 1; i < CALLS; i++)
		assert_int_equal(trials[i].code, -ECONNREFUSED);
	assert_int_equal(seen.connect_failures, 2);
}

static void *silent_peer(void *unused)
{
	struct wire_h2 *c = answer_preface(NULL, 0);

	(void)unused;
	expect_request(c, 1, "GET");
	wire_h2_expect_code(c, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
	while (wire_h2_next(c))
		;
	wire_h2_close(c);
	return NULL;
}

static void a_head_that_does_not_come_is_a_timeout(void **state)
{
	(void)state;
	options.response_header_timeout_ms = 50;
	run(silent_peer, 1, "GET", NULL);
	assert_int_equal(trials[0].code, -ETIMEDOUT);
}

static void *large_peer(void *unused)
{
	struct wire_h2 *c = answer_preface(NULL, 0);
	static char line[9000] = "x-long: ";

	(void)unused;
	memset(line + 8, 'a', sizeof line - 9);
	expect_request(c, 1, "GET");
	wire_h2_head(c, 1, true, WIRE_LINES(":status: 200", line, line));
	while (wire_h2_next(c))
		;
	wire_h2_close(c);
	return NULL;
}

static void a_head_that_is_too_large_is_refused(void **state)
{
	(void)state;
	run(large_peer, 1, "GET", NULL);
	assert_int_equal(trials[0].code, -EPROTO);
}

static void *farewell_peer(void *unused)
{
	struct wire_h2 *c = answer_preface(NULL, 0);

	(void)unused;
	expect_request(c, 1, "GET");
	wire_h2_head(c, 1, true, WIRE_LINES(":status: 204"));
	wire_h2_expect_code(c, NGHTTP2_GOAWAY, 0, NGHTTP2_NO_ERROR);
	wire_must(!wire_h2_next(c));
	wire_h2_close(c);
	return NULL;
}

static void a_connection_is_not_kept_where_enough_are_idle(void **state)
{
	(void)state;
	options.idle_max = 0;
	patient = true;
	run(farewell_peer, 1, "GET", NULL);
	assert_int_equal(trials[0].response.status, 204);
	assert_int_equal(seen.idle_refused, 1);
	assert_int_equal(seen.idle, 0);
}

static void *dead_peer(void *unused)
{
	struct wire_h2 *c = answer_preface(NULL, 0);

	(void)unused;
	expect_request(c, 1, "PATCH");
	wire_h2_expect(c, NGHTTP2_PING, 0);
	wire_must(!wire_h2_next(c));
	wire_h2_close(c);
	return NULL;
}

static void a_server_that_answers_no_probe_is_left(void **state)
{
	(void)state;
	options.read_idle_timeout_ms = 20;
	options.ping_timeout_ms = 20;
	patient = true;
	run(dead_peer, 1, "PATCH", NULL);
	assert_int_equal(trials[0].code, -ECONNRESET);
	assert_int_equal(seen.h2_lost, 1);
}

static void *slow_peer(void *unused)
{
	struct wire_h2 *c = answer_preface(NULL, 0);

	(void)unused;
	expect_request(c, 1, "PATCH");
	for (unsigned i = 0; i < 3; i++) {
		wire_h2_expect(c, NGHTTP2_PING, 0);
		wire_h2_send(c, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, c->payload, c->n);
	}
	wire_h2_head(c, 1, true, WIRE_LINES(":status: 204"));
	while (wire_h2_next(c))
		;
	wire_h2_close(c);
	return NULL;
}

static void a_server_that_answers_probes_may_take_its_time(void **state)
{
	(void)state;
	options.read_idle_timeout_ms = 20;
	/* A loaded machine must not be taken for a dead server. */
	options.ping_timeout_ms = WIRE_PATIENCE_MS;
	run(slow_peer, 1, "PATCH", NULL);
	assert_int_equal(trials[0].response.status, 204);
	assert_int_equal(seen.h2_lost, 0);
	assert_int_equal(seen.idle, 1);
}

static struct transport signal_io;
static int signal_pair[2];

static void *goodbye_peer(void *unused)
{
	struct wire_h2 *c = answer_preface(NULL, 0), *next;

	(void)unused;
	expect_request(c, 1, "PATCH");
	expect_request(c, 3, "PATCH");
	wire_h2_head(c, 1, true, WIRE_LINES(":status: 204"));
	wire_must(sem_wait(&answered) == 0);
	/* Both are there before the client looks, in this order. */
	wire_send(signal_pair[1], "x");
	wire_h2_send(c, NGHTTP2_GOAWAY, 0, 0, "\0\0\0\3\0\0\0\0", 8);
	wire_must(sem_post(&told) == 0);
	next = answer_preface(NULL, 0);
	expect_request(next, 1, "PATCH");
	wire_h2_head(next, 1, true, WIRE_LINES(":status: 204"));
	/* Not even a reset of the stream that was not begun here. */
	wire_h2_sync(c);
	wire_h2_sync(c);
	wire_h2_head(c, 3, true, WIRE_LINES(":status: 204"));
	wire_must(!wire_h2_next(c));
	while (wire_h2_next(next))
		;
	wire_h2_close(next);
	wire_h2_close(c);
	return NULL;
}

static void on_signal_closed(struct transport *t)
{
	(void)t;
}

static void on_signal(struct transport *t, int events)
{
	(void)events;
	transport_watch(t, 0);
	begin(&trials[2], "PATCH", "/x?y", NULL);
}

/* A reset of a stream that the server had never seen ended its connection, and all calls on it. */
static void what_is_not_sent_yet_goes_elsewhere_when_the_server_leaves(void **state)
{
	pthread_t thread;

	(void)state;
	wire_must(sem_init(&answered, 0, 0) == 0 && sem_init(&told, 0, 0) == 0);
	wire_must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, signal_pair) ==
		  0);
	wire_must(client_create(&client, &loop, SLICE("127.0.0.1"), port, &options, NULL) == 0);
	wire_must(pthread_create(&thread, NULL, goodbye_peer, NULL) == 0);
	wire_must(transport_open(&signal_io, &loop, signal_pair[0], on_signal) == 0);
	transport_watch(&signal_io, TRANSPORT_READABLE);
	count = 1;
	begin(&trials[0], "PATCH", "/x?y", NULL);
	begin(&trials[1], "PATCH", "/x?y", NULL);
	loop_run(&loop);
	/* The kernel forgets that the connection was ready: the signal comes first. */
	(void)uv_run(&loop.uv, UV_RUN_NOWAIT);
	wire_must(sem_post(&answered) == 0 && sem_wait(&told) == 0);
	count = 3;
	loop_run(&loop);
	transport_close(&signal_io, on_signal_closed);
	client_destroy(&client);
	(void)uv_run(&loop.uv, UV_RUN_NOWAIT);
	wire_must(pthread_join(thread, NULL) == 0);
	wire_must(client_create(&client, &loop, SLICE("127.0.0.1"), port, &options, NULL) == 0);
	(void)close(signal_pair[1]);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(trials[i].response.status, 204);
		assert_int_equal(trials[i].call.retried, i == 2);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_call_and_its_response),
		TEST(calls_share_a_connection),
		TEST(a_connection_without_numbers_for_streams_is_followed_by_another),
		TEST(what_a_leaving_server_has_not_seen_is_repeated),
		TEST(what_was_reset_is_not_repeated),
		TEST(a_broken_response_is_no_whole_one),
		TEST(a_connection_that_ends_ends_its_calls),
		TEST(calls_that_wait_fail_with_their_connection),
		TEST(a_call_that_waits_takes_the_place_of_one_that_has_ended),
		TEST(settings_are_not_waited_for_without_limit),
		TEST(a_connection_whose_first_call_cannot_be_sent_is_idle),
		TEST(calls_that_wait_get_on_when_the_next_connection_opens),
		TEST(calls_that_wait_fail_with_the_second_connection),
		TEST(a_head_that_does_not_come_is_a_timeout),
		TEST(a_head_that_is_too_large_is_refused),
		TEST(a_connection_is_not_kept_where_enough_are_idle),
		TEST(a_server_that_answers_no_probe_is_left),
		TEST(what_is_not_sent_yet_goes_elsewhere_when_the_server_leaves),
		TEST(a_server_that_answers_probes_may_take_its_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
