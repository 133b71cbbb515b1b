#include "net/tls_connector.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "net/address.h"
#include "net/tls_private.h"

static bool is_signed_by(const struct tls_certificate *c, const STACK_OF(X509_NAME) * authorities)
{
	for (int i = 0; i < sk_X509_NAME_num(authorities); i++) {
		const X509_NAME *name = sk_X509_NAME_value(authorities, i);

		if (X509_NAME_cmp(X509_get_issuer_name(c->leaf), name) == 0)
			return true;
		for (int j = 0; j < sk_X509_num(c->chain); j++)
			if (X509_NAME_cmp(X509_get_issuer_name(sk_X509_value(c->chain, j)), name) ==
			    0)
				return true;
	}
	return sk_X509_NAME_num(authorities) <= 0;
}

/* Of several certificates the first one that a server asks for, as in Go. */
static int choose_certificate(SSL *ssl, void *user)
{
	const struct tls_connector *c = user;
	const STACK_OF(X509_NAME) *authorities = SSL_get0_peer_CA_list(ssl);

	SSL_certs_clear(ssl);
	for (size_t i = 0; i < c->certificate_count; i++) {
		const struct tls_certificate *one = c->certificates[i];

		if (is_signed_by(one, authorities))
			return SSL_use_cert_and_key(ssl, one->leaf, one->key, one->chain, 1);
	}
	return 1;
}

