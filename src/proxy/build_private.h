/*
 * Private to the files of the build: services, chains, routers.
 */
#ifndef PROXY_BUILD_PRIVATE_H
#define PROXY_BUILD_PRIVATE_H

#include "proxy/build.h"

/* Of services in middlewares in services and so on: the build calls itself for each. */
#define BUILD_DEPTH_MAX 100

/* What has become of a service or middleware: it is made when the first router names it. Texts are
 * in the generation's arena. */
struct outcome {
	bool tried;
	const char *reason; /* why it cannot be used; NULL: it can */
	bool deeper;        /* the reason is that of something it needs, which it names */
	slice cause;        /* with a reason: the same in Traefik's words */
	struct chain chain; /* of services: what leads to it, and the service, NULL until it is made
			       itself */
};

/* What is being made, as the way from a router or from what it names. On the stack. */
struct build_step {
	const struct build_step *outer;
	const char *kind; /* "service", "middleware" */
	slice name;
	size_t depth;
};

struct build {
	struct generation *g;
	const struct generation *previous; /* NULL: none */
	struct outcome *middlewares;       /* parallel to the configuration's */
	struct outcome *services;          /* the same */
	struct build_tls *tls;             /* NULL: there is no TLS */
	struct router_entry **entries;     /* parallel to the sets, room for every router */
	size_t *entry_counts;
	struct view_state *router;     /* the one at hand */
	const struct build_step *step; /* the innermost; NULL: none */
	slice cause; /* of the last failure, if Traefik says it in other words; else empty */
};

/**
 * Keeps the text of `e` as the reason why the object is out of use. Returns `code`, or -ENOMEM,
 * which ends the build.
 */
int build_keep_reason(struct build *b, struct outcome *o, int code, const struct weir_error *e);

/** Says why something cannot be used that has failed before. Returns -EINVAL. */
int build_tell_reason(const struct outcome *o, const char *kind, slice name, struct weir_error *e);

/** Something is made now, in `step`, until `build_leave`. Returns 0, or -ELOOP with `e` filled in
 * when that is being made already, or lies too deep. */
int build_enter(struct build *b, struct build_step *step, const char *kind, slice name,
		struct weir_error *e);
void build_leave(struct build *b);

/** The place of a name in a sorted list of named objects, or `count`. */
size_t build_find_index(void *const *objects, size_t count, slice name);

/** Whether requests of that kind of thing are counted. */
bool build_counts(const struct build *b, enum series_kind kind);

/** Tells the world of a router. `effect` says what becomes of it; NULL: it is disabled. */
void build_tell_router(const struct build *b, const struct dynamic_router *r, slice entry_point,
		       const char *why, const char *effect);

/** The same of options of TLS that cannot be. */
void build_tell_options(const struct build *b, const struct dynamic_object *o, const char *why);

/** Certificates and options; before the routers. Returns 0, -ENOMEM or -ECANCELED. */
int build_tls_begin(struct build *b);
/** Notes which options the hosts of a router's route get. Returns 0 or -ENOMEM. */
int build_tls_route(struct build *b, const struct dynamic_router *r, struct route *route);
/** Gives hosts whose routers contradict each other the default options, or marks these routers'
 * routes as not served; after the routers. Returns 0 or -ENOMEM. */
int build_tls_settle(struct build *b);
/** What connections get; after the routers. Returns 0 or -ENOMEM. */
int build_tls_finish(struct build *b);
/** What the build alone needed. */
void build_tls_free(struct build *b);
/** The settings of connections to one server: those of the transport `t`, or with NULL the static
 * default. */
struct client_options build_client_options(const struct build *b,
					   const struct dynamic_servers_transport *t);

/** The service of that name that exists without configuration and is switched on, or NULL. */
struct service *build_find_internal(const struct generation_world *w, slice name);

/** What to call where a certificate or an authority is from. */
slice build_content_name(const struct option_content *c);

/**
 * How the transport's servers are reached with TLS (NULL: the default transport's), made on first
 * use; the generation's. Returns 0 or a negative errno value and why not.
 */
int build_connector(struct build *b, const struct dynamic_servers_transport *t,
		    struct tls_connector **connector, struct weir_error *e);

/** The service of that name behind its own middlewares, made on first use; the generation's.
 * Returns 0 or a negative errno value and why not. */
int build_find_service(struct build *b, const struct chain **chain, slice name,
		       struct weir_error *e);

/**
 * The middlewares of these names, those that chains hold in the place of the chains, and then what
 * `inner` holds. Returns 0 or a negative errno value and why not.
 */
int build_chain(struct build *b, struct chain *chain, struct option_list names,
		const struct chain *inner, struct weir_error *e);

#endif
