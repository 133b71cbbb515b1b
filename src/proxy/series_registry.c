#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/map.h"
#include "core/str.h"
#include "proxy/series_private.h"

#define REGISTRY_MAGIC 0x73657272u

struct series_registry {
	uint32_t magic;
	const struct series_shape *shape;
	size_t workers;
	pthread_mutex_t lock; /* guards what follows and the counts of all groups */
	struct map groups;
	struct series_losses lost; /* by groups that have gone */
};

int series_registry_create(struct series_registry **registry, const struct series_shape *shape,
			   size_t workers)
{
	struct series_registry *r = calloc(1, sizeof *r);

	if (r == NULL)
		return -ENOMEM;
	r->magic = REGISTRY_MAGIC;
	r->shape = shape;
	r->workers = workers;
	must(pthread_mutex_init(&r->lock, NULL) == 0);
	*registry = r;
	return 0;
}

void series_registry_destroy(struct series_registry **registry)
{
	struct series_registry *r;

	if (*registry == NULL)
		return;
	OBJ_TAKE(r, registry, REGISTRY_MAGIC);
	must(r->groups.count == 0);
	map_free(&r->groups);
	(void)pthread_mutex_destroy(&r->lock);
	r->magic = 0;
	free(r);
}

const struct series_shape *series_registry_shape(const struct series_registry *r)
{
	OBJ_CHECK(r, REGISTRY_MAGIC);
	return r->shape;
}

uint64_t series_retries(const struct series_group *g)
{
	uint64_t n = 0;

	OBJ_CHECK(g, SERIES_GROUP_MAGIC);
	for (size_t i = 0; i < g->registry->workers; i++)
		n += counter_get(&g->workers[i].retries);
	return n;
}

static void add_losses(struct series_losses *to, const struct series_group *g)
{
	for (size_t i = 0; i < g->registry->workers; i++) {
		to->refused += counter_get(&g->workers[i].refused);
		to->other += counter_get(&g->workers[i].other);
	}
}

static void free_group(struct series_group *g)
{
	for (size_t i = 0; g->workers != NULL && i < g->registry->workers; i++)
		series_free(&g->workers[i]);
	free(g->workers);
	free(g->key);
	g->magic = 0;
	free(g);
}

/* The names are parts of the key: neither can hold a NUL. */
static char *make_key(enum series_kind kind, slice name, slice service)
{
	struct str key = {0};

	str_add_char(&key, (char)('0' + kind));
	str_add(&key, name);
	str_add_char(&key, '\0');
	str_add(&key, service);
	return str_take(&key);
}

static slice key_of(const struct series_group *g)
{
	return slice_of(g->key, 1 + g->name.n + 1 + g->service.n);
}

/* Under the lock. Takes over `key`, unless NULL is returned. */
static struct series_group *create(struct series_registry *r, enum series_kind kind, char *key,
				   slice name, slice service)
{
	struct series_group *g = calloc(1, sizeof *g);

	if (g == NULL)
		return NULL;
	*g = (struct series_group){.magic = SERIES_GROUP_MAGIC,
				   .kind = kind,
				   .registry = r,
				   .name = {key + 1, name.n},
				   .service = {key + 1 + name.n + 1, service.n}};
	g->workers = calloc(r->workers, sizeof *g->workers);
	if (g->workers == NULL ||
	    map_put(&r->groups, slice_of(key, 1 + name.n + 1 + service.n), g) < 0) {
		free_group(g);
		return NULL;
	}
	g->key = key;
	return g;
}

int series_get(struct series_group **group, struct series_registry *r, enum series_kind kind,
	       slice name, slice service)
{
	char *key = make_key(kind, name, service);
	struct series_group *g;

	OBJ_CHECK(r, REGISTRY_MAGIC);
	*group = NULL;
	if (key == NULL)
		return -ENOMEM;
	(void)pthread_mutex_lock(&r->lock);
	g = map_get(&r->groups, slice_of(key, 1 + name.n + 1 + service.n));
	if (g == NULL)
		g = create(r, kind, key, name, service);
	if (g != NULL)
		g->references++;
	(void)pthread_mutex_unlock(&r->lock);
	if (g == NULL || g->key != key)
		free(key);
	*group = g;
	return g != NULL ? 0 : -ENOMEM;
}

