#include "http/upstream.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/registry.h"
#include "core/str.h"
#include "http/hold.h"

#define REGISTRY_MAGIC 0x75707265u
#define UPSTREAM_MAGIC 0x75707374u

struct upstream_registry {
	uint32_t magic;
	const struct loop_group *loops;
	struct client_totals *totals; /* one per loop, its own */
	struct registry upstreams;
	atomic_size_t live; /* endpoints whose parts are not all gone */
};

struct upstream {
	uint32_t magic;
	struct registry_member member;
	struct upstream_registry *registry;
	char *key;
	char *host;
	uint16_t port;
	struct client_options options;
	struct per_loop clients;
	struct hold hold;
};

int upstream_registry_create(struct upstream_registry **registry, const struct loop_group *loops,
			     size_t idle_max)
{
	struct upstream_registry *r = calloc(1, sizeof *r);

	if (r == NULL)
		return -ENOMEM;
	r->totals = calloc(MAX(loops->count, 1), sizeof *r->totals);
	if (r->totals == NULL) {
		free(r);
		return -ENOMEM;
	}
	for (size_t i = 0; i < loops->count; i++)
		r->totals[i].idle_max = idle_max;
	r->magic = REGISTRY_MAGIC;
	r->loops = loops;
	registry_init(&r->upstreams);
	*registry = r;
	return 0;
}

void upstream_registry_count(const struct upstream_registry *r, size_t loop,
			     struct client_counters *sum)
{
	const struct client_counters *from = &r->totals[loop].counters;

	OBJ_CHECK(r, REGISTRY_MAGIC);
	must(loop < r->loops->count);
#define X(name, kind, help) counter_add(&sum->name, counter_get(&from->name));
	CLIENT_COUNTERS(X)
#undef X
}

void upstream_registry_destroy(struct upstream_registry **registry)
{
	struct upstream_registry *r;

	if (*registry == NULL)
		return;
	OBJ_TAKE(r, registry, REGISTRY_MAGIC);
	must(r->live == 0);
	registry_free(&r->upstreams);
	r->magic = 0;
	free(r->totals);
	free(r);
}

static void free_client(void *part)
{
	struct client *c = part;

	client_destroy(&c);
}

static void free_upstream(struct upstream *u)
{
	u->magic = 0;
	tls_connector_release(&u->options.tls);
	free(u->key);
	free(u->host);
	free(u);
}

/* Every option that makes a difference to a connection is part of the key. */
static char *make_key(slice host, uint16_t port, const struct client_options *o)
{
	const uint64_t numbers[] = {port,
				    o->connect_timeout_ms,
				    o->response_header_timeout_ms,
				    o->idle_timeout_ms,
				    o->idle_max,
				    o->connections_max,
				    o->dns_ttl_ms,
				    o->keep_alive_s,
				    o->continue_timeout_ms,
				    o->head.head_bytes_max,
				    o->head.fields_max,
				    o->handshake_timeout_ms,
				    o->h2,
				    o->hold_max_ms,
				    o->offer_h2,
				    o->window_bytes,
				    o->read_idle_timeout_ms,
				    o->ping_timeout_ms};
	struct str key = {0};

	str_add(&key, host);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		str_add_char(&key, ' ');
		str_add_u64(&key, numbers[i]);
	}
	if (o->tls != NULL) {
		str_add_char(&key, ' ');
		for (size_t i = 0; i < sizeof o->tls->hash; i++)
			str_format(&key, "%02x", o->tls->hash[i]);
	}
	return str_take(&key);
}

/* Takes over `key`, unless NULL is returned: then there is no memory. */
static struct upstream *create(struct upstream_registry *r, char *key, slice host, uint16_t port,
			       const struct client_options *options)
{
	struct upstream *u = calloc(1, sizeof *u);

	if (u == NULL)
		return NULL;
	*u = (struct upstream){
		.magic = UPSTREAM_MAGIC, .registry = r, .port = port, .options = *options};
	if (options->tls != NULL)
		u->options.tls = tls_connector_ref(options->tls);
	u->host = slice_dup(host);
	if (u->host == NULL || per_loop_init(&u->clients, r->loops, free_client) < 0) {
		free_upstream(u);
		return NULL;
	}
	u->key = key;
	return u;
}

/* Enters the endpoint, unless another thread has been faster with the same. NULL: no memory. */
static struct upstream *share(struct upstream_registry *r, struct upstream *made)
{
	struct registry_member *m =
		registry_add(&r->upstreams, &made->member, slice_from(made->key));

	if (m == &made->member) {
		atomic_fetch_add(&r->live, 1);
		return made;
	}
	per_loop_discard(&made->clients);
	free_upstream(made);
	return m != NULL ? container_of(m, struct upstream, member) : NULL;
}

