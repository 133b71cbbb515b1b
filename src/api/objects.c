#include <errno.h>
#include <stdlib.h>

#include "api/api_private.h"

/* Routers, services and middlewares as JSON, and who uses them. */

slice api_provider(slice name)
{
	return slice_from_at(name, slice_find(name, '@') + 1);
}

const char *api_status(const struct api_item *item)
{
	if (item->state == NULL || item->state->notes == NULL)
		return "enabled";
	return item->state->disabled ? "disabled" : "warning";
}

/* The first row that is a structure and there, as Traefik looks for it. */
static slice type_of_rows(const struct option *table, const void *object)
{
	for (; table->name != NULL; table++) {
		const void *pointer;

		if (table->type != OPTION_POINTER || (table->flags & OPTION_NOWHERE))
			continue;
		memcpy(&pointer, (const char *)object + table->offset, sizeof pointer);
		if (pointer != NULL)
			return slice_from(table->name);
	}
	return SLICE("");
}

slice api_type(enum api_kind kind, const struct api_item *item)
{
	const struct dynamic_middleware *m = item->object;

	if (item->object == NULL)
		return SLICE("");
	if (kind == API_SERVICE)
		return type_of_rows(dynamic_service_options, item->object);
	if (m->plugin.count == 1)
		return m->plugin.items[0].name;
	return type_of_rows(dynamic_middleware_options, item->object);
}

slice api_written_service(const struct dynamic_router *r)
{
	const struct tree_node *node = tree_child(r->object.node, SLICE("service"));

	return node != NULL && node->kind == TREE_SCALAR ? node->text : r->service;
}

static bool is_used(const struct api_call *c, const struct dynamic_router *r, size_t i)
{
	for (size_t before = 0; before < i; before++)
		if (slice_equal(r->entry_points.items[before], r->entry_points.items[i]))
			return false;
	return static_entry_point(c->api->config, r->entry_points.items[i]) != NULL;
}

int64_t api_priority(const struct api_call *c, const struct dynamic_router *r)
{
	if (r->priority != 0)
		return r->priority;
	for (size_t i = 0; i < r->entry_points.count; i++)
		if (is_used(c, r, i))
			return (int64_t)r->rule.n;
	return 0;
}

static void add_key(struct str *out, const char *key)
{
	bool first = slice_ends(str_slice(out), SLICE("{"));

	str_format(out, "%s\"%s\":", first ? "" : ",", key);
}

static void add_text(struct str *out, const char *key, slice text)
{
	if (text.n == 0)
		return;
	add_key(out, key);
	tree_add_json_string(out, text);
}

/* Types are shown in lower case. */
static void add_type(struct str *out, slice type)
{
	if (type.n == 0)
		return;
	add_key(out, "type");
	str_add_char(out, '"');
	for (size_t i = 0; i < type.n; i++)
		str_add_char(out, ascii_lower(type.p[i]));
	str_add_char(out, '"');
}

static void add_state(struct str *out, const struct api_item *item)
{
	const struct view_note *notes = item->state != NULL ? item->state->notes : NULL;

	if (notes != NULL) {
		add_key(out, "error");
		for (const struct view_note *n = notes; n != NULL; n = n->next) {
			str_add_char(out, n == notes ? '[' : ',');
			tree_add_json_string(out, n->text);
		}
		str_add_char(out, ']');
	}
	add_text(out, "status", slice_from(api_status(item)));
}

static int by_bytes(const void *a, const void *b)
{
	return slice_compare(*(const slice *)a, *(const slice *)b);
}

/* The entry points that it is on. */
static void add_using(struct api_call *c, const struct dynamic_router *r)
{
	slice *names = ARENA_ARRAY(&c->arena, slice, r->entry_points.count + 1);
	size_t count = 0;

	if (names == NULL) {
		c->out->failed = true;
		return;
	}
	for (size_t i = 0; i < r->entry_points.count; i++)
		if (is_used(c, r, i))
			names[count++] = r->entry_points.items[i];
	if (count == 0)
		return;
	qsort(names, count, sizeof *names, by_bytes);
	add_key(c->out, "using");
	for (size_t i = 0; i < count; i++) {
		str_add_char(c->out, i == 0 ? '[' : ',');
		tree_add_json_string(c->out, names[i]);
	}
	str_add_char(c->out, ']');
}

