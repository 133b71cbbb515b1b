#include "middleware/compress_stage.h"

#include <errno.h>

#include "core/clock.h"

/* Others wait for no longer than this and one step. */
#define TURN_NS UINT64_C(500000)
#define STEP_BYTES ((size_t)8 * 1024)

/* As Traefik's proxy, which flushes what it has passed on so often. */
#define PATIENCE_MS 100u

static bool make_room(struct compress_stage *s)
{
	struct buffer *b = s->buffer;

	if (b != NULL && b->filled < b->capacity)
		return true;
	buffer_unref(&s->buffer);
	s->buffer = loop_buffer(s->x->loop, BUFFER_SMALL);
	return s->buffer != NULL;
}

/* One step. Returns as `encoder_run`, or -ENOBUFS. */
static int step(struct compress_stage *s, enum encoder_order order, slice bytes)
{
	size_t before = bytes.n, made, taken;
	struct buffer *b;
	int r;

	if (!make_room(s))
		return -ENOBUFS;
	b = s->buffer;
	r = encoder_run(s->encoder, order, &bytes, b->bytes + b->filled, b->capacity - b->filled,
			&made);
	body_push(&s->out, b, slice_of(b->bytes + b->filled, made));
	b->filled += made;
	taken = before - bytes.n;
	s->in_bytes += taken;
	s->unflushed |= taken > 0;
	if (taken > 0)
		body_take(s->in, taken);
	return r;
}

static void finish(struct compress_stage *s)
{
	s->out.trailers = s->in->trailers;
	body_end(&s->out);
	encoder_free(&s->encoder);
	buffer_unref(&s->buffer);
}

static void wait_for_more(struct compress_stage *s)
{
	if (s->unflushed && !timer_armed(&s->patience))
		loop_arm(s->x->loop, &s->patience, PATIENCE_MS, s->patience.fire);
}

/* Does what there is to do next. Returns false when there is nothing. */
static bool advance(struct compress_stage *s)
{
	slice front = slice_first(body_front(s->in), STEP_BYTES);
	int r;

	if (s->flushing) {
		r = step(s, ENCODER_FLUSH, (slice){NULL, 0});
		s->flushing = r == 0;
		s->unflushed &= r != 1;
	} else if (front.n > 0) {
		r = step(s, ENCODER_GO_ON, front);
	} else if (s->in->state == BODY_ENDED) {
		r = step(s, ENCODER_END, (slice){NULL, 0});
		if (r == 1)
			finish(s);
	} else if (s->in->state == BODY_ABORTED) {
		r = s->in->abort_code;
	} else if (s->unflushed && s->eager) {
		s->flushing = true;
		r = 0;
	} else {
		wait_for_more(s);
		return false;
	}
	if (r < 0)
		body_abort(&s->out, r);
	return s->out.state == BODY_OPEN;
}

/* Somebody else may use the body by now: a response can be replaced. */
static bool has_body(const struct compress_stage *s)
{
	return s->in->magic == BODY_MAGIC && s->in->consumer == s;
}

static void run(struct compress_stage *s)
{
	uint64_t until_ns = clock_mono_ns() + TURN_NS;

	if (!has_body(s))
		return;
	while (s->out.state == BODY_OPEN && body_has_room(&s->out) && advance(s)) {
		if (clock_mono_ns() < until_ns)
			continue;
		loop_defer(s->x->loop, &s->work);
		break;
	}
}

static void on_bytes(struct body *b, void *consumer)
{
	struct compress_stage *s = consumer;

	(void)b;
	OBJ_CHECK(s, COMPRESS_STAGE_MAGIC);
	run(s);
	body_notify(&s->out);
}

static void on_work(struct task *t)
{
	struct compress_stage *s = container_of(t, struct compress_stage, work);

	run(s);
	body_notify(&s->out);
}

static void on_patience(struct timer *t)
{
	struct compress_stage *s = container_of(t, struct compress_stage, patience);

	s->flushing = s->unflushed;
	run(s);
	body_notify(&s->out);
}

static void want(struct body *b, void *producer)
{
	struct compress_stage *s = producer;

	(void)b;
	OBJ_CHECK(s, COMPRESS_STAGE_MAGIC);
	run(s);
}

static bool take_place(struct compressions *all)
{
	if (atomic_fetch_add(&all->live, 1) < all->max)
		return true;
	(void)atomic_fetch_sub(&all->live, 1);
	(void)atomic_fetch_add(&all->refused, 1);
	return false;
}

int compress_stage_start(struct compress_stage *s, struct exchange *x, enum coding coding,
			 bool eager, struct compressions *all)
{
	struct encoder *e;

	if (!take_place(all))
		return -EBUSY;
	e = encoder_new(coding, all->window_bytes);
	if (e == NULL) {
		(void)atomic_fetch_sub(&all->live, 1);
		return -ENOMEM;
	}
	*s = (struct compress_stage){.magic = COMPRESS_STAGE_MAGIC,
				     .x = x,
				     .all = all,
				     .encoder = e,
				     .eager = eager,
				     .work.run = on_work,
				     .patience.fire = on_patience};
	s->in = exchange_put_stage(x, &x->response_body, &s->out);
	body_set_producer(&s->out, want, s);
	body_set_consumer(s->in, on_bytes, s);
	return 0;
}

void compress_stage_stop(struct compress_stage *s)
{
	if (s->magic != COMPRESS_STAGE_MAGIC)
		return;
	s->magic = 0;
	loop_cancel(s->x->loop, &s->work);
	loop_disarm(s->x->loop, &s->patience);
	if (has_body(s))
		body_set_consumer(s->in, NULL, NULL);
	(void)atomic_fetch_sub(&s->all->live, 1);
	(void)atomic_fetch_add(&s->all->responses, 1);
	(void)atomic_fetch_add(&s->all->in_bytes, s->in_bytes);
	(void)atomic_fetch_add(&s->all->out_bytes, s->out.taken_bytes);
	encoder_free(&s->encoder);
	buffer_unref(&s->buffer);
	body_free(&s->out);
}
