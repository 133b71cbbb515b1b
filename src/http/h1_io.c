#include "http/h1_io.h"

#include <errno.h>

#define VECTORS_MAX (BODY_PIECES + 4)

/* A shorter rest of a body is copied: a pipe costs a system call more for each read. */
#define PIPE_BYTES_MIN ((uint64_t)64 * 1024)

/* Reads that fill their block get a larger one next time, those that leave most of it empty a
 * smaller one. */
static void remember_size(struct h1_receiver *r, size_t asked, size_t got)
{
	if (got == asked && r->class < BUFFER_LARGE)
		r->class ++;
	else if (r->class > BUFFER_SMALL && got <= buffer_class_bytes(r->class - 1) / 2)
		r->class --;
}

/* A block with room for more than `unread` bytes; a smaller one than wished for when buffers run
 * short. */
static struct buffer *take_block(const struct h1_receiver *r, struct loop *loop, size_t unread,
				 size_t head_bytes_max)
{
	enum buffer_class wished = buffer_pool_is_short(&loop->buffers) ? BUFFER_SMALL : r->class;
	struct buffer *b = NULL;

	if (unread >= BUFFER_LARGE_BYTES)
		return buffer_get_bytes(&loop->buffers, MIN(unread * 2, head_bytes_max));
	for (int class = BUFFER_LARGE; class >= BUFFER_SMALL && b == NULL; class --) {
		bool fits = buffer_class_bytes((enum buffer_class) class) > unread;
		bool needed = class == BUFFER_SMALL ||
			      buffer_class_bytes((enum buffer_class)(class - 1)) <= unread;

		if (fits && (class <= (int)wished || needed))
			b = loop_buffer(loop, (enum buffer_class) class);
	}
	return b;
}

/* A block with room behind the unread bytes, which move along if they must. */
static int make_room(struct h1_receiver *r, struct loop *loop, size_t head_bytes_max)
{
	size_t unread = r->in != NULL ? r->in->filled - r->at : 0;
	struct buffer *b;

	if (r->in != NULL && buffer_room(r->in) > 0)
		return 0;
	if (unread >= head_bytes_max)
		return -EMSGSIZE;
	b = take_block(r, loop, unread, head_bytes_max);
	if (b == NULL)
		return -ENOBUFS;
	if (unread > 0)
		memcpy(b->bytes, r->in->bytes + r->at, unread);
	b->filled = unread;
	buffer_unref(&r->in);
	r->in = b;
	r->at = 0;
	return 0;
}

static void drop_if_empty(struct h1_receiver *r)
{
	if (r->in == NULL || r->at < r->in->filled)
		return;
	buffer_unref(&r->in);
	r->at = 0;
}

ssize_t h1_receiver_fill(struct h1_receiver *r, struct transport *t, size_t head_bytes_max)
{
	int room = make_room(r, t->loop, head_bytes_max);
	size_t asked;
	ssize_t n;

	if (room < 0)
		return room;
	asked = buffer_room(r->in);
	n = transport_read(t, r->in->bytes + r->in->filled, asked);
	if (n > 0) {
		r->in->filled += (size_t)n;
		remember_size(r, asked, (size_t)n);
	} else {
		drop_if_empty(r);
	}
	return n;
}

void h1_receiver_skip(struct h1_receiver *r, size_t n)
{
	must(r->in != NULL && n <= r->in->filled - r->at);
	r->at += n;
	r->scanned = 0;
	/* What a body still holds is filled up, unless there is little room: many small segments
	 * must not take a block each. */
	if (r->in->references == 1 || buffer_room(r->in) <= r->in->capacity / 2)
		drop_if_empty(r);
}

void h1_receiver_begin_body(struct h1_receiver *r, enum framing framing, uint64_t length)
{
	r->framing = framing;
	r->left = length;
	r->body_bytes = 0;
	if (framing == FRAMING_CHUNKED)
		r->chunked = (struct h1_chunked){.trailer_bytes_max = r->chunked.trailer_bytes_max};
}

/* While buffers run short, a body whose receiver is slow keeps less waiting, from then on. */
static bool has_room(const struct h1_receiver *r, struct body *body)
{
	if (r->in != NULL && buffer_pool_is_short(r->in->pool))
		body_shrink(body, BUFFER_SMALL_BYTES);
	return body_has_room(body);
}

static enum h1_result decode_plain(struct h1_receiver *r, struct body *body)
{
	slice bytes = h1_receiver_bytes(r);

	if (r->framing == FRAMING_LENGTH)
		bytes = slice_first(bytes, r->left);
	if (bytes.n > 0 && has_room(r, body)) {
		body_push(body, r->in, bytes);
		r->body_bytes += bytes.n;
		if (r->framing == FRAMING_LENGTH)
			r->left -= bytes.n;
		h1_receiver_skip(r, bytes.n);
	}
	if (r->framing != FRAMING_LENGTH || r->left > 0)
		return H1_MORE;
	body_end(body);
	return H1_DONE;
}

