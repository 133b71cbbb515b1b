#include "net/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>

#include "net/tls_private.h"

/* Plain bytes of one record at most (RFC 8446 section 5.1). */
#define RECORD_BYTES 16384

/* The library reads and writes through this: first what was read before it was there, then the
 * socket itself. */

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static int bio_done(BIO *b, struct tls *tls, ssize_t n, int retry)
{
	BIO_clear_retry_flags(b);
	if (n == -EAGAIN)
		BIO_set_flags(b, retry | BIO_FLAGS_SHOULD_RETRY);
	else if (n < 0)
		tls->error = (int)n;
	if (n == 0 && retry == BIO_FLAGS_READ)
		BIO_set_flags(b, BIO_FLAGS_IN_EOF);
	return n < 0 ? -1 : (int)n;
}

static int bio_read(BIO *b, char *to, int size)
{
	struct tls *tls = BIO_get_data(b);
	size_t left = tls->early_n - tls->early_at, n = MIN(left, (size_t)size);

	if (left == 0)
		return bio_done(b, tls, transport_socket_read(tls->io, to, (size_t)size),
				BIO_FLAGS_READ);
	memcpy(to, tls->early + tls->early_at, n);
	tls->early_at += n;
	if (tls->early_at == tls->early_n) {
		free(tls->early);
		tls->early = NULL;
		tls->early_n = tls->early_at = 0;
	}
	BIO_clear_retry_flags(b);
	return (int)n;
}

static int bio_write(BIO *b, const char *from, int size)
{
	struct tls *tls = BIO_get_data(b);
	const struct iovec v = {(void *)(uintptr_t)from, (size_t)size};

	return bio_done(b, tls, transport_socket_writev(tls->io, &v, 1), BIO_FLAGS_WRITE);
}

static long bio_control(BIO *b, int command, long number, void *pointer)
{
	(void)number;
	(void)pointer;
	switch (command) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return BIO_test_flags(b, BIO_FLAGS_IN_EOF) != 0;
	default:
		return 0;
	}
}

static void make_method(void)
{
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "transport");
	must(method != NULL && BIO_meth_set_read(method, bio_read) == 1 &&
	     BIO_meth_set_write(method, bio_write) == 1 &&
	     BIO_meth_set_ctrl(method, bio_control) == 1);
}

static BIO *make_bio(struct tls *tls)
{
	BIO *b;

	must(pthread_once(&method_once, make_method) == 0);
	b = BIO_new(method);
	if (b != NULL) {
		BIO_set_data(b, tls);
		BIO_set_init(b, 1);
	}
	return b;
}

/* What the library's refusal means: -EAGAIN, 0 for the peer's end, or an error that ends the
 * connection. */
static int meaning(struct tls *tls, int result, struct weir_error *e)
{
	int why = SSL_get_error(tls->ssl, result), code = -EPROTO;

	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return -EAGAIN;
	if (why == SSL_ERROR_ZERO_RETURN)
		return 0;
	tls->failed = true;
	if (why == SSL_ERROR_SYSCALL)
		code = tls->error != 0 ? tls->error : -ECONNRESET;
	(void)error_set(e, code, "%s",
			why == SSL_ERROR_SYSCALL ? strerror(-code) : tls_last_error());
	ERR_clear_error();
	return code;
}

static bool has_bytes(const struct tls *tls)
{
	return !tls->failed && tls->established &&
	       (tls->early_n > tls->early_at || SSL_has_pending(tls->ssl) == 1);
}

static void on_again(struct task *task)
{
	struct tls *tls = container_of(task, struct tls, again);

	OBJ_CHECK(tls, TLS_MAGIC);
	if (tls->io->watched & TRANSPORT_READABLE)
		tls->io->on_ready(tls->io, TRANSPORT_READABLE);
}

/* The socket is silent about what the layer has read ahead. */
static void call_again(struct transport *t)
{
	struct tls *tls = t->layer;

	if (has_bytes(tls))
		loop_defer(t->loop, &tls->again);
}

