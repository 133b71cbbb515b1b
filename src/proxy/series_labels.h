/*
 * Requests by what stood in their headers (`metrics.prometheus.headerLabels`), beside the series of
 * the same object. Clients choose these values, so their number and their length have limits.
 */
#ifndef PROXY_SERIES_LABELS_H
#define PROXY_SERIES_LABELS_H

#include "proxy/series.h"

/** A longer value is cut. */
#define SERIES_VALUE_MAX 128u

/** One label: its values lie one after the other in a text, each with a NUL at its end. */
struct series_header {
	char *label;
	slice field;
	bool secret; /* only whether there is one is shown */
};

/** The request's values for all labels of the shape; `p` is NULL when the arena is full. */
slice series_read_labels(const struct series_shape *shape, const struct fields *fields,
			 struct arena *arena);

/** The next value of such a text, which is shortened. */
slice series_next_value(slice *values);

/** Counts one request. `values` may have no text. Beyond the shape's limit all values become
 * "other". The worker's thread. */
void series_add_labelled(struct series *s, const struct series_shape *shape, struct series_key key,
			 slice values);

typedef void series_labelled_fn(void *context, const struct series_group *group,
				struct series_key key, slice values, uint64_t requests);

/** Calls `visit` for each group, key and values with the sum of all workers. Returns 0 or -ENOMEM.
 * Any thread. */
int series_visit_labelled(struct series_registry *registry, series_labelled_fn *visit,
			  void *context);

#endif
