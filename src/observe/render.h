/*
 * The text of one scrape: asks everybody who counts, and writes it down.
 */
#ifndef OBSERVE_RENDER_H
#define OBSERVE_RENDER_H

#include "observe/families.h"

struct proxy;

/**
 * Adds all metrics of the proxy. Any thread, while the proxy exists. Returns 0, or -ENOMEM if
 * memory was short or the string has reached its limit.
 */
int metrics_render(struct str *out, struct proxy *p, const struct scrape_numbers *scrapes);

#endif
