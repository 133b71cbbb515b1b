#include <errno.h>

#include "config/static.h"
#include "core/clock.h"
#include "middleware/classes.h"
#include "middleware/make.h"
#include "middleware/rate_redis.h"
#include "middleware/shared_state.h"
#include "middleware/source.h"

#define NS_PER_S 1000000000

struct rates {
	struct shared_state state; /* first */
	struct rate_buckets buckets;
};

struct rate_limit {
	struct middleware middleware; /* first */
	struct source source;
	struct shared_state *state; /* struct rates, or counters only; NULL: no limit */
	struct rate_redis *redis;   /* NULL: the buckets are in `state` */
};

enum rate_step { RATE_NEW, RATE_ASKING, RATE_ANSWERED, RATE_WAITS };

/* In the exchange's arena. */
struct rate_visit {
	enum rate_step step;
	struct timer timer;
	struct exchange *exchange;
	struct rate_limit *limit;
	struct rate_question *question; /* NULL: none */
};

static struct rates *rates_of(struct shared_state *s)
{
	return container_of(s, struct rates, state);
}

static struct rate_terms terms_of(const struct dynamic_rate_limit *o)
{
	return rate_terms_of(o->average, o->period_ns > 0 ? o->period_ns : NS_PER_S,
			     MAX(o->burst, 1));
}

static int init_rates(struct shared_state *s, const struct dynamic_middleware *config,
		      const struct middleware_world *world, struct weir_error *e)
{
	const struct rate_terms terms = terms_of(config->rate_limit);
	int r = rate_buckets_init(&rates_of(s)->buckets, &terms,
				  (size_t)world->limits->rate_limit_sources);

	return r < 0 ? error_set(e, r, "out of memory") : 0;
}

static void free_rates(struct shared_state *s)
{
	rate_buckets_free(&rates_of(s)->buckets);
}

static const struct shared_state_class rates_class = {
	.type = "rateLimit",
	.bytes = sizeof(struct rates),
	.init = init_rates,
	.free = free_rates,
};

static int init_counts(struct shared_state *s, const struct dynamic_middleware *config,
		       const struct middleware_world *world, struct weir_error *e)
{
	(void)s, (void)config, (void)world, (void)e;
	return 0;
}

static void free_counts(struct shared_state *s)
{
	(void)s;
}

/* Where the buckets are in Redis. */
static const struct shared_state_class counts_class = {
	.type = "rateLimit",
	.bytes = sizeof(struct shared_state),
	.init = init_counts,
	.free = free_counts,
};

static int take(struct shared_state *s, const struct rate_key *key, uint64_t *wait_ns)
{
	struct rate_buckets *b = &rates_of(s)->buckets;
	struct shared_state_counters *c = &s->counters;
	int answer;

	shared_state_lock(s);
	answer = rate_buckets_take(b, key, clock_mono_ns(), wait_ns);
	if (answer == RATE_REFUSE)
		counter_add(&c->refused, 1);
	else if (answer == RATE_WAIT)
		counter_add(&c->delayed, 1);
	atomic_store_explicit(&c->sources, b->count, memory_order_relaxed);
	atomic_store_explicit(&c->evicted, b->evicted, memory_order_relaxed);
	shared_state_unlock(s);
	return answer;
}

/* As Go writes durations. */
static void add_duration(struct str *out, uint64_t ns)
{
	option_add_duration(out, (int64_t)ns);
	if (!out->failed && ns >= 1000 && ns < 1000000) {
		out->n -= strlen("us");
		str_add(out, SLICE("µs"));
	}
}

static enum middleware_verdict refuse(struct exchange *x, uint64_t wait_ns)
{
	struct str in = {0};
	slice seconds = arena_format(&x->arena, "%llu",
				     (unsigned long long)((wait_ns + NS_PER_S - 1) / NS_PER_S));
	slice exact = {NULL, 0};

	middleware_answer_status(x, 429);
	add_duration(&in, wait_ns);
	if (!in.failed)
		exact = arena_copy(&x->arena, str_slice(&in));
	str_free(&in);
	if (seconds.p == NULL || exact.p == NULL ||
	    fields_add(&x->response.fields, SLICE("Retry-After"), seconds) < 0 ||
	    fields_add(&x->response.fields, SLICE("X-Retry-In"), exact) < 0)
		return MW_FAILED;
	return MW_ANSWERED;
}

static void on_due(struct timer *t)
{
	exchange_resume(container_of(t, struct rate_visit, timer)->exchange);
}

static enum middleware_verdict obey(struct rate_visit *v, int answer, uint64_t wait_ns)
{
	struct exchange *x = v->exchange;

	switch (answer) {
	case RATE_PASS:
		return MW_CONTINUE;
	case RATE_REFUSE:
		return refuse(x, wait_ns);
	case RATE_WAIT:
		v->step = RATE_WAITS;
		/* A timer of no time at all would never fire. */
		loop_arm(x->loop, &v->timer, MAX(clock_ns_to_ms((int64_t)wait_ns), 1), on_due);
		return MW_PENDING;
	default:
		return MW_FAILED;
	}
}

static void count_question(struct rate_visit *v)
{
	struct shared_state *s = v->limit->state;

	shared_state_lock(s);
	counter_add(&s->counters.asked, 1);
	counter_add(&s->counters.asking, 1);
	shared_state_unlock(s);
}