static void add_router(struct api_call *c, const struct api_item *item, bool listed)
{
	const struct option_json how = {.hide = c->hide};
	struct dynamic_router r = *(const struct dynamic_router *)item->object;
	struct dynamic_router_tls tls;

	r.priority = api_priority(c, &r);
	if (listed && r.tls != NULL && r.tls->options.n == 0) {
		tls = *r.tls;
		tls.options = SLICE("default");
		r.tls = &tls;
	}
	str_add_char(c->out, '{');
	(void)option_json(c->out, dynamic_router_options, &r, r.object.node, &how);
	add_state(c->out, item);
	add_using(c, &r);
	if (!listed)
		return;
	add_text(c->out, "name", item->name);
	add_text(c->out, "provider", api_provider(item->name));
	str_format(c->out, ",\"priorityStr\":\"%lld\"", (long long)r.priority);
}

static int by_use(const void *a, const void *b)
{
	const struct api_use *x = a, *y = b;
	int order = slice_compare(x->used, y->used);

	return order != 0 ? order : slice_compare(x->by, y->by);
}

static void add_used_by(struct str *out, const struct api_use *uses, size_t count, slice name)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (slice_compare(uses[middle].used, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == count || !slice_equal(uses[low].used, name))
		return;
	add_key(out, "usedBy");
	for (size_t i = low; i < count && slice_equal(uses[i].used, name); i++) {
		str_add_char(out, i == low ? '[' : ',');
		tree_add_json_string(out, uses[i].by);
	}
	str_add_char(out, ']');
}

/* Servers count as well until something asks them. */
static void add_servers(struct str *out, const struct dynamic_load_balancer *lb)
{
	bool any = false;

	for (size_t i = 0; i < lb->servers.count; i++) {
		const struct dynamic_server *server = lb->servers.items[i];
		bool repeated = false;

		for (size_t k = 0; k < i && !repeated; k++)
			repeated = slice_equal(
				((const struct dynamic_server *)lb->servers.items[k])->url,
				server->url);
		if (repeated)
			continue;
		if (!any)
			add_key(out, "serverStatus");
		str_add_char(out, any ? ',' : '{');
		tree_add_json_string(out, server->url);
		str_add(out, SLICE(":\"UP\""));
		any = true;
	}
	if (any)
		str_add_char(out, '}');
}

/* What the provider rest takes has no defaults in Traefik. */
static struct option_json manner(const struct api_call *c, slice name)
{
	return (struct option_json){.set_only = slice_equal(api_provider(name), SLICE("rest")),
				    .hide = c->hide};
}

static void add_service(struct api_call *c, const struct api_item *item,
			const struct api_uses *uses, bool listed)
{
	const struct dynamic_service *s = item->object;
	const struct option_json how = manner(c, item->name);

	str_add_char(c->out, '{');
	if (s == NULL)
		str_add(c->out, SLICE("\"status\":\"enabled\""));
	else {
		(void)option_json(c->out, dynamic_service_options, s, s->object.node, &how);
		add_state(c->out, item);
	}
	add_used_by(c->out, uses->services, uses->service_count, item->name);
	if (listed) {
		add_text(c->out, "name", item->name);
		add_text(c->out, "provider", api_provider(item->name));
		add_type(c->out, api_type(API_SERVICE, item));
	}
	if (s != NULL && item->state->made && s->load_balancer != NULL)
		add_servers(c->out, s->load_balancer);
}

/* What weir knows of the plugin behind a middleware. */
static void add_plugin(struct str *out, const struct dynamic_middleware *m,
		       const struct api_uses *uses)
{
	for (size_t i = 0; m->plugin_alias.n > 0 && i < uses->plugin_count; i++) {
		const struct plugin_totals *t = &uses->plugins[i];

		if (slice_equal(t->alias, m->plugin_alias))
			str_format(out,
				   ",\"weir\":{\"content\":\"%s\",\"configurations\":%llu,"
				   "\"instances\":%llu,\"memoryBytes\":%llu}",
				   t->content, (unsigned long long)t->configurations,
				   (unsigned long long)t->stats.live,
				   (unsigned long long)t->stats.reserved_bytes);
	}
}

