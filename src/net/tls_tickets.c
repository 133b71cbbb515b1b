#include "net/tls_tickets.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/clock.h"
#include "net/tls_acceptor.h"
#include "net/tls_private.h"

#define MAGIC 0x746c7469u
#define KEYS 3

struct key {
	unsigned char name[16];
	unsigned char cipher[32];
	unsigned char mac[32];
	uint64_t born_ns;
	bool valid;
};

struct tls_tickets {
	uint32_t magic;
	pthread_rwlock_t lock;
	struct key keys[KEYS]; /* newest first */
};

static bool make_key(struct key *k)
{
	k->born_ns = clock_mono_ns();
	k->valid = RAND_bytes(k->name, sizeof k->name) == 1 &&
		   RAND_priv_bytes(k->cipher, sizeof k->cipher) == 1 &&
		   RAND_priv_bytes(k->mac, sizeof k->mac) == 1;
	return k->valid;
}

int tls_tickets_create(struct tls_tickets **tickets, struct weir_error *e)
{
	struct tls_tickets *t = calloc(1, sizeof *t);

	*tickets = NULL;
	if (t == NULL)
		return error_set(e, -ENOMEM, "session tickets: out of memory");
	if (!make_key(&t->keys[0])) {
		free(t);
		return error_set(e, -EIO, "session tickets: no random numbers: %s",
				 tls_last_error());
	}
	t->magic = MAGIC;
	must(pthread_rwlock_init(&t->lock, NULL) == 0);
	*tickets = t;
	return 0;
}

void tls_tickets_destroy(struct tls_tickets **tickets)
{
	struct tls_tickets *t;

	if (*tickets == NULL)
		return;
	OBJ_TAKE(t, tickets, MAGIC);
	must(pthread_rwlock_destroy(&t->lock) == 0);
	OPENSSL_cleanse(t, sizeof *t);
	free(t);
}

static bool is_old(const struct key *k)
{
	return clock_mono_ns() - k->born_ns > (uint64_t)TLS_TICKET_KEY_SECONDS * 1000000000u;
}

/* The lock is held for writing. Without random numbers the old key stays. */
static void rotate(struct tls_tickets *t)
{
	struct key fresh;

	if (!make_key(&fresh))
		return;
	memmove(&t->keys[1], &t->keys[0], (KEYS - 1) * sizeof t->keys[0]);
	t->keys[0] = fresh;
	OPENSSL_cleanse(&fresh, sizeof fresh);
}

void tls_tickets_rotate(struct tls_tickets *t)
{
	OBJ_CHECK(t, MAGIC);
	must(pthread_rwlock_wrlock(&t->lock) == 0);
	rotate(t);
	must(pthread_rwlock_unlock(&t->lock) == 0);
}

static void rotate_if_old(struct tls_tickets *t)
{
	bool old;

	must(pthread_rwlock_rdlock(&t->lock) == 0);
	old = is_old(&t->keys[0]);
	must(pthread_rwlock_unlock(&t->lock) == 0);
	if (!old)
		return;
	must(pthread_rwlock_wrlock(&t->lock) == 0);
	if (is_old(&t->keys[0]))
		rotate(t);
	must(pthread_rwlock_unlock(&t->lock) == 0);
}

static bool set_up(const struct key *k, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
		   int encrypt)
{
	char digest[] = "SHA256";
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)k->mac,
						  sizeof k->mac),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end()};

	if (EVP_MAC_CTX_set_params(mac, parameters) != 1)
		return false;
	return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->cipher, iv, encrypt) == 1;
}

/* Places in order of age; the first one is current. KEYS if none has that name. */
static size_t find(const struct tls_tickets *t, const unsigned char name[16])
{
	size_t at = 0;

	while (at < KEYS && !(t->keys[at].valid && memcmp(t->keys[at].name, name, 16) == 0))
		at++;
	return at;
}

/*
 * A ticket is taken up once (RFC 8446 section C.4), so that nobody can tell that two connections
 * are of one client. The new ticket also acknowledges the client's last flight; without it, its
 * request waits for the acknowledgement that the kernel delays.
 */
static bool is_single_use(const SSL *ssl)
{
	return SSL_version(ssl) >= TLS1_3_VERSION;
}

/* As the library wants it: 0 no such key, 1 done, 2 done and the ticket should be renewed, -1
 * failed. */
int tls_tickets_key(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher,
		    EVP_MAC_CTX *mac, int encrypt)
{
	struct tls_tickets *t = tls_acceptor_of(ssl)->tickets;
	int result = 0;
	size_t at;

	OBJ_CHECK(t, MAGIC);
	rotate_if_old(t);
	if (encrypt && RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
		return -1;
	must(pthread_rwlock_rdlock(&t->lock) == 0);
	at = encrypt ? 0 : find(t, name);
	if (encrypt)
		memcpy(name, t->keys[0].name, sizeof t->keys[0].name);
	if (at < KEYS)
		result = !set_up(&t->keys[at], iv, cipher, mac, encrypt) ? -1
			 : at > 0 || is_single_use(ssl)                  ? 2
									 : 1;
	must(pthread_rwlock_unlock(&t->lock) == 0);
	return result;
}

/* The certificates one after another; -1 when memory is short. */
static int encode(const STACK_OF(X509) * chain, unsigned char **bytes)
{
	int total = 0;
	unsigned char *p;

	for (int i = 0; i < sk_X509_num(chain); i++)
		total += MAX(i2d_X509(sk_X509_value(chain, i), NULL), 0);
	p = *bytes = malloc((size_t)MAX(total, 1));
	if (p == NULL)
		return -1;
	for (int i = 0; i < sk_X509_num(chain); i++)
		(void)i2d_X509(sk_X509_value(chain, i), &p);
	return total;
}

int tls_tickets_keep_chain(SSL *ssl, void *unused)
{
	const STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
	unsigned char *bytes;
	int n, r;

	(void)unused;
	/* Of a session that was taken up, the ticket's is kept. */
	if (sk_X509_num(chain) <= 0)
		return 1;
	n = encode(chain, &bytes);
	r = n >= 0 && SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), bytes, (size_t)n) == 1;
	free(bytes);
	return r;
}

SSL_TICKET_RETURN tls_tickets_take_up(SSL *ssl, SSL_SESSION *session, const unsigned char *key,
				      size_t key_bytes, SSL_TICKET_STATUS status, void *unused)
{
	const char *name;

	(void)key;
	(void)key_bytes;
	(void)unused;
	if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	name = SSL_SESSION_get0_hostname(session);
	if (!slice_equal_nocase(slice_from(name != NULL ? name : ""), tls_server_name(tls_of(ssl))))
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

int tls_tickets_chain(const SSL *ssl, STACK_OF(X509) * to)
{
	void *bytes = NULL;
	const unsigned char *p;
	size_t n = 0;

	if (SSL_SESSION_get0_ticket_appdata(SSL_get_session(ssl), &bytes, &n) != 1 || n == 0)
		return 0;
	p = bytes;
	while (p < (const unsigned char *)bytes + n) {
		X509 *x = d2i_X509(NULL, &p, (long)((const unsigned char *)bytes + n - p));

		if (x == NULL || sk_X509_push(to, x) == 0) {
			X509_free(x);
			ERR_clear_error();
			return -ENOMEM;
		}
	}
	return 0;
}