static enum h1_result decode_chunked(struct h1_receiver *r, struct body *body,
				     struct fields *trailers)
{
	while (has_room(r, body)) {
		slice bytes = h1_receiver_bytes(r), before = bytes, data = {NULL, 0};
		enum h1_result found;

		if (bytes.n == 0)
			return H1_MORE;
		found = h1_chunked_next(&r->chunked, &bytes, &data, trailers);
		if (found == H1_DONE && data.n > 0) {
			body_push(body, r->in, data);
			r->body_bytes += data.n;
		}
		if (before.n > bytes.n)
			h1_receiver_skip(r, before.n - bytes.n);
		if (found == H1_DONE && data.n == 0) {
			h1_chunked_free(&r->chunked);
			body->trailers = trailers;
			body_end(body);
			return H1_DONE;
		}
		if (found != H1_DONE)
			return found;
	}
	return H1_MORE;
}

enum h1_result h1_receiver_decode(struct h1_receiver *r, struct body *body, struct fields *trailers)
{
	enum h1_result result = H1_DONE;

	if (r->framing == FRAMING_NONE)
		body_end(body);
	else if (r->framing == FRAMING_CHUNKED)
		result = decode_chunked(r, body, trailers);
	else
		result = decode_plain(r, body);
	if (result == H1_DONE)
		drop_if_empty(r);
	return result;
}

ssize_t h1_receiver_pipe(struct h1_receiver *r, struct transport *t, struct body *body)
{
	ssize_t n;

	if (r->framing != FRAMING_LENGTH || !body_accepts_pipe(body) || t->ops != NULL ||
	    (r->left < PIPE_BYTES_MIN && body->pipe == NULL) || h1_receiver_bytes(r).n > 0)
		return -EOPNOTSUPP;
	if (!body_has_room(body))
		return -EAGAIN;
	/* What the next head brings with it of such a body is little. */
	r->class = BUFFER_SMALL;
	buffer_unref(&r->in);
	r->at = 0;
	n = body_pipe_in(body, &t->loop->pipes, t->fd, r->left);
	if (n > 0) {
		r->left -= (uint64_t)n;
		r->body_bytes += (uint64_t)n;
	}
	return n;
}

void h1_receiver_free(struct h1_receiver *r)
{
	buffer_unref(&r->in);
	h1_chunked_free(&r->chunked);
	*r = (struct h1_receiver){0};
}

char *h1_sender_head(struct h1_sender *s, struct loop *loop, size_t head_bytes)
{
	struct buffer *old = s->head, *b;
	size_t unsent = old != NULL ? old->filled - s->head_at : 0;

	if (old != NULL && buffer_room(old) >= head_bytes)
		return old->bytes + old->filled;
	if (unsent + head_bytes <= BUFFER_SMALL_BYTES)
		b = loop_buffer(loop, BUFFER_SMALL);
	else
		b = buffer_get_bytes(&loop->buffers, unsent + head_bytes);
	if (b == NULL)
		return NULL;
	if (unsent > 0)
		memcpy(b->bytes, old->bytes + s->head_at, unsent);
	b->filled = unsent;
	buffer_unref(&s->head);
	s->head = b;
	s->head_at = 0;
	return b->bytes + b->filled;
}

void h1_sender_head_done(struct h1_sender *s, const char *end)
{
	must(end >= s->head->bytes + s->head->filled && end <= s->head->bytes + s->head->capacity);
	s->head->filled = (size_t)(end - s->head->bytes);
}

void h1_sender_body(struct h1_sender *s, struct body *body, enum framing framing, uint64_t length)
{
	s->body = framing == FRAMING_NONE ? NULL : body;
	s->framing = framing;
	s->left = framing == FRAMING_LENGTH ? length : 0;
	s->frame_at = s->frame_end = 0;
	s->last_chunk = false;
	s->error = 0;
}

/* The final chunk and the trailer section. */
static void close_chunks(struct h1_sender *s)
{
	const struct fields *t = s->body->trailers;

	str_add(&s->tail, SLICE("0\r\n"));
	for (size_t i = 0; t != NULL && i < t->count; i++) {
		str_add(&s->tail, t->list[i].name);
		str_add(&s->tail, SLICE(": "));
		str_add(&s->tail, t->list[i].value);
		str_add(&s->tail, SLICE("\r\n"));
	}
	str_add(&s->tail, SLICE("\r\n"));
	s->tail_at = 0;
	s->last_chunk = true;
}

/* Opens a chunk over all bytes that wait, or the final one, when the last piece of framing is out.
 */
static void frame_chunk(struct h1_sender *s)
{
	if (s->left > 0 || s->frame_at < s->frame_end || s->last_chunk)
		return;
	if (s->body->bytes > 0) {
		s->left = s->body->bytes;
		s->frame_at = 0;
		s->frame_end = (unsigned)(h1_write_chunk_size(s->frame, s->left) - s->frame);
	} else if (s->body->state == BODY_ENDED) {
		close_chunks(s);
	}
}

static void add_vector(struct iovec *v, int *n, const char *p, size_t size)
{
	if (size > 0)
		v[(*n)++] = (struct iovec){(void *)(uintptr_t)p, size};
}

