/*
 * What a configuration would become, without serving it.
 */
#ifndef PROXY_CHECK_H
#define PROXY_CHECK_H

#include "proxy/generation.h"

/** What has been built is looked at before it is thrown away; it is NULL for those who do not want
 * to. */
typedef void proxy_check_fn(void *context, const struct generation *g);

/**
 * Links a merged configuration, builds a generation from it, plugins included, and throws that
 * away. `problem` is called for every router that would not be served and every plugin that cannot
 * be used, then `built`, once. Blocks. Returns 0, or a negative errno value if the process could
 * not start at all.
 */
int proxy_check(const struct static_config *config, struct dynamic_config *dynamic,
		generation_problem_fn *problem, proxy_check_fn *built, void *context,
		struct weir_error *e);

#endif
