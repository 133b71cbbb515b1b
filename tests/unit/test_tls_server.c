#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "site.h"
#include "tls_peer.h"

/* The server with TLS in front of it: clients in threads, plain ones beside them. */

static struct site site;
static struct tls_acceptor *acceptor;

static struct tls_acceptor *give_acceptor(struct h1_server *s)
{
	(void)s;
	return acceptor;
}

static void serve(const struct h1_server_options *options, void (*run)(void *), int room)
{
	site_open(&site, options, room);
	site.server.acceptor = give_acceptor;
	wire_run(&site.loop, run, NULL);
}

struct dialled {
	SSL_CTX *context;
	SSL *ssl;
	int fd;
};

static bool dial(struct dialled *d, int room)
{
	d->fd = wire_connect(site.port, room);
	d->context = SSL_CTX_new(TLS_client_method());
	wire_must(d->context != NULL);
	d->ssl = SSL_new(d->context);
	wire_must(d->ssl != NULL && SSL_set_fd(d->ssl, d->fd) == 1);
	return SSL_connect(d->ssl) == 1;
}

static void hang_up(struct dialled *d)
{
	SSL_free(d->ssl);
	SSL_CTX_free(d->context);
	(void)close(d->fd);
}

static void say(struct dialled *d, const char *text)
{
	wire_must(SSL_write(d->ssl, text, (int)strlen(text)) == (int)strlen(text));
}

/* Reads to the end of `expected`. */
static void hear(struct dialled *d, const char *expected)
{
	char text[4096];
	size_t n = 0;

	do {
		int r = SSL_read(d->ssl, text + n, (int)(sizeof text - 1 - n));

		wire_must(r > 0);
		n += (size_t)r;
		text[n] = '\0';
	} while (strstr(text, expected) == NULL);
}

