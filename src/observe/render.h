/*
 * The text of one scrape: asks everybody who counts, and writes it down.
 */
#ifndef OBSERVE_RENDER_H
#define OBSERVE_RENDER_H

#include "observe/families.h"

struct access_log;
struct proxy;

/**
 * Adds all metrics of the proxy and of its access log (NULL: none). Any thread, while both exist.
 * Returns 0, or -ENOMEM if memory was short or the string has reached its limit.
 */
int metrics_render(struct str *out, struct proxy *p, const struct access_log *log,
		   const struct scrape_numbers *scrapes);

#endif
