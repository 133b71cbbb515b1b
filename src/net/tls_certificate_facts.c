#include "net/tls_certificate_facts.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <time.h>

#include "net/address.h"

/* Nothing is missing, or everything is: one failure is remembered. */
struct reading {
	struct arena *arena;
	bool failed;
};

static slice keep(struct reading *r, slice text)
{
	slice kept = arena_copy(r->arena, text);

	r->failed |= kept.p == NULL;
	return kept;
}

static int last_entry(const X509_NAME *name, int id)
{
	int found = -1, at;

	for (at = -1; (at = X509_NAME_get_index_by_NID(name, id, at)) >= 0;)
		found = at;
	return found;
}

/* Go takes the last common name, but the first of all others. */
static slice name_part(struct reading *r, const X509_NAME *name, int id)
{
	int at = id == NID_commonName ? last_entry(name, id)
				      : X509_NAME_get_index_by_NID(name, id, -1);
	unsigned char *text = NULL;
	slice part = {NULL, 0};
	int n;

	if (at < 0)
		return part;
	n = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	if (n > 0)
		part = keep(r, slice_of((const char *)text, (size_t)n));
	OPENSSL_free(text);
	return part;
}

static slice digest_text(struct reading *r, const unsigned char *bytes, int n)
{
	char text[SHA256_HEX];

	if (n < 0)
		return (slice){NULL, 0};
	sha256_hex(slice_of((const char *)bytes, (size_t)n), text);
	return keep(r, slice_from(text));
}

static void read_fingerprints(struct reading *r, X509 *leaf, struct tls_certificate_facts *f)
{
	unsigned char *der = NULL;
	int n = i2d_X509(leaf, &der);

	f->fingerprint = digest_text(r, der, n);
	OPENSSL_free(der);
	der = NULL;
	n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &der);
	f->key_fingerprint = digest_text(r, der, n);
	OPENSSL_free(der);
}

static slice serial_text(struct reading *r, const X509 *leaf)
{
	BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(leaf), NULL);
	char *text = number != NULL ? BN_bn2dec(number) : NULL;
	slice serial = {NULL, 0};

	if (text != NULL)
		serial = keep(r, slice_from(text));
	r->failed |= text == NULL;
	OPENSSL_free(text);
	BN_free(number);
	return serial;
}

