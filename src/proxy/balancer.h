/*
 * Weighted round robin: which of several servers comes next.
 */
#ifndef PROXY_BALANCER_H
#define PROXY_BALANCER_H

#include <stdatomic.h>
#include <stdint.h>

#include "core/arena.h"

/**
 * The order of one round, computed once (earliest deadline first, as Traefik's wrr: between two
 * turns of a server lie the turns that its weight leaves to the others), and the position in it,
 * which all workers share. Lives in its generation's arena, and is not moved.
 */
struct balancer {
	uint16_t *round;        /* server numbers */
	uint32_t length;        /* 0: no server may be chosen */
	_Atomic uint32_t own;   /* where `next` points, unless others share the position */
	_Atomic uint32_t *next; /* borrowed */
};

/** Longest round, or twice the number of servers if that is more; weights that need more are
 * rounded to fit. */
#define BALANCER_ROUND_MAX ((size_t)8192)

/** A weight of 0 or less excludes a server. Returns 0, -ENOMEM, or -E2BIG for more than 65535
 * servers. */
int balancer_init(struct balancer *b, struct arena *arena, const int64_t *weights, size_t count);

/** The number of the next server, or -1 if there is none. `*place` is where in the round it is. Any
 * thread. */
int balancer_next(struct balancer *b, uint32_t *place);

/** The server whose turn comes `steps` after that place, or -1 after a whole round. */
int balancer_after(const struct balancer *b, uint32_t place, uint32_t steps);

#endif
