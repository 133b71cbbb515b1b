#include <stdlib.h>

#include "core/log.h"
#include "proxy/proxy_private.h"

/* Generations end in threads of their own: freeing 10,000 routers takes milliseconds. */

struct ending {
	struct message done; /* to the control thread */
	struct proxy *proxy;
	struct generation *generation;
	uint64_t number;
	pthread_t thread;
};

static void note_end(struct proxy *p, uint64_t number)
{
	log_debug_with((LOG_INTEGER("generation", (int64_t)number)), "Generation has ended");
	counter_sub(&p->counters.generations_live, 1);
}

static void on_ended(struct message *m)
{
	struct ending *e = container_of(m, struct ending, done);

	must(pthread_join(e->thread, NULL) == 0);
	note_end(e->proxy, e->number);
	free(e);
}

static void *destroy(void *context)
{
	struct ending *e = context;

	generation_destroy(&e->generation);
	must(loop_post(e->proxy->control, &e->done));
	return NULL;
}

void proxy_end_generation(struct proxy *p, struct generation *g)
{
	const uint64_t number = g->number;
	struct ending *e = calloc(1, sizeof *e);

	if (e != NULL) {
		*e = (struct ending){
			.done = {.run = on_ended}, .proxy = p, .generation = g, .number = number};
		if (pthread_create(&e->thread, NULL, destroy, e) == 0)
			return;
		free(e);
	}
	generation_destroy(&g);
	note_end(p, number);
}
