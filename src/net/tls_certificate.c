#include "net/tls_certificate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "net/address.h"
#include "net/tls_ocsp.h"
#include "net/tls_private.h"

#define GENERATED_NAME "WEIR DEFAULT CERT"
#define GENERATED_DAYS 365L

const char *tls_last_error(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	return reason != NULL ? reason : "unknown reason";
}

void tls_certificate_hash(slice certificate, slice key, unsigned char hash[SHA256_DIGEST_BYTES])
{
	uint64_t length = certificate.n;
	struct sha256 h;

	sha256_begin(&h);
	sha256_add(&h, slice_of((const char *)&length, sizeof length));
	sha256_add(&h, certificate);
	sha256_add(&h, key);
	sha256_end(&h, hash);
}

/* Keys with a passphrase are not asked for it. */
static int no_passphrase(char *to, int size, int writing, void *user)
{
	(void)to;
	(void)size;
	(void)writing;
	(void)user;
	return 0;
}

static BIO *open_text(slice text)
{
	return BIO_new_mem_buf(text.p != NULL ? text.p : "", (int)MIN(text.n, (size_t)INT32_MAX));
}

static int read_chain(struct tls_certificate *c, slice text, struct weir_error *e)
{
	BIO *in = open_text(text);
	X509 *x;

	c->chain = sk_X509_new_null();
	if (in == NULL || c->chain == NULL) {
		BIO_free(in);
		return error_set(e, -ENOMEM, "out of memory");
	}
	c->leaf = PEM_read_bio_X509(in, NULL, no_passphrase, NULL);
	if (c->leaf == NULL) {
		BIO_free(in);
		return error_set(e, -EINVAL,
				 "found no certificate, expected PEM with BEGIN CERTIFICATE: %s",
				 tls_last_error());
	}
	while ((x = PEM_read_bio_X509(in, NULL, no_passphrase, NULL)) != NULL) {
		if (sk_X509_push(c->chain, x) == 0) {
			X509_free(x);
			BIO_free(in);
			return error_set(e, -ENOMEM, "out of memory");
		}
	}
	BIO_free(in);
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return error_set(e, -EINVAL, "the chain of certificates is broken: %s",
				 tls_last_error());
	return 0;
}

static int read_key(struct tls_certificate *c, slice text, struct weir_error *e)
{
	BIO *in = open_text(text);

	if (in == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	c->key = PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL);
	BIO_free(in);
	if (c->key == NULL)
		return error_set(e, -EINVAL,
				 "found no private key, expected PEM without a passphrase: %s",
				 tls_last_error());
	if (X509_check_private_key(c->leaf, c->key) != 1)
		return error_set(e, -EINVAL, "the private key is not that of the certificate");
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* `text` becomes the certificate's, or is freed. */
static bool add_name(struct tls_certificate *c, char *text)
{
	if (text == NULL)
		return false;
	for (char *p = text; *p != '\0'; p++)
		*p = ascii_lower(*p);
	for (size_t i = 0; i < c->name_count; i++) {
		if (strcmp(c->names[i], text) == 0) {
			free(text);
			return true;
		}
	}
	c->names[c->name_count++] = text;
	return true;
}

static bool add_alternative(struct tls_certificate *c, const GENERAL_NAME *name)
{
	char text[INET6_ADDRSTRLEN];
	const ASN1_STRING *s;
	int type;

	s = GENERAL_NAME_get0_value(name, &type);
	if (type == GEN_DNS)
		return add_name(c, slice_dup(slice_of((const char *)ASN1_STRING_get0_data(s),
						      (size_t)ASN1_STRING_length(s))));
	if (type != GEN_IPADD)
		return true;
	if (inet_ntop(ASN1_STRING_length(s) == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(s),
		      text, sizeof text) == NULL)
		return true;
	return add_name(c, slice_dup(slice_from(text)));
}

/* As in Traefik: the common name, too. */
static bool add_common_name(struct tls_certificate *c)
{
	const X509_NAME *subject = X509_get_subject_name(c->leaf);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	unsigned char *text = NULL;
	bool ok = true;
	int n;

	if (at < 0)
		return true;
	n = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	if (n > 0)
		ok = add_name(c, slice_dup(slice_of((const char *)text, (size_t)n)));
	OPENSSL_free(text);
	return ok;
}

static int read_names(struct tls_certificate *c, struct weir_error *e)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(c->leaf, NID_subject_alt_name, NULL, NULL);
	int count = names != NULL ? sk_GENERAL_NAME_num(names) : 0;
	bool ok;

	c->names = calloc((size_t)count + 1, sizeof(char *));
	ok = c->names != NULL && add_common_name(c);
	for (int i = 0; ok && i < count; i++)
		ok = add_alternative(c, sk_GENERAL_NAME_value(names, i));
	GENERAL_NAMES_free(names);
	if (!ok)
		return error_set(e, -ENOMEM, "out of memory");
	qsort(c->names, c->name_count, sizeof(char *), by_text);
	return 0;
}

