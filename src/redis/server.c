#include "redis/server.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/un.h>

#include "core/map.h"
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
	pthread_mutex_t lock;            /* guards what follows and the counts of all servers */
	struct map by_key;
	size_t live; /* servers whose parts are not all gone */
};

struct redis_server {
	uint32_t magic;
	unsigned references;
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
	must(pthread_mutex_init(&r->lock, NULL) == 0);
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
	must(r->live == 0 && r->by_key.count == 0);
	map_free(&r->by_key);
	(void)pthread_mutex_destroy(&r->lock);
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
		o->queries_max, o->dial_timeout_ms, o->read_timeout_ms, o->write_timeout_ms};
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

/* The key becomes the server's if it is made. */
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
	if (map_put(&r->by_key, key, s) < 0) {
		per_loop_discard(&s->clients);
		free_server(s);
		return NULL;
	}
	s->key = key;
	r->live++;
	return s;
}

int redis_server_get(struct redis_server **server, struct redis_registry *r,
		     const struct redis_options *options)
{
	slice key = make_key(options);
	struct redis_server *s;

	OBJ_CHECK(r, REGISTRY_MAGIC);
	*server = NULL;
	if (key.p == NULL)
		return -ENOMEM;
	(void)pthread_mutex_lock(&r->lock);
	s = map_get(&r->by_key, key);
	if (s == NULL)
		s = create(r, key, options);
	if (s != NULL)
		s->references++;
	(void)pthread_mutex_unlock(&r->lock);
	if (s == NULL || s->key.p != key.p)
		free_text(&key);
	*server = s;
	return s != NULL ? 0 : -ENOMEM;
}

static void on_parts_released(struct per_loop *p)
{
	struct redis_server *s = container_of(p, struct redis_server, clients);
	struct redis_registry *r = s->registry;

	OBJ_CHECK(s, SERVER_MAGIC);
	(void)pthread_mutex_lock(&r->lock);
	free_server(s);
	r->live--;
	(void)pthread_mutex_unlock(&r->lock);
}

struct redis_server *redis_server_ref(struct redis_server *s)
{
	OBJ_CHECK(s, SERVER_MAGIC);
	(void)pthread_mutex_lock(&s->registry->lock);
	must(s->references > 0);
	s->references++;
	(void)pthread_mutex_unlock(&s->registry->lock);
	return s;
}

void redis_server_release(struct redis_server **server)
{
	struct redis_registry *r;
	struct redis_server *s;
	bool last;

	if (*server == NULL)
		return;
	OBJ_TAKE(s, server, SERVER_MAGIC);
	r = s->registry;
	(void)pthread_mutex_lock(&r->lock);
	must(s->references > 0);
	last = --s->references == 0;
	if (last)
		(void)map_remove(&r->by_key, s->key);
	(void)pthread_mutex_unlock(&r->lock);
	if (last)
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
