#include "net/tls_profile.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/sha256.h"
#include "core/str.h"
#include "net/tls_private.h"

#define MAGIC 0x746c7370u

struct tls_profile {
	uint32_t magic;
	_Atomic uint32_t references;
	int min_version, max_version; /* 0: the highest */
	struct str ciphers, groups;   /* in the library's notation */
	struct str protocols;         /* in ALPN's */
	int verify_mode;
	bool verify; /* what the client shows must hold */
	X509_STORE *authorities;
	STACK_OF(X509_NAME) * authority_names;
	unsigned char context_id[SHA256_DIGEST_BYTES]; /* of resumable sessions */
	bool sni_strict;
	bool no_tickets;
};

struct name_pair {
	const char *from; /* as Go and Traefik say */
	const char *to;   /* as the library says; empty: nothing to choose there; NULL: not there */
};

static const struct name_pair cipher_names[] = {
	{"TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA"},
	{"TLS_RSA_WITH_AES_256_CBC_SHA", "AES256-SHA"},
	{"TLS_RSA_WITH_AES_128_CBC_SHA256", "AES128-SHA256"},
	{"TLS_RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256"},
	{"TLS_RSA_WITH_AES_256_GCM_SHA384", "AES256-GCM-SHA384"},
	{"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE-ECDSA-AES128-SHA"},
	{"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA-AES256-SHA"},
	{"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA"},
	{"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA-AES256-SHA"},
	{"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "ECDHE-ECDSA-AES128-SHA256"},
	{"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-SHA256"},
	{"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"},
	{"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"},
	{"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"},
	{"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"},
	{"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305"},
	{"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"},
	{"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"},
	{"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"},
	{"TLS_AES_128_GCM_SHA256", ""},
	{"TLS_AES_256_GCM_SHA384", ""},
	{"TLS_CHACHA20_POLY1305_SHA256", ""},
	{"TLS_FALLBACK_SCSV", ""},
	{"TLS_RSA_WITH_RC4_128_SHA", NULL},
	{"TLS_RSA_WITH_3DES_EDE_CBC_SHA", NULL},
	{"TLS_ECDHE_RSA_WITH_RC4_128_SHA", NULL},
	{"TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", NULL},
	{"TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", NULL},
};

static const struct name_pair curve_names[] = {
	{"X25519", "X25519"},     {"x25519", "X25519"},   {"CurveP256", "P-256"},
	{"secp256r1", "P-256"},   {"CurveP384", "P-384"}, {"secp384r1", "P-384"},
	{"CurveP521", "P-521"},   {"secp521r1", "P-521"}, {"X25519MLKEM768", NULL},
	{"x25519mlkem768", NULL},
};

static const char default_ciphers[] =
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
	"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
	"ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA";
/* Of TLS 1.3, in the order of Go on processors that have AES; they cannot be configured. */
static const char suites[] =
	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
static const char default_groups[] = "X25519:P-256:P-384:P-521";

int tls_version_of(slice name, int otherwise)
{
	static const struct {
		const char *name;
		int version;
	} versions[] = {{"VersionTLS10", TLS1_VERSION},
			{"VersionTLS11", TLS1_1_VERSION},
			{"VersionTLS12", TLS1_2_VERSION},
			{"VersionTLS13", TLS1_3_VERSION}};

	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		if (slice_equal(name, slice_from(versions[i].name)))
			return versions[i].version;
	}
	return otherwise;
}

/* Translates a list; `what` is Traefik's word for one of them. */
static int translate(struct str *to, const slice *names, size_t count,
		     const struct name_pair *table, size_t table_count, const char *what,
		     struct weir_error *e)
{
	for (size_t i = 0; i < count; i++) {
		size_t at = 0;

		while (at < table_count && !slice_equal(names[i], slice_from(table[at].from)))
			at++;
		if (at == table_count)
			return error_set(e, -EINVAL, "invalid %s: %.*s", what,
					 SLICE_ARG(slice_first(names[i], 100)));
		if (table[at].to == NULL || table[at].to[0] == '\0')
			continue;
		if (to->n > 0)
			str_add_char(to, ':');
		str_add(to, slice_from(table[at].to));
	}
	if (count > 0 && to->n == 0 && table == curve_names)
		return error_set(e, -EINVAL, "found no %s that weir has", what);
	return to->failed ? error_set(e, -ENOMEM, "out of memory") : 0;
}

