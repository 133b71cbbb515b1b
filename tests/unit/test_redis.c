#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/clock.h"
#include "redis/cluster.h"
#include "wire.h"

#define MANY 300u
/* As many as one connection may have in flight. */
#define PIPELINE 128u

static struct loop loop;
static struct arena arena;
static struct redis_client *client;
static struct redis_counters counters;
static struct redis_options options;
static int listening;
static uint16_t port;
static unsigned expected; /* answers, until the loop stops */
static bool runs;

/* One query and what came of it. */
struct ask {
	struct redis_query query;
	unsigned answers;
	int code, type;
	long long integer;
	size_t elements;
	char text[64];
};

static void on_done(struct redis_query *q, int code, const struct redisReply *reply)
{
	struct ask *a = container_of(q, struct ask, query);
	slice text = redis_reply_text(reply);

	a->answers++;
	a->code = code;
	a->type = reply != NULL ? reply->type : 0;
	a->integer = reply != NULL ? reply->integer : 0;
	a->elements = reply != NULL ? reply->elements : 0;
	(void)snprintf(a->text, sizeof a->text, "%.*s", SLICE_ARG(text));
	if (--expected == 0 && runs)
		loop_stop(&loop);
}

static void start(struct ask *a, const char *word)
{
	const slice parts[] = {SLICE("ECHO"), slice_from(word)};

	*a = (struct ask){.query.done = on_done};
	a->query.command = redis_command(&arena, parts, 2);
	assert_non_null(a->query.command.p);
	redis_query_start(&a->query, client);
}

/* Until so many answers have come since `expected` was set. */
static void finish(void)
{
	runs = true;
	while (expected > 0)
		loop_run(&loop);
	runs = false;
}

static void expect(struct ask *a, const char *word)
{
	expected = 1;
	start(a, word);
	finish();
	assert_int_equal(a->answers, 1);
}

static void open_client(void)
{
	assert_int_equal(loop_init(&loop, 1 << 20), 0);
	arena_init(&arena, 4096, SIZE_MAX);
	counters = (struct redis_counters){0};
	assert_int_equal(redis_client_create(&client, &loop, &options, &counters), 0);
}

static int set_up(void **state)
{
	(void)state;
	listening = wire_listen(&port, 0);
	options = (struct redis_options){.host = SLICE("127.0.0.1"),
					 .port = port,
					 .connections_max = 1,
					 .queries_max = 1000,
					 .dial_timeout_ms = 20000,
					 .read_timeout_ms = 20000,
					 .write_timeout_ms = 20000};
	open_client();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (client != NULL)
		redis_client_destroy(&client);
	loop_close(&loop);
	assert_int_equal(counter_get(&counters.open), 0);
	assert_int_equal(counter_get(&counters.waiting), 0);
	assert_int_equal(counter_get(&counters.in_flight), 0);
	arena_free(&arena);
	if (listening >= 0)
		(void)close(listening);
	return 0;
}

/* The server's side. */

static FILE *open_peer(int fd)
{
	FILE *peer = fdopen(dup(fd), "r");

	wire_must(peer != NULL);
	return peer;
}

/* One command, its words with blanks between. Returns false at the client's end. */
static bool read_command(FILE *peer, struct str *words)
{
	int count = 0, bytes;

	str_clear(words);
	if (fscanf(peer, "*%d\r\n", &count) != 1)
		return false;
	for (int i = 0; i < count; i++) {
		char *to;

		wire_must(fscanf(peer, "$%d", &bytes) == 1);
		wire_must(fgetc(peer) == '\r' && fgetc(peer) == '\n');
		if (i > 0)
			str_add_char(words, ' ');
		to = str_reserve(words, (size_t)bytes);
		wire_must(to != NULL && fread(to, 1, (size_t)bytes, peer) == (size_t)bytes);
		str_commit(words, (size_t)bytes);
		wire_must(fgetc(peer) == '\r' && fgetc(peer) == '\n');
	}
	return true;
}

struct round {
	unsigned commands;  /* that are read first */
	const char *answer; /* NULL: every command's last word is echoed */
	enum { WHOLE, SLOWLY } how;
	enum { STAY, CLOSE, RESET } then; /* STAY: until the client goes */
};

/* What the server does with one connection after the other. */
struct play {
	const struct round *rounds;
	size_t count;
	pthread_t thread;
	struct str heard; /* all commands, one on each line */
};

