#include "http/body.h"

#include <errno.h>

void body_init(struct body *b, size_t limit_bytes)
{
	/* The pieces need no clearing; this runs twice per request. */
	b->magic = BODY_MAGIC;
	b->state = BODY_OPEN;
	b->abort_code = 0;
	b->first = b->count = 0;
	b->bytes = 0;
	b->takes_pipe = false;
	b->pipe = NULL;
	b->limit_bytes = MAX(limit_bytes, 1);
	b->taken_bytes = 0;
	b->stalled = false;
	b->stalls = 0;
	b->want = NULL;
	b->taken = NULL;
	b->ready = NULL;
	b->producer = b->consumer = NULL;
	b->trailers = NULL;
}

static struct body_piece *piece(struct body *b, unsigned i)
{
	return &b->pieces[(b->first + i) % BODY_PIECES];
}

void body_free(struct body *b)
{
	OBJ_CHECK(b, BODY_MAGIC);
	for (unsigned i = 0; i < b->count; i++)
		buffer_unref(&piece(b, i)->buffer);
	b->count = 0;
	pipe_give(&b->pipe);
	/* Whoever is let go later must not take this body for one that still refers to it. */
	b->producer = b->consumer = NULL;
	b->want = NULL;
	b->taken = NULL;
	b->ready = NULL;
	b->magic = 0;
}

void body_set_producer(struct body *b, body_want_fn *want, void *producer)
{
	OBJ_CHECK(b, BODY_MAGIC);
	b->want = want;
	b->taken = NULL;
	b->producer = producer;
	b->stalled = want != NULL;
}

void body_set_credit(struct body *b, body_want_fn *want, body_taken_fn *taken, void *producer)
{
	body_set_producer(b, want, producer);
	b->taken = taken;
}

/* A full body takes no more before half of it is gone, so that wake-ups stay rare. */
static bool half_empty(const struct body *b)
{
	return b->bytes <= b->limit_bytes / 2 && b->count <= BODY_PIECES / 2;
}

static void wake_producer(struct body *b)
{
	if (!b->stalled || b->state != BODY_OPEN || !half_empty(b))
		return;
	b->stalled = false;
	b->want(b, b->producer);
}

void body_set_consumer(struct body *b, body_ready_fn *ready, void *consumer)
{
	OBJ_CHECK(b, BODY_MAGIC);
	/* Bytes in a pipe are for the one who said that it takes them, or for nobody. */
	must(body_piped(b) == 0 || ready == NULL);
	b->takes_pipe = false;
	b->ready = ready;
	b->consumer = consumer;
	if (ready != NULL)
		wake_producer(b);
}

void body_shrink(struct body *b, size_t limit_bytes)
{
	OBJ_CHECK(b, BODY_MAGIC);
	b->limit_bytes = MIN(b->limit_bytes, MAX(limit_bytes, 1));
}

bool body_has_room(struct body *b)
{
	OBJ_CHECK(b, BODY_MAGIC);
	must(b->state == BODY_OPEN);
	if (b->bytes < b->limit_bytes && b->count < BODY_PIECES)
		return true;
	b->stalls += !b->stalled;
	b->stalled = b->want != NULL;
	return false;
}

void body_push(struct body *b, struct buffer *buffer, slice bytes)
{
	struct body_piece *last;

	OBJ_CHECK(b, BODY_MAGIC);
	must(b->state == BODY_OPEN);
	if (bytes.n == 0)
		return;
	b->bytes += bytes.n;
	last = b->count > 0 ? piece(b, b->count - 1) : NULL;
	if (last != NULL && last->buffer == buffer && last->p + last->n == bytes.p) {
		last->n += bytes.n;
		return;
	}
	must(b->count < BODY_PIECES);
	*piece(b, b->count++) =
		(struct body_piece){buffer != NULL ? buffer_ref(buffer) : NULL, bytes.p, bytes.n};
}

void body_accept_pipe(struct body *b)
{
	OBJ_CHECK(b, BODY_MAGIC);
	must(b->ready != NULL);
	b->takes_pipe = true;
}

