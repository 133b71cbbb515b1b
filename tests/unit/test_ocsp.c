#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "core/base.h"
#include "net/tls_ocsp.h"
#include "proxy/staples.h"
#include "wire.h"

#define RESPONDER "http://ocsp.test/x"
#define NO_TIME INT_MIN

static EVP_PKEY *authority_key, *leaf_key;
static X509 *authority;
static struct tls_certificate *certificate;

static X509 *make(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
	X509 *x = X509_new();
	X509_NAME *subject = X509_get_subject_name(x);
	X509_EXTENSION *extension;

	assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), issuer != NULL ? 2 : 1), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), -3600));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 3600));
	assert_int_equal(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
						    (const unsigned char *)name, -1, -1, 0),
			 1);
	assert_int_equal(
		X509_set_issuer_name(x, issuer != NULL ? X509_get_subject_name(issuer) : subject),
		1);
	assert_int_equal(X509_set_pubkey(x, key), 1);
	extension = X509V3_EXT_conf_nid(NULL, NULL,
					issuer != NULL ? NID_info_access : NID_basic_constraints,
					issuer != NULL ? "OCSP;URI:" RESPONDER : "CA:TRUE");
	assert_int_equal(X509_add_ext(x, extension, -1), 1);
	X509_EXTENSION_free(extension);
	assert_true(X509_sign(x, issuer_key, EVP_sha256()) > 0);
	return x;
}

static slice text_of(BIO *b)
{
	char *p;
	long n = BIO_get_mem_data(b, &p);

	return slice_of(p, (size_t)n);
}

static int set_up(void **state)
{
	BIO *chain = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());
	X509 *leaf;

	(void)state;
	authority_key = EVP_EC_gen("P-256");
	leaf_key = EVP_EC_gen("P-256");
	authority = make("authority", authority_key, NULL, authority_key);
	leaf = make("a.test", leaf_key, authority, authority_key);
	assert_int_equal(PEM_write_bio_X509(chain, leaf), 1);
	assert_int_equal(PEM_write_bio_X509(chain, authority), 1);
	assert_int_equal(PEM_write_bio_PrivateKey(key, leaf_key, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(tls_certificate_load(text_of(chain), text_of(key), &certificate, NULL), 0);
	X509_free(leaf);
	BIO_free(chain);
	BIO_free(key);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tls_certificate_release(&certificate);
	X509_free(authority);
	EVP_PKEY_free(authority_key);
	EVP_PKEY_free(leaf_key);
	return 0;
}

/* An answer of the authority's that is valid from and until so many seconds from now. */
static slice answer_of(int from_s, int until_s, unsigned char **der)
{
	time_t now = time(NULL);
	ASN1_GENERALIZEDTIME *from = ASN1_GENERALIZEDTIME_adj(NULL, now, 0, from_s), *until = NULL;
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), certificate->leaf, authority);
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	OCSP_RESPONSE *response;
	int n;

	if (until_s != NO_TIME)
		until = ASN1_GENERALIZEDTIME_adj(NULL, now, 0, until_s);
	assert_non_null(
		OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, from, until));
	assert_int_equal(OCSP_basic_sign(basic, authority, authority_key, EVP_sha256(), NULL, 0),
			 1);
	response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
	*der = NULL;
	n = i2d_OCSP_RESPONSE(response, der);
	assert_true(n > 0);
	OCSP_RESPONSE_free(response);
	OCSP_BASICRESP_free(basic);
	OCSP_CERTID_free(id);
	ASN1_GENERALIZEDTIME_free(from);
	ASN1_GENERALIZEDTIME_free(until);
	return slice_of((const char *)*der, (size_t)n);
}

static void answers_are_valid_for_their_time(void **state)
{
	static const struct {
		int from_s, until_s, expected;
	} rows[] = {
		{-3600, 1800, 0},     {0, 1800, 0},         {-7200, -3600, -ETIME},
		{-3600, -10, -ETIME}, /* no skew for what clients must take, too */
		{3600, 7200, -ETIME}, {3600, 1800, -ETIME}, {-3600, NO_TIME, -EPROTO},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct weir_error e = {0};
		unsigned char *der;
		int64_t next_s = 0;
		slice answer = answer_of(rows[i].from_s, rows[i].until_s, &der);

		assert_int_equal(tls_ocsp_check(certificate, answer, &next_s, &e),
				 rows[i].expected);
		if (rows[i].expected == 0)
			assert_in_range(next_s, 1, 1800);
		OPENSSL_free(der);
	}
}

