#include <errno.h>

#include "middleware/classes.h"
#include "middleware/make.h"
#include "middleware/redirect.h"

struct redirect_scheme {
	struct middleware middleware; /* first */
	slice scheme;
	slice port; /* empty: the scheme's own */
	bool permanent;
};

static bool is_default_port(slice scheme, slice port)
{
	return (slice_equal(scheme, SLICE("http")) && slice_equal(port, SLICE("80"))) ||
	       (slice_equal(scheme, SLICE("https")) && slice_equal(port, SLICE("443")));
}

/* What the client speaks to us or to whoever is in front of us. A handshake for WebSocket is an
 * HTTP request still. */
static slice current_scheme(const struct exchange *x)
{
	slice proto = fields_value_id(&x->request.fields, FIELD_X_FORWARDED_PROTO);

	if (slice_equal_nocase(proto, SLICE("http")) || slice_equal_nocase(proto, SLICE("ws")))
		return SLICE("http");
	if (slice_equal_nocase(proto, SLICE("https")) || slice_equal_nocase(proto, SLICE("wss")))
		return SLICE("https");
	return x->tls ? SLICE("https") : SLICE("http");
}

/* An authority in two: up to the colon that a port may follow, and the port. */
static void split(slice authority, slice *host, slice *port)
{
	size_t end = authority.n;

	while (end > 0 && ascii_digit(authority.p[end - 1]))
		end--;
	if (end > 0 && authority.p[end - 1] == ':') {
		*host = slice_first(authority, end - 1);
		*port = slice_from_at(authority, end);
		return;
	}
	*host = authority;
	*port = (slice){NULL, 0};
}

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	const struct redirect_scheme *p = container_of(m, struct redirect_scheme, middleware);
	slice host, port, now = current_scheme(x), target = exchange_target(x), url;

	(void)state;
	split(x->request.authority, &host, &port);
	if (is_default_port(now, port))
		port.n = 0;
	if (slice_equal(now, p->scheme) && slice_equal(port, p->port))
		return MW_CONTINUE;
	url = arena_format(&x->arena, "%.*s://%.*s%s%.*s%.*s", SLICE_ARG(p->scheme),
			   SLICE_ARG(host), p->port.n > 0 ? ":" : "", SLICE_ARG(p->port),
			   SLICE_ARG(target));
	if (url.p == NULL || target.p == NULL)
		return MW_FAILED;
	return redirect_answer(x, url, p->permanent);
}

static const struct middleware_class class = {
	.name = "redirectScheme",
	.on_request = on_request,
	.destroy = middleware_free,
};

int redirect_scheme_create(struct middleware **m, const struct dynamic_middleware *config,
			   const struct middleware_world *world, struct weir_error *e)
{
	const struct dynamic_redirect_scheme *options = config->redirect_scheme;
	struct redirect_scheme *p;

	(void)world;
	if (options->scheme.n == 0)
		return error_set(e, -EINVAL, "you must provide a target scheme");
	p = middleware_new(sizeof *p, &class, config, e);
	if (p == NULL)
		return -ENOMEM;
	p->scheme = options->scheme;
	if (!is_default_port(options->scheme, options->port))
		p->port = options->port;
	p->permanent = options->permanent;
	*m = &p->middleware;
	return 0;
}