static ssize_t tls_read(struct transport *t, void *to, size_t n)
{
	struct tls *tls = t->layer;
	size_t got = 0;
	int r;

	OBJ_CHECK(tls, TLS_MAGIC);
	if (tls->failed)
		return -EPROTO;
	ERR_clear_error();
	r = SSL_read_ex(tls->ssl, to, n, &got);
	if (r != 1)
		return meaning(tls, r, NULL);
	if (t->watched & TRANSPORT_READABLE)
		call_again(t);
	return (ssize_t)got;
}

/* The next record's worth of bytes: where they are, if they lie in one piece, or copied together.
 * `*v`, `*count` and `*at` move on. */
static slice next_bytes(const struct iovec **v, int *count, size_t *at)
{
	static _Thread_local char joined[RECORD_BYTES];
	size_t n = 0;

	while (*count > 0 && n < RECORD_BYTES) {
		const char *p = (const char *)(*v)->iov_base + *at;
		size_t left = (*v)->iov_len - *at, part = MIN(left, RECORD_BYTES - n);

		if (n == 0 && (left >= RECORD_BYTES || *count == 1)) {
			*at += part;
			return slice_of(p, part);
		}
		memcpy(joined + n, p, part);
		n += part;
		*at += part;
		if (*at == (*v)->iov_len) {
			(*v)++;
			(*count)--;
			*at = 0;
		}
	}
	return slice_of(joined, n);
}

/*
 * A record that the socket does not take is offered again by the caller, who has the same bytes
 * still, perhaps with more behind them; that is all that the library asks for.
 */
static ssize_t tls_writev(struct transport *t, const struct iovec *v, int count)
{
	struct tls *tls = t->layer;
	ssize_t total = 0;
	size_t at = 0;

	OBJ_CHECK(tls, TLS_MAGIC);
	if (tls->failed)
		return -EPIPE;
	for (;;) {
		slice bytes = next_bytes(&v, &count, &at);
		size_t written = 0;
		int r;

		if (bytes.n == 0)
			return total;
		ERR_clear_error();
		r = SSL_write_ex(tls->ssl, bytes.p, bytes.n, &written);
		if (r != 1) {
			r = meaning(tls, r, NULL);
			return total > 0 ? total : r == 0 ? -EPIPE : r;
		}
		total += (ssize_t)written;
		/* Clients may ask for shorter records. */
		if (written < bytes.n)
			return total;
	}
}

/* Says that our data ends here, so that the peer cannot take a cut connection for it. */
static void say_end(struct tls *tls)
{
	/* Asked again, the library would look for the peer's end. */
	if (tls->failed || !tls->established ||
	    (SSL_get_shutdown(tls->ssl) & SSL_SENT_SHUTDOWN) != 0)
		return;
	ERR_clear_error();
	(void)SSL_shutdown(tls->ssl);
	ERR_clear_error();
}

static void tls_shutdown(struct transport *t)
{
	say_end(t->layer);
}

void tls_drop(struct tls **layer)
{
	struct transport *t;
	struct tls *tls;

	if (*layer == NULL)
		return;
	OBJ_TAKE(tls, layer, TLS_MAGIC);
	t = tls->io;
	loop_cancel(t->loop, &tls->again);
	SSL_free(tls->ssl);
	SSL_SESSION_free(tls->fresh);
	tls_acceptor_release(&tls->acceptor);
	tls_connector_release(&tls->connector);
	free(tls->early);
	free(tls->name);
	tls->magic = 0;
	t->ops = NULL;
	t->layer = NULL;
	free(tls);
}

static void tls_close(struct transport *t)
{
	struct tls *tls = t->layer;

	OBJ_CHECK(tls, TLS_MAGIC);
	if (!t->reset)
		say_end(tls);
	tls_drop(&tls);
}

