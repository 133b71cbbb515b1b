#include "http/h2_session.h"

#include <errno.h>

#define CONNECTION_WINDOW_BYTES 1048576u
/* Rounds of filling and writing before other connections have their turn. */
#define ROUNDS_MAX 4u
/* Frames of our own that wait while the peer takes nothing: it is not listened to meanwhile. */
#define QUEUE_MAX 256u
/* How long what the peer had sent before it knew of a reset may be on its way. */
#define RESET_GRACE_MS 60000u

static struct h2_stream *stream_of(nghttp2_session *ng, int32_t id)
{
	struct h2_stream *stream = nghttp2_session_get_stream_user_data(ng, id);

	if (stream != NULL)
		OBJ_CHECK(stream, H2_STREAM_MAGIC);
	return stream;
}

void h2_session_glitch(struct h2_session *s)
{
	uint64_t now = loop_now_ms(s->loop), back;

	if (s->glitches_max == 0 || s->flooded)
		return;
	back = (now - s->glitches_ms) * s->glitches_max / 10000;
	if (back > 0) {
		s->glitches -= (uint32_t)MIN(back, s->glitches);
		s->glitches_ms = now;
	}
	if (++s->glitches <= s->glitches_max)
		return;
	s->flooded = true;
	(void)nghttp2_session_terminate_session(s->ng, NGHTTP2_ENHANCE_YOUR_CALM);
}

/*
 * A peer may send on a closed stream only as long as it need not know that this side has reset it
 * (RFC 9113 section 5.1). nghttp2 knows that only of streams that it keeps, which costs more memory
 * than the connection.
 */
static bool is_on_closed_stream(const struct h2_session *s, const nghttp2_frame_hd *head)
{
	uint64_t now = loop_now_ms(s->loop);

	return s->server && (head->type == NGHTTP2_DATA || head->type == NGHTTP2_HEADERS) &&
	       head->stream_id > 0 &&
	       head->stream_id <= nghttp2_session_get_last_proc_stream_id(s->ng) &&
	       nghttp2_session_find_stream(s->ng, head->stream_id) == NULL &&
	       (s->reset_ms == 0 || now - s->reset_ms > RESET_GRACE_MS);
}

static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *head, void *user)
{
	if (is_on_closed_stream(user, head))
		(void)nghttp2_session_terminate_session(ng, NGHTTP2_STREAM_CLOSED);
	return 0;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
	struct h2_session *s = user;

	if (s->server && frame->headers.cat == NGHTTP2_HCAT_REQUEST &&
	    stream_of(ng, frame->hd.stream_id) == NULL &&
	    s->ops->begin(s, frame->hd.stream_id) == NULL)
		(void)nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
						NGHTTP2_REFUSED_STREAM);
	return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
	struct h2_session *s = user;
	struct h2_stream *stream = stream_of(ng, frame->hd.stream_id);

	(void)flags;
	if (stream != NULL)
		s->ops->field(stream, slice_of((const char *)name, name_n),
			      slice_of((const char *)value, value_n), stream->in_heads);
	return 0;
}

static void end_head(struct h2_session *s, const nghttp2_frame *frame)
{
	struct h2_stream *stream = stream_of(s->ng, frame->hd.stream_id);

	if (stream == NULL)
		return;
	h2_stream_note(stream, stream->in_heads ? H2_BODY : H2_HEAD);
	if (!stream->in_heads)
		stream->in_heads = s->ops->head(stream);
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		h2_stream_in_done(stream);
}

static void end_data(struct h2_session *s, const nghttp2_frame *frame)
{
	struct h2_stream *stream = stream_of(s->ng, frame->hd.stream_id);
	bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

	if (frame->hd.length == 0 && !ends)
		h2_session_glitch(s);
	if (stream != NULL && ends)
		h2_stream_in_done(stream);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
	struct h2_session *s = user;
	bool ack = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;

	(void)ng;
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		end_head(s, frame);
		break;
	case NGHTTP2_DATA:
		end_data(s, frame);
		break;
	case NGHTTP2_PING:
		if (ack)
			s->ops->pong(s);
		else
			h2_session_glitch(s);
		break;
	case NGHTTP2_SETTINGS:
		if (!ack)
			h2_session_glitch(s);
		if (!ack && s->ops->settings != NULL)
			s->ops->settings(s);
		break;
	case NGHTTP2_PRIORITY:
	case NGHTTP2_RST_STREAM:
		h2_session_glitch(s);
		break;
	case NGHTTP2_GOAWAY:
		s->ops->leaving(s, frame->goaway.last_stream_id);
		break;
	default:
		break;
	}
	return 0;
}

