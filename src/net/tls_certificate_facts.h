/*
 * What a certificate says, as text: for the API, metrics and logs.
 */
#ifndef NET_TLS_CERTIFICATE_FACTS_H
#define NET_TLS_CERTIFICATE_FACTS_H

#include "core/arena.h"
#include "net/tls_certificate.h"

/** Of the leaf. Texts are in UTF-8 and empty where the certificate has none; the words are those of
 * Traefik's API. */
struct tls_certificate_facts {
	slice fingerprint;     /* SHA-256 of the certificate, hexadecimal */
	slice key_fingerprint; /* ... of its public key */
	slice serial;          /* decimal */
	slice common_name;
	slice organization;
	slice country;
	slice issuer_common_name;
	slice issuer_organization;
	slice issuer_country;
	slice dns_names;     /* in their order, with commas between them */
	slice *alternatives; /* DNS names and addresses, sorted */
	size_t alternative_count;
	slice key_type;       /* "RSA", "ECDSA" or "Unknown" */
	int key_bits;         /* 0 if it is unknown */
	slice signature;      /* "SHA256-RSA" ... */
	long version;         /* 3 ... */
	int64_t not_before_s; /* since 1970, as the next one */
	int64_t not_after_s;
};

/** Fills in `facts`, whose texts live as long as the arena. Returns 0 or -ENOMEM. Any thread. */
int tls_certificate_describe(const struct tls_certificate *c, struct arena *arena,
			     struct tls_certificate_facts *facts);

#endif