struct series_group *series_ref(struct series_group *g)
{
	if (g == NULL)
		return NULL;
	OBJ_CHECK(g, SERIES_GROUP_MAGIC);
	(void)pthread_mutex_lock(&g->registry->lock);
	g->references++;
	(void)pthread_mutex_unlock(&g->registry->lock);
	return g;
}

void series_release(struct series_group **group)
{
	struct series_registry *r;
	struct series_group *g;
	bool last;

	if (*group == NULL)
		return;
	OBJ_TAKE(g, group, SERIES_GROUP_MAGIC);
	r = g->registry;
	(void)pthread_mutex_lock(&r->lock);
	must(g->references > 0);
	last = --g->references == 0;
	if (last) {
		(void)map_remove(&r->groups, key_of(g));
		add_losses(&r->lost, g);
	}
	(void)pthread_mutex_unlock(&r->lock);
	if (last)
		free_group(g);
}

struct series_group **series_take_all(struct series_registry *r, size_t *count, size_t *workers)
{
	struct series_group **all;

	OBJ_CHECK(r, REGISTRY_MAGIC);
	*workers = r->workers;
	(void)pthread_mutex_lock(&r->lock);
	all = calloc(r->groups.count + 1, sizeof(struct series_group *));
	*count = 0;
	for (struct map_entry *e = NULL; all != NULL && (e = map_next(&r->groups, e)) != NULL;) {
		all[*count] = e->value;
		all[(*count)++]->references++;
	}
	(void)pthread_mutex_unlock(&r->lock);
	return all;
}

int series_visit(struct series_registry *r,
		 void (*visit)(void *context, const struct series_group *group,
			       const struct series_sum *sums, size_t count),
		 void *context)
{
	struct series_sums sums;
	struct series_group **all;
	size_t count = 0, workers;

	OBJ_CHECK(r, REGISTRY_MAGIC);
	if (series_sums_init(&sums, r->shape, r->workers) < 0)
		return -ENOMEM;
	all = series_take_all(r, &count, &workers);
	for (size_t i = 0; i < count; i++) {
		series_sum(&sums, all[i]->workers, r->workers);
		visit(context, all[i], sums.sums, sums.count);
		series_release(&all[i]);
	}
	free(all);
	series_sums_free(&sums);
	return all != NULL ? 0 : -ENOMEM;
}

int series_visit_tls(struct series_registry *r,
		     void (*visit)(void *context, const struct series_group *group,
				   const struct series_tls *sum),
		     void *context)
{
	struct series_tls_list *sums = calloc(1, sizeof *sums);
	struct series_group **all;
	size_t count = 0, workers;

	OBJ_CHECK(r, REGISTRY_MAGIC);
	if (sums == NULL)
		return -ENOMEM;
	all = series_take_all(r, &count, &workers);
	for (size_t i = 0; i < count; i++) {
		series_sum_tls(sums, all[i]->workers, r->workers);
		for (uint32_t n = 0; n < atomic_load(&sums->count); n++)
			visit(context, all[i], &sums->items[n]);
		series_release(&all[i]);
	}
	free(all);
	free(sums);
	return all != NULL ? 0 : -ENOMEM;
}

struct series_losses series_losses(struct series_registry *r)
{
	struct series_losses all;

	OBJ_CHECK(r, REGISTRY_MAGIC);
	(void)pthread_mutex_lock(&r->lock);
	all = r->lost;
	for (struct map_entry *e = NULL; (e = map_next(&r->groups, e)) != NULL;)
		add_losses(&all, e->value);
	(void)pthread_mutex_unlock(&r->lock);
	return all;
}