static void echo(int fd, const struct str *words)
{
	const char *blank = memrchr(words->p, ' ', words->n);
	slice word = blank != NULL ? slice_from_at(str_slice(words), (size_t)(blank + 1 - words->p))
				   : str_slice(words);
	struct str out = {0};

	str_format(&out, "$%zu\r\n%.*s\r\n", word.n, SLICE_ARG(word));
	(void)wire_send_bytes(fd, out.p, out.n);
	str_free(&out);
}

static void serve_round(struct play *p, const struct round *r, int fd, FILE *peer)
{
	struct str words = {0};

	for (unsigned i = 0; i < r->commands && read_command(peer, &words); i++) {
		str_format(&p->heard, "%.*s\n", SLICE_ARG(str_slice(&words)));
		if (r->answer == NULL)
			echo(fd, &words);
	}
	if (r->answer != NULL && r->how == WHOLE)
		(void)wire_send_bytes(fd, r->answer, strlen(r->answer));
	for (const char *at = r->answer; at != NULL && r->how == SLOWLY && *at != '\0'; at++)
		(void)wire_send_bytes(fd, at, 1);
	str_free(&words);
}

static void *run(void *play)
{
	struct play *p = play;
	int fd = -1;
	FILE *peer = NULL;

	for (size_t i = 0; i < p->count; i++) {
		const struct round *r = &p->rounds[i];

		if (fd < 0) {
			fd = wire_accept(listening);
			peer = open_peer(fd);
		}
		serve_round(p, r, fd, peer);
		if (r->then != STAY || i + 1 == p->count) {
			while (r->then == STAY && fgetc(peer) != EOF)
				;
			(void)fclose(peer);
			if (r->then == RESET)
				wire_reset(fd);
			else
				(void)close(fd);
			fd = -1;
		}
	}
	return NULL;
}

static void begin(struct play *p, const struct round *rounds, size_t count)
{
	*p = (struct play){.rounds = rounds, .count = count};
	assert_int_equal(pthread_create(&p->thread, NULL, run, p), 0);
}

/* The client goes, too. */
static void end(struct play *p)
{
	if (client != NULL)
		redis_client_destroy(&client);
	while (uv_run(&loop.uv, UV_RUN_NOWAIT) != 0 && counter_get(&counters.open) > 0)
		;
	for (int i = 0; i < 5; i++)
		(void)uv_run(&loop.uv, UV_RUN_NOWAIT);
	assert_int_equal(pthread_join(p->thread, NULL), 0);
	str_free(&p->heard);
}

static void commands_are_counted_strings(void **state)
{
	static const char all[] = "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\na\0\r\n\r\n";
	const slice parts[] = {SLICE("SET"), SLICE(""), {"a\0\r\n", 4}};

	(void)state;
	assert_true(slice_equal(redis_command(&arena, parts, 3), slice_of(all, sizeof all - 1)));
}

/* Byte by byte, as all at once. */
static void replies_of_all_kinds(void **state)
{
	static const char all[] = "+OK\r\n-ERR no\r\n:42\r\n$-1\r\n$5\r\na\r\nbc\r\n"
				  "*3\r\n$4\r\ntrue\r\n:1\r\n*1\r\n+x\r\n";
	static const int types[] = {REDIS_REPLY_STATUS, REDIS_REPLY_ERROR,  REDIS_REPLY_INTEGER,
				    REDIS_REPLY_NIL,    REDIS_REPLY_STRING, REDIS_REPLY_ARRAY};
	static const struct round rounds[] = {{6, all, WHOLE, STAY}, {6, all, SLOWLY, STAY}};
	struct ask asks[6];
	struct play play;

	(void)state;
	begin(&play, rounds, 2);
	for (int round = 0; round < 2; round++) {
		expected = 6;
		for (int i = 0; i < 6; i++)
			start(&asks[i], "x");
		finish();
		for (int i = 0; i < 6; i++) {
			assert_int_equal(asks[i].code, 0);
			assert_int_equal(asks[i].type, types[i]);
		}
		assert_string_equal(asks[0].text, "OK");
		assert_string_equal(asks[1].text, "ERR no");
		assert_int_equal(asks[2].integer, 42);
		assert_string_equal(asks[4].text, "a\r\nbc");
		assert_int_equal(asks[5].elements, 3);
	}
	assert_int_equal(counter_get(&counters.connections), 1);
	assert_int_equal(counter_get(&counters.errors), 2);
	end(&play);
}

