#include <errno.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "net/tls_certificate_facts.h"
#include "proxy/build_tls_private.h"

/* Certificates, options and what the TLS connections of each entry point get. */

static void tell_of_certificate(const struct build *b, const struct dynamic_key_pair *pair,
				const struct tree_place *place, const char *why, bool kept)
{
	const struct generation_world *w = b->g->world;
	const struct generation_problem problem = {
		.kind = "certificate",
		.name = build_content_name(&pair->cert_file),
		.place = place,
		.why = why,
		.kept = kept,
		.effect = kept ? "Certificate goes on as it was: its new files do not work"
			       : "Certificate is not used"};

	w->problem(w->problem_context, &problem);
}

static bool same_files(const struct dynamic_key_pair *a, const struct dynamic_key_pair *b)
{
	return slice_equal(a->cert_file.text, b->cert_file.text) &&
	       slice_equal(a->key_file.text, b->key_file.text);
}

static const struct dynamic_certificate *certificate_at(const struct dynamic_config *c, size_t i)
{
	return c->certificates.items[i];
}

/* The last good one of the same files, borrowed; NULL if there is none. */
static struct tls_certificate *find_previous(const struct generation *p,
					     const struct dynamic_key_pair *pair)
{
	const struct dynamic_tls_store *store;

	if (p == NULL || p->tls.store == NULL)
		return NULL;
	for (size_t i = 0; i < p->config->certificates.count; i++) {
		if (p->tls.certificates[i] != NULL &&
		    same_files(&certificate_at(p->config, i)->pair, pair))
			return p->tls.certificates[i];
	}
	store = dynamic_tls_store_find(p->config, DEFAULT);
	if (store == NULL || store->default_certificate == NULL ||
	    !same_files(store->default_certificate, pair))
		return NULL;
	return p->tls.fallback;
}

#define EXPIRY_WARNING_S (7 * 86400)

/* Clients will say so as well, but later. */
static void warn_of_expiry(const struct dynamic_key_pair *pair, const struct tls_certificate *c,
			   struct arena *arena)
{
	int64_t now_s = (int64_t)(clock_wall_ns() / 1000000000u);
	struct tls_certificate_facts facts;

	if (tls_certificate_describe(c, arena, &facts) == 0 &&
	    facts.not_after_s < now_s + EXPIRY_WARNING_S)
		log_warn_with((LOG_TEXT("certFile", build_content_name(&pair->cert_file)),
			       LOG_TEXT("names", facts.dns_names)),
			      "%s",
			      facts.not_after_s < now_s ? "Certificate has expired"
							: "Certificate expires within a week");
}

/* Of what the files say. One reference for the caller. */
static int load_files(struct build *b, const struct dynamic_key_pair *pair,
		      struct tls_certificate **made, struct weir_error *e)
{
	unsigned char hash[SHA256_DIGEST_BYTES];
	struct tls_certificate *same = NULL;
	slice certificate, key;
	struct arena arena;
	int r;

	arena_init(&arena, 4096, (size_t)64 << 20);
	r = option_read_content(&arena, &pair->cert_file, &certificate, e);
	if (r == 0)
		r = option_read_content(&arena, &pair->key_file, &key, e);
	if (r == 0) {
		tls_certificate_hash(certificate, key, hash);
		if (b->previous != NULL && b->previous->tls.store != NULL)
			same = tls_store_find_hash(b->previous->tls.store, hash);
		if (same != NULL)
			*made = tls_certificate_ref(same);
		else
			r = tls_certificate_load(certificate, key, made, e);
		if (r == 0 && same == NULL)
			warn_of_expiry(pair, *made, &arena);
	}
	arena_free(&arena);
	return r;
}

/*
 * The certificate of these files, or the last good one of them; NULL in `*made`, and told, if there
 * is none. One reference for the caller. Returns 0 or -ENOMEM.
 */
static int load(struct build *b, const struct dynamic_key_pair *pair,
		const struct tree_place *place, struct tls_certificate **made)
{
	struct tls_certificate *before;
	struct weir_error e = {0};
	int r = load_files(b, pair, made, &e);

	if (r == 0 || r == -ENOMEM)
		return r;
	before = find_previous(b->previous, pair);
	*made = before != NULL ? tls_certificate_ref(before) : NULL;
	tell_of_certificate(b, pair, place, e.text, before != NULL);
	return 0;
}

/* Only the store `default` is ever used, as in Traefik. */
static bool is_in_default_store(const struct dynamic_certificate *c)
{
	for (size_t i = 0; i < c->stores.count; i++) {
		if (slice_equal(c->stores.items[i], DEFAULT))
			return true;
	}
	return c->stores.count == 0;
}

