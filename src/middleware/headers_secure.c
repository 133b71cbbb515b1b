#include <errno.h>
#include <sys/random.h>

#include "middleware/headers_private.h"
#include "middleware/make.h"

#define NONCE SLICE("$NONCE")
#define NONCE_BYTES 16
#define NONCE_CHARS 22 /* base64 without padding */

/* The fields that depend on nothing: at most this many. */
#define ALWAYS_MAX 7

static int add(struct headers_secure *s, slice name, slice value, const char *option,
	       struct weir_error *e)
{
	if (value.n == 0)
		return 0;
	s->always.list[s->always.count++] = (struct header_change){name, value};
	return middleware_check_value(value, option, e);
}

static slice either(slice custom, bool on, slice usual)
{
	return custom.n > 0 || !on ? custom : usual;
}

static int add_all(struct headers_secure *s, const struct dynamic_headers *o, struct weir_error *e)
{
	const struct {
		slice name, value;
		const char *option;
	} rows[ALWAYS_MAX] = {
		{SLICE("X-Frame-Options"),
		 either(o->custom_frame_options_value, o->frame_deny, SLICE("DENY")),
		 "customFrameOptionsValue"},
		{SLICE("X-Content-Type-Options"),
		 either((slice){NULL, 0}, o->content_type_nosniff, SLICE("nosniff")), ""},
		{SLICE("X-Xss-Protection"),
		 either(o->custom_browser_xss_value, o->browser_xss_filter, SLICE("1; mode=block")),
		 "customBrowserXSSValue"},
		{SLICE("Content-Security-Policy"), o->content_security_policy,
		 "contentSecurityPolicy"},
		{SLICE("Content-Security-Policy-Report-Only"),
		 o->content_security_policy_report_only, "contentSecurityPolicyReportOnly"},
		{SLICE("Referrer-Policy"), o->referrer_policy, "referrerPolicy"},
		{SLICE("Permissions-Policy"), o->permissions_policy, "permissionsPolicy"},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ALWAYS_MAX; i++)
		r = add(s, rows[i].name, rows[i].value, rows[i].option, e);
	return r;
}

static bool is_defined(const struct dynamic_headers *o)
{
	return o->allowed_hosts.count > 0 || o->hosts_proxy_headers.count > 0 || o->ssl_redirect ||
	       o->ssl_temporary_redirect || o->ssl_force_host || o->ssl_host.n > 0 ||
	       o->ssl_proxy_headers.count > 0 || o->sts_seconds != OPTION_NOT_GIVEN ||
	       o->sts_include_subdomains || o->sts_preload || o->force_sts_header ||
	       o->frame_deny || o->custom_frame_options_value.n > 0 || o->content_type_nosniff ||
	       o->browser_xss_filter || o->custom_browser_xss_value.n > 0 ||
	       o->content_security_policy.n > 0 || o->content_security_policy_report_only.n > 0 ||
	       o->public_key.n > 0 || o->referrer_policy.n > 0 || o->feature_policy.n > 0 ||
	       o->permissions_policy.n > 0 || o->is_development;
}

int headers_secure_init(struct headers_secure *s, const struct dynamic_headers *o,
			struct arena *arena, struct weir_error *e)
{
	int64_t seconds = o->sts_seconds == OPTION_NOT_GIVEN ? 0 : o->sts_seconds;

	*s = (struct headers_secure){.defined = is_defined(o), .options = o};
	s->always.list = ARENA_ARRAY(arena, struct header_change, ALWAYS_MAX);
	s->transport = arena_format(arena, "max-age=%lld%s%s", (long long)seconds,
				    o->sts_include_subdomains ? "; includeSubDomains" : "",
				    o->sts_preload ? "; preload" : "");
	if (s->always.list == NULL || s->transport.p == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	if (seconds == 0 || o->is_development)
		s->transport.n = 0;
	if (!o->is_development)
		s->keys = o->public_key;
	if (middleware_check_value(s->keys, "publicKey", e) < 0)
		return -EINVAL;
	return add_all(s, o, e);
}

bool headers_secure_serves(const struct headers_secure *s, const struct exchange *x)
{
	const struct dynamic_headers *o = s->options;
	slice host = x->request.authority;

	if (o->allowed_hosts.count == 0 || o->is_development)
		return true;
	for (size_t i = 0; i < o->hosts_proxy_headers.count; i++) {
		const struct field *f =
			fields_find(&x->request.fields, o->hosts_proxy_headers.items[i]);

		if (f != NULL && f->value.n > 0) {
			host = f->value;
			break;
		}
	}
	for (size_t i = 0; i < o->allowed_hosts.count; i++) {
		if (slice_equal_nocase(o->allowed_hosts.items[i], host))
			return true;
	}
	return false;
}

bool headers_secure_is_tls(const struct headers_secure *s, const struct exchange *x)
{
	const struct option_pairs *believed = &s->options->ssl_proxy_headers;

	if (x->tls || slice_equal_nocase(slice_first(x->request.target, 8), SLICE("https://")))
		return true;
	for (size_t i = 0; i < believed->count; i++) {
		const struct field *f = fields_find(&x->request.fields, believed->items[i].key);

		if (slice_equal(f != NULL ? f->value : (slice){NULL, 0}, believed->items[i].value))
			return true;
	}
	return false;
}

/* Sixteen random bytes in base64. Returns false when there are none. */
static bool make_nonce(char nonce[NONCE_CHARS])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned char bytes[NONCE_BYTES];
	unsigned held = 0, bits = 0;
	size_t n = 0;

	if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
		return false;
	for (size_t i = 0; i < sizeof bytes; i++) {
		held = held << 8 | bytes[i];
		for (bits += 8; bits >= 6; bits -= 6)
			nonce[n++] = digits[held >> (bits - 6) & 63];
	}
	nonce[n++] = digits[held << (6 - bits) & 63];
	must(n == NONCE_CHARS);
	return true;
}

/* `value` with every "$NONCE" replaced; `p` is NULL when the arena is full. */
static slice with_nonce(struct arena *arena, slice value, const char nonce[NONCE_CHARS])
{
	slice done = SLICE("");
	size_t at;

	while ((at = slice_search(value, NONCE)) < value.n) {
		done = arena_format(arena, "%.*s%.*s'nonce-%.*s'", SLICE_ARG(done),
				    SLICE_ARG(slice_first(value, at)), NONCE_CHARS, nonce);
		if (done.p == NULL)
			return done;
		value = slice_from_at(value, at + NONCE.n);
	}
	return arena_format(arena, "%.*s%.*s", SLICE_ARG(done), SLICE_ARG(value));
}

int headers_secure_respond(const struct headers_secure *s, struct exchange *x, bool tls)
{
	struct fields *f = &x->response.fields;
	char nonce[NONCE_CHARS];
	bool have_nonce = false;
	int r = 0;

	if (s->transport.n > 0 && (tls || s->options->force_sts_header))
		r = fields_set(f, SLICE("Strict-Transport-Security"), s->transport);
	if (r == 0 && s->keys.n > 0 && tls)
		r = fields_set(f, SLICE("Public-Key-Pins"), s->keys);
	for (size_t i = 0; r == 0 && i < s->always.count; i++) {
		slice value = s->always.list[i].value;

		if (slice_search(value, NONCE) < value.n) {
			if (!have_nonce && !make_nonce(nonce))
				return -EIO;
			have_nonce = true;
			value = with_nonce(&x->arena, value, nonce);
		}
		r = value.p != NULL ? fields_set(f, s->always.list[i].name, value) : -ENOMEM;
	}
	return r;
}
