#include "net/tls_ocsp.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <stdlib.h>

#include "core/clock.h"
#include "net/tls_private.h"

/* How wrong the responder's clock may be. */
#define SKEW_S 300L

/* The certificate of the chain that has signed the leaf, borrowed; NULL: none. */
static X509 *issuer_of(const struct tls_certificate *c)
{
	for (int i = 0; i < sk_X509_num(c->chain); i++) {
		X509 *x = sk_X509_value(c->chain, i);

		if (X509_check_issued(x, c->leaf) == X509_V_OK)
			return x;
	}
	return NULL;
}

static OCSP_CERTID *id_of(const struct tls_certificate *c)
{
	X509 *issuer = issuer_of(c);

	return issuer != NULL ? OCSP_cert_to_id(EVP_sha1(), c->leaf, issuer) : NULL;
}

static int copy_responder(const struct tls_certificate *c, struct arena *arena, slice *responder)
{
	STACK_OF(OPENSSL_STRING) *all = X509_get1_ocsp(c->leaf);
	const char *first = sk_OPENSSL_STRING_num(all) > 0 ? sk_OPENSSL_STRING_value(all, 0) : NULL;
	int r = -ENOENT;

	if (first != NULL) {
		*responder = arena_copy(arena, slice_from(first));
		r = responder->p != NULL ? 0 : -ENOMEM;
	}
	X509_email_free(all);
	return r;
}

static int encode(OCSP_REQUEST *q, struct arena *arena, slice *request)
{
	unsigned char *der = NULL;
	int n = i2d_OCSP_REQUEST(q, &der);

	if (n <= 0)
		return -ENOMEM;
	*request = arena_copy(arena, slice_of((const char *)der, (size_t)n));
	OPENSSL_free(der);
	return request->p != NULL ? 0 : -ENOMEM;
}

bool tls_ocsp_has_responder(const struct tls_certificate *c)
{
	STACK_OF(OPENSSL_STRING) *all = X509_get1_ocsp(c->leaf);
	bool found = sk_OPENSSL_STRING_num(all) > 0 && issuer_of(c) != NULL;

	X509_email_free(all);
	ERR_clear_error();
	return found;
}

int tls_ocsp_ask(const struct tls_certificate *c, struct arena *arena, slice *request,
		 slice *responder)
{
	OCSP_REQUEST *q = NULL;
	OCSP_CERTID *id;
	int r;

	OBJ_CHECK(c, TLS_CERTIFICATE_MAGIC);
	r = copy_responder(c, arena, responder);
	if (r < 0)
		return r;
	id = id_of(c);
	if (id == NULL) {
		ERR_clear_error();
		return -ENOENT;
	}
	q = OCSP_REQUEST_new();
	r = -ENOMEM;
	/* The request owns the id once it is in. */
	if (q != NULL && OCSP_request_add0_id(q, id) != NULL)
		r = encode(q, arena, request);
	else
		OCSP_CERTID_free(id);
	OCSP_REQUEST_free(q);
	ERR_clear_error();
	return r;
}

/* Signed by the certificate's issuer, or by somebody whom that one has named for it. */
static bool is_signed(const struct tls_certificate *c, OCSP_BASICRESP *basic)
{
	X509_STORE *store = X509_STORE_new();
	bool ok = store != NULL && X509_STORE_add_cert(store, issuer_of(c)) == 1 &&
		  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
		  OCSP_basic_verify(basic, c->chain, store, 0) == 1;

	X509_STORE_free(store);
	return ok;
}

static int64_t seconds_until(const ASN1_GENERALIZEDTIME *t)
{
	int days = 0, seconds = 0;

	if (t == NULL || ASN1_TIME_diff(&days, &seconds, NULL, t) != 1)
		return 0;
	return (int64_t)days * 86400 + seconds;
}