/* The newest session of a connection, until its owner takes it. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls *tls = tls_of(ssl);

	SSL_SESSION_free(tls->fresh);
	tls->fresh = session;
	return 1;
}

static int add_roots(X509_STORE *store, slice text, slice name, struct weir_error *e)
{
	BIO *in =
		BIO_new_mem_buf(text.p != NULL ? text.p : "", (int)MIN(text.n, (size_t)INT32_MAX));
	size_t count = 0;
	X509 *x;
	int r = in != NULL ? 0 : -ENOMEM;

	while (r == 0 && (x = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
		r = X509_STORE_add_cert(store, x) == 1 ? 0 : -ENOMEM;
		X509_free(x);
		count++;
	}
	BIO_free(in);
	ERR_clear_error();
	if (r < 0)
		return error_set(e, r, "out of memory");
	if (count == 0)
		return error_set(e, -EINVAL, "rootCAs: invalid certificate(s) in %.*s",
				 SLICE_ARG(slice_first(name, 200)));
	return 0;
}

static int choose_roots(struct tls_connector *c, const struct tls_connector_settings *s,
			struct weir_error *e)
{
	X509_STORE *store = SSL_CTX_get_cert_store(c->context);

	if (s->root_count == 0 && !s->insecure && SSL_CTX_set_default_verify_paths(c->context) != 1)
		return error_set(e, -EIO, "the system's authorities: %s", tls_last_error());
	for (size_t i = 0; i < s->root_count; i++) {
		int r = add_roots(store, s->roots[i], s->root_names[i], e);

		if (r < 0)
			return r;
	}
	return 0;
}

static int choose_versions(struct tls_connector *c, const struct tls_connector_settings *s,
			   struct weir_error *e)
{
	int low = tls_version_of(s->min_version, TLS1_2_VERSION),
	    high = tls_version_of(s->max_version, 0), r;
	struct str ciphers = {0};

	if (high != 0 && high < low)
		return error_set(e, -EINVAL, "maxVersion: found %.*s, expected minVersion or above",
				 SLICE_ARG(s->max_version));
	r = tls_translate_ciphers(&ciphers, s->cipher_suites, s->cipher_suite_count, e);
	if (r == 0 && s->cipher_suite_count > 0 && ciphers.n == 0)
		low = TLS1_3_VERSION;
	SSL_CTX_set_security_level(c->context, low < TLS1_2_VERSION ? 0 : 1);
	if (r == 0 && (SSL_CTX_set_min_proto_version(c->context, low) != 1 ||
		       SSL_CTX_set_max_proto_version(c->context, high) != 1 ||
		       (ciphers.n > 0 && SSL_CTX_set_cipher_list(c->context, ciphers.p) != 1)))
		r = error_set(e, -EINVAL, "these settings cannot be: %s", tls_last_error());
	str_free(&ciphers);
	return r;
}

static char **copy_list(const slice *from, size_t count)
{
	char **to = calloc(count + 1, sizeof(char *));

	for (size_t i = 0; to != NULL && i < count; i++) {
		to[i] = slice_dup(from[i]);
		if (to[i] == NULL) {
			while (i > 0)
				free(to[--i]);
			free(to);
			return NULL;
		}
	}
	return to;
}

static void free_list(char **list)
{
	for (char **p = list; p != NULL && *p != NULL; p++)
		free(*p);
	free(list);
}

static void add_part(struct sha256 *h, slice s)
{
	uint64_t length = s.n;

	sha256_add(h, slice_of((const char *)&length, sizeof length));
	sha256_add(h, s);
}

static void add_list(struct sha256 *h, const slice *list, size_t count)
{
	add_part(h, slice_of((const char *)&count, sizeof count));
	for (size_t i = 0; i < count; i++)
		add_part(h, list[i]);
}

static void identify(struct tls_connector *c, const struct tls_connector_settings *s)
{
	struct sha256 h;

	sha256_begin(&h);
	add_part(&h, s->server_name);
	add_part(&h, slice_of((const char *)&s->insecure, sizeof s->insecure));
	add_list(&h, s->roots, s->root_count);
	add_list(&h, s->cipher_suites, s->cipher_suite_count);
	add_part(&h, s->min_version);
	add_part(&h, s->max_version);
	add_list(&h, s->uris, s->uri_count);
	add_list(&h, s->names, s->name_count);
	for (size_t i = 0; i < s->certificate_count; i++)
		add_part(&h, slice_of((const char *)s->certificates[i]->hash,
				      sizeof s->certificates[i]->hash));
	sha256_end(&h, c->hash);
}

static int keep(struct tls_connector *c, const struct tls_connector_settings *s,
		struct weir_error *e)
{
	c->certificates = calloc(s->certificate_count + 1, sizeof(struct tls_certificate *));
	c->uris = copy_list(s->uris, s->uri_count);
	c->names = copy_list(s->names, s->name_count);
	if (s->server_name.n > 0)
		c->server_name = slice_dup(s->server_name);
	if (c->certificates == NULL || c->uris == NULL || c->names == NULL ||
	    (s->server_name.n > 0 && c->server_name == NULL))
		return error_set(e, -ENOMEM, "out of memory");
	for (; c->certificate_count < s->certificate_count; c->certificate_count++)
		c->certificates[c->certificate_count] =
			tls_certificate_ref(s->certificates[c->certificate_count]);
	return 0;
}

static int set_up(struct tls_connector *c, const struct tls_connector_settings *s,
		  struct weir_error *e)
{
	bool verify = !s->insecure || s->uri_count + s->name_count > 0;
	int r;

	c->context = SSL_CTX_new(TLS_client_method());
	if (c->context == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	SSL_CTX_set_mode(c->context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
					     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_options(c->context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
						SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_read_ahead(c->context, 1);
	SSL_CTX_set_session_cache_mode(c->context,
				       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c->context, on_new_session);
	SSL_CTX_set_verify(c->context, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_cert_cb(c->context, choose_certificate, c);
	c->verify_host = !s->insecure;
	r = choose_roots(c, s, e);
	if (r == 0)
		r = choose_versions(c, s, e);
	return r;
}

int tls_connector_create(struct tls_connector **connector,
			 const struct tls_connector_settings *settings, struct weir_error *e)
{
	struct tls_connector *c = calloc(1, sizeof *c);
	int r;

	*connector = NULL;
	if (c == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	c->magic = TLS_CONNECTOR_MAGIC;
	c->references = 1;
	ERR_clear_error();
	r = keep(c, settings, e);
	if (r == 0)
		r = set_up(c, settings, e);
	ERR_clear_error();
	identify(c, settings);
	if (r < 0)
		tls_connector_release(&c);
	*connector = c;
	return r;
}

struct tls_connector *tls_connector_ref(struct tls_connector *c)
{
	OBJ_CHECK(c, TLS_CONNECTOR_MAGIC);
	atomic_fetch_add(&c->references, 1);
	return c;
}

void tls_connector_release(struct tls_connector **connector)
{
	struct tls_connector *c;

	if (*connector == NULL)
		return;
	OBJ_TAKE(c, connector, TLS_CONNECTOR_MAGIC);
	if (atomic_fetch_sub(&c->references, 1) > 1)
		return;
	SSL_CTX_free(c->context);
	for (size_t i = 0; i < c->certificate_count; i++)
		tls_certificate_release(&c->certificates[i]);
	free(c->certificates);
	free_list(c->uris);
	free_list(c->names);
	free(c->server_name);
	c->magic = 0;
	free(c);
}

bool tls_connector_apply(const struct tls_connector *c, SSL *ssl, const char *host)
{
	const char *name = c->server_name != NULL ? c->server_name : host;
	X509_VERIFY_PARAM *p = SSL_get0_param(ssl);
	struct address address;
	bool numeric = address_parse(slice_from(name), &address);

	/* RFC 6066 section 3: addresses are no names. */
	if (!numeric && SSL_set_tlsext_host_name(ssl, name) != 1)
		return false;
	if (!c->verify_host)
		return true;
	X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
						   X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return (numeric ? X509_VERIFY_PARAM_set1_ip_asc(p, name)
			: X509_VERIFY_PARAM_set1_host(p, name, strlen(name))) == 1;
}

static bool has_uri(X509 *x, char *const *wanted)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	bool found = false;

	for (int i = 0; !found && i < sk_GENERAL_NAME_num(all); i++) {
		int type;
		const ASN1_STRING *s =
			GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(all, i), &type);

		for (char *const *u = wanted; type == GEN_URI && *u != NULL && !found; u++)
			found = slice_equal(slice_from(*u),
					    slice_of((const char *)ASN1_STRING_get0_data(s),
						     (size_t)ASN1_STRING_length(s)));
	}
	GENERAL_NAMES_free(all);
	return found;
}

static bool has_name(X509 *x, char *const *wanted)
{
	for (; *wanted != NULL; wanted++)
		if (X509_check_host(x, *wanted, strlen(*wanted),
				    X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1)
			return true;
	return false;
}

bool tls_connector_likes(const struct tls_connector *c, const SSL *ssl)
{
	X509 *x = SSL_get0_peer_certificate(ssl);

	if (*c->uris == NULL && *c->names == NULL)
		return true;
	return x != NULL && (has_uri(x, c->uris) || has_name(x, c->names));
}
