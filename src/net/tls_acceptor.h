/*
 * What the TLS connections of one listener get: settings by the host that a client asks for, and a
 * certificate. Immutable and shared by reference counting: any thread.
 */
#ifndef NET_TLS_ACCEPTOR_H
#define NET_TLS_ACCEPTOR_H

#include <openssl/ssl.h>

#include "net/tls_certificate.h"
#include "net/tls_profile.h"
#include "net/tls_tickets.h"

/** The settings of one host, "*.example.com" for those below one. */
struct tls_host {
	slice name;                  /* in lower case */
	struct tls_profile *profile; /* NULL: connections to it are refused */
};

#define TLS_ACCEPTOR_MAGIC 0x746c6163u

struct tls_acceptor {
	uint32_t magic;
	_Atomic uint32_t references;
	SSL_CTX *context;
	struct tls_store *store;
	struct tls_tickets *tickets;
	struct tls_profile *profile; /* for all other hosts; NULL: they are refused */
	struct tls_host *hosts;      /* of which `map` has the index plus one */
	size_t host_count;
	struct map map;
	char *names; /* all of `hosts` */
	bool http2;  /* "h2" may be agreed on; set before it is shared */
};

/**
 * One reference for the caller. `profile`, `store` and the hosts' profiles get references of their
 * own, names are copied; `tickets` outlives it. Returns 0 or a negative errno value.
 */
int tls_acceptor_create(struct tls_acceptor **acceptor, struct tls_profile *profile,
			const struct tls_host *hosts, size_t host_count, struct tls_store *store,
			struct tls_tickets *tickets, struct weir_error *e);

/** One more reference, dropped by `tls_acceptor_release`. Returns `a`. */
struct tls_acceptor *tls_acceptor_ref(struct tls_acceptor *a);
/** NULL is allowed in `*a`. */
void tls_acceptor_release(struct tls_acceptor **a);

/** The settings of connections to a host; NULL: they are refused. Case and dots at its end do not
 * matter. */
const struct tls_profile *tls_acceptor_profile(const struct tls_acceptor *a, slice host);

/** The acceptor of a session. */
struct tls_acceptor *tls_acceptor_of(const SSL *ssl);

#endif
