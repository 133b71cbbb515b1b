#include "cli/explain.h"

#include <stdlib.h>
#include <string.h>

#include "core/base.h"

#define INDENT 3 /* of options, in steps of two columns */

/* What made the middleware: of this configuration or of an older one. */
static const struct dynamic_middleware *values_of(const struct generation *g,
						  const struct middleware *m)
{
	for (size_t i = 0; i < g->middleware_count; i++)
		if (g->middlewares[i] == m)
			return g->origins[i].values;
	return NULL;
}

/* The row of the middleware's type. */
static const struct option *type_of(const struct dynamic_middleware *values)
{
	for (const struct option *row = dynamic_middleware_options; row->name != NULL; row++)
		if (slice_equal(values->type, slice_from(row->name)))
			return row;
	return NULL;
}

static void explain_options(struct str *out, const struct option *row,
			    const struct dynamic_middleware *values)
{
	const struct option_dump how = {.defaults = true, .docs = true, .indent = INDENT};
	const void *object;

	if (row->type != OPTION_POINTER)
		return;
	memcpy(&object, (const char *)values + row->offset, sizeof object);
	if (object != NULL)
		option_dump(out, row->table, object, &how);
}

/* What `errors` asks for pages instead. */
static void explain_pages(struct str *out, const struct generation *g,
			  const struct dynamic_errors *errors)
{
	const struct dynamic_service *s = dynamic_service_find(g->config, errors->service);

	str_format(out, "     pages of %.*s", SLICE_ARG(errors->service));
	for (size_t i = 0; s != NULL && i < s->middlewares.count; i++)
		str_format(out, "%s %.*s", i == 0 ? " by way of" : ",",
			   SLICE_ARG(s->middlewares.items[i]));
	str_add_char(out, '\n');
}

static void explain_middleware(struct str *out, const struct generation *g,
			       const struct middleware *m, size_t number)
{
	const struct dynamic_middleware *values = values_of(g, m);
	const struct option *row = values != NULL ? type_of(values) : NULL;

	str_format(out, "  %zu. %.*s", number, SLICE_ARG(m->name));
	if (row == NULL) {
		str_add_char(out, '\n');
		return;
	}
	str_format(out, ", %s", row->name);
	if (values->plugin_alias.n > 0)
		str_format(out, " %.*s", SLICE_ARG(values->plugin_alias));
	str_format(out, ": %s\n", row->doc);
	explain_options(out, row, values);
	if (values->errors != NULL)
		explain_pages(out, g, values->errors);
}

static void explain_service(struct str *out, const struct generation *g,
			    const struct service *service)
{
	const struct dynamic_service *s = dynamic_service_find(g->config, service->name);

	str_format(out, "  service %.*s", SLICE_ARG(service->name));
	if (s != NULL && s->load_balancer != NULL && s->load_balancer->servers.count != 1)
		str_format(out, ": %zu servers that take turns", s->load_balancer->servers.count);
	str_add_char(out, '\n');
}

static int64_t priority_of(const struct route *r)
{
	const struct dynamic_router *d = dynamic_router_find(r->generation->config, r->name);

	return d != NULL && d->priority != 0 ? d->priority : rule_priority(r->rule);
}

static void explain_route(struct str *out, const struct route *r)
{
	const struct generation *g = r->generation;
	const struct dynamic_router *d = dynamic_router_find(g->config, r->name);

	str_format(out, "%.*s, router %.*s", SLICE_ARG(r->entry_point->name), SLICE_ARG(r->name));
	if (d != NULL)
		str_format(out, "%s: %.*s", d->tls != NULL ? " (TLS)" : "", SLICE_ARG(d->rule));
	str_format(out, ", priority %lld\n", (long long)priority_of(r));
	for (size_t i = 0; i < r->chain.count; i++)
		explain_middleware(out, g, r->chain.list[i], i + 1);
	explain_service(out, g, r->chain.service);
}

/* By entry point, then in the order in which they are tried. */
static int compare(const void *one, const void *other)
{
	const struct route *a = *(const struct route *const *)one,
			   *b = *(const struct route *const *)other;
	int64_t first, second;

	if (a->entry_point != b->entry_point)
		return a->entry_point->index < b->entry_point->index ? -1 : 1;
	first = priority_of(a);
	second = priority_of(b);
	if (first != second)
		return first > second ? -1 : 1;
	return slice_compare(a->name, b->name);
}

void explain_generation(struct str *out, const struct generation *g)
{
	const struct route **list = calloc(g->route_count + 1, sizeof(const struct route *));
	size_t count = 0;

	if (list == NULL) {
		out->failed = true;
		return;
	}
	/* Without a chain: disabled. */
	for (size_t i = 0; i < g->route_count; i++)
		if (g->routes[i]->chain.magic == CHAIN_MAGIC)
			list[count++] = g->routes[i];
	qsort(list, count, sizeof(const struct route *), compare);
	for (size_t i = 0; i < count; i++)
		explain_route(out, list[i]);
	if (count == 0)
		str_add(out, SLICE("No router serves: every request gets 404.\n"));
	free(list);
}
