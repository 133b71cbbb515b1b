#include <errno.h>

#include "config/dynamic.h"
#include "http/hops.h"
#include "middleware/forward_auth_private.h"

/* Fields of this hop, which the inquiry has of its own, or which are no business of the other
 * server. Proxy-Authorization is (RFC 9110 section 11.7.2). */
#define OF_THIS_HOP \
	(FIELD_BIT(FIELD_HOST) | FIELD_BIT(FIELD_CONTENT_LENGTH) | \
	 FIELD_BIT(FIELD_TRANSFER_ENCODING) | FIELD_BIT(FIELD_TRAILER) | \
	 FIELD_BIT(FIELD_CONNECTION) | FIELD_BIT(FIELD_KEEP_ALIVE) | FIELD_BIT(FIELD_TE) | \
	 FIELD_BIT(FIELD_UPGRADE))

/* What trustForwardHeader is about. */
#define FORWARDED \
	(FIELD_BIT(FIELD_X_FORWARDED_PROTO) | FIELD_BIT(FIELD_X_FORWARDED_FOR) | \
	 FIELD_BIT(FIELD_X_FORWARDED_HOST) | FIELD_BIT(FIELD_X_FORWARDED_PORT) | \
	 FIELD_BIT(FIELD_X_FORWARDED_SERVER) | FIELD_BIT(FIELD_X_FORWARDED_URI) | \
	 FIELD_BIT(FIELD_X_FORWARDED_METHOD) | FIELD_BIT(FIELD_X_FORWARDED_TLS_CLIENT_CERT) | \
	 FIELD_BIT(FIELD_X_FORWARDED_TLS_CLIENT_CERT_INFO) | FIELD_BIT(FIELD_X_FORWARDED_PREFIX) | \
	 FIELD_BIT(FIELD_X_REAL_IP))

static bool is_one_of(uint64_t set, const struct field *f)
{
	return f->id != FIELD_OTHER && (set & FIELD_BIT(f->id)) != 0;
}

static bool is_wanted(const struct dynamic_forward_auth *o, const struct field *f)
{
	if (is_one_of(OF_THIS_HOP, f) || slice_equal_nocase(f->name, FORWARD_AUTH_TRAILERS))
		return false;
	if (is_one_of(FORWARDED, f) && o->trust_forward_header != OPTION_UNSET)
		return o->trust_forward_header == OPTION_TRUE;
	if (o->auth_request_headers.count == 0)
		return true;
	for (size_t i = 0; i < o->auth_request_headers.count; i++) {
		if (slice_equal_nocase(o->auth_request_headers.items[i], f->name))
			return true;
	}
	return false;
}

static int copy_fields(const struct forward_auth_visit *v, struct fields *to)
{
	const struct fields *from = &v->x->request.fields;
	struct hops hops;
	int r = hops_collect(&hops, from, NULL, NULL);

	for (size_t i = 0; r == 0 && i < from->count; i++) {
		if (is_wanted(v->a->options, &from->list[i]))
			r = fields_add_field(to, &from->list[i]);
	}
	if (r == 0)
		hops_remove_named(&hops, to);
	return r;
}

static slice proto_of(const struct exchange *x)
{
	return x->tls ? SLICE("https") : SLICE("http");
}

/* Without trustForwardHeader: some are overwritten, others pass. */
static int set_forwarded(struct exchange *x, struct fields *f, slice uri)
{
	int r = 0;

	if (address_is_none(&x->peer_address))
		(void)fields_remove_id(f, FIELD_X_FORWARDED_FOR);
	else
		r = fields_set_id(f, FIELD_X_FORWARDED_FOR, x->peer_host);
	if (r == 0)
		r = fields_set_id(f, FIELD_X_FORWARDED_PROTO, proto_of(x));
	if (r == 0)
		r = fields_set_id(f, FIELD_X_FORWARDED_METHOD, x->request.method);
	if (r == 0)
		r = fields_set_id(f, FIELD_X_FORWARDED_HOST, x->request.authority);
	return r == 0 ? fields_set_id(f, FIELD_X_FORWARDED_URI, uri) : r;
}

