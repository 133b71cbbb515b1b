#include <errno.h>

#include "http/h2_session.h"

/* The bodies of streams: what comes in with its credit, what goes out with its time-out. */

/* A piece that is smaller than this part of its block is copied, so that small pieces do not hold
 * large blocks. */
#define WORTHY_PART 4u
/* From here on pieces are gathered in one block that has room for all that the peer has credit for.
 */
#define PIECES_APART (BODY_PIECES - 2u)

void h2_stream_note(struct h2_stream *stream, unsigned changes)
{
	OBJ_CHECK(stream, H2_STREAM_MAGIC);
	stream->changes |= changes;
	if (!list_linked(&stream->change))
		list_append(&stream->session->changed, &stream->change);
}

void h2_stream_attach(struct h2_stream *stream, struct h2_session *s, int32_t id)
{
	stream->magic = H2_STREAM_MAGIC;
	stream->session = s;
	stream->id = id;
	list_append(&s->streams, &stream->link);
	s->stream_count++;
	(void)nghttp2_session_set_stream_user_data(s->ng, id, stream);
}

static void give_back(struct h2_stream *stream, size_t n)
{
	struct h2_session *s = stream->session;

	stream->owed -= n;
	if (stream->in_done)
		(void)nghttp2_session_consume_connection(s->ng, n);
	else
		(void)nghttp2_session_consume(s->ng, stream->id, n);
	h2_session_wake(s);
}

/* The receiver has taken bytes: only now the peer may send as many again. */
static void on_taken(struct body *b, void *producer, size_t n)
{
	struct h2_stream *stream = producer;

	(void)b;
	OBJ_CHECK(stream, H2_STREAM_MAGIC);
	give_back(stream, MIN(n, stream->owed));
}

static bool is_mine(const struct h2_stream *stream)
{
	return stream->in != NULL && stream->in->producer == stream;
}

void h2_stream_drop_body(struct h2_stream *stream)
{
	if (is_mine(stream))
		body_set_producer(stream->in, NULL, NULL);
	stream->in = NULL;
	buffer_unref(&stream->gather);
	if (stream->owed > 0)
		give_back(stream, stream->owed);
}

void h2_stream_detach(struct h2_stream *stream)
{
	struct h2_session *s = stream->session;

	OBJ_CHECK(stream, H2_STREAM_MAGIC);
	h2_stream_drop_body(stream);
	loop_disarm(s->loop, &stream->timer);
	list_remove(&stream->change);
	list_remove(&stream->link);
	s->stream_count--;
	(void)nghttp2_session_set_stream_user_data(s->ng, stream->id, NULL);
	stream->magic = 0;
}

void h2_stream_receive(struct h2_stream *stream, struct body *body, body_want_fn *want,
		       struct fields *trailers)
{
	stream->in = body;
	stream->trailers = trailers;
	body_set_credit(body, want, on_taken, stream);
}

bool h2_stream_is_empty(const struct h2_stream *stream)
{
	const struct body *b = stream->in;

	return stream->in_done && b != NULL && b->bytes == 0 && b->taken_bytes == 0 &&
	       b->trailers == NULL;
}

/* A block with room for `n` bytes behind what it has. What is gathered never passes the window. */
static struct buffer *gatherer(struct h2_stream *stream, size_t n)
{
	struct h2_session *s = stream->session;
	struct buffer *b = stream->gather;

	if (b != NULL && buffer_room(b) >= n)
		return b;
	buffer_unref(&stream->gather);
	if (stream->in->count < PIECES_APART && n <= BUFFER_MEDIUM_BYTES)
		stream->gather = loop_buffer(s->loop, n <= BUFFER_SMALL_BYTES / 2 ? BUFFER_SMALL
										  : BUFFER_MEDIUM);
	else
		stream->gather = buffer_get_bytes(&s->loop->buffers, MAX(s->window_bytes, n));
	return stream->gather;
}

static bool is_worthy(const struct h2_stream *stream, slice bytes)
{
	const struct buffer *in = stream->session->in;

	return stream->in->count < PIECES_APART && bytes.n * WORTHY_PART >= in->capacity &&
	       bytes.p >= in->bytes && bytes.p + bytes.n <= in->bytes + in->capacity;
}

void h2_stream_data(struct h2_stream *stream, slice bytes)
{
	struct h2_session *s = stream->session;
	struct buffer *b;

	stream->owed += bytes.n;
	if (stream->in == NULL || stream->in->state != BODY_OPEN) {
		give_back(stream, bytes.n);
		return;
	}
	if (is_worthy(stream, bytes)) {
		body_push(stream->in, s->in, bytes);
	} else {
		b = gatherer(stream, bytes.n);
		if (b == NULL || (stream->in->count == BODY_PIECES && b->filled == 0)) {
			body_abort(stream->in, -ENOBUFS);
			give_back(stream, bytes.n);
		} else {
			memcpy(b->bytes + b->filled, bytes.p, bytes.n);
			body_push(stream->in, b, slice_of(b->bytes + b->filled, bytes.n));
			b->filled += bytes.n;
		}
	}
	h2_stream_note(stream, H2_BODY);
}

