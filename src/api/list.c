#include <stdlib.h>

#include "api/api_private.h"

/* Lists: what the query keeps, in its order, a page of it. */

struct criteria {
	slice search;
	slice status;
	slice service;
	slice middleware;
};

bool api_holds(slice text, slice part)
{
	if (part.n == 0)
		return true;
	for (size_t i = 0; i + part.n <= text.n; i++)
		if (slice_equal_nocase(slice_of(text.p + i, part.n), part))
			return true;
	return false;
}

/* A name without a provider may be of any. */
static bool is_service(slice written, slice wanted)
{
	return slice_find(written, '@') < written.n
		       ? slice_equal(written, wanted)
		       : slice_equal(written, slice_first(wanted, slice_find(wanted, '@')));
}

static bool has_middleware(const struct dynamic_router *r, slice name)
{
	for (size_t i = 0; i < r->middlewares.count; i++)
		if (slice_equal(r->middlewares.items[i], name))
			return true;
	return false;
}

static bool is_kept(const struct criteria *k, enum api_kind kind, const struct api_item *item)
{
	const struct dynamic_router *r = item->object;

	if (k->status.n > 0 && !slice_equal_nocase(slice_from(api_status(item)), k->status))
		return false;
	if (kind != API_ROUTER)
		return api_holds(item->name, k->search);
	return (api_holds(r->rule, k->search) || api_holds(item->name, k->search)) &&
	       (k->service.n == 0 || is_service(api_written_service(r), k->service)) &&
	       (k->middleware.n == 0 || has_middleware(r, k->middleware));
}

/* X(KIND, sortBy, what its text is, what its number is) */
#define SORTINGS(X) \
	X(ROUTER, "provider", api_provider(item->name), 0) \
	X(ROUTER, "priority", SLICE(""), api_priority(c, r)) \
	X(ROUTER, "status", slice_from(api_status(item)), 0) \
	X(ROUTER, "rule", r->rule, 0) \
	X(ROUTER, "service", api_written_service(r), 0) \
	X(ROUTER, "entryPoints", SLICE(""), (int64_t)r->entry_points.count) \
	X(SERVICE, "type", lower(c, api_type(API_SERVICE, item)), 0) \
	X(SERVICE, "servers", SLICE(""), count_servers(item->object)) \
	X(SERVICE, "provider", api_provider(item->name), 0) \
	X(SERVICE, "status", slice_from(api_status(item)), 0) \
	X(MIDDLEWARE, "type", lower(c, api_type(API_MIDDLEWARE, item)), 0) \
	X(MIDDLEWARE, "provider", api_provider(item->name), 0) \
	X(MIDDLEWARE, "status", slice_from(api_status(item)), 0)

static int64_t count_servers(const struct dynamic_service *s)
{
	return s != NULL && s->load_balancer != NULL ? (int64_t)s->load_balancer->servers.count : 0;
}

/* Types are sorted as they are shown. */
static slice lower(struct api_call *c, slice text)
{
	char *copy = arena_alloc(&c->arena, text.n + 1);

	if (copy == NULL)
		return text;
	for (size_t i = 0; i < text.n; i++)
		copy[i] = ascii_lower(text.p[i]);
	return slice_of(copy, text.n);
}

static void set_keys(struct api_call *c, slice by, struct api_item *item)
{
	const struct dynamic_router *r = c->kind == API_ROUTER ? item->object : NULL;

#define X(kind_, name_, text_, number_) \
	if (c->kind == API_##kind_ && slice_equal(by, SLICE(name_))) { \
		item->text = (text_); \
		item->number = (number_); \
		return; \
	}
	SORTINGS(X)
#undef X
}

static int ascending(const void *a, const void *b)
{
	const struct api_item *x = a, *y = b;
	int order = slice_compare(x->text, y->text);

	if (order == 0)
		order = (x->number > y->number) - (x->number < y->number);
	return order != 0 ? order : slice_compare(x->name, y->name);
}

static int descending(const void *a, const void *b)
{
	return ascending(b, a);
}

static void sort(struct api_call *c, struct api_item *items, size_t count)
{
	slice by = api_parameter(c, SLICE("sortBy"));
	slice direction = api_parameter(c, SLICE("direction"));
	bool up = direction.n == 0 || slice_equal(direction, SLICE("asc"));

	for (size_t i = 0; i < count; i++)
		set_keys(c, by, &items[i]);
	qsort(items, count, sizeof *items, up ? ascending : descending);
}

static size_t keep(struct api_call *c, struct api_item *items, size_t count)
{
	const struct criteria k = {.search = api_parameter(c, SLICE("search")),
				   .status = api_parameter(c, SLICE("status")),
				   .service = api_parameter(c, SLICE("serviceName")),
				   .middleware = api_parameter(c, SLICE("middlewareName"))};
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (is_kept(&k, c->kind, &items[i]))
			items[kept++] = items[i];
	return kept;
}

static void add_page(struct api_call *c, const struct api_item *items, size_t count)
{
	struct api_uses uses;

	if (api_uses_read(c, &uses) < 0)
		c->out->failed = true;
	str_add_char(c->out, '[');
	for (size_t i = 0; i < count && !c->out->failed; i++) {
		if (i > 0)
			str_add_char(c->out, ',');
		api_add_item(c, c->kind, &items[i], &uses, true);
	}
	str_add(c->out, SLICE("]\n"));
	api_uses_free(&uses);
}

void api_list(struct api_call *c)
{
	struct api_item *items;
	ssize_t all = api_items(c, c->kind, &items);
	size_t count, from;

	if (all < 0) {
		c->out->failed = true;
		return;
	}
	count = keep(c, items, (size_t)all);
	sort(c, items, count);
	api_begin_json(c);
	if (api_take_page(c, &from, &count))
		add_page(c, items + from, count);
}

static const char *kind_name(enum api_kind kind)
{
	static const char *const names[] = {
#define X(name, one, many) one,
		API_KINDS(X)
#undef X
	};

	return names[kind];
}

void api_show_nothing(struct api_call *c)
{
	api_fail(c, 404, "%s not found: %.*s", kind_name(c->kind), SLICE_ARG(c->id));
}

void api_show_item(struct api_call *c)
{
	struct api_uses uses;
	struct api_item *items;
	ssize_t count = api_items(c, c->kind, &items);
	ssize_t at = 0;

	while (at < count && !slice_equal(items[at].name, c->id))
		at++;
	if (at == count) {
		api_show_nothing(c);
		return;
	}
	api_begin_json(c);
	if (count < 0 || api_uses_read(c, &uses) < 0) {
		c->out->failed = true;
	} else {
		api_add_item(c, c->kind, &items[at], &uses, true);
		str_add_char(c->out, '\n');
	}
	if (count >= 0)
		api_uses_free(&uses);
}

void api_list_nothing(struct api_call *c)
{
	size_t from, count = 0;

	api_begin_json(c);
	if (api_take_page(c, &from, &count))
		str_add(c->out, SLICE("[]\n"));
}
