/*
 * For tests of TLS: certificates made on the spot and a client whose bytes the test carries.
 */
#ifndef UNIT_TLS_PEER_H
#define UNIT_TLS_PEER_H

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/str.h"
#include "net/tls.h"

#define tls_must(cond) ((cond) ? (void)0 : tls_broken(#cond, __LINE__))

_Noreturn static inline void tls_broken(const char *what, int line)
{
	(void)fprintf(stderr, "tls_peer: line %d: %s does not hold\n", line, what);
	ERR_print_errors_fp(stderr);
	abort();
}

/* PEM of a certificate and its key. */
struct tls_pair {
	struct str certificate, key;
};

static inline void tls_pair_free(struct tls_pair *p)
{
	str_free(&p->certificate);
	str_free(&p->key);
}

static inline void tls_add_pem(struct str *to, BIO *from)
{
	char *p;
	long n = BIO_get_mem_data(from, &p);

	str_add(to, slice_of(p, (size_t)n));
	BIO_free(from);
}

/* `names` as in "DNS:a.example,IP:127.0.0.1", or NULL. Signed by itself. */
static inline void tls_make_pair(struct tls_pair *pair, const char *common_name, const char *names)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	BIO *out = BIO_new(BIO_s_mem());

	*pair = (struct tls_pair){0};
	tls_must(key != NULL && x != NULL && X509_set_version(x, 2) == 1);
	tls_must(ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1);
	tls_must(X509_gmtime_adj(X509_getm_notBefore(x), -60) != NULL);
	tls_must(X509_gmtime_adj(X509_getm_notAfter(x), 3600) != NULL);
	tls_must(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
					    (const unsigned char *)common_name, -1, -1, 0) == 1);
	tls_must(X509_set_issuer_name(x, X509_get_subject_name(x)) == 1);
	if (names != NULL) {
		X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);

		tls_must(e != NULL && X509_add_ext(x, e, -1) == 1);
		X509_EXTENSION_free(e);
	}
	tls_must(X509_set_pubkey(x, key) == 1 && X509_sign(x, key, EVP_sha256()) > 0);
	tls_must(PEM_write_bio_X509(out, x) == 1);
	tls_add_pem(&pair->certificate, out);
	out = BIO_new(BIO_s_mem());
	tls_must(PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1);
	tls_add_pem(&pair->key, out);
	X509_free(x);
	EVP_PKEY_free(key);
}

static inline struct tls_certificate *tls_make_certificate(const char *common_name,
							   const char *names)
{
	struct tls_certificate *c;
	struct weir_error e = {0};
	struct tls_pair pair;

	tls_make_pair(&pair, common_name, names);
	if (tls_certificate_load(str_slice(&pair.certificate), str_slice(&pair.key), &c, &e) < 0)
		tls_broken(e.text, __LINE__);
	tls_pair_free(&pair);
	return c;
}

/* A client that talks through memory. */
struct tls_client {
	SSL_CTX *context;
	SSL *ssl;
	BIO *in, *out;
};

/* `name` may be NULL. `session` (may be NULL) is taken up. */
static inline void tls_client_open(struct tls_client *c, const char *name, int max_version,
				   SSL_SESSION *session)
{
	c->context = SSL_CTX_new(TLS_client_method());
	tls_must(c->context != NULL);
	SSL_CTX_set_session_cache_mode(c->context, SSL_SESS_CACHE_OFF);
	c->ssl = SSL_new(c->context);
	tls_must(c->ssl != NULL && SSL_set_max_proto_version(c->ssl, max_version) == 1);
	tls_must(name == NULL || SSL_set_tlsext_host_name(c->ssl, name) == 1);
	tls_must(session == NULL || SSL_set_session(c->ssl, session) == 1);
	c->in = BIO_new(BIO_s_mem());
	c->out = BIO_new(BIO_s_mem());
	SSL_set_bio(c->ssl, c->in, c->out);
	SSL_set_connect_state(c->ssl);
}

static inline void tls_client_close(struct tls_client *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->context);
}

#endif
