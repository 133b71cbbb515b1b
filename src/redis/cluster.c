#include "redis/cluster.h"

#include <errno.h>
#include <stdlib.h>

#include "core/str.h"

#define CLUSTER_MAGIC 0x7264636cu
#define SLOTS 16384u

struct node {
	char *address;
	struct redis_server *server;
};

struct redis_cluster {
	uint32_t magic;
	struct redis_registry *registry;
	struct redis_options options; /* its texts are owned, and the reference */
	size_t configured;            /* nodes that stay; the others can be replaced */
	pthread_mutex_t lock;         /* guards what follows */
	uint16_t *slots; /* the node's number + 1, 0: unknown; NULL, as it stays: no cluster */
	size_t asked;    /* the node that is asked for what is unknown */
	size_t count;
	struct node nodes[REDIS_NODES_MAX];
};

/* CRC-16 of XMODEM. */
static unsigned crc16(slice s)
{
	unsigned crc = 0;

	for (size_t i = 0; i < s.n; i++) {
		crc ^= (unsigned)(unsigned char)s.p[i] << 8;
		for (int bit = 0; bit < 8; bit++)
			crc = (crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1) & 0xffff;
	}
	return crc;
}

unsigned redis_slot(slice key)
{
	size_t from = slice_find(key, '{');
	slice rest = from < key.n ? slice_from_at(key, from + 1) : (slice){NULL, 0};
	size_t n = slice_find(rest, '}');

	/* Of a key with braces only what is between the first ones counts, if there is anything. */
	return crc16(n > 0 && n < rest.n ? slice_first(rest, n) : key) % SLOTS;
}

static bool find_known(const struct redis_cluster *c, slice address, size_t *number)
{
	for (size_t i = 0; i < c->count; i++) {
		if (slice_equal(slice_from(c->nodes[i].address), address)) {
			*number = i;
			return true;
		}
	}
	return false;
}

/* A place that is free, or a learned node's that has no slot any more. */
static bool find_room(const struct redis_cluster *c, size_t *number)
{
	bool in_use[REDIS_NODES_MAX + 1] = {false};

	*number = c->count;
	if (c->count < REDIS_NODES_MAX)
		return true;
	for (size_t i = 0; c->slots != NULL && i < SLOTS; i++)
		in_use[c->slots[i]] = true;
	for (*number = c->configured; *number < c->count; ++*number) {
		if (c->slots != NULL && !in_use[*number + 1])
			return true;
	}
	return false;
}

static void free_node(struct node *n)
{
	redis_server_release(&n->server);
	free(n->address);
	n->address = NULL;
}

/* Under the lock, or before others know of the cluster. */
static int add(struct redis_cluster *c, slice address, size_t *number, struct weir_error *e)
{
	struct redis_options options = c->options;
	struct node n = {NULL, NULL};
	int r;

	if (find_known(c, address, number))
		return 0;
	if (!find_room(c, number))
		return error_set(e, -ENOBUFS, "found more than %d servers", REDIS_NODES_MAX);
	r = redis_options_set_address(&options, address, e);
	if (r < 0)
		return r;
	n.address = slice_dup(address);
	if (n.address == NULL || redis_server_get(&n.server, c->registry, &options) < 0) {
		free(n.address);
		return error_set(e, -ENOMEM, "out of memory");
	}
	/* Who asks the old one has a reference. */
	if (*number < c->count)
		free_node(&c->nodes[*number]);
	else
		c->count++;
	c->nodes[*number] = n;
	return 0;
}

static bool copy_options(struct redis_cluster *c, const struct redis_options *o, bool divided)
{
	c->options = *o;
	c->options.host = (slice){NULL, 0};
	c->options.username = (slice){slice_dup(o->username), o->username.n};
	c->options.password = (slice){slice_dup(o->password), o->password.n};
	if (o->tls != NULL)
		c->options.tls = tls_connector_ref(o->tls);
	if (divided) {
		/* A cluster has one database. */
		c->options.db = 0;
		c->slots = calloc(SLOTS, sizeof *c->slots);
	}
	return c->options.username.p != NULL && c->options.password.p != NULL &&
	       (!divided || c->slots != NULL);
}

int redis_cluster_create(struct redis_cluster **cluster, struct redis_registry *registry,
			 const struct redis_options *options, const slice *addresses, size_t count,
			 struct weir_error *e)
{
	struct redis_cluster *c = calloc(1, sizeof *c);
	size_t number;
	int r = 0;

