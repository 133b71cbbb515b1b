#include "proxy/census.h"

#include <errno.h>
#include <stdlib.h>

#include "core/clock.h"
#include "proxy/proxy_private.h"
#include "proxy/worker_private.h"

/** While it is taken. */
struct taking {
	struct census *census;
	struct proxy *proxy;
	struct arena *arena;
	struct upstream **upstreams; /* references, parallel to the census's */
	size_t held;                 /* their number */
	bool failed;
};

static const char *phase_text(enum exchange_phase phase)
{
	static const char *const texts[] = {
#define X(name) #name,
		EXCHANGE_PHASES(X)
#undef X
	};

	return texts[phase];
}

/* Under the lock: the generation is in use. */
static void note_generation(struct census_generation *to, const struct generation *g)
{
	*to = (struct census_generation){
		.number = g->number,
		.current = g->state == GENERATION_CURRENT,
		.age_ns = clock_mono_ns() - g->published_ns,
		.arena_bytes = g->arena.used_bytes,
		.config_bytes = g->config->arena.used_bytes + g->view->arena.used_bytes,
		.routers = g->config->router_count,
		.services = g->service_count,
		.middlewares = g->middleware_count,
		.holders = atomic_load(&g->holders),
		.pins = to->pins,
	};
}

static void list_generations(struct taking *t)
{
	struct census *c = t->census;
	struct proxy *p = t->proxy;
	size_t live = 0;

	(void)pthread_mutex_lock(&p->view_lock);
	LIST_FOR_EACH (at, &p->generations)
		live++;
	c->generations = ARENA_ARRAY(t->arena, struct census_generation, live + 1);
	LIST_FOR_EACH (at, &p->generations) {
		struct census_generation *to;

		if (c->generations == NULL)
			break;
		to = &c->generations[c->generation_count];
		to->pins = ARENA_ARRAY(t->arena, uint64_t, p->worker_count);
		if (to->pins == NULL)
			break;
		note_generation(to, container_of(at, struct generation, link));
		c->generation_count++;
	}
	(void)pthread_mutex_unlock(&p->view_lock);
	t->failed |= c->generation_count < live;
}

static struct census_generation *find_generation(const struct census *c, uint64_t number)
{
	for (size_t i = 0; i < c->generation_count; i++) {
		if (c->generations[i].number == number)
			return &c->generations[i];
	}
	return NULL;
}

/* What is in the list under the lock is not destroyed; one's own pins nobody else changes. */
static void count_pins(struct taking *t, const struct worker *w)
{
	struct proxy *p = t->proxy;

	(void)pthread_mutex_lock(&p->view_lock);
	LIST_FOR_EACH (at, &p->generations) {
		const struct generation *g = container_of(at, struct generation, link);
		struct census_generation *to = find_generation(t->census, g->number);

		if (to != NULL)
			to->pins[w->index] = g->shares[w->index].pins;
	}
	(void)pthread_mutex_unlock(&p->view_lock);
}

static void note_exchange(struct taking *t, const struct worker *w, const struct exchange *x)
{
	const struct generation *pinned = worker_pinned(x);
	struct census_generation *g =
		pinned != NULL ? find_generation(t->census, pinned->number) : NULL;
	const struct route *route = x->route;

	t->census->workers[w->index].arena_bytes += x->arena.used_bytes;
	if (g == NULL || g->router.p != NULL)
		return;
	g->router = arena_copy(t->arena, route->name);
	g->client = arena_copy(t->arena, x->peer);
	g->phase = phase_text(x->phase);
	t->failed |= g->router.p == NULL || g->client.p == NULL;
}

/* The oldest are last. */
static void look_at_exchanges(struct taking *t, const struct worker *w)
{
	const struct list *head = &w->exchanges.live;
	struct census_worker *to = &t->census->workers[w->index];

	for (const struct list *at = head->prev; at != head && to->looked_at < CENSUS_LOOK_MAX;
	     at = at->prev) {
		note_exchange(t, w, container_of(at, struct exchange, link));
		to->looked_at++;
	}
}

static void count_worker(struct loop *loop, void *context)
{
	const struct worker *w = container_of(loop, struct worker, loop);
	struct taking *t = context;
	struct census_worker *to = &t->census->workers[w->index];

	OBJ_CHECK(w, WORKER_MAGIC);
	to->requests = w->exchanges.live_count;
	to->idle_requests = w->exchanges.idle_count;
	to->buffer_bytes = loop->buffers.live_bytes;
	for (size_t i = 0; i < BUFFER_CLASSES; i++)
		to->idle_buffers += loop->buffers.idle_count[i];
	count_pins(t, w);
	look_at_exchanges(t, w);
	for (size_t i = 0; i < t->census->upstream_count; i++)
		upstream_look_add(t->upstreams[i], loop, &t->census->upstreams[i]);
}

/* In the order of their names, so that answers can be compared. */
static int by_address(const void *a, const void *b)
{
	const struct upstream_look *x = a, *y = b;
	int r = slice_compare(x->host, y->host);

	return r != 0 ? r : x->port - y->port;
}

static void list_upstreams(struct taking *t)
{
	struct census *c = t->census;

	t->upstreams = upstream_registry_hold(t->proxy->world.upstreams, &t->held);
	c->upstreams = ARENA_ARRAY(t->arena, struct upstream_look, t->held + 1);
	t->failed |= t->upstreams == NULL || c->upstreams == NULL;
	c->upstream_count = c->upstreams != NULL ? t->held : 0;
	for (size_t i = 0; i < c->upstream_count; i++)
		c->upstreams[i] = upstream_look(t->upstreams[i]);
}

/* Their names go with them. */
static void release_upstreams(struct taking *t)
{
	struct census *c = t->census;

	for (size_t i = 0; i < c->upstream_count; i++) {
		c->upstreams[i].host = arena_copy(t->arena, c->upstreams[i].host);
		t->failed |= c->upstreams[i].host.p == NULL;
	}
	for (size_t i = 0; i < t->held; i++)
		upstream_release(&t->upstreams[i]);
	free(t->upstreams);
}

int proxy_census(struct census *c, struct proxy *p, struct arena *arena)
{
	struct taking t = {.census = c, .proxy = p, .arena = arena};

	OBJ_CHECK(p, PROXY_MAGIC);
	*c = (struct census){.worker_count = p->worker_count};
	c->workers = ARENA_ARRAY(arena, struct census_worker, p->worker_count);
	if (c->workers == NULL)
		return -ENOMEM;
	list_generations(&t);
	list_upstreams(&t);
	for (size_t i = 0; i < p->worker_count; i++)
		(void)loop_call(&p->workers[i]->loop, count_worker, &t);
	release_upstreams(&t);
	if (c->upstream_count > 0)
		qsort(c->upstreams, c->upstream_count, sizeof *c->upstreams, by_address);
	return t.failed ? -ENOMEM : 0;
}