static struct tls_certificate *make(struct weir_error *e)
{
	struct tls_certificate *c = calloc(1, sizeof *c);

	if (c == NULL) {
		(void)error_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	c->magic = TLS_CERTIFICATE_MAGIC;
	c->references = 1;
	must(pthread_mutex_init(&c->staple_lock, NULL) == 0);
	return c;
}

int tls_certificate_load(slice certificate, slice key, struct tls_certificate **made,
			 struct weir_error *e)
{
	struct tls_certificate *c = make(e);
	int r;

	*made = NULL;
	if (c == NULL)
		return -ENOMEM;
	ERR_clear_error();
	r = read_chain(c, certificate, e);
	if (r == 0)
		r = read_key(c, key, e);
	if (r == 0)
		r = read_names(c, e);
	ERR_clear_error();
	if (r < 0) {
		tls_certificate_release(&c);
		return r;
	}
	tls_certificate_hash(certificate, key, c->hash);
	c->has_responder = tls_ocsp_has_responder(c);
	*made = c;
	return 0;
}

static bool fill_in(X509 *x, EVP_PKEY *key)
{
	X509_NAME *name = X509_get_subject_name(x);
	uint64_t serial;

	/* A positive serial number, as RFC 5280 asks for. */
	if (RAND_bytes((unsigned char *)&serial, sizeof serial) != 1)
		return false;
	return X509_set_version(x, X509_VERSION_3) == 1 &&
	       ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), (serial >> 1) | 1) == 1 &&
	       X509_gmtime_adj(X509_getm_notBefore(x), -60) != NULL &&
	       X509_gmtime_adj(X509_getm_notAfter(x), GENERATED_DAYS * 24 * 3600) != NULL &&
	       X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
					  (const unsigned char *)GENERATED_NAME, -1, -1, 0) == 1 &&
	       X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1 &&
	       X509_sign(x, key, EVP_sha256()) > 0;
}

int tls_certificate_generate(struct tls_certificate **made, struct weir_error *e)
{
	struct tls_certificate *c = make(e);

	*made = NULL;
	if (c == NULL)
		return -ENOMEM;
	ERR_clear_error();
	c->key = EVP_EC_gen("P-256");
	c->leaf = X509_new();
	c->chain = sk_X509_new_null();
	if (c->key == NULL || c->leaf == NULL || c->chain == NULL || !fill_in(c->leaf, c->key)) {
		tls_certificate_release(&c);
		return error_set(e, -EIO, "no certificate could be made: %s", tls_last_error());
	}
	c->generated = true;
	*made = c;
	return 0;
}

struct tls_certificate *tls_certificate_ref(struct tls_certificate *c)
{
	OBJ_CHECK(c, TLS_CERTIFICATE_MAGIC);
	atomic_fetch_add(&c->references, 1);
	return c;
}

