#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/loop.h"
#include "net/tls.h"
#include "tls_peer.h"

/* The layer alone: one end of a pair of sockets is its transport, the other the test's hands. */

static struct tls_tickets *tickets;
static struct tls_certificate *fallback, *special, *wild;
static struct tls_store *store;
static struct tls_profile *plain_profile, *strict_profile, *old_profile;
static struct tls_acceptor *acceptor;

static struct loop loop;
static struct transport transport;
static struct tls *layer;
static int hand = -1;
static bool open_handshake, is_closed;
static int handshake_result;
static struct weir_error handshake_error;
static struct str received;
static size_t read_size;
static bool ended;

static void on_closed(struct transport *t)
{
	(void)t;
	is_closed = true;
}

static void go_on(void)
{
	handshake_result = tls_handshake(layer, &handshake_error);
	if (handshake_result == -EAGAIN)
		return;
	open_handshake = false;
	transport_watch(&transport, handshake_result == 0 ? TRANSPORT_READABLE : 0);
	if (handshake_result == 0)
		transport.on_ready(&transport, TRANSPORT_READABLE);
}

static void on_ready(struct transport *t, int events)
{
	char bytes[32768];
	ssize_t n;

	if (open_handshake) {
		go_on();
		return;
	}
	if (!(events & TRANSPORT_READABLE))
		return;
	n = transport_read(t, bytes, read_size);
	if (n > 0) {
		str_add(&received, slice_of(bytes, (size_t)n));
	} else if (n != -EAGAIN) {
		ended = true;
		transport_watch(t, 0);
	}
}

static void turn(void)
{
	(void)uv_run(&loop.uv, UV_RUN_NOWAIT);
}

static void open_layer(slice early)
{
	int fds[2], little = 8192;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &little, sizeof little), 0);
	hand = fds[0];
	assert_int_equal(transport_open(&transport, &loop, fds[1], on_ready), 0);
	assert_int_equal(tls_accept(&layer, acceptor, &transport, early), 0);
	open_handshake = true;
	is_closed = ended = false;
	handshake_error = (struct weir_error){0};
	handshake_result = -EAGAIN;
	read_size = 32768;
	str_clear(&received);
	go_on();
}

static void close_layer(void)
{
	transport_close(&transport, on_closed);
	while (!is_closed)
		turn();
	if (hand >= 0)
		(void)close(hand);
	hand = -1;
}

/* From the wire to the client. Returns whether anything came. */
static bool fetch(struct tls_client *c)
{
	char bytes[65536];
	ssize_t n = recv(hand, bytes, sizeof bytes, 0);

	if (n > 0)
		tls_must(BIO_write(c->in, bytes, (int)n) == n);
	return n > 0;
}

/* From the client to the wire, `at_once` bytes at a time. */
static void carry(struct tls_client *c, size_t at_once)
{
	char bytes[65536];
	int n = BIO_read(c->out, bytes, (int)MIN(at_once, sizeof bytes));

	while (n > 0) {
		assert_int_equal(send(hand, bytes, (size_t)n, MSG_NOSIGNAL), n);
		turn();
		n = BIO_read(c->out, bytes, (int)MIN(at_once, sizeof bytes));
	}
	turn();
}

/* Returns whether both have finished. */
static bool shake(struct tls_client *c, size_t at_once)
{
	for (int i = 0; i < 20; i++) {
		int r = SSL_do_handshake(c->ssl);

		carry(c, at_once);
		if (r == 1 && !open_handshake)
			return handshake_result == 0;
		if (r != 1 && SSL_get_error(c->ssl, r) != SSL_ERROR_WANT_READ)
			break;
		(void)fetch(c);
	}
	return false;
}