static int gather(struct h1_sender *s, struct iovec *v)
{
	int n = 0;

	if (s->head != NULL)
		add_vector(v, &n, s->head->bytes + s->head_at, s->head->filled - s->head_at);
	if (s->body == NULL)
		return n;
	if (s->framing == FRAMING_CHUNKED) {
		frame_chunk(s);
		add_vector(v, &n, s->frame + s->frame_at, s->frame_end - s->frame_at);
		n += body_vectors(s->body, v + n, BODY_PIECES, s->left);
		/* The end of the chunk, and of the body, go out with its last byte. */
		if (s->left > 0)
			add_vector(v, &n, "\r\n", 2);
		if (s->left > 0 && s->left == s->body->bytes && s->body->state == BODY_ENDED &&
		    !s->last_chunk)
			close_chunks(s);
		if (s->tail.n > s->tail_at)
			add_vector(v, &n, s->tail.p + s->tail_at, s->tail.n - s->tail_at);
		return n;
	}
	return n + body_vectors(s->body, v + n, BODY_PIECES,
				s->framing == FRAMING_LENGTH ? s->left : SIZE_MAX);
}

static size_t used(size_t *n, size_t available)
{
	size_t part = MIN(*n, available);

	*n -= part;
	return part;
}

/* Accounts for `n` written bytes in the order in which `gather` offered them. */
static void account(struct h1_sender *s, size_t n)
{
	s->written += n;
	if (s->head != NULL) {
		s->head_at += used(&n, s->head->filled - s->head_at);
		if (s->head_at == s->head->filled) {
			buffer_unref(&s->head);
			s->head_at = 0;
		}
	}
	if (s->body == NULL)
		return;
	s->frame_at += (unsigned)used(&n, s->frame_end - s->frame_at);
	if (s->framing == FRAMING_CHUNKED) {
		size_t part = used(&n, s->left);

		if (part > 0) {
			body_take(s->body, part);
			s->left -= part;
			if (s->left == 0) {
				/* What remains of the line end is framing that is still to be
				 * written. */
				memcpy(s->frame, "\r\n", 2);
				s->frame_end = 2;
				s->frame_at = (unsigned)used(&n, 2);
			}
		}
		s->tail_at += used(&n, s->tail.n - s->tail_at);
	} else if (n > 0) {
		if (s->framing == FRAMING_LENGTH)
			s->left -= n;
		body_take(s->body, used(&n, n));
	}
	must(n == 0);
}

/* What a message that has nothing left to write amounts to. */
static enum h1_sent verdict(struct h1_sender *s)
{
	if (s->body == NULL)
		return H1_SENT_ALL;
	if (s->tail.failed || s->body->state == BODY_ABORTED)
		return H1_SENT_BROKEN;
	if (s->framing == FRAMING_CHUNKED)
		return s->last_chunk ? H1_SENT_ALL : H1_SENT_WAITING;
	if (s->framing == FRAMING_LENGTH && s->left == 0)
		return s->body->bytes > 0 ? H1_SENT_BROKEN : H1_SENT_ALL;
	if (s->body->state != BODY_ENDED)
		return H1_SENT_WAITING;
	return s->framing == FRAMING_CLOSE ? H1_SENT_ALL : H1_SENT_BROKEN;
}

bool h1_sender_takes_pipe(const struct h1_sender *s, const struct transport *t)
{
	return s->body != NULL && s->framing == FRAMING_LENGTH && t->ops == NULL;
}

/* What is in the body's pipe, behind everything else. Returns 0 when all of it is out. */
static int flush_pipe(struct h1_sender *s, struct transport *t)
{
	while (s->body != NULL && body_piped(s->body) > 0 && s->left > 0) {
		ssize_t n = body_pipe_out(s->body, t->fd, s->left);

		if (n < 0)
			return (int)n;
		s->written += (uint64_t)n;
		s->left -= (uint64_t)n;
	}
	return 0;
}

enum h1_sent h1_sender_flush(struct h1_sender *s, struct transport *t)
{
	for (;;) {
		struct iovec v[VECTORS_MAX];
		int count = gather(s, v);
		size_t offered = 0;
		ssize_t n;

		if (count == 0) {
			s->error = flush_pipe(s, t);
			if (s->error == 0)
				return verdict(s);
			return s->error == -EAGAIN ? H1_SENT_BLOCKED : H1_SENT_FAILED;
		}
		for (int i = 0; i < count; i++)
			offered += v[i].iov_len;
		n = transport_writev(t, v, count);
		if (n < 0) {
			s->error = (int)n;
			return n == -EAGAIN ? H1_SENT_BLOCKED : H1_SENT_FAILED;
		}
		account(s, (size_t)n);
		if ((size_t)n < offered)
			return H1_SENT_BLOCKED;
	}
}

bool h1_sender_pending(const struct h1_sender *s)
{
	return s->head != NULL || s->body != NULL;
}

void h1_sender_free(struct h1_sender *s)
{
	buffer_unref(&s->head);
	str_free(&s->tail);
	*s = (struct h1_sender){0};
}
