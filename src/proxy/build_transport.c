#include <errno.h>
#include <stdlib.h>

#include "proxy/build_private.h"

/* How servers are reached with TLS: one connector for each transport that an https server uses. */

/* What a connector is made of, while it is made. */
struct making {
	struct arena arena;
	struct tls_connector_settings settings;
	struct tls_certificate **certificates;
	size_t certificate_count;
};

slice build_content_name(const struct option_content *c)
{
	return option_names_file(c->text) ? c->text : SLICE("(in the configuration)");
}

static int read_roots(struct making *m, const struct option_contents *files, struct weir_error *e)
{
	slice *texts = ARENA_ARRAY(&m->arena, slice, files->count + 1),
	      *names = ARENA_ARRAY(&m->arena, slice, files->count + 1);
	int r = texts != NULL && names != NULL ? 0 : error_set(e, -ENOMEM, "out of memory");

	for (size_t i = 0; r == 0 && i < files->count; i++) {
		names[i] = build_content_name(&files->items[i]);
		r = option_read_content(&m->arena, &files->items[i], &texts[i], e);
		if (r < 0 && r != -ENOMEM)
			error_prefix(e, "rootCAs: ");
	}
	m->settings.roots = texts;
	m->settings.root_names = names;
	m->settings.root_count = files->count;
	return r;
}

static int read_certificate(struct making *m, const struct dynamic_key_pair *pair,
			    struct weir_error *e)
{
	slice certificate, key;
	int r = option_read_content(&m->arena, &pair->cert_file, &certificate, e);

	if (r == 0)
		r = option_read_content(&m->arena, &pair->key_file, &key, e);
	if (r == 0)
		r = tls_certificate_load(certificate, key, &m->certificates[m->certificate_count],
					 e);
	if (r == 0)
		m->certificate_count++;
	else if (r != -ENOMEM)
		error_prefix(
			e, "certificates: %.*s: ", SLICE_ARG(build_content_name(&pair->cert_file)));
	return r;
}

static int read_names(struct making *m, const struct dynamic_servers_transport *t,
		      struct weir_error *e)
{
	const struct option_array *sans = &t->peer_cert_sans;
	slice *uris = ARENA_ARRAY(&m->arena, slice, sans->count + 1),
	      *names = ARENA_ARRAY(&m->arena, slice, sans->count + 1);
	size_t uri_count = 0, name_count = 0;

	if (uris == NULL || names == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	if (t->peer_cert_uri.n > 0)
		uris[uri_count++] = t->peer_cert_uri;
	for (size_t i = 0; i < sans->count; i++) {
		const struct dynamic_peer_san *san = sans->items[i];

		if (slice_equal(san->type, SLICE("URI")))
			uris[uri_count++] = san->value;
		else if (slice_equal(san->type, SLICE("DNSName")))
			names[name_count++] = san->value;
		else
			return error_set(e, -EINVAL,
					 "peerCertSANs: type: found \"%.*s\", expected URI or "
					 "DNSName",
					 SLICE_ARG(slice_first(san->type, 100)));
	}
	m->settings.uris = uris;
	m->settings.uri_count = uri_count;
	m->settings.names = names;
	m->settings.name_count = name_count;
	return 0;
}

static int read_transport(struct making *m, const struct dynamic_servers_transport *t,
			  struct weir_error *e)
{
	int r = read_roots(m, &t->root_cas, e);

	m->certificates =
		ARENA_ARRAY(&m->arena, struct tls_certificate *, t->certificates.count + 1);
	if (m->certificates == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < t->certificates.count; i++)
		r = read_certificate(m, t->certificates.items[i], e);
	if (r == 0)
		r = read_names(m, t, e);
	m->settings.server_name = t->server_name;
	m->settings.insecure = t->insecure_skip_verify;
	m->settings.certificates = m->certificates;
	m->settings.certificate_count = m->certificate_count;
	m->settings.cipher_suites = t->cipher_suites.items;
	m->settings.cipher_suite_count = t->cipher_suites.count;
	m->settings.min_version = t->min_version;
	m->settings.max_version = t->max_version;
	return r;
}

static int make(const struct build *b, const struct dynamic_servers_transport *t,
		struct tls_connector **made, struct weir_error *e)
{
	const struct servers_transport_config *fallback = &b->g->world->config->servers_transport;
	struct making m = {.settings = {.insecure = fallback->insecure_skip_verify}};
	int r;

	arena_init(&m.arena, 4096, (size_t)64 << 20);
	r = t != NULL ? read_transport(&m, t, e) : read_roots(&m, &fallback->root_cas, e);
	if (r == 0)
		r = tls_connector_create(made, &m.settings, e);
	for (size_t i = 0; i < m.certificate_count; i++)
		tls_certificate_release(&m.certificates[i]);
	arena_free(&m.arena);
	return r;
}

/* The place of a transport among a generation's connectors; the default one is the last. */
static size_t place_of(const struct generation *g, slice name)
{
	return name.n == 0 ? g->config->servers_transport_count
			   : build_find_index((void *const *)g->config->servers_transports,
					      g->config->servers_transport_count, name);
}

/* One more reference of what the transport of that name was in the last generation, or NULL. */
static struct tls_connector *find_previous(const struct generation *p, slice name)
{
	size_t at;

	if (p == NULL || p->connectors == NULL)
		return NULL;
	at = place_of(p, name);
	if (name.n > 0 && at == p->config->servers_transport_count)
		return NULL;
	return p->connectors[at] != NULL ? tls_connector_ref(p->connectors[at]) : NULL;
}

static void tell_kept(const struct build *b, const struct dynamic_servers_transport *t,
		      const char *why)
{
	const struct generation_world *w = b->g->world;
	const struct generation_problem problem = {
		.kind = "servers transport",
		.name = t != NULL ? t->object.name : SLICE("default"),
		.place = t != NULL ? &t->object.place : NULL,
		.why = why,
		.kept = true,
		.effect = "Servers transport goes on as it was: its new values do not work"};

	w->problem(w->problem_context, &problem);
}

int build_connector(struct build *b, const struct dynamic_servers_transport *t,
		    struct tls_connector **connector, struct weir_error *e)
{
	struct generation *g = b->g;
	slice name = t != NULL ? t->object.name : (slice){NULL, 0};
	struct tls_connector **to = &g->connectors[place_of(g, name)];
	int r;

	if (*to == NULL) {
		r = make(b, t, to, e);
		if (r < 0 && r != -ENOMEM) {
			*to = find_previous(b->previous, name);
			if (*to != NULL)
				tell_kept(b, t, e->text);
		}
		if (*to == NULL) {
			error_prefix(e, "servers transport \"%.*s\": ",
				     SLICE_ARG(name.n > 0 ? name : SLICE("default")));
			return r;
		}
	}
	*connector = *to;
	return 0;
}
