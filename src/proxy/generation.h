/*
 * A generation: everything that a dynamic configuration says, built, linked and immutable.
 * Published to the workers by message; destroyed when every worker has taken a newer one and its
 * last request on this one has ended.
 *
 *   BUILDING -> READY -> CURRENT -> DRAINING
 */
#ifndef PROXY_GENERATION_H
#define PROXY_GENERATION_H

#include <stdatomic.h>

#include "config/dynamic.h"
#include "config/static.h"
#include "http/upstream.h"
#include "middleware/registry.h"
#include "net/loop.h"
#include "net/tls_acceptor.h"
#include "proxy/entry_point.h"
#include "proxy/internal.h"
#include "proxy/load_balancer.h"
#include "proxy/router.h"
#include "proxy/rule_registry.h"
#include "proxy/series.h"
#include "proxy/turn_registry.h"
#include "proxy/view.h"

/** What a router leads to. In its generation's arena. */
struct route {
	struct generation *generation;
	const struct entry_point *entry_point;
	slice name;        /* "r1@file" */
	struct rule *rule; /* one reference */
	struct chain chain;
	struct series_group *series; /* one reference; NULL: not counted */
	bool internal;               /* leads to a service that exists without configuration */
	bool logged;                 /* if there is an access log */
	bool conflicting;            /* disabled: other routers want other TLS options */
	bool counted;                /* in metrics */
};

/* X(NAME) */
#define GENERATION_STATES(X) X(BUILDING) X(READY) X(CURRENT) X(DRAINING)

enum generation_state {
#define X(name) GENERATION_##name,
	GENERATION_STATES(X)
#undef X
};

/** Something that is not served, and why. */
struct generation_problem {
	const char *kind; /* "router", "service", "middleware", "plugin", "certificate", "TLS
			     options", "servers transport" or "entry point" */
	slice name;
	slice entry_point;              /* empty: all of them */
	const struct tree_place *place; /* where it was written; NULL: unknown */
	const char *why;
	bool kept;          /* it is served, as it was before */
	const char *effect; /* what becomes of it; NULL: it is disabled, or kept */
};

/** Called by the thread that builds. */
typedef void generation_problem_fn(void *context, const struct generation_problem *problem);

/** What a build needs; all of it outlives the generation. Immutable. */
struct generation_world {
	const struct static_config *config;
	const struct entry_point *entry_points;
	size_t entry_point_count;
	struct upstream_registry *upstreams;
	struct series_registry *series; /* NULL: nothing is counted */
	struct rule_registry *rules;    /* NULL: every rule is compiled */
	struct turn_registry *turns;    /* NULL: every load balancer begins with its first server */
	bool log_internals;             /* requests for internal services go to the access log */
	struct middleware_world middlewares;
	struct service *internals[INTERNAL_SERVICE_COUNT]; /* NULL: off */
	struct tls_tickets *tickets;                       /* NULL: there is no TLS */
	struct tls_certificate *certificate;               /* where no other one fits */
	size_t workers;
	const _Atomic bool
		*cancelled; /* nobody needs it any more: a build that has not ended gives up */
	generation_problem_fn *problem;
	void *problem_context;
};

struct worker;

/**
 * One worker's share. The messages lie ready here because a generation must reach its workers, and
 * its end the control thread, when memory is short, too.
 */
struct generation_share {
	struct message handover; /* while it is published */
	struct worker *worker;
	struct generation *generation;
	uint32_t pins;           /* exchanges in progress; the worker's own, as the next one */
	uint64_t replaced_at_ms; /* when it was not the worker's current one any more */

	/* Workers count on each request: no two counts in one cache line. */
	char apart[8];
};

_Static_assert(sizeof(struct generation_share) >= 64, "as long as a cache line");

/** What a middleware was made of: of its generation's configuration, or of an older one. */
struct middleware_origin {
	const struct dynamic_middleware *values; /* NULL: there is no middleware */
	struct dynamic_config *config;           /* that holds the values; borrowed */
};

/** What TLS connections get. */
struct generation_tls {
	struct tls_store *store;               /* NULL: there is no TLS */
	struct tls_certificate **certificates; /* parallel to the configuration's, of the store's;
						  NULL: it is not used */
	struct tls_certificate *fallback;      /* of the store's; NULL: none was configured */
	struct tls_acceptor **acceptors;       /* one per entry point; NULL: TLS is refused */
};

#define GENERATION_MAGIC 0x67656e65u

/** Lifetime: `generation_build` to `generation_destroy`, both off all loops: they take as long as
 * there are routers. */
struct generation {
	uint32_t magic;
	enum generation_state state; /* the control thread's once it is built */
	uint64_t number;
	struct list link;      /* in the proxy's list of those in use, as the next one under its
				  `view_lock` */
	uint64_t published_ns; /* monotonic */
	struct arena arena;
	struct dynamic_config *config; /* one reference */
	struct view *view;             /* the same */
	const struct generation_world *world;
	struct router_set **routers; /* two per entry point: `generation_routers` */
	struct generation_tls tls;
	struct route **routes;
	size_t route_count;
	struct load_balancer **services;
	size_t service_count;
	struct tls_connector **connectors; /* parallel to the transports, then the default one's;
					      references, NULL: no https server uses it */
	struct middleware **middlewares;
	struct middleware_origin *origins; /* parallel to `middlewares` */
	struct dynamic_config **kept; /* references: older configurations that origins are of */
	size_t kept_count;
	size_t middleware_count;
	struct middleware **prepared; /* those of `middlewares` that loops prepare */
	size_t prepared_count;
	_Atomic size_t holders;          /* workers that may still use it */
	struct generation_share *shares; /* one per worker */
	struct message ended;            /* to the control thread, from the last holder */
};

/**
 * Builds from a merged and linked configuration, of which it takes a reference. What is wrong with
 * one router, service or middleware disables that one and is a `problem`; only lack of memory fails
 * the build. A plugin's middleware that cannot be made goes on as it was in `previous` (which lives
 * as long as the build; NULL: none), if it was there. Blocks (plugins are compiled and
 * initialised): not on a loop. Returns 0, -ENOMEM, or -ECANCELED.
 */
int generation_build(struct generation **generation, const struct generation_world *world,
		     struct dynamic_config *config, const struct generation *previous,
		     uint64_t number);

/** The routers of an entry point for plain connections, or those for TLS. */
static inline struct router_set *generation_routers(const struct generation *g,
						    const struct entry_point *p, bool tls)
{
	return g->routers[2 * p->index + tls];
}

/** Session tickets and a certificate that signs itself, for a world whose generations serve TLS.
 * Returns 0 or a negative errno value; close it in any case. */
int generation_world_open_tls(struct generation_world *w, struct weir_error *e);
/** No generation of the world is left. */
void generation_world_close_tls(struct generation_world *w);

/** Nobody holds it: READY (never published) or DRAINING with no holders. Any thread. */
void generation_destroy(struct generation **generation);

/** The state must be `from`. Control thread. */
void generation_set_state(struct generation *g, enum generation_state from,
			  enum generation_state to);

#endif
