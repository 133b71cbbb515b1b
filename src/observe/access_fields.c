#include "observe/access_fields.h"

#include <errno.h>
#include <stdlib.h>

#include "core/log.h"
#include "proxy/entry_point.h"

_Static_assert(ACCESS_FIELD_COUNT <= 64, "one bit for each field");

const struct access_key access_keys[ACCESS_FIELD_COUNT] = {
#define X(name, key, type) [ACCESS_##name] = {SLICE(key), ACCESS_##type},
	ACCESS_FIELDS(X)
#undef X
};

/* An unknown word means what it would without it. */
static enum access_mode mode_of(slice text, enum access_mode otherwise)
{
	if (slice_equal(text, SLICE("keep")))
		return ACCESS_KEEP;
	if (slice_equal(text, SLICE("drop")))
		return ACCESS_DROP;
	if (slice_equal(text, SLICE("redact")))
		return ACCESS_REDACT;
	return otherwise;
}

/* Fields are not redacted: the word is as unknown there as any other. */
static bool is_kept(slice text, bool otherwise)
{
	enum access_mode m = mode_of(text, ACCESS_REDACT);

	return m == ACCESS_REDACT ? otherwise : m == ACCESS_KEEP;
}

static uint64_t kept_fields(const struct access_log_fields_config *c)
{
	bool initial = is_kept(c->default_mode, true);
	uint64_t keep = initial ? UINT64_MAX : 0;

	for (size_t i = 0; i < c->names.count; i++) {
		const struct option_pair *p = &c->names.items[i];

		for (size_t f = 0; f < ACCESS_FIELD_COUNT; f++) {
			if (!slice_equal_nocase(p->key, access_keys[f].name))
				continue;
			keep &= ~(UINT64_C(1) << f);
			keep |= (uint64_t)is_kept(p->value, initial) << f;
		}
	}
	return keep;
}

static bool parse_status(slice text, int *status)
{
	uint64_t n;

	if (!slice_to_u64(text, &n) || n > 999)
		return false;
	*status = (int)n;
	return true;
}

static bool parse_range(slice text, struct access_range *r)
{
	size_t dash = slice_find(text, '-');

	if (!parse_status(slice_first(text, dash), &r->from))
		return false;
	r->to = r->from;
	return dash == text.n || parse_status(slice_from_at(text, dash + 1), &r->to);
}

static void take_statuses(struct access_settings *s, struct option_list codes)
{
	for (size_t i = 0; i < codes.count; i++) {
		if (parse_range(codes.items[i], &s->statuses[i])) {
			s->status_count++;
			continue;
		}
		log_error("accessLog.filters.statusCodes: found \"%.*s\", expected a status such "
			  "as 200 or a range such as 400-499; statuses are no filter",
			  SLICE_ARG(codes.items[i]));
		s->status_count = 0;
		return;
	}
}

int access_settings_create(struct access_settings *s, const struct access_log_config *c)
{
	const struct access_log_headers_config *h = &c->fields.headers;

	*s = (struct access_settings){
		.format = c->format,
		.keep = kept_fields(&c->fields),
		.keep_query = mode_of(c->fields.query.default_mode, ACCESS_KEEP) != ACCESS_DROP,
		.headers = mode_of(h->default_mode, ACCESS_KEEP),
		.retries = c->filters.retry_attempts,
		.longer_than_ns = (uint64_t)MAX(c->filters.min_duration_ns, 0),
	};
	s->named = calloc(h->names.count + 1, sizeof *s->named);
	s->statuses = calloc(c->filters.status_codes.count + 1, sizeof *s->statuses);
	if (s->named == NULL || s->statuses == NULL) {
		access_settings_free(s);
		return -ENOMEM;
	}
	for (size_t i = 0; i < h->names.count; i++)
		s->named[s->named_count++] = (struct access_header){
			h->names.items[i].key, mode_of(h->names.items[i].value, s->headers)};
	take_statuses(s, c->filters.status_codes);
	return 0;
}

void access_settings_free(struct access_settings *s)
{
	free(s->named);
	free(s->statuses);
	*s = (struct access_settings){0};
}

bool access_settings_want_headers(const struct access_settings *s)
{
	bool any = s->headers != ACCESS_DROP;

	for (size_t i = 0; i < s->named_count; i++)
		any |= s->named[i].mode != ACCESS_DROP;
	return any;
}

enum access_mode access_settings_header(const struct access_settings *s, slice name)
{
	for (size_t i = 0; i < s->named_count; i++) {
		if (slice_equal_nocase(s->named[i].name, name))
			return s->named[i].mode;
	}
	return s->headers;
}

bool access_settings_pass(const struct access_settings *s, const struct access_record *r)
{
	if (s->status_count == 0 && !s->retries && s->longer_than_ns == 0)
		return true;
	for (size_t i = 0; i < s->status_count; i++) {
		if (r->status >= s->statuses[i].from && r->status <= s->statuses[i].to)
			return true;
	}
	if (s->retries && r->repetitions > 0)
		return true;
	return s->longer_than_ns > 0 && r->duration_ns > s->longer_than_ns;
}

struct filling {
	struct access_value *values;
	uint64_t keep;
};

static void set(struct filling *f, enum access_field field, struct access_value value)
{
	value.present = (f->keep & (UINT64_C(1) << field)) != 0;
	f->values[field] = value;
}

static void set_text(struct filling *f, enum access_field field, slice text)
{
	set(f, field, (struct access_value){.text = text});
}

static void set_number(struct filling *f, enum access_field field, uint64_t number)
{
	set(f, field, (struct access_value){.number = number});
}

