#include "http/kept_body.h"

#include <errno.h>

static void on_again(struct task *t)
{
	exchange_resume(container_of(t, struct kept_body, again)->x);
}

static void on_ready(struct body *b, void *consumer)
{
	struct kept_body *k = consumer;

	(void)b;
	OBJ_CHECK(k, KEPT_BODY_MAGIC);
	loop_defer(k->x->loop, &k->again);
}

void kept_body_begin(struct kept_body *k, struct exchange *x, struct body *in,
		     const struct kept_body_limits *limits)
{
	must(k->magic == 0);
	k->magic = KEPT_BODY_MAGIC;
	k->x = x;
	k->in = in;
	k->bytes_max = limits->bytes_max;
	k->again.run = on_again;
	spool_init_within(&k->bytes, limits->memory_bytes);
	body_set_consumer(in, on_ready, k);
}

/* Returns 0 when all that waits is kept. */
static int keep(struct kept_body *k)
{
	struct body *b = k->in;

	while (b->bytes > 0) {
		slice front = body_front(b);
		int r = k->bytes.n + front.n > k->bytes_max ? -EFBIG : spool_add(&k->bytes, front);

		if (r < 0)
			return r;
		body_take(b, front.n);
	}
	return 0;
}

int kept_body_collect(struct kept_body *k)
{
	int r;

	OBJ_CHECK(k, KEPT_BODY_MAGIC);
	r = keep(k);
	if (r == 0 && body_broken(k->in))
		r = k->in->abort_code;
	else if (r == 0 && !body_finished(k->in))
		return -EAGAIN;
	body_set_consumer(k->in, NULL, NULL);
	loop_cancel(k->x->loop, &k->again);
	return r;
}

static void take_back(struct kept_body *k)
{
	replay_stop(&k->replay);
	if (k->out.magic == BODY_MAGIC)
		body_free(&k->out);
}

void kept_body_deliver(struct kept_body *k, struct body **where, bool with_rest,
		       struct fields *trailers)
{
	OBJ_CHECK(k, KEPT_BODY_MAGIC);
	take_back(k);
	(void)exchange_put_stage(k->x, where, &k->out);
	replay_start(&k->replay, k->x->loop, &k->bytes, with_rest ? k->in : NULL, &k->out,
		     trailers);
}

bool kept_body_is_taken(const struct kept_body *k)
{
	OBJ_CHECK(k, KEPT_BODY_MAGIC);
	return k->out.magic == BODY_MAGIC && k->out.taken_bytes > 0;
}

void kept_body_end(struct kept_body *k)
{
	if (k->magic == 0)
		return;
	OBJ_CHECK(k, KEPT_BODY_MAGIC);
	loop_cancel(k->x->loop, &k->again);
	if (k->in->consumer == k)
		body_set_consumer(k->in, NULL, NULL);
	take_back(k);
	spool_free(&k->bytes);
	k->magic = 0;
}
