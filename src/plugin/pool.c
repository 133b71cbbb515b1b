#include "plugin/pool.h"

#include <errno.h>
#include <stdlib.h>

#include "core/clock.h"
#include "plugin/mapping.h"
#include "plugin/version.h"

/* The calling thread's. */
static _Thread_local struct list thread_pools;

void pool_check(const struct weir_pool *p)
{
	OBJ_CHECK(p, POOL_MAGIC);
	must(pthread_equal(p->thread, pthread_self()));
}

/* The plugin's first instance, if no other pool has taken it. */
static void adopt_spare(struct weir_pool *p)
{
	struct instance *i = atomic_exchange(&p->plugin->spare, NULL);

	if (i == NULL)
		return;
	/* Its counter there is the plugin's, which the lock guards. */
	(void)pthread_mutex_lock(&p->plugin->lock);
	instance_move(i, p->seat, &p->counters);
	(void)pthread_mutex_unlock(&p->plugin->lock);
	p->slots++;
	i->idle_since_ns = clock_mono_ns();
	list_push(&p->idle, &i->link);
}

int weir_pool_create(struct weir_pool **pool, struct weir_plugin *plugin,
		     const struct weir_pool_events *events)
{
	struct weir_pool *p;
	int r = VERSION_CHECK_RESERVED(events, "weir_pool_events", NULL);

	*pool = NULL;
	if (r < 0)
		return r;
	p = calloc(1, sizeof *p);
	if (p == NULL)
		return -ENOMEM;
	p->seat = ticker_seat_take(plugin->host->ticker);
	if (p->seat == NULL) {
		free(p);
		return -ENOMEM;
	}
	p->magic = POOL_MAGIC;
	p->plugin = weir_plugin_ref(plugin);
	p->thread = pthread_self();
	p->events = *events;
	list_init(&p->idle);
	list_init(&p->used);
	list_init(&p->queue);
	(void)pthread_mutex_lock(&plugin->lock);
	list_append(&plugin->pools, &p->link);
	(void)pthread_mutex_unlock(&plugin->lock);
	if (thread_pools.next == NULL)
		list_init(&thread_pools);
	list_append(&thread_pools, &p->beside);
	adopt_spare(p);
	*pool = p;
	if (p->slots < plugin->facts.limits.instances_min)
		pool_ask_work(p);
	return 0;
}

void pool_destroy_idle(struct weir_pool *p, struct instance *i)
{
	list_remove(&i->link);
	instance_destroy(&i);
	must(p->slots > 0);
	p->slots--;
}

static void destroy_all(struct weir_pool *p, struct list *list)
{
	while (!list_empty(list))
		pool_destroy_idle(p, container_of(list->prev, struct instance, link));
}

static void drop_warming(struct weir_pool *p)
{
	instance_destroy(&p->warming);
	p->slots--;
}

void weir_pool_destroy(struct weir_pool **pool)
{
	struct weir_pool *p;

	if (*pool == NULL)
		return;
	OBJ_TAKE(p, pool, POOL_MAGIC);
	pool_check(p);
	must(p->exchanges == 0 && list_empty(&p->queue));
	if (p->warming != NULL)
		drop_warming(p);
	destroy_all(p, &p->used);
	destroy_all(p, &p->idle);
	must(p->slots == 0);
	/* Nobody may ask for the reservations and stacks of those that have gone, or tick, after
	 * this. */
	mapping_trim();
	list_remove(&p->beside);
	(void)pthread_mutex_lock(&p->plugin->lock);
	list_remove(&p->link);
	counters_fold(&p->plugin->counters, &p->counters);
	(void)pthread_mutex_unlock(&p->plugin->lock);
	ticker_seat_give(&p->seat);
	weir_plugin_unref(&p->plugin);
	str_free(&p->scratch);
	free(p->names);
	p->magic = 0;
	free(p);
}

void pool_note_refusals(struct weir_pool *p)
{
	const struct budget *b = &p->plugin->host->budget;
	uint64_t refusals = atomic_load_explicit(&b->refusals, memory_order_relaxed);

	if (refusals == p->refusals)
		return;
	p->refusals = refusals;
	if (p->events.work == NULL) {
		destroy_all(p, &p->idle);
		return;
	}
	p->yielding = 0;
	LIST_FOR_EACH (at, &p->idle)
		p->yielding++;
	if (p->yielding > 0)
		pool_ask_work(p);
}

