#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "config/static.h"
#include "core/base64.h"
#include "core/list.h"
#include "core/map.h"
#include "core/md5.h"
#include "http/path.h"
#include "middleware/auth_user.h"
#include "middleware/classes.h"
#include "middleware/digest_header.h"
#include "middleware/make.h"
#include "middleware/shared_state.h"
#include "middleware/users.h"

#define KEY_CHARS 16

/* A nonce that was given out. */
struct nonce {
	struct list link; /* in `seen`, the one that was used last in front */
	uint64_t count;   /* nc of the last request; 0: none yet */
	char text[KEY_CHARS];
	bool used;
};

struct nonces {
	struct shared_state state; /* first */
	char opaque[KEY_CHARS];    /* immutable */
	struct nonce *list;        /* all of them */
	struct map map;            /* text to struct nonce */
	struct list seen;
};

struct digest_auth {
	struct middleware middleware; /* first */
	const struct dynamic_auth *options;
	struct arena arena;
	struct users users;
	slice realm;
	struct shared_state *state; /* struct nonces */
};

/* What a request turns out to be. */
enum digest_answer { DIGEST_REFUSED, DIGEST_STALE, DIGEST_PASSED };

static bool make_key(char text[KEY_CHARS])
{
	unsigned char bytes[KEY_CHARS / 4 * 3];

	if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
		return false;
	for (size_t i = 0; i < KEY_CHARS; i++) {
		const unsigned char *p = bytes + i / 4 * 3;
		uint32_t group = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];

		text[i] = base64_digits[group >> (18 - 6 * (i % 4)) & 63];
	}
	return true;
}

static struct nonces *nonces_of(struct shared_state *s)
{
	return container_of(s, struct nonces, state);
}

static int init_nonces(struct shared_state *s, const struct dynamic_middleware *config,
		       const struct middleware_world *world, struct weir_error *e)
{
	size_t count = (size_t)world->limits->digest_nonces;
	struct nonces *n = nonces_of(s);

	(void)config;
	list_init(&n->seen);
	n->list = calloc(count, sizeof *n->list);
	if (n->list == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++)
		list_append(&n->seen, &n->list[i].link);
	return make_key(n->opaque) ? 0 : error_set(e, -EIO, "no random numbers");
}

static void free_nonces(struct shared_state *s)
{
	map_free(&nonces_of(s)->map);
	free(nonces_of(s)->list);
}

static const struct shared_state_class nonces_class = {
	.type = "digestAuth",
	.bytes = sizeof(struct nonces),
	.init = init_nonces,
	.free = free_nonces,
};

/* A new nonce takes the place of the one that was not used for the longest time. Under the lock. */
static bool give_nonce(struct nonces *all, char text[KEY_CHARS])
{
	struct nonce *n = container_of(all->seen.prev, struct nonce, link);

	if (!make_key(text))
		return false;
	if (n->used) {
		(void)map_remove(&all->map, slice_of(n->text, KEY_CHARS));
		counter_add(&all->state.counters.evicted, 1);
	}
	memcpy(n->text, text, KEY_CHARS);
	n->count = 0;
	n->used = map_put(&all->map, slice_of(n->text, KEY_CHARS), n) == 0;
	list_remove(&n->link);
	if (n->used)
		list_push(&all->seen, &n->link);
	else
		list_append(&all->seen, &n->link);
	return n->used;
}

static enum middleware_verdict challenge(struct digest_auth *d, struct exchange *x, bool stale)
{
	char nonce[KEY_CHARS];
	bool given;

	shared_state_lock(d->state);
	given = give_nonce(nonces_of(d->state), nonce);
	shared_state_unlock(d->state);
	if (!given)
		return MW_FAILED;
	return auth_challenge(
		x, arena_format(&x->arena,
				"Digest realm=\"%.*s\", nonce=\"%.*s\", opaque=\"%.*s\", "
				"%salgorithm=\"MD5\", qop=\"auth\"",
				SLICE_ARG(d->realm), KEY_CHARS, nonce, KEY_CHARS,
				nonces_of(d->state)->opaque, stale ? "stale=\"true\", " : ""));
}

/* The digest of the parts with colons between them. */
static void hash(const slice *parts, size_t count, char hex[MD5_HEX])
{
	struct md5 h;

	md5_begin(&h);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			md5_add(&h, SLICE(":"));
		md5_add(&h, parts[i]);
	}
	md5_end_hex(&h, hex);
}

static bool is_right(const struct digest_parameters *p, slice method, slice secret)
{
	const slice second[] = {method, p->uri};
	char hex[MD5_HEX];
	volatile unsigned char differs = 0;

	hash(second, ARRAY_LEN(second), hex);
	{
		const slice all[] = {secret,    p->nonce, p->nc,
				     p->cnonce, p->qop,   slice_of(hex, MD5_HEX - 1)};
		char whole[MD5_HEX];

		hash(all, ARRAY_LEN(all), whole);
		if (p->response.n != MD5_HEX - 1)
			return false;
		for (size_t i = 0; i < MD5_HEX - 1; i++)
			differs |= (unsigned char)(whole[i] ^ p->response.p[i]);
	}
	return differs == 0;
}