static slice port_of(const struct exchange *x, const struct fields *f)
{
	slice host = x->request.authority, proto = fields_value_id(f, FIELD_X_FORWARDED_PROTO);
	size_t at = host.n;

	while (at > 0 && ascii_digit(host.p[at - 1]))
		at--;
	if (at > 0 && at < host.n && host.p[at - 1] == ':')
		return slice_from_at(host, at);
	if (x->tls || slice_equal(proto, SLICE("https")) || slice_equal(proto, SLICE("wss")))
		return SLICE("443");
	return SLICE("80");
}

static int add_missing(struct fields *f, enum field_id id, slice value)
{
	return fields_have(f, id) ? 0 : fields_add_id(f, id, value);
}

static int append_peer(struct exchange *x, struct fields *f)
{
	const struct field *line = fields_find_id(f, FIELD_X_FORWARDED_FOR);
	slice all = SLICE("");

	if (address_is_none(&x->peer_address))
		return 0;
	for (; line != NULL && all.p != NULL; line = fields_find_next(f, line))
		all = arena_format(&x->arena, "%.*s%.*s, ", SLICE_ARG(all), SLICE_ARG(line->value));
	if (all.p != NULL)
		all = arena_format(&x->arena, "%.*s%.*s", SLICE_ARG(all), SLICE_ARG(x->peer_host));
	return all.p != NULL ? fields_set_id(f, FIELD_X_FORWARDED_FOR, all) : -ENOMEM;
}

/* With it: what is there is kept. */
static int complete_forwarded(struct exchange *x, struct fields *f, slice uri)
{
	int r = append_peer(x, f);

	if (r == 0)
		r = add_missing(f, FIELD_X_FORWARDED_METHOD, x->request.method);
	if (r == 0)
		r = add_missing(f, FIELD_X_FORWARDED_PROTO, proto_of(x));
	if (r == 0)
		r = add_missing(f, FIELD_X_FORWARDED_PORT, port_of(x, f));
	if (r == 0)
		r = add_missing(f, FIELD_X_FORWARDED_HOST, x->request.authority);
	return r == 0 ? add_missing(f, FIELD_X_FORWARDED_URI, uri) : r;
}

/* Servers may answer 411 to these without a length (RFC 9110 section 8.6). */
static bool expects_a_body(enum method m)
{
	return m == METHOD_POST || m == METHOD_PUT || m == METHOD_PATCH;
}

static int frame(struct forward_auth_visit *v)
{
	struct request *q = &v->inquiry.request;
	const struct request *from = &v->x->request;
	slice length;

	if (v->request_in != NULL && from->framing == FRAMING_CHUNKED) {
		q->framing = FRAMING_CHUNKED;
		return fields_add_id(&q->fields, FIELD_TRANSFER_ENCODING, SLICE("chunked"));
	}
	q->content_length = v->request_in != NULL ? v->request_kept.n : 0;
	q->framing = q->content_length > 0 ? FRAMING_LENGTH : FRAMING_NONE;
	if (q->framing == FRAMING_NONE && !expects_a_body(q->method_id))
		return 0;
	length = arena_format(&v->x->arena, "%llu", (unsigned long long)q->content_length);
	return length.p != NULL ? fields_add_id(&q->fields, FIELD_CONTENT_LENGTH, length) : -ENOMEM;
}

int forward_auth_compose(struct forward_auth_visit *v)
{
	const struct dynamic_forward_auth *o = v->a->options;
	struct exchange *x = v->x;
	struct request *q = &v->inquiry.request;
	struct fields *f = &q->fields;
	slice uri = exchange_target(x);
	int r;

	q->version = HTTP_1_1;
	q->method = o->preserve_request_method ? x->request.method : SLICE("GET");
	q->method_id = o->preserve_request_method ? x->request.method_id : METHOD_GET;
	fields_init(f, &x->arena);
	r = uri.p != NULL ? fields_add_id(f, FIELD_HOST, v->a->address.authority) : -ENOMEM;
	if (r == 0)
		r = copy_fields(v, f);
	if (r == 0)
		r = o->trust_forward_header == OPTION_UNSET ? set_forwarded(x, f, uri)
							    : complete_forwarded(x, f, uri);
	if (r == 0 && v->a->authorization.n > 0)
		r = add_missing(f, FIELD_AUTHORIZATION, v->a->authorization);
	return r == 0 ? frame(v) : r;
}
