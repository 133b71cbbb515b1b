/*
 * `weir check --explain`: what a request goes through, for people.
 */
#ifndef CLI_EXPLAIN_H
#define CLI_EXPLAIN_H

#include "proxy/generation.h"

/** Appends, for each router by entry point and precedence: its rule, its middlewares in order,
 * those of chains, entry points and services included, each with its options and their defaults,
 * and its service. */
void explain_generation(struct str *out, const struct generation *g);

#endif