static const struct transport_ops ops = {.read = tls_read,
					 .writev = tls_writev,
					 .reading = call_again,
					 .shutdown = tls_shutdown,
					 .close = tls_close};

static struct tls *make(SSL_CTX *context, struct transport *t, slice early)
{
	struct tls *tls = calloc(1, sizeof *tls);
	BIO *bio = tls != NULL ? make_bio(tls) : NULL;

	if (bio == NULL) {
		free(tls);
		return NULL;
	}
	tls->magic = TLS_MAGIC;
	tls->io = t;
	tls->again.run = on_again;
	tls->early = slice_dup(early);
	tls->early_n = early.n;
	tls->ssl = SSL_new(context);
	if (tls->early == NULL || tls->ssl == NULL) {
		SSL_free(tls->ssl);
		BIO_free(bio);
		free(tls->early);
		free(tls);
		return NULL;
	}
	SSL_set_bio(tls->ssl, bio, bio);
	SSL_set_app_data(tls->ssl, tls);
	return tls;
}

int tls_accept(struct tls **tls, struct tls_acceptor *acceptor, struct transport *t, slice early)
{
	OBJ_CHECK(acceptor, TLS_ACCEPTOR_MAGIC);
	must(t->ops == NULL && t->layer == NULL);
	*tls = make(acceptor->context, t, early);
	ERR_clear_error();
	if (*tls == NULL)
		return -ENOMEM;
	(*tls)->acceptor = tls_acceptor_ref(acceptor);
	SSL_set_accept_state((*tls)->ssl);
	t->ops = &ops;
	t->layer = *tls;
	return 0;
}

int tls_connect(struct tls **tls, struct tls_connector *connector, struct transport *t,
		const char *host, slice protocols, SSL_SESSION *session)
{
	OBJ_CHECK(connector, TLS_CONNECTOR_MAGIC);
	must(t->ops == NULL && t->layer == NULL);
	*tls = make(connector->context, t, slice_of("", 0));
	if (*tls == NULL)
		return -ENOMEM;
	t->ops = &ops;
	t->layer = *tls;
	(*tls)->connector = tls_connector_ref(connector);
	SSL_set_connect_state((*tls)->ssl);
	/* Setting protocols returns 0 when all is well. */
	if (!tls_connector_apply(connector, (*tls)->ssl, host) ||
	    (protocols.n > 0 && SSL_set_alpn_protos((*tls)->ssl, (const unsigned char *)protocols.p,
						    (unsigned)protocols.n) != 0)) {
		ERR_clear_error();
		tls_drop(tls);
		return -ENOMEM;
	}
	/* One that does not fit any more is no mistake: the handshake is a full one. */
	if (session != NULL)
		(void)SSL_set_session((*tls)->ssl, session);
	ERR_clear_error();
	return 0;
}

SSL_SESSION *tls_take_session(struct tls *tls)
{
	SSL_SESSION *session = tls->fresh;

	OBJ_CHECK(tls, TLS_MAGIC);
	tls->fresh = NULL;
	return session;
}

/* Of a client: what it has not believed, or understood, and what the server has told it. */
static int client_failure(const struct tls *tls, unsigned long error, struct weir_error *e)
{
	long verified = SSL_get_verify_result(tls->ssl);

	if (ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK)
		return error_set(e, -EKEYREJECTED, "the server's certificate is not accepted: %s",
				 X509_verify_cert_error_string(verified));
	/* Alerts have numbers from here on. */
	if (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) >= SSL_AD_REASON_OFFSET)
		return -EPROTO;
	if (e != NULL)
		e->code = -EKEYREJECTED;
	return -EKEYREJECTED;
}