int tls_translate_ciphers(struct str *to, const slice *names, size_t count, struct weir_error *e)
{
	if (count == 0)
		str_add(to, slice_from(default_ciphers));
	return translate(to, names, count, cipher_names, ARRAY_LEN(cipher_names), "CipherSuite", e);
}

static int choose_ciphers(struct tls_profile *p, const struct tls_settings *s, struct weir_error *e)
{
	int r = tls_translate_ciphers(&p->ciphers, s->cipher_suites, s->cipher_suite_count, e);

	if (r == 0)
		r = translate(&p->groups, s->curves, s->curve_count, curve_names,
			      ARRAY_LEN(curve_names), "CurveID in curvePreferences", e);
	if (r < 0)
		return r;
	if (p->ciphers.n == 0) /* those of 1.3 cannot be chosen, the others are none */
		p->min_version = TLS1_3_VERSION;
	if (p->groups.n == 0)
		str_add(&p->groups, slice_from(default_groups));
	return p->ciphers.failed || p->groups.failed ? error_set(e, -ENOMEM, "out of memory") : 0;
}

/* Longer lists fill the messages of handshakes. */
#define PROTOCOLS_BYTES_MAX 1024u

static int choose_protocols(struct tls_profile *p, const struct tls_settings *s,
			    struct weir_error *e)
{
	static const slice usual[] = {{"h2", 2}, {"http/1.1", 8}};
	const slice *list = s->protocol_count > 0 ? s->protocols : usual;
	size_t count = s->protocol_count > 0 ? s->protocol_count : ARRAY_LEN(usual);

	for (size_t i = 0; i < count; i++) {
		if (list[i].n == 0 || list[i].n > 255 || p->protocols.n > PROTOCOLS_BYTES_MAX)
			return error_set(e, -EINVAL,
					 "alpnProtocols: found \"%.*s\", expected names of 1 to "
					 "255 bytes, %u bytes in all",
					 SLICE_ARG(slice_first(list[i], 100)), PROTOCOLS_BYTES_MAX);
		str_add_char(&p->protocols, (char)list[i].n);
		str_add(&p->protocols, list[i]);
	}
	return p->protocols.failed ? error_set(e, -ENOMEM, "out of memory") : 0;
}

static int find_client_auth(slice name, struct weir_error *e)
{
	static const char *const names[] = {
#define X(name, text) text,
		TLS_CLIENT_AUTHS(X)
#undef X
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (slice_equal(name, slice_from(names[i])))
			return (int)i;
	}
	return error_set(e, -EINVAL, "unknown client auth type \"%.*s\"",
			 SLICE_ARG(slice_first(name, 100)));
}

static int add_authority(struct tls_profile *p, X509 *x)
{
	X509_NAME *name = X509_NAME_dup(X509_get_subject_name(x));
	bool ok = X509_STORE_add_cert(p->authorities, x) == 1 && name != NULL &&
		  sk_X509_NAME_push(p->authority_names, name) > 0;

	if (!ok)
		X509_NAME_free(name);
	X509_free(x);
	return ok ? 0 : -ENOMEM;
}