/* Empty for names of other kinds. */
static slice alternative(struct reading *r, const GENERAL_NAME *name, int *type)
{
	const ASN1_STRING *s = GENERAL_NAME_get0_value(name, type);
	slice bytes = {NULL, 0};
	char text[ADDRESS_TEXT_BYTES];
	struct address a = {.bytes = {[10] = 0xff, [11] = 0xff}};

	if (*type != GEN_DNS && *type != GEN_IPADD)
		return bytes;
	bytes = slice_of((const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
	if (*type == GEN_DNS)
		return keep(r, bytes);
	if (bytes.n != 4 && bytes.n != sizeof a.bytes)
		return (slice){NULL, 0};
	memcpy(a.bytes + sizeof a.bytes - bytes.n, bytes.p, bytes.n);
	return keep(r, address_format(&a, text));
}

static int by_text(const void *a, const void *b)
{
	return slice_compare(*(const slice *)a, *(const slice *)b);
}

static void read_alternatives(struct reading *r, X509 *leaf, struct tls_certificate_facts *f)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	int count = names != NULL ? sk_GENERAL_NAME_num(names) : 0;
	struct str dns = {0};

	f->alternatives = ARENA_ARRAY(r->arena, slice, (size_t)count + 1);
	r->failed |= f->alternatives == NULL;
	for (int i = 0; i < count && !r->failed; i++) {
		int type;
		slice text = alternative(r, sk_GENERAL_NAME_value(names, i), &type);

		if (text.p == NULL)
			continue;
		f->alternatives[f->alternative_count++] = text;
		if (type != GEN_DNS)
			continue;
		str_add(&dns, dns.n > 0 ? SLICE(",") : SLICE(""));
		str_add(&dns, text);
	}
	GENERAL_NAMES_free(names);
	f->dns_names = keep(r, str_slice(&dns));
	r->failed |= dns.failed;
	str_free(&dns);
	if (!r->failed)
		qsort(f->alternatives, f->alternative_count, sizeof(slice), by_text);
}

/* X(key algorithm, digest, what Go calls signatures of both) */
#define SIGNATURES(X) \
	X(rsaEncryption, md5, "MD5-RSA") \
	X(rsaEncryption, sha1, "SHA1-RSA") \
	X(rsaEncryption, sha256, "SHA256-RSA") \
	X(rsaEncryption, sha384, "SHA384-RSA") \
	X(rsaEncryption, sha512, "SHA512-RSA") \
	X(rsassaPss, sha256, "SHA256-RSAPSS") \
	X(rsassaPss, sha384, "SHA384-RSAPSS") \
	X(rsassaPss, sha512, "SHA512-RSAPSS") \
	X(X9_62_id_ecPublicKey, sha1, "ECDSA-SHA1") \
	X(X9_62_id_ecPublicKey, sha256, "ECDSA-SHA256") \
	X(X9_62_id_ecPublicKey, sha384, "ECDSA-SHA384") \
	X(X9_62_id_ecPublicKey, sha512, "ECDSA-SHA512")

/* Go writes "0" for those that it does not know. */
static slice signature_name(X509 *leaf)
{
	int digest = NID_undef, key = NID_undef;

	if (X509_get_signature_nid(leaf) == NID_ED25519)
		return SLICE("Ed25519");
	if (X509_get_signature_info(leaf, &digest, &key, NULL, NULL) == 1) {
#define X(key_, digest_, name) \
	if (key == NID_##key_ && digest == NID_##digest_) \
		return SLICE(name);
		SIGNATURES(X)
#undef X
	}
	return SLICE("0");
}

static void read_key(X509 *leaf, struct tls_certificate_facts *f)
{
	EVP_PKEY *key = X509_get0_pubkey(leaf);
	int type = key != NULL ? EVP_PKEY_get_base_id(key) : NID_undef;

	f->key_type = SLICE("Unknown");
	if (type == EVP_PKEY_RSA)
		f->key_type = SLICE("RSA");
	else if (type == EVP_PKEY_EC)
		f->key_type = SLICE("ECDSA");
	else
		return;
	f->key_bits = EVP_PKEY_get_bits(key);
}

static int64_t seconds(const ASN1_TIME *time)
{
	struct tm tm;

	return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

int tls_certificate_describe(const struct tls_certificate *c, struct arena *arena,
			     struct tls_certificate_facts *f)
{
	struct reading r = {.arena = arena};
	const X509_NAME *subject, *issuer;

	OBJ_CHECK(c, TLS_CERTIFICATE_MAGIC);
	subject = X509_get_subject_name(c->leaf);
	issuer = X509_get_issuer_name(c->leaf);
	*f = (struct tls_certificate_facts){
		.version = X509_get_version(c->leaf) + 1,
		.not_before_s = seconds(X509_get0_notBefore(c->leaf)),
		.not_after_s = seconds(X509_get0_notAfter(c->leaf)),
	};
	ERR_clear_error();
	read_fingerprints(&r, c->leaf, f);
	f->serial = serial_text(&r, c->leaf);
	f->common_name = name_part(&r, subject, NID_commonName);
	f->organization = name_part(&r, subject, NID_organizationName);
	f->country = name_part(&r, subject, NID_countryName);
	f->issuer_common_name = name_part(&r, issuer, NID_commonName);
	f->issuer_organization = name_part(&r, issuer, NID_organizationName);
	f->issuer_country = name_part(&r, issuer, NID_countryName);
	read_alternatives(&r, c->leaf, f);
	f->signature = signature_name(c->leaf);
	read_key(c->leaf, f);
	ERR_clear_error();
	return r.failed ? -ENOMEM : 0;
}
