#include <errno.h>

#include "middleware/classes.h"
#include "middleware/headers_private.h"
#include "middleware/make.h"

struct headers {
	struct middleware middleware; /* first */
	struct arena arena;
	struct headers_cors cors;
	struct headers_secure secure;
	struct header_changes request, response;
	slice host;              /* for the request; empty: as it is */
	bool drop_forwarded_for; /* nor is the peer added to it */
};

/* In the exchange's arena. */
struct headers_visit {
	bool tls;
};

slice headers_join(struct arena *arena, struct option_list list)
{
	slice all = SLICE("");

	for (size_t i = 0; i < list.count && all.p != NULL; i++)
		all = arena_format(arena, "%.*s%s%.*s", SLICE_ARG(all), i > 0 ? "," : "",
				   SLICE_ARG(list.items[i]));
	return all;
}

static int apply(const struct header_changes *changes, struct fields *f)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < changes->count; i++) {
		const struct header_change *c = &changes->list[i];

		if (c->value.n == 0)
			(void)fields_remove(f, c->name);
		else
			r = fields_set(f, c->name, c->value);
	}
	return r;
}

/* What becomes of any response from further inside, in Traefik's order. */
static int respond(const struct headers *h, struct exchange *x)
{
	int r = apply(&h->response, &x->response.fields);

	return r == 0 && h->cors.defined ? headers_cors_respond(&h->cors, x) : r;
}

static enum middleware_verdict refuse_host(const struct headers *h, struct exchange *x)
{
	exchange_answer(x, 500, SLICE("Bad Host\n"), true);
	return respond(h, x) == 0 ? MW_ANSWERED : MW_FAILED;
}

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	const struct headers *h = container_of(m, struct headers, middleware);
	struct headers_visit *v = state;
	enum middleware_verdict verdict;

	if (headers_cors_preflight(&h->cors, x, &verdict))
		return verdict;
	if (apply(&h->request, &x->request.fields) < 0)
		return MW_FAILED;
	if (h->host.n > 0)
		x->request.authority = h->host;
	x->forwarded_for_dropped |= h->drop_forwarded_for;
	if (!h->secure.defined)
		return MW_CONTINUE;
	v->tls = headers_secure_is_tls(&h->secure, x);
	return headers_secure_serves(&h->secure, x) ? MW_CONTINUE : refuse_host(h, x);
}

static enum middleware_verdict on_response(struct middleware *m, struct exchange *x, void *state)
{
	const struct headers *h = container_of(m, struct headers, middleware);
	const struct headers_visit *v = state;

	if (h->secure.defined && headers_secure_respond(&h->secure, x, v->tls) < 0)
		return MW_FAILED;
	return respond(h, x) == 0 ? MW_CONTINUE : MW_FAILED;
}

static void destroy(struct middleware **m)
{
	struct headers *h = container_of(*m, struct headers, middleware);

	headers_cors_free(&h->cors);
	arena_free(&h->arena);
	middleware_free(m);
}

static const struct middleware_class class = {
	.name = "headers",
	.state_bytes = sizeof(struct headers_visit),
	.on_request = on_request,
	.on_response = on_response,
	.destroy = destroy,
};

/* How a message is framed is not for headers to say; Go's server and client, too, go their own way.
 */
static bool is_framing(slice name)
{
	switch (field_id_of(name)) {
	case FIELD_CONTENT_LENGTH:
	case FIELD_TRANSFER_ENCODING:
	case FIELD_TRAILER:
		return true;
	default:
		return false;
	}
}

static int add_change(struct headers *h, struct header_changes *to, const struct option_pair *pair,
		      const char *option, struct weir_error *e)
{
	slice name = field_canonical(&h->arena, pair->key);

	if (name.p == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	if (!field_is_token(name))
		return error_set(e, -EINVAL, "%s: \"%.*s\" is not a header name", option,
				 SLICE_ARG(pair->key));
	if (middleware_check_value(pair->value, option, e) < 0)
		return -EINVAL;
	if (is_framing(name))
		return 0;
	to->list[to->count++] = (struct header_change){name, slice_trim(pair->value)};
	return 0;
}

static int set_host(struct headers *h, slice host, struct weir_error *e)
{
	if (!field_is_host(host))
		return error_set(e, -EINVAL, "customRequestHeaders: \"%.*s\" is not a host",
				 SLICE_ARG(host));
	h->host = host;
	return 0;
}

static int add_request(struct headers *h, const struct option_pair *pair, struct weir_error *e)
{
	if (slice_equal_nocase(pair->key, SLICE("Host")))
		return set_host(h, pair->value, e);
	/* Traefik, too, wants exactly this spelling. */
	if (pair->value.n == 0 && slice_equal(pair->key, SLICE("X-Forwarded-For")))
		h->drop_forwarded_for = true;
	return add_change(h, &h->request, pair, "customRequestHeaders", e);
}

static int add_changes(struct headers *h, const struct dynamic_headers *o, struct weir_error *e)
{
	const struct option_pairs *q = &o->custom_request_headers, *p = &o->custom_response_headers;
	int r = 0;

	h->request.list = ARENA_ARRAY(&h->arena, struct header_change, q->count);
	h->response.list = ARENA_ARRAY(&h->arena, struct header_change, p->count);
	if (h->request.list == NULL || h->response.list == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < q->count; i++)
		r = add_request(h, &q->items[i], e);
	for (size_t i = 0; r == 0 && i < p->count; i++)
		r = add_change(h, &h->response, &p->items[i], "customResponseHeaders", e);
	return r;
}

static int fill(struct headers *h, const struct dynamic_headers *o, struct weir_error *e)
{
	int r = headers_cors_init(&h->cors, o, &h->arena, e);

	if (r == 0)
		r = headers_secure_init(&h->secure, o, &h->arena, e);
	if (r == 0)
		r = add_changes(h, o, e);
	if (r == 0 && !h->cors.defined && !h->secure.defined &&
	    o->custom_request_headers.count == 0 && o->custom_response_headers.count == 0)
		r = error_set(e, -EINVAL, "headers configuration not valid");
	return r;
}

int headers_create(struct middleware **m, const struct dynamic_middleware *config,
		   const struct middleware_world *world, struct weir_error *e)
{
	struct headers *h = middleware_new(sizeof *h, &class, config, e);
	int r;

	(void)world;
	if (h == NULL)
		return -ENOMEM;
	*m = &h->middleware;
	arena_init(&h->arena, 1024, SIZE_MAX);
	r = fill(h, config->headers, e);
	if (r < 0)
		destroy(m);
	return r;
}
