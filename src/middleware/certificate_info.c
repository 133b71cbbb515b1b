#include "middleware/certificate_info.h"

#include <errno.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "core/base64.h"
#include "net/address.h"

int certificate_add_base64(struct str *to, X509 *certificate)
{
	unsigned char *der = NULL;
	int n = i2d_X509(certificate, &der);
	char *room = n > 0 ? str_reserve(to, BASE64_BYTES((size_t)n)) : NULL;

	if (room != NULL) {
		base64_encode(slice_of((const char *)der, (size_t)n), room);
		str_commit(to, BASE64_BYTES((size_t)n));
	}
	OPENSSL_free(der);
	return room != NULL ? 0 : -ENOMEM;
}

/* Adds `KEY=VALUE,` for a part of a name that is not empty. A NUL in it is text as all else: cut
 * there, a name could look like a shorter one. */
static void add_part(struct str *to, const char *key, const X509_NAME_ENTRY *entry)
{
	unsigned char *text = NULL;
	int n = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(entry));

	if (n > 0) {
		str_format(to, "%s=", key);
		str_add(to, slice_of((const char *)text, (size_t)n));
		str_add_char(to, ',');
	}
	OPENSSL_free(text);
}

/* All parts of one kind in their order; of those that a name should have once, the last one. */
static void add_parts(struct str *to, const char *key, const X509_NAME *name, int nid, bool once)
{
	int last = -1;

	for (int at = X509_NAME_get_index_by_NID(name, nid, -1); at >= 0;
	     at = X509_NAME_get_index_by_NID(name, nid, at)) {
		last = at;
		if (!once)
			add_part(to, key, X509_NAME_get_entry(name, at));
	}
	if (once && last >= 0)
		add_part(to, key, X509_NAME_get_entry(name, last));
}

/* Adds `LABEL="C=DE,CN=x";`, or nothing if there is nothing in it. */
static void add_name(struct str *to, const char *label, const X509_NAME *name,
		     const struct dynamic_distinguished_name *wanted)
{
	const struct {
		const char *key;
		int nid;
		bool wanted, once;
	} parts[] = {
		{"DC", NID_domainComponent, wanted->domain_component, false},
		{"C", NID_countryName, wanted->country, false},
		{"ST", NID_stateOrProvinceName, wanted->province, false},
		{"L", NID_localityName, wanted->locality, false},
		{"O", NID_organizationName, wanted->organization, false},
		{"OU", NID_organizationalUnitName, wanted->organizational_unit, false},
		{"SN", NID_serialNumber, wanted->serial_number, true},
		{"CN", NID_commonName, wanted->common_name, true},
	};
	size_t start;

	str_format(to, "%s=\"", label);
	start = to->n;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (parts[i].wanted)
			add_parts(to, parts[i].key, name, parts[i].nid, parts[i].once);
	}
	if (to->failed)
		return;
	if (to->n == start) {
		to->n = start - strlen(label) - strlen("=\"");
		return;
	}
	to->n--;
	str_add(to, SLICE("\";"));
}

static void add_serial(struct str *to, const X509 *certificate)
{
	BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
	char *text = number != NULL ? BN_bn2dec(number) : NULL;

	if (text != NULL)
		str_format(to, "SerialNumber=\"%s\";", text);
	OPENSSL_free(text);
	BN_free(number);
}

static void add_time(struct str *to, const char *label, const ASN1_TIME *when)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(when, &tm) == 1)
		str_format(to, "%s=\"%llu\";", label, (unsigned long long)timegm(&tm));
}

static void add_address(struct str *to, const ASN1_STRING *s)
{
	static const unsigned char mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	size_t n = (size_t)ASN1_STRING_length(s);
	char text[ADDRESS_TEXT_BYTES];
	struct address a;

	if (n != 4 && n != sizeof a.bytes)
		return;
	memcpy(a.bytes, mapped, sizeof mapped);
	memcpy(a.bytes + sizeof a.bytes - n, ASN1_STRING_get0_data(s), n);
	str_add(to, address_format(&a, text));
	str_add_char(to, ',');
}

static void add_alternatives_of(struct str *to, const GENERAL_NAMES *names, int wanted)
{
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		int type;
		const ASN1_STRING *s =
			GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);

		if (type != wanted)
			continue;
		if (type == GEN_IPADD) {
			add_address(to, s);
			continue;
		}
		str_add(to, slice_of((const char *)ASN1_STRING_get0_data(s),
				     (size_t)ASN1_STRING_length(s)));
		str_add_char(to, ',');
	}
}

/* By kind, as Go holds them. */
static void add_alternatives(struct str *to, const X509 *certificate)
{
	static const int kinds[] = {GEN_DNS, GEN_EMAIL, GEN_IPADD, GEN_URI};
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	size_t before = to->n, start;

	str_add(to, SLICE("SAN=\""));
	start = to->n;
	for (size_t i = 0; names != NULL && i < ARRAY_LEN(kinds); i++)
		add_alternatives_of(to, names, kinds[i]);
	GENERAL_NAMES_free(names);
	if (to->failed)
		return;
	if (to->n == start) {
		to->n = before;
		return;
	}
	to->n--;
	str_add(to, SLICE("\";"));
}

int certificate_add_info(struct str *to, const X509 *certificate,
			 const struct dynamic_client_cert_info *wanted)
{
	size_t start = to->n;

	if (wanted->subject != NULL)
		add_name(to, "Subject", X509_get_subject_name(certificate), wanted->subject);
	if (wanted->issuer != NULL)
		add_name(to, "Issuer", X509_get_issuer_name(certificate), wanted->issuer);
	if (wanted->serial_number)
		add_serial(to, certificate);
	if (wanted->not_before)
		add_time(to, "NB", X509_get0_notBefore(certificate));
	if (wanted->not_after)
		add_time(to, "NA", X509_get0_notAfter(certificate));
	if (wanted->sans)
		add_alternatives(to, certificate);
	if (to->failed)
		return -ENOMEM;
	/* The last separator. */
	if (to->n > start)
		to->n--;
	return 0;
}

void certificate_add_escaped(struct str *to, slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (ascii_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') ||
		    c == '-' || c == '_' || c == '.' || c == '~')
			str_add_char(to, c);
		else if (c == ' ')
			str_add_char(to, '+');
		else
			str_format(to, "%%%02X", (unsigned char)c);
	}
}
