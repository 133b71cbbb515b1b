#include <errno.h>

#include "core/log.h"
#include "http/exchange.h"
#include "middleware/certificate_info.h"
#include "middleware/classes.h"
#include "middleware/make.h"
#include "net/tls.h"

struct pass_tls_client_cert {
	struct middleware middleware; /* first */
	const struct dynamic_pass_client_cert *options;
};

/* Adds what one field says of one certificate. */
typedef int add_fn(struct str *to, X509 *certificate, const void *wanted);

static int add_pem(struct str *to, X509 *certificate, const void *wanted)
{
	(void)wanted;
	return certificate_add_base64(to, certificate);
}

static int add_info(struct str *to, X509 *certificate, const void *wanted)
{
	return certificate_add_info(to, certificate, wanted);
}

/* One part for each certificate of the chain, joined by commas. */
static int describe(struct str *to, const STACK_OF(X509) * shown, add_fn *add, const void *wanted)
{
	int r = 0;

	for (int i = 0; r == 0 && i < sk_X509_num(shown); i++) {
		if (i > 0)
			str_add_char(to, ',');
		r = add(to, sk_X509_value(shown, i), wanted);
	}
	return to->failed ? -ENOMEM : r;
}

static int set(struct exchange *x, enum field_id id, slice text)
{
	slice value = arena_copy(&x->arena, text);

	return value.p != NULL ? fields_set_id(&x->request.fields, id, value) : -ENOMEM;
}

static int set_pem(struct exchange *x, const STACK_OF(X509) * shown)
{
	struct str text = {.limit = x->pool->limits.arena_bytes_max};
	int r = describe(&text, shown, add_pem, NULL);

	if (r == 0)
		r = set(x, FIELD_X_FORWARDED_TLS_CLIENT_CERT, str_slice(&text));
	str_free(&text);
	return r;
}

static int set_info(struct exchange *x, const STACK_OF(X509) * shown,
		    const struct dynamic_client_cert_info *wanted)
{
	struct str text = {.limit = x->pool->limits.arena_bytes_max}, escaped = text;
	int r = describe(&text, shown, add_info, wanted);

	if (r == 0)
		certificate_add_escaped(&escaped, str_slice(&text));
	if (r == 0)
		r = escaped.failed
			    ? -ENOMEM
			    : set(x, FIELD_X_FORWARDED_TLS_CLIENT_CERT_INFO, str_slice(&escaped));
	str_free(&text);
	str_free(&escaped);
	return r;
}

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	const struct dynamic_pass_client_cert *o =
		container_of(m, struct pass_tls_client_cert, middleware)->options;
	STACK_OF(X509) *shown = NULL;
	int r = 0;

	(void)state;
	if (x->client_tls != NULL)
		r = tls_peer_certificates(x->client_tls, &shown);
	if (r == 0 && shown == NULL) {
		log_debug_with((LOG_TEXT("middlewareName", m->name)),
			       "The client has shown no certificate");
		return MW_CONTINUE;
	}
	if (r == 0 && o->pem)
		r = set_pem(x, shown);
	if (r == 0 && o->info != NULL)
		r = set_info(x, shown, o->info);
	sk_X509_pop_free(shown, X509_free);
	return r == 0 ? MW_CONTINUE : MW_FAILED;
}

static const struct middleware_class class = {
	.name = "passTLSClientCert",
	.on_request = on_request,
	.destroy = middleware_free,
};

int pass_tls_client_cert_create(struct middleware **m, const struct dynamic_middleware *config,
				const struct middleware_world *world, struct weir_error *e)
{
	struct pass_tls_client_cert *p = middleware_new(sizeof *p, &class, config, e);

	(void)world;
	if (p == NULL)
		return -ENOMEM;
	p->options = config->pass_tls_client_cert;
	*m = &p->middleware;
	return 0;
}
