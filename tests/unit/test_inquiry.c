#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/inquiry.h"
#include "wire.h"

static struct loop loop;
static struct client *client;
static struct arena arena;
static struct inquiry inquiry;
static struct spool content;
static uint16_t port;
static int listening;
static unsigned answers;

/* What the server says to the one request that it gets; NULL: nothing, until the client is gone. */
static const char *script;

static void *serve(void *unused)
{
	int fd = wire_accept(listening);
	char bytes[4096];
	ssize_t n = recv(fd, bytes, sizeof bytes, 0);

	(void)unused;
	wire_must(n > 0);
	if (script != NULL)
		wire_send(fd, script);
	while (script == NULL && n > 0)
		n = recv(fd, bytes, sizeof bytes, 0);
	(void)close(fd);
	return NULL;
}

static void on_answered(struct inquiry *q)
{
	assert_ptr_equal(q, &inquiry);
	answers++;
	loop_stop(&loop);
}

static void prepare(uint64_t timeout_ms, uint64_t body_bytes_max)
{
	inquiry = (struct inquiry){.loop = &loop,
				   .arena = &arena,
				   .target = SLICE("/x"),
				   .body_bytes_max = body_bytes_max,
				   .timeout_ms = timeout_ms,
				   .queue_bytes = 65536,
				   .answered = on_answered};
	inquiry.request = (struct request){
		.method = SLICE("GET"), .method_id = METHOD_GET, .version = HTTP_1_1};
	fields_init(&inquiry.request.fields, &arena);
	assert_int_equal(fields_add_id(&inquiry.request.fields, FIELD_HOST, SLICE("a")), 0);
	answers = 0;
}

static void ask(const char *answer)
{
	pthread_t thread;

	script = answer;
	assert_int_equal(pthread_create(&thread, NULL, serve, NULL), 0);
	inquiry_start(&inquiry, client);
	while (answers == 0)
		loop_run(&loop);
	assert_int_equal(answers, 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void expect(const char *answer, uint64_t timeout_ms, uint64_t max, int code,
		   const char *body)
{
	prepare(timeout_ms, max);
	ask(answer);
	assert_int_equal(inquiry.code, code);
	if (code == 0)
		assert_true(slice_equal(spool_memory(&inquiry.body), slice_from(body)));
	inquiry_stop(&inquiry);
	inquiry_stop(&inquiry);
}

static void answers_are_read_to_their_end(void **state)
{
	(void)state;
	expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 20000, 5, 0, "hello");
	expect("HTTP/1.1 403 No\r\nTransfer-Encoding: "
	       "chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n",
	       20000, 5, 0, "abcde");
	expect("HTTP/1.1 200 OK\r\n\r\nto the end", 20000, 100, 0, "to the end");
	expect("HTTP/1.1 204 No\r\n\r\n", 20000, 0, 0, "");
}

static void there_is_always_one_answer(void **state)
{
	(void)state;
	expect("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello!", 20000, 5, -EFBIG, NULL);
	expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello!\r\n", 20000, 5,
	       -EFBIG, NULL);
	expect("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhell", 20000, 9, -ECONNRESET, NULL);
	expect("nonsense\r\n\r\n", 20000, 9, -EPROTO, NULL);
}

/* A server that says nothing. */
static void time_is_limited(void **state)
{
	(void)state;
	expect(NULL, 30, 5, -ETIMEDOUT, NULL);
}

static void nobody_listens(void **state)
{
	(void)state;
	prepare(20000, 5);
	(void)close(listening);
	listening = -1;
	inquiry_start(&inquiry, client);
	while (answers == 0)
		loop_run(&loop);
	assert_int_equal(inquiry.code, -ECONNREFUSED);
	inquiry_stop(&inquiry);
}

static void on_answered_and_done(struct inquiry *q)
{
	on_answered(q);
	inquiry_stop(q);
	client_destroy(&client);
}

static void ask_and_destroy(const char *host, int code)
{
	const struct client_options none = {.connections_max = 1};

	client_destroy(&client);
	assert_int_equal(client_create(&client, &loop, slice_from(host), port, &none, NULL), 0);
	prepare(20000, 5);
	inquiry.answered = on_answered_and_done;
	inquiry_start(&inquiry, client);
	while (answers == 0)
		loop_run(&loop);
	assert_null(client);
	assert_int_equal(inquiry.code, code);
}

/* Without a socket nothing holds the client, which was read once more. */
static void who_asks_may_end_the_client_when_it_is_told(void **state)
{
	static const char name[] =
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid";

	(void)state;
	ask_and_destroy(name, -EHOSTUNREACH);
	(void)close(listening);
	listening = -1;
	assert_int_equal(client_create(&client, &loop, SLICE("127.0.0.1"), port,
				       &(struct client_options){0}, NULL),
			 0);
	ask_and_destroy("127.0.0.1", -ECONNREFUSED);
	/* No room for a connection. */
	assert_int_equal(client_create(&client, &loop, SLICE("127.0.0.1"), port,
				       &(struct client_options){0}, NULL),
			 0);
	prepare(20000, 5);
	inquiry.answered = on_answered_and_done;
	inquiry_start(&inquiry, client);
	assert_null(client);
	assert_int_equal(inquiry.code, -EBUSY);
	(void)uv_run(&loop.uv, UV_RUN_NOWAIT);
}

/* Whoever gives up is not told any more. */
static void what_is_given_up_is_not_answered(void **state)
{
	pthread_t thread;

	(void)state;
	script = NULL;
	prepare(20000, 5);
	assert_int_equal(pthread_create(&thread, NULL, serve, NULL), 0);
	inquiry.content = &content;
	inquiry.request.framing = FRAMING_LENGTH;
	inquiry.request.content_length = content.n;
	inquiry_start(&inquiry, client);
	for (int i = 0; i < 5; i++)
		(void)uv_run(&loop.uv, UV_RUN_NOWAIT);
	inquiry_stop(&inquiry);
	inquiry_stop(&inquiry);
	/* The server wants a connection with a byte on it. */
	int fd = wire_connect(port, 0);

	wire_send(fd, "x");
	(void)shutdown(fd, SHUT_WR);
	assert_int_equal(pthread_join(thread, NULL), 0);
	(void)close(fd);
	assert_int_equal(answers, 0);
}

static int set_up(void **state)
{
	const struct client_options options = {
		.idle_max = 10,
		.connections_max = 10,
		.head = {.head_bytes_max = 65536, .fields_max = 100}};

	(void)state;
	listening = wire_listen(&port, 0);
	arena_init(&arena, 4096, 1 << 20);
	spool_init(&content);
	return loop_init(&loop, (size_t)8 << 20) < 0 || spool_add(&content, SLICE("content")) < 0 ||
	       client_create(&client, &loop, SLICE("127.0.0.1"), port, &options, NULL) < 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (client != NULL)
		client_destroy(&client);
	loop_close(&loop);
	spool_free(&content);
	arena_free(&arena);
	if (listening >= 0)
		(void)close(listening);
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answers_are_read_to_their_end),
		TEST(there_is_always_one_answer),
		TEST(time_is_limited),
		TEST(nobody_listens),
		TEST(who_asks_may_end_the_client_when_it_is_told),
		TEST(what_is_given_up_is_not_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
