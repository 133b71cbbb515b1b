#include "net/per_loop.h"

#include <errno.h>
#include <stdlib.h>

int per_loop_init(struct per_loop *p, const struct loop_group *group, void (*free_part)(void *part))
{
	*p = (struct per_loop){.group = group, .free_part = free_part};
	p->parts = calloc(MAX(group->count, 1), sizeof *p->parts);
	if (p->parts == NULL)
		return -ENOMEM;
	p->magic = PER_LOOP_MAGIC;
	return 0;
}

void per_loop_discard(struct per_loop *p)
{
	OBJ_CHECK(p, PER_LOOP_MAGIC);
	free(p->parts);
	p->parts = NULL;
	p->magic = 0;
}

static void part_is_gone(struct per_loop *p)
{
	if (atomic_fetch_sub(&p->remaining, 1) > 1)
		return;
	free(p->parts);
	p->magic = 0;
	p->released(p);
}

static void free_part(struct message *m)
{
	struct loop_part *part = container_of(m, struct loop_part, message);
	struct per_loop *p = part->object;

	p->free_part(part->part);
	part_is_gone(p);
}

static void release_part(struct per_loop *p, size_t index)
{
	struct loop_part *part = &p->parts[index];

	part->object = p;
	part->message.run = free_part;
	if (!loop_post(p->group->loops[index], &part->message))
		free_part(&part->message);
}

void per_loop_release(struct per_loop *p, void (*released)(struct per_loop *))
{
	size_t count = p->group->count;

	OBJ_CHECK(p, PER_LOOP_MAGIC);
	p->released = released;
	/* One more than there are parts, so that the object outlives this loop. */
	atomic_store(&p->remaining, count + 1);
	for (size_t i = 0; i < count; i++) {
		if (p->parts[i].part != NULL)
			release_part(p, i);
		else
			part_is_gone(p);
	}
	part_is_gone(p);
}
