#include "proxy/turn_registry.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "core/map.h"

#define REGISTRY_MAGIC 0x7475726eu
#define TURN_MAGIC 0x7475726fu

struct turn_registry {
	uint32_t magic;
	pthread_mutex_t lock; /* guards the map and the counts of references */
	struct map by_key;
};

struct shared_turn {
	struct turn turn; /* first */
	uint32_t magic;
	struct turn_registry *registry;
	size_t references;
	size_t key_bytes;
	char key[];
};

int turn_registry_create(struct turn_registry **registry)
{
	struct turn_registry *r = calloc(1, sizeof *r);

	*registry = r;
	if (r == NULL)
		return -ENOMEM;
	r->magic = REGISTRY_MAGIC;
	must(pthread_mutex_init(&r->lock, NULL) == 0);
	return 0;
}

void turn_registry_destroy(struct turn_registry **registry)
{
	struct turn_registry *r;

	if (*registry == NULL)
		return;
	OBJ_TAKE(r, registry, REGISTRY_MAGIC);
	must(r->by_key.count == 0);
	map_free(&r->by_key);
	(void)pthread_mutex_destroy(&r->lock);
	r->magic = 0;
	free(r);
}

static slice key_of(const struct shared_turn *t)
{
	return slice_of(t->key, t->key_bytes);
}

/* NULL: no memory. Under the lock. */
static struct shared_turn *add(struct turn_registry *r, slice key)
{
	struct shared_turn *t = calloc(1, sizeof *t + key.n);

	if (t == NULL)
		return NULL;
	t->magic = TURN_MAGIC;
	t->registry = r;
	t->key_bytes = key.n;
	memcpy(t->key, key.p, key.n);
	if (map_put(&r->by_key, key_of(t), t) < 0) {
		free(t);
		return NULL;
	}
	return t;
}

int turn_registry_get(struct turn_registry *r, slice key, struct turn **turn)
{
	struct shared_turn *t;

	OBJ_CHECK(r, REGISTRY_MAGIC);
	(void)pthread_mutex_lock(&r->lock);
	t = map_get(&r->by_key, key);
	if (t == NULL)
		t = add(r, key);
	if (t != NULL)
		t->references++;
	(void)pthread_mutex_unlock(&r->lock);
	*turn = t != NULL ? &t->turn : NULL;
	return t != NULL ? 0 : -ENOMEM;
}

void turn_release(struct turn **turn)
{
	struct shared_turn *t;
	struct turn_registry *r;
	bool last;

	if (*turn == NULL)
		return;
	t = container_of(*turn, struct shared_turn, turn);
	*turn = NULL;
	OBJ_CHECK(t, TURN_MAGIC);
	r = t->registry;
	(void)pthread_mutex_lock(&r->lock);
	must(t->references > 0);
	last = --t->references == 0;
	if (last)
		(void)map_remove(&r->by_key, key_of(t));
	(void)pthread_mutex_unlock(&r->lock);
	if (last) {
		t->magic = 0;
		free(t);
	}
}

size_t turn_registry_count(struct turn_registry *r)
{
	size_t count;

	OBJ_CHECK(r, REGISTRY_MAGIC);
	(void)pthread_mutex_lock(&r->lock);
	count = r->by_key.count;
	(void)pthread_mutex_unlock(&r->lock);
	return count;
}
