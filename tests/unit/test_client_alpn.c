#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/client.h"
#include "tls_peer.h"
#include "wire_h2.h"

/* A client of https servers: which protocol is offered, and what follows from the choice. */

#define CALLS 6

struct trial {
	struct client_call call;
	struct arena arena;
	struct request request;
	struct response response;
	struct fields trailers;
	struct body in, out;
	int code; /* of a failure */
	bool done;
};

static struct loop loop;
static struct client *client;
static struct trial trials[CALLS];
static size_t begun, over, wanted;
static int listening;
static uint16_t port;
static struct client_options options;
static struct tls_pair pair;

static void on_over(void)
{
	if (++over == wanted)
		loop_stop(&loop);
}

static struct trial *trial_of(struct client_call *call)
{
	return container_of(call, struct trial, call);
}

static void on_failed(struct client_call *call, int code)
{
	trial_of(call)->code = code;
	on_over();
}

static void on_done(struct client_call *call)
{
	trial_of(call)->done = true;
	on_over();
}

static void on_responded(struct client_call *call)
{
	if (call->complete)
		on_done(call);
}

static struct trial *begin(const char *upgrade)
{
	struct trial *t = &trials[begun++];

	memset(t, 0, sizeof *t);
	arena_init(&t->arena, 4096, 1 << 20);
	t->request.method = SLICE("GET");
	t->request.method_id = METHOD_GET;
	fields_init(&t->request.fields, &t->arena);
	fields_init(&t->trailers, &t->arena);
	(void)fields_add_id(&t->request.fields, FIELD_HOST, SLICE("h"));
	if (upgrade != NULL) {
		t->request.upgrade = true;
		(void)fields_add_id(&t->request.fields, FIELD_CONNECTION, SLICE("Upgrade"));
		(void)fields_add_id(&t->request.fields, FIELD_UPGRADE, slice_from(upgrade));
	}
	body_init(&t->in, 65536);
	body_init(&t->out, 65536);
	body_end(&t->in);
	t->call = (struct client_call){.magic = CALL_MAGIC,
				       .request = &t->request,
				       .target = SLICE("/"),
				       .request_body = &t->in,
				       .arena = &t->arena,
				       .response = &t->response,
				       .response_body = &t->out,
				       .response_trailers = &t->trailers,
				       .responded = on_responded,
				       .failed = on_failed,
				       .done = on_done};
	client_start(client, &t->call);
	return t;
}

/* Until `n` calls in all are over. */
static void wait_for(size_t n)
{
	wanted = n;
	if (over < n)
		loop_run(&loop);
}

static uint64_t count_of(const _Atomic uint64_t *counter)
{
	return counter_get(counter);
}

/* The server's side of TLS: carries bytes between a connection and a socket on which they are
 * plain. */
struct front {
	pthread_t thread;
	SSL_CTX *context;
	SSL *ssl;
	int raw, plain;
	const char *protocols; /* in ALPN's notation */
	bool offered;          /* the client has said what it speaks */
};

static int choose(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *in,
		  unsigned in_n, void *context)
{
	struct front *f = context;
	const char *w = f->protocols;

	(void)ssl;
	f->offered = true;
	return SSL_select_next_proto((unsigned char **)(uintptr_t)out, n, (const unsigned char *)w,
				     (unsigned)strlen(w), in, in_n) == OPENSSL_NPN_NEGOTIATED
		       ? SSL_TLSEXT_ERR_OK
		       : SSL_TLSEXT_ERR_NOACK;
}

static bool carry_up(const struct front *f)
{
	char bytes[16384];
	int n;

	do {
		n = SSL_read(f->ssl, bytes, sizeof bytes);
		if (n <= 0 || !wire_send_bytes(f->plain, bytes, (size_t)n))
			return false;
	} while (SSL_pending(f->ssl) > 0);
	return true;
}

static bool carry_down(const struct front *f)
{
	char bytes[16384];
	ssize_t n = recv(f->plain, bytes, sizeof bytes, 0);

	return n > 0 && SSL_write(f->ssl, bytes, (int)n) == (int)n;
}

static void *carry(void *context)
{
	struct front *f = context;
	struct pollfd ready[2] = {{.fd = f->raw, .events = POLLIN},
				  {.fd = f->plain, .events = POLLIN}};
	bool more = true;

	while (more && poll(ready, 2, WIRE_PATIENCE_MS) > 0)
		more = (ready[0].revents == 0 || carry_up(f)) &&
		       (ready[1].revents == 0 || carry_down(f));
	ERR_clear_error();
	(void)close(f->raw);
	(void)close(f->plain);
	return NULL;
}