/* More than one connection may have in flight, some of them given up in between: each gets its own
 * answer. */
static void queries_are_pipelined_in_order(void **state)
{
	static const struct round rounds[] = {{MANY, NULL, WHOLE, STAY}};
	static struct ask asks[MANY];
	struct play play;
	char word[16];

	(void)state;
	expected = MANY - MANY / 3;
	for (unsigned i = 0; i < MANY; i++) {
		(void)snprintf(word, sizeof word, "w%u", i);
		start(&asks[i], word);
	}
	assert_int_equal(counter_get(&counters.waiting), MANY);
	begin(&play, rounds, 1);
	while (counter_get(&counters.in_flight) == 0)
		(void)uv_run(&loop.uv, UV_RUN_ONCE);
	/* Some wait, some are sent; those that had an answer within that turn are lucky. */
	for (unsigned i = 0; i < MANY; i += 3) {
		expected += asks[i].answers;
		redis_query_cancel(&asks[i].query);
	}
	finish();
	for (unsigned i = 0; i < MANY; i++) {
		(void)snprintf(word, sizeof word, "w%u", i);
		assert_in_range(asks[i].answers, i % 3 != 0, 1);
		if (asks[i].answers > 0)
			assert_string_equal(asks[i].text, word);
	}
	assert_int_equal(counter_get(&counters.failed), 0);
	end(&play);
}

static void replies_that_are_none(void **state)
{
	static const char *const bad[] = {
		"nonsense\r\n",
		"*1000000000\r\n",
		"*17\r\n",
		":1\r\n:2\r\n",
		"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const struct round rounds[] = {
			{1, NULL, WHOLE, STAY}, {1, bad[i], WHOLE, STAY}, {1, bad[i], WHOLE, STAY}};
		const struct round again[] = {rounds[1]};
		struct play first, second;
		struct ask a;

		begin(&first, rounds, 2);
		expect(&a, "proof");
		assert_int_equal(a.code, 0);
		expected = 1;
		start(&a, "x");
		/* What is no reply ends the connection; the query is asked once more. */
		while (counter_get(&counters.lost) + a.answers == 0)
			(void)uv_run(&loop.uv, UV_RUN_ONCE);
		begin(&second, again, 1);
		finish();
		assert_int_equal(pthread_join(first.thread, NULL), 0);
		str_free(&first.heard);
		if (a.code != (bad[i][0] == ':' ? 0 : -EPROTO))
			fail_msg("%s: %d", bad[i], a.code);
		/* After a reply too many the next connection was not needed. */
		if (a.code == 0) {
			int fd = wire_connect(port, 0);

			wire_send(fd, "*0\r\n");
			(void)close(fd);
		}
		end(&second);
		loop_close(&loop);
		arena_free(&arena);
		open_client();
	}
}

/* 70000 bytes that are announced as more. */
static void long_replies_are_refused(void **state)
{
	static char text[70000];
	static const struct round rounds[] = {{1, text, WHOLE, STAY}};
	struct play play;
	struct ask a;

	(void)state;
	memset(text, 'x', sizeof text - 1);
	memcpy(text, "$512000000\r\n", 12);
	begin(&play, rounds, 1);
	expect(&a, "x");
	assert_int_equal(a.code, -EPROTO);
	end(&play);
}

static void what_is_lost_is_sent_once_more(void **state)
{
	static const struct round rounds[] = {{1, NULL, WHOLE, STAY},
					      {2, "", WHOLE, CLOSE},
					      {1, NULL, WHOLE, STAY},
					      {1, "", WHOLE, RESET},
					      {1, NULL, WHOLE, STAY}};
	struct play play;
	struct ask a, b;

	(void)state;
	begin(&play, rounds, ARRAY_LEN(rounds));
	expect(&a, "proof");
	expected = 2;
	start(&a, "a");
	start(&b, "b");
	finish();
	/* The second time the server has answered one of them. */
	assert_string_equal(a.text, "a");
	assert_int_equal(b.code, -ECONNRESET);
	assert_int_equal(counter_get(&counters.repeated), 2);
	expect(&a, "c");
	assert_string_equal(a.text, "c");
	end(&play);
}

