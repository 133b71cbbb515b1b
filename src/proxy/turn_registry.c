#include "proxy/turn_registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "core/registry.h"

#define REGISTRY_MAGIC 0x7475726eu
#define TURN_MAGIC 0x7475726fu

struct turn_registry {
	uint32_t magic;
	struct registry turns;
};

struct shared_turn {
	struct turn turn; /* first */
	uint32_t magic;
	struct registry_member member;
	char key[];
};

int turn_registry_create(struct turn_registry **registry)
{
	struct turn_registry *r = calloc(1, sizeof *r);

	*registry = r;
	if (r == NULL)
		return -ENOMEM;
	r->magic = REGISTRY_MAGIC;
	registry_init(&r->turns);
	return 0;
}

void turn_registry_destroy(struct turn_registry **registry)
{
	struct turn_registry *r;

	if (*registry == NULL)
		return;
	OBJ_TAKE(r, registry, REGISTRY_MAGIC);
	registry_free(&r->turns);
	r->magic = 0;
	free(r);
}

/* NULL: no memory. */
static struct registry_member *add(struct turn_registry *r, slice key)
{
	struct shared_turn *t = calloc(1, sizeof *t + key.n);
	struct registry_member *m;

	if (t == NULL)
		return NULL;
	t->magic = TURN_MAGIC;
	memcpy(t->key, key.p, key.n);
	m = registry_add(&r->turns, &t->member, slice_of(t->key, key.n));
	if (m != &t->member)
		free(t);
	return m;
}

int turn_registry_get(struct turn_registry *r, slice key, struct turn **turn)
{
	struct registry_member *m;

	OBJ_CHECK(r, REGISTRY_MAGIC);
	m = registry_find(&r->turns, key);
	if (m == NULL)
		m = add(r, key);
	*turn = m != NULL ? &container_of(m, struct shared_turn, member)->turn : NULL;
	return m != NULL ? 0 : -ENOMEM;
}

void turn_release(struct turn **turn)
{
	struct shared_turn *t;

	if (*turn == NULL)
		return;
	t = container_of(*turn, struct shared_turn, turn);
	*turn = NULL;
	OBJ_CHECK(t, TURN_MAGIC);
	if (registry_release(&t->member)) {
		t->magic = 0;
		free(t);
	}
}

size_t turn_registry_count(struct turn_registry *r)
{
	OBJ_CHECK(r, REGISTRY_MAGIC);
	return registry_count(&r->turns);
}