/* Most are answered with a reset, which counts. */
static int on_bad_frame(nghttp2_session *ng, const nghttp2_frame *frame, int code, void *user)
{
	(void)ng;
	(void)frame;
	if (code != NGHTTP2_ERR_HTTP_HEADER && code != NGHTTP2_ERR_HTTP_MESSAGING &&
	    code != NGHTTP2_ERR_PROTO && code != NGHTTP2_ERR_STREAM_CLOSED &&
	    code != NGHTTP2_ERR_FLOW_CONTROL)
		h2_session_glitch(user);
	return 0;
}

/* What the peer has provoked costs as much as a reset by itself. */
static void note_reset(struct h2_session *s, uint32_t code)
{
	s->reset_ms = MAX(loop_now_ms(s->loop), 1);
	if (code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_STREAM_CLOSED ||
	    code == NGHTTP2_FLOW_CONTROL_ERROR)
		h2_session_glitch(s);
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
		   void *user)
{
	struct h2_stream *stream = stream_of(ng, id);

	(void)flags;
	(void)user;
	if (stream != NULL)
		h2_stream_data(stream, slice_of((const char *)p, n));
	else
		(void)nghttp2_session_consume(ng, id, n);
	return 0;
}

static int on_close(nghttp2_session *ng, int32_t id, uint32_t error_code, void *user)
{
	struct h2_stream *stream = stream_of(ng, id);

	(void)user;
	if (stream == NULL)
		return 0;
	stream->error_code = error_code;
	h2_stream_note(stream, H2_CLOSED);
	return 0;
}

static int on_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
	struct h2_session *s = user;
	struct h2_stream *stream;

	if (frame->hd.type == NGHTTP2_RST_STREAM)
		note_reset(s, frame->rst_stream.error_code);
	/* When the answer is here, so is all that the peer began before it knew. */
	if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.last_stream_id == INT32_MAX)
		(void)nghttp2_submit_ping(ng, NGHTTP2_FLAG_NONE, NULL);
	if ((frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) ||
	    !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	stream = stream_of(ng, frame->hd.stream_id);
	if (stream == NULL)
		return 0;
	stream->out_done = true;
	h2_stream_note(stream, H2_SENT);
	loop_disarm(s->loop, &stream->timer);
	/* Answered before the request's body is here: the rest is of no use (RFC 9113 section 8.1).
	 */
	if (s->server && !stream->in_done && !stream->two_way)
		(void)nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, stream->id,
						NGHTTP2_NO_ERROR);
	return 0;
}

/* What cannot be sent, such as a head that is too long for its table, must not be waited for.
 * Streams that a request would have opened are closed by nghttp2; a reset would be of a stream that
 * the peer has never seen. */
static int on_not_sent(nghttp2_session *ng, const nghttp2_frame *frame, int code, void *user)
{
	(void)code;
	(void)user;
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat != NGHTTP2_HCAT_REQUEST &&
	    stream_of(ng, frame->hd.stream_id) != NULL)
		(void)nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
						NGHTTP2_INTERNAL_ERROR);
	return 0;
}

