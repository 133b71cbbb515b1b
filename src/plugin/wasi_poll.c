#include <sys/stat.h>

#include "core/base.h"
#include "core/clock.h"
#include "plugin/wasi_state.h"

/* One call of poll_oneoff. */
struct poll {
	struct wasi *w;
	struct guest_memory m;
	uint32_t subscriptions;
	uint32_t events;
	uint32_t count;
	uint32_t result_address;
	uint64_t now_ns;      /* monotonic: timers due by now have expired */
	uint64_t deadline_ns; /* of the nearest timer that has not */
	uint32_t event_count;
};

static uint32_t poll_take(struct wasi *w, struct guest_memory m, const uint64_t *a, struct poll *p)
{
	*p = (struct poll){.w = w,
			   .m = m,
			   .subscriptions = arg32(a, 0),
			   .events = arg32(a, 1),
			   .count = arg32(a, 2),
			   .result_address = arg32(a, 3),
			   .deadline_ns = UINT64_MAX};
	if (guest_at(m, p->subscriptions, (uint64_t)p->count * sizeof(struct wasi_subscription)) ==
		    NULL ||
	    guest_at(m, p->events, (uint64_t)p->count * sizeof(struct wasi_event)) == NULL ||
	    guest_at(m, p->result_address, sizeof(uint32_t)) == NULL)
		return WASI_EFAULT;
	if (p->count == 0 || p->count > w->settings->options.subscriptions_max)
		return WASI_EINVAL;
	return WASI_ESUCCESS;
}

static void subscription_at(const struct poll *p, uint32_t nth, struct wasi_subscription *s)
{
	const uint8_t *all = guest_at(p->m, p->subscriptions, (uint64_t)p->count * sizeof *s);

	must(all != NULL && nth < p->count);
	memcpy(s, all + (size_t)nth * sizeof *s, sizeof *s);
}

static void add_event(struct poll *p, const struct wasi_event *event)
{
	uint32_t at = p->events + p->event_count * (uint32_t)sizeof *event;

	must(p->event_count < p->count);
	must(guest_put(p->m, at, event, sizeof *event) == 0);
	p->event_count++;
}

/* When a timer that was set when the call was made is due. */
static uint64_t due_ns(const struct wasi *w, const struct wasi_subscription *s)
{
	if ((s->flags & WASI_SUBCLOCK_ABSTIME) == 0)
		return saturating_add(w->sleep_mono_ns, s->timeout_ns);
	if (s->clock_or_fd == WASI_CLOCK_MONOTONIC)
		return s->timeout_ns;
	if (s->timeout_ns <= w->sleep_wall_ns)
		return 0;
	return saturating_add(w->sleep_mono_ns, s->timeout_ns - w->sleep_wall_ns);
}

static uint32_t clock_error(const struct wasi_subscription *s)
{
	if ((s->flags & ~WASI_SUBCLOCK_ABSTIME) != 0 || s->clock_or_fd > WASI_CLOCK_THREAD_CPUTIME)
		return WASI_EINVAL;
	return s->clock_or_fd > WASI_CLOCK_MONOTONIC ? WASI_ENOTSUP : WASI_ESUCCESS;
}

/* Fills in the event of a timer and says whether it has happened. */
static bool poll_clock(struct poll *p, const struct wasi_subscription *s, struct wasi_event *event)
{
	uint64_t due;

	event->error = (uint16_t)clock_error(s);
	if (event->error != 0)
		return true;
	due = due_ns(p->w, s);
	if (due <= p->now_ns)
		return true;
	p->deadline_ns = MIN(p->deadline_ns, due);
	return false;
}

static uint64_t bytes_left(const struct descriptor *d)
{
	struct stat st;

	if (d->kind != DESCRIPTOR_REGULAR || fstat(d->file->fd, &st) != 0)
		return 0;
	return (uint64_t)st.st_size > d->offset ? (uint64_t)st.st_size - d->offset : 0;
}

/* Files, an input at its end and an output that takes everything are always ready. */
static void poll_fd(struct poll *p, const struct wasi_subscription *s, struct wasi_event *event)
{
	uint64_t right = s->type == WASI_EVENT_FD_READ ? WASI_RIGHT_FD_READ : WASI_RIGHT_FD_WRITE;
	struct descriptor *d;
	uint32_t error = wasi_need(p->w, s->clock_or_fd, right | WASI_RIGHT_POLL_FD_READWRITE, &d);

	event->error = (uint16_t)error;
	if (error != 0)
		return;
	if (s->type == WASI_EVENT_FD_READ)
		event->nbytes = bytes_left(d);
	else
		event->nbytes = p->w->settings->options.transfer_max_bytes;
	if (d->kind == DESCRIPTOR_INPUT)
		event->flags = WASI_EVENTRW_HANGUP;
}

/* Writes the events that have happened. Returns 0, or EINVAL for an unknown kind of event. */
static uint32_t collect(struct poll *p)
{
	struct wasi_subscription s;

	for (uint32_t i = 0; i < p->count; i++) {
		struct wasi_event event;
		bool happened = true;

		subscription_at(p, i, &s);
		event = (struct wasi_event){.userdata = s.userdata, .type = s.type};
		if (s.type == WASI_EVENT_CLOCK)
			happened = poll_clock(p, &s, &event);
		else if (s.type == WASI_EVENT_FD_READ || s.type == WASI_EVENT_FD_WRITE)
			poll_fd(p, &s, &event);
		else
			return WASI_EINVAL;
		if (happened)
			add_event(p, &event);
	}
	return WASI_ESUCCESS;
}

uint32_t wasi_fn_poll_oneoff(struct wasi *w, struct guest_memory m, const uint64_t *a)
{
	uint64_t latest;
	struct poll p;
	uint32_t error = poll_take(w, m, a, &p);

	if (error != 0)
		return error;
	w->sleep_mono_ns = p.now_ns = clock_mono_ns();
	w->sleep_wall_ns = clock_wall_ns();
	error = collect(&p);
	if (error != 0)
		return error;
	if (p.event_count > 0)
		return guest_put_u32(m, p.result_address, p.event_count);
	latest = saturating_add(p.now_ns, w->settings->options.sleep_max_ns);
	w->sleep_deadline_ns = p.deadline_ns;
	w->wake_at_ns = MIN(p.deadline_ns, latest);
	w->asleep = true;
	return WASI_ESUCCESS;
}

enum wasi_outcome wasi_poll_finish(struct wasi *w, struct guest_memory m, const uint64_t *a,
				   uint32_t *result)
{
	struct poll p;

	OBJ_CHECK(w, WASI_MAGIC);
	must(w->asleep);
	w->asleep = false;
	*result = poll_take(w, m, a, &p);
	if (*result != 0)
		return WASI_DONE;
	p.now_ns = clock_mono_ns();
	p.now_ns = MAX(p.now_ns, w->sleep_deadline_ns);
	*result = collect(&p);
	if (*result == 0)
		*result = guest_put_u32(m, p.result_address, p.event_count);
	return WASI_DONE;
}
