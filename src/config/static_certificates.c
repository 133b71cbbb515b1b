#include "config/static_rows.h"

static const struct option eab_rows[] = {
	ROW("kid", STRING, NULL),
	ROW("hmacEncoded", STRING, NULL),
	OPT_END,
};

static const struct option dns_challenge_propagation_rows[] = {
	ROW("disableChecks", BOOL, NULL),
	ROW("disableANSChecks", BOOL, NULL),
	ROW("requireAllRNS", BOOL, NULL),
	ROW("delayBeforeChecks", DURATION, NULL),
	OPT_END,
};

static const struct option dns_challenge_rows[] = {
	ROW("provider", STRING, NULL),
	ROW("resolvers", LIST, NULL),
	ROW("delayBeforeCheck", DURATION, NULL),
	ROW("disablePropagationCheck", BOOL, NULL),
	TABLE("propagation", POINTER, dns_challenge_propagation_rows, OPTION_ALLOW_EMPTY),
	OPT_END,
};

static const struct option http_challenge_rows[] = {
	ROW("entryPoint", STRING, NULL),
	ROW("delay", DURATION, NULL),
	OPT_END,
};

static const struct option tls_challenge_rows[] = {
	ROW("delay", DURATION, NULL),
	OPT_END,
};

static const struct option acme_rows[] = {
	ROW("email", STRING, NULL),
	ROW("caServer", STRING, "https://acme-v02.api.letsencrypt.org/directory"),
	ROW("preferredChain", STRING, NULL),
	ROW("profile", STRING, NULL),
	ROW("emailAddresses", LIST, NULL),
	ROW("disableCommonName", BOOL, NULL),
	ROW("storage", STRING, "acme.json"),
	ROW("keyType", STRING, "RSA4096"),
	ROW("certificatesDuration", INT, "2160"),
	ROW("clientTimeout", DURATION, "120s"),
	ROW("clientResponseHeaderTimeout", DURATION, "30s"),
	ROW("certificateTimeout", DURATION, "30s"),
	ROW("caCertificates", LIST, NULL),
	ROW("caSystemCertPool", BOOL, NULL),
	ROW("caServerName", STRING, NULL),
	TABLE("eab", POINTER, eab_rows, 0),
	TABLE("dnsChallenge", POINTER, dns_challenge_rows, OPTION_ALLOW_EMPTY),
	TABLE("httpChallenge", POINTER, http_challenge_rows, OPTION_ALLOW_EMPTY),
	TABLE("tlsChallenge", POINTER, tls_challenge_rows, OPTION_ALLOW_EMPTY),
	OPT_END,
};

static const struct option no_rows[] = {OPT_END};

const struct option certificates_resolver_rows[] = {
	TABLE("acme", POINTER, acme_rows, 0),
	TABLE("tailscale", POINTER, no_rows, OPTION_ALLOW_EMPTY),
	OPT_END,
};