static void add_middleware(struct api_call *c, const struct api_item *item,
			   const struct api_uses *uses, bool listed)
{
	const struct dynamic_middleware *m = item->object;
	const struct option_json how = manner(c, item->name);

	str_add_char(c->out, '{');
	if (option_json(c->out, dynamic_middleware_options, m, m->object.node, &how))
		add_state(c->out, item);
	else
		str_add(c->out, SLICE("\"status\":\"disabled\""));
	add_used_by(c->out, uses->middlewares, uses->middleware_count, item->name);
	if (listed) {
		add_text(c->out, "name", item->name);
		add_text(c->out, "provider", api_provider(item->name));
		add_type(c->out, api_type(API_MIDDLEWARE, item));
	}
	add_plugin(c->out, m, uses);
}

void api_add_item(struct api_call *c, enum api_kind kind, const struct api_item *item,
		  const struct api_uses *uses, bool listed)
{
	if (kind == API_ROUTER)
		add_router(c, item, listed);
	else if (kind == API_SERVICE)
		add_service(c, item, uses, listed);
	else
		add_middleware(c, item, uses, listed);
	str_add_char(c->out, '}');
}

static int by_name(const void *a, const void *b)
{
	return slice_compare(((const struct api_item *)a)->name,
			     ((const struct api_item *)b)->name);
}

static size_t add_internal_services(const struct api_call *c, struct api_item *items)
{
	size_t count = 0;

	for (int i = 0; i < INTERNAL_SERVICE_COUNT; i++)
		if (internal_service_wanted((enum internal_service)i, c->api->config))
			items[count++] = (struct api_item){.name = internal_service_names[i]};
	return count;
}

#define TAKE(items, count, config, array, number, states) \
	do { \
		for (size_t i_ = 0; i_ < (config)->number; i_++) \
			(items)[(count)++] = \
				(struct api_item){.name = (config)->array[i_]->object.name, \
						  .object = (config)->array[i_], \
						  .state = &(states)[i_]}; \
	} while (0)

ssize_t api_items(struct api_call *c, enum api_kind kind, struct api_item **items)
{
	const struct dynamic_config *d = c->view->config;
	size_t count = 0, room = INTERNAL_SERVICE_COUNT + d->router_count + d->service_count +
				 d->middleware_count;

	*items = ARENA_ARRAY(&c->arena, struct api_item, room);
	if (*items == NULL)
		return -ENOMEM;
	if (kind == API_ROUTER)
		TAKE(*items, count, d, routers, router_count, c->view->routers);
	else if (kind == API_MIDDLEWARE)
		TAKE(*items, count, d, middlewares, middleware_count, c->view->middlewares);
	else
		TAKE(*items, count, d, services, service_count, c->view->services);
	if (kind == API_SERVICE)
		count += add_internal_services(c, *items + count);
	qsort(*items, count, sizeof **items, by_name);
	return (ssize_t)count;
}

static int read_plugins(struct api_call *c, struct api_uses *u)
{
	struct plugin_registry *registry = proxy_plugins(c->api->proxy);

	u->plugin_count = plugin_totals_count(registry);
	u->plugins = calloc(u->plugin_count + 1, sizeof *u->plugins);
	return u->plugins != NULL ? plugin_totals_read(registry, u->plugins) : -ENOMEM;
}

int api_uses_read(struct api_call *c, struct api_uses *u)
{
	const struct dynamic_config *d = c->view->config;
	size_t total = 0;

	*u = (struct api_uses){.services = NULL};
	for (size_t i = 0; i < d->router_count; i++)
		total += d->routers[i]->middlewares.count;
	u->services = calloc(d->router_count + 1, sizeof *u->services);
	u->middlewares = calloc(total + 1, sizeof *u->middlewares);
	if (u->services == NULL || u->middlewares == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < d->router_count; i++) {
		const struct dynamic_router *r = d->routers[i];

		u->services[u->service_count++] = (struct api_use){r->service, r->object.name};
		for (size_t k = 0; k < r->middlewares.count; k++)
			u->middlewares[u->middleware_count++] =
				(struct api_use){r->middlewares.items[k], r->object.name};
	}
	qsort(u->services, u->service_count, sizeof *u->services, by_use);
	qsort(u->middlewares, u->middleware_count, sizeof *u->middlewares, by_use);
	return read_plugins(c, u);
}

void api_uses_free(struct api_uses *u)
{
	free(u->services);
	free(u->middlewares);
	free(u->plugins);
}
