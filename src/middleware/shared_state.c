#include "middleware/shared_state.h"

#include <errno.h>
#include <stdlib.h>

#include "core/map.h"

#define SHARED_STATES_MAGIC 0x73746174u

struct shared_states {
	uint32_t magic;
	pthread_mutex_t lock;
	struct map all; /* key to struct shared_state */
};

struct shared_states *shared_states_create(void)
{
	struct shared_states *s = calloc(1, sizeof *s);

	if (s == NULL)
		return NULL;
	s->magic = SHARED_STATES_MAGIC;
	must(pthread_mutex_init(&s->lock, NULL) == 0);
	return s;
}

void shared_states_destroy(struct shared_states **states)
{
	struct shared_states *s;

	if (*states == NULL)
		return;
	OBJ_TAKE(s, states, SHARED_STATES_MAGIC);
	must(s->all.count == 0);
	map_free(&s->all);
	(void)pthread_mutex_destroy(&s->lock);
	s->magic = 0;
	free(s);
}

static void free_state(struct shared_state *s)
{
	s->class->free(s);
	(void)pthread_mutex_destroy(&s->lock);
	free((char *)(uintptr_t)s->key.p);
	s->magic = 0;
	free(s);
}

/* The hash of the options, the type, the name. `p` is NULL when memory is short. */
static slice new_key(const struct shared_state_class *class, const struct dynamic_object *object)
{
	size_t type_bytes = strlen(class->type) + 1, at = sizeof object->hash.bytes;
	char *key = malloc(at + type_bytes + object->name.n);

	if (key == NULL)
		return (slice){NULL, 0};
	memcpy(key, object->hash.bytes, at);
	memcpy(key + at, class->type, type_bytes);
	memcpy(key + at + type_bytes, object->name.p, object->name.n);
	return slice_of(key, at + type_bytes + object->name.n);
}

/* Takes the key, also where it fails. */
static int make(struct shared_state **state, const struct shared_state_class *class, slice key,
		const struct dynamic_middleware *config, const struct middleware_world *world,
		struct weir_error *e)
{
	struct shared_state *s = calloc(1, class->bytes);
	int r;

	if (s == NULL) {
		free((char *)(uintptr_t)key.p);
		return error_set(e, -ENOMEM, "out of memory");
	}
	s->magic = SHARED_STATE_MAGIC;
	s->registry = world->states;
	s->class = class;
	s->key = key;
	s->name = slice_from_at(key, key.n - config->object.name.n);
	must(pthread_mutex_init(&s->lock, NULL) == 0);
	r = class->init(s, config, world, e);
	if (r == 0 && map_put(&s->registry->all, key, s) < 0)
		r = error_set(e, -ENOMEM, "out of memory");
	if (r < 0)
		free_state(s);
	else
		*state = s;
	return r;
}

int shared_state_get(struct shared_state **state, const struct shared_state_class *class,
		     const struct dynamic_middleware *config, const struct middleware_world *world,
		     struct weir_error *e)
{
	struct shared_states *all = world->states;
	slice key = new_key(class, &config->object);
	int r = 0;

	*state = NULL;
	OBJ_CHECK(all, SHARED_STATES_MAGIC);
	if (key.p == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	(void)pthread_mutex_lock(&all->lock);
	*state = map_get(&all->all, key);
	if (*state != NULL)
		free((char *)(uintptr_t)key.p);
	else
		r = make(state, class, key, config, world, e);
	if (r == 0)
		(*state)->references++;
	(void)pthread_mutex_unlock(&all->lock);
	return r;
}

struct shared_state *shared_state_ref(struct shared_state *s)
{
	OBJ_CHECK(s, SHARED_STATE_MAGIC);
	(void)pthread_mutex_lock(&s->registry->lock);
	s->references++;
	(void)pthread_mutex_unlock(&s->registry->lock);
	return s;
}

void shared_state_release(struct shared_state **state)
{
	struct shared_states *all;
	struct shared_state *s;
	bool last;

	if (*state == NULL)
		return;
	OBJ_TAKE(s, state, SHARED_STATE_MAGIC);
	all = s->registry;
	(void)pthread_mutex_lock(&all->lock);
	last = --s->references == 0;
	if (last)
		(void)map_remove(&all->all, s->key);
	(void)pthread_mutex_unlock(&all->lock);
	if (last)
		free_state(s);
}

void shared_states_visit(struct shared_states *states,
			 void (*visit)(void *context, const struct shared_state *state),
			 void *context)
{
	OBJ_CHECK(states, SHARED_STATES_MAGIC);
	(void)pthread_mutex_lock(&states->lock);
	for (struct map_entry *at = NULL; (at = map_next(&states->all, at)) != NULL;)
		visit(context, at->value);
	(void)pthread_mutex_unlock(&states->lock);
}

int shared_state_init_nothing(struct shared_state *s, const struct dynamic_middleware *config,
			      const struct middleware_world *world, struct weir_error *e)
{
	(void)s;
	(void)config;
	(void)world;
	(void)e;
	return 0;
}

void shared_state_free_nothing(struct shared_state *s)
{
	(void)s;
}