/* What was sent is given up by then, so that nothing is sent again that would open another. */
static void who_waits_is_not_forgotten(void **state)
{
	static const struct round rounds[] = {
		{1, NULL, WHOLE, STAY}, {PIPELINE, "", WHOLE, CLOSE}, {2, NULL, WHOLE, STAY}};
	static struct ask asks[PIPELINE + 2];
	struct play play;
	struct ask a;

	(void)state;
	begin(&play, rounds, ARRAY_LEN(rounds));
	expect(&a, "proof");
	expected = 2;
	for (unsigned i = 0; i < PIPELINE + 2; i++)
		start(&asks[i], "x");
	assert_int_equal(counter_get(&counters.waiting), 2);
	for (unsigned i = 0; i < PIPELINE; i++)
		redis_query_cancel(&asks[i].query);
	finish();
	assert_int_equal(asks[PIPELINE].code + asks[PIPELINE + 1].code, 0);
	assert_int_equal(counter_get(&counters.connections), 2);
	end(&play);
}

/* The connection has proved nothing: they need not wait for the next one. */
static void who_waits_fails_with_the_others(void **state)
{
	static const struct round rounds[] = {{PIPELINE, "", WHOLE, CLOSE}};
	static struct ask asks[PIPELINE + 2];
	struct play play;

	(void)state;
	expected = 2;
	for (unsigned i = 0; i < PIPELINE + 2; i++)
		start(&asks[i], "x");
	begin(&play, rounds, ARRAY_LEN(rounds));
	while (counter_get(&counters.in_flight) == 0)
		(void)uv_run(&loop.uv, UV_RUN_ONCE);
	for (unsigned i = 0; i < PIPELINE; i++)
		redis_query_cancel(&asks[i].query);
	finish();
	assert_int_equal(asks[PIPELINE].code, -ECONNRESET);
	assert_int_equal(asks[PIPELINE + 1].code, -ECONNRESET);
	end(&play);
}

static void time_is_limited(void **state)
{
	static const struct round rounds[] = {{1, "", WHOLE, STAY}};
	struct play play;
	struct ask a;

	(void)state;
	options.read_timeout_ms = 30;
	begin(&play, rounds, 1);
	expect(&a, "x");
	assert_int_equal(a.code, -ETIMEDOUT);
	assert_int_equal(counter_get(&counters.timeouts), 1);
	assert_int_equal(counter_get(&counters.open), 0);
	end(&play);
}

/* A server that logs nobody in. */
static void connecting_is_limited(void **state)
{
	static const struct round rounds[] = {{1, "", WHOLE, STAY}};
	struct play play;
	struct ask a;

	(void)state;
	options.dial_timeout_ms = 30;
	options.password = SLICE("x");
	begin(&play, rounds, 1);
	expect(&a, "x");
	assert_int_equal(a.code, -ETIMEDOUT);
	while (counter_get(&counters.connect_failures) == 0)
		(void)uv_run(&loop.uv, UV_RUN_ONCE);
	end(&play);
}

/* A server that accepts slowly is no server that has failed. */
static void a_full_queue_is_waited_for(void **state)
{
	static const struct round rounds[] = {{1, NULL, WHOLE, STAY}};
	struct wire_queue queue;
	struct play play;
	struct ask a;

	(void)state;
	wire_queue_fill(&queue);
	options.host = slice_from(queue.at.sun_path);
	expected = 1;
	start(&a, "x");
	assert_int_equal(a.answers, 0);
	wire_queue_empty(&queue);
	(void)close(listening);
	listening = queue.fd;
	begin(&play, rounds, 1);
	finish();
	assert_int_equal(a.code, 0);
	assert_string_equal(a.text, "x");
	assert_int_equal(counter_get(&counters.connect_failures), 0);
	end(&play);
}

static void a_full_queue_is_waited_for_until_dial_timeout(void **state)
{
	struct wire_queue queue;
	struct ask a;

	(void)state;
	wire_queue_fill(&queue);
	options.host = slice_from(queue.at.sun_path);
	options.dial_timeout_ms = 30;
	expect(&a, "x");
	assert_int_equal(a.code, -ETIMEDOUT);
	while (counter_get(&counters.connect_failures) == 0)
		(void)uv_run(&loop.uv, UV_RUN_ONCE);
	assert_int_equal(counter_get(&counters.open), 0);
	wire_queue_empty(&queue);
	(void)close(queue.fd);
}

