#include "core/registry.h"

#include <stdlib.h>

#include "core/base.h"

void registry_init(struct registry *r)
{
	*r = (struct registry){.by_key = {0}};
	must(pthread_mutex_init(&r->lock, NULL) == 0);
}

void registry_free(struct registry *r)
{
	must(r->by_key.count == 0);
	map_free(&r->by_key);
	(void)pthread_mutex_destroy(&r->lock);
}

/* Under the lock. */
static struct registry_member *find(struct registry *r, slice key)
{
	struct registry_member *m = map_get(&r->by_key, key);

	if (m != NULL)
		m->references++;
	return m;
}

struct registry_member *registry_find(struct registry *r, slice key)
{
	struct registry_member *m;

	(void)pthread_mutex_lock(&r->lock);
	m = find(r, key);
	(void)pthread_mutex_unlock(&r->lock);
	return m;
}

struct registry_member *registry_add(struct registry *r, struct registry_member *made, slice key)
{
	struct registry_member *m;

	(void)pthread_mutex_lock(&r->lock);
	m = find(r, key);
	if (m == NULL && map_put(&r->by_key, key, made) == 0) {
		*made = (struct registry_member){.registry = r, .key = key, .references = 1};
		m = made;
	}
	(void)pthread_mutex_unlock(&r->lock);
	return m;
}

void registry_ref(struct registry_member *m)
{
	(void)pthread_mutex_lock(&m->registry->lock);
	must(m->references > 0);
	m->references++;
	(void)pthread_mutex_unlock(&m->registry->lock);
}

bool registry_release(struct registry_member *m)
{
	struct registry *r = m->registry;
	bool last;

	(void)pthread_mutex_lock(&r->lock);
	must(m->references > 0);
	last = --m->references == 0;
	if (last)
		must(map_remove(&r->by_key, m->key) == m);
	(void)pthread_mutex_unlock(&r->lock);
	return last;
}

size_t registry_count(struct registry *r)
{
	size_t count;

	(void)pthread_mutex_lock(&r->lock);
	count = r->by_key.count;
	(void)pthread_mutex_unlock(&r->lock);
	return count;
}

struct registry_member **registry_hold(struct registry *r, size_t *count)
{
	struct registry_member **held;

	*count = 0;
	(void)pthread_mutex_lock(&r->lock);
	held = calloc(r->by_key.count + 1, sizeof(struct registry_member *));
	for (struct map_entry *e = NULL; held != NULL && (e = map_next(&r->by_key, e)) != NULL;) {
		held[*count] = e->value;
		held[(*count)++]->references++;
	}
	(void)pthread_mutex_unlock(&r->lock);
	return held;
}
