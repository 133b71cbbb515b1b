#include "middleware/rate_buckets.h"

#include <errno.h>
#include <stdlib.h>

#include "core/map.h"
#include "core/sha256.h"

#define NS_PER_S 1000000000u

/* Expired ones that go when a new one comes, so that memory comes back without a sweep. */
#define EXPIRED_PER_NEW 2

struct rate_terms rate_terms_of(int64_t average, int64_t period_ns, int64_t burst)
{
	struct rate_terms t = {
		.per_second = (double)average * NS_PER_S / (double)period_ns,
		.burst = (double)burst,
		.wait_max_ns = NS_PER_S / 2,
		.keep_s = 2,
	};

	if (t.per_second >= NS_PER_S)
		t.wait_max_ns = 0;
	else if (t.per_second >= 1)
		t.wait_max_ns = NS_PER_S / ((uint64_t)t.per_second * 2);
	else
		t.keep_s = 1 + (uint64_t)(1 / t.per_second);
	return t;
}

int rate_buckets_init(struct rate_buckets *b, const struct rate_terms *terms, size_t count_max)
{
	size_t places = 16;

	while (places < count_max)
		places *= 2;
	*b = (struct rate_buckets){
		.terms = *terms,
		.count_max = count_max,
		.mask = places - 1,
		.places = calloc(places, sizeof(struct rate_bucket *)),
	};
	if (b->places == NULL)
		return -ENOMEM;
	list_init(&b->used);
	return 0;
}

void rate_buckets_free(struct rate_buckets *b)
{
	struct list *at;

	/* Never initialised: all zero. */
	if (b->places == NULL)
		return;
	while ((at = list_pop(&b->used)) != NULL)
		free(container_of(at, struct rate_bucket, link));
	free(b->places);
	b->places = NULL;
}

void rate_key_make(struct rate_key *key, slice source)
{
	key->hash = map_hash(source);
	key->bytes = MIN(source.n, sizeof key->text);
	if (source.n < sizeof key->text) {
		if (source.n > 0)
			memcpy(key->text, source.p, source.n);
		return;
	}
	/* Longer than any that is kept as it is: the two kinds are never equal. */
	memset(key->text, 0, sizeof key->text);
	{
		struct sha256 h;

		sha256_begin(&h);
		sha256_add(&h, source);
		sha256_end(&h, (unsigned char *)key->text);
	}
}

static struct rate_bucket *find(const struct rate_buckets *b, const struct rate_key *key)
{
	struct rate_bucket *at = b->places[key->hash & b->mask];

	while (at != NULL && !(at->hash == key->hash && at->key_bytes == key->bytes &&
			       memcmp(at->key, key->text, key->bytes) == 0))
		at = at->next;
	return at;
}

static void drop(struct rate_buckets *b, struct rate_bucket *bucket)
{
	struct rate_bucket **at = &b->places[bucket->hash & b->mask];

	while (*at != bucket)
		at = &(*at)->next;
	*at = bucket->next;
	list_remove(&bucket->link);
	b->count--;
	free(bucket);
}

static struct rate_bucket *oldest(const struct rate_buckets *b)
{
	return container_of(b->used.prev, struct rate_bucket, link);
}

static void make_room(struct rate_buckets *b, uint64_t now_s)
{
	for (int i = 0; i < EXPIRED_PER_NEW && b->count > 0 && oldest(b)->expires_s <= now_s; i++)
		drop(b, oldest(b));
	if (b->count >= b->count_max) {
		drop(b, oldest(b));
		b->evicted++;
	}
}

static struct rate_bucket *add(struct rate_buckets *b, const struct rate_key *key, uint64_t now_ns)
{
	struct rate_bucket *n, **place = &b->places[key->hash & b->mask];

	make_room(b, now_ns / NS_PER_S);
	n = calloc(1, sizeof *n);
	if (n == NULL)
		return NULL;
	n->hash = key->hash;
	n->key_bytes = (unsigned char)key->bytes;
	memcpy(n->key, key->text, key->bytes);
	n->next = *place;
	*place = n;
	list_push(&b->used, &n->link);
	b->count++;
	return n;
}

/* The bucket, touched. NULL when memory is short. */
static struct rate_bucket *get(struct rate_buckets *b, const struct rate_key *key, uint64_t now_ns)
{
	struct rate_bucket *f = find(b, key);
	bool known = f != NULL && f->expires_s > now_ns / NS_PER_S;

	if (f == NULL) {
		f = add(b, key, now_ns);
		if (f == NULL)
			return NULL;
	}
	if (!known) {
		f->tokens = b->terms.burst;
		f->last_ns = now_ns;
	}
	f->expires_s = now_ns / NS_PER_S + b->terms.keep_s;
	list_remove(&f->link);
	list_push(&b->used, &f->link);
	return f;
}

int rate_buckets_take(struct rate_buckets *b, const struct rate_key *key, uint64_t now_ns,
		      uint64_t *wait_ns)
{
	struct rate_bucket *f = get(b, key, now_ns);
	double missing;

	*wait_ns = 0;
	if (f == NULL)
		return -ENOMEM;
	/* Workers may come with times that are not in order. */
	if (now_ns > f->last_ns) {
		double since_s = (double)(now_ns - f->last_ns) / NS_PER_S;

		f->tokens = MIN(f->tokens + since_s * b->terms.per_second, b->terms.burst);
		f->last_ns = now_ns;
	}
	missing = 1 - f->tokens;
	if (missing > 0) {
		double ns = missing / b->terms.per_second * NS_PER_S;

		*wait_ns = ns < (double)INT64_MAX ? (uint64_t)ns : INT64_MAX;
	}
	if (*wait_ns > b->terms.wait_max_ns)
		return RATE_REFUSE;
	f->tokens--;
	return *wait_ns > 0 ? RATE_WAIT : RATE_PASS;
}
