/*
 * TLS on a transport, of either side: takes the place of the socket's reads and writes
 * (`transport_ops`), without blocking and with the transport's back pressure. Knows nothing of what
 * is said inside.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "net/tls_acceptor.h"
#include "net/tls_connector.h"
#include "net/transport.h"

/** Whether a connection that begins with this byte is meant to be TLS: a handshake's record, or
 * what SSL 2 began with. HTTP never does. */
static inline bool tls_begins_with(char first)
{
	return first == 0x16 || (unsigned char)first == 0x80;
}

#define TLS_MAGIC 0x746c7363u

/** One connection's layer; owned by its transport, which frees it when it is closed. */
struct tls {
	uint32_t magic;
	SSL *ssl;
	struct tls_acceptor *acceptor;   /* one reference; NULL: we are the client */
	struct tls_connector *connector; /* one reference; NULL: we are the server */
	SSL_SESSION *fresh;              /* of a client; NULL: none, or it was taken */
	struct transport *io;
	struct task again; /* calls `on_ready` for bytes that the socket does not tell of */
	char *early;       /* bytes that were read before the layer was there */
	size_t early_n, early_at;
	char *name; /* that the client asked for, in lower case; NULL: none */
	const struct tls_profile *profile;   /* of the acceptor; NULL: not chosen yet */
	struct tls_certificate *certificate; /* the same */
	int error;                           /* of the socket, a negative errno value */
	bool established;
	bool failed; /* nothing more can be said on it */
};

/**
 * Puts the layer on a transport from which `early` has been read already (copied). Returns 0 or
 * -ENOMEM with the transport as it was.
 */
int tls_accept(struct tls **tls, struct tls_acceptor *acceptor, struct transport *t, slice early);

/**
 * Puts the layer on a connected transport to a server, of which `host` is the name or address.
 * `session` (NULL: none) is taken up if the server agrees, and `protocols` are offered in ALPN's
 * notation, the best first (empty: nothing is said of protocols). Returns 0 or -ENOMEM with the
 * transport as it was.
 */
int tls_connect(struct tls **tls, struct tls_connector *connector, struct transport *t,
		const char *host, slice protocols, SSL_SESSION *session);

/** The newest session that the server has offered, for later connections; NULL: none since the last
 * call. The caller frees it. */
SSL_SESSION *tls_take_session(struct tls *tls);

/**
 * Goes on with the handshake. Returns 0 when it is complete, -EAGAIN when bytes must come or go
 * first, for which the transport is then watched, or another negative errno value with the reason
 * in `e`: -EKEYREJECTED where we do not believe or understand the peer, -EPROTO where it refuses
 * us or a client makes no sense, or the socket's.
 */
int tls_handshake(struct tls *tls, struct weir_error *e);

/** Takes the layer off its transport without a word to the client; what then comes is raw. NULL is
 * allowed in `*layer`. */
void tls_drop(struct tls **layer);

/** The name that the client asked for, in lower case; empty if it named none. Of the connection's.
 */
slice tls_server_name(const struct tls *tls);

/** Whether the handshake took up an earlier session. */
bool tls_is_resumed(const struct tls *tls);

/** The protocol that was agreed on ("h2"), or nothing. Of the connection's. */
slice tls_protocol(const struct tls *tls);

/** Of a complete handshake: "1.3", and the cipher suite by its IANA name. Static. */
const char *tls_version_text(const struct tls *tls);
const char *tls_cipher_text(const struct tls *tls);

/**
 * The certificates that the client has shown, its own first, also where an earlier session was
 * taken up: a stack with references of its own, or NULL if it has shown none. The caller frees them
 * with `sk_X509_pop_free`. Returns 0 or -ENOMEM.
 */
int tls_peer_certificates(const struct tls *tls, STACK_OF(X509) * *shown);

/** For the choice of a certificate. Returns false when memory is short. */
bool tls_remember_name(struct tls *tls, slice name);

#endif