static int put_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t n,
		    nghttp2_data_source *source, void *user)
{
	struct h2_session *s = user;
	struct h2_stream *stream = stream_of(ng, frame->hd.stream_id);

	(void)source;
	must(n <= H2_FRAME_BYTES);
	if (!h2_outbox_has_room(&s->out))
		return NGHTTP2_ERR_WOULDBLOCK;
	if (stream == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	return h2_stream_put(stream, slice_of((const char *)head, H2_FRAME_HEAD_BYTES), n);
}

static int set_callbacks(nghttp2_session_callbacks **made)
{
	nghttp2_session_callbacks *c;

	if (nghttp2_session_callbacks_new(made) != 0)
		return -ENOMEM;
	c = *made;
	nghttp2_session_callbacks_set_on_begin_frame_callback(c, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(c, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_bad_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(c, on_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(c, on_sent);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_not_sent);
	nghttp2_session_callbacks_set_send_data_callback(c, put_data);
	return 0;
}

static int set_options(nghttp2_option **made, const struct h2_options *o)
{
	uint64_t burst = o->control_frames_max > 0 ? o->control_frames_max : UINT32_MAX;

	if (nghttp2_option_new(made) != 0)
		return -ENOMEM;
	nghttp2_option_set_no_auto_window_update(*made, 1);
	nghttp2_option_set_no_closed_streams(*made, 1);
	nghttp2_option_set_max_deflate_dynamic_table_size(*made, o->encoder_table_bytes);
	/* A head of the longest kind in whole frames, and a few short ones. */
	nghttp2_option_set_max_continuations(*made, o->head_bytes_max / H2_FRAME_BYTES + 8);
	/* Resets are counted among all glitches. */
	nghttp2_option_set_stream_reset_rate_limit(*made, burst, burst);
	return 0;
}

static int submit_settings(struct h2_session *s, const struct h2_options *o)
{
	nghttp2_settings_entry list[6];
	size_t n = 0;

	if (s->server) {
		list[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
						     o->streams_max};
		list[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1};
	} else {
		list[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
	}
	if (o->decoder_table_bytes != NGHTTP2_DEFAULT_HEADER_TABLE_SIZE)
		list[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_HEADER_TABLE_SIZE,
						     o->decoder_table_bytes};
	list[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, o->window_bytes};
	list[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
					     (uint32_t)MIN(o->head_bytes_max, UINT32_MAX)};
	if (nghttp2_submit_settings(s->ng, NGHTTP2_FLAG_NONE, list, n) != 0)
		return -ENOMEM;
	if (nghttp2_session_set_local_window_size(
		    s->ng, NGHTTP2_FLAG_NONE, 0,
		    (int32_t)MAX(CONNECTION_WINDOW_BYTES, o->window_bytes)) != 0)
		return -ENOMEM;
	return 0;
}

static int make(struct h2_session *s, const struct h2_options *o)
{
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_option *option = NULL;
	int r = set_callbacks(&callbacks);

	if (r == 0)
		r = set_options(&option, o);
	if (r == 0)
		r = s->server ? nghttp2_session_server_new2(&s->ng, callbacks, s, option)
			      : nghttp2_session_client_new2(&s->ng, callbacks, s, option);
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_option_del(option);
	return r == 0 ? submit_settings(s, o) : -ENOMEM;
}

static void on_flush(struct task *t);

int h2_session_init(struct h2_session *s, struct transport *io, bool server,
		    const struct h2_options *options, const struct h2_session_ops *ops)
{
	int r;

	*s = (struct h2_session){.magic = H2_SESSION_MAGIC,
				 .server = server,
				 .ops = ops,
				 .loop = io->loop,
				 .io = io,
				 .window_bytes = options->window_bytes,
				 .glitches_max = options->control_frames_max,
				 .glitches_ms = loop_now_ms(io->loop),
				 .heard_ms = loop_now_ms(io->loop)};
	s->flush.run = on_flush;
	list_init(&s->streams);
	list_init(&s->changed);
	r = make(s, options);
	if (r < 0)
		h2_session_free(s);
	else
		h2_session_wake(s);
	return r;
}

void h2_session_free(struct h2_session *s)
{
	if (s->magic == 0)
		return;
	OBJ_CHECK(s, H2_SESSION_MAGIC);
	must(list_empty(&s->streams));
	loop_cancel(s->loop, &s->flush);
	nghttp2_session_del(s->ng);
	s->ng = NULL;
	buffer_unref(&s->in);
	h2_outbox_free(&s->out);
	s->magic = 0;
}

void h2_session_wake(struct h2_session *s)
{
	OBJ_CHECK(s, H2_SESSION_MAGIC);
	if (!s->out_blocked)
		loop_defer(s->loop, &s->flush);
}

void h2_session_shut(struct h2_session *s, bool final)
{
	if (final)
		(void)nghttp2_submit_goaway(s->ng, NGHTTP2_FLAG_NONE,
					    nghttp2_session_get_last_proc_stream_id(s->ng),
					    NGHTTP2_NO_ERROR, NULL, 0);
	else
		(void)nghttp2_submit_shutdown_notice(s->ng);
	h2_session_wake(s);
}

/* Tells the owners what nghttp2 has noted. */
static void settle(struct h2_session *s)
{
	struct list *e;

	while ((e = list_pop(&s->changed)) != NULL) {
		struct h2_stream *stream = container_of(e, struct h2_stream, change);
		unsigned changes = stream->changes;

		OBJ_CHECK(stream, H2_STREAM_MAGIC);
		stream->changes = 0;
		s->ops->changed(stream, changes);
	}
}

static bool is_choked(const struct h2_session *s)
{
	return s->out_blocked && nghttp2_session_get_outbound_queue_size(s->ng) > QUEUE_MAX;
}

static void watch(struct h2_session *s)
{
	transport_watch(s->io, (is_choked(s) ? 0 : TRANSPORT_READABLE) |
				       (s->out_blocked ? TRANSPORT_WRITABLE : 0));
}

/* The last step of everything that comes from the loop: the session may be gone afterwards. */
static void end_turn(struct h2_session *s)
{
	bool silent;

	settle(s);
	silent = nghttp2_session_want_read(s->ng) == 0 && nghttp2_session_want_write(s->ng) == 0 &&
		 s->out.count == 0 && s->lingering == 0;
	if (s->error < 0 || silent) {
		s->ops->over(s, s->error);
		return;
	}
	watch(s);
	if (!s->out_blocked && nghttp2_session_want_write(s->ng) != 0)
		h2_session_wake(s);
}

/* Frames that are ready go into the outbox as long as there is room. One call of nghttp2 may put
 * frames of DATA there, each of which asks for room, and then return one of another kind. */
static int fill(struct h2_session *s)
{
	while (h2_outbox_has_room(&s->out)) {
		const uint8_t *p;
		ssize_t n = nghttp2_session_mem_send(s->ng, &p);

		if (n < 0)
			return n == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;
		if (n == 0)
			break;
		must((size_t)n <= H2_FRAME_HEAD_BYTES + H2_FRAME_BYTES);
		if (h2_outbox_copy(&s->out, s->loop, slice_of((const char *)p, (size_t)n)) < 0)
			return -ENOBUFS;
	}
	return 0;
}

static void write_out(struct h2_session *s)
{
	bool was_blocked = s->out_blocked, progress = false;

	s->out_blocked = false;
	for (unsigned i = 0; i < ROUNDS_MAX && s->error == 0; i++) {
		size_t before;
		int r = fill(s);

		before = s->out.bytes;
		if (r == 0 && before == 0)
			break;
		if (r == 0)
			r = h2_outbox_write(&s->out, s->io);
		progress = progress || s->out.bytes < before;
		if (r == -EAGAIN)
			s->out_blocked = true;
		else
			s->error = r;
		if (r != 0)
			break;
	}
	if (was_blocked || s->out_blocked)
		s->ops->blocked(s, s->out_blocked, progress);
}

static void on_flush(struct task *t)
{
	struct h2_session *s = container_of(t, struct h2_session, flush);

	OBJ_CHECK(s, H2_SESSION_MAGIC);
	if (s->out_blocked)
		return;
	write_out(s);
	end_turn(s);
}

/* Bytes in `in` that nobody refers to any more are written over; else it is filled up. */
static bool make_room(struct h2_session *s)
{
	struct buffer *b = s->in;

	if (b != NULL && b->references == 1 && b->capacity == buffer_class_bytes(s->class))
		b->filled = 0;
	else if (b != NULL && buffer_room(b) <= b->capacity / 2)
		buffer_unref(&s->in);
	if (s->in == NULL)
		s->in = loop_buffer(s->loop, buffer_pool_is_short(&s->loop->buffers) ? BUFFER_SMALL
										     : s->class);
	return s->in != NULL;
}

static void remember_size(struct h2_session *s, size_t asked, size_t got)
{
	if (got == asked)
		s->class = BUFFER_MEDIUM;
	else if (got <= BUFFER_SMALL_BYTES / 2)
		s->class = BUFFER_SMALL;
}

static void take(struct h2_session *s, slice bytes)
{
	ssize_t n = nghttp2_session_mem_recv(s->ng, (const uint8_t *)bytes.p, bytes.n);

	if (n == NGHTTP2_ERR_FLOODED)
		s->flooded = true;
	if (n < 0)
		s->error = n == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;
}

static void read_in(struct h2_session *s)
{
	size_t room;
	ssize_t n;

	if (!make_room(s)) {
		s->error = -ENOBUFS;
		return;
	}
	room = buffer_room(s->in);
	n = transport_read(s->io, s->in->bytes + s->in->filled, room);
	if (n > 0) {
		slice bytes = slice_of(s->in->bytes + s->in->filled, (size_t)n);

		s->in->filled += (size_t)n;
		s->heard_ms = loop_now_ms(s->loop);
		remember_size(s, room, (size_t)n);
		take(s, bytes);
	} else if (n != -EAGAIN) {
		s->error = n == 0 ? -ECONNRESET : (int)n;
	}
	/* Held while a body needs it; an idle connection has none. */
	if (s->in->references == 1)
		buffer_unref(&s->in);
}

void h2_session_on_ready(struct h2_session *s, int events)
{
	OBJ_CHECK(s, H2_SESSION_MAGIC);
	if (events & TRANSPORT_WRITABLE && s->out_blocked)
		write_out(s);
	if (events & TRANSPORT_READABLE && s->error == 0 && !is_choked(s))
		read_in(s);
	end_turn(s);
}

void h2_session_feed(struct h2_session *s, struct buffer *buffer, slice bytes)
{
	OBJ_CHECK(s, H2_SESSION_MAGIC);
	if (bytes.n > 0) {
		s->in = buffer_ref(buffer);
		take(s, bytes);
		buffer_unref(&s->in);
	}
	end_turn(s);
}