ssize_t body_pipe_in(struct body *b, struct pipe_pool *pool, int fd, uint64_t n)
{
	ssize_t moved = -EINVAL;

	OBJ_CHECK(b, BODY_MAGIC);
	must(b->state == BODY_OPEN && b->takes_pipe && b->bytes < b->limit_bytes);
	if (b->pipe == NULL)
		b->pipe = pipe_take(pool);
	if (b->pipe != NULL)
		moved = pipe_fill(b->pipe, fd, (size_t)MIN(n, b->limit_bytes - b->bytes));
	if (moved > 0) {
		b->bytes += (size_t)moved;
	} else if (moved == -EAGAIN && b->pipe->bytes > 0) {
		b->stalls += !b->stalled;
		b->stalled = b->want != NULL;
	} else if (body_piped(b) == 0 && (moved == -EINVAL || moved == -ENOMEM)) {
		/* No pipe is to be had, or the socket cannot be spliced. */
		b->takes_pipe = false;
		return -EOPNOTSUPP;
	} else if (moved == -EAGAIN) {
		/* Perhaps there is what no pipe takes: urgent data, at which it stops. */
		return -EOPNOTSUPP;
	}
	return moved;
}

ssize_t body_pipe_out(struct body *b, int fd, uint64_t n)
{
	ssize_t moved;

	OBJ_CHECK(b, BODY_MAGIC);
	must(b->count == 0 && b->pipe != NULL);
	moved = pipe_drain(b->pipe, fd, (size_t)MIN(n, SIZE_MAX));
	if (moved < 0)
		return moved;
	b->bytes -= (size_t)moved;
	b->taken_bytes += (uint64_t)moved;
	if (b->taken != NULL)
		b->taken(b, b->producer, (size_t)moved);
	wake_producer(b);
	return moved;
}

void body_end(struct body *b)
{
	OBJ_CHECK(b, BODY_MAGIC);
	must(b->state == BODY_OPEN);
	b->state = BODY_ENDED;
}

void body_abort(struct body *b, int code)
{
	OBJ_CHECK(b, BODY_MAGIC);
	must(code < 0);
	if (b->state != BODY_OPEN)
		return;
	b->state = BODY_ABORTED;
	b->abort_code = code;
}

void body_notify(struct body *b)
{
	OBJ_CHECK(b, BODY_MAGIC);
	if (b->ready != NULL)
		b->ready(b, b->consumer);
}

int body_vectors(const struct body *b, struct iovec *v, int max, size_t limit)
{
	int n = 0;

	OBJ_CHECK(b, BODY_MAGIC);
	for (unsigned i = 0; i < b->count && n < max && limit > 0; i++) {
		const struct body_piece *p = &b->pieces[(b->first + i) % BODY_PIECES];
		size_t part = MIN(p->n, limit);

		v[n++] = (struct iovec){(void *)(uintptr_t)p->p, part};
		limit -= part;
	}
	return n;
}

slice body_front(const struct body *b)
{
	OBJ_CHECK(b, BODY_MAGIC);
	if (b->count == 0)
		return (slice){NULL, 0};
	return (slice){b->pieces[b->first].p, b->pieces[b->first].n};
}

void body_take(struct body *b, size_t n)
{
	const size_t all = n;

	OBJ_CHECK(b, BODY_MAGIC);
	must(n <= b->bytes);
	b->bytes -= n;
	b->taken_bytes += n;
	while (n > 0) {
		struct body_piece *p = &b->pieces[b->first];
		size_t part = MIN(p->n, n);

		p->p += part;
		p->n -= part;
		n -= part;
		if (p->n > 0)
			break;
		buffer_unref(&p->buffer);
		b->first = (b->first + 1) % BODY_PIECES;
		b->count--;
	}
	if (b->taken != NULL)
		b->taken(b, b->producer, all);
	wake_producer(b);
}

void body_move(struct body *to, struct body *from)
{
	struct body_piece p;

	OBJ_CHECK(from, BODY_MAGIC);
	must(from->count > 0);
	p = from->pieces[from->first];
	body_push(to, p.buffer, (slice){p.p, p.n});
	body_take(from, p.n);
}
