#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include "config/static.h"
#include "core/base64.h"
#include "core/sha256.h"
#include "middleware/auth_user.h"
#include "middleware/classes.h"
#include "middleware/make.h"
#include "middleware/password.h"
#include "middleware/password_threads.h"
#include "middleware/shared_state.h"
#include "middleware/users.h"

/* Credentials that were right are remembered by a keyed digest, one for each value of its first
 * byte; a change of users makes a new middleware. */
#define KNOWN 256

struct basic_auth {
	struct middleware middleware; /* first */
	const struct dynamic_auth *options;
	struct arena arena;
	struct users users;
	slice challenge;
	size_t checks_max;
	struct shared_state *counts;
	unsigned char key[SHA256_DIGEST_BYTES];
	bool lock_made;
	bool has_threads;

	/* Shared by workers, under `lock`. */
	pthread_mutex_t lock;
	struct list checks; /* that are being made */
	size_t check_count;
	struct {
		bool used;
		unsigned char digest[SHA256_DIGEST_BYTES];
	} known[KNOWN];
};

/*
 * The middleware's state in the exchange's arena, where it stays until nobody knows it any more:
 * the exchange waits for that in `on_sent`, if need be.
 */
struct check {
	struct exchange *x;
	struct basic_auth *b;
	const struct user *user; /* NULL: there is none of that name */
	slice password;
	unsigned char digest[SHA256_DIGEST_BYTES];
	struct list link;      /* in `checks`, or in the followers of one of them */
	struct list followers; /* the same credentials at the same time: one check is enough */
	struct password_job job;
	struct message told;
	bool waiting;
	bool right;
};

static struct basic_auth *self(struct middleware *m)
{
	return container_of(m, struct basic_auth, middleware);
}

/* Go's Request.BasicAuth. Returns 0, -ENOMEM, or -EINVAL for what is no such header. */
static int read_credentials(struct exchange *x, slice *name, slice *password)
{
	slice value = fields_value_id(&x->request.fields, FIELD_AUTHORIZATION);
	slice scheme = SLICE("Basic "), text;
	size_t bad, n;
	char *to;

	if (value.n < scheme.n || !slice_equal_nocase(slice_first(value, scheme.n), scheme))
		return -EINVAL;
	value = slice_from_at(value, scheme.n);
	to = arena_alloc(&x->arena, BASE64_ROOM(value.n));
	if (to == NULL)
		return -ENOMEM;
	if (!base64_decode(value, to, &n, &bad))
		return -EINVAL;
	text = slice_of(to, n);
	*name = slice_first(text, slice_find(text, ':'));
	*password = slice_from_at(text, name->n + 1);
	return name->n < text.n ? 0 : -EINVAL;
}

static void make_digest(struct check *c, slice name)
{
	uint64_t n = name.n;
	struct sha256 h;

	sha256_begin(&h);
	sha256_add(&h, slice_of((const char *)c->b->key, sizeof c->b->key));
	sha256_add(&h, slice_of((const char *)&n, sizeof n));
	sha256_add(&h, name);
	sha256_add(&h, c->password);
	sha256_end(&h, c->digest);
}

/* What an unknown name is checked against, so that it takes as long as a known one. */
static slice secret_of(const struct check *c)
{
	return c->user != NULL ? c->user->secret : c->b->users.list[0].secret;
}

static void check_password(struct check *c)
{
	bool fits = password_fits(secret_of(c), c->password);

	c->right = fits && c->user != NULL;
}

static void on_told(struct message *m)
{
	struct check *c = container_of(m, struct check, told);

	c->waiting = false;
	exchange_resume(c->x);
}

/* From here on `c` belongs to its loop again. */
static void tell(struct check *c)
{
	c->told.run = on_told;
	must(loop_post(c->x->loop, &c->told));
}

static void on_job(struct password_job *job)
{
	struct check *c = container_of(job, struct check, job);
	struct basic_auth *b = c->b;
	struct list *e;

	check_password(c);
	(void)pthread_mutex_lock(&b->lock);
	list_remove(&c->link);
	b->check_count--;
	if (c->right) {
		b->known[c->digest[0]].used = true;
		memcpy(b->known[c->digest[0]].digest, c->digest, sizeof c->digest);
	}
	(void)pthread_mutex_unlock(&b->lock);
	/* Nobody can find this check any more, so nobody follows it from here on. */
	while ((e = list_pop(&c->followers)) != NULL) {
		struct check *follower = container_of(e, struct check, link);

		follower->right = c->right;
		tell(follower);
	}
	/* The last, as the middleware lives as long as an exchange knows it. */
	tell(c);
}

static bool is_known(const struct basic_auth *b, const struct check *c)
{
	return c->user != NULL && b->known[c->digest[0]].used &&
	       memcmp(b->known[c->digest[0]].digest, c->digest, sizeof c->digest) == 0;
}

static struct check *find_same(const struct basic_auth *b, const struct check *c)
{
	for (struct list *e = b->checks.next; e != &b->checks; e = e->next) {
		struct check *other = container_of(e, struct check, link);

		if (memcmp(other->digest, c->digest, sizeof c->digest) == 0)
			return other;
	}
	return NULL;
}

/* What becomes of a check, decided under the lock. */
enum turn { TURN_KNOWN, TURN_FOLLOWS, TURN_LEADS, TURN_BUSY };

static enum turn enter(struct basic_auth *b, struct check *c)
{
	struct check *same;
	enum turn turn = TURN_LEADS;

