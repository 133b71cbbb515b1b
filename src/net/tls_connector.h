/*
 * How TLS connections to servers are made: whom they believe, what they show of themselves.
 * Immutable and shared by reference counting: any thread.
 */
#ifndef NET_TLS_CONNECTOR_H
#define NET_TLS_CONNECTOR_H

#include <openssl/ssl.h>

#include "net/tls_certificate.h"

/** As Traefik and Go name things. Borrowed while a connector is made. */
struct tls_connector_settings {
	slice server_name;  /* that is asked for and that the certificate must have; empty: the host
			     */
	bool insecure;      /* any certificate will do */
	const slice *roots; /* PEM, each with one certificate or more; none: those of the system */
	const slice *root_names; /* parallel: what to call them in messages */
	size_t root_count;
	struct tls_certificate *const *certificates; /* to show; get references of their own */
	size_t certificate_count;
	const slice *cipher_suites; /* of TLS 1.2 and below; none: those that Go holds safe */
	size_t cipher_suite_count;
	slice min_version; /* "VersionTLS12"; empty or unknown: 1.2 */
	slice max_version; /* empty or unknown: the highest */
	const slice
		*uris; /* the certificate must have one of these or of `names`, and be signed by */
	size_t uri_count;   /* a root, insecure or not; neither: any */
	const slice *names; /* DNS names */
	size_t name_count;
};

#define TLS_CONNECTOR_MAGIC 0x746c636eu

struct tls_connector {
	uint32_t magic;
	_Atomic uint32_t references;
	SSL_CTX *context;
	char *server_name; /* NULL: the host */
	bool verify_host;
	char **uris, **names; /* NULL-terminated */
	struct tls_certificate **certificates;
	size_t certificate_count;
	unsigned char hash[SHA256_DIGEST_BYTES]; /* equal for equal settings */
};

/** One reference for the caller. Returns 0 or a negative errno value and what is wrong. */
int tls_connector_create(struct tls_connector **connector,
			 const struct tls_connector_settings *settings, struct weir_error *e);

/** One more reference, dropped by `tls_connector_release`. Returns `c`. */
struct tls_connector *tls_connector_ref(struct tls_connector *c);
/** NULL is allowed in `*c`. */
void tls_connector_release(struct tls_connector **c);

#endif