static void talker(void *context)
{
	struct dialled d;
	char byte;

	(void)context;
	wire_must(dial(&d, 0));
	for (int i = 0; i < 3; i++) {
		say(&d, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
		hear(&d, "\r\n\r\nhello");
	}
	/* Two at once in one record. */
	say(&d, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\nGET /hello HTTP/1.1\r\nHost: h\r\n"
		"Connection: close\r\n\r\n");
	hear(&d, "Connection: close");
	while (SSL_read(d.ssl, &byte, 1) == 1)
		;
	wire_must(SSL_get_shutdown(d.ssl) & SSL_RECEIVED_SHUTDOWN);
	hang_up(&d);
}

static void serves_requests(void **state)
{
	const struct h1_server_options options = site_options();

	(void)state;
	serve(&options, talker, 0);
	assert_int_equal(site.started, 5);
	assert_int_equal(site.server.counters.tls_handshakes, 1);
	assert_int_equal(site.server.counters.tls_failures, 0);
	site_close(&site);
}

#define MUCH ((size_t)3 << 20)

static void uploader(void *context)
{
	char block[10000], head[128];
	struct dialled d;

	(void)context;
	wire_must(dial(&d, 4096));
	(void)snprintf(head, sizeof head,
		       "POST /sum HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", MUCH);
	say(&d, head);
	for (size_t at = 0; at < MUCH;) {
		size_t n = MIN(sizeof block, MUCH - at);

		for (size_t i = 0; i < n; i++)
			block[i] = wire_byte(at + i);
		wire_must(SSL_write(d.ssl, block, (int)n) == (int)n);
		at += n;
	}
	(void)snprintf(head, sizeof head, "%zu right", MUCH);
	hear(&d, head);
	hang_up(&d);
}

static void takes_large_bodies(void **state)
{
	const struct h1_server_options options = site_options();

	(void)state;
	serve(&options, uploader, 8192);
	assert_int_equal(site.started, 1);
	site_close(&site);
}

static void plain_talker(void *context)
{
	struct dialled d;
	int fd = wire_connect(site.port, 0);
	char text[512];
	ssize_t n;

	(void)context;
	wire_must(dial(&d, 0));
	wire_send(fd, "GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	n = recv(fd, text, sizeof text - 1, 0);
	wire_must(n > 12 && memcmp(text, "HTTP/1.1 200", 12) == 0);
	(void)close(fd);
	say(&d, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
	hear(&d, "\r\n\r\nhello");
	hang_up(&d);
}

static void serves_plain_requests_beside(void **state)
{
	const struct h1_server_options options = site_options();

	(void)state;
	serve(&options, plain_talker, 0);
	assert_int_equal(site.started, 2);
	assert_int_equal(site.server.counters.tls_handshakes, 1);
	site_close(&site);
}

/* What begins as TLS and is none gets an alert, then the end. */
static void babbler(void *context)
{
	static const char bytes[] = "\x16\x03\x01\x00\x05GET /";
	int fd = wire_connect(site.port, 0);
	char alert[64];

	(void)context;
	wire_must(wire_send_bytes(fd, bytes, sizeof bytes - 1));
	wire_must(recv(fd, alert, sizeof alert, 0) >= 7 && alert[0] == 0x15);
	wire_must(recv(fd, alert, sizeof alert, 0) == 0);
	(void)close(fd);
}

static void answers_garbage_with_an_alert(void **state)
{
	const struct h1_server_options options = site_options();

	(void)state;
	serve(&options, babbler, 0);
	assert_int_equal(site.started, 0);
	assert_int_equal(site.server.counters.tls_failures, 1);
	site_close(&site);
}

static void sleeper(void *context)
{
	int fd = wire_connect(site.port, 0);
	char byte;

	(void)context;
	wire_must(wire_send_bytes(fd, "\x16\x03\x01", 3));
	wire_must(recv(fd, &byte, 1, 0) == 0);
	(void)close(fd);
}

static void ends_handshakes_that_take_too_long(void **state)
{
	struct h1_server_options options = site_options();

	(void)state;
	options.read_timeout_ms = 50;
	serve(&options, sleeper, 0);
	assert_int_equal(site.server.counters.tls_timeouts, 1);
	site_close(&site);
}

#define CROWD 10

static int crowd[CROWD];

static void read_answers(void *context)
{
	(void)context;
	for (size_t i = 0; i < CROWD; i++) {
		char byte;

		wire_must(recv(crowd[i], &byte, 1, 0) == 1 && byte == 0x16);
		(void)close(crowd[i]);
	}
}

/* All of them have said hello before the server looks. */
static void bounds_handshakes_of_a_turn(void **state)
{
	struct h1_server_options options = site_options();
	struct tls_client c;
	char hello[4096];
	int n;

	(void)state;
	options.handshake_burst = 1;
	site_open(&site, &options, 0);
	site.server.acceptor = give_acceptor;
	tls_client_open(&c, NULL, 0, NULL);
	(void)SSL_do_handshake(c.ssl);
	n = BIO_read(c.out, hello, sizeof hello);
	tls_client_close(&c);
	assert_true(n > 0);
	for (size_t i = 0; i < CROWD; i++) {
		crowd[i] = wire_connect(site.port, 0);
		assert_true(wire_send_bytes(crowd[i], hello, (size_t)n));
	}
	wire_run(&site.loop, read_answers, NULL);
	assert_int_equal(site.server.counters.connections, CROWD);
	assert_true(site.server.counters.tls_deferred >= CROWD - 1);
	site_close(&site);
}

static void closes_where_there_is_no_tls(void **state)
{
	const struct h1_server_options options = site_options();
	struct tls_acceptor *mine = acceptor;

	(void)state;
	acceptor = NULL;
	serve(&options, sleeper, 0);
	assert_int_equal(site.server.counters.tls_failures, 1);
	site_close(&site);
	acceptor = mine;
}

static struct tls_tickets *tickets;

static int set_up(void **state)
{
	struct tls_certificate *c = tls_make_certificate("h", NULL);
	const struct tls_settings settings = {.name = SLICE("default")};
	struct tls_profile *profile;
	struct tls_store *store;

	(void)state;
	assert_int_equal(tls_tickets_create(&tickets, NULL), 0);
	assert_int_equal(tls_store_create(&store, c), 0);
	assert_int_equal(tls_profile_create(&profile, &settings, NULL), 0);
	assert_int_equal(tls_acceptor_create(&acceptor, profile, NULL, 0, store, tickets, NULL), 0);
	tls_certificate_release(&c);
	tls_profile_release(&profile);
	tls_store_release(&store);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tls_acceptor_release(&acceptor);
	tls_tickets_destroy(&tickets);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serves_requests),
		cmocka_unit_test(takes_large_bodies),
		cmocka_unit_test(serves_plain_requests_beside),
		cmocka_unit_test(answers_garbage_with_an_alert),
		cmocka_unit_test(ends_handshakes_that_take_too_long),
		cmocka_unit_test(bounds_handshakes_of_a_turn),
		cmocka_unit_test(closes_where_there_is_no_tls),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
