#include <errno.h>

#include "proxy/build_tls_private.h"

/* Which options the hosts of each entry point get, by the routers that name them. */

/* Of one router while its hosts are visited. */
struct naming {
	struct build *b;
	const struct dynamic_router *router;
	struct route *route;
	const struct tls_choice *choice;
	bool any, failed;
};

/* The host's entry, made on first use with the choice of whoever asks; NULL when memory is short.
 */
static struct tls_name *find_name(struct naming *n, slice host)
{
	struct build *b = n->b;
	struct tls_point *point = &b->tls->points[n->route->entry_point->index];
	struct tls_name *name = map_get(&point->names, host);

	if (name != NULL)
		return name;
	name = ARENA_NEW(&b->g->arena, struct tls_name);
	if (name == NULL)
		return NULL;
	*name = (struct tls_name){
		.next = point->first, .host = arena_copy(&b->g->arena, host), .choice = n->choice};
	if (name->host.p == NULL || map_put(&point->names, name->host, name) < 0)
		return NULL;
	point->first = name;
	point->count++;
	return name;
}

static void claim(struct naming *n, struct tls_name *name)
{
	struct tls_claim *c = ARENA_NEW(&n->b->g->arena, struct tls_claim);

	if (c == NULL) {
		n->failed = true;
		return;
	}
	*c = (struct tls_claim){.next = name->claims,
				.router = n->router,
				.state = n->b->router,
				.route = n->route,
				.choice = n->choice};
	name->claims = c;
	name->conflict |= name->choice != n->choice;
}

static void name_host(void *context, slice host)
{
	struct naming *n = context;
	struct tls_name *name;

	n->any = true;
	while (slice_ends(host, SLICE(".")))
		host.n--;
	name = find_name(n, host);
	if (name == NULL)
		n->failed = true;
	else
		claim(n, name);
}

#define CONFLICT \
	"router's TLSOptions configuration is conflicting with other routers on the same " \
	"entrypoint and host"

static void refuse(struct build *b, const struct tls_claim *c, const char *why)
{
	c->route->conflicting = true;
	view_add(b->g->view, c->state, SLICE(CONFLICT), true);
	build_tell_router(b, c->router, c->route->entry_point->name, why, NULL);
}

static void warn(struct build *b, const struct tls_claim *c, const char *why)
{
	view_add(b->g->view, c->state, SLICE(CONFLICT ", default TLS options will be used instead"),
		 false);
	build_tell_router(b, c->router, c->route->entry_point->name, why,
			  "Router gets other TLS options than it asks for");
}

/* `normal`: the default options, which the host gets unless they are strict. */
static void settle(struct build *b, struct tls_name *name, const struct tls_choice *normal)
{
	bool strict = build_tls_is_strict(b);
	struct str text = {0};
	const char *why;

	str_format(&text, "found different TLS options for routers on the same host %.*s, %s",
		   SLICE_ARG(name->host),
		   strict ? "which core.strictTLSOptions forbids"
			  : "so using the default TLS options instead");
	why = text.failed ? "found different TLS options on the same host" : text.p;
	for (const struct tls_claim *c = name->claims; c != NULL; c = c->next) {
		if (strict)
			refuse(b, c, why);
		else if (c->choice != normal)
			warn(b, c, why);
	}
	if (!strict)
		name->choice = normal;
	str_free(&text);
}

int build_tls_settle(struct build *b)
{
	const struct tls_choice *normal = NULL;

	for (size_t i = 0; b->tls != NULL && i < b->g->world->entry_point_count; i++) {
		for (struct tls_name *n = b->tls->points[i].first; n != NULL; n = n->next) {
			if (!n->conflict)
				continue;
			if (build_tls_find_choice(b, DEFAULT, &normal) < 0)
				return -ENOMEM;
			settle(b, n, normal);
		}
	}
	return 0;
}

bool build_tls_is_mapped(const struct build *b, const struct tls_name *name)
{
	if (!build_tls_is_strict(b))
		return true;
	for (const struct tls_claim *c = name->claims; c != NULL; c = c->next) {
		if (!c->route->conflicting)
			return true;
	}
	return false;
}

int build_tls_route(struct build *b, const struct dynamic_router *r, struct route *route)
{
	struct naming n = {.b = b, .router = r, .route = route};
	slice entry_point = route->entry_point->name;
	slice options = r->tls->options;
	int result;

	if (b->tls == NULL)
		return 0;
	if (!slice_equal(options, DEFAULT))
		options = dynamic_qualify_as(&b->g->arena, options, r->object.name);
	if (options.p == NULL)
		return -ENOMEM;
	result = build_tls_find_choice(b, options, &n.choice);
	if (result < 0)
		return result;
	rule_each_host(route->rule, name_host, &n);
	if (n.failed)
		return -ENOMEM;
	if (n.choice == &b->tls->unknown) {
		slice text =
			arena_format(&b->g->arena, "unknown TLS options: %.*s", SLICE_ARG(options));

		slice note = arena_format(&b->g->arena, "building router handler: %.*s",
					  SLICE_ARG(text));

		view_add(b->g->view, b->router, note, true);
		build_tell_router(b, r, entry_point,
				  text.p != NULL ? text.p : "unknown TLS options",
				  "TLS connections to the router's hosts are refused");
	} else if (!n.any && options.n > 0 && !slice_equal(options, DEFAULT)) {
		build_tell_router(b, r, entry_point,
				  "no domain found in its rule, so that the TLS options of a "
				  "connection depend on the name that its client asks for",
				  "Router may get other TLS options than it asks for");
	}
	return 0;
}
