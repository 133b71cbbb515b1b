/*
 * Answers about whether a certificate has been revoked (OCSP, RFC 6960), to be shown to clients
 * with it: what to ask, whom, and whether an answer can be believed.
 */
#ifndef NET_TLS_OCSP_H
#define NET_TLS_OCSP_H

#include "core/arena.h"
#include "net/tls_certificate.h"

/** Longest answer that is taken. */
#define TLS_OCSP_BYTES_MAX 16384u

/**
 * What to send, and the address of the certificate's responder, both in the arena. Returns 0;
 * -ENOENT if the certificate names no responder, or its chain does not hold who signed it; -ENOMEM.
 */
int tls_ocsp_ask(const struct tls_certificate *c, struct arena *arena, slice *request,
		 slice *responder);

/** Whether the certificate names a responder and its chain holds who signed it: whether
 * `tls_ocsp_ask` has something to say. Certificates know it as `has_responder`. */
bool tls_ocsp_has_responder(const struct tls_certificate *c);

/**
 * Whether `answer` speaks of this certificate, is signed by who may sign it, valid now, and says
 * that the certificate is good. Then `*next_s` is how many seconds it is valid for. Returns 0, or a
 * negative errno value with what is wrong: -EKEYREVOKED for a certificate that was revoked.
 */
int tls_ocsp_check(const struct tls_certificate *c, slice answer, int64_t *next_s,
		   struct weir_error *e);

/** From now on, and for so many seconds, clients get this answer (copied) with the certificate; an
 * empty one: none. Returns 0 or -ENOMEM. Any thread. */
int tls_certificate_set_staple(struct tls_certificate *c, slice answer, int64_t seconds);

/** Whether clients get an answer with it. Any thread. */
bool tls_certificate_has_staple(struct tls_certificate *c);

/** For SSL_CTX_set_tlsext_status_cb: hands out the staple of the session's certificate. */
int tls_ocsp_staple(SSL *ssl, void *unused);

#endif