void tls_certificate_release(struct tls_certificate **certificate)
{
	struct tls_certificate *c;

	if (*certificate == NULL)
		return;
	OBJ_TAKE(c, certificate, TLS_CERTIFICATE_MAGIC);
	if (atomic_fetch_sub(&c->references, 1) > 1)
		return;
	for (size_t i = 0; i < c->name_count; i++)
		free(c->names[i]);
	free(c->names);
	X509_free(c->leaf);
	sk_X509_pop_free(c->chain, X509_free);
	EVP_PKEY_free(c->key);
	(void)pthread_mutex_destroy(&c->staple_lock);
	free(c->staple);
	c->magic = 0;
	free(c);
}

static slice hash_of(const struct tls_certificate *c)
{
	return slice_of((const char *)c->hash, sizeof c->hash);
}

static int append(struct tls_store *s, struct tls_certificate *c)
{
	struct tls_certificate **list =
		reallocarray(s->list, s->count + 1, sizeof(struct tls_certificate *));

	if (list == NULL)
		return -ENOMEM;
	s->list = list;
	if (map_put(&s->hashes, hash_of(c), c) < 0)
		return -ENOMEM;
	s->list[s->count++] = tls_certificate_ref(c);
	return 0;
}

int tls_store_create(struct tls_store **store, struct tls_certificate *fallback)
{
	struct tls_store *s = calloc(1, sizeof *s);

	*store = s;
	if (s == NULL)
		return -ENOMEM;
	s->magic = TLS_STORE_MAGIC;
	s->references = 1;
	if (append(s, fallback) < 0) {
		tls_store_release(store);
		return -ENOMEM;
	}
	return 0;
}

int tls_store_add(struct tls_store *s, struct tls_certificate *c)
{
	struct address address;

	OBJ_CHECK(s, TLS_STORE_MAGIC);
	if (tls_store_find_hash(s, c->hash) != c && append(s, c) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < c->name_count; i++) {
		slice name = slice_from(c->names[i]);

		s->has_addresses |= address_parse(name, &address);
		if (map_get(&s->names, name) == NULL && map_put(&s->names, name, c) < 0)
			return -ENOMEM;
	}
	return 0;
}

struct tls_certificate *tls_store_find(const struct tls_store *s, slice name)
{
	char wild[TLS_NAME_MAX + 2];
	struct tls_certificate *c;
	size_t dot;

	OBJ_CHECK(s, TLS_STORE_MAGIC);
	while (slice_ends(name, SLICE(".")))
		name.n--;
	c = map_get(&s->names, name);
	dot = slice_find(name, '.');
	if (c != NULL || dot == name.n || name.n > TLS_NAME_MAX)
		return c;
	wild[0] = '*';
	memcpy(wild + 1, name.p + dot, name.n - dot);
	return map_get(&s->names, slice_of(wild, name.n - dot + 1));
}

struct tls_certificate *tls_store_find_hash(const struct tls_store *s,
					    const unsigned char hash[SHA256_DIGEST_BYTES])
{
	return map_get(&s->hashes, slice_of((const char *)hash, SHA256_DIGEST_BYTES));
}

struct tls_store *tls_store_ref(struct tls_store *s)
{
	OBJ_CHECK(s, TLS_STORE_MAGIC);
	atomic_fetch_add(&s->references, 1);
	return s;
}

void tls_store_release(struct tls_store **store)
{
	struct tls_store *s;

	if (*store == NULL)
		return;
	OBJ_TAKE(s, store, TLS_STORE_MAGIC);
	if (atomic_fetch_sub(&s->references, 1) > 1)
		return;
	map_free(&s->names);
	map_free(&s->hashes);
	for (size_t i = 0; i < s->count; i++)
		tls_certificate_release(&s->list[i]);
	free(s->list);
	s->magic = 0;
	free(s);
}
