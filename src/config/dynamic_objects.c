#include <errno.h>
#include <stdlib.h>

#include "config/dynamic_private.h"

/* The kinds of objects, whatever their structures are. */

size_t dynamic_kind_size(enum dynamic_kind kind)
{
	static const size_t sizes[] = {
#define X(kind_, member, structure, array, number, name) sizeof(struct structure),
		DYNAMIC_KINDS(X)
#undef X
	};

	return sizes[kind];
}

const struct option *dynamic_kind_options(enum dynamic_kind kind)
{
	static const struct option *const tables[] = {
		dynamic_router_options,      dynamic_service_options,
		dynamic_middleware_options,  dynamic_servers_transport_options,
		dynamic_tls_options_options, dynamic_tls_store_options,
	};

	return tables[kind];
}

const char *dynamic_kind_name(enum dynamic_kind kind)
{
	static const char *const names[] = {
#define X(kind_, member, structure, array, number, name) name,
		DYNAMIC_KINDS(X)
#undef X
	};

	return names[kind];
}

size_t dynamic_count(const struct dynamic_config *config, enum dynamic_kind kind)
{
	switch (kind) {
#define X(kind_, member, structure, array, number, name) \
	case DYNAMIC_##kind_: \
		return config->number;
		DYNAMIC_KINDS(X)
#undef X
	default:
		must_not_reach("there is no such kind");
	}
}

struct dynamic_object *dynamic_at(const struct dynamic_config *config, enum dynamic_kind kind,
				  size_t index)
{
	must(index < dynamic_count(config, kind));
	switch (kind) {
#define X(kind_, member, structure, array, number, name) \
	case DYNAMIC_##kind_: \
		return &config->array[index]->object;
		DYNAMIC_KINDS(X)
#undef X
	default:
		must_not_reach("there is no such kind");
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

struct dynamic_tls_options *dynamic_tls_options_find(const struct dynamic_config *config,
						     slice name)
{
	return (struct dynamic_tls_options *)dynamic_find(config, DYNAMIC_TLS_OPTIONS, name);
}

struct dynamic_tls_store *dynamic_tls_store_find(const struct dynamic_config *config, slice name)
{
	return (struct dynamic_tls_store *)dynamic_find(config, DYNAMIC_TLS_STORE, name);
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
#define X(kind_, member, structure, array, number, name) \
	case DYNAMIC_##kind_: \
		SET(config, array, number, structure, objects, count);
		DYNAMIC_KINDS(X)
#undef X
	default:
		must_not_reach("there is no such kind");
	}
}