/* The path of what a client calls the URI, which may have a scheme and a host. */
static slice path_of(slice uri)
{
	size_t scheme = slice_search(uri, SLICE("://"));

	uri = slice_first(uri, MIN(slice_find(uri, '?'), slice_find(uri, '#')));
	if (scheme < uri.n && slice_find(uri, '/') > scheme) {
		uri = slice_from_at(uri, scheme + 3);
		uri = slice_from_at(uri, slice_find(uri, '/'));
	}
	return uri;
}

/* Traefik is content with the start of the path. Returns 1, 0 or -ENOMEM. */
static int is_for(struct exchange *x, slice uri)
{
	slice target = exchange_target(x), said, path;
	int r;

	if (slice_equal(target, uri))
		return 1;
	r = path_unescape(path_of(uri), &x->arena, &said);
	if (r == 0)
		r = path_unescape(x->request.path, &x->arena, &path);
	if (r != 0)
		return r < 0 ? r : 0;
	return slice_starts(path, said);
}

static bool parse_count(slice text, uint64_t *count)
{
	*count = 0;
	for (size_t i = 0; i < text.n; i++) {
		int digit = ascii_hex(text.p[i]);

		if (digit < 0 || *count >> 60 != 0)
			return false;
		*count = *count << 4 | (unsigned)digit;
	}
	return *count > 0;
}

/* Each nonce counts its requests, so that none can be sent twice. */
static enum digest_answer use_nonce(struct shared_state *state, slice text, uint64_t count)
{
	enum digest_answer answer = DIGEST_REFUSED;
	struct nonces *all = nonces_of(state);
	struct nonce *n;

	shared_state_lock(state);
	n = map_get(&all->map, text);
	if (n != NULL && count > n->count) {
		n->count = count;
		list_remove(&n->link);
		list_push(&all->seen, &n->link);
		answer = DIGEST_PASSED;
	} else if (n != NULL && count < n->count) {
		answer = DIGEST_STALE;
	}
	shared_state_unlock(state);
	return answer;
}

/* Returns an answer, or -ENOMEM. */
static int check(struct digest_auth *d, struct exchange *x, const struct user **user)
{
	struct digest_parameters p;
	slice name;
	uint64_t count;
	int r = digest_header_parse(fields_value_id(&x->request.fields, FIELD_AUTHORIZATION),
				    &x->arena, &p);

	if (r < 0)
		return r == -ENOMEM ? r : DIGEST_REFUSED;
	if (p.algorithm.p != NULL && !slice_equal(p.algorithm, SLICE("MD5")))
		return DIGEST_REFUSED;
	if (!slice_equal(p.opaque, slice_of(nonces_of(d->state)->opaque, KEY_CHARS)) ||
	    !slice_equal(p.qop, SLICE("auth")))
		return DIGEST_REFUSED;
	r = is_for(x, p.uri);
	if (r <= 0)
		return r < 0 ? r : DIGEST_REFUSED;
	name = arena_format(&x->arena, "%.*s:%.*s", SLICE_ARG(p.username), SLICE_ARG(d->realm));
	if (name.p == NULL)
		return -ENOMEM;
	*user = users_find(&d->users, name);
	if (*user == NULL || !is_right(&p, x->request.method, (*user)->secret) ||
	    !parse_count(p.nc, &count))
		return DIGEST_REFUSED;
	return (int)use_nonce(d->state, p.nonce, count);
}

static enum middleware_verdict on_request(struct middleware *m, struct exchange *x, void *state)
{
	struct digest_auth *d = container_of(m, struct digest_auth, middleware);
	const struct user *user = NULL;
	int answer = check(d, x, &user);

	(void)state;
	if (answer < 0)
		return MW_FAILED;
	if (answer != DIGEST_PASSED)
		return challenge(d, x, answer == DIGEST_STALE);
	x->user = slice_first(user->name, user->name.n - d->realm.n - 1);
	return auth_pass(x, d->options, x->user);
}

static void destroy(struct middleware **m)
{
	struct digest_auth *d = container_of(*m, struct digest_auth, middleware);

	shared_state_release(&d->state);
	arena_free(&d->arena);
	middleware_free(m);
}

static const struct middleware_class class = {
	.name = "digestAuth",
	.on_request = on_request,
	.destroy = destroy,
};

int digest_auth_create(struct middleware **m, const struct dynamic_middleware *config,
		       const struct middleware_world *world, struct weir_error *e)
{
	struct digest_auth *d = middleware_new(sizeof *d, &class, config, e);
	int r;

	if (d == NULL)
		return -ENOMEM;
	*m = &d->middleware;
	d->options = config->digest_auth;
	d->realm = d->options->realm.n > 0 ? d->options->realm : SLICE("traefik");
	arena_init(&d->arena, 4096, SIZE_MAX);
	r = auth_check_options(d->options, e);
	if (r == 0)
		r = users_load(&d->users, d->options, USERS_DIGEST,
			       (size_t)world->limits->users_file_bytes, &d->arena, e);
	if (r == 0)
		r = shared_state_get(&d->state, &nonces_class, config, world, e);
	if (r < 0)
		destroy(m);
	return r;
}
