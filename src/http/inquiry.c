#include "http/inquiry.h"

#include <errno.h>

static struct inquiry *self(struct client_call *call)
{
	struct inquiry *q = container_of(call, struct inquiry, call);

	OBJ_CHECK(q, INQUIRY_MAGIC);
	return q;
}

/* Nothing comes from the client any more. */
static void let_go(struct inquiry *q)
{
	loop_disarm(q->loop, &q->timer);
	body_set_consumer(&q->response_body, NULL, NULL);
	if (!q->call.complete)
		client_cancel(&q->call);
	replay_stop(&q->replay);
	q->over = true;
}

static void end(struct inquiry *q, int code)
{
	let_go(q);
	q->code = code;
	q->answered(q);
}

/* Keeps what has arrived. */
static void take(struct inquiry *q)
{
	struct body *b = &q->response_body;

	while (b->bytes > 0) {
		slice front = body_front(b);
		int r = front.n > q->body_bytes_max - q->body.n ? -EFBIG
								: spool_add(&q->body, front);

		if (r < 0) {
			end(q, r);
			return;
		}
		body_take(b, front.n);
	}
	if (body_finished(b))
		end(q, 0);
	else if (body_broken(b))
		end(q, b->abort_code);
}

static void on_body(struct body *b, void *consumer)
{
	struct inquiry *q = consumer;

	(void)b;
	OBJ_CHECK(q, INQUIRY_MAGIC);
	if (!q->over)
		take(q);
}

static void on_responded(struct client_call *call)
{
	struct inquiry *q = self(call);
	const struct response *r = &q->response;

	if (r->framing == FRAMING_LENGTH && r->content_length > q->body_bytes_max) {
		end(q, -EFBIG);
		return;
	}
	body_set_consumer(&q->response_body, on_body, q);
	take(q);
}

static void on_failed(struct client_call *call, int code)
{
	end(self(call), code);
}

/* What is left of the body is told to its consumer next. */
static void on_done(struct client_call *call)
{
	(void)self(call);
}

static void on_timer(struct timer *t)
{
	end(container_of(t, struct inquiry, timer), -ETIMEDOUT);
}

void inquiry_start(struct inquiry *q, struct client *client)
{
	q->magic = INQUIRY_MAGIC;
	spool_init(&q->body);
	body_init(&q->request_body, q->queue_bytes);
	body_init(&q->response_body, q->queue_bytes);
	fields_init(&q->response.fields, q->arena);
	fields_init(&q->trailers, q->arena);
	if (q->content != NULL)
		replay_start(&q->replay, q->loop, q->content, NULL, &q->request_body, NULL);
	else
		body_end(&q->request_body);
	q->call = (struct client_call){.magic = CALL_MAGIC,
				       .request = &q->request,
				       .target = q->target,
				       .request_body = &q->request_body,
				       .arena = q->arena,
				       .response = &q->response,
				       .response_body = &q->response_body,
				       .response_trailers = &q->trailers,
				       .responded = on_responded,
				       .failed = on_failed,
				       .done = on_done};
	loop_arm(q->loop, &q->timer, q->timeout_ms, on_timer);
	client_start(client, &q->call);
}

void inquiry_stop(struct inquiry *q)
{
	if (q->magic != INQUIRY_MAGIC)
		return;
	if (!q->over)
		let_go(q);
	body_free(&q->request_body);
	body_free(&q->response_body);
	spool_free(&q->body);
	q->magic = 0;
}
