/*
 * A request of the proxy's own to another server, whose answer is read to its end: for whoever must
 * know all of it before anything else can happen.
 */
#ifndef HTTP_INQUIRY_H
#define HTTP_INQUIRY_H

#include "http/client.h"
#include "http/replay.h"

#define INQUIRY_MAGIC 0x696e7175u

/**
 * Embedded, zeroed. The caller fills in the first part and owns what it points to until
 * `inquiry_stop`. One loop.
 */
struct inquiry {
	uint32_t magic;
	/* From the caller. */
	struct loop *loop;
	struct arena *arena; /* for the answer's head */
	struct request request;
	slice target;
	const struct spool *content;        /* the request's body, with its framing; NULL: none */
	uint64_t body_bytes_max;            /* of the answer */
	uint64_t timeout_ms;                /* for all of it */
	size_t queue_bytes;                 /* as of an exchange's bodies */
	void (*answered)(struct inquiry *); /* once, when `code` is known; not after
					       `inquiry_stop`, but perhaps within `inquiry_start` */

	/* The answer. */
	int code; /* 0, or why there is none: -EFBIG for a long body, else as of calls */
	struct response response;
	struct spool body;

	/* Its own. */
	bool over;
	struct client_call call;
	struct timer timer;
	struct body request_body;
	struct body response_body;
	struct fields trailers;
	struct replay replay;
};

/** Sends the request; redirects are answers like others. */
void inquiry_start(struct inquiry *q, struct client *client);

/** Gives up what is in progress and frees the answer. Harmless if never started. */
void inquiry_stop(struct inquiry *q);

#endif
