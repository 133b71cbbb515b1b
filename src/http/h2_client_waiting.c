/* Calls that wait for the connection that another one opens. */

#include "http/h2_client.h"

void h2_client_open(struct client *k, struct client_call *call)
{
	if (k->opening) {
		list_append(&k->waiting, &call->link);
		counter_add(&k->counters->waiting, 1);
		return;
	}
	k->opening = true;
	client_start_on_new(k, call, true);
}

struct client_call *h2_client_next(struct client *k, struct list *waiting)
{
	struct list *e = list_pop(waiting);

	if (e == NULL)
		return NULL;
	counter_sub(&k->counters->waiting, 1);
	return container_of(e, struct client_call, link);
}

/* Those for which there is no room wait on, for it or for the connection that is being opened, in
 * front of those that came meanwhile. As long as there are any nobody destroys the client. */
void h2_client_place_waiting(struct task *t)
{
	struct client *k = container_of(t, struct client, place);
	struct list waiting, *e;

	list_move(&waiting, &k->waiting);
	while (!list_empty(&waiting) && (!k->opening || h2_client_has_room(k)))
		client_place(k, h2_client_next(k, &waiting));
	if (list_empty(&waiting))
		return;
	while ((e = list_pop(&k->waiting)) != NULL)
		list_append(&waiting, e);
	list_move(&k->waiting, &waiting);
}

void h2_client_not_opened(struct client *k, struct list *waiting)
{
	k->opening = false;
	list_move(waiting, &k->waiting);
}

void h2_client_go_without(struct client *k, struct list *waiting, int code)
{
	struct client_call *call;

	while ((call = h2_client_next(k, waiting)) != NULL) {
		if (call->spared || list_empty(&k->shared)) {
			client_call_fail(call, code);
		} else {
			call->spared = true;
			client_place(k, call);
		}
	}
}