	(void)pthread_mutex_lock(&b->lock);
	same = find_same(b, c);
	if (is_known(b, c)) {
		turn = TURN_KNOWN;
	} else if (same != NULL) {
		list_push(&same->followers, &c->link);
		turn = TURN_FOLLOWS;
	} else if (b->check_count >= b->checks_max) {
		turn = TURN_BUSY;
	} else {
		list_push(&b->checks, &c->link);
		b->check_count++;
	}
	(void)pthread_mutex_unlock(&b->lock);
	return turn;
}

static enum middleware_verdict decide(const struct check *c)
{
	if (c->right)
		return auth_pass(c->x, c->b->options, c->user->name);
	return auth_challenge(c->x, c->b->challenge);
}

static enum middleware_verdict refuse_busy(struct basic_auth *b, struct exchange *x)
{
	shared_state_lock(b->counts);
	counter_add(&b->counts->counters.refused, 1);
	shared_state_unlock(b->counts);
	middleware_answer_status(x, 503);
	return fields_add_id(&x->response.fields, FIELD_RETRY_AFTER, SLICE("1")) == 0 ? MW_ANSWERED
										      : MW_FAILED;
}

/* On a thread for that, because a hash may take a tenth of a second. */
static enum middleware_verdict check_elsewhere(struct check *c)
{
	switch (enter(c->b, c)) {
	case TURN_KNOWN:
		c->right = true;
		return decide(c);
	case TURN_BUSY:
		return refuse_busy(c->b, c->x);
	case TURN_LEADS:
		c->job.run = on_job;
		password_threads_add(&c->job);
		break;
	case TURN_FOLLOWS:
		break;
	}
	c->waiting = true;
	return MW_PENDING;
}

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	struct check *c = state;
	slice name;
	int r;

	if (c->waiting)
		return MW_PENDING;
	if (c->x != NULL)
		return decide(c);
	c->x = x;
	c->b = self(m);
	list_init(&c->followers);
	r = read_credentials(x, &name, &c->password);
	x->user = r == 0 ? name : SLICE("");
	if (r < 0)
		return r == -ENOMEM ? MW_FAILED : auth_challenge(x, c->b->challenge);
	c->user = users_find(&c->b->users, name);
	if (password_is_expensive(secret_of(c))) {
		make_digest(c, name);
		return check_elsewhere(c);
	}
	check_password(c);
	return decide(c);
}

/* A client that has left, and that nobody follows, takes no turn of the others. */
static void give_up(struct check *c)
{
	struct basic_auth *b = c->b;

	(void)pthread_mutex_lock(&b->lock);
	if (list_empty(&c->followers) && password_threads_cancel(&c->job)) {
		list_remove(&c->link);
		b->check_count--;
		c->waiting = false;
	}
	(void)pthread_mutex_unlock(&b->lock);
}

static enum middleware_verdict on_sent(struct middleware *m, struct exchange *x, void *state)
{
	struct check *c = state;

	(void)m;
	(void)x;
	if (c->waiting)
		give_up(c);
	return c->waiting ? MW_PENDING : MW_CONTINUE;
}

static void destroy(struct middleware **m)
{
	struct basic_auth *b = self(*m);

	must(b->check_count == 0);
	if (b->has_threads)
		password_threads_unref();
	shared_state_release(&b->counts);
	if (b->lock_made)
		(void)pthread_mutex_destroy(&b->lock);
	arena_free(&b->arena);
	middleware_free(m);
}

static const struct middleware_class class = {
	.name = "basicAuth",
	.state_bytes = sizeof(struct check),
	.on_request = on_request,
	.on_sent = on_sent,
	/* No check is being made once the response has passed. */
	.detach = middleware_detach_nothing,
	.destroy = destroy,
};

static const struct shared_state_class counts_class = {
	.type = "basicAuth",
	.bytes = sizeof(struct shared_state),
	.init = shared_state_init_nothing,
	.free = shared_state_free_nothing,
};

static int fill(struct basic_auth *b, const struct dynamic_auth *options, size_t file_max,
		struct weir_error *e)
{
	int r = auth_check_options(options, e);

	if (r == 0)
		r = users_load(&b->users, options, USERS_BASIC, file_max, &b->arena, e);
	if (r < 0)
		return r;
	if (b->users.count == 0)
		return error_set(e, -EINVAL, "no users found in %.*s",
				 SLICE_ARG(options->users_file));
	b->challenge =
		arena_format(&b->arena, "Basic realm=\"%.*s\"",
			     SLICE_ARG(options->realm.n > 0 ? options->realm : SLICE("traefik")));
	b->lock_made = pthread_mutex_init(&b->lock, NULL) == 0;
	if (b->challenge.p == NULL || !b->lock_made)
		return error_set(e, -ENOMEM, "out of memory");
	if (getrandom(b->key, sizeof b->key, 0) != (ssize_t)sizeof b->key)
		return error_set(e, -EIO, "no random numbers");
	r = password_threads_ref(e);
	b->has_threads = r == 0;
	return r;
}

int basic_auth_create(struct middleware **m, const struct dynamic_middleware *config,
		      const struct middleware_world *world, struct weir_error *e)
{
	struct basic_auth *b = middleware_new(sizeof *b, &class, config, e);
	int r;

	if (b == NULL)
		return -ENOMEM;
	*m = &b->middleware;
	b->options = config->basic_auth;
	b->checks_max = (size_t)world->limits->password_checks;
	list_init(&b->checks);
	arena_init(&b->arena, 4096, SIZE_MAX);
	r = fill(b, config->basic_auth, (size_t)world->limits->users_file_bytes, e);
	if (r == 0)
		r = shared_state_get(&b->counts, &counts_class, config, world, e);
	if (r < 0)
		destroy(m);
	return r;
}
