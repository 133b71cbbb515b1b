/*
 * A certificate with its chain and private key, and which of several a client gets. Immutable and
 * shared by reference counting: any thread.
 */
#ifndef NET_TLS_CERTIFICATE_H
#define NET_TLS_CERTIFICATE_H

#include <openssl/x509.h>
#include <pthread.h>

#include "core/error.h"
#include "core/map.h"
#include "core/sha256.h"
#include "core/str.h"

#define TLS_CERTIFICATE_MAGIC 0x63657274u

/** Immutable but for what OCSP says of it (`tls_certificate_set_staple`). One reference each:
 * `tls_certificate_load` or `tls_certificate_ref` to `tls_certificate_release`. */
struct tls_certificate {
	uint32_t magic;
	_Atomic uint32_t references;
	X509 *leaf;
	STACK_OF(X509) * chain; /* without the leaf */
	EVP_PKEY *key;
	char **names; /* DNS names and addresses, lower case, without repetitions, sorted */
	size_t name_count;
	bool generated;
	bool has_responder;                      /* it can be asked whether it has been revoked */
	unsigned char hash[SHA256_DIGEST_BYTES]; /* of what it was loaded from */
	pthread_mutex_t staple_lock;             /* guards what follows */
	char *staple;                            /* shown to clients; NULL: nothing is */
	size_t staple_n;
	int64_t staple_until_s; /* since 1970 */
};

/** The hash that a certificate loaded from these texts has. */
void tls_certificate_hash(slice certificate, slice key, unsigned char hash[SHA256_DIGEST_BYTES]);

/** From PEM. Returns 0 or a negative errno value with what is wrong with them. */
int tls_certificate_load(slice certificate, slice key, struct tls_certificate **made,
			 struct weir_error *e);

/** A new key with a certificate that it has signed itself, for clients that nothing else fits. */
int tls_certificate_generate(struct tls_certificate **made, struct weir_error *e);

/** One more reference. Returns `c`. */
struct tls_certificate *tls_certificate_ref(struct tls_certificate *c);

/** NULL is allowed in `*c`. */
void tls_certificate_release(struct tls_certificate **c);

#define TLS_STORE_MAGIC 0x746c7374u

/** The certificates of a process; its certificates have a reference each. */
struct tls_store {
	uint32_t magic;
	_Atomic uint32_t references;
	struct tls_certificate **list; /* each of them once, the one for the rest first */
	size_t count;
	struct map names; /* lower case to certificate; "*.example.com" for wildcards */
	struct map hashes;
	bool has_addresses; /* some of the names are */
};

/**
 * A store whose certificate for all the rest is `fallback`. Both keep references of their own.
 * Returns 0 or -ENOMEM.
 */
int tls_store_create(struct tls_store **store, struct tls_certificate *fallback);

/**
 * Adds a certificate under all its names, where nobody has them yet; not once the store is shared.
 * No other one of the same bytes may be there; the fallback may be added, so that it has its names.
 * Whatever is added again is listed once. Returns 0 or -ENOMEM.
 */
int tls_store_add(struct tls_store *s, struct tls_certificate *c);

/** The certificate for a name in lower case: that name's, its wildcard's, or NULL. */
struct tls_certificate *tls_store_find(const struct tls_store *s, slice name);

/** The certificate that was loaded from the same bytes, or NULL. */
struct tls_certificate *tls_store_find_hash(const struct tls_store *s,
					    const unsigned char hash[SHA256_DIGEST_BYTES]);

/** One more reference. Returns `s`. */
struct tls_store *tls_store_ref(struct tls_store *s);
/** Drops a reference and nulls the pointer. NULL is allowed in `*s`. */
void tls_store_release(struct tls_store **s);

#endif
