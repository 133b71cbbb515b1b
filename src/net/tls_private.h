/*
 * Private to tls*.c.
 */
#ifndef NET_TLS_PRIVATE_H
#define NET_TLS_PRIVATE_H

#include "core/str.h"
#include "net/tls.h"

/** Longest name that a client may ask for (RFC 6066 with RFC 1035). */
#define TLS_NAME_MAX 255

/** Why the library has just refused something. */
const char *tls_last_error(void);

/** The version of Traefik's name, or `otherwise`. */
int tls_version_of(slice name, int otherwise);

/** Adds the cipher suites below TLS 1.3 in the library's notation; those that Go holds safe if
 * there are no names. Returns 0 or a negative errno value and which one is unknown. */
int tls_translate_ciphers(struct str *to, const slice *names, size_t count, struct weir_error *e);

/** Whom a client's session asks for, and what the answer must show. Returns false when memory is
 * short. */
bool tls_connector_apply(const struct tls_connector *c, SSL *ssl, const char *host);

/** Whether the server's certificate, which is verified, has one of the names that it must have. */
bool tls_connector_likes(const struct tls_connector *c, const SSL *ssl);

/** Gives a session its settings where they are not those of its context already. Returns false when
 * memory is short. */
bool tls_profile_apply(const struct tls_profile *p, SSL *ssl);

/** Makes them those of all sessions of a context. */
bool tls_profile_apply_to_context(const struct tls_profile *p, SSL_CTX *context);

/** The protocols in the notation of ALPN: each with its length in front. */
slice tls_profile_protocols(const struct tls_profile *p);

/** For SSL_CTX_set_tlsext_ticket_key_evp_cb: the keys of the context's acceptor. */
int tls_tickets_key(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher,
		    EVP_MAC_CTX *mac, int encrypt);

/** For SSL_CTX_set_session_ticket_cb: puts the client's chain, which the library leaves out, into
 * the ticket. */
int tls_tickets_keep_chain(SSL *ssl, void *unused);

/** For the same: a session is taken up under the name that it was made under only (RFC 6066 section
 * 3 for TLS 1.2), which the library leaves to its user. */
SSL_TICKET_RETURN tls_tickets_take_up(SSL *ssl, SSL_SESSION *session, const unsigned char *key,
				      size_t key_bytes, SSL_TICKET_STATUS status, void *unused);

/** The chain that a ticket has brought, without the client's own certificate: appended to `to`.
 * Returns 0 or -ENOMEM. */
int tls_tickets_chain(const SSL *ssl, STACK_OF(X509) * to);

/** The connection of a session, and the acceptor of a session. */
struct tls *tls_of(const SSL *ssl);

/** Chooses settings and certificate by what the client asks for: SSL_CTX_set_client_hello_cb. */
int tls_acceptor_choose(SSL *ssl, int *alert, void *acceptor);

#endif
