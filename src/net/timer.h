/*
 * Time-outs of connections and requests: a hashed wheel, O(1) to arm and to disarm, accurate to one
 * tick. One per loop.
 */
#ifndef NET_TIMER_H
#define NET_TIMER_H

#include <stdbool.h>
#include <uv.h>

#include "core/list.h"

#define TIMER_TICK_MS 16u
#define TIMER_SLOTS 1024u

/** Embedded in its owner, zeroed before the first use; disarmed before the owner dies. */
struct timer {
	struct list link;
	uint64_t due_tick;
	void (*fire)(struct timer *); /* may arm, disarm or free this timer and any other */
};

#define TIMERS_MAGIC 0x74696d65u

struct timers {
	uint32_t magic;
	uv_timer_t alarm;    /* runs only while something is armed */
	uint64_t alarm_tick; /* the tick for which the alarm is set */
	bool alarm_set;
	uint64_t done_tick; /* all slots up to this tick have been visited */
	size_t armed;
	uint64_t occupied[TIMER_SLOTS / 64]; /* slots that may hold timers */
	struct list slots[TIMER_SLOTS];
};

/** An empty wheel on `uv`, at the loop's current time. */
void timers_init(struct timers *t, uv_loop_t *uv);

/** Nothing may be armed. The alarm closes asynchronously: run the loop until it ends. */
void timers_close(struct timers *t);

/** Arms, or arms anew, to fire `after_ms` from now, rounded up to the next tick. 0 disarms: a
 * time-out of 0 means none. */
void timer_arm(struct timers *t, struct timer *timer, uint64_t after_ms,
	       void (*fire)(struct timer *));

/** The timer will not fire. Harmless if it is not armed. */
void timer_disarm(struct timers *t, struct timer *timer);

static inline bool timer_armed(const struct timer *timer)
{
	return list_linked(&timer->link);
}

#endif
