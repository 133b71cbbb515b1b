#include <errno.h>
#include <stdlib.h>

#include "config/dynamic_private.h"

/* The four kinds of objects, whatever their structures are. */

size_t dynamic_kind_size(enum dynamic_kind kind)
{
	static const size_t sizes[] = {
#define X(kind_, member, structure, name) sizeof(struct structure),
		DYNAMIC_KINDS(X)
#undef X
	};

	return sizes[kind];
}

const struct option *dynamic_kind_options(enum dynamic_kind kind)
{
	static const struct option *const tables[] = {
		dynamic_router_options,
		dynamic_service_options,
		dynamic_middleware_options,
		dynamic_servers_transport_options,
	};

	return tables[kind];
}

const char *dynamic_kind_name(enum dynamic_kind kind)
{
	static const char *const names[] = {
#define X(kind_, member, structure, name) name,
		DYNAMIC_KINDS(X)
#undef X
	};

	return names[kind];
}

size_t dynamic_count(const struct dynamic_config *config, enum dynamic_kind kind)
{
	switch (kind) {
	case DYNAMIC_ROUTER:
		return config->router_count;
	case DYNAMIC_SERVICE:
		return config->service_count;
	case DYNAMIC_MIDDLEWARE:
		return config->middleware_count;
	default:
		return config->servers_transport_count;
	}
}

struct dynamic_object *dynamic_at(const struct dynamic_config *config, enum dynamic_kind kind,
				  size_t index)
{
	must(index < dynamic_count(config, kind));
	switch (kind) {
	case DYNAMIC_ROUTER:
		return &config->routers[index]->object;
	case DYNAMIC_SERVICE:
		return &config->services[index]->object;
	case DYNAMIC_MIDDLEWARE:
		return &config->middlewares[index]->object;
	default:
		return &config->servers_transports[index]->object;
	}
}

bool dynamic_index(const struct dynamic_config *config, enum dynamic_kind kind, slice name,
		   size_t *index)
{
	size_t low = 0, high = dynamic_count(config, kind);

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = slice_compare(dynamic_at(config, kind, middle)->name, name);

		*index = middle;
		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

struct dynamic_object *dynamic_find(const struct dynamic_config *config, enum dynamic_kind kind,
				    slice name)
{
	size_t index;

	return dynamic_index(config, kind, name, &index) ? dynamic_at(config, kind, index) : NULL;
}

struct dynamic_router *dynamic_router_find(const struct dynamic_config *config, slice name)
{
	return (struct dynamic_router *)dynamic_find(config, DYNAMIC_ROUTER, name);
}

struct dynamic_service *dynamic_service_find(const struct dynamic_config *config, slice name)
{
	return (struct dynamic_service *)dynamic_find(config, DYNAMIC_SERVICE, name);
}

struct dynamic_middleware *dynamic_middleware_find(const struct dynamic_config *config, slice name)
{
	return (struct dynamic_middleware *)dynamic_find(config, DYNAMIC_MIDDLEWARE, name);
}

struct dynamic_servers_transport *
dynamic_servers_transport_find(const struct dynamic_config *config, slice name)
{
	return (struct dynamic_servers_transport *)dynamic_find(config, DYNAMIC_TRANSPORT, name);
}

static int by_name(const void *a, const void *b)
{
	const struct dynamic_object *const *x = a, *const *y = b;

	return slice_compare((*x)->name, (*y)->name);
}

#define SET(config, array, number, structure, objects, count) \
	do { \
		(config)->array = ARENA_ARRAY(&(config)->arena, struct structure *, (count) + 1); \
		(config)->number = (config)->array != NULL ? (count) : 0; \
		for (size_t i_ = 0; i_ < (config)->number; i_++) \
			(config)->array[i_] = (struct structure *)(objects)[i_]; \
		return (config)->array != NULL ? 0 : -ENOMEM; \
	} while (0)

int dynamic_set(struct dynamic_config *config, enum dynamic_kind kind,
		struct dynamic_object **objects, size_t count)
{
	qsort(objects, count, sizeof(struct dynamic_object *), by_name);
	switch (kind) {
	case DYNAMIC_ROUTER:
		SET(config, routers, router_count, dynamic_router, objects, count);
	case DYNAMIC_SERVICE:
		SET(config, services, service_count, dynamic_service, objects, count);
	case DYNAMIC_MIDDLEWARE:
		SET(config, middlewares, middleware_count, dynamic_middleware, objects, count);
	default:
		SET(config, servers_transports, servers_transport_count, dynamic_servers_transport,
		    objects, count);
	}
}
