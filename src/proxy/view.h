/*
 * What became of a configuration: for each router, service and middleware whether it is served and
 * what is wrong with it, in Traefik's words where it has some. It outlives its generation for as
 * long as somebody looks at it.
 */
#ifndef PROXY_VIEW_H
#define PROXY_VIEW_H

#include "config/dynamic.h"

struct view_note {
	slice text;
	const struct view_note *next;
};

/** One object. */
struct view_state {
	const struct view_note *notes; /* in the order in which they were made */
	struct view_note *last;
	bool disabled; /* else notes are warnings */
	bool made;     /* a service: it can be reached */
};

#define VIEW_MAGIC 0x76696577u

/** Filled in by the build, then immutable. */
struct view {
	uint32_t magic;
	_Atomic uint32_t references;
	uint64_t number;               /* of the generation */
	struct dynamic_config *config; /* one reference */
	struct arena arena;
	struct view_state *routers; /* parallel to the configuration's, as the others */
	struct view_state *services;
	struct view_state *middlewares;
	bool failed; /* memory was short: notes are missing */
};

/** Without notes, with one reference, in at most `bytes_max`; NULL when memory is short. */
struct view *view_new(struct dynamic_config *config, uint64_t number, size_t bytes_max);

/** One more reference. Any thread. Returns `v`. */
struct view *view_ref(struct view *v);

/** Drops a reference and nulls the pointer; NULL is allowed. Any thread. */
void view_release(struct view **v);

/** Adds a note, unless the object has the same already. `disables`: it is not served. The text is
 * copied. */
void view_add(struct view *v, struct view_state *s, slice text, bool disables);

#endif
