#include <errno.h>

#include "core/log.h"
#include "proxy/access.h"
#include "proxy/account.h"
#include "proxy/worker_private.h"

#define LOOK_MS 100u
/* A burst of reloads ends no request. */
#define TOO_MANY_MS 5000u
/* Exchanges that are ended without looking after others in between. */
#define EXPIRE_BURST 64u
/* Middlewares that are prepared likewise. */
#define PREPARE_BURST 16u

static struct worker *worker_of(struct exchange *x)
{
	return container_of(x->loop, struct worker, loop);
}

static void drop_hold(struct worker *w, struct generation *g)
{
	if (atomic_fetch_sub(&g->holders, 1) == 1)
		w->events->released(g, w->events->context);
}

static void unpin(struct worker *w, struct generation *g)
{
	struct generation_share *share = &g->shares[w->index];

	OBJ_CHECK(g, GENERATION_MAGIC);
	must(share->pins > 0);
	share->pins--;
	if (g == w->generation)
		return;
	must(w->old_pins > 0);
	w->old_pins--;
	if (share->pins == 0)
		drop_hold(w, g);
}

/* The last thing in an exchange's life. */
static void end_pinned(struct exchange *x)
{
	const struct route *route = x->route;

	account_end(x, route->entry_point, route);
	access_end(x);
	unpin(worker_of(x), route->generation);
}

const struct generation *worker_pinned(const struct exchange *x)
{
	const struct route *route = x->route;

	return x->on_release == end_pinned ? route->generation : NULL;
}

static void leave_route(struct exchange *x);

void worker_pin(struct worker *w, struct exchange *x, struct route *route)
{
	must(route->generation == w->generation);
	w->generation->shares[w->index].pins++;
	x->route = route;
	x->on_release = end_pinned;
	x->on_tunnel = leave_route;
}

static void end_detached(struct exchange *x)
{
	struct route *route = x->route;

	account_end(x, route->entry_point, route);
	access_end(x);
	series_release(&route->series);
}

/* What is left of a route for logs and counts. */
static struct route *copy_route(struct arena *a, const struct route *from)
{
	struct route *route = ARENA_NEW(a, struct route);

	if (route == NULL)
		return NULL;
	*route = (struct route){.entry_point = from->entry_point,
				.name = arena_copy(a, from->name),
				.internal = from->internal};
	return route->name.p != NULL ? route : NULL;
}

/* The exchange needs nothing of its generation any more but the route. */
static void replace_route(struct exchange *x, struct route *route)
{
	struct route *old = x->route;

	route->series = series_ref(old->series);
	x->route = route;
	x->on_release = end_detached;
	unpin(worker_of(x), old->generation);
}

/* A tunnel may last for days. */
static void leave_route(struct exchange *x)
{
	struct route *route = copy_route(&x->arena, x->route);

	if (route != NULL && access_detach(x) == 0)
		replace_route(x, route);
}

static bool is_on_old(const struct worker *w, const struct exchange *x)
{
	const struct generation *g = worker_pinned(x);

	return g != NULL && g != w->generation;
}

static void detach(struct exchange *x)
{
	struct route *route;

	if (x->phase != EXCHANGE_SENDING)
		return;
	route = copy_route(&x->arena, x->route);
	if (route != NULL && access_detach(x) == 0 && exchange_detach(x) == 0)
		replace_route(x, route);
}

/* Letting go of a generation changes no list of exchanges. */
static void detach_all(struct worker *w)
{
	LIST_FOR_EACH (at, &w->exchanges.live) {
		struct exchange *x = container_of(at, struct exchange, link);

		if (is_on_old(w, x))
			detach(x);
	}
}

static bool is_overdue(const struct worker *w, const struct exchange *x)
{
	const struct route *route = x->route;
	const struct generation *g = route->generation;
	uint64_t age_ms = loop_now_ms(&w->loop) - g->shares[w->index].replaced_at_ms;

	if (w->generation != NULL && age_ms >= TOO_MANY_MS &&
	    g->number + w->generations_max <= w->generation->number)
		return true;
	return w->drain_timeout_ms > 0 && age_ms >= w->drain_timeout_ms;
}

/* The oldest are last. One that was told in this turn and goes on waits for its hooks. */
static struct exchange *find_overdue(const struct worker *w)
{
	for (struct list *at = w->exchanges.live.prev; at != &w->exchanges.live; at = at->prev) {
		struct exchange *x = container_of(at, struct exchange, link);

		if (x->phase < EXCHANGE_CLOSING && x->expired_turn < w->loop.turn &&
		    is_on_old(w, x) && is_overdue(w, x))
			return x;
	}
	return NULL;
}

static void look_after_old(struct timer *t)
{
	struct worker *w = container_of(t, struct worker, old_look);
	struct exchange *x = NULL;
	unsigned ended = 0;

	detach_all(w);
	while (ended < EXPIRE_BURST && (x = find_overdue(w)) != NULL) {
		log_debug_with((LOG_TEXT("ClientAddr", x->peer)),
			       "Request ended: its configuration was replaced too long ago");
		exchange_expire(x);
		ended++;
	}
	if (w->old_pins > 0)
		loop_arm(&w->loop, t, x != NULL ? 1 : LOOK_MS, look_after_old);
}

/* Some in each turn: there may be thousands, and requests wait. Those that come first make what
 * they need themselves. */
static void prepare_some(struct task *t)
{
	struct worker *w = container_of(t, struct worker, prepare);
	struct generation *g = w->generation;

	for (unsigned i = 0; i < PREPARE_BURST && w->prepared < g->prepared_count; i++) {
		struct middleware *m = g->prepared[w->prepared++];

		m->class->prepare(m, &w->loop);
	}
	if (w->prepared < g->prepared_count)
		loop_defer(&w->loop, t);
}

void worker_take(struct worker *w, struct generation *g)
{
	struct generation *old = w->generation;

	w->generation = g;
	w->prepared = 0;
	loop_cancel(&w->loop, &w->prepare);
	w->prepare.run = prepare_some;
	if (g != NULL)
		prepare_some(&w->prepare);
	if (old == NULL)
		return;
	old->shares[w->index].replaced_at_ms = loop_now_ms(&w->loop);
	w->old_pins += old->shares[w->index].pins;
	if (old->shares[w->index].pins == 0)
		drop_hold(w, old);
	if (w->old_pins > 0)
		look_after_old(&w->old_look);
}