static int read_authority(struct tls_profile *p, slice text, slice name, struct weir_error *e)
{
	BIO *in =
		BIO_new_mem_buf(text.p != NULL ? text.p : "", (int)MIN(text.n, (size_t)INT32_MAX));
	size_t count = 0;
	X509 *x;
	int r = in != NULL ? 0 : -ENOMEM;

	while (r == 0 && (x = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
		r = add_authority(p, x);
		count++;
	}
	BIO_free(in);
	ERR_clear_error();
	if (r < 0)
		return error_set(e, r, "out of memory");
	if (count == 0)
		return error_set(e, -EINVAL, "invalid certificate(s) in %.*s",
				 SLICE_ARG(slice_first(name, 200)));
	return 0;
}

static const int verify_modes[] = {
	[TLS_CLIENT_NONE] = SSL_VERIFY_NONE,
	[TLS_CLIENT_REQUEST] = SSL_VERIFY_PEER,
	[TLS_CLIENT_REQUIRE_ANY] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
	[TLS_CLIENT_VERIFY_IF_GIVEN] = SSL_VERIFY_PEER,
	[TLS_CLIENT_REQUIRE_AND_VERIFY] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
};

static int choose_client_auth(struct tls_profile *p, const struct tls_settings *s,
			      struct weir_error *e)
{
	int auth = s->authority_count > 0 ? TLS_CLIENT_REQUIRE_AND_VERIFY : TLS_CLIENT_NONE;

	p->authorities = X509_STORE_new();
	p->authority_names = sk_X509_NAME_new_null();
	if (p->authorities == NULL || p->authority_names == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < s->authority_count; i++) {
		int r = read_authority(p, s->authorities[i], s->authority_names[i], e);

		if (r < 0)
			return r;
	}
	if (s->client_auth.n > 0)
		auth = find_client_auth(s->client_auth, e);
	if (auth < 0)
		return auth;
	p->verify = auth == TLS_CLIENT_VERIFY_IF_GIVEN || auth == TLS_CLIENT_REQUIRE_AND_VERIFY;
	if (p->verify && s->authority_count == 0)
		return error_set(e, -EINVAL, "invalid clientAuthType: %.*s, CAFiles is required",
				 SLICE_ARG(s->client_auth));
	p->verify_mode = verify_modes[auth];
	return 0;
}

static void add_part(struct sha256 *h, slice s)
{
	uint64_t length = s.n;

	sha256_add(h, slice_of((const char *)&length, sizeof length));
	sha256_add(h, s);
}

/* Sessions may be resumed wherever the same holds for their clients. */
static void identify(struct tls_profile *p, const struct tls_settings *s)
{
	struct sha256 h;

	sha256_begin(&h);
	add_part(&h, s->name);
	add_part(&h, slice_of((const char *)&p->verify_mode, sizeof p->verify_mode));
	add_part(&h, slice_of((const char *)&p->verify, sizeof p->verify));
	for (size_t i = 0; i < s->authority_count; i++)
		add_part(&h, s->authorities[i]);
	sha256_end(&h, p->context_id);
}

/* Tries the settings, so that mistakes show before anybody connects. */
static int try(const struct tls_profile *p, struct weir_error *e)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	bool ok = context != NULL && tls_profile_apply_to_context(p, context);
	int r = ok ? 0 : error_set(e, -EINVAL, "these settings cannot be: %s", tls_last_error());

	SSL_CTX_free(context);
	ERR_clear_error();
	return r;
}

int tls_profile_create(struct tls_profile **profile, const struct tls_settings *settings,
		       struct weir_error *e)
{
	struct tls_profile *p = calloc(1, sizeof *p);
	int r;

