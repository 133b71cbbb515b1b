/*
 * The provider `rest`: whole configurations that somebody puts.
 */
#ifndef PROVIDER_REST_H
#define PROVIDER_REST_H

#include "provider/provider.h"

/**
 * Takes a configuration in JSON and publishes it, unless it is empty, as Traefik does. `answer`
 * gets what was taken, as JSON, or what is wrong with it, as text with a line feed at its end.
 * `bytes_max` is the option weir.limits.restBody. The aggregator's thread. Returns 0, -EINVAL for
 * what cannot be taken, or -ENOMEM.
 */
int rest_provider_take(struct aggregator *a, slice json, size_t bytes_max, struct str *answer);

#endif
