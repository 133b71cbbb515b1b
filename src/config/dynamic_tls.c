#include <errno.h>

#include "config/dynamic_private.h"

/* The section tls. */

const struct option dynamic_key_pair_options[] = {
	OPT_CONTENT("certFile", struct dynamic_key_pair, cert_file, NULL,
		    "The certificate, followed by those that it was signed by."),
	OPT_CONTENT("keyFile", struct dynamic_key_pair, key_file, NULL, "Its private key.",
		    .flags = OPTION_SECRET),
	OPT_END,
};

const struct option dynamic_certificate_options[] = {
	OPT_CONTENT("certFile", struct dynamic_certificate, pair.cert_file, NULL,
		    "The certificate, followed by those that it was signed by."),
	OPT_CONTENT("keyFile", struct dynamic_certificate, pair.key_file, NULL, "Its private key.",
		    .flags = OPTION_SECRET),
	OPT_LIST("stores", struct dynamic_certificate, stores, NULL,
		 "Stores that it belongs to; empty: `default`, the only one that is used."),
	OPT_END,
};

static const struct option client_auth_rows[] = {
	OPT_CONTENTS("caFiles", struct dynamic_client_auth, ca_files, NULL,
		     "Authorities that sign clients."),
	OPT_STRING("clientAuthType", struct dynamic_client_auth, client_auth_type, NULL,
		   "`NoClientCert`, `RequestClientCert`, `RequireAnyClientCert`, "
		   "`VerifyClientCertIfGiven` or `RequireAndVerifyClientCert`; empty: the last one "
		   "with `caFiles`, the first one without."),
	OPT_END,
};

const struct option dynamic_tls_options_options[] = {
	OPT_STRING("minVersion", struct dynamic_tls_options, min_version, "VersionTLS12",
		   "Lowest version: `VersionTLS10` to `VersionTLS13`."),
	OPT_STRING("maxVersion", struct dynamic_tls_options, max_version, NULL,
		   "Highest version; empty: the highest there is."),
	OPT_LIST("cipherSuites", struct dynamic_tls_options, cipher_suites, NULL,
		 "Cipher suites up to TLS 1.2, by their IANA names; those of TLS 1.3 are always "
		 "on. Empty: those that are held safe."),
	OPT_LIST("curvePreferences", struct dynamic_tls_options, curve_preferences, NULL,
		 "Curves: `X25519`, `CurveP256`, `CurveP384`, `CurveP521`; empty: all of them."),
	OPT_OBJECT("clientAuth", struct dynamic_tls_options, client_auth, client_auth_rows,
		   "Certificates of clients."),
	OPT_BOOL(
		"sniStrict", struct dynamic_tls_options, sni_strict, "false",
		"Refuse clients whose name no certificate fits, instead of using the default one."),
	OPT_LIST("alpnProtocols", struct dynamic_tls_options, alpn_protocols,
		 "h2,http/1.1,acme-tls/1", "Protocols that are offered, the best first."),
	OPT_BOOL("disableSessionTickets", struct dynamic_tls_options, disable_session_tickets,
		 "false", "Never resume sessions."),
	OPT_NOWHERE("preferServerCipherSuites", BOOL, ACCEPTED, NULL,
		    "Deprecated: the server's order counts."),
	OPT_END,
};

static const struct option domain_rows[] = {
	ROW("main", STRING, NULL),
	ROW("sans", LIST, NULL),
	OPT_END,
};

static const struct option generated_cert_rows[] = {
	ROW("resolver", STRING, NULL),
	TABLE("domain", OBJECT, domain_rows, 0),
	OPT_END,
};

const struct option dynamic_tls_store_options[] = {
	OPT_POINTER("defaultCertificate", struct dynamic_tls_store, default_certificate,
		    dynamic_key_pair_options,
		    "The certificate for clients that no other one fits; absent: one that signs "
		    "itself."),
	OPT_NOWHERE_TABLE("defaultGeneratedCert", OBJECT, ACCEPTED, generated_cert_rows, 0,
			  "The same from a resolver.", .hint = "weir gets no certificates"),
	OPT_END,
};

const struct option dynamic_tls_rows[] = {
	OPT_ARRAY("certificates", struct dynamic_tls, certificates, struct dynamic_certificate,
		  dynamic_certificate_options,
		  "Certificates; clients get the one for the name that they ask for."),
	OPT_MAP("options", struct dynamic_tls, options, struct dynamic_tls_options,
		dynamic_tls_options_options,
		"Settings of connections, by name; `default` holds where nothing else is said."),
	OPT_MAP("stores", struct dynamic_tls, stores, struct dynamic_tls_store,
		dynamic_tls_store_options, "Stores of certificates; only `default` is used."),
	OPT_END,
};

/* Reading files. */

struct reading {
	struct arena *arena;
	void (*file)(void *context, const char *path);
	void *context;
	size_t count; /* options that stand for bytes */
	bool failed;
};

static void read_one(void *user, struct option_content *content)
{
	struct reading *all = user;
	slice bytes;
	int r;

	all->count++;
	if (all->file != NULL && option_names_file(content->text))
		all->file(all->context, content->text.p);
	r = option_read_content(all->arena, content, &bytes, NULL);
	all->failed |= r == -ENOMEM;
	if (r == 0)
		content->bytes = bytes.p != NULL ? bytes : SLICE("");
}

void dynamic_visit_contents(struct dynamic_config *config,
			    void (*visit)(void *user, struct option_content *content), void *user)
{
	for (enum dynamic_kind kind = 0; kind < DYNAMIC_KIND_COUNT; kind++)
		for (size_t i = 0; i < dynamic_count(config, kind); i++)
			option_visit_contents(dynamic_kind_options(kind),
					      dynamic_at(config, kind, i), visit, user);
	for (size_t i = 0; i < config->certificates.count; i++)
		option_visit_contents(dynamic_certificate_options, config->certificates.items[i],
				      visit, user);
}

int dynamic_read_files(struct dynamic_config *config, void (*file)(void *context, const char *path),
		       void *context)
{
	struct reading all = {.arena = &config->arena, .file = file, .context = context};

	must(config->part_count == 0);
	dynamic_visit_contents(config, read_one, &all);
	/* The hashes are as they were made when it was decoded. */
	if (all.count == 0)
		return 0;
	if (all.failed || dynamic_hash_objects(config) < 0)
		return -ENOMEM;
	return dynamic_hash_whole(config);
}
