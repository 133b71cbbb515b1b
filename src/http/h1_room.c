#include "http/h1_server_private.h"

void h1_room_init(struct h1_room *room, size_t max)
{
	*room = (struct h1_room){.max = MAX(max, 1)};
	list_init(&room->waiting);
}

static bool has_room(const struct h1_server *s)
{
	const struct h1_room *room = s->options.room;

	return s->connection_count < s->options.connections_max &&
	       (room == NULL || room->count < room->max);
}

static void accept_again(struct h1_server *s)
{
	list_remove(&s->waiting);
	if (s->listening && !s->draining)
		listener_resume(&s->listener);
}

void h1_server_count_closed(struct h1_server *s)
{
	struct h1_room *room = s->options.room;

	s->connection_count--;
	counter_sub(&s->counters.open, 1);
	if (room != NULL) {
		room->count--;
		if (!list_empty(&room->waiting))
			accept_again(container_of(room->waiting.next, struct h1_server, waiting));
	}
	if (has_room(s))
		accept_again(s);
}

bool h1_server_count_opened(struct h1_server *s)
{
	struct h1_room *room = s->options.room;

	s->connection_count++;
	counter_add(&s->counters.open, 1);
	if (room != NULL)
		room->count++;
	if (has_room(s))
		return true;
	counter_add(&s->counters.accept_paused, 1);
	if (room != NULL && !s->draining && !list_linked(&s->waiting))
		list_append(&room->waiting, &s->waiting);
	return false;
}
