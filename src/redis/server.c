#include "redis/server.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/un.h>

#include "core/registry.h"
#include "core/str.h"
#include "net/address.h"

#define REGISTRY_MAGIC 0x72647267u
#define SERVER_MAGIC 0x72647372u

/* Of a host name; more than DNS has. */
#define HOST_BYTES_MAX 255u

struct redis_registry {
	uint32_t magic;
	const struct loop_group *loops;
	struct redis_counters *counters; /* one per loop, its own */
	struct registry servers;
	atomic_size_t live; /* servers whose parts are not all gone */
};

struct redis_server {
	uint32_t magic;
	struct registry_member member;
	struct redis_registry *registry;
	slice key;                    /* owned */
	struct redis_options options; /* its texts are owned, and the reference */
	struct per_loop clients;
};

int redis_registry_create(struct redis_registry **registry, const struct loop_group *loops)
{
	struct redis_registry *r = calloc(1, sizeof *r);

	if (r == NULL)
		return -ENOMEM;
	r->counters = calloc(MAX(loops->count, 1), sizeof *r->counters);
	if (r->counters == NULL) {
		free(r);
		return -ENOMEM;
	}
	r->magic = REGISTRY_MAGIC;
	r->loops = loops;
	registry_init(&r->servers);
	*registry = r;
	return 0;
}

void redis_registry_count(const struct redis_registry *r, size_t loop, struct redis_counters *sum)
{
	const struct redis_counters *from = &r->counters[loop];

	OBJ_CHECK(r, REGISTRY_MAGIC);
	must(loop < r->loops->count);
#define X(name, kind, help) counter_add(&sum->name, counter_get(&from->name));
	REDIS_COUNTERS(X)
#undef X
}

size_t redis_registry_loops(const struct redis_registry *r)
{
	OBJ_CHECK(r, REGISTRY_MAGIC);
	return r->loops->count;
}

void redis_registry_destroy(struct redis_registry **registry)
{
	struct redis_registry *r;

	if (*registry == NULL)
		return;
	OBJ_TAKE(r, registry, REGISTRY_MAGIC);
	must(r->live == 0);
	registry_free(&r->servers);
	r->magic = 0;
	free(r->counters);
	free(r);
}

int redis_options_set_address(struct redis_options *o, slice address, struct weir_error *e)
{
	const size_t path_max = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;
	slice port;
	int r;

	if (address.n > 0 && address.p[0] == '/') {
		o->host = address;
		o->port = 0;
		if (address.n > path_max)
			return error_set(e, -EINVAL,
					 "\"%.*s\": the path of a socket has %zu bytes, at most "
					 "%zu are possible",
					 SLICE_ARG(address), address.n, path_max);
		return 0;
	}
	r = address_split(address, &o->host, &port, e);
	if (r < 0)
		return r;
	if (o->host.n == 0)
		o->host = SLICE("localhost");
	if (!address_port_parse(port, &o->port) || o->port == 0 || o->host.n > HOST_BYTES_MAX)
		return error_set(e, -EINVAL, "\"%.*s\": expected a host and a port",
				 SLICE_ARG(address));
	return 0;
}

static void free_client(void *part)
{
	struct redis_client *c = part;

	redis_client_destroy(&c);
}

static void free_text(slice *text)
{
	free((char *)(uintptr_t)text->p);
	*text = (slice){NULL, 0};
}

static void free_server(struct redis_server *s)
{
	s->magic = 0;
	tls_connector_release(&s->options.tls);
	free_text(&s->options.host);
	free_text(&s->options.username);
	free_text(&s->options.password);
	free_text(&s->key);
	free(s);
}

static void add_text(struct str *key, slice text)
{
	str_format(key, "%zu:", text.n);
	str_add(key, text);
}

