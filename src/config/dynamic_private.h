/*
 * Inside of dynamic configuration; only src/config/dynamic*.c include this.
 */
#ifndef CONFIG_DYNAMIC_PRIVATE_H
#define CONFIG_DYNAMIC_PRIVATE_H

#include "config/dynamic.h"

/* Rows of sections that are not served yet; the row that refers to them has the status. */
#define ROW(key, TYPE, initial_) OPT_NOWHERE(key, TYPE, IMPLEMENTED, initial_, NULL)
#define TABLE(key, TYPE, rows, flags_) OPT_NOWHERE_TABLE(key, TYPE, IMPLEMENTED, rows, flags_, NULL)

extern const struct option dynamic_router_tls_options[];
extern const struct option dynamic_key_pair_options[];
extern const struct option dynamic_tcp_options[];
extern const struct option dynamic_udp_options[];

/** What the root table fills in; the arrays of `struct dynamic_config` point into it. */
struct dynamic_http {
	struct option_map routers;
	struct option_map services;
	struct option_map middlewares;
	struct option_map servers_transports;
};

struct dynamic_tls {
	struct option_array certificates;
	struct option_map options;
	struct option_map stores;
};

struct dynamic_root {
	struct dynamic_http http;
	struct dynamic_tls tls;
};

/* X(KIND, member of the root, structure, array and number in the configuration, Traefik's name in
 * messages) */
#define DYNAMIC_KINDS(X) \
	X(ROUTER, http.routers, dynamic_router, routers, router_count, "router") \
	X(SERVICE, http.services, dynamic_service, services, service_count, "service") \
	X(MIDDLEWARE, http.middlewares, dynamic_middleware, middlewares, middleware_count, \
	  "middleware") \
	X(TRANSPORT, http.servers_transports, dynamic_servers_transport, servers_transports, \
	  servers_transport_count, "servers transport") \
	X(TLS_OPTIONS, tls.options, dynamic_tls_options, tls_options, tls_option_count, \
	  "TLS options") \
	X(TLS_STORE, tls.stores, dynamic_tls_store, tls_stores, tls_store_count, "TLS store")

enum dynamic_kind {
#define X(kind, member, structure, array, number, name) DYNAMIC_##kind,
	DYNAMIC_KINDS(X)
#undef X
		DYNAMIC_KIND_COUNT
};

extern const struct option dynamic_servers_transport_options[];
extern const struct option dynamic_tls_options_options[];
extern const struct option dynamic_tls_store_options[];
extern const struct option dynamic_certificate_options[];
extern const struct option dynamic_tls_rows[];

/** The name of the options and of the store that need no provider. */
#define DYNAMIC_TLS_DEFAULT "default"

/** The rows of one object of that kind, and its size. */
const struct option *dynamic_kind_options(enum dynamic_kind kind);
size_t dynamic_kind_size(enum dynamic_kind kind);
const char *dynamic_kind_name(enum dynamic_kind kind);

/** How many objects of that kind there are. */
size_t dynamic_count(const struct dynamic_config *config, enum dynamic_kind kind);
/** The one at `index`, in the order of names. */
struct dynamic_object *dynamic_at(const struct dynamic_config *config, enum dynamic_kind kind,
				  size_t index);
/** Calls `visit` for each option of a configuration that stands for bytes, in whatever object. */
void dynamic_visit_contents(struct dynamic_config *config,
			    void (*visit)(void *user, struct option_content *content), void *user);
/** Finds an object by name; returns false, and leaves `*index` anywhere, if there is none. */
bool dynamic_index(const struct dynamic_config *config, enum dynamic_kind kind, slice name,
		   size_t *index);
/** The same as a pointer, or NULL. */
struct dynamic_object *dynamic_find(const struct dynamic_config *config, enum dynamic_kind kind,
				    slice name);

/** Sorts the objects and makes them the ones of that kind. Returns 0 or -ENOMEM. */
int dynamic_set(struct dynamic_config *config, enum dynamic_kind kind,
		struct dynamic_object **objects, size_t count);

/** Makes the object unusable for a reason, unless it already is; `arena` keeps the text, which is
 * cut when that is full. */
void dynamic_disable(struct arena *arena, struct dynamic_object *object, const char *format, ...)
	PRINTF_LIKE(3, 4);

/** How many of the kinds of services it is of: one, unless it is wrong. */
int dynamic_service_kinds(const struct dynamic_service *s);

/** Disables objects that are wrong by themselves, whatever they refer to. */
void dynamic_check(struct dynamic_config *config);

/** "a@p" for "a", if there is a provider and no "@" yet. `p` is NULL when the arena is full. */
slice dynamic_qualify(struct arena *arena, slice name, const char *provider);

/** Replaces the references in a shallow copy of an object by qualified ones. Returns 0 or -ENOMEM.
 */
int dynamic_qualify_references(struct arena *arena, enum dynamic_kind kind,
			       struct dynamic_object *object, const char *provider);

/** Hashes every object by its name and values. Returns 0 or -ENOMEM. */
int dynamic_hash_objects(struct dynamic_config *config);

/** Hashes all of them together: their names, which may have got a provider since, and their hashes.
 * Returns 0 or -ENOMEM. */
int dynamic_hash_whole(struct dynamic_config *config);

#endif