static int judge(const struct tls_certificate *c, OCSP_BASICRESP *basic, OCSP_CERTID *id,
		 int64_t *next_s, struct weir_error *e)
{
	ASN1_GENERALIZEDTIME *revoked, *from, *until;
	int status, reason;

	if (!is_signed(c, basic))
		return error_set(e, -EKEYREJECTED, "found a signature that is not accepted: %s",
				 tls_last_error());
	if (OCSP_resp_find_status(basic, id, &status, &reason, &revoked, &from, &until) != 1)
		return error_set(e, -EPROTO, "found nothing about the certificate");
	if (until == NULL)
		return error_set(e, -EPROTO, "found no time of the next update, expected one");
	if (OCSP_check_validity(from, until, SKEW_S, -1) != 1)
		return error_set(e, -ETIME, "found an answer that is not valid now: %s",
				 tls_last_error());
	*next_s = seconds_until(until);
	if (*next_s <= 0)
		return error_set(e, -ETIME, "found an answer that is not valid any more");
	if (status == V_OCSP_CERTSTATUS_REVOKED)
		return error_set(e, -EKEYREVOKED, "the certificate has been revoked");
	if (status != V_OCSP_CERTSTATUS_GOOD)
		return error_set(e, -EPROTO, "the responder does not know the certificate");
	return 0;
}

static int open_answer(slice answer, OCSP_BASICRESP **basic, struct weir_error *e)
{
	const unsigned char *p = (const unsigned char *)answer.p;
	OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &p, (long)answer.n);
	int status = response != NULL ? OCSP_response_status(response) : -1;

	*basic = status == OCSP_RESPONSE_STATUS_SUCCESSFUL ? OCSP_response_get1_basic(response)
							   : NULL;
	OCSP_RESPONSE_free(response);
	if (*basic != NULL)
		return 0;
	if (status > 0)
		return error_set(e, -EPROTO, "the responder says: %s",
				 OCSP_response_status_str(status));
	return error_set(e, -EPROTO, "found no OCSP response");
}

int tls_ocsp_check(const struct tls_certificate *c, slice answer, int64_t *next_s,
		   struct weir_error *e)
{
	OCSP_BASICRESP *basic;
	OCSP_CERTID *id;
	int r;

	OBJ_CHECK(c, TLS_CERTIFICATE_MAGIC);
	ERR_clear_error();
	r = open_answer(answer, &basic, e);
	if (r == 0) {
		id = id_of(c);
		r = id != NULL ? judge(c, basic, id, next_s, e)
			       : error_set(e, -ENOENT, "found no certificate of the issuer");
		OCSP_CERTID_free(id);
		OCSP_BASICRESP_free(basic);
	}
	ERR_clear_error();
	return r;
}

int tls_certificate_set_staple(struct tls_certificate *c, slice answer, int64_t seconds)
{
	char *copy = answer.n > 0 ? slice_dup(answer) : NULL, *old;

	OBJ_CHECK(c, TLS_CERTIFICATE_MAGIC);
	if (answer.n > 0 && copy == NULL)
		return -ENOMEM;
	(void)pthread_mutex_lock(&c->staple_lock);
	old = c->staple;
	c->staple = copy;
	c->staple_n = answer.n;
	c->staple_until_s = (int64_t)(clock_wall_ns() / 1000000000u) + seconds;
	(void)pthread_mutex_unlock(&c->staple_lock);
	free(old);
	return 0;
}

/* Under the lock. */
static bool has_staple(const struct tls_certificate *c)
{
	return c->staple_n > 0 && (int64_t)(clock_wall_ns() / 1000000000u) < c->staple_until_s;
}

bool tls_certificate_has_staple(struct tls_certificate *c)
{
	bool has;

	OBJ_CHECK(c, TLS_CERTIFICATE_MAGIC);
	(void)pthread_mutex_lock(&c->staple_lock);
	has = has_staple(c);
	(void)pthread_mutex_unlock(&c->staple_lock);
	return has;
}

/* A copy from the library's allocator, whose length goes to `*n`; NULL: none that is still valid.
 */
static unsigned char *take_staple(struct tls_certificate *c, long *n)
{
	unsigned char *copy = NULL;

	(void)pthread_mutex_lock(&c->staple_lock);
	if (has_staple(c))
		copy = OPENSSL_memdup(c->staple, c->staple_n);
	*n = (long)c->staple_n;
	(void)pthread_mutex_unlock(&c->staple_lock);
	return copy;
}

int tls_ocsp_staple(SSL *ssl, void *unused)
{
	struct tls_certificate *c = tls_of(ssl)->certificate;
	unsigned char *answer;
	long n;

	(void)unused;
	if (c == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	answer = take_staple(c, &n);
	if (answer == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	if (SSL_set_tlsext_status_ocsp_resp(ssl, answer, n) != 1) {
		OPENSSL_free(answer);
		return SSL_TLSEXT_ERR_NOACK;
	}
	return SSL_TLSEXT_ERR_OK;
}
