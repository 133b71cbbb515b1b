#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/map.h"
#include "middleware/classes.h"
#include "middleware/make.h"
#include "middleware/source.h"

/* The requests of one source that are in flight: there is one for each source that has any. */
struct flight {
	int64_t count;
	size_t key_bytes;
	char key[];
};

struct in_flight_req {
	struct middleware middleware; /* first */
	struct source source;
	int64_t amount;
	bool lock_made;

	/* Shared by workers, under `lock`. */
	pthread_mutex_t lock;
	struct map flights; /* key to struct flight */
};

/* In the exchange's arena. */
struct in_flight_visit {
	struct flight *flight; /* NULL: not counted */
};

static struct in_flight_req *self(struct middleware *m)
{
	return container_of(m, struct in_flight_req, middleware);
}

static struct flight *new_flight(struct in_flight_req *p, slice key)
{
	struct flight *f = malloc(sizeof *f + key.n);

	if (f == NULL)
		return NULL;
	*f = (struct flight){.count = 0, .key_bytes = key.n};
	memcpy(f->key, key.p, key.n);
	if (map_put(&p->flights, slice_of(f->key, f->key_bytes), f) < 0) {
		free(f);
		return NULL;
	}
	return f;
}

/* Returns 1, 0 for too many, or -ENOMEM. */
static int enter(struct in_flight_req *p, slice key, struct flight **flight)
{
	struct flight *f;
	int r = -ENOMEM;

	(void)pthread_mutex_lock(&p->lock);
	f = map_get(&p->flights, key);
	if ((f != NULL ? f->count : 0) >= p->amount) {
		r = 0;
	} else if (f != NULL || (f = new_flight(p, key)) != NULL) {
		f->count++;
		*flight = f;
		r = 1;
	}
	(void)pthread_mutex_unlock(&p->lock);
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

static void on_end(struct middleware *m, struct exchange *x, void *state)
{
	struct in_flight_req *p = self(m);
	struct in_flight_visit *v = state;
	struct flight *f = v->flight;

	(void)x;
	if (f == NULL)
		return;
	v->flight = NULL;
	(void)pthread_mutex_lock(&p->lock);
	if (--f->count == 0) {
		(void)map_remove(&p->flights, slice_of(f->key, f->key_bytes));
		free(f);
	}
	(void)pthread_mutex_unlock(&p->lock);
}

static void destroy(struct middleware **m)
{
	struct in_flight_req *p = self(*m);

	must(p->flights.count == 0);
	if (p->lock_made)
		(void)pthread_mutex_destroy(&p->lock);
	map_free(&p->flights);
	source_free(&p->source);
	middleware_free(m);
}

static const struct middleware_class class = {
	.name = "inFlightReq",
	.state_bytes = sizeof(struct in_flight_visit),
	.on_request = on_request,
	.on_end = on_end,
	.destroy = destroy,
};

int in_flight_req_create(struct middleware **m, const struct dynamic_middleware *config,
			 const struct middleware_world *world, struct weir_error *e)
{
	const struct dynamic_in_flight *options = config->in_flight_req;
	struct in_flight_req *p = middleware_new(sizeof *p, &class, config, e);
	int r;

	(void)world;
	if (p == NULL)
		return -ENOMEM;
	*m = &p->middleware;
	p->amount = options->amount;
	r = source_init(&p->source, options->source_criterion, SOURCE_HOST, e);
	if (r < 0)
		error_prefix(e, "error creating requests limiter: ");
	p->lock_made = r == 0 && pthread_mutex_init(&p->lock, NULL) == 0;
	if (r == 0 && !p->lock_made)
		r = error_set(e, -ENOMEM, "out of memory");
	if (r < 0)
		destroy(m);
	return r;
}
