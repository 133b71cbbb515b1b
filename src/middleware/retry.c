#include <errno.h>
#include <math.h>

#include "core/clock.h"
#include "core/log.h"
#include "http/kept_body.h"
#include "middleware/classes.h"
#include "middleware/make.h"
#include "middleware/status_list.h"

/* What a pause is drawn from, as parts of it: as in the library that Traefik uses. */
#define PAUSE_LEAST 0.5
#define PAUSE_SPREAD 1.0
#define PAUSE_NS_MAX 60e9
#define FIRST_PAUSE_NS_MAX 9e18 /* fits into 64 bits */

struct retry {
	struct middleware middleware; /* first */
	unsigned attempts;
	uint64_t timeout_ns; /* 0: none */
	double pause_ns;     /* before the second attempt; 0: none */
	double pause_factor; /* from each to the next */
	struct kept_body_limits kept;
	bool on_network_error;
	bool any_method;
	struct arena arena; /* of `statuses` */
	struct status_list statuses;
};

/* X(NAME): where the visit is. */
#define RETRY_STAGES(X) \
	X(NEW) \
	X(READING) /* the request's body is being kept */ \
	X(GONE_IN) /* an attempt is under way */ \
	X(PAUSING) /* before the next one */

enum retry_stage {
#define X(name) RETRY_##name,
	RETRY_STAGES(X)
#undef X
};

/* How much of the request's body can be sent again. */
enum retry_body {
	RETRY_BODY_THERE, /* nothing is kept: as long as nobody takes of it */
	RETRY_BODY_BEGUN, /* the kept part, then the rest: as long as nobody takes of it */
	RETRY_BODY_KEPT,  /* all of it, any number of times */
};

/* The middleware's state in the exchange's arena. */
struct retry_visit {
	enum retry_stage stage;
	enum retry_body body;
	struct exchange *x;
	struct exchange_mark mark;
	uint64_t taken_before; /* of the body, when the mark was made */
	struct kept_body kept;
	struct timer timer;
	uint64_t begun_ns;
	unsigned attempts;
	double pause_ns;
	bool by_status;
};

static struct retry *self(struct middleware *m)
{
	return container_of(m, struct retry, middleware);
}

/* POST, PATCH and LOCK, and no others: so Traefik sees it. */
static bool may_repeat(const struct retry *r, const struct request *q)
{
	return r->any_method || (q->method_id != METHOD_POST && q->method_id != METHOD_PATCH &&
				 !slice_equal(q->method, SLICE("LOCK")));
}

static bool has_body(const struct request *q)
{
	return q->framing == FRAMING_CHUNKED ||
	       (q->framing == FRAMING_LENGTH && q->content_length > 0);
}

/* Keeps the body if a status may have the request made again. Returns 0, or -EAGAIN if there is
 * more to come. */
static int keep_body(const struct retry *r, struct exchange *x, struct retry_visit *v)
{
	int result;

	if (v->stage == RETRY_NEW) {
		v->x = x;
		v->begun_ns = clock_mono_ns();
		v->pause_ns = r->pause_ns;
		v->by_status = r->statuses.count > 0 && may_repeat(r, &x->request);
		v->stage = RETRY_READING;
	}
	if (!v->by_status || !has_body(&x->request))
		return 0;
	if (v->kept.magic == 0)
		kept_body_begin(&v->kept, x, x->request_body, &r->kept);
	result = kept_body_collect(&v->kept);
	if (result == -EAGAIN)
		return result;
	v->body = result == 0 ? RETRY_BODY_KEPT : RETRY_BODY_BEGUN;
	/* Too long, or there is no room: it goes on as it comes, once. */
	v->by_status = result == 0;
	return 0;
}

static int go_in_first(struct exchange *x, struct retry_visit *v)
{
	int result = exchange_mark(x, &v->mark);

	v->taken_before = v->mark.request_body->taken_bytes;
	if (v->body != RETRY_BODY_THERE)
		kept_body_deliver(&v->kept, &x->request_body, v->body == RETRY_BODY_BEGUN, NULL);
	return result;
}

static int go_in_again(struct exchange *x, struct retry_visit *v)
{
	int result = exchange_restore(x, &v->mark);

	if (v->body == RETRY_BODY_KEPT)
		kept_body_deliver(&v->kept, &x->request_body, false, NULL);
	else if (v->body == RETRY_BODY_BEGUN)
		x->request_body = &v->kept.out;
	return result;
}

static void on_due(struct timer *t)
{
	exchange_resume(container_of(t, struct retry_visit, timer)->x);
}

