#include <errno.h>

#include "config/dynamic_private.h"
#include "core/map.h"

/* Several configurations into one. Objects are shallow copies: what they point to stays with the
 * parts. */

slice dynamic_qualify(struct arena *arena, slice name, const char *provider)
{
	if (provider == NULL || name.n == 0 || slice_find(name, '@') < name.n)
		return name.p != NULL ? name : SLICE("");
	return arena_format(arena, "%.*s@%s", SLICE_ARG(name), provider);
}

static int qualify_name(struct arena *a, slice *name, const char *provider)
{
	*name = dynamic_qualify(a, *name, provider);
	return name->p != NULL ? 0 : -ENOMEM;
}

slice dynamic_qualify_as(struct arena *arena, slice name, slice object)
{
	slice provider = slice_from_at(object, slice_find(object, '@'));

	if (name.n == 0 || slice_find(name, '@') < name.n)
		return name.p != NULL ? name : SLICE("");
	return arena_format(arena, "%.*s%.*s", SLICE_ARG(name), SLICE_ARG(provider));
}

/* Names of options and stores of TLS: "default" is everybody's. */
static int qualify_tls_name(struct arena *a, slice *name, const char *provider)
{
	return slice_equal(*name, SLICE(DYNAMIC_TLS_DEFAULT)) ? 0 : qualify_name(a, name, provider);
}

static int qualify_list(struct arena *a, struct option_list *list, const char *provider)
{
	slice *items = ARENA_ARRAY(a, slice, list->count + 1);

	if (items == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < list->count; i++) {
		items[i] = list->items[i];
		if (qualify_name(a, &items[i], provider) < 0)
			return -ENOMEM;
	}
	list->items = items;
	return 0;
}

/* A copy of what `*pointer` points to, which may then be changed. NULL stays. */
static int unshare(struct arena *a, void *pointer_to_pointer, size_t size)
{
	void *shared, *copy;

	memcpy(&shared, pointer_to_pointer, sizeof shared);
	if (shared == NULL)
		return 0;
	copy = arena_alloc(a, size);
	if (copy == NULL)
		return -ENOMEM;
	memcpy(copy, shared, size);
	memcpy(pointer_to_pointer, &copy, sizeof copy);
	return 0;
}

static int qualify_services(struct arena *a, struct option_array *array, const char *provider)
{
	void **items = ARENA_ARRAY(a, void *, array->count + 1);

	if (items == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < array->count; i++) {
		struct dynamic_weighted_service *copy =
			ARENA_NEW(a, struct dynamic_weighted_service);

		if (copy == NULL)
			return -ENOMEM;
		*copy = *(const struct dynamic_weighted_service *)array->items[i];
		items[i] = copy;
		if (qualify_name(a, &copy->name, provider) < 0)
			return -ENOMEM;
	}
	array->items = items;
	return 0;
}

#define UNSHARE(a, object, member) unshare((a), &(object)->member, sizeof *(object)->member)

static int qualify_service(struct arena *a, struct dynamic_service *s, const char *provider)
{
	int r = qualify_list(a, &s->middlewares, provider);

	r = r < 0 ? r : UNSHARE(a, s, load_balancer);
	r = r < 0 ? r : UNSHARE(a, s, weighted);
	r = r < 0 ? r : UNSHARE(a, s, highest_random_weight);
	r = r < 0 ? r : UNSHARE(a, s, mirroring);
	r = r < 0 ? r : UNSHARE(a, s, failover);
	if (r == 0 && s->load_balancer != NULL)
		r = qualify_name(a, &s->load_balancer->servers_transport, provider);
	if (r == 0 && s->weighted != NULL)
		r = qualify_services(a, &s->weighted->services, provider);
	if (r == 0 && s->highest_random_weight != NULL)
		r = qualify_services(a, &s->highest_random_weight->services, provider);
	if (r == 0 && s->mirroring != NULL) {
		r = qualify_name(a, &s->mirroring->service, provider);
		r = r < 0 ? r : qualify_services(a, &s->mirroring->mirrors, provider);
	}
	if (r == 0 && s->failover != NULL) {
		r = qualify_name(a, &s->failover->service, provider);
		r = r < 0 ? r : qualify_name(a, &s->failover->fallback, provider);
	}
	return r;
}

/* Names of TLS options stay as they are written, which the API shows; whoever looks for the options
 * completes them. */
static int qualify_router(struct arena *a, struct dynamic_router *router, const char *provider)
{
	int r = qualify_list(a, &router->middlewares, provider);

	r = r < 0 ? r : qualify_list(a, &router->parent_refs, provider);
	return r < 0 ? r : qualify_name(a, &router->service, provider);
}

static int qualify_middleware(struct arena *a, struct dynamic_middleware *m, const char *provider)
{
	int r = UNSHARE(a, m, chain);

	r = r < 0 ? r : UNSHARE(a, m, errors);
	if (r == 0 && m->chain != NULL)
		r = qualify_list(a, &m->chain->middlewares, provider);
	if (r == 0 && m->errors != NULL)
		r = qualify_name(a, &m->errors->service, provider);
	return r;
}

int dynamic_qualify_references(struct arena *arena, enum dynamic_kind kind,
			       struct dynamic_object *object, const char *provider)
{
	switch (kind) {
	case DYNAMIC_ROUTER:
		return qualify_router(arena, (struct dynamic_router *)object, provider);
	case DYNAMIC_SERVICE:
		return qualify_service(arena, (struct dynamic_service *)object, provider);
	case DYNAMIC_MIDDLEWARE:
		return qualify_middleware(arena, (struct dynamic_middleware *)object, provider);
	default:
		return 0;
	}
}

