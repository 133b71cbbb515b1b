#include "net/timer.h"

void timers_init(struct timers *t, uv_loop_t *uv)
{
	*t = (struct timers){.magic = TIMERS_MAGIC};
	for (size_t i = 0; i < TIMER_SLOTS; i++)
		list_init(&t->slots[i]);
	must(uv_timer_init(uv, &t->alarm) == 0);
	t->alarm.data = t;
	t->done_tick = uv_now(uv) / TIMER_TICK_MS;
}

void timers_close(struct timers *t)
{
	OBJ_CHECK(t, TIMERS_MAGIC);
	must(t->armed == 0);
	t->magic = 0;
	uv_close((uv_handle_t *)&t->alarm, NULL);
}

static void on_alarm(uv_timer_t *alarm);

static void set_alarm(struct timers *t, uint64_t tick)
{
	uint64_t at_ms = tick * TIMER_TICK_MS, now_ms = uv_now(t->alarm.loop);

	t->alarm_set = true;
	t->alarm_tick = tick;
	must(uv_timer_start(&t->alarm, on_alarm, at_ms > now_ms ? at_ms - now_ms : 0, 0) == 0);
}

/* The first tick after `from` whose slot may hold something, at most one round away. */
static uint64_t next_occupied(const struct timers *t, uint64_t from)
{
	for (uint64_t tick = from + 1; tick <= from + TIMER_SLOTS;) {
		size_t slot = tick % TIMER_SLOTS;
		uint64_t word = t->occupied[slot / 64] >> slot % 64;

		if (word != 0)
			return tick + (uint64_t)__builtin_ctzll(word);
		tick += 64 - slot % 64;
	}
	return from + TIMER_SLOTS;
}

/* Moves what is due in one slot to `due`; what belongs to a later round stays. */
static void collect_slot(struct timers *t, size_t slot, uint64_t now_tick, struct list *due)
{
	struct list *head = &t->slots[slot];

	for (struct list *e = head->next, *next; e != head; e = next) {
		struct timer *timer = container_of(e, struct timer, link);

		next = e->next;
		if (timer->due_tick > now_tick)
			continue;
		list_remove(e);
		list_append(due, e);
	}
	if (list_empty(head))
		t->occupied[slot / 64] &= ~((uint64_t)1 << slot % 64);
}

static void on_alarm(uv_timer_t *alarm)
{
	struct timers *t = alarm->data;
	uint64_t now_tick = uv_now(alarm->loop) / TIMER_TICK_MS;
	/* Every slot is visited once at most, however late the alarm is. */
	uint64_t from = MAX(t->done_tick, now_tick - MIN(now_tick, TIMER_SLOTS));
	struct list due, *e;

	OBJ_CHECK(t, TIMERS_MAGIC);
	t->alarm_set = false;
	list_init(&due);
	for (uint64_t tick = from + 1; tick <= now_tick; tick++) {
		size_t slot = tick % TIMER_SLOTS;

		if (t->occupied[slot / 64] >> slot % 64 & 1)
			collect_slot(t, slot, now_tick, &due);
	}
	t->done_tick = MAX(t->done_tick, now_tick);
	/* A callback may disarm a timer that waits in `due`: it then simply leaves this list. */
	while ((e = list_pop(&due)) != NULL) {
		struct timer *timer = container_of(e, struct timer, link);

		t->armed--;
		timer->fire(timer);
	}
	/* Callbacks may have set it for later timers than those that were there before. */
	if (t->armed > 0)
		set_alarm(t, next_occupied(t, t->done_tick));
}

void timer_arm(struct timers *t, struct timer *timer, uint64_t after_ms,
	       void (*fire)(struct timer *))
{
	uint64_t now_ms = uv_now(t->alarm.loop);
	size_t slot;

	OBJ_CHECK(t, TIMERS_MAGIC);
	timer_disarm(t, timer);
	if (after_ms == 0)
		return;
	after_ms = MIN(after_ms, UINT64_MAX / 2);
	timer->fire = fire;
	timer->due_tick = (now_ms + after_ms) / TIMER_TICK_MS + 1;
	timer->due_tick = MAX(timer->due_tick, t->done_tick + 1);
	slot = timer->due_tick % TIMER_SLOTS;
	list_append(&t->slots[slot], &timer->link);
	t->occupied[slot / 64] |= (uint64_t)1 << slot % 64;
	t->armed++;
	if (!t->alarm_set || timer->due_tick < t->alarm_tick)
		set_alarm(t, MIN(timer->due_tick, now_ms / TIMER_TICK_MS + TIMER_SLOTS));
}

void timer_disarm(struct timers *t, struct timer *timer)
{
	if (!list_linked(&timer->link))
		return;
	list_remove(&timer->link);
	must(t->armed > 0);
	t->armed--;
}