/* Between half of the pause and one and a half. */
static bool begin_pause(const struct retry *r, struct exchange *x, struct retry_visit *v)
{
	double chance = (double)(clock_mono_ns() % 1000) / 1000,
	       ns = v->pause_ns * (PAUSE_LEAST + PAUSE_SPREAD * chance);
	uint64_t ms = clock_ns_to_ms((int64_t)fmin(ns, FIRST_PAUSE_NS_MAX));

	if (v->pause_ns <= 0)
		return false;
	v->pause_ns = fmin(v->pause_ns * r->pause_factor, PAUSE_NS_MAX);
	v->stage = RETRY_PAUSING;
	/* 0 would be no timer. */
	loop_arm(x->loop, &v->timer, MAX(ms, 1), on_due);
	return true;
}

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	const struct retry *r = self(m);
	struct retry_visit *v = state;
	bool first = v->attempts == 0;

	if (r->attempts == 1)
		return MW_CONTINUE;
	if (first && keep_body(r, x, v) == -EAGAIN)
		return MW_PENDING;
	if (v->stage == RETRY_GONE_IN && begin_pause(r, x, v))
		return MW_PENDING;
	v->stage = RETRY_GONE_IN;
	v->attempts++;
	if ((first ? go_in_first(x, v) : go_in_again(x, v)) < 0)
		return MW_FAILED;
	/* They could not be taken back. */
	x->drops_interim = v->mark.drops_interim || v->attempts < r->attempts;
	return MW_CONTINUE;
}

/* Whether the body can be delivered once more. */
static bool has_body_still(const struct retry_visit *v)
{
	switch (v->body) {
	case RETRY_BODY_KEPT:
		return true;
	case RETRY_BODY_BEGUN:
		return !kept_body_is_taken(&v->kept);
	default:
		return v->mark.request_body->taken_bytes == v->taken_before;
	}
}

static bool is_worth_another(const struct retry *r, const struct exchange *x,
			     const struct retry_visit *v)
{
	if (r->timeout_ns > 0 && clock_mono_ns() - v->begun_ns >= r->timeout_ns)
		return false;
	if (r->on_network_error && x->reached_server && !x->request_sent)
		return true;
	return v->by_status && status_list_has(&r->statuses, x->response.status);
}

static enum middleware_verdict on_response(struct middleware *m, struct exchange *x, void *state)
{
	const struct retry *r = self(m);
	const struct retry_visit *v = state;

	if (v->attempts == 0 || v->attempts >= r->attempts || !is_worth_another(r, x, v) ||
	    !has_body_still(v))
		return MW_CONTINUE;
	log_debug_with((LOG_TEXT("middlewareName", m->name), LOG_STRING("middlewareType", "Retry"),
			LOG_INTEGER("status", x->response.status)),
		       "New attempt %u for request", v->attempts + 1);
	return MW_AGAIN;
}

static void on_end(struct middleware *m, struct exchange *x, void *state)
{
	struct retry_visit *v = state;

	(void)m;
	loop_disarm(x->loop, &v->timer);
	kept_body_end(&v->kept);
}

static void destroy(struct middleware **m)
{
	arena_free(&self(*m)->arena);
	middleware_free(m);
}

static const struct middleware_class class = {
	.name = "retry",
	.state_bytes = sizeof(struct retry_visit),
	.on_request = on_request,
	.on_response = on_response,
	.on_end = on_end,
	.detach = middleware_detach_nothing,
	.destroy = destroy,
};

static int fill(struct retry *r, const struct dynamic_retry *o, struct weir_error *e)
{
	if (o->status.count == 0 && o->disable_retry_on_network_error)
		return error_set(e, -EINVAL,
				 "retry middleware requires at least HTTP status codes or retry on "
				 "TCP");
	if (o->attempts <= 0 || o->attempts > UINT32_MAX)
		return error_set(e, -EINVAL, "incorrect (or empty) value for attempt (%lld)",
				 (long long)o->attempts);
	r->attempts = (unsigned)o->attempts;
	r->timeout_ns = (uint64_t)MAX(o->timeout_ns, 0);
	r->pause_ns = (double)MAX(o->initial_interval_ns, 0);
	/* The last pause is twice the first one. */
	r->pause_factor = r->attempts > 1 ? pow(2, 1.0 / (r->attempts - 1)) : 1;
	r->kept = (struct kept_body_limits){
		.memory_bytes = SPOOL_MEMORY_BYTES,
		.bytes_max = o->max_request_body_bytes >= 0 ? (uint64_t)o->max_request_body_bytes
							    : UINT64_MAX};
	r->on_network_error = !o->disable_retry_on_network_error;
	r->any_method = o->retry_non_idempotent_method;
	return status_list_parse(&r->statuses, o->status, &r->arena, e);
}

int retry_create(struct middleware **m, const struct dynamic_middleware *config,
		 const struct middleware_world *world, struct weir_error *e)
{
	struct retry *r = middleware_new(sizeof *r, &class, config, e);
	int result;

	(void)world;
	if (r == NULL)
		return -ENOMEM;
	*m = &r->middleware;
	arena_init(&r->arena, 256, 1 << 20);
	result = fill(r, config->retry, e);
	if (result < 0)
		destroy(m);
	return result;
}