	if (c == NULL)
		return error_set(e, -ENOMEM, "out of memory");
	c->magic = CLUSTER_MAGIC;
	c->registry = registry;
	must(pthread_mutex_init(&c->lock, NULL) == 0);
	if (!copy_options(c, options, count > 1))
		r = error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count && r == 0; i++)
		r = add(c, addresses[i], &number, e);
	/* Until here none is replaced. */
	c->configured = c->count;
	if (r == 0 && c->configured == 0)
		r = error_set(e, -EINVAL, "found no address, expected one at least");
	if (r < 0)
		redis_cluster_destroy(&c);
	*cluster = c;
	return r;
}

void redis_cluster_destroy(struct redis_cluster **cluster)
{
	struct redis_cluster *c;

	if (*cluster == NULL)
		return;
	OBJ_TAKE(c, cluster, CLUSTER_MAGIC);
	for (size_t i = 0; i < c->count; i++)
		free_node(&c->nodes[i]);
	tls_connector_release(&c->options.tls);
	free((char *)(uintptr_t)c->options.username.p);
	free((char *)(uintptr_t)c->options.password.p);
	free(c->slots);
	(void)pthread_mutex_destroy(&c->lock);
	c->magic = 0;
	free(c);
}

struct redis_server *redis_cluster_find(struct redis_cluster *c, slice key)
{
	struct redis_server *server;
	size_t number = 0;

	OBJ_CHECK(c, CLUSTER_MAGIC);
	(void)pthread_mutex_lock(&c->lock);
	if (c->slots != NULL)
		number = c->slots[redis_slot(key)];
	server = redis_server_ref(c->nodes[number > 0 ? number - 1 : c->asked].server);
	(void)pthread_mutex_unlock(&c->lock);
	return server;
}

/* As servers say it: an IPv6 address has no brackets, and who does not know its own host says none.
 * Returns false where that is no address. */
static bool add_address(struct str *to, slice said)
{
	size_t colon = said.n;
	slice host;

	while (colon > 0 && said.p[colon - 1] != ':')
		colon--;
	if (colon < 2)
		return false;
	host = slice_first(said, colon - 1);
	if (host.p[0] != '[' && slice_find(host, ':') < host.n)
		str_format(to, "[%.*s]:%.*s", SLICE_ARG(host),
			   SLICE_ARG(slice_from_at(said, colon)));
	else
		str_add(to, said);
	return !to->failed;
}

/* "MOVED slot address", or with "ASK". Returns false where it is neither. */
static bool read_redirection(slice answer, bool *asking, uint64_t *slot, struct str *address)
{
	slice word, number;

	if (!slice_next(&answer, ' ', &word))
		return false;
	*asking = slice_equal(word, SLICE("ASK"));
	return (*asking || slice_equal(word, SLICE("MOVED"))) &&
	       slice_next(&answer, ' ', &number) && slice_to_u64(number, slot) && *slot < SLOTS &&
	       add_address(address, answer);
}

struct redis_server *redis_cluster_redirected(struct redis_cluster *c, slice answer, bool *asking)
{
	struct redis_server *server = NULL;
	struct str address = {0};
	size_t number;
	uint64_t at;

	OBJ_CHECK(c, CLUSTER_MAGIC);
	if (c->slots == NULL || !read_redirection(answer, asking, &at, &address)) {
		*asking = false;
		str_free(&address);
		return NULL;
	}
	(void)pthread_mutex_lock(&c->lock);
	if (add(c, str_slice(&address), &number, NULL) == 0) {
		/* A slot that is on its way still belongs to whom it was. */
		if (!*asking)
			c->slots[at] = (uint16_t)(number + 1);
		server = redis_server_ref(c->nodes[number].server);
	}
	(void)pthread_mutex_unlock(&c->lock);
	str_free(&address);
	return server;
}

struct redis_server *redis_cluster_instead(struct redis_cluster *c, slice key,
					   const struct redis_server *failed)
{
	struct redis_server *other = NULL;

	OBJ_CHECK(c, CLUSTER_MAGIC);
	if (c->slots == NULL)
		return NULL;
	(void)pthread_mutex_lock(&c->lock);
	c->slots[redis_slot(key)] = 0;
	for (size_t i = 0; i < c->count && other == NULL; i++) {
		size_t next = (c->asked + i) % c->count;

		if (c->nodes[next].server == failed)
			continue;
		c->asked = next;
		other = redis_server_ref(c->nodes[next].server);
	}
	(void)pthread_mutex_unlock(&c->lock);
	return other;
}

void redis_cluster_visit(struct redis_cluster *c,
			 void (*visit)(void *context, struct redis_server *server), void *context)
{
	OBJ_CHECK(c, CLUSTER_MAGIC);
	for (size_t i = 0; i < c->configured; i++)
		visit(context, c->nodes[i].server);
}
