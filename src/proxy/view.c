#include "proxy/view.h"

#include <stdatomic.h>
#include <stdlib.h>

struct view *view_new(struct dynamic_config *config, uint64_t number, size_t bytes_max)
{
	struct view *v = calloc(1, sizeof *v);

	if (v == NULL)
		return NULL;
	v->magic = VIEW_MAGIC;
	v->references = 1;
	v->number = number;
	v->config = dynamic_ref(config);
	arena_init(&v->arena, 4096, bytes_max);
	v->routers = ARENA_ARRAY(&v->arena, struct view_state, config->router_count + 1);
	v->services = ARENA_ARRAY(&v->arena, struct view_state, config->service_count + 1);
	v->middlewares = ARENA_ARRAY(&v->arena, struct view_state, config->middleware_count + 1);
	if (v->routers == NULL || v->services == NULL || v->middlewares == NULL)
		view_release(&v);
	return v;
}

struct view *view_ref(struct view *v)
{
	OBJ_CHECK(v, VIEW_MAGIC);
	(void)atomic_fetch_add(&v->references, 1);
	return v;
}

void view_release(struct view **view)
{
	struct view *v;

	if (*view == NULL)
		return;
	OBJ_TAKE(v, view, VIEW_MAGIC);
	if (atomic_fetch_sub(&v->references, 1) > 1)
		return;
	dynamic_destroy(&v->config);
	arena_free(&v->arena);
	v->magic = 0;
	free(v);
}

void view_add(struct view *v, struct view_state *s, slice text, bool disables)
{
	struct view_note *note;

	s->disabled |= disables;
	for (const struct view_note *n = s->notes; n != NULL; n = n->next)
		if (slice_equal(n->text, text))
			return;
	note = ARENA_NEW(&v->arena, struct view_note);
	if (note == NULL) {
		v->failed = true;
		return;
	}
	note->text = arena_copy(&v->arena, text);
	v->failed |= note->text.p == NULL;
	if (s->last != NULL)
		s->last->next = note;
	else
		s->notes = note;
	s->last = note;
}