/* The peer reads nothing: what is to be written has a limit in time. */
static void writing_is_limited(void **state)
{
	static char word[8 << 20];
	struct ask a;
	int fd;

	(void)state;
	memset(word, 'x', sizeof word - 1);
	options.write_timeout_ms = 30;
	expected = 1;
	start(&a, word);
	fd = wire_accept(listening);
	finish();
	assert_int_equal(a.code, -ETIMEDOUT);
	(void)close(fd);
}

#define SLOW_BYTES ((size_t)16 << 20)
#define SLOW_MS 3000u
#define SLOW_PIECE 16384u

/* Reads little at a time for longer than a write may make no progress, then all the rest. */
static void *read_slowly(void *word)
{
	const char *pattern = word;
	static char bytes[1 << 16];
	int fd = wire_accept(listening);
	uint64_t since_ms = clock_mono_ms();
	size_t at = 0, total = strlen("*2\r\n$4\r\nECHO\r\n$16777215\r\n\r\n") + SLOW_BYTES - 1;
	size_t start = total - 2 - (SLOW_BYTES - 1);

	while (at < total) {
		bool slow = clock_mono_ms() - since_ms < SLOW_MS;
		ssize_t n = read(fd, bytes, slow ? SLOW_PIECE : sizeof bytes);

		if (n <= 0)
			break;
		for (size_t i = 0; i < (size_t)n; i++) {
			if (at + i >= start && at + i < total - 2)
				wire_must(bytes[i] == pattern[at + i - start]);
		}
		at += (size_t)n;
		if (slow)
			(void)usleep(10000);
	}
	if (at == total)
		(void)wire_send_bytes(fd, "+read\r\n", 7);
	while (read(fd, bytes, sizeof bytes) > 0)
		;
	(void)close(fd);
	return NULL;
}

/* Only a time in which nothing leaves is one too long. */
static void slow_readers_are_written_to(void **state)
{
	char *word = malloc(SLOW_BYTES);
	pthread_t thread;
	struct ask a;

	(void)state;
	assert_non_null(word);
	for (size_t i = 0; i + 1 < SLOW_BYTES; i++)
		word[i] = (char)('a' + i % 23);
	word[SLOW_BYTES - 1] = '\0';
	(void)close(listening);
	listening = wire_listen(&port, 1 << 16);
	options.port = port;
	options.write_timeout_ms = SLOW_MS * 2 / 3;
	options.read_timeout_ms = 60000;
	assert_int_equal(pthread_create(&thread, NULL, read_slowly, word), 0);
	expect(&a, word);
	redis_client_destroy(&client);
	for (int i = 0; i < 5; i++)
		(void)uv_run(&loop.uv, UV_RUN_NOWAIT);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(a.code, 0);
	assert_string_equal(a.text, "read");
	free(word);
}

static void nobody_listens(void **state)
{
	struct ask a;

	(void)state;
	(void)close(listening);
	listening = -1;
	for (int i = 0; i < 5; i++) {
		expect(&a, "x");
		assert_int_equal(a.code, -ECONNREFUSED);
	}
	/* The others did not even try. */
	assert_in_range(counter_get(&counters.connect_failures), 1, 4);
	assert_int_equal(counter_get(&counters.failed), 5);
}

static void the_server_learns_who_we_are(void **state)
{
	static const struct round rounds[] = {{2, "+OK\r\n+OK\r\n", WHOLE, STAY},
					      {1, NULL, WHOLE, STAY}};
	struct play play;
	struct ask a;

	(void)state;
	options.username = SLICE("me");
	options.password = SLICE("se cret");
	options.db = 12;
	begin(&play, rounds, 2);
	expect(&a, "x");
	assert_string_equal(a.text, "x");
	redis_client_destroy(&client);
	for (int i = 0; i < 5; i++)
		(void)uv_run(&loop.uv, UV_RUN_NOWAIT);
	assert_int_equal(pthread_join(play.thread, NULL), 0);
	assert_true(
		slice_equal(str_slice(&play.heard), SLICE("AUTH me se cret\nSELECT 12\nECHO x\n")));
	str_free(&play.heard);
}