static void shakes_hands_whatever_way_bytes_come(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

	(void)state;
	for (size_t v = 0; v < ARRAY_LEN(versions); v++) {
		for (size_t at_once = 1; at_once < 600; at_once += at_once < 8 ? 1 : 61) {
			struct tls_client c;

			tls_client_open(&c, "a.example", versions[v], NULL);
			open_layer(SLICE(""));
			assert_true(shake(&c, at_once));
			assert_int_equal(SSL_version(c.ssl), versions[v]);
			assert_true(slice_equal(tls_server_name(layer), SLICE("a.example")));
			close_layer();
			tls_client_close(&c);
		}
	}
}

static size_t first_flight(struct tls_client *c, char *bytes, size_t room)
{
	int n;

	tls_client_open(c, "a.example", TLS1_3_VERSION, NULL);
	(void)SSL_do_handshake(c->ssl);
	n = BIO_read(c->out, bytes, (int)room);
	assert_true(n > 100);
	return (size_t)n;
}

/* What the server has read before it knew goes first, wherever it was cut. */
static void takes_over_bytes_that_were_read(void **state)
{
	char bytes[4096];

	(void)state;
	for (size_t cut = 1;; cut += 1) {
		struct tls_client c;
		size_t n = first_flight(&c, bytes, sizeof bytes);

		cut = MIN(cut, n);
		open_layer(slice_of(bytes, cut));
		if (cut < n)
			assert_int_equal(send(hand, bytes + cut, n - cut, 0), n - cut);
		turn();
		(void)fetch(&c);
		assert_true(shake(&c, 65536));
		close_layer();
		tls_client_close(&c);
		if (cut == n)
			return;
	}
}

static void fails_when_the_client_leaves_at_any_byte(void **state)
{
	char bytes[4096];

	(void)state;
	for (size_t cut = 0;; cut += 7) {
		struct tls_client c;
		size_t n = first_flight(&c, bytes, sizeof bytes);

		tls_client_close(&c);
		if (cut >= n)
			return;
		open_layer(slice_of(bytes, 0));
		if (cut > 0)
			assert_int_equal(send(hand, bytes, cut, 0), cut);
		turn();
		assert_true(open_handshake);
		(void)close(hand);
		hand = -1;
		turn();
		assert_false(open_handshake);
		assert_true(handshake_result < 0);
		assert_true(strlen(handshake_error.text) > 0);
		close_layer();
	}
}

static void fails_on_garbage(void **state)
{
	uint32_t random = 1;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct tls_client c;
		char bytes[4096];
		size_t n = first_flight(&c, bytes, sizeof bytes);

		/* A hello with a few bytes changed, or nothing but noise. */
		for (size_t i = round % 3 == 0 ? 5 : n - (size_t)(round % 50) - 1; i < n; i++) {
			random = random * 1664525u + 1013904223u;
			bytes[i] = (char)(random >> 24);
		}
		open_layer(slice_of(bytes, n));
		(void)close(hand);
		hand = -1;
		turn();
		assert_true(handshake_result < 0 && handshake_result != -EAGAIN);
		close_layer();
		tls_client_close(&c);
	}
}

static size_t client_reads(struct tls_client *c, char *to, size_t n)
{
	size_t got = 0;

	(void)SSL_read_ex(c->ssl, to, n, &got);
	return got;
}

static void fill(char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)(i * 7 + i / 251);
}

#define MUCH ((size_t)1 << 20)

/* The socket takes a little at a time; what it refuses is offered again, with more behind it. */
static void writes_much_to_a_slow_reader(void **state)
{
	char *sent = malloc(MUCH), *got = malloc(MUCH);
	size_t offered = 0, taken = 0, arrived = 0, refused = 0;
	struct tls_client c;

	(void)state;
	assert_true(sent != NULL && got != NULL);
	fill(sent, MUCH);
	tls_client_open(&c, NULL, TLS1_3_VERSION, NULL);
	open_layer(SLICE(""));
	assert_true(shake(&c, 65536));
	while (arrived < MUCH) {
		size_t n;

		offered = MIN(MUCH, offered + 30000);
		while (taken < offered) {
			size_t half = (offered - taken) / 2;
			const struct iovec v[] = {{sent + taken, half},
						  {sent + taken + half, offered - taken - half}};
			ssize_t w = transport_writev(&transport, v, 2);

			if (w < 0) {
				assert_int_equal(w, -EAGAIN);
				refused++;
				break;
			}
			taken += (size_t)w;
		}
		(void)fetch(&c);
		while ((n = client_reads(&c, got + arrived, MUCH - arrived)) > 0)
			arrived += n;
	}
	assert_memory_equal(sent, got, MUCH);
	assert_true(refused > 0);
	close_layer();
	tls_client_close(&c);
	free(sent);
	free(got);
}

