#include "http/h2_outbox.h"

#include <errno.h>

static struct h2_outbox_piece *piece(struct h2_outbox *o, unsigned i)
{
	return &o->pieces[(o->first + i) % H2_OUTBOX_PIECES];
}

static void append(struct h2_outbox *o, struct buffer *buffer, slice bytes)
{
	struct h2_outbox_piece *last = o->count > 0 ? piece(o, o->count - 1) : NULL;

	o->bytes += bytes.n;
	if (last != NULL && last->buffer == buffer && last->p + last->n == bytes.p) {
		last->n += bytes.n;
		return;
	}
	must(o->count < H2_OUTBOX_PIECES);
	*piece(o, o->count++) = (struct h2_outbox_piece){buffer_ref(buffer), bytes.p, bytes.n};
}

int h2_outbox_copy(struct h2_outbox *o, struct loop *loop, slice bytes)
{
	while (bytes.n > 0) {
		struct buffer *b = o->block;
		size_t part;

		if (b == NULL || buffer_room(b) == 0) {
			buffer_unref(&o->block);
			b = o->block = loop_buffer(loop, BUFFER_SMALL);
			if (b == NULL)
				return -ENOBUFS;
		}
		part = MIN(bytes.n, buffer_room(b));
		memcpy(b->bytes + b->filled, bytes.p, part);
		append(o, b, slice_of(b->bytes + b->filled, part));
		b->filled += part;
		bytes = slice_from_at(bytes, part);
	}
	return 0;
}

int h2_outbox_take(struct h2_outbox *o, struct loop *loop, struct body *body, size_t n)
{
	while (n > 0) {
		const struct body_piece *front = &body->pieces[body->first];
		slice bytes = slice_first(body_front(body), n);
		int r = 0;

		/* What has no buffer may be gone before it is written. */
		if (front->buffer != NULL)
			append(o, front->buffer, bytes);
		else
			r = h2_outbox_copy(o, loop, bytes);
		if (r < 0)
			return r;
		body_take(body, bytes.n);
		n -= bytes.n;
	}
	return 0;
}

static void account(struct h2_outbox *o, size_t n)
{
	o->bytes -= n;
	while (n > 0) {
		struct h2_outbox_piece *p = piece(o, 0);
		size_t part = MIN(p->n, n);

		p->p += part;
		p->n -= part;
		n -= part;
		if (p->n > 0)
			return;
		buffer_unref(&p->buffer);
		o->first = (o->first + 1) % H2_OUTBOX_PIECES;
		o->count--;
	}
}

int h2_outbox_write(struct h2_outbox *o, struct transport *t)
{
	struct iovec v[H2_OUTBOX_PIECES];
	size_t offered = o->bytes;
	ssize_t n;

	if (o->count == 0)
		return 0;
	for (unsigned i = 0; i < o->count; i++) {
		const struct h2_outbox_piece *p = piece(o, i);

		v[i] = (struct iovec){(void *)(uintptr_t)p->p, p->n};
	}
	n = transport_writev(t, v, (int)o->count);
	if (n < 0)
		return (int)n;
	account(o, (size_t)n);
	if (o->count == 0)
		buffer_unref(&o->block);
	return (size_t)n < offered ? -EAGAIN : 0;
}

void h2_outbox_free(struct h2_outbox *o)
{
	for (unsigned i = 0; i < o->count; i++)
		buffer_unref(&piece(o, i)->buffer);
	buffer_unref(&o->block);
	o->first = o->count = 0;
	o->bytes = 0;
}