static void who_is_not_let_in_asks_nothing(void **state)
{
	static const struct round rounds[] = {
		{1, "-WRONGPASS invalid username-password pair\r\n", WHOLE, STAY}};
	struct play play;
	struct ask a;

	(void)state;
	options.password = SLICE("wrong");
	begin(&play, rounds, 1);
	expect(&a, "x");
	assert_int_equal(a.code, -EACCES);
	assert_int_equal(counter_get(&counters.connect_failures), 1);
	end(&play);
}

static void too_many_are_refused(void **state)
{
	static const struct round rounds[] = {{2, NULL, WHOLE, STAY}};
	struct ask asks[3];
	struct play play;

	(void)state;
	options.queries_max = 2;
	expected = 3;
	for (int i = 0; i < 3; i++)
		start(&asks[i], "x");
	assert_int_equal(asks[2].code, -EBUSY);
	begin(&play, rounds, 1);
	finish();
	assert_int_equal(asks[0].code + asks[1].code, 0);
	assert_int_equal(counter_get(&counters.refused), 1);
	end(&play);
}

/* They go on, or are dropped, with the queries that others have given up. */
static void a_client_goes_in_the_middle(void **state)
{
	struct ask asks[3];
	int fd;

	(void)state;
	expected = 100;
	for (int i = 0; i < 3; i++)
		start(&asks[i], "x");
	fd = wire_accept(listening);
	while (counter_get(&counters.in_flight) < 3)
		(void)uv_run(&loop.uv, UV_RUN_ONCE);
	for (int i = 0; i < 3; i++)
		redis_query_cancel(&asks[i].query);
	redis_query_cancel(&asks[0].query);
	redis_client_destroy(&client);
	(void)uv_run(&loop.uv, UV_RUN_NOWAIT);
	(void)close(fd);
	for (int i = 0; i < 3; i++)
		assert_int_equal(asks[i].answers, 0);
}

static void connections_are_kept_ready(void **state)
{
	int fds[2], more;

	(void)state;
	options.connections_max = 3;
	options.idle_min = 2;
	redis_client_prepare(client);
	while (counter_get(&counters.connections) < 2)
		(void)uv_run(&loop.uv, UV_RUN_ONCE);
	for (int i = 0; i < 2; i++)
		fds[i] = wire_accept(listening);
	(void)close(fds[0]);
	while (counter_get(&counters.connections) < 3)
		(void)uv_run(&loop.uv, UV_RUN_ONCE);
	more = wire_accept(listening);
	assert_int_equal(counter_get(&counters.open), 2);
	assert_int_equal(counter_get(&counters.connect_failures), 0);
	(void)close(fds[1]);
	(void)close(more);
}

static void addresses(void **state)
{
	static const struct {
		const char *text, *host;
		uint16_t port;
		const char *why;
	} rows[] = {
		{"a.example:6379", "a.example", 6379, NULL},
		{"[::1]:1", "::1", 1, NULL},
		{":6379", "localhost", 6379, NULL},
		{"/run/redis.sock", "/run/redis.sock", 0, NULL},
		{"a", NULL, 0, "missing port"},
		{"a:0", NULL, 0, "expected a host and a port"},
		{"a:b", NULL, 0, "expected a host and a port"},
		{"", NULL, 0, "missing port"},
	};
	struct redis_options o = {.db = 0};
	struct weir_error e = {0};
	char path[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int r = redis_options_set_address(&o, slice_from(rows[i].text), &e);

		if (rows[i].why != NULL) {
			assert_int_equal(r, -EINVAL);
			assert_non_null(strstr(e.text, rows[i].why));
			continue;
		}
		assert_int_equal(r, 0);
		assert_true(slice_equal(o.host, slice_from(rows[i].host)));
		assert_int_equal(o.port, rows[i].port);
	}
	memset(path, '/', sizeof path - 1);
	path[sizeof path - 1] = '\0';
	assert_int_equal(redis_options_set_address(&o, slice_from(path), &e), -EINVAL);
}