static int add_certificate(struct build *b, size_t i)
{
	struct generation_tls *t = &b->g->tls;
	const struct option_array *all = &b->g->config->certificates;
	const struct dynamic_certificate *c = certificate_at(b->g->config, i);
	struct tls_certificate *made, *used;
	int r;

	if (!is_in_default_store(c)) {
		tell_of_certificate(b, &c->pair, &all->nodes[i]->place,
				    "found none of its stores in use, expected the store "
				    "\"default\", which is the only one",
				    false);
		return 0;
	}
	r = load(b, &c->pair, &all->nodes[i]->place, &made);
	if (r < 0 || made == NULL)
		return r;
	used = tls_store_find_hash(t->store, made->hash);
	if (used == NULL)
		used = made;
	r = tls_store_add(t->store, used);
	t->certificates[i] = used;
	tls_certificate_release(&made);
	return r;
}

static int make_store(struct build *b)
{
	const struct dynamic_tls_store *store = dynamic_tls_store_find(b->g->config, DEFAULT);
	struct generation_tls *t = &b->g->tls;
	struct tls_certificate *fallback = NULL;
	int r = 0;

	if (store != NULL && store->default_certificate != NULL && store->object.disabled.n == 0)
		r = load(b, store->default_certificate, &store->object.place, &fallback);
	if (r < 0)
		return r;
	t->fallback = fallback;
	r = tls_store_create(&t->store, fallback != NULL ? fallback : b->g->world->certificate);
	tls_certificate_release(&fallback);
	for (size_t i = 0; r == 0 && i < b->g->config->certificates.count; i++)
		r = atomic_load(b->g->world->cancelled) ? -ECANCELED : add_certificate(b, i);
	return r;
}

/* The settings of these options; NULL: the implied default ones. */
static int make_profile(const struct dynamic_tls_options *o, struct arena *arena,
			struct tls_profile **profile, struct weir_error *e)
{
	struct tls_settings s = {.name = DEFAULT};
	const struct option_contents *files;
	slice *texts, *names;
	int r = 0;

	if (o == NULL)
		return tls_profile_create(profile, &s, e);
	files = &o->client_auth.ca_files;
	texts = ARENA_ARRAY(arena, slice, files->count + 1);
	names = ARENA_ARRAY(arena, slice, files->count + 1);
	if (texts == NULL || names == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < files->count; i++) {
		names[i] = build_content_name(&files->items[i]);
		r = option_read_content(arena, &files->items[i], &texts[i], e);
	}
	if (r < 0)
		return r;
	s = (struct tls_settings){
		.name = o->object.name,
		.min_version = o->min_version,
		.max_version = o->max_version,
		.cipher_suites = o->cipher_suites.items,
		.cipher_suite_count = o->cipher_suites.count,
		.curves = o->curve_preferences.items,
		.curve_count = o->curve_preferences.count,
		.client_auth = o->client_auth.client_auth_type,
		.authorities = texts,
		.authority_names = names,
		.authority_count = files->count,
		.protocols = o->alpn_protocols.items,
		.protocol_count = o->alpn_protocols.count,
		.sni_strict = o->sni_strict,
		.no_tickets = o->disable_session_tickets,
	};
	return tls_profile_create(profile, &s, e);
}

static int keep_choice_reason(struct build *b, struct tls_choice *c, slice why)
{
	slice kept = arena_copy(&b->g->arena, why);

	c->reason = kept.p;
	return kept.p != NULL ? 0 : -ENOMEM;
}

/* Makes the options of that number, which may be that of the implied default. */
static int try_choice(struct build *b, size_t i)
{
	const struct dynamic_config *config = b->g->config;
	const struct dynamic_tls_options *o =
		i < config->tls_option_count ? config->tls_options[i] : NULL;
	struct tls_choice *c = &b->tls->choices[i];
	struct weir_error e = {0};
	struct arena arena;
	int r;

	if (c->tried)
		return 0;
	c->tried = true;
	if (o != NULL && o->object.disabled.n > 0)
		return keep_choice_reason(b, c, o->object.disabled);
	arena_init(&arena, 4096, (size_t)64 << 20);
	r = make_profile(o, &arena, &c->profile, &e);
	arena_free(&arena);
	if (r == 0 || r == -ENOMEM)
		return r;
	error_prefix(&e, "TLS options \"%.*s\": ", SLICE_ARG(o != NULL ? o->object.name : DEFAULT));
	return keep_choice_reason(b, c, slice_from(e.text));
}

int build_tls_find_choice(struct build *b, slice name, const struct tls_choice **choice)
{
	const struct dynamic_config *config = b->g->config;
	bool is_default = name.n == 0 || slice_equal(name, DEFAULT);
	size_t i = build_find_index((void *const *)config->tls_options, config->tls_option_count,
				    is_default ? DEFAULT : name);

	if (i == config->tls_option_count && !is_default) {
		*choice = &b->tls->unknown;
		return 0;
	}
	*choice = &b->tls->choices[i];
	return try_choice(b, i);
}