/* `answer` is 0 where nobody waits for it any more. */
static void count_answer(struct rate_visit *v, int answer)
{
	struct shared_state *s = v->limit->state;

	shared_state_lock(s);
	counter_sub(&s->counters.asking, 1);
	counter_add(&s->counters.failed, answer < 0);
	counter_add(&s->counters.refused, answer == RATE_REFUSE);
	counter_add(&s->counters.delayed, answer == RATE_WAIT);
	shared_state_unlock(s);
}

static enum middleware_verdict decide(struct rate_visit *v)
{
	const struct rate_question *q = v->question;

	if (q->answer >= 0)
		return obey(v, q->answer, q->wait_ns);
	exchange_answer(v->exchange, 500, SLICE("Could not insert/update bucket\n"), true);
	return MW_ANSWERED;
}

static void on_answered(struct rate_question *q)
{
	struct rate_visit *v = q->context;

	v->step = RATE_ANSWERED;
	count_answer(v, q->answer);
	exchange_resume(v->exchange);
}

static enum middleware_verdict ask(struct rate_visit *v, slice source)
{
	struct exchange *x = v->exchange;
	struct rate_question *q = ARENA_NEW(&x->arena, struct rate_question);

	if (q == NULL)
		return MW_FAILED;
	q->answered = on_answered;
	q->context = v;
	v->question = q;
	v->step = RATE_ASKING;
	count_question(v);
	rate_redis_ask(v->limit->redis, q, x->loop, &x->arena, source);
	return v->step == RATE_ANSWERED ? decide(v) : MW_PENDING;
}

static enum middleware_verdict begin(struct rate_visit *v)
{
	struct rate_limit *l = v->limit;
	slice source = source_key(&l->source, v->exchange);
	struct rate_key key;
	uint64_t wait_ns;
	int answer;

	if (source.p == NULL)
		return MW_FAILED;
	if (l->redis != NULL)
		return ask(v, source);
	rate_key_make(&key, source);
	answer = take(l->state, &key, &wait_ns);
	return obey(v, answer, wait_ns);
}

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	struct rate_limit *l = container_of(m, struct rate_limit, middleware);
	struct rate_visit *v = state;

	if (l->state == NULL)
		return MW_CONTINUE;
	switch (v->step) {
	case RATE_NEW:
		v->exchange = x;
		v->limit = l;
		return begin(v);
	case RATE_ANSWERED:
		return decide(v);
	case RATE_WAITS:
		return timer_armed(&v->timer) ? MW_PENDING : MW_CONTINUE;
	default:
		return MW_PENDING;
	}
}

static void on_end(struct middleware *m, struct exchange *x, void *state)
{
	struct rate_visit *v = state;

	(void)m;
	loop_disarm(x->loop, &v->timer);
	if (v->step == RATE_ASKING) {
		rate_question_stop(v->question);
		count_answer(v, 0);
	}
}

static void prepare(struct middleware *m, struct loop *loop)
{
	struct rate_limit *l = container_of(m, struct rate_limit, middleware);

	if (l->redis != NULL)
		rate_redis_prepare(l->redis, loop);
}

static void destroy(struct middleware **m)
{
	struct rate_limit *l = container_of(*m, struct rate_limit, middleware);

	rate_redis_destroy(&l->redis);
	shared_state_release(&l->state);
	source_free(&l->source);
	middleware_free(m);
}

static const struct middleware_class class = {
	.name = "rateLimit",
	.state_bytes = sizeof(struct rate_visit),
	.on_request = on_request,
	.on_end = on_end,
	/* Nobody is asked once the response has passed. */
	.detach = middleware_detach_nothing,
	.prepare = prepare,
	.destroy = destroy,
};

static int check(const struct dynamic_rate_limit *o, struct weir_error *e)
{
	struct str period = {0};
	int r = 0;

	if (o->period_ns < 0) {
		option_add_duration(&period, o->period_ns);
		r = error_set(e, -EINVAL, "negative value not valid for period: %.*s",
			      SLICE_ARG(str_slice(&period)));
		str_free(&period);
	}
	return r;
}

static int set_limit(struct rate_limit *l, const struct dynamic_middleware *config,
		     const struct middleware_world *world, struct weir_error *e)
{
	const bool is_shared = config->rate_limit->redis != NULL;
	const struct rate_terms terms = terms_of(config->rate_limit);
	int r = shared_state_get(&l->state, is_shared ? &counts_class : &rates_class, config, world,
				 e);

	if (r == 0 && is_shared)
		r = rate_redis_create(&l->redis, config, world, &terms, e);
	return r;
}

int rate_limit_create(struct middleware **m, const struct dynamic_middleware *config,
		      const struct middleware_world *world, struct weir_error *e)
{
	const struct dynamic_rate_limit *o = config->rate_limit;
	struct rate_limit *l = middleware_new(sizeof *l, &class, config, e);
	int r;

	if (l == NULL)
		return -ENOMEM;
	*m = &l->middleware;
	r = source_init(&l->source, o->source_criterion, SOURCE_ADDRESS, e);
	if (r < 0)
		error_prefix(e, "getting source extractor: ");
	if (r == 0)
		r = check(o, e);
	if (r == 0 && o->average > 0)
		r = set_limit(l, config, world, e);
	if (r < 0)
		destroy(m);
	return r;
}