/* Records are longer than reads: the loop calls again although the socket is silent, and keeps
 * still while reading is off. */
static void reads_all_of_a_record_in_small_parts(void **state)
{
	char sent[16000];
	struct tls_client c;
	size_t written, before;

	(void)state;
	fill(sent, sizeof sent);
	tls_client_open(&c, NULL, TLS1_2_VERSION, NULL);
	open_layer(SLICE(""));
	assert_true(shake(&c, 65536));
	read_size = 100;
	assert_int_equal(SSL_write_ex(c.ssl, sent, sizeof sent, &written), 1);
	carry(&c, 65536);
	for (int i = 0; i < 20; i++)
		turn();
	assert_in_range(received.n, 100, sizeof sent - 1);
	transport_watch(&transport, 0);
	before = received.n;
	for (int i = 0; i < 20; i++)
		turn();
	assert_int_equal(received.n, before);
	transport_watch(&transport, TRANSPORT_READABLE);
	for (int i = 0; i < 1000 && received.n < sizeof sent; i++)
		turn();
	assert_int_equal(received.n, sizeof sent);
	assert_memory_equal(received.p, sent, sizeof sent);
	close_layer();
	tls_client_close(&c);
}

/* A whole message can be told from a cut one. */
static void says_its_end_unless_reset(void **state)
{
	(void)state;
	for (int reset = 0; reset < 2; reset++) {
		struct tls_client c;
		char byte;

		tls_client_open(&c, NULL, TLS1_3_VERSION, NULL);
		open_layer(SLICE(""));
		assert_true(shake(&c, 65536));
		if (reset)
			transport_reset_on_close(&transport);
		transport_close(&transport, on_closed);
		while (!is_closed)
			turn();
		(void)fetch(&c);
		assert_int_equal(client_reads(&c, &byte, 1), 0);
		assert_int_equal((SSL_get_shutdown(c.ssl) & SSL_RECEIVED_SHUTDOWN) != 0, !reset);
		(void)close(hand);
		hand = -1;
		tls_client_close(&c);
	}
}

static void refuses_to_renegotiate(void **state)
{
	struct tls_client c;
	int r = -1;

	(void)state;
	tls_client_open(&c, NULL, TLS1_2_VERSION, NULL);
	open_layer(SLICE(""));
	assert_true(shake(&c, 65536));
	assert_int_equal(SSL_renegotiate(c.ssl), 1);
	for (int i = 0; i < 5; i++) {
		r = SSL_do_handshake(c.ssl);
		carry(&c, 65536);
		(void)fetch(&c);
	}
	assert_int_not_equal(r, 1);
	assert_int_equal(received.n, 0);
	close_layer();
	tls_client_close(&c);
}

static struct tls_certificate *shown(const char *name, int version, bool *ok)
{
	struct tls_client c;
	struct tls_certificate *found = NULL;
	X509 *x;

	tls_client_open(&c, name, version, NULL);
	open_layer(SLICE(""));
	*ok = shake(&c, 65536);
	x = SSL_get1_peer_certificate(c.ssl);
	for (size_t i = 0; *ok && i < store->count; i++) {
		if (X509_cmp(x, store->list[i]->leaf) == 0)
			found = store->list[i];
	}
	X509_free(x);
	close_layer();
	tls_client_close(&c);
	return found;
}