/* Returns the plain socket. */
static int front_open(struct front *f, const char *protocols)
{
	struct timeval patience = {.tv_sec = WIRE_PATIENCE_MS / 1000};
	int both[2];
	BIO *certificate = BIO_new_mem_buf(pair.certificate.p, (int)pair.certificate.n),
	    *key = BIO_new_mem_buf(pair.key.p, (int)pair.key.n);
	X509 *x = PEM_read_bio_X509(certificate, NULL, NULL, NULL);
	EVP_PKEY *k = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);

	f->protocols = protocols;
	f->offered = false;
	f->raw = wire_accept(listening);
	f->context = SSL_CTX_new(TLS_server_method());
	tls_must(f->context != NULL && SSL_CTX_use_certificate(f->context, x) == 1);
	tls_must(SSL_CTX_use_PrivateKey(f->context, k) == 1);
	SSL_CTX_set_alpn_select_cb(f->context, choose, f);
	f->ssl = SSL_new(f->context);
	tls_must(f->ssl != NULL && SSL_set_fd(f->ssl, f->raw) == 1 && SSL_accept(f->ssl) == 1);
	wire_must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both) == 0);
	wire_must(setsockopt(both[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
	f->plain = both[1];
	wire_must(pthread_create(&f->thread, NULL, carry, f) == 0);
	X509_free(x);
	EVP_PKEY_free(k);
	BIO_free(certificate);
	BIO_free(key);
	return both[0];
}

/* The plain socket has been closed. */
static void front_close(struct front *f)
{
	wire_must(pthread_join(f->thread, NULL) == 0);
	SSL_free(f->ssl);
	SSL_CTX_free(f->context);
}

#define BOTH "\x02h2\x08http/1.1"
#define OLD "\x08http/1.1"

static void *start(void *(*peer)(void *))
{
	pthread_t *thread = malloc(sizeof *thread);

	wire_must(thread != NULL && pthread_create(thread, NULL, peer, NULL) == 0);
	return thread;
}

/* The client goes, so that its connections end. */
static void finish(void *started)
{
	pthread_t *thread = started;

	client_destroy(&client);
	(void)uv_run(&loop.uv, UV_RUN_NOWAIT);
	wire_must(pthread_join(*thread, NULL) == 0);
	free(thread);
}

static int set_up(void **state)
{
	const struct tls_connector_settings settings = {.insecure = true};
	struct weir_error e = {0};

	(void)state;
	tls_make_pair(&pair, "h", "IP:127.0.0.1");
	begun = over = wanted = 0;
	wire_must(loop_init(&loop, (size_t)8 << 20) == 0);
	listening = wire_listen(&port, 0);
	options = (struct client_options){
		.connections_max = 100,
		.idle_max = 100,
		.idle_timeout_ms = 60000,
		.connect_timeout_ms = WIRE_PATIENCE_MS,
		.handshake_timeout_ms = WIRE_PATIENCE_MS,
		.offer_h2 = true,
		.window_bytes = 65536,
		.head = {.head_bytes_max = 16384, .fields_max = 100},
	};
	wire_must(tls_connector_create(&options.tls, &settings, &e) == 0);
	wire_must(client_create(&client, &loop, SLICE("127.0.0.1"), port, &options, NULL) == 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < begun; i++) {
		body_free(&trials[i].in);
		body_free(&trials[i].out);
		arena_free(&trials[i].arena);
	}
	loop_close(&loop);
	(void)close(listening);
	tls_connector_release(&options.tls);
	tls_pair_free(&pair);
	return 0;
}

static struct wire_h2 *answer_preface(int fd)
{
	struct wire_h2 *c = malloc(sizeof *c);

	wire_must(c != NULL);
	wire_h2_init(c, fd);
	for (size_t i = 0; i < sizeof H2_PREFACE - 1; i++)
		wire_must(wire_get(&c->r) == H2_PREFACE[i]);
	wire_h2_send(c, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
	return c;
}

static void answer_streams(struct wire_h2 *c, uint32_t first, size_t n)
{
	for (uint32_t id = first; id < first + 2 * n; id += 2) {
		wire_h2_expect(c, NGHTTP2_HEADERS, id);
		wire_must(strstr(c->fields, ":scheme: https\n") != NULL);
	}
	for (uint32_t id = first; id < first + 2 * n; id += 2)
		wire_h2_head(c, id, true, WIRE_LINES(":status: 204"));
}

static void *h2_peer(void *unused)
{
	struct front f;
	struct wire_h2 *c = answer_preface(front_open(&f, BOTH));

	answer_streams(c, 1, CALLS - 1);
	/* Once more, when all others are over. */
	answer_streams(c, 1 + 2 * (CALLS - 1), 1);
	while (wire_h2_next(c))
		;
	wire_h2_close(c);
	front_close(&f);
	return unused;
}

static void a_server_that_chooses_http2_gets_one_connection(void **state)
{
	void *peer = start(h2_peer);

	(void)state;
	while (begun < CALLS - 1)
		(void)begin(NULL);
	/* All but the first one wait for its connection. */
	assert_int_equal(count_of(&client->counters->waiting), CALLS - 2);
	assert_int_equal(client->connection_count, 1);
	wait_for(CALLS - 1);
	assert_int_equal(count_of(&client->counters->waiting), 0);
	assert_int_equal(count_of(&client->counters->idle), 1);
	(void)begin(NULL);
	assert_int_equal(count_of(&client->counters->idle), 0);
	wait_for(CALLS);
	for (size_t i = 0; i < CALLS; i++)
		assert_int_equal(trials[i].response.status, 204);
	assert_int_equal(count_of(&client->counters->tls_handshakes), 1);
	assert_int_equal(count_of(&client->counters->h2_connections), 1);
	/* All but the first one found the connection open. */
	assert_int_equal(count_of(&client->counters->reused), CALLS - 1);
	assert_int_equal(count_of(&client->counters->idle), 1);
	finish(peer);
}

/* Expects HTTP/1, and no offer unless `offered`. */
static void answer_old(const struct front *f, int fd, bool offered)
{
	struct wire_reader r = {.fd = fd};
	char head[1024];

	wire_must(f->offered == offered);
	wire_must(wire_read_head(&r, head, sizeof head));
	wire_must(strncmp(head, "GET / HTTP/1.1\r\n", 16) == 0);
	wire_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
}

static void *h1_peer(void *unused)
{
	struct front f[CALLS];
	int fds[CALLS];

	for (size_t i = 0; i < CALLS - 1; i++)
		fds[i] = front_open(&f[i], OLD);
	for (size_t i = 0; i < CALLS - 1; i++)
		answer_old(&f[i], fds[i], true);
	for (size_t i = 0; i < CALLS - 1; i++) {
		char byte;

		wire_must(recv(fds[i], &byte, 1, 0) == 0);
		(void)close(fds[i]);
		front_close(&f[i]);
	}
	return unused;
}

static void a_server_that_chooses_http1_gets_a_connection_for_each_call(void **state)
{
	void *peer = start(h1_peer);

	(void)state;
	while (begun < CALLS - 1)
		(void)begin(NULL);
	/* Until it is known, one. */
	assert_int_equal(client->connection_count, 1);
	wait_for(CALLS - 1);
	for (size_t i = 0; i < CALLS - 1; i++)
		assert_int_equal(trials[i].response.status, 204);
	assert_int_equal(count_of(&client->counters->tls_handshakes), CALLS - 1);
	assert_int_equal(count_of(&client->counters->h2_connections), 0);
	assert_int_equal(count_of(&client->counters->idle), CALLS - 1);
	assert_int_equal(client->speaks, CLIENT_SPEAKS_HTTP1);
	finish(peer);
}

static void a_server_known_for_http1_is_not_waited_for(void **state)
{
	void *peer = start(h1_peer);

	(void)state;
	client->speaks = CLIENT_SPEAKS_HTTP1;
	while (begun < CALLS - 1)
		(void)begin(NULL);
	assert_int_equal(client->connection_count, CALLS - 1);
	wait_for(CALLS - 1);
	finish(peer);
}

static void *late_h2_peer(void *unused)
{
	struct front f[2];
	struct wire_h2 *c[2];

	for (size_t i = 0; i < 2; i++)
		c[i] = answer_preface(front_open(&f[i], BOTH));
	for (size_t i = 0; i < 2; i++)
		answer_streams(c[i], 1, 1);
	for (size_t i = 0; i < 2; i++) {
		while (wire_h2_next(c[i]))
			;
		wire_h2_close(c[i]);
		front_close(&f[i]);
	}
	return unused;
}

static void a_server_that_has_changed_its_mind_is_believed(void **state)
{
	void *peer = start(late_h2_peer);

	(void)state;
	client->speaks = CLIENT_SPEAKS_HTTP1;
	(void)begin(NULL);
	(void)begin(NULL);
	wait_for(2);
	assert_int_equal(client->speaks, CLIENT_SPEAKS_HTTP2);
	assert_int_equal(count_of(&client->counters->h2_connections), 2);
	assert_int_equal(count_of(&client->counters->idle), 2);
	finish(peer);
}

static void *switching_peer(void *unused)
{
	struct front f;
	struct wire_reader r = {.fd = front_open(&f, BOTH)};
	char head[1024];

	wire_must(wire_read_head(&r, head, sizeof head));
	wire_must(!f.offered && strstr(head, "Upgrade: websocket\r\n") != NULL);
	wire_send(r.fd, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
	wire_must(recv(r.fd, head, 1, 0) == 0);
	(void)close(r.fd);
	front_close(&f);
	return unused;
}

static void upgrades_are_http1(void **state)
{
	void *peer = start(switching_peer);

	(void)state;
	/* What is expected of others makes no difference. */
	client->speaks = CLIENT_SPEAKS_HTTP2;
	(void)begin("websocket");
	wait_for(1);
	assert_int_equal(trials[0].response.status, 400);
	assert_int_equal(client->speaks, CLIENT_SPEAKS_HTTP2);
	finish(peer);
}

static void *old_peer(void *unused)
{
	struct front f;
	int fd = front_open(&f, BOTH);
	char byte;

	answer_old(&f, fd, false);
	wire_must(recv(fd, &byte, 1, 0) == 0);
	(void)close(fd);
	front_close(&f);
	return unused;
}

static void what_is_switched_off_is_not_offered(void **state)
{
	void *peer;

	(void)state;
	client_destroy(&client);
	options.offer_h2 = false;
	wire_must(client_create(&client, &loop, SLICE("127.0.0.1"), port, &options, NULL) == 0);
	peer = start(old_peer);
	(void)begin(NULL);
	wait_for(1);
	assert_int_equal(trials[0].response.status, 204);
	assert_int_equal(client->speaks, CLIENT_SPEAKS_UNKNOWN);
	finish(peer);
}

static void *rude_peer(void *unused)
{
	int fd = wire_accept(listening);
	char byte;

	/* Before that the connection would be one that could not be opened. */
	wire_must(recv(fd, &byte, 1, 0) == 1);
	wire_reset(fd);
	return unused;
}

static void those_that_wait_fail_with_the_handshake(void **state)
{
	void *peer = start(rude_peer);

	(void)state;
	while (begun < CALLS)
		(void)begin(NULL);
	wait_for(CALLS);
	for (size_t i = 0; i < CALLS; i++)
		assert_int_equal(trials[i].code, -ECONNRESET);
	assert_int_equal(count_of(&client->counters->tls_failures), 1);
	assert_int_equal(count_of(&client->counters->waiting), 0);
	finish(peer);
}

static void *patient_peer(void *unused)
{
	struct front f;
	struct wire_h2 *c = answer_preface(front_open(&f, BOTH));

	answer_streams(c, 1, 1);
	while (wire_h2_next(c))
		;
	wire_h2_close(c);
	front_close(&f);
	return unused;
}

static void a_call_that_leaves_gives_its_connection_to_the_next(void **state)
{
	struct trial *first, *second;
	void *peer;

	(void)state;
	first = begin(NULL);
	second = begin(NULL);
	(void)begin(NULL);
	client_cancel(&first->call);
	client_cancel(&second->call);
	assert_int_equal(count_of(&client->counters->waiting), 0);
	assert_int_equal(client->connection_count, 1);
	peer = start(patient_peer);
	wait_for(1);
	assert_int_equal(trials[2].response.status, 204);
	finish(peer);
}

static void *leaving_peer(void *unused)
{
	struct front f;
	struct wire_h2 *c = answer_preface(front_open(&f, BOTH));

	answer_streams(c, 1, 1);
	wire_h2_send(c, NGHTTP2_GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0", 8);
	while (wire_h2_next(c))
		;
	wire_h2_close(c);
	front_close(&f);
	return unused;
}

/* TLS sessions are kept of HTTP/2 connections, too. */
static void a_server_that_leaves_is_met_again_with_its_session(void **state)
{
	void *peer = start(leaving_peer);

	(void)state;
	(void)begin(NULL);
	wait_for(1);
	while (client->connection_count > 0)
		(void)uv_run(&loop.uv, UV_RUN_ONCE);
	assert_non_null(client->session);
	assert_int_equal(count_of(&client->counters->h2_goaways), 1);
	assert_int_equal(count_of(&client->counters->idle), 0);
	finish(peer);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_server_that_chooses_http2_gets_one_connection),
		TEST(a_server_that_chooses_http1_gets_a_connection_for_each_call),
		TEST(a_server_known_for_http1_is_not_waited_for),
		TEST(a_server_that_has_changed_its_mind_is_believed),
		TEST(upgrades_are_http1),
		TEST(what_is_switched_off_is_not_offered),
		TEST(those_that_wait_fail_with_the_handshake),
		TEST(a_call_that_leaves_gives_its_connection_to_the_next),
		TEST(a_server_that_leaves_is_met_again_with_its_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