int upstream_get(struct upstream **upstream, struct upstream_registry *r, slice host, uint16_t port,
		 const struct client_options *options)
{
	char *key = make_key(host, port, options);
	struct registry_member *there;
	struct upstream *made;

	OBJ_CHECK(r, REGISTRY_MAGIC);
	*upstream = NULL;
	if (key == NULL)
		return -ENOMEM;
	there = registry_find(&r->upstreams, slice_from(key));
	made = there == NULL ? create(r, key, host, port, options) : NULL;
	if (made == NULL)
		free(key);
	if (there != NULL)
		*upstream = container_of(there, struct upstream, member);
	else if (made != NULL)
		*upstream = share(r, made);
	return *upstream != NULL ? 0 : -ENOMEM;
}

static void on_parts_released(struct per_loop *p)
{
	struct upstream *u = container_of(p, struct upstream, clients);
	struct upstream_registry *r = u->registry;

	OBJ_CHECK(u, UPSTREAM_MAGIC);
	free_upstream(u);
	atomic_fetch_sub(&r->live, 1);
}

struct upstream *upstream_ref(struct upstream *u)
{
	OBJ_CHECK(u, UPSTREAM_MAGIC);
	registry_ref(&u->member);
	return u;
}

void upstream_release(struct upstream **upstream)
{
	struct upstream *u;

	if (*upstream == NULL)
		return;
	OBJ_TAKE(u, upstream, UPSTREAM_MAGIC);
	if (registry_release(&u->member))
		per_loop_release(&u->clients, on_parts_released);
}

bool upstream_is_held(struct upstream *u, const struct loop *loop)
{
	OBJ_CHECK(u, UPSTREAM_MAGIC);
	return hold_is_on(&u->hold, loop_now_ms(loop), u->options.hold_max_ms);
}

/* What says that the endpoint is not there, and not that we lack something. */
static bool is_unreachable(int code, bool sent)
{
	return code == -ECONNREFUSED || code == -EHOSTUNREACH || code == -ENETUNREACH ||
	       code == -ENOENT /* a Unix socket */ || (code == -ETIMEDOUT && !sent);
}

int64_t upstream_note(struct upstream *u, const struct loop *loop, int code, bool sent)
{
	uint64_t period;

	OBJ_CHECK(u, UPSTREAM_MAGIC);
	if (code == 0)
		return hold_end(&u->hold) ? -1 : 0;
	if (!is_unreachable(code, sent))
		return 0;
	period = hold_begin(&u->hold, loop_now_ms(loop), u->options.hold_max_ms);
	counter_add(&u->registry->totals[loop->index].counters.holds, period > 0);
	return (int64_t)period;
}

void upstream_count_passed_over(struct upstream *u, const struct loop *loop)
{
	OBJ_CHECK(u, UPSTREAM_MAGIC);
	counter_add(&u->registry->totals[loop->index].counters.passed_over, 1);
}

struct client *upstream_client(struct upstream *u, struct loop *loop)
{
	void **part;

	OBJ_CHECK(u, UPSTREAM_MAGIC);
	part = per_loop_part(&u->clients, loop);
	if (*part == NULL) {
		struct client *c;

		if (client_create(&c, loop, slice_from(u->host), u->port, &u->options,
				  &u->registry->totals[loop->index]) < 0)
			return NULL;
		*part = c;
	}
	return *part;
}

struct upstream **upstream_registry_hold(struct upstream_registry *r, size_t *count)
{
	struct registry_member **members;
	struct upstream **held = NULL;

	OBJ_CHECK(r, REGISTRY_MAGIC);
	members = registry_hold(&r->upstreams, count);
	if (members != NULL)
		held = calloc(*count + 1, sizeof(struct upstream *));
	for (size_t i = 0; i < *count; i++) {
		struct upstream *u = container_of(members[i], struct upstream, member);

		if (held != NULL)
			held[i] = u;
		else
			upstream_release(&u);
	}
	free(members);
	if (held == NULL)
		*count = 0;
	return held;
}

struct upstream_look upstream_look(const struct upstream *u)
{
	OBJ_CHECK(u, UPSTREAM_MAGIC);
	return (struct upstream_look){.host = slice_from(u->host),
				      .port = u->port,
				      .tls = u->options.tls != NULL,
				      .h2 = u->options.h2};
}

void upstream_look_add(struct upstream *u, const struct loop *loop, struct upstream_look *look)
{
	const struct client *c = *per_loop_part(&u->clients, loop);

	if (c == NULL)
		return;
	look->open += c->connection_count - c->closing_count;
	look->idle += c->idle_count;
	look->closing += c->closing_count;
}