/* Every option that makes a difference to a connection or a query is part of the key. */
static slice make_key(const struct redis_options *o)
{
	const uint64_t numbers[] = {
		o->port,        (uint64_t)o->db,    o->connections_max, o->idle_min,
		o->queries_max, o->dial_timeout_ms, o->read_timeout_ms, o->write_timeout_ms,
		o->keep_alive_s};
	struct str key = {0};
	size_t n;

	add_text(&key, o->host);
	add_text(&key, o->username);
	add_text(&key, o->password);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		str_add_char(&key, ' ');
		str_add_u64(&key, numbers[i]);
	}
	if (o->tls != NULL)
		str_add(&key, slice_of((const char *)o->tls->hash, sizeof o->tls->hash));
	n = key.n;
	return (slice){str_take(&key), n};
}

static bool copy_text(slice *to, slice text)
{
	*to = (slice){slice_dup(text), text.n};
	return to->p != NULL;
}

/* Takes over `key`, unless NULL is returned: then there is no memory. */
static struct redis_server *create(struct redis_registry *r, slice key,
				   const struct redis_options *o)
{
	struct redis_server *s = calloc(1, sizeof *s);

	if (s == NULL)
		return NULL;
	*s = (struct redis_server){.magic = SERVER_MAGIC, .registry = r, .options = *o};
	if (o->tls != NULL)
		s->options.tls = tls_connector_ref(o->tls);
	s->options.host = s->options.username = s->options.password = (slice){NULL, 0};
	if (!copy_text(&s->options.host, o->host) ||
	    !copy_text(&s->options.username, o->username) ||
	    !copy_text(&s->options.password, o->password) ||
	    per_loop_init(&s->clients, r->loops, free_client) < 0) {
		free_server(s);
		return NULL;
	}
	s->key = key;
	return s;
}

/* Enters the server, unless another thread has been faster with the same. NULL: no memory. */
static struct redis_server *share(struct redis_registry *r, struct redis_server *made)
{
	struct registry_member *m = registry_add(&r->servers, &made->member, made->key);

	if (m == &made->member) {
		atomic_fetch_add(&r->live, 1);
		return made;
	}
	per_loop_discard(&made->clients);
	free_server(made);
	return m != NULL ? container_of(m, struct redis_server, member) : NULL;
}

int redis_server_get(struct redis_server **server, struct redis_registry *r,
		     const struct redis_options *options)
{
	slice key = make_key(options);
	struct registry_member *there;
	struct redis_server *made;

	OBJ_CHECK(r, REGISTRY_MAGIC);
	*server = NULL;
	if (key.p == NULL)
		return -ENOMEM;
	there = registry_find(&r->servers, key);
	made = there == NULL ? create(r, key, options) : NULL;
	if (made == NULL)
		free_text(&key);
	if (there != NULL)
		*server = container_of(there, struct redis_server, member);
	else if (made != NULL)
		*server = share(r, made);
	return *server != NULL ? 0 : -ENOMEM;
}

static void on_parts_released(struct per_loop *p)
{
	struct redis_server *s = container_of(p, struct redis_server, clients);
	struct redis_registry *r = s->registry;

	OBJ_CHECK(s, SERVER_MAGIC);
	free_server(s);
	atomic_fetch_sub(&r->live, 1);
}

struct redis_server *redis_server_ref(struct redis_server *s)
{
	OBJ_CHECK(s, SERVER_MAGIC);
	registry_ref(&s->member);
	return s;
}

void redis_server_release(struct redis_server **server)
{
	struct redis_server *s;

	if (*server == NULL)
		return;
	OBJ_TAKE(s, server, SERVER_MAGIC);
	if (registry_release(&s->member))
		per_loop_release(&s->clients, on_parts_released);
}

struct redis_client *redis_server_client(struct redis_server *s, struct loop *loop)
{
	void **part;

	OBJ_CHECK(s, SERVER_MAGIC);
	part = per_loop_part(&s->clients, loop);
	if (*part == NULL) {
		struct redis_client *c;

		if (redis_client_create(&c, loop, &s->options,
					&s->registry->counters[loop->index]) < 0)
			return NULL;
		*part = c;
	}
	return *part;
}
