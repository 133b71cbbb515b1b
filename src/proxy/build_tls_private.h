/*
 * Private to build_tls*.c.
 */
#ifndef PROXY_BUILD_TLS_PRIVATE_H
#define PROXY_BUILD_TLS_PRIVATE_H

#include "proxy/build_private.h"

#define DEFAULT SLICE("default")

/* The options of one name. */
struct tls_choice {
	bool tried;
	struct tls_profile *profile; /* one reference; NULL: connections under them are refused */
	const char *reason;          /* why, in the generation's arena */
};

/* A router that names a host. */
struct tls_claim {
	struct tls_claim *next;
	const struct dynamic_router *router;
	struct view_state *state;
	struct route *route;
	const struct tls_choice *choice;
};

/* A host that a rule of an entry point names. */
struct tls_name {
	struct tls_name *next;
	slice host; /* in lower case, without dots at its end */
	const struct tls_choice *choice;
	struct tls_claim *claims; /* the latest first */
	bool conflict; /* its routers want different options, and get the default ones or none */
};

struct tls_point {
	struct map names;
	struct tls_name *first;
	size_t count;
};

struct build_tls {
	struct tls_choice *choices; /* parallel to the configuration's, and the implied default */
	struct tls_choice unknown;  /* of options that there are none of */
	struct tls_point *points;
};

/** The options of that name; empty: the default ones. Returns 0 or -ENOMEM. */
int build_tls_find_choice(struct build *b, slice name, const struct tls_choice **choice);

/** Whether routers that contradict each other are disabled. */
static inline bool build_tls_is_strict(const struct build *b)
{
	const struct core_config *core = b->g->world->config->core;

	return core != NULL && core->strict_tls_options;
}

/** Whether a host gets the options of its routers: not if all of these are disabled. After
 * `build_tls_settle`. */
bool build_tls_is_mapped(const struct build *b, const struct tls_name *name);

#endif