int tls_handshake(struct tls *tls, struct weir_error *e)
{
	unsigned long error;
	int r;

	OBJ_CHECK(tls, TLS_MAGIC);
	if (tls->failed)
		return error_set(e, -EPROTO, "the handshake has failed");
	ERR_clear_error();
	r = SSL_do_handshake(tls->ssl);
	if (r == 1 && tls->connector != NULL && !tls_connector_likes(tls->connector, tls->ssl)) {
		tls->failed = true;
		return error_set(
			e, -EKEYREJECTED,
			"the server's certificate has none of the names that are expected");
	}
	if (r == 1) {
		tls->established = true;
		return 0;
	}
	error = ERR_peek_last_error();
	r = meaning(tls, r, e);
	if (r == -EPROTO && tls->connector != NULL)
		return client_failure(tls, error, e);
	if (r == -EAGAIN)
		transport_watch(tls->io,
				SSL_want_write(tls->ssl) ? TRANSPORT_WRITABLE : TRANSPORT_READABLE);
	return r == 0 ? error_set(e, -ECONNRESET, "the peer has closed") : r;
}

slice tls_server_name(const struct tls *tls)
{
	OBJ_CHECK(tls, TLS_MAGIC);
	return slice_from(tls->name);
}

bool tls_is_resumed(const struct tls *tls)
{
	OBJ_CHECK(tls, TLS_MAGIC);
	return SSL_session_reused(tls->ssl) == 1;
}

slice tls_protocol(const struct tls *tls)
{
	const unsigned char *name;
	unsigned n;

	OBJ_CHECK(tls, TLS_MAGIC);
	SSL_get0_alpn_selected(tls->ssl, &name, &n);
	return slice_of((const char *)name, n);
}

static int add_shown(const struct tls *tls, X509 *leaf, STACK_OF(X509) * to)
{
	const STACK_OF(X509) *chain = SSL_get_peer_cert_chain(tls->ssl);

	if (sk_X509_push(to, leaf) == 0)
		return -ENOMEM;
	X509_up_ref(leaf);
	for (int i = 0; i < sk_X509_num(chain); i++) {
		if (sk_X509_push(to, sk_X509_value(chain, i)) == 0)
			return -ENOMEM;
		X509_up_ref(sk_X509_value(chain, i));
	}
	return tls_is_resumed(tls) ? tls_tickets_chain(tls->ssl, to) : 0;
}

int tls_peer_certificates(const struct tls *tls, STACK_OF(X509) * *shown)
{
	X509 *leaf;

	OBJ_CHECK(tls, TLS_MAGIC);
	must(tls->acceptor != NULL);
	*shown = NULL;
	leaf = SSL_get0_peer_certificate(tls->ssl);
	if (leaf == NULL)
		return 0;
	*shown = sk_X509_new_null();
	if (*shown != NULL && add_shown(tls, leaf, *shown) == 0)
		return 0;
	sk_X509_pop_free(*shown, X509_free);
	*shown = NULL;
	return -ENOMEM;
}

const char *tls_version_text(const struct tls *tls)
{
	OBJ_CHECK(tls, TLS_MAGIC);
	switch (SSL_version(tls->ssl)) {
	case TLS1_VERSION:
		return "1.0";
	case TLS1_1_VERSION:
		return "1.1";
	case TLS1_2_VERSION:
		return "1.2";
	case TLS1_3_VERSION:
		return "1.3";
	default:
		return "unknown";
	}
}

const char *tls_cipher_text(const struct tls *tls)
{
	const SSL_CIPHER *cipher;
	const char *name;

	OBJ_CHECK(tls, TLS_MAGIC);
	cipher = SSL_get_current_cipher(tls->ssl);
	name = cipher != NULL ? SSL_CIPHER_standard_name(cipher) : NULL;
	return name != NULL ? name : "unknown";
}

bool tls_remember_name(struct tls *tls, slice name)
{
	OBJ_CHECK(tls, TLS_MAGIC);
	if (name.n == 0 || tls->name != NULL)
		return true;
	tls->name = slice_dup(name);
	return tls->name != NULL;
}

struct tls *tls_of(const SSL *ssl)
{
	struct tls *tls = SSL_get_app_data(ssl);

	OBJ_CHECK(tls, TLS_MAGIC);
	return tls;
}