static bool is_of_tls(enum dynamic_kind kind)
{
	return kind == DYNAMIC_TLS_OPTIONS || kind == DYNAMIC_TLS_STORE;
}

static int copy_object(struct dynamic_config *to, enum dynamic_kind kind,
		       const struct dynamic_object *from, const char *provider,
		       struct dynamic_object **copy)
{
	*copy = arena_alloc(&to->arena, dynamic_kind_size(kind));
	if (*copy == NULL)
		return -ENOMEM;
	memcpy(*copy, from, dynamic_kind_size(kind));
	if ((is_of_tls(kind) ? qualify_tls_name : qualify_name)(&to->arena, &(*copy)->name,
								provider) < 0)
		return -ENOMEM;
	if (provider == NULL)
		return 0;
	(*copy)->provider = arena_copy(&to->arena, slice_from(provider));
	if ((*copy)->provider.p == NULL)
		return -ENOMEM;
	return dynamic_qualify_references(&to->arena, kind, *copy, provider);
}

/* Of providers none may say alone what holds for all; the others' objects just lose their name. */
static void tell_repeated(struct dynamic_config *to, enum dynamic_kind kind,
			  struct dynamic_object *first, const struct dynamic_object *again,
			  slice name, struct config_report *report)
{
	if (is_of_tls(kind) && again->provider.n > 0) {
		dynamic_disable(&to->arena, first, "Default %s defined in multiple providers",
				dynamic_kind_name(kind));
		config_warn(report, NULL, again->place, "%.*s", SLICE_ARG(first->disabled));
		return;
	}
	config_warn(report, NULL, again->place, "%s%s already configured, skipping: \"%.*s\"",
		    is_of_tls(kind) ? "" : "HTTP ", dynamic_kind_name(kind), SLICE_ARG(name));
}

static int merge_kind(struct dynamic_config *to, enum dynamic_kind kind,
		      const struct dynamic_part *parts, size_t part_count,
		      struct config_report *report)
{
	struct dynamic_object **objects, *copy;
	struct map seen = {0};
	size_t total = 0, count = 0;
	int r = 0;

	for (size_t i = 0; i < part_count; i++)
		total += dynamic_count(parts[i].config, kind);
	objects = ARENA_ARRAY(&to->arena, struct dynamic_object *, total + 1);
	if (objects == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < part_count; i++) {
		for (size_t j = 0; j < dynamic_count(parts[i].config, kind) && r == 0; j++) {
			const struct dynamic_object *o = dynamic_at(parts[i].config, kind, j);

			r = copy_object(to, kind, o, parts[i].provider, &copy);
			if (r == 0 && map_get(&seen, copy->name) != NULL) {
				tell_repeated(to, kind, map_get(&seen, copy->name), copy, o->name,
					      report);
				continue;
			}
			r = r < 0 ? r : map_put(&seen, copy->name, copy);
			objects[count++] = copy;
		}
	}
	map_free(&seen);
	return r < 0 ? r : dynamic_set(to, kind, objects, count);
}

/* Of all parts, one after the other. */
static int merge_certificates(struct dynamic_config *to, const struct dynamic_part *parts,
			      size_t part_count)
{
	struct option_array *all = &to->certificates;
	const struct tree_node **nodes;
	size_t total = 0;

	for (size_t i = 0; i < part_count; i++)
		total += parts[i].config->certificates.count;
	all->items = ARENA_ARRAY(&to->arena, void *, total + 1);
	all->nodes = nodes = ARENA_ARRAY(&to->arena, const struct tree_node *, total + 1);
	if (all->items == NULL || nodes == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < part_count; i++) {
		const struct option_array *from = &parts[i].config->certificates;

		for (size_t j = 0; j < from->count; j++, all->count++) {
			all->items[all->count] = from->items[j];
			nodes[all->count] = from->nodes[j];
		}
	}
	return 0;
}

int dynamic_gather(const struct dynamic_part *parts, size_t count, struct dynamic_config **gathered)
{
	struct dynamic_config *c = dynamic_new(0);

	*gathered = c;
	if (c == NULL)
		return -ENOMEM;
	c->parts = ARENA_ARRAY(&c->arena, struct dynamic_part, count + 1);
	if (c->parts == NULL) {
		dynamic_destroy(gathered);
		return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		c->parts[i] = parts[i];
		(void)dynamic_ref(parts[i].config);
	}
	c->part_count = count;
	c->gathered = true;
	return 0;
}

int dynamic_merge_gathered(struct dynamic_config *c, struct config_report *report)
{
	int r = 0;

	OBJ_CHECK(c, DYNAMIC_CONFIG_MAGIC);
	if (!c->gathered)
		return 0;
	for (enum dynamic_kind kind = 0; kind < DYNAMIC_KIND_COUNT && r == 0; kind++)
		r = merge_kind(c, kind, c->parts, c->part_count, report);
	if (r == 0)
		r = merge_certificates(c, c->parts, c->part_count);
	if (r == 0)
		r = dynamic_hash_whole(c);
	c->gathered = r < 0;
	return r;
}

int dynamic_merge(const struct dynamic_part *parts, size_t count, struct config_report *report,
		  struct dynamic_config **merged)
{
	int r = dynamic_gather(parts, count, merged);

	if (r == 0)
		r = dynamic_merge_gathered(*merged, report);
	if (r < 0)
		dynamic_destroy(merged);
	return r;
}