static void servers_are_shared_by_content(void **state)
{
	struct loop *list[] = {&loop};
	const struct loop_group group = {list, 1};
	struct redis_options other = options;
	struct redis_registry *registry;
	struct redis_server *a, *b, *c;

	(void)state;
	loop.index = 0;
	assert_int_equal(redis_registry_create(&registry, &group), 0);
	other.password = SLICE("x");
	assert_int_equal(redis_server_get(&a, registry, &options), 0);
	assert_int_equal(redis_server_get(&b, registry, &options), 0);
	assert_int_equal(redis_server_get(&c, registry, &other), 0);
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	assert_ptr_equal(redis_server_client(a, &loop), redis_server_client(b, &loop));
	redis_server_release(&a);
	redis_server_release(&b);
	redis_server_release(&c);
	assert_null(b);
	redis_client_destroy(&client);
	/* Frees the parts that are left. */
	loop_close(&loop);
	redis_registry_destroy(&registry);
	assert_int_equal(loop_init(&loop, 1 << 20), 0);
}

/* The first two are of Redis' documentation. */
static void keys_have_slots(void **state)
{
	static const struct {
		const char *key, *same;
		unsigned slot;
	} rows[] = {
		{"123456789", NULL, 12739},
		{"foo", NULL, 12182},
		{"", NULL, 0},
		{"{user1000}.following", "user1000", 3443},
		{"foo{{bar}}zap", "{bar", 4015},
		{"foo{bar}{zap}", "bar", 5061},
		{"foo{}{bar}", NULL, 8363},
		{"foo{bar", NULL, 15278},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned slot = redis_slot(slice_from(rows[i].key));

		if (slot != rows[i].slot)
			fail_msg("%s: %u", rows[i].key, slot);
		if (rows[i].same != NULL)
			assert_int_equal(redis_slot(slice_from(rows[i].same)), slot);
	}
}

/* The cluster's reference is there still. */
static struct redis_server *drop(struct redis_server *s)
{
	struct redis_server *same = s;

	redis_server_release(&s);
	return same;
}

static bool asking;

static void nodes_are_learned(void **state)
{
	static const char *const none[] = {
		"",          "MOVED",      "MOVED 1",         "MOVED 1 ",     "MOVED 1 :6379",
		"MOVED 1 a", "MOVED 1 a:", "MOVED 16384 a:1", "MOVED -1 a:1", "MOVED x a:1",
		"ASK",       "ASK 1",      "ASK 16384 a:1",   "moved 1 a:1",  "ASKING 1 a:1",
	};
	const slice seeds[] = {SLICE("a:1"), SLICE("b:1"), SLICE("a:1")};
	struct loop *list[] = {&loop};
	const struct loop_group group = {list, 1};
	struct redis_registry *registry;
	struct redis_server *a, *b, *c;
	struct redis_cluster *cluster;
	struct weir_error e = {0};

	(void)state;
	assert_int_equal(redis_registry_create(&registry, &group), 0);
	assert_int_equal(redis_cluster_create(&cluster, registry, &options, seeds, 3, &e), 0);
	a = drop(redis_cluster_find(cluster, SLICE("foo")));
	b = drop(redis_cluster_redirected(cluster, SLICE("MOVED 12182 b:1"), &asking));
	assert_non_null(b);
	assert_ptr_not_equal(a, b);
	assert_ptr_equal(drop(redis_cluster_find(cluster, SLICE("foo"))), b);
	assert_ptr_equal(drop(redis_cluster_find(cluster, SLICE("bar"))), a);
	c = drop(redis_cluster_redirected(cluster, SLICE("MOVED 5061 ::1:1"), &asking));
	assert_non_null(c);
	assert_ptr_equal(drop(redis_cluster_find(cluster, SLICE("bar"))), c);
	assert_ptr_equal(drop(redis_cluster_redirected(cluster, SLICE("MOVED 0 [::1]:1"), &asking)),
			 c);
	assert_false(asking);
	/* A slot on its way is asked for elsewhere, and looked for where it was. */
	assert_ptr_equal(drop(redis_cluster_redirected(cluster, SLICE("ASK 5061 b:1"), &asking)),
			 b);
	assert_true(asking);
	assert_ptr_equal(drop(redis_cluster_find(cluster, SLICE("bar"))), c);
	/* Who fails is asked no more, neither for this nor for what is unknown. */
	assert_ptr_equal(drop(redis_cluster_instead(cluster, SLICE("foo"), b)), a);
	assert_ptr_equal(drop(redis_cluster_instead(cluster, SLICE("x"), a)), b);
	assert_ptr_equal(drop(redis_cluster_find(cluster, SLICE("foo"))), b);
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		assert_null(redis_cluster_redirected(cluster, slice_from(none[i]), &asking));
		assert_false(asking);
	}
	redis_cluster_destroy(&cluster);
	assert_null(cluster);
	/* One by itself follows nobody. */
	assert_int_equal(redis_cluster_create(&cluster, registry, &options, seeds, 1, &e), 0);
	a = drop(redis_cluster_find(cluster, SLICE("foo")));
	assert_null(redis_cluster_redirected(cluster, SLICE("MOVED 12182 b:1"), &asking));
	assert_null(redis_cluster_instead(cluster, SLICE("foo"), a));
	redis_cluster_destroy(&cluster);
	assert_int_equal(redis_cluster_create(&cluster, registry, &options, seeds, 0, &e), -EINVAL);
	assert_null(cluster);
	redis_registry_destroy(&registry);
}

