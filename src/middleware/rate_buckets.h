/*
 * Token buckets, one for each source: constant time, and as much memory as there may be sources.
 * Under a lock of the caller's.
 */
#ifndef MIDDLEWARE_RATE_BUCKETS_H
#define MIDDLEWARE_RATE_BUCKETS_H

#include "core/list.h"
#include "core/slice.h"

/* The name of a source that is not shorter is replaced by its SHA-256. */
#define RATE_KEY_BYTES 47

struct rate_bucket {
	struct list link;         /* in `used` */
	struct rate_bucket *next; /* of the same place */
	uint64_t hash;
	double tokens;      /* as of `last_ns` */
	uint64_t last_ns;   /* monotonic */
	uint64_t expires_s; /* forgotten from then on */
	unsigned char key_bytes;
	char key[RATE_KEY_BYTES];
};

/** What follows from the options, as Traefik computes it. */
struct rate_terms {
	double per_second; /* tokens */
	double burst;
	uint64_t wait_max_ns; /* who would have to wait longer is refused */
	uint64_t keep_s;      /* how long an unused bucket is remembered */
};

/** Of `average` (> 0) tokens in `period_ns` (> 0), `burst` (> 0) of them at once. */
struct rate_terms rate_terms_of(int64_t average, int64_t period_ns, int64_t burst);

/** Lifetime: `rate_buckets_init` … `rate_buckets_free`. */
struct rate_buckets {
	struct rate_terms terms;
	size_t count;
	size_t count_max;
	uint64_t evicted; /* forgotten early because there were too many */
	size_t mask;      /* places - 1, a power of two - 1 */
	struct rate_bucket **places;
	struct list used; /* the one that was used last in front */
};

enum rate_answer { RATE_PASS, RATE_WAIT, RATE_REFUSE };

/** A source's name in the form that buckets have. */
struct rate_key {
	uint64_t hash;
	size_t bytes;
	char text[RATE_KEY_BYTES];
};

/** No buckets yet. Returns 0 or -ENOMEM, and nothing is to be freed then. */
int rate_buckets_init(struct rate_buckets *b, const struct rate_terms *terms, size_t count_max);
void rate_buckets_free(struct rate_buckets *b);

/** What need not be done under the lock. */
void rate_key_make(struct rate_key *key, slice source);

/**
 * Takes a token of this source at time `now_ns` (monotonic). `*wait_ns` is 0 for RATE_PASS, else
 * the time until the token is there; nothing is taken for RATE_REFUSE. A source that is not known
 * has a full bucket; it takes the place of the one that was not used for the longest time if there
 * are too many. Returns an answer, or -ENOMEM.
 */
int rate_buckets_take(struct rate_buckets *b, const struct rate_key *key, uint64_t now_ns,
		      uint64_t *wait_ns);

#endif