int build_tls_begin(struct build *b)
{
	struct generation *g = b->g;
	size_t points = g->world->entry_point_count;
	const struct tls_choice *ignored;
	int r;

	if (g->world->tickets == NULL)
		return 0;
	b->tls = ARENA_NEW(&g->arena, struct build_tls);
	if (b->tls == NULL)
		return -ENOMEM;
	g->tls.certificates =
		ARENA_ARRAY(&g->arena, struct tls_certificate *, g->config->certificates.count + 1);
	g->tls.acceptors = ARENA_ARRAY(&g->arena, struct tls_acceptor *, points + 1);
	b->tls->points = ARENA_ARRAY(&g->arena, struct tls_point, points + 1);
	b->tls->choices =
		ARENA_ARRAY(&g->arena, struct tls_choice, g->config->tls_option_count + 1);
	if (g->tls.certificates == NULL || g->tls.acceptors == NULL || b->tls->points == NULL ||
	    b->tls->choices == NULL) {
		g->tls.acceptors = NULL;
		b->tls = NULL;
		return -ENOMEM;
	}
	r = make_store(b);
	/* Mistakes show although no router uses the options. */
	for (size_t i = 0; r == 0 && i < g->config->tls_option_count; i++) {
		r = try_choice(b, i);
		if (r == 0 && b->tls->choices[i].reason != NULL)
			build_tell_options(b, &g->config->tls_options[i]->object,
					   b->tls->choices[i].reason);
	}
	return r < 0 ? r : build_tls_find_choice(b, DEFAULT, &ignored);
}

static void tell_no_tls(const struct build *b, const struct entry_point *p, const char *why)
{
	const struct generation_world *w = b->g->world;
	const struct generation_problem problem = {.kind = "entry point",
						   .name = p->name,
						   .why = why,
						   .effect = "Entry point refuses TLS connections"};

	w->problem(w->problem_context, &problem);
}

static int make_acceptor(struct build *b, const struct entry_point *p)
{
	struct generation *g = b->g;
	struct tls_point *point = &b->tls->points[p->index];
	const struct tls_choice *normal;
	struct tls_host *hosts = calloc(point->count + 1, sizeof *hosts);
	struct tls_acceptor *a = NULL;
	struct weir_error e = {0};
	size_t count = 0;
	int r = hosts != NULL ? build_tls_find_choice(b, DEFAULT, &normal) : -ENOMEM;

	for (const struct tls_name *n = point->first; r == 0 && n != NULL; n = n->next) {
		if (build_tls_is_mapped(b, n))
			hosts[count++] = (struct tls_host){n->host, n->choice->profile};
	}
	if (r == 0)
		r = tls_acceptor_create(&a, normal->profile, hosts, count, g->tls.store,
					g->world->tickets, &e);
	free(hosts);
	if (a != NULL)
		a->http2 = true;
	g->tls.acceptors[p->index] = a;
	if (r < 0 && r != -ENOMEM) {
		tell_no_tls(b, p, e.text);
		return 0;
	}
	return r;
}

/* Most entry points know no hosts, and share one. */
int build_tls_finish(struct build *b)
{
	const struct generation_world *w = b->g->world;
	struct tls_acceptor **acceptors = b->g->tls.acceptors, *plain = NULL;
	int r = 0;

	for (size_t i = 0; b->tls != NULL && r == 0 && i < w->entry_point_count; i++) {
		bool bare = b->tls->points[i].count == 0;

		if (bare && plain != NULL) {
			acceptors[i] = tls_acceptor_ref(plain);
			continue;
		}
		r = make_acceptor(b, &w->entry_points[i]);
		if (bare)
			plain = acceptors[i];
	}
	return r;
}

void build_tls_free(struct build *b)
{
	if (b->tls == NULL)
		return;
	for (size_t i = 0; i < b->g->world->entry_point_count; i++)
		map_free(&b->tls->points[i].names);
	for (size_t i = 0; i <= b->g->config->tls_option_count; i++)
		tls_profile_release(&b->tls->choices[i].profile);
}

void generation_tls_free(struct generation *g)
{
	for (size_t i = 0; g->tls.acceptors != NULL && i < g->world->entry_point_count; i++)
		tls_acceptor_release(&g->tls.acceptors[i]);
	tls_store_release(&g->tls.store);
}

int generation_world_open_tls(struct generation_world *w, struct weir_error *e)
{
	int r = tls_certificate_generate(&w->certificate, e);

	if (r == 0)
		r = tls_tickets_create(&w->tickets, e);
	return r < 0 ? error_set(e, r, "TLS: %s", e->text) : 0;
}

void generation_world_close_tls(struct generation_world *w)
{
	tls_certificate_release(&w->certificate);
	tls_tickets_destroy(&w->tickets);
}