static struct redis_server *moved(struct redis_cluster *cluster, unsigned slot, unsigned node)
{
	char answer[32];

	(void)snprintf(answer, sizeof answer, "MOVED %u n%u:1", slot, node);
	return redis_cluster_redirected(cluster, slice_from(answer), &asking);
}

/* However often slots move, to however many addresses one after the other. */
static void nodes_without_slots_make_room(void **state)
{
	const slice seeds[] = {SLICE("a:1"), SLICE("b:1")};
	struct loop *list[] = {&loop};
	const struct loop_group group = {list, 1};
	struct redis_registry *registry;
	struct redis_server *held, *seed;
	struct redis_cluster *cluster;
	struct weir_error e = {0};

	(void)state;
	assert_int_equal(redis_registry_create(&registry, &group), 0);
	assert_int_equal(redis_cluster_create(&cluster, registry, &options, seeds, 2, &e), 0);
	seed = drop(redis_cluster_find(cluster, SLICE("foo")));
	held = moved(cluster, 1, 0);
	assert_non_null(redis_server_client(held, &loop));
	for (unsigned i = 1; i < 3 * REDIS_NODES_MAX; i++)
		assert_non_null(drop(moved(cluster, 1, i)));
	/* It was forgotten, but not by who asks it, whose client is there still. */
	assert_non_null(redis_server_client(held, &loop));
	assert_ptr_equal(drop(redis_cluster_find(cluster, SLICE("foo"))), seed);
	/* Those that were configured have no slot, but their place. */
	for (unsigned i = 0; i < REDIS_NODES_MAX; i++) {
		struct redis_server *s = moved(cluster, i, 1000 + i);

		assert_int_equal(s != NULL, i < REDIS_NODES_MAX - 2);
		redis_server_release(&s);
	}
	assert_non_null(drop(moved(cluster, 7, 1000)));
	assert_non_null(drop(moved(cluster, 8, 2000)));
	assert_non_null(drop(moved(cluster, 300, 2001)));
	assert_null(moved(cluster, 301, 2002));
	redis_cluster_destroy(&cluster);
	redis_server_release(&held);
	for (int i = 0; i < 5; i++)
		(void)uv_run(&loop.uv, UV_RUN_NOWAIT);
	redis_registry_destroy(&registry);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(commands_are_counted_strings),
		TEST(replies_of_all_kinds),
		TEST(queries_are_pipelined_in_order),
		TEST(replies_that_are_none),
		TEST(long_replies_are_refused),
		TEST(what_is_lost_is_sent_once_more),
		TEST(who_waits_is_not_forgotten),
		TEST(who_waits_fails_with_the_others),
		TEST(time_is_limited),
		TEST(connecting_is_limited),
		TEST(a_full_queue_is_waited_for),
		TEST(a_full_queue_is_waited_for_until_dial_timeout),
		TEST(writing_is_limited),
		TEST(slow_readers_are_written_to),
		TEST(nobody_listens),
		TEST(the_server_learns_who_we_are),
		TEST(who_is_not_let_in_asks_nothing),
		TEST(too_many_are_refused),
		TEST(a_client_goes_in_the_middle),
		TEST(connections_are_kept_ready),
		TEST(addresses),
		TEST(servers_are_shared_by_content),
		TEST(keys_have_slots),
		TEST(nodes_are_learned),
		TEST(nodes_without_slots_make_room),
	};

	/* A wait for what does not come ends, too. */
	(void)alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
