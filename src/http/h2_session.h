/*
 * An HTTP/2 connection of either side (RFC 9113): nghttp2 on a transport, and the bodies of its
 * streams with their flow control. Knows no requests and responses. nghttp2's callbacks only take
 * notes; owners are called when it has returned.
 */
#ifndef HTTP_H2_SESSION_H
#define HTTP_H2_SESSION_H

#include <nghttp2/nghttp2.h>

#include "http/h2_outbox.h"
#include "http/message.h"

/** The first bytes of a client. */
#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

/** RFC 9113 section 6.9.1; less, so that sums of two fit. */
#define H2_WINDOW_MAX (INT32_MAX / 2)

struct h2_options {
	uint32_t streams_max; /* Traefik http2.maxConcurrentStreams; of those that the peer opens */
	uint32_t decoder_table_bytes; /* …maxDecoderHeaderTableSize */
	uint32_t encoder_table_bytes; /* …maxEncoderHeaderTableSize */
	uint32_t window_bytes;        /* of each stream: what may wait for its receiver */
	size_t head_bytes_max;        /* names, values and 32 for each field */
	size_t fields_max;
	/* weir.limits.http2ControlFrames: frames that cost work and carry nothing, at once; a tenth
	 * of it each second. 0: any number. */
	uint32_t control_frames_max;
};

/** What has happened to a stream. */
enum h2_change {
	H2_HEAD = 1,   /* a head is complete; `field` was called for each line */
	H2_BODY = 2,   /* bytes, trailers or the end of the peer's body */
	H2_SENT = 8,   /* this side's message is complete, and sent */
	H2_CLOSED = 4, /* the last that is heard of it: both are done, or it was reset */
};

struct h2_session;
struct h2_stream;

/** The side's own part. Nothing here may be called from within nghttp2 by the owner. */
struct h2_session_ops {
	/** Within nghttp2: a stream of the peer's begins. NULL: it is refused. */
	struct h2_stream *(*begin)(struct h2_session *, int32_t id);
	/** Within nghttp2: one line of a head or (`trailer`) of the trailers. */
	void (*field)(struct h2_stream *, slice name, slice value, bool trailer);
	/** Within nghttp2: the lines of a head are complete. Returns whether it is the final one.
	 */
	bool (*head)(struct h2_stream *);
	/** Something has happened; the stream may be given up and end its owner, but not free the
	 * session. */
	void (*changed)(struct h2_stream *, unsigned changes);
	/** No byte was written for a while (`blocked`), or all is; only called when that changes or
	 * goes on. */
	void (*blocked)(struct h2_session *, bool blocked, bool progress);
	/** Within nghttp2: the peer has said how it is set. NULL: nobody wants to know. */
	void (*settings)(struct h2_session *);
	/** Within nghttp2: the peer opens no more streams here, or accepts none above `last`. */
	void (*leaving)(struct h2_session *, int32_t last);
	/** Within nghttp2: the peer knows that this side shuts down. */
	void (*pong)(struct h2_session *);
	/** There is nothing more to say: 0, or a negative errno. The owner frees the session, now.
	 */
	void (*over)(struct h2_session *, int error);
};

#define H2_SESSION_MAGIC 0x68327365u

/** Embedded in a connection. Lifetime: `h2_session_init` … `h2_session_free`. */
struct h2_session {
	uint32_t magic;
	bool server;
	bool out_blocked; /* the transport takes no more; its writability is waited for */
	bool flooded;     /* ended for a limit on control frames */
	bool stopped;     /* the owner wants no more reads */
	int error;
	const struct h2_session_ops *ops;
	nghttp2_session *ng;
	struct loop *loop;
	struct transport *io;
	struct buffer *in; /* what is being read into */
	enum buffer_class class;
	struct task flush;
	struct list streams, changed;
	size_t stream_count;
	size_t lingering; /* of them: closed, but their owners need the session for a while */
	uint32_t window_bytes;
	uint32_t glitches_max, glitches;
	uint64_t glitches_ms;
	uint64_t heard_ms; /* when the peer's last bytes came */
	uint64_t reset_ms; /* when this side last reset a stream; 0: never */
	struct h2_outbox out;
};

#define H2_STREAM_MAGIC 0x68327374u