void h2_stream_in_done(struct h2_stream *stream)
{
	struct body *b = stream->in;

	stream->in_done = true;
	if (b != NULL && b->state == BODY_OPEN) {
		if (stream->trailers != NULL && stream->trailers->count > 0)
			b->trailers = stream->trailers;
		body_end(b);
	}
	buffer_unref(&stream->gather);
	h2_stream_note(stream, H2_BODY);
}

static void on_stall(struct timer *t)
{
	struct h2_stream *stream = container_of(t, struct h2_stream, timer);

	OBJ_CHECK(stream, H2_STREAM_MAGIC);
	stream->stalled(stream);
}

/* nghttp2 asks for lines in its own shape. */
static int submit_trailers(struct h2_stream *stream, const struct fields *f)
{
	nghttp2_nv *list = ARENA_ARRAY(f->arena, nghttp2_nv, f->count);

	if (list == NULL)
		return NGHTTP2_ERR_NOMEM;
	for (size_t i = 0; i < f->count; i++)
		list[i] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)f->list[i].name.p,
				       .namelen = f->list[i].name.n,
				       .value = (uint8_t *)(uintptr_t)f->list[i].value.p,
				       .valuelen = f->list[i].value.n};
	return nghttp2_submit_trailer(stream->session->ng, stream->id, list, f->count);
}

/* The last bytes are on their way: does the body hold what the head said? */
static ssize_t last(struct h2_stream *stream, size_t n, uint32_t *flags)
{
	const struct fields *trailers = stream->out->trailers;

	if (stream->framing == FRAMING_LENGTH && stream->left != n)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (trailers == NULL || trailers->count == 0)
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
	if (submit_trailers(stream, trailers) != 0)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	return (ssize_t)n;
}

static ssize_t offer(nghttp2_session *ng, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
		     nghttp2_data_source *source, void *user)
{
	struct h2_stream *stream = nghttp2_session_get_stream_user_data(ng, id);
	struct body *b;
	size_t n;

	(void)to;
	(void)source;
	(void)user;
	if (stream == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	b = stream->out;
	n = MIN(room, b->bytes);
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (b->bytes == 0 && b->state == BODY_OPEN) {
		stream->out_waiting = true;
		loop_disarm(stream->session->loop, &stream->timer);
		return NGHTTP2_ERR_DEFERRED;
	}
	if ((b->bytes == 0 && b->state == BODY_ABORTED) ||
	    (stream->framing == FRAMING_LENGTH && b->bytes > stream->left))
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (n == b->bytes && b->state == BODY_ENDED)
		return last(stream, n, flags);
	return (ssize_t)n;
}

int h2_stream_put(struct h2_stream *stream, slice head, size_t n)
{
	struct h2_session *s = stream->session;

	if (h2_outbox_copy(&s->out, s->loop, head) < 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (stream->framing == FRAMING_LENGTH)
		stream->left -= n;
	if (n > 0 && h2_outbox_take(&s->out, s->loop, stream->out, n) < 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (stream->out->bytes > 0)
		loop_arm(s->loop, &stream->timer, stream->stall_ms, on_stall);
	else
		loop_disarm(s->loop, &stream->timer);
	return 0;
}

nghttp2_data_provider h2_stream_send(struct h2_stream *stream, struct body *body,
				     enum framing framing, uint64_t length)
{
	stream->out = body;
	stream->framing = framing;
	stream->left = length;
	return (nghttp2_data_provider){.read_callback = offer};
}

void h2_stream_wake(struct h2_stream *stream)
{
	struct h2_session *s = stream->session;

	OBJ_CHECK(stream, H2_STREAM_MAGIC);
	if (stream->out_done)
		return;
	if (stream->out_waiting) {
		stream->out_waiting = false;
		(void)nghttp2_session_resume_data(s->ng, stream->id);
		h2_session_wake(s);
	}
	if (!timer_armed(&stream->timer) && stream->out->bytes > 0)
		loop_arm(s->loop, &stream->timer, stream->stall_ms, on_stall);
}

void h2_stream_reset(struct h2_stream *stream, uint32_t error_code)
{
	struct h2_session *s = stream->session;

	OBJ_CHECK(stream, H2_STREAM_MAGIC);
	loop_disarm(s->loop, &stream->timer);
	h2_stream_drop_body(stream);
	stream->reset = true;
	(void)nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, stream->id, error_code);
	h2_session_wake(s);
}
