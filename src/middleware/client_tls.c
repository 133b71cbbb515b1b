#include "middleware/client_tls.h"

#include <errno.h>

static slice name_of(const struct option_content *c)
{
	return option_names_file(c->text) ? c->text : SLICE("(in the configuration)");
}

static int read_part(struct arena *arena, const struct option_content *from, const char *option,
		     slice *text, struct weir_error *e)
{
	int r = option_read_content(arena, from, text, e);

	if (r < 0 && r != -ENOMEM)
		error_prefix(e, "%s", option);
	return r;
}

/* `*made` is NULL if there is none to show. */
static int load_certificate(const struct dynamic_client_tls *o, struct arena *arena,
			    struct tls_certificate **made, struct weir_error *e)
{
	slice certificate, key;
	int r;

	*made = NULL;
	if (o->cert.text.n == 0 && o->key.text.n == 0)
		return 0;
	if (o->cert.text.n == 0 || o->key.text.n == 0)
		return error_set(e, -EINVAL, "tls: found one of cert and key, expected both");
	r = read_part(arena, &o->cert, "tls.cert: ", &certificate, e);
	if (r == 0)
		r = read_part(arena, &o->key, "tls.key: ", &key, e);
	if (r < 0)
		return r;
	r = tls_certificate_load(certificate, key, made, e);
	if (r < 0 && r != -ENOMEM)
		error_prefix(e, "tls.cert: ");
	return r;
}

static int make(const struct dynamic_client_tls *o, struct arena *arena,
		struct tls_connector **connector, struct weir_error *e)
{
	slice roots = {NULL, 0}, root_name = name_of(&o->ca);
	struct tls_certificate *certificate;
	struct tls_connector_settings settings = {.insecure = o->insecure_skip_verify,
						  .roots = &roots,
						  .root_names = &root_name,
						  .certificates = &certificate};
	int r = load_certificate(o, arena, &certificate, e);

	if (r == 0 && o->ca.text.n > 0) {
		r = read_part(arena, &o->ca, "tls.ca: ", &roots, e);
		settings.root_count = 1;
	}
	settings.certificate_count = certificate != NULL;
	if (r == 0) {
		r = tls_connector_create(connector, &settings, e);
		if (r < 0 && r != -ENOMEM)
			error_prefix(e, "tls: ");
	}
	tls_certificate_release(&certificate);
	return r;
}

int client_tls_connector(const struct dynamic_client_tls *options, struct tls_connector **connector,
			 struct weir_error *e)
{
	static const struct dynamic_client_tls none;
	struct arena arena;
	int r;

	arena_init(&arena, 4096, (size_t)64 << 20);
	r = make(options != NULL ? options : &none, &arena, connector, e);
	arena_free(&arena);
	return r;
}
