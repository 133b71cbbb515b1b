#include <errno.h>
#include <stdlib.h>

#include "core/map.h"
#include "middleware/classes.h"
#include "middleware/make.h"
#include "middleware/shared_state.h"
#include "middleware/source.h"

/* The requests of one source that are in flight: there is one for each source that has any. */
struct flight {
	int64_t count;
	size_t key_bytes;
	char key[];
};

struct flights {
	struct shared_state state; /* first */
	struct map map;            /* key to struct flight */
};

struct in_flight_req {
	struct middleware middleware; /* first */
	struct source source;
	int64_t amount;
	struct shared_state *state; /* struct flights */
};

/* In the exchange's arena. */
struct in_flight_visit {
	struct flight *flight;     /* NULL: not counted */
	struct shared_state *kept; /* one reference, by an exchange that has lost its middleware */
	struct exchange_ending ending;
};

static struct in_flight_req *self(struct middleware *m)
{
	return container_of(m, struct in_flight_req, middleware);
}

static struct flights *flights_of(struct shared_state *s)
{
	return container_of(s, struct flights, state);
}

static int init_flights(struct shared_state *s, const struct dynamic_middleware *config,
			const struct middleware_world *world, struct weir_error *e)
{
	(void)s, (void)config, (void)world, (void)e;
	return 0;
}

static void free_flights(struct shared_state *s)
{
	must(flights_of(s)->map.count == 0);
	map_free(&flights_of(s)->map);
}

static const struct shared_state_class flights_class = {
	.type = "inFlightReq",
	.bytes = sizeof(struct flights),
	.init = init_flights,
	.free = free_flights,
};

static struct flight *new_flight(struct flights *flights, slice key)
{
	struct flight *f = malloc(sizeof *f + key.n);

	if (f == NULL)
		return NULL;
	*f = (struct flight){.count = 0, .key_bytes = key.n};
	memcpy(f->key, key.p, key.n);
	if (map_put(&flights->map, slice_of(f->key, f->key_bytes), f) < 0) {
		free(f);
		return NULL;
	}
	counter_add(&flights->state.counters.sources, 1);
	return f;
}

/* Returns 1, 0 for too many, or -ENOMEM. */
static int enter(struct in_flight_req *p, slice key, struct flight **flight)
{
	struct flights *flights = flights_of(p->state);
	struct flight *f;
	int r = -ENOMEM;

	shared_state_lock(p->state);
	f = map_get(&flights->map, key);
	if ((f != NULL ? f->count : 0) >= p->amount) {
		counter_add(&p->state->counters.refused, 1);
		r = 0;
	} else if (f != NULL || (f = new_flight(flights, key)) != NULL) {
		f->count++;
		*flight = f;
		r = 1;
	}
	shared_state_unlock(p->state);
	return r;
}

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	struct in_flight_req *p = self(m);
	struct in_flight_visit *v = state;
	slice key = source_key(&p->source, x);
	int r = key.p != NULL ? enter(p, key, &v->flight) : -ENOMEM;
	slice text;

	if (r != 0)
		return r > 0 ? MW_CONTINUE : MW_FAILED;
	text = arena_format(&x->arena, "max connections reached: %lld", (long long)p->amount);
	exchange_answer(x, 429, text, false);
	return MW_ANSWERED;
}

static void leave(struct shared_state *s, struct flight *f)
{
	shared_state_lock(s);
	if (--f->count == 0) {
		(void)map_remove(&flights_of(s)->map, slice_of(f->key, f->key_bytes));
		counter_sub(&s->counters.sources, 1);
		free(f);
	}
	shared_state_unlock(s);
}

static void tunnel_ended(struct exchange_ending *e)
{
	struct in_flight_visit *v = container_of(e, struct in_flight_visit, ending);

	leave(v->kept, v->flight);
	shared_state_release(&v->kept);
}

/* A tunnel is in flight as long as it lasts, as in Traefik, although its middlewares are through
 * with it. */
static void on_end(struct middleware *m, struct exchange *x, void *state)
{
	struct in_flight_visit *v = state;

	if (v->flight != NULL && x->phase == EXCHANGE_TUNNEL) {
		v->kept = shared_state_ref(self(m)->state);
		exchange_at_end(x, &v->ending, tunnel_ended);
		return;
	}
	if (v->flight != NULL)
		leave(v->kept != NULL ? v->kept : self(m)->state, v->flight);
	v->flight = NULL;
	shared_state_release(&v->kept);
}

static int detach(struct middleware *m, struct exchange *x, void *state)
{
	struct in_flight_visit *v = state;

	(void)x;
	if (v->flight != NULL && v->kept == NULL)
		v->kept = shared_state_ref(self(m)->state);
	return 0;
}

static void destroy(struct middleware **m)
{
	struct in_flight_req *p = self(*m);

	shared_state_release(&p->state);
	source_free(&p->source);
	middleware_free(m);
}

static const struct middleware_class class = {
	.name = "inFlightReq",
	.state_bytes = sizeof(struct in_flight_visit),
	.on_request = on_request,
	.on_end = on_end,
	.detach = detach,
	.destroy = destroy,
};

int in_flight_req_create(struct middleware **m, const struct dynamic_middleware *config,
			 const struct middleware_world *world, struct weir_error *e)
{
	const struct dynamic_in_flight *options = config->in_flight_req;
	struct in_flight_req *p = middleware_new(sizeof *p, &class, config, e);
	int r;

	if (p == NULL)
		return -ENOMEM;
	*m = &p->middleware;
	p->amount = options->amount;
	r = source_init(&p->source, options->source_criterion, SOURCE_HOST, e);
	if (r < 0)
		error_prefix(e, "error creating requests limiter: ");
	else
		r = shared_state_get(&p->state, &flights_class, config, world, e);
	if (r < 0)
		destroy(m);
	return r;
}
