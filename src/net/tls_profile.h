/*
 * The settings of TLS connections: versions, cipher suites, curves, client certificates. Immutable
 * and shared by reference counting: any thread.
 */
#ifndef NET_TLS_PROFILE_H
#define NET_TLS_PROFILE_H

#include "core/error.h"

/** X(NAME, name in configurations): what is asked of clients. */
#define TLS_CLIENT_AUTHS(X) \
	X(NONE, "NoClientCert") \
	X(REQUEST, "RequestClientCert") \
	X(REQUIRE_ANY, "RequireAnyClientCert") \
	X(VERIFY_IF_GIVEN, "VerifyClientCertIfGiven") \
	X(REQUIRE_AND_VERIFY, "RequireAndVerifyClientCert")

enum tls_client_auth {
#define X(name, text) TLS_CLIENT_##name,
	TLS_CLIENT_AUTHS(X)
#undef X
};

/** As Traefik and Go name things. Borrowed while a profile is made. */
struct tls_settings {
	slice name;                 /* sessions are resumed under the same one only */
	slice min_version;          /* "VersionTLS12"; empty or unknown: 1.2 */
	slice max_version;          /* empty or unknown: the highest */
	const slice *cipher_suites; /* of TLS 1.2 and below; none: those that Go holds safe */
	size_t cipher_suite_count;
	const slice *curves; /* none: X25519, P-256, P-384, P-521 */
	size_t curve_count;
	slice client_auth;            /* empty: none, or what the authorities suggest */
	const slice *authorities;     /* of clients: PEM, each with one certificate or more */
	const slice *authority_names; /* parallel: what to call them in messages */
	size_t authority_count;
	const slice *protocols; /* of ALPN, the best first; none: HTTP/2 and HTTP/1.1 */
	size_t protocol_count;
	bool sni_strict; /* only names that there is a certificate for */
	bool no_tickets;
};

struct tls_profile;

/** One reference for the caller. Returns 0 or a negative errno value and what is wrong. */
int tls_profile_create(struct tls_profile **profile, const struct tls_settings *settings,
		       struct weir_error *e);
struct tls_profile *tls_profile_ref(struct tls_profile *p);
/** NULL is allowed in `*p`. */
void tls_profile_release(struct tls_profile **p);
bool tls_profile_is_strict(const struct tls_profile *p);

#endif