static void chooses_by_name(void **state)
{
	bool ok;

	(void)state;
	assert_ptr_equal(shown(NULL, 0, &ok), fallback);
	assert_ptr_equal(shown("nobody.example", 0, &ok), fallback);
	assert_ptr_equal(shown("special.example", 0, &ok), special);
	assert_ptr_equal(shown("SPECIAL.Example", 0, &ok), special);
	assert_ptr_equal(shown("x.wild.example", 0, &ok), wild);
	assert_ptr_equal(shown("own.wild.example", 0, &ok), special);
	assert_ptr_equal(shown("y.x.wild.example", 0, &ok), fallback);
	assert_ptr_equal(shown("wild.example", 0, &ok), fallback);
	(void)shown("strict.example", 0, &ok);
	assert_false(ok);
	(void)shown("refused.example", 0, &ok);
	assert_false(ok);
	(void)shown("a.below.example", 0, &ok);
	assert_false(ok);
}

static void chooses_versions_by_name(void **state)
{
	bool ok;

	(void)state;
	(void)shown("nobody.example", TLS1_1_VERSION, &ok);
	assert_false(ok);
	(void)shown("old.example", TLS1_3_VERSION, &ok);
	assert_true(ok);
}

static SSL_SESSION *session_of(const char *name, int version, SSL_SESSION *earlier, bool *resumed)
{
	SSL_SESSION *session;
	struct tls_client c;
	char byte;

	tls_client_open(&c, name, version, earlier);
	open_layer(SLICE(""));
	assert_true(shake(&c, 65536));
	(void)fetch(&c);
	(void)client_reads(&c, &byte, 1);
	*resumed = SSL_session_reused(c.ssl) == 1;
	assert_int_equal(*resumed, tls_is_resumed(layer));
	session = SSL_get1_session(c.ssl);
	/* One that was not ended well must not be taken up again. */
	SSL_set_shutdown(c.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	close_layer();
	tls_client_close(&c);
	return session;
}

static bool has_same_ticket(const SSL_SESSION *a, const SSL_SESSION *b)
{
	const unsigned char *one, *other;
	size_t n, m;

	SSL_SESSION_get0_ticket(a, &one, &n);
	SSL_SESSION_get0_ticket(b, &other, &m);
	assert_true(n > 0 && m > 0);
	return n == m && memcmp(one, other, n) == 0;
}

/* Every acceptor with the same keys takes them, for two rotations; other settings do not. */
static void takes_up_sessions(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

	(void)state;
	for (size_t v = 0; v < ARRAY_LEN(versions); v++) {
		SSL_SESSION *first, *next;
		struct tls_acceptor *mine = acceptor, *other;
		bool resumed;

		assert_int_equal(
			tls_acceptor_create(&other, plain_profile, NULL, 0, store, tickets, NULL),
			0);
		first = session_of("a.example", versions[v], NULL, &resumed);
		assert_false(resumed);
		acceptor = other;
		next = session_of("a.example", versions[v], first, &resumed);
		assert_true(resumed);
		acceptor = mine;
		/* A ticket of TLS 1.3 is used once; there is a new one for the next time. */
		assert_int_equal(has_same_ticket(first, next), versions[v] == TLS1_2_VERSION);
		SSL_SESSION_free(next);
		next = session_of("old.example", versions[v], first, &resumed);
		assert_false(resumed);
		SSL_SESSION_free(next);
		for (int rotations = 1; rotations <= 3; rotations++) {
			tls_tickets_rotate(tickets);
			next = session_of("a.example", versions[v], first, &resumed);
			assert_int_equal(resumed, rotations < 3);
			SSL_SESSION_free(next);
		}
		SSL_SESSION_free(first);
		tls_acceptor_release(&other);
	}
}

/* What the library holds for connections, as `CRYPTO_set_mem_functions` shows it. */
static size_t library_bytes;

static void *count_malloc(size_t n, const char *file, int line)
{
	size_t *p = malloc(n + 16);

	(void)file;
	(void)line;
	if (p == NULL)
		return NULL;
	*p = n;
	library_bytes += n;
	return p + 2;
}

static void count_free(void *memory, const char *file, int line)
{
	size_t *p = memory;

	(void)file;
	(void)line;
	if (p == NULL)
		return;
	library_bytes -= p[-2];
	free(p - 2);
}

static void *count_realloc(void *memory, size_t n, const char *file, int line)
{
	void *new = n > 0 ? count_malloc(n, file, line) : NULL;

	if (new != NULL && memory != NULL)
		memcpy(new, memory, MIN(n, ((size_t *)memory)[-2]));
	if (new != NULL || n == 0)
		count_free(memory, file, line);
	return new;
}

#define IDLE_BYTES_MAX ((size_t)16 * 1024)

/* A connection that has talked and waits holds no buffers: with all that the proxy has of it, it
 * must stay below 24 KiB. */
static void an_idle_connection_is_small(void **state)
{
	char sent[16000];
	size_t written, before, idle;
	struct tls_client c;

	(void)state;
	tls_client_open(&c, "special.example", TLS1_3_VERSION, NULL);
	memset(sent, 'x', sizeof sent);
	open_layer(SLICE(""));
	assert_true(shake(&c, 65536));
	assert_int_equal(SSL_write_ex(c.ssl, sent, sizeof sent, &written), 1);
	carry(&c, 65536);
	for (int i = 0; i < 10 && received.n < sizeof sent; i++)
		turn();
	assert_int_equal(received.n, sizeof sent);
	before = library_bytes;
	close_layer();
	idle = before - library_bytes;
	assert_in_range(idle, 1024, IDLE_BYTES_MAX);
	tls_client_close(&c);
}

static void refuses_wrong_certificates(void **state)
{
	struct tls_certificate *c;
	struct weir_error e = {0};
	struct tls_pair a, b;
	struct str cut = {0};

	(void)state;
	tls_make_pair(&a, "a.example", NULL);
	tls_make_pair(&b, "b.example", NULL);
	assert_int_equal(tls_certificate_load(str_slice(&a.certificate), str_slice(&b.key), &c, &e),
			 -EINVAL);
	assert_string_equal(e.text, "the private key is not that of the certificate");
	assert_int_equal(tls_certificate_load(str_slice(&a.key), str_slice(&a.key), &c, &e),
			 -EINVAL);
	assert_non_null(strstr(e.text, "found no certificate, expected PEM"));
	assert_int_equal(tls_certificate_load(str_slice(&a.certificate), SLICE("nonsense"), &c, &e),
			 -EINVAL);
	assert_non_null(strstr(e.text, "found no private key, expected PEM"));
	str_add(&cut, str_slice(&a.certificate));
	str_add(&cut, slice_first(str_slice(&b.certificate), b.certificate.n / 2));
	assert_int_equal(tls_certificate_load(str_slice(&cut), str_slice(&a.key), &c, &e), -EINVAL);
	assert_non_null(strstr(e.text, "the chain of certificates is broken"));
	assert_null(c);
	str_free(&cut);
	tls_pair_free(&a);
	tls_pair_free(&b);
}

static void expect_refused(struct tls_settings settings, const char *text)
{
	struct tls_profile *p;
	struct weir_error e = {0};

	assert_int_equal(tls_profile_create(&p, &settings, &e), -EINVAL);
	assert_null(p);
	assert_string_equal(e.text, text);
}

static void refuses_wrong_settings(void **state)
{
	const slice bad = SLICE("TLS_ROT13"), text = SLICE("no PEM"), name = SLICE("ca.pem");

	(void)state;
	expect_refused((struct tls_settings){.cipher_suites = &bad, .cipher_suite_count = 1},
		       "invalid CipherSuite: TLS_ROT13");
	expect_refused((struct tls_settings){.curves = &bad, .curve_count = 1},
		       "invalid CurveID in curvePreferences: TLS_ROT13");
	expect_refused((struct tls_settings){.client_auth = SLICE("Perhaps")},
		       "unknown client auth type \"Perhaps\"");
	expect_refused((struct tls_settings){.client_auth = SLICE("VerifyClientCertIfGiven")},
		       "invalid clientAuthType: VerifyClientCertIfGiven, CAFiles is required");
	expect_refused((struct tls_settings){.authorities = &text,
					     .authority_names = &name,
					     .authority_count = 1},
		       "invalid certificate(s) in ca.pem");
	expect_refused((struct tls_settings){.min_version = SLICE("VersionTLS13"),
					     .max_version = SLICE("VersionTLS12")},
		       "maxVersion: found VersionTLS12, expected minVersion or above");
}

static struct tls_profile *make_profile(struct tls_settings settings)
{
	struct tls_profile *p;

	assert_int_equal(tls_profile_create(&p, &settings, NULL), 0);
	return p;
}

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(loop_init(&loop, (size_t)8 << 20), 0);
	assert_int_equal(tls_tickets_create(&tickets, NULL), 0);
	assert_int_equal(tls_certificate_generate(&fallback, NULL), 0);
	special = tls_make_certificate("special.example",
				       "DNS:own.wild.example,DNS:strict2.example,IP:127.0.0.1");
	wild = tls_make_certificate("wild", "DNS:*.wild.example,DNS:special.example");
	assert_int_equal(tls_store_create(&store, fallback), 0);
	assert_int_equal(tls_store_add(store, special), 0);
	assert_int_equal(tls_store_add(store, wild), 0);
	assert_ptr_equal(tls_store_find(store, SLICE("127.0.0.1")), special);
	plain_profile = make_profile((struct tls_settings){.name = SLICE("default")});
	strict_profile =
		make_profile((struct tls_settings){.name = SLICE("strict"), .sni_strict = true});
	old_profile = make_profile(
		(struct tls_settings){.name = SLICE("old"), .min_version = SLICE("VersionTLS10")});
	const struct tls_host hosts[] = {{SLICE("strict.example"), strict_profile},
					 {SLICE("old.example"), old_profile},
					 {SLICE("refused.example"), NULL},
					 {SLICE("*.below.example"), NULL}};
	assert_int_equal(tls_acceptor_create(&acceptor, plain_profile, hosts, ARRAY_LEN(hosts),
					     store, tickets, NULL),
			 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tls_acceptor_release(&acceptor);
	tls_profile_release(&plain_profile);
	tls_profile_release(&strict_profile);
	tls_profile_release(&old_profile);
	tls_store_release(&store);
	tls_certificate_release(&fallback);
	tls_certificate_release(&special);
	tls_certificate_release(&wild);
	tls_tickets_destroy(&tickets);
	str_free(&received);
	loop_close(&loop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shakes_hands_whatever_way_bytes_come),
		cmocka_unit_test(takes_over_bytes_that_were_read),
		cmocka_unit_test(fails_when_the_client_leaves_at_any_byte),
		cmocka_unit_test(fails_on_garbage),
		cmocka_unit_test(writes_much_to_a_slow_reader),
		cmocka_unit_test(reads_all_of_a_record_in_small_parts),
		cmocka_unit_test(says_its_end_unless_reset),
		cmocka_unit_test(refuses_to_renegotiate),
		cmocka_unit_test(chooses_by_name),
		cmocka_unit_test(chooses_versions_by_name),
		cmocka_unit_test(takes_up_sessions),
		cmocka_unit_test(an_idle_connection_is_small),
		cmocka_unit_test(refuses_wrong_certificates),
		cmocka_unit_test(refuses_wrong_settings),
	};

	assert_int_equal(CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free), 1);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