/** Embedded in its owner, zeroed but for what the owner sets. Lifetime: `h2_stream_attach` …
 * `h2_stream_detach`. */
struct h2_stream {
	uint32_t magic;
	int32_t id;
	struct h2_session *session;
	struct list link;    /* in the session's streams */
	struct list change;  /* in the session's list of changed ones */
	unsigned changes;    /* h2_change */
	uint32_t error_code; /* with H2_CLOSED */
	/* From the peer. */
	struct body *in;         /* NULL: bytes are thrown away */
	struct fields *trailers; /* of `in`, may be NULL */
	struct buffer *gather;   /* of small pieces */
	uint64_t owed;           /* bytes for which the peer has not got credit again */
	bool in_heads;           /* the final head is complete: what follows are trailers */
	bool in_done;
	/* To the peer. */
	struct body *out; /* NULL: none */
	enum framing framing;
	uint64_t left;
	bool out_waiting; /* `out` is empty: nghttp2 has put the stream aside */
	bool out_done;
	bool reset;         /* by this side */
	bool two_way;       /* a tunnel: the peer's side goes on after this one's end */
	uint64_t stall_ms;  /* 0: none */
	struct timer timer; /* while bytes of `out` wait for the peer's window */
	void (*stalled)(struct h2_stream *);
};

/** Begins with the settings. The transport is open, and watched by the owner. Returns 0 or -ENOMEM.
 */
int h2_session_init(struct h2_session *s, struct transport *io, bool server,
		    const struct h2_options *options, const struct h2_session_ops *ops);

/** The owner has let go of all streams. Also of a zeroed one. */
void h2_session_free(struct h2_session *s);

/** The transport is ready. May end in `over`. */
void h2_session_on_ready(struct h2_session *s, int events);

/** Takes bytes that were read already, of `buffer`. May end in `over`. */
void h2_session_feed(struct h2_session *s, struct buffer *buffer, slice bytes);

/** What was submitted is written after the next poll, with all else of this turn. */
void h2_session_wake(struct h2_session *s);

/**
 * The peer is asked to begin no more streams: `pong` says that it knows. `final`: those that it may
 * have begun meanwhile are refused, and the session is over when the others have ended.
 */
void h2_session_shut(struct h2_session *s, bool final);

/** Counts a frame that costs work and carries nothing. */
void h2_session_glitch(struct h2_session *s);

/* h2_stream.c */

/** The stream with that number is `stream` from now on; `in` gets its bytes. */
void h2_stream_attach(struct h2_stream *stream, struct h2_session *s, int32_t id);

/** Nothing is heard of it any more. What the peer still sends is thrown away. */
void h2_stream_detach(struct h2_stream *stream);

/** Bytes of the peer go into `body`, which credits what is taken; `want` may be NULL. */
void h2_stream_receive(struct h2_stream *stream, struct body *body, body_want_fn *want,
		       struct fields *trailers);

/** Whether the peer's message is complete, without a byte of a body and without trailers. */
bool h2_stream_is_empty(const struct h2_stream *stream);

/** The peer's bytes are thrown away from now on. */
void h2_stream_drop_body(struct h2_stream *stream);

/** What `nghttp2_submit_*` gets for a body that follows the head: consumes `body`. */
nghttp2_data_provider h2_stream_send(struct h2_stream *stream, struct body *body,
				     enum framing framing, uint64_t length);

/** `out` has changed. For its consumer's callback. */
void h2_stream_wake(struct h2_stream *stream);

/** Ends it with an error; H2_CLOSED follows. */
void h2_stream_reset(struct h2_stream *stream, uint32_t error_code);

/** Notes a change; the owner is called when nghttp2 has returned. */
void h2_stream_note(struct h2_stream *stream, unsigned changes);

/** Within nghttp2: bytes of a body. */
void h2_stream_data(struct h2_stream *stream, slice bytes);

/** Within nghttp2: the peer's side is complete. */
void h2_stream_in_done(struct h2_stream *stream);

/** Within nghttp2: puts a frame of `n` bytes of the body into the outbox. Returns nghttp2's code.
 */
int h2_stream_put(struct h2_stream *stream, slice head, size_t n);

#endif