	*profile = NULL;
	if (p == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	p->magic = MAGIC;
	p->references = 1;
	p->min_version = tls_version_of(settings->min_version, TLS1_2_VERSION);
	p->max_version = tls_version_of(settings->max_version, 0);
	p->sni_strict = settings->sni_strict;
	p->no_tickets = settings->no_tickets;
	ERR_clear_error();
	r = choose_client_auth(p, settings, e);
	if (r == 0)
		r = choose_ciphers(p, settings, e);
	if (r == 0)
		r = choose_protocols(p, settings, e);
	if (r == 0 && p->max_version != 0 && p->max_version < p->min_version)
		r = error_set(e, -EINVAL, "maxVersion: found %.*s, expected minVersion or above",
			      SLICE_ARG(settings->max_version));
	identify(p, settings);
	if (r == 0)
		r = try(p, e);
	if (r < 0)
		tls_profile_release(&p);
	*profile = p;
	return r;
}

struct tls_profile *tls_profile_ref(struct tls_profile *p)
{
	OBJ_CHECK(p, MAGIC);
	atomic_fetch_add(&p->references, 1);
	return p;
}

void tls_profile_release(struct tls_profile **profile)
{
	struct tls_profile *p;

	if (*profile == NULL)
		return;
	OBJ_TAKE(p, profile, MAGIC);
	if (atomic_fetch_sub(&p->references, 1) > 1)
		return;
	str_free(&p->ciphers);
	str_free(&p->groups);
	str_free(&p->protocols);
	X509_STORE_free(p->authorities);
	sk_X509_NAME_pop_free(p->authority_names, X509_NAME_free);
	p->magic = 0;
	free(p);
}

bool tls_profile_is_strict(const struct tls_profile *p)
{
	OBJ_CHECK(p, MAGIC);
	return p->sni_strict;
}

slice tls_profile_protocols(const struct tls_profile *p)
{
	OBJ_CHECK(p, MAGIC);
	return str_slice(&p->protocols);
}

static int accept_any(int ok, X509_STORE_CTX *context)
{
	(void)ok;
	X509_STORE_CTX_set_error(context, X509_V_OK);
	return 1;
}

static int accept_verified(int ok, X509_STORE_CTX *context)
{
	(void)context;
	return ok;
}

/* The library holds what the older versions sign with too weak for anything above. */
static int security_level(const struct tls_profile *p)
{
	return p->min_version < TLS1_2_VERSION ? 0 : 1;
}

/* Never NULL, which would leave the one of the context in place, and with it who accepts any. */
static SSL_verify_cb verifier(const struct tls_profile *p)
{
	return p->verify ? accept_verified : accept_any;
}

#define OPTIONS \
	(SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE | \
	 SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF)

bool tls_profile_apply_to_context(const struct tls_profile *p, SSL_CTX *c)
{
	STACK_OF(X509_NAME) *names = SSL_dup_CA_list(p->authority_names);

	OBJ_CHECK(p, MAGIC);
	SSL_CTX_set_security_level(c, security_level(p));
	SSL_CTX_clear_options(c, SSL_OP_NO_TICKET);
	SSL_CTX_set_options(c, OPTIONS | (p->no_tickets ? SSL_OP_NO_TICKET : 0));
	SSL_CTX_set_verify(c, p->verify_mode, verifier(p));
	if (names == NULL)
		return false;
	SSL_CTX_set_client_CA_list(c, names);
	return SSL_CTX_set_num_tickets(c, p->no_tickets ? 0 : 1) == 1 &&
	       SSL_CTX_set1_verify_cert_store(c, p->authorities) == 1 &&
	       SSL_CTX_set_session_id_context(c, p->context_id, sizeof p->context_id) == 1 &&
	       SSL_CTX_set_min_proto_version(c, p->min_version) == 1 &&
	       SSL_CTX_set_max_proto_version(c, p->max_version) == 1 &&
	       SSL_CTX_set_ciphersuites(c, suites) == 1 &&
	       (p->ciphers.n == 0 || SSL_CTX_set_cipher_list(c, p->ciphers.p) == 1) &&
	       SSL_CTX_set1_groups_list(c, p->groups.p) == 1;
}

bool tls_profile_apply(const struct tls_profile *p, SSL *ssl)
{
	STACK_OF(X509_NAME) *names = SSL_dup_CA_list(p->authority_names);

	OBJ_CHECK(p, MAGIC);
	SSL_set_security_level(ssl, security_level(p));
	SSL_clear_options(ssl, SSL_OP_NO_TICKET);
	SSL_set_options(ssl, OPTIONS | (p->no_tickets ? SSL_OP_NO_TICKET : 0));
	SSL_set_verify(ssl, p->verify_mode, verifier(p));
	if (names == NULL)
		return false;
	SSL_set_client_CA_list(ssl, names);
	return SSL_set_num_tickets(ssl, p->no_tickets ? 0 : 1) == 1 &&
	       SSL_set1_verify_cert_store(ssl, p->authorities) == 1 &&
	       SSL_set_session_id_context(ssl, p->context_id, sizeof p->context_id) == 1 &&
	       SSL_set_min_proto_version(ssl, p->min_version) == 1 &&
	       SSL_set_max_proto_version(ssl, p->max_version) == 1 &&
	       (p->ciphers.n == 0 || SSL_set_cipher_list(ssl, p->ciphers.p) == 1) &&
	       SSL_set1_groups_list(ssl, p->groups.p) == 1;
}
