#include "http/replay.h"

#include <errno.h>

/* Kept bytes in memory are passed on where they are; those in a file through a buffer. Returns
 * false when the body is full or broken. */
static bool push_kept(struct replay *r)
{
	slice memory = spool_memory(r->kept);

	while (r->at < r->kept->n) {
		struct buffer *b;
		ssize_t n;

		if (!body_has_room(r->out))
			return false;
		if (memory.p != NULL) {
			slice rest = slice_from_at(memory, r->at);

			body_push(r->out, NULL, slice_first(rest, BUFFER_LARGE_BYTES));
			r->at += MIN(rest.n, BUFFER_LARGE_BYTES);
			continue;
		}
		b = loop_buffer(r->loop, BUFFER_MEDIUM);
		n = b != NULL ? spool_read(r->kept, r->at, b->bytes, b->capacity) : -ENOBUFS;
		if (n > 0) {
			b->filled = (size_t)n;
			body_push(r->out, b, slice_of(b->bytes, (size_t)n));
			r->at += (uint64_t)n;
		}
		buffer_unref(&b);
		if (n <= 0) {
			body_abort(r->out, n < 0 ? (int)n : -EIO);
			return false;
		}
	}
	return true;
}

static void push(struct replay *r)
{
	struct body *rest = r->rest;

	if (r->out->state != BODY_OPEN || !push_kept(r))
		return;
	if (rest == NULL) {
		body_end(r->out);
		return;
	}
	while (rest->bytes > 0 && body_has_room(r->out))
		body_move(r->out, rest);
	if (body_finished(rest)) {
		r->out->trailers = rest->trailers;
		body_end(r->out);
	} else if (body_broken(rest)) {
		body_abort(r->out, rest->abort_code);
	}
}

static void on_rest(struct body *b, void *consumer)
{
	struct replay *r = consumer;

	(void)b;
	OBJ_CHECK(r, REPLAY_MAGIC);
	if (r->out->state != BODY_OPEN)
		return;
	push(r);
	body_notify(r->out);
}

static void want(struct body *b, void *producer)
{
	struct replay *r = producer;

	(void)b;
	OBJ_CHECK(r, REPLAY_MAGIC);
	push(r);
}

void replay_start(struct replay *r, struct loop *loop, const struct spool *kept, struct body *rest,
		  struct body *out, struct fields *trailers)
{
	replay_start_at(r, loop, kept, 0, rest, out, trailers);
}

void replay_start_at(struct replay *r, struct loop *loop, const struct spool *kept, uint64_t from,
		     struct body *rest, struct body *out, struct fields *trailers)
{
	*r = (struct replay){.magic = REPLAY_MAGIC,
			     .loop = loop,
			     .kept = kept,
			     .at = from,
			     .rest = rest,
			     .out = out};
	out->trailers = trailers;
	body_set_producer(out, want, r);
	if (rest != NULL)
		body_set_consumer(rest, on_rest, r);
	push(r);
}

void replay_stop(struct replay *r)
{
	if (r->magic != REPLAY_MAGIC)
		return;
	if (r->rest != NULL && r->rest->consumer == r)
		body_set_consumer(r->rest, NULL, NULL);
	if (r->out->producer == r)
		body_set_producer(r->out, NULL, NULL);
	r->magic = 0;
}
