#include <errno.h>

#include "core/clock.h"
#include "core/log.h"
#include "http/exchange.h"
#include "middleware/breaker.h"
#include "middleware/classes.h"
#include "middleware/make.h"
#include "middleware/shared_state.h"

/* Traefik takes the defaults where an option is 0 or less. */
#define CHECK_NS INT64_C(100000000)
#define FALLBACK_NS INT64_C(10000000000)
#define RECOVERY_NS INT64_C(10000000000)

struct shared_breaker {
	struct shared_state state; /* first */
	struct breaker breaker;
};

struct circuit_breaker {
	struct middleware middleware; /* first */
	int status;                   /* for those who may not pass */
	struct shared_state *state;   /* struct shared_breaker */
};

/* In the exchange's arena. */
struct breaker_visit {
	struct shared_state *state;
	struct shared_state *kept; /* a reference to it, once the middleware may be gone */
	uint64_t begun_ns;         /* 0: did not pass */
	int status;                /* of the response; 0: none */
};

static struct breaker *breaker_of(struct shared_state *s)
{
	return &container_of(s, struct shared_breaker, state)->breaker;
}

static uint64_t positive(int64_t ns, int64_t otherwise)
{
	return (uint64_t)(ns > 0 ? ns : otherwise);
}

static int init_breaker(struct shared_state *s, const struct dynamic_middleware *config,
			const struct middleware_world *world, struct weir_error *e)
{
	const struct dynamic_circuit_breaker *o = config->circuit_breaker;
	const struct breaker_times times = {
		.check_ns = positive(o->check_period_ns, CHECK_NS),
		.fallback_ns = positive(o->fallback_duration_ns, FALLBACK_NS),
		.recovery_ns = positive(o->recovery_duration_ns, RECOVERY_NS)};

	(void)world;
	return breaker_init(breaker_of(s), o->expression, &times, e);
}

static void free_breaker(struct shared_state *s)
{
	breaker_free(breaker_of(s));
}

static const struct shared_state_class breaker_class = {
	.type = "circuitBreaker",
	.bytes = sizeof(struct shared_breaker),
	.init = init_breaker,
	.free = free_breaker,
};

static void show(struct shared_state *s)
{
	atomic_store_explicit(&s->counters.open, !breaker_is_closed(breaker_of(s)),
			      memory_order_relaxed);
}

static bool passes(struct shared_state *s, uint64_t now_ns)
{
	bool yes;

	if (breaker_is_closed(breaker_of(s)))
		return true;
	shared_state_lock(s);
	yes = breaker_passes(breaker_of(s), now_ns);
	if (!yes)
		counter_add(&s->counters.refused, 1);
	show(s);
	shared_state_unlock(s);
	return yes;
}

static bool record(struct shared_state *s, const struct breaker_visit *v)
{
	uint64_t now_ns = clock_mono_ns();
	bool opened;

	shared_state_lock(s);
	opened = breaker_record(breaker_of(s), v->status, now_ns - v->begun_ns, now_ns);
	if (opened)
		counter_add(&s->counters.opened, 1);
	show(s);
	shared_state_unlock(s);
	return opened;
}

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	const struct circuit_breaker *c = container_of(m, struct circuit_breaker, middleware);
	struct breaker_visit *v = state;
	uint64_t now_ns = clock_mono_ns();

	v->state = c->state;
	if (passes(c->state, now_ns)) {
		v->begun_ns = now_ns;
		return MW_CONTINUE;
	}
	middleware_answer_status(x, c->status);
	return MW_ANSWERED;
}

static enum middleware_verdict on_response(struct middleware *m, struct exchange *x, void *state)
{
	struct breaker_visit *v = state;

	(void)m;
	v->status = x->response.status;
	return MW_CONTINUE;
}

/* The end of the body belongs to how long it took. */
static enum middleware_verdict on_sent(struct middleware *m, struct exchange *x, void *state)
{
	struct breaker_visit *v = state;

	(void)m;
	(void)x;
	if (v->begun_ns == 0)
		return MW_CONTINUE;
	/* The client left before there was an answer. */
	if (v->status == 0)
		v->status = 499;
	if (record(v->state, v))
		log_warn_with((LOG_TEXT("middlewareName", v->state->name),
			       LOG_STRING("middlewareType", "CircuitBreaker")),
			      "Circuit breaker opens");
	return MW_CONTINUE;
}

static void on_end(struct middleware *m, struct exchange *x, void *state)
{
	struct breaker_visit *v = state;

	(void)m;
	(void)x;
	shared_state_release(&v->kept);
}

static int detach(struct middleware *m, struct exchange *x, void *state)
{
	struct breaker_visit *v = state;

	(void)m;
	(void)x;
	if (v->kept == NULL)
		v->kept = shared_state_ref(v->state);
	return 0;
}

static void destroy(struct middleware **m)
{
	struct circuit_breaker *c = container_of(*m, struct circuit_breaker, middleware);

	shared_state_release(&c->state);
	middleware_free(m);
}

static const struct middleware_class class = {
	.name = "circuitBreaker",
	.state_bytes = sizeof(struct breaker_visit),
	.on_request = on_request,
	.on_response = on_response,
	.on_sent = on_sent,
	.on_end = on_end,
	.detach = detach,
	.destroy = destroy,
};

int circuit_breaker_create(struct middleware **m, const struct dynamic_middleware *config,
			   const struct middleware_world *world, struct weir_error *e)
{
	const struct dynamic_circuit_breaker *o = config->circuit_breaker;
	struct circuit_breaker *c;
	int r = 0;

	if (o->response_code < 200 || o->response_code > 999)
		return error_set(e, -EINVAL, "responseCode: %lld, expected one between 200 and 999",
				 (long long)o->response_code);
	c = middleware_new(sizeof *c, &class, config, e);
	if (c == NULL)
		return -ENOMEM;
	*m = &c->middleware;
	c->status = (int)o->response_code;
	r = shared_state_get(&c->state, &breaker_class, config, world, e);
	if (r < 0)
		destroy(m);
	return r;
}
