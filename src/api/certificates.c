#include <stdlib.h>

#include "api/api_private.h"
#include "core/clock.h"
#include "net/tls_certificate_facts.h"
#include "proxy/stats.h"

/* The certificates that clients may get. */

#define WARNING_S (30 * 86400)

struct certificate {
	struct tls_certificate_facts facts;
	const char *status;
	slice text; /* what it is sorted by before its name, as the number */
	int64_t number;
};

static const char *status_of(const struct tls_certificate_facts *f, uint64_t now_ns)
{
	int64_t now_s = (int64_t)(now_ns / 1000000000u);

	if (f->not_after_s <= now_s)
		return "expired";
	return f->not_after_s - now_s <= WARNING_S ? "warning" : "enabled";
}

/* Those that were configured, each once; all of it in the call's arena. Returns how many, or
 * -ENOMEM. */
static ssize_t read_store(struct api_call *c, const struct tls_store *store,
			  struct certificate **list)
{
	uint64_t now_ns = clock_wall_ns();
	size_t count = 0;

	*list = ARENA_ARRAY(&c->arena, struct certificate, store->count);
	for (size_t i = 0; *list != NULL && i < store->count; i++) {
		struct certificate *at = *list + count;

		if (store->list[i]->generated)
			continue;
		if (tls_certificate_describe(store->list[i], &c->arena, &at->facts) < 0)
			return -ENOMEM;
		at->status = status_of(&at->facts, now_ns);
		count++;
	}
	return *list != NULL ? (ssize_t)count : -ENOMEM;
}

static int by_fingerprint(const void *a, const void *b)
{
	const struct certificate *x = a, *y = b;

	return slice_compare(x->facts.fingerprint, y->facts.fingerprint);
}

/* The same certificate may have come with other keys' files or chains. */
static size_t drop_repetitions(struct certificate *list, size_t count)
{
	size_t kept = 0;

	qsort(list, count, sizeof *list, by_fingerprint);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || by_fingerprint(&list[kept - 1], &list[i]) != 0)
			list[kept++] = list[i];
	return kept;
}

/* Sorted by fingerprint. Zero, and a failed answer, when memory is short. */
static size_t read_all(struct api_call *c, struct certificate **list)
{
	struct tls_store *store = proxy_tls_store(c->api->proxy);
	ssize_t count;

	*list = NULL;
	if (store == NULL)
		return 0;
	count = read_store(c, store, list);
	tls_store_release(&store);
	c->out->failed |= count < 0;
	return count > 0 ? drop_repetitions(*list, (size_t)count) : 0;
}

void api_count_certificates(struct api_call *c)
{
	struct certificate *list;
	size_t count = read_all(c, &list), warnings = 0, errors = 0;

	for (size_t i = 0; i < count; i++) {
		warnings += strcmp(list[i].status, "warning") == 0;
		errors += strcmp(list[i].status, "expired") == 0;
	}
	api_add_numbers(c->out, "certificates", count, warnings, errors);
}

static bool is_found(const struct tls_certificate_facts *f, slice search)
{
	bool found = api_holds(f->common_name, search) ||
		     api_holds(f->issuer_organization, search) ||
		     api_holds(f->issuer_common_name, search);

	for (size_t i = 0; i < f->alternative_count && !found; i++)
		found = api_holds(f->alternatives[i], search);
	return found;
}

static size_t keep(struct api_call *c, struct certificate *list, size_t count)
{
	slice search = api_parameter(c, SLICE("search"));
	slice status = api_parameter(c, SLICE("status"));
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (status.n > 0 && !slice_equal_nocase(slice_from(list[i].status), status))
			continue;
		if (is_found(&list[i].facts, search))
			list[kept++] = list[i];
	}
	return kept;
}

static void set_key(struct certificate *at, slice by)
{
	const struct tls_certificate_facts *f = &at->facts;

	if (slice_equal(by, SLICE("status")))
		at->text = slice_from(at->status);
	else if (slice_equal(by, SLICE("issuer")))
		at->text = f->issuer_organization.n > 0 ? f->issuer_organization
							: f->issuer_common_name;
	else if (slice_equal(by, SLICE("validUntil")))
		at->number = f->not_after_s;
}