static void broken_answers_are_none(void **state)
{
	struct weir_error e = {0};
	unsigned char *der;
	int64_t next_s;
	slice answer = answer_of(-3600, 3600, &der);

	(void)state;
	for (size_t n = 0; n < answer.n; n++)
		assert_true(tls_ocsp_check(certificate, slice_first(answer, n), &next_s, &e) < 0);
	for (size_t i = 0; i < answer.n; i++) {
		der[i] ^= 0x01;
		(void)tls_ocsp_check(certificate, answer, &next_s, &e);
		der[i] ^= 0x01;
	}
	assert_int_equal(tls_ocsp_check(certificate, answer, &next_s, &e), 0);
	OPENSSL_free(der);
}

static void the_question_names_the_certificate(void **state)
{
	slice request, responder;
	const unsigned char *p;
	struct arena arena;
	OCSP_REQUEST *q;
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), certificate->leaf, authority);

	(void)state;
	arena_init(&arena, 1024, 65536);
	assert_int_equal(tls_ocsp_ask(certificate, &arena, &request, &responder), 0);
	assert_true(slice_equal(responder, SLICE(RESPONDER)));
	p = (const unsigned char *)request.p;
	q = d2i_OCSP_REQUEST(NULL, &p, (long)request.n);
	assert_int_equal(OCSP_request_onereq_count(q), 1);
	assert_int_equal(OCSP_id_cmp(OCSP_onereq_get0_id(OCSP_request_onereq_get0(q, 0)), id), 0);
	OCSP_REQUEST_free(q);
	OCSP_CERTID_free(id);
	arena_free(&arena);
	arena_init(&arena, 64, 64);
	assert_int_equal(tls_ocsp_ask(certificate, &arena, &request, &responder), -ENOMEM);
	arena_free(&arena);
}

/* Long enough that the answer is still valid when it is looked at. */
#define VALID_S 4

/* Answers once, and then, when that answer is not valid any more, that it cannot. */
struct expiring {
	int listening;
	slice answer;
	time_t until;
};

static int take_request(const struct expiring *r)
{
	struct wire_reader reader = {.fd = wire_accept(r->listening)};
	char head[4096];
	const char *length;

	wire_must(wire_read_head(&reader, head, sizeof head));
	length = wire_field(head, "content-length:");
	wire_must(length != NULL);
	for (int left = atoi(length); left > 0; left--)
		wire_must(wire_get(&reader) >= 0);
	return reader.fd;
}

static void *respond(void *responder)
{
	const struct expiring *r = responder;
	const struct timespec moment = {.tv_nsec = 10000000};
	char head[128];
	int fd = take_request(r);

	(void)snprintf(head, sizeof head,
		       "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
		       r->answer.n);
	wire_send(fd, head);
	(void)wire_send_bytes(fd, r->answer.p, r->answer.n);
	(void)close(fd);
	fd = take_request(r);
	while (time(NULL) <= r->until)
		(void)nanosleep(&moment, NULL);
	wire_send(fd, "HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	(void)close(fd);
	return NULL;
}

static void expired_answers_are_not_counted(void **state)
{
	char url[64];
	uint16_t port;
	unsigned char *der;
	struct expiring responder = {.listening = wire_listen(&port, 0)};
	struct option_pair instead = {SLICE(RESPONDER), {url, 0}};
	const struct ocsp_config config = {.responder_overrides = {&instead, 1}};
	struct proxy_counters counters = {0};
	struct tls_store *store;
	struct staples *staples;
	struct loop loop;
	pthread_t thread;

	(void)state;
	instead.value =
		slice_of(url, (size_t)snprintf(url, sizeof url, "http://127.0.0.1:%d/", port));
	assert_int_equal(loop_init(&loop, 1 << 20), 0);
	assert_int_equal(tls_store_create(&store, certificate), 0);
	assert_int_equal(staples_create(&staples, &loop, &config, &counters, NULL), 0);
	responder.until = time(NULL) + VALID_S;
	responder.answer = answer_of(-60, VALID_S, &der);
	assert_int_equal(pthread_create(&thread, NULL, respond, &responder), 0);
	staples_use(staples, store);
	while (counter_get(&counters.ocsp_staples) + counter_get(&counters.ocsp_failures) == 0)
		(void)uv_run(&loop.uv, UV_RUN_ONCE);
	assert_int_equal(counter_get(&counters.ocsp_staples), 1);
	while (counter_get(&counters.ocsp_failures) == 0)
		(void)uv_run(&loop.uv, UV_RUN_ONCE);
	assert_int_equal(counter_get(&counters.ocsp_staples), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	staples_destroy(&staples);
	tls_store_release(&store);
	loop_close(&loop);
	OPENSSL_free(der);
	(void)close(responder.listening);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_valid_for_their_time),
		cmocka_unit_test(broken_answers_are_none),
		cmocka_unit_test(the_question_names_the_certificate),
		cmocka_unit_test(expired_answers_are_not_counted),
	};

	/* A wait for what does not come ends, too. */
	(void)alarm(120);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