/* False: there is nothing that may go. */
static bool give_up_one(struct weir_pool *p)
{
	if (pool_settle_used(p))
		return true;
	if (list_empty(&p->idle))
		return false;
	pool_destroy_idle(p, container_of(p->idle.prev, struct instance, link));
	return true;
}

bool pool_make_room(struct weir_plugin *plugin, uint64_t bytes)
{
	if (budget_take(&plugin->budget, bytes))
		return true;
	if (thread_pools.next == NULL)
		return false;
	LIST_FOR_EACH (at, &thread_pools) {
		struct weir_pool *p = container_of(at, struct weir_pool, beside);

		while (p->plugin->host == plugin->host && give_up_one(p)) {
			if (budget_take(&plugin->budget, bytes))
				return true;
		}
	}
	return false;
}

struct instance *pool_take(struct weir_pool *p)
{
	struct list *first;

	if (list_empty(&p->idle))
		(void)pool_settle_used(p);
	first = list_pop(&p->idle);
	return first != NULL ? container_of(first, struct instance, link) : NULL;
}

bool pool_take_slot(struct weir_pool *p)
{
	if (p->slots >= p->plugin->facts.limits.instances)
		return false;
	p->slots++;
	return true;
}

void pool_wake(struct weir_pool *p, struct weir_exchange *e)
{
	if (p->events.wake != NULL)
		p->events.wake(p->events.wake_context, e, e->x);
}

static struct weir_exchange *first_in_queue(struct weir_pool *p)
{
	return list_empty(&p->queue) ? NULL
				     : container_of(p->queue.next, struct weir_exchange, link);
}

void pool_put(struct weir_pool *p, struct instance **instance)
{
	struct weir_exchange *e = first_in_queue(p);
	struct instance *i;

	OBJ_TAKE(i, instance, INSTANCE_MAGIC);
	must(i->state == INSTANCE_IDLE);
	if (e == NULL) {
		pool_note_refusals(p);
		i->idle_since_ns = clock_mono_ns();
		list_push(&p->idle, &i->link);
		return;
	}
	pool_dequeue(p, e);
	exchange_grant(e, i);
	pool_wake(p, e);
}

static void settle(struct weir_pool *p, struct instance *i)
{
	if (instance_release(i)) {
		pool_put(p, &i);
		return;
	}
	instance_destroy(&i);
	pool_put_slot(p);
}

bool pool_settle_used(struct weir_pool *p)
{
	struct list *first = list_pop(&p->used);

	if (first == NULL)
		return false;
	settle(p, container_of(first, struct instance, link));
	return true;
}

void pool_ask_work(struct weir_pool *p)
{
	if (p->work_asked || p->events.work == NULL)
		return;
	p->work_asked = true;
	p->events.work(p->events.wake_context, p);
}

void pool_put_used(struct weir_pool *p, struct instance **instance)
{
	struct instance *i;

	OBJ_TAKE(i, instance, INSTANCE_MAGIC);
	if (p->events.work == NULL || !list_empty(&p->queue) || instance_releases_quickly(i)) {
		settle(p, i);
		return;
	}
	list_push(&p->used, &i->link);
	pool_ask_work(p);
}

void pool_put_slot(struct weir_pool *p)
{
	struct weir_exchange *e = first_in_queue(p);

	must(p->slots > 0);
	if (e == NULL) {
		p->slots--;
		return;
	}
	pool_dequeue(p, e);
	exchange_grant(e, NULL);
	pool_wake(p, e);
}

void pool_drop_slot(struct weir_pool *p)
{
	must(p->slots > 0);
	p->slots--;
}

bool pool_enqueue(struct weir_pool *p, struct weir_exchange *e, bool again)
{
	if (!again && p->queued >= p->plugin->facts.limits.queue_length)
		return false;
	if (again)
		list_push(&p->queue, &e->link);
	else
		list_append(&p->queue, &e->link);
	p->queued++;
	counter_add(&p->counters.waiting, 1);
	return true;
}

void pool_dequeue(struct weir_pool *p, struct weir_exchange *e)
{
	must(p->queued > 0 && list_linked(&e->link));
	list_remove(&e->link);
	p->queued--;
	counter_sub(&p->counters.waiting, 1);
}
