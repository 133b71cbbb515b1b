/*
 * The provider `rest`: whole configurations that somebody puts.
 */
#ifndef PROVIDER_REST_H
#define PROVIDER_REST_H

#include "provider/provider.h"

/**
 * Reads a configuration in JSON. `answer` gets what was taken, as JSON, or what is wrong with it,
 * as text with a line feed at its end. `bytes_max` is the option weir.limits.restBody. Takes as
 * long as there are routers: any thread. Returns 0, -EINVAL for what cannot be taken, or -ENOMEM,
 * then with `*config` NULL.
 */
int rest_provider_read(slice json, size_t bytes_max, struct str *answer,
		       struct dynamic_config **config);

/** Publishes it, unless it is empty, as Traefik does. The reference is taken over. The aggregator's
 * thread. */
void rest_provider_publish(struct aggregator *a, struct dynamic_config **config);

#endif