static int ascending(const void *a, const void *b)
{
	const struct certificate *x = a, *y = b;
	int order = slice_compare(x->text, y->text);

	if (order == 0)
		order = (x->number > y->number) - (x->number < y->number);
	if (order == 0)
		order = slice_compare(x->facts.common_name, y->facts.common_name);
	return order != 0 ? order : by_fingerprint(a, b);
}

static int descending(const void *a, const void *b)
{
	return ascending(b, a);
}

static void sort(struct api_call *c, struct certificate *list, size_t count)
{
	slice by = api_parameter(c, SLICE("sortBy"));
	slice direction = api_parameter(c, SLICE("direction"));
	bool up = direction.n == 0 || slice_equal(direction, SLICE("asc"));

	for (size_t i = 0; i < count; i++)
		set_key(&list[i], by);
	if (count > 0)
		qsort(list, count, sizeof *list, up ? ascending : descending);
}

static void add_text(struct str *out, const char *key, slice text)
{
	str_format(out, ",\"%s\":", key);
	tree_add_json_string(out, text);
}

static void add_text_if_any(struct str *out, const char *key, slice text)
{
	if (text.n > 0)
		add_text(out, key, text);
}

static void add_names(struct str *out, const struct tls_certificate_facts *f)
{
	str_add(out, SLICE(",\"sans\":["));
	for (size_t i = 0; i < f->alternative_count; i++) {
		if (i > 0)
			str_add_char(out, ',');
		tree_add_json_string(out, f->alternatives[i]);
	}
	str_add_char(out, ']');
}

static void add_certificate(struct str *out, const struct certificate *at)
{
	const struct tls_certificate_facts *f = &at->facts;

	str_add(out, SLICE("{\"name\":"));
	tree_add_json_string(out, f->fingerprint);
	add_names(out, f);
	str_add(out, SLICE(",\"notAfter\":"));
	api_add_time(out, f->not_after_s, 0);
	str_add(out, SLICE(",\"notBefore\":"));
	api_add_time(out, f->not_before_s, 0);
	add_text(out, "serialNumber", f->serial);
	add_text(out, "commonName", f->common_name);
	add_text_if_any(out, "issuerOrg", f->issuer_organization);
	add_text_if_any(out, "issuerCN", f->issuer_common_name);
	add_text_if_any(out, "issuerCountry", f->issuer_country);
	add_text_if_any(out, "organization", f->organization);
	add_text_if_any(out, "country", f->country);
	str_format(out, ",\"version\":\"v%ld\"", f->version);
	add_text(out, "keyType", f->key_type);
	if (f->key_bits > 0)
		str_format(out, ",\"keySize\":%d", f->key_bits);
	add_text(out, "signatureAlgorithm", f->signature);
	add_text(out, "certFingerprint", f->fingerprint);
	add_text(out, "publicKeyFingerprint", f->key_fingerprint);
	str_format(out, ",\"status\":\"%s\"}", at->status);
}

void api_list_certificates(struct api_call *c)
{
	struct certificate *list;
	size_t count = read_all(c, &list), from;

	count = keep(c, list, count);
	sort(c, list, count);
	api_begin_json(c);
	if (!api_take_page(c, &from, &count))
		return;
	str_add_char(c->out, '[');
	for (size_t i = 0; i < count && !c->out->failed; i++) {
		if (i > 0)
			str_add_char(c->out, ',');
		add_certificate(c->out, &list[from + i]);
	}
	str_add(c->out, SLICE("]\n"));
}

void api_show_certificate(struct api_call *c)
{
	struct certificate *list;
	size_t count = read_all(c, &list), at = 0;

	while (at < count && !slice_equal(list[at].facts.fingerprint, c->id))
		at++;
	if (c->out->failed)
		return;
	if (at == count) {
		api_fail(c, 404, "certificate not found: %.*s", SLICE_ARG(c->id));
		return;
	}
	api_begin_json(c);
	add_certificate(c->out, &list[at]);
	str_add_char(c->out, '\n');
}
