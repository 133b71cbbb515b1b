/*
 * Private to series*.c: adding up the cells of all workers.
 */
#ifndef PROXY_SERIES_PRIVATE_H
#define PROXY_SERIES_PRIVATE_H

#include "proxy/series.h"

/** Status codes come from upstreams, which may use all of them. */
#define SERIES_CELLS_MAX 256u

/** Room for the sums of one object, used again for the next one. */
struct series_sums {
	struct series_sum *sums;
	uint64_t *buckets;
	size_t count, capacity;
	size_t bucket_count;
};

/** Returns 0 or -ENOMEM. */
int series_sums_init(struct series_sums *all, const struct series_shape *shape, size_t workers);

/** Frees the room. */
void series_sums_free(struct series_sums *all);

/** Adds up one object that has a part on each of `count` workers. Any thread. */
void series_sum(struct series_sums *all, struct series *workers, size_t count);

/** Adds up what came over TLS. */
void series_sum_tls(struct series_tls_list *all, const struct series *workers, size_t count);

/** Frees the cells of one part. No worker uses it any more. */
void series_free(struct series *s);
void series_free_labelled(struct series *s);

/** From `headerLabels`, which the shape borrows. Returns 0 or -ENOMEM. */
int series_read_headers(struct series_shape *shape, const struct option_pairs *labels);

/** Frees what that made, as far as it came. */
void series_free_headers(struct series_shape *shape);

/** References to all groups, in an array of the caller's; NULL when memory is short. */
struct series_group **series_take_all(struct series_registry *registry, size_t *count,
				      size_t *workers);

#endif