/* As Go's SplitHostPort; what that refuses is a host without a port. */
static void split(slice address, slice *host, slice *port)
{
	size_t colon = address.n;

	while (colon > 0 && address.p[colon - 1] != ':')
		colon--;
	*host = address;
	*port = SLICE("-");
	if (colon == 0)
		return;
	if (address.p[0] == '[') {
		if (address.p[colon - 2] != ']')
			return;
		*host = slice_of(address.p + 1, colon - 3);
	} else {
		if (slice_find(address, ':') != colon - 1)
			return;
		*host = slice_first(address, colon - 1);
	}
	*port = slice_from_at(address, colon);
}

static void fill_client(struct filling *f, const struct exchange *x, const struct access_record *r)
{
	slice host, port;

	split(x->peer, &host, &port);
	set_text(f, ACCESS_CLIENT_ADDR, x->peer);
	set_text(f, ACCESS_CLIENT_HOST, r->forwarded_for.n > 0 ? r->forwarded_for : host);
	set_text(f, ACCESS_CLIENT_PORT, port);
	set_text(f, ACCESS_CLIENT_USERNAME, x->user.p != NULL ? x->user : SLICE("-"));
	set_text(f, ACCESS_ENTRY_POINT_NAME, r->entry_point->name);
}

/* Path and query usually still lie side by side in the request line. */
static slice join_query(struct exchange *x, const struct access_record *r)
{
	if (r->path.p + r->path.n + 1 == r->query.p && r->path.p[r->path.n] == '?')
		return slice_of(r->path.p, r->path.n + 1 + r->query.n);
	return arena_format(&x->arena, "%.*s?%.*s", SLICE_ARG(r->path), SLICE_ARG(r->query));
}

static slice protocol_text(enum http_version v)
{
	switch (v) {
	case HTTP_1_0:
		return SLICE("HTTP/1.0");
	case HTTP_1_1:
		return SLICE("HTTP/1.1");
	case HTTP_2:
		break;
	}
	return SLICE("HTTP/2.0");
}

static void fill_request(struct filling *f, const struct access_settings *s, struct exchange *x,
			 const struct access_record *r)
{
	bool with_query = r->has_query && s->keep_query;

	if (r->authority.n > 0) {
		slice host, port;

		split(r->authority, &host, &port);
		set_text(f, ACCESS_REQUEST_ADDR, r->authority);
		set_text(f, ACCESS_REQUEST_HOST, host);
		set_text(f, ACCESS_REQUEST_PORT, port);
	}
	set_text(f, ACCESS_REQUEST_METHOD, r->method);
	set_text(f, ACCESS_REQUEST_PATH, with_query ? join_query(x, r) : r->path);
	set_text(f, ACCESS_REQUEST_PROTOCOL, protocol_text(r->version));
	set_text(f, ACCESS_REQUEST_SCHEME, x->tls ? SLICE("https") : SLICE("http"));
	if (x->tls) {
		set_text(f, ACCESS_TLS_CIPHER, slice_from(x->tls_cipher));
		set_text(f, ACCESS_TLS_VERSION, slice_from(x->tls_version));
	}
	set_number(f, ACCESS_REQUEST_CONTENT_SIZE, r->request_bytes);
	set_number(f, ACCESS_REQUEST_COUNT, r->number);
}

static void fill_origin(struct filling *f, const struct access_record *r)
{
	const struct access_origin *o = &r->origin;
	const bool counted = o->complete;
	const uint64_t bytes = counted ? o->bytes : 0;

	if (r->router.p != NULL)
		set_text(f, ACCESS_ROUTER_NAME, r->router);
	if (o->service.p != NULL) {
		set_text(f, ACCESS_SERVICE_NAME, o->service);
		set_text(f, ACCESS_SERVICE_ADDR, o->host);
		set_text(f, ACCESS_SERVICE_URL, o->url);
	}
	set_number(f, ACCESS_ORIGIN_CONTENT_SIZE, bytes);
	set_number(f, ACCESS_ORIGIN_DURATION, counted ? o->duration_ns : 0);
	set_number(f, ACCESS_ORIGIN_STATUS, counted ? (uint64_t)o->status : 0);
	if (bytes != r->response_bytes && r->response_bytes > 0)
		set(f, ACCESS_GZIP_RATIO,
		    (struct access_value){.ratio = (double)bytes / (double)r->response_bytes});
}

void access_values(struct access_value values[ACCESS_FIELD_COUNT], const struct access_settings *s,
		   struct exchange *x, const struct access_record *r)
{
	struct filling f = {.values = values, .keep = s->keep};
	uint64_t inside = r->origin.complete ? MIN(r->origin.duration_ns, r->duration_ns) : 0;

	memset(values, 0, ACCESS_FIELD_COUNT * sizeof *values);
	fill_client(&f, x, r);
	fill_request(&f, s, x, r);
	fill_origin(&f, r);
	set_number(&f, ACCESS_DOWNSTREAM_STATUS, (uint64_t)r->status);
	set_number(&f, ACCESS_DOWNSTREAM_CONTENT_SIZE, r->response_bytes);
	set_number(&f, ACCESS_DURATION, r->duration_ns);
	set_number(&f, ACCESS_OVERHEAD, r->duration_ns - inside);
	set_number(&f, ACCESS_RETRY_ATTEMPTS, r->repetitions);
	set_number(&f, ACCESS_START_LOCAL, r->begun_wall_ns);
	set_number(&f, ACCESS_START_UTC, r->begun_wall_ns);
}
